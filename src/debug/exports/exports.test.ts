/** The exports of two short runs (an HVM guest on each extension), read by decoders of the test's own. Other programs read them in `npm run check:trace`. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import protobuf from 'protobufjs';
import { beforeAll, describe, expect, it } from 'vitest';
import { runPath } from '../../experiments/measure.js';
import { EXTENSIONS, type ExtensionName, type Images, imagesOf } from '../../experiments/paths.js';
import { WORKLOADS } from '../../experiments/workloads.js';
import { DOM0, GUEST } from '../../experiments/code-owners.js';
import { account, IDLE, ownerOf, TRANSITION } from '../../machine/attribution.js';
import type { Machine } from '../../machine/machine.js';
import { parseProfile } from '../../machine/profile.js';
import { exitReasonName } from '../exit-names.js';
import { ExitTimes } from './exit-times.js';
import { FORMAT_NAMES, type FormatName, formatOfName, startExport } from './formats.js';
import { PROBE, Probe } from '../../machine/probe.js';
import { Levels } from './levels.js';
import { subscribeMerged } from './merged-halts.js';
import { comparedPrograms } from './program-accounts.js';
import type { ProtoWriter } from './protobuf.js';

const ROOT = join(import.meta.dirname, '../../..');
const file = (name: string): { name: string; bytes: Uint8Array } => ({ name, bytes: readFileSync(join(ROOT, 'build', name)) });
const images: Images | undefined = existsSync(join(ROOT, 'build/guests/dom0.elf'))
  ? { hypervisor: file('hypervisor/xenolith.elf'), dom0: file('guests/dom0.elf'), native: file('guests/workload-native.elf'), hvm: file('guests/workload-hvm.elf'), pv: file('guests/workload-pv.elf') }
  : undefined;

interface Exported {
  readonly files: Record<FormatName, Uint8Array>;
  readonly exits: Map<string, number>;
  readonly times: ReturnType<ExitTimes['rows']>;
  /** Cycles by level, from the spans. */
  readonly levels: Map<number, number>;
  readonly machine: Machine;
  readonly result: string;
}

function exported(extension: ExtensionName, formats: readonly FormatName[]): Exported {
  const levels = new Map<number, number>(), chunks = new Map<FormatName, Uint8Array[]>(), profile = EXTENSIONS[extension];
  let machine!: Machine, times!: ExitTimes, finish = (): void => undefined;
  const result = runPath({
    path: 'hvm', images: images!, workloads: WORKLOADS.filter((w) => w.name === 'cpuid-exit' || w.name === 'disk-random-read'), quick: true, seed: 1, mode: 'cycle',
    profile: parseProfile(JSON.parse(readFileSync(join(ROOT, `profiles/${profile}.json`), 'utf8')), profile),
    observe: (m) => {
      machine = m;
      times = new ExitTimes(m);
      const spans = new Levels(m, ({ level, from, to }) => levels.set(level, (levels.get(level) ?? 0) + to - from));
      const running = formats.map((format) => {
        const own: Uint8Array[] = [];
        chunks.set(format, own);
        return startExport(format, {
          machine: m, programs: comparedPrograms(imagesOf('hvm', images!)), sink: (c) => own.push(c.slice()), writer: () => protobuf.Writer.create() as unknown as ProtoWriter, title: 'test', sampleCycles: 50_021,
        });
      });
      finish = () => {
        spans.finish();
        running.forEach((r) => r.finish());
      };
      const [samples] = running.flatMap((r) => r.samples ?? []);
      if (samples === undefined) return undefined;
      return { get next() { return samples.next; }, take: () => running.forEach((r) => r.samples?.take()) };
    },
  });
  finish();
  const files = Object.fromEntries([...chunks].map(([f, own]) => [f, Buffer.concat(own)])) as unknown as Record<FormatName, Uint8Array>;
  return { files, exits: machine.exitCounts(), times: times.rows(), levels, machine, result: JSON.stringify(result.measurements) };
}

