/**
 * A worker thread of `xenolith compare`: for every job that it is sent, one path on one machine, then the checks of its data.
 * A worker serves many jobs, because what Node has compiled for one machine serves the next.
 */

import { parentPort } from 'node:worker_threads';
import { dataError } from '../experiments/data-checks.js';
import { type Measurement, runPath } from '../experiments/measure.js';
import { OverlayDisk } from '../experiments/overlay-disk.js';
import { DISK_SECTORS, type Images, type PathName } from '../experiments/paths.js';
import { PcapngWriter } from '../experiments/pcapng.js';
import { WORKLOADS } from '../experiments/workloads.js';
import { SeededDisk } from '../machine/disks.js';
import { parseProfile } from '../machine/profile.js';
import { FileDisk } from './files.js';

export interface Job {
  readonly path: PathName;
  readonly profileName: string;
  readonly profile: unknown;
  readonly images: Images;
  readonly workloads: readonly string[];
  readonly quick: boolean;
  readonly seed: number;
  readonly disk: string | undefined;
}
export type FromWorker =
  | { readonly kind: 'progress'; readonly workload: string }
  /** A workload is finished; its data has been checked. */
  | { readonly kind: 'row'; readonly measurement: Measurement; readonly dataError: string; readonly frequencyHz: number }
  | { readonly kind: 'done'; readonly instructions: number; readonly cycles: number; readonly capture: Uint8Array }
  | { readonly kind: 'failed'; readonly message: string };

function work(job: Job): FromWorker {
  const profile = parseProfile(job.profile, job.profileName);
  const workloads = WORKLOADS.filter((w) => job.workloads.includes(w.name));
  const original = job.disk === undefined ? new SeededDisk(DISK_SECTORS, job.seed) : new FileDisk(job.disk, 'read-only');
  const disk = new OverlayDisk(original);
  const post = (m: FromWorker): void => parentPort!.postMessage(m);
  const frames: [Uint8Array, number][] = [];
  const result = runPath({
    path: job.path, profile, images: job.images, workloads, quick: job.quick, seed: job.seed, mode: 'cycle', disk,
    tap: (frame, cycle) => void frames.push([frame.slice(), cycle]),
    progress: (workload) => post({ kind: 'progress', workload }),
    finished: (w, measurement, soFar) => post({
      kind: 'row', measurement, frequencyHz: soFar.frequencyHz, dataError: measurement.status === 'ok' ? dataError(w, measurement, soFar, original, disk) : '',
    }),
  });
  const capture = new PcapngWriter(result.frequencyHz);
  for (const [frame, cycle] of frames) capture.add(frame, cycle);
  return { kind: 'done', instructions: result.instructions, cycles: result.cycles, capture: capture.bytes() };
}

function answer(job: Job): FromWorker {
  try {
    return work(job);
  } catch (e) {
    return { kind: 'failed', message: e instanceof Error ? e.message : String(e) };
  }
}
parentPort!.on('message', (job: Job) => parentPort!.postMessage(answer(job)));
