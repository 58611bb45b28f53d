/** `--trace`: what the machine does, written to a file in one of the formats of debug/exports while it runs. */

import { closeSync, writeSync } from 'node:fs';
import protobuf from 'protobufjs/minimal.js';
import { type ExportRequest, FORMAT_NAMES, type FormatName, formatOfName, type RunningExport, startExport } from '../debug/exports/formats.js';
import type { ProtoWriter } from '../debug/exports/protobuf.js';
import type { Machine } from '../machine/machine.js';
import { reasonOf, UserError } from './errors.js';

export { FORMAT_NAMES, type FormatName } from '../debug/exports/formats.js';

/** A library's writer under the types that the core declares for it. */
const writer = (): ProtoWriter => protobuf.Writer.create() as unknown as ProtoWriter;

/** The format of a trace file: the one that was named, or what the file's name says. */
export const traceFormat = (file: string, named: FormatName | undefined): FormatName => named ?? formatOfName(file);

/** Formats of a comma-separated list. */
export function traceFormats(text: string): FormatName[] {
  const wanted = text.split(',').map((t) => t.trim()).filter((t) => t !== '');
  for (const w of wanted) if (!FORMAT_NAMES.includes(w as FormatName)) throw new UserError(`--trace: unknown format "${w}"; there are ${FORMAT_NAMES.join(', ')}`);
  if (wanted.length === 0) throw new UserError(`--trace: no format; there are ${FORMAT_NAMES.join(', ')}`);
  return [...new Set(wanted)] as FormatName[];
}

/** Writes all of `bytes`, or says which file could not be written. */
export function writeAll(fd: number, bytes: Uint8Array, file: string): void {
  try {
    for (let done = 0; done < bytes.length; ) done += writeSync(fd, bytes, done);
  } catch (e) {
    throw new UserError(`cannot write ${file}: ${reasonOf(e)}`);
  }
}

/** Begins a trace into the open file `fd`, which is closed when the trace is finished. */
export function traceTo(fd: number, file: string, format: FormatName, request: Omit<ExportRequest, 'sink' | 'writer'>): RunningExport {
  const running = startExport(format, { ...request, sink: (bytes) => writeAll(fd, bytes, file), writer });
  return {
    ...(running.samples === undefined ? {} : { samples: running.samples }),
    finish: () => {
      running.finish();
      closeSync(fd);
    },
  };
}

/** Runs the machine to a cycle, with a sample of it wherever one is due. */
export function runSampled(machine: Machine, limits: { cycle: number; instructions?: number }, running: RunningExport | undefined): ReturnType<Machine['run']> {
  const samples = running?.samples;
  if (samples === undefined) return machine.run(limits);
  for (;;) {
    const stop = machine.run({ ...limits, cycle: Math.min(limits.cycle, samples.next) });
    samples.take();
    if (stop.kind !== 'limit' || machine.cycles >= limits.cycle || (limits.instructions !== undefined && machine.instructions >= limits.instructions)) return stop;
  }
}