/** Records of a xentrace file: event, time, words. Checks the windows on the way. */
function xentraceRecords(bytes: Uint8Array): { event: number; cycle: number; extra: number[] }[] {
  const v = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), out = [];
  for (let at = 0; at < bytes.length; ) {
    expect(v.getUint32(at, true)).toBe(0x2001_f003);
    const end = at + 12 + v.getUint32(at + 8, true);
    for (at += 12; at < end; ) {
      const header = v.getUint32(at, true), words = (header >>> 28) & 7;
      expect(header >>> 31).toBe(1);
      out.push({ event: header & 0x0fff_ffff, cycle: v.getUint32(at + 4, true) + v.getUint32(at + 8, true) * 2 ** 32, extra: Array.from({ length: words }, (_, i) => v.getUint32(at + 12 + 4 * i, true)) });
      at += 12 + 4 * words;
    }
    expect(at).toBe(end);
  }
  return out;
}

/** Enough of the trace's messages to find slices; field numbers as in the published schema. */
const SCHEMA = `syntax = "proto2";
message Trace { repeated Packet packet = 1; }
message Packet { optional uint64 timestamp = 8; optional Event event = 11; optional Interned interned = 12; optional Descriptor descriptor = 60; }
message Descriptor { optional uint64 uuid = 1; optional string name = 2; optional uint64 parent = 5; }
message Interned { repeated Name categories = 1; repeated Name names = 2; }
message Name { optional uint64 iid = 1; optional string name = 2; }
message Event { repeated uint64 category = 3 [packed = false]; optional int32 type = 9; optional uint64 name = 10; optional uint64 track = 11; }`;

