/**
 * The trace formats by name: what each is, what its files are called, and how one is begun. docs/exports.md says how to open them.
 *
 * Nothing is subscribed before `startExport`, so a run without one pays nothing.
 */

import type { Machine } from '../../machine/machine.js';
import { PROBE_NAMES } from '../../machine/probe.js';
import { type ByteSink, ByteStream } from './byte-stream.js';
import { foldedStacks } from './folded.js';
import { subscribeMerged } from './merged-halts.js';
import { PerfettoTrace } from './perfetto.js';
import type { ProgramAccounts } from './program-accounts.js';
import type { ProtoWriter } from './protobuf.js';
import { Samples } from './samples.js';
import { speedscopeFile } from './speedscope.js';
import { XentraceFile } from './xentrace.js';

export const FORMATS = {
  events: { extensions: ['.jsonl'], what: 'every event as a line of JSON' },
  perfetto: { extensions: ['.pftrace', '.perfetto-trace'], what: 'Perfetto track events' },
  xentrace: { extensions: ['.xentrace'], what: 'binary of xentrace, for xenalyze' },
  folded: { extensions: ['.folded'], what: 'folded stacks, for flame graphs' },
  speedscope: { extensions: ['.speedscope.json'], what: 'speedscope profile' },
} as const satisfies Record<string, { extensions: readonly string[]; what: string }>;
export type FormatName = keyof typeof FORMATS;
export const FORMAT_NAMES = Object.keys(FORMATS) as FormatName[];

/** The format that a file's name asks for; `events` when it asks for none. */
export const formatOfName = (file: string): FormatName => FORMAT_NAMES.find((f) => FORMATS[f].extensions.some((e) => file.endsWith(e))) ?? 'events';

/** Cycles between samples: a prime, so that loops do not fall into step. */
export const SAMPLE_CYCLES = 19_997;

export interface ExportRequest {
  readonly machine: Machine;
  readonly programs: ProgramAccounts;
  readonly sink: ByteSink;
  /** Makes a protocol-buffers writer. */
  readonly writer: () => ProtoWriter;
  /** What the trace is called where the format has a place for it. */
  readonly title: string;
  readonly sampleCycles: number;
}
export interface RunningExport {
  /** Set by formats that sample: whoever runs the machine stops at `samples.next` and calls `samples.take()`. */
  readonly samples?: Samples;
  /** Writes the rest of the file. */
  finish(): void;
}

function events({ machine, sink }: ExportRequest): RunningExport {
  const out = new ByteStream(sink);
  const { end } = subscribeMerged(machine.probe, (kind, cycle, vcpu, a, b, c, d) => out.text(`${JSON.stringify({ event: PROBE_NAMES[kind] ?? kind, cycle, vcpu, a, b, c, d })}\n`));
  return { finish: () => (end(), out.flush()) };
}

function sampled({ machine, programs, sink, title, sampleCycles }: ExportRequest, write: typeof foldedStacks): RunningExport {
  const samples = new Samples(machine, programs, sampleCycles);
  return { samples, finish: () => write(samples.finish(), sink, title) };
}

/** Begins an export of what the machine does from now on. */
export function startExport(format: FormatName, request: ExportRequest): RunningExport {
  switch (format) {
    case 'events': return events(request);
    case 'perfetto': return new PerfettoTrace(request.machine, request.programs, request.sink, request.writer());
    case 'xentrace': return new XentraceFile(request.machine, request.programs, request.sink);
    case 'folded': return sampled(request, foldedStacks);
    case 'speedscope': return sampled(request, speedscopeFile);
  }
}
