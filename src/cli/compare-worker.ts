/**
 * A worker thread of `xenolith compare`: for every job that it is sent, one path on one machine, then the checks of its data.
 * A worker serves many jobs, because what Node has compiled for one machine serves the next.
 */

import { parentPort } from 'node:worker_threads';
import { dataError } from '../experiments/data-checks.js';
import { runPath, type PathResult } from '../experiments/measure.js';
import { OverlayDisk } from '../experiments/overlay-disk.js';
import type { Images, PathName } from '../experiments/paths.js';
import { PcapngWriter } from '../experiments/pcapng.js';
import { WORKLOADS } from '../experiments/workloads.js';
import { SeededDisk } from '../machine/config.js';
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
  | { readonly kind: 'done'; readonly result: PathResult; readonly dataErrors: readonly string[]; readonly capture: Uint8Array }
  | { readonly kind: 'failed'; readonly message: string };

const DISK_SECTORS = 262_144;

function work(job: Job): FromWorker {
  const profile = parseProfile(job.profile, job.profileName);
  const workloads = WORKLOADS.filter((w) => job.workloads.includes(w.name));
  const original = job.disk === undefined ? new SeededDisk(DISK_SECTORS, job.seed) : new FileDisk(job.disk, 'read-only');
  const disk = new OverlayDisk(original);
  let capture: PcapngWriter | undefined;
  const frames: [Uint8Array, number][] = [];
  const result = runPath({
    path: job.path, profile, images: job.images, workloads, quick: job.quick, seed: job.seed, mode: 'cycle', disk,
    tap: (frame, cycle) => void frames.push([frame.slice(), cycle]),
    progress: (workload) => parentPort!.postMessage({ kind: 'progress', workload } satisfies FromWorker),
  });
  capture = new PcapngWriter(result.frequencyHz);
  for (const [frame, cycle] of frames) capture.add(frame, cycle);
  const dataErrors = workloads.map((w, i) => {
    const m = result.measurements[i]!;
    return m.status === 'ok' ? dataError(w, m, result, original, disk) : '';
  });
  return { kind: 'done', result, dataErrors, capture: capture.bytes() };
}

function answer(job: Job): FromWorker {
  try {
    return work(job);
  } catch (e) {
    return { kind: 'failed', message: e instanceof Error ? e.message : String(e) };
  }
}
parentPort!.on('message', (job: Job) => parentPort!.postMessage(answer(job)));
