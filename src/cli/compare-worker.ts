/**
 * A worker thread of `xenolith compare`: for every job that it is sent, one path on one machine, then the checks of its data.
 * A worker serves many jobs, because what Node has compiled for one machine serves the next.
 */

import { join } from 'node:path';
import { parentPort, workerData } from 'node:worker_threads';
import { ExitTimes } from '../debug/exports/exit-times.js';
import { type FormatName, FORMATS, type RunningExport, SAMPLE_CYCLES } from '../debug/exports/formats.js';
import { comparedPrograms } from '../debug/exports/program-accounts.js';
import { dataError } from '../experiments/data-checks.js';
import { type Measurement, runPath, type Sampling } from '../experiments/measure.js';
import { OverlayDisk } from '../experiments/overlay-disk.js';
import { DISK_SECTORS, type Images, imagesOf, type PathName } from '../experiments/paths.js';
import { PcapngWriter } from '../experiments/pcapng.js';
import { WORKLOADS } from '../experiments/workloads.js';
import type { EngineChoice } from '../machine/config.js';
import { SeededDisk } from '../machine/disks.js';
import { type CompiledCode, keepCompiledCode, takeCompiledCode } from '../machine/compiled-code.js';
import type { Machine } from '../machine/machine.js';
import { parseProfile } from '../machine/profile.js';
import { FileDisk, openOutput } from './files.js';
import { readRegions } from './kept-regions.js';
import { makingRegion } from './region-modules.js';
import { traceTo } from './trace-output.js';

/** What a worker is started with. */
export interface WorkerData {
  /** File of regions that earlier comparisons have compiled; undefined: each compiles its own. */
  readonly regions: string | undefined;
}
export interface Job {
  readonly path: PathName;
  readonly profileName: string;
  readonly profile: unknown;
  readonly images: Images;
  readonly workloads: readonly string[];
  readonly quick: boolean;
  readonly seed: number;
  readonly disk: string | undefined;
  readonly engine: EngineChoice;
  /** What the run's files are called, and the folder for traces in each of these formats. */
  readonly name: string;
  readonly traces: string;
  readonly formats: readonly FormatName[];
}
export type FromWorker =
  | { readonly kind: 'progress'; readonly workload: string }
  /** A workload is finished; its data has been checked. */
  | { readonly kind: 'row'; readonly measurement: Measurement; readonly dataError: string; readonly frequencyHz: number }
  | { readonly kind: 'done'; readonly instructions: number; readonly cycles: number; readonly capture: readonly Uint8Array[]; readonly exits: string; readonly regions: readonly CompiledCode[] }
  | { readonly kind: 'failed'; readonly message: string };

const { regions } = workerData as WorkerData, keeps = regions !== undefined;
if (keeps) keepCompiledCode(readRegions(regions));

function work(job: Job): FromWorker {
  const profile = parseProfile(job.profile, job.profileName);
  const workloads = WORKLOADS.filter((w) => job.workloads.includes(w.name));
  const original = job.disk === undefined ? new SeededDisk(DISK_SECTORS, job.seed) : new FileDisk(job.disk, 'read-only');
  const disk = new OverlayDisk(original);
  const post = (m: FromWorker): void => parentPort!.postMessage(m);
  const frames: [Uint8Array, number][] = [];
  let exits: ExitTimes | undefined;
  const running: RunningExport[] = [];
  const observe = (machine: Machine): Sampling | undefined => {
    exits = new ExitTimes(machine);
    const programs = comparedPrograms(imagesOf(job.path, job.images));
    for (const format of job.formats) {
      const file = join(job.traces, `${job.name}${FORMATS[format].extensions[0]}`);
      running.push(traceTo(openOutput(file), file, format, { machine, programs, title: job.name, sampleCycles: SAMPLE_CYCLES }));
    }
    return samplingOf(running);
  };
  const result = runPath({
    path: job.path, profile, images: job.images, workloads, quick: job.quick, seed: job.seed, mode: 'cycle', engine: job.engine, makingRegion, disk, observe,
    tap: (frame, cycle) => void frames.push([frame.slice(), cycle]),
    progress: (workload) => post({ kind: 'progress', workload }),
    finished: (w, measurement, soFar) => post({
      kind: 'row', measurement, frequencyHz: soFar.frequencyHz, dataError: measurement.status === 'ok' ? dataError(w, measurement, soFar, original, disk) : '',
    }),
  });
  for (const r of running) r.finish();
  const capture: Uint8Array[] = [];
  const wire = new PcapngWriter(result.frequencyHz, (block) => capture.push(block));
  for (const [frame, cycle] of frames) wire.add(frame, cycle);
  return { kind: 'done', instructions: result.instructions, cycles: result.cycles, capture, exits: exits?.table(job.name) ?? '', regions: keeps ? takeCompiledCode() : [] };
}

/** One cut for all formats that sample: they take the same interval, so their samples are due together. */
function samplingOf(running: readonly RunningExport[]): Sampling | undefined {
  const all = running.flatMap((r) => (r.samples === undefined ? [] : [r.samples]));
  const [first] = all;
  return first === undefined ? undefined : {
    get next() {
      return first.next;
    },
    take: () => {
      for (const samples of all) samples.take();
    },
  };
}

function answer(job: Job): FromWorker {
  try {
    return work(job);
  } catch (e) {
    return { kind: 'failed', message: e instanceof Error ? e.message : String(e) };
  }
}
parentPort!.on('message', (job: Job) => parentPort!.postMessage(answer(job)));