describe.skipIf(images === undefined)('the exports of a run', () => {
  const runs = {} as Record<ExtensionName, Exported>;
  beforeAll(() => {
    runs.vtx = exported('vtx', FORMAT_NAMES);
    runs.svm = exported('svm', ['perfetto', 'xentrace']);
  }, 240_000);

  it.each(['vtx', 'svm'] as const)('%s: xentrace has the machine\'s exits by reason, in order of time, each in its domain', (extension) => {
    const { files, exits, machine } = runs[extension], counted = new Map<string, number>();
    let last = 0, current = -1;
    for (const { event, cycle, extra } of xentraceRecords(files.xentrace)) {
      expect(cycle).toBeGreaterThanOrEqual(last);
      last = cycle;
      if ((event & 0xf_f00f) === 0x2_1001 && ((event >>> 4) & 15) === 0) current = extra[0]! >>> 16;
      if (event !== 0x8_1102) continue;
      expect(current).toBe(1);
      const name = exitReasonName(machine.extension, extra[0]!);
      counted.set(name, (counted.get(name) ?? 0) + 1);
    }
    expect([...counted].sort()).toEqual([...exits].sort());
  });

  it.each(['vtx', 'svm'] as const)('%s: Perfetto slices are closed and have tracks for every level; one for each exit', (extension) => {
    const { files, exits } = runs[extension];
    const trace = protobuf.parse(SCHEMA).root.lookupType('Trace').decode(files.perfetto).toJSON() as { packet: { timestamp?: string; event?: { category?: string[]; type: number; track: string }; interned?: { categories?: { iid: string; name: string }[] }; descriptor?: { uuid: string; name?: string } }[] };
    const categories = new Map<string, string>(), tracks = new Map<string, string>(), open = new Set<string>();
    let slices = 0;
    for (const { event, interned, descriptor } of trace.packet) {
      for (const c of interned?.categories ?? []) categories.set(c.iid, c.name);
      if (descriptor !== undefined) tracks.set(descriptor.uuid, descriptor.name ?? '');
      if (event?.type === 1) {
        expect(open.has(event.track)).toBe(false);
        open.add(event.track);
        if (categories.get(event.category?.[0] ?? '') === 'exit') slices++;
      } else if (event?.type === 2) expect(open.delete(event.track)).toBe(true);
    }
    expect(open.size).toBe(0);
    expect(slices).toBe([...exits.values()].reduce((a, b) => a + b, 0));
    expect([...tracks.values()]).toEqual(expect.arrayContaining(['hypervisor', 'dom0', 'guest', 'transition', 'devices']));
  });

  it('stacks add up to the cycles of the run, and name functions', () => {
    const { files, machine } = runs.vtx, text = Buffer.from(files.folded).toString(), profile = JSON.parse(Buffer.from(files.speedscope).toString());
    expect(text.trim().split('\n').reduce((n, l) => n + Number(l.slice(l.lastIndexOf(' '))), 0)).toBe(machine.cycles);
    expect(profile.profiles[0].weights.reduce((a: number, b: number) => a + b, 0)).toBe(machine.cycles);
    expect(profile.profiles[0].samples.length).toBe(text.trim().split('\n').length);
    expect(text).toMatch(/^hypervisor;[a-z]\w+ \d+$/m);
  });

  it.each(['vtx', 'svm'] as const)('%s: the spans of the levels are the accounts of the cycles, to the cycle', (extension) => {
    const { levels, machine } = runs[extension];
    const sums = machine.attribution!.snapshot(machine.cycles), dom0 = [...sums.keys()].filter((a) => ownerOf(a) === DOM0);
    const total = (of: ReadonlyMap<number, number>): number => [...of.values()].reduce((a, b) => a + b, 0);
    for (const a of [TRANSITION, IDLE, ...dom0]) expect([a, levels.get(a)]).toEqual([a, sums.get(a)]);
    expect(dom0.length).toBe(3);
    // Between guest and hypervisor the price of the instruction that made the exit is seen differently.
    expect(total(levels)).toBe(total(sums));
    const guest = account(GUEST, 0);
    expect(Math.abs(levels.get(guest)! - sums.get(guest)!)).toBeLessThan(40 * [...runs[extension].exits.values()].reduce((a, b) => a + b, 0));
    expect(levels.get(IDLE)).toBeGreaterThan(0);
  });

  it('exit times have every ended exit; CPUID takes a few thousand cycles', () => {
    const { times, exits } = runs.vtx, cpuid = times.find((t) => t.reason === 'CPUID')!;
    expect(times.reduce((n, t) => n + t.samples, 0)).toBeGreaterThanOrEqual([...exits.values()].reduce((a, b) => a + b, 0) - 1);
    expect(cpuid.samples).toBe(exits.get('CPUID'));
    expect(cpuid.least).toBeGreaterThan(500);
    expect(cpuid.cycles / cpuid.samples).toBeLessThan(10_000);
  });

  it('listening changes nothing', () => {
    const quiet = exported('vtx', []);
    expect([quiet.machine.cycles, quiet.machine.instructions, quiet.result]).toEqual([runs.vtx.machine.cycles, runs.vtx.machine.instructions, runs.vtx.result]);
  }, 120_000);
});

it('a file\'s name says its format', () => {
  expect(['a.pftrace', 'a.perfetto-trace', 'b.xentrace', 'c.folded', 'd.speedscope.json', 'e.json', 'f'].map(formatOfName)).toEqual(['perfetto', 'perfetto', 'xentrace', 'folded', 'speedscope', 'events', 'events']);
});

it('a halt that the caller cut is told in one piece, and before what follows it', () => {
  const probe = new Probe(), told: number[][] = [];
  const { end } = subscribeMerged(probe, (kind, cycle, vcpu, a) => told.push([kind, cycle, vcpu, a]));
  for (const [kind, cycle, a] of [[PROBE.halt, 10, 5], [PROBE.halt, 30, 20], [PROBE.interrupt, 30, 59], [PROBE.halt, 50, 10], [PROBE.halt, 70, 15]] as const) probe.emit(kind, cycle, 0, a, 0, 0, 0);
  end();
  expect(told).toEqual([[PROBE.halt, 30, 0, 25], [PROBE.interrupt, 30, 0, 59], [PROBE.halt, 50, 0, 10], [PROBE.halt, 70, 0, 15]]);
});
