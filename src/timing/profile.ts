/**
 * The timing part of a processor profile: which figures there are, and how a parsed `profiles/NAME.json` becomes numbers.
 *
 * Each figure of the file is `{ "value": number, "unit": "...", "source": "..." }`. A source names a published figure by its id and
 * document, or begins with "assumption:" and says why. Nothing here has a default: a profile that lacks a figure, or gives it in
 * another unit or without a source, is refused with one line that names the figure.
 */

import { COST_CLASSES, type CostClass } from './cost-classes.js';

export type Unit = 'Hz' | 'cycles' | 'ns' | 'us' | 'bytes' | 'ways' | 'entries' | 'per cycle' | 'MiB/s' | 'Mbit/s' | 'bits' | 'boolean';

/** Every figure by its dotted path: unit, smallest and largest value that make sense. */
const FIGURES = {
  'frequency_hz': ['Hz', 1e8, 1e10],
  'core.width': ['per cycle', 1, 16],
  'core.window': ['entries', 1, 1024],
  'core.store_queue': ['entries', 1, 256],
  'core.mispredict': ['cycles', 0, 100],
  'core.units.alu': ['per cycle', 1, 8],
  'core.units.load': ['per cycle', 1, 8],
  'core.units.store': ['per cycle', 1, 8],
  'core.units.multiply': ['per cycle', 1, 8],
  'core.units.branch': ['per cycle', 1, 8],
  'core.units.fp_add': ['per cycle', 1, 8],
  'core.units.fp_multiply': ['per cycle', 1, 8],
  'core.units.vector': ['per cycle', 1, 8],
  'predictor.counters': ['entries', 1, 65536],
  'predictor.history': ['bits', 0, 16],
  'predictor.targets': ['entries', 1, 16384],
  'predictor.returns': ['entries', 1, 64],
  'cache.line': ['bytes', 64, 64],
  'cache.l1i.size': ['bytes', 4096, 1 << 20],
  'cache.l1i.ways': ['ways', 1, 64],
  'cache.l1d.size': ['bytes', 4096, 1 << 20],
  'cache.l1d.ways': ['ways', 1, 64],
  'cache.l1d.latency': ['cycles', 1, 100],
  'cache.l2.size': ['bytes', 4096, 1 << 24],
  'cache.l2.ways': ['ways', 1, 64],
  'cache.l2.latency': ['cycles', 1, 200],
  'cache.l2.exclusive': ['boolean', 0, 1],
  'cache.l3.size': ['bytes', 0, 1 << 25],
  'cache.l3.ways': ['ways', 1, 64],
  'cache.l3.latency': ['cycles', 1, 500],
  'cache.l3.exclusive': ['boolean', 0, 1],
  'memory.latency': ['ns', 1, 2000],
  'memory.stream_line': ['cycles', 0, 1000],
  'prefetch.streams': ['entries', 1, 64],
  'tlb.itlb.entries': ['entries', 1, 4096],
  'tlb.itlb.ways': ['ways', 1, 4096],
  'tlb.dtlb.entries': ['entries', 1, 4096],
  'tlb.dtlb.ways': ['ways', 1, 4096],
  'tlb.large.entries': ['entries', 1, 4096],
  'tlb.large.ways': ['ways', 1, 4096],
  'tlb.l2.entries': ['entries', 1, 8192],
  'tlb.l2.ways': ['ways', 1, 4096],
  'tlb.l2.latency': ['cycles', 0, 200],
  'tlb.walk_cache.entries': ['entries', 1, 256],
  'tlb.walk_cache.latency': ['cycles', 0, 100],
  'transition.entry': ['cycles', 1, 100000],
  'transition.exit': ['cycles', 1, 100000],
  'transition.field': ['cycles', 0, 1000],
  'transition.segment': ['cycles', 0, 1000],
  'transition.check': ['cycles', 0, 1000],
  'transition.msr': ['cycles', 0, 10000],
  'transition.tlb_flush': ['cycles', 0, 10000],
  'transition.injection': ['cycles', 0, 10000],
  'delivery.interrupt': ['cycles', 1, 100000],
  'delivery.exception': ['cycles', 1, 100000],
  'delivery.software': ['cycles', 1, 100000],
  'delivery.privilege_change': ['cycles', 0, 100000],
  'device.port_read': ['ns', 0, 100000],
  'device.port_write': ['ns', 0, 100000],
  'device.mmio_read': ['ns', 0, 100000],
  'device.mmio_write': ['ns', 0, 100000],
  'device.local_apic': ['cycles', 0, 10000],
  'platform.apic_timer_hz': ['Hz', 1e6, 1e10],
  'platform.disk.latency_us': ['us', 0, 1e6],
  'platform.disk.rate_mib_s': ['MiB/s', 0.01, 1e6],
  'platform.wire.latency_us': ['us', 0, 1e6],
  'platform.wire.rate_mbit_s': ['Mbit/s', 0.01, 1e6],
} as const satisfies Record<string, readonly [Unit, number, number]>;

export type FigurePath = keyof typeof FIGURES;

/** The figures as numbers, in the units of the table above. */
export interface TimingProfile {
  readonly name: string;
  readonly figures: Readonly<Record<FigurePath, number>>;
  /** Cycles by class of instruction (cost-classes.ts): the latency, or the whole cost where the class is not pipelined. */
  readonly costs: Readonly<Record<CostClass, number>>;
}

/** What is wrong with a profile, in one line. */
export class TimingProfileError extends Error {}

function lookUp(json: unknown, path: string): unknown {
  let at = json;
  for (const key of path.split('.')) at = typeof at === 'object' && at !== null ? (at as Record<string, unknown>)[key] : undefined;
  return at;
}

/** Reads one figure strictly. Throws TimingProfileError naming profile and figure. */
function read(name: string, json: unknown, path: string, unit: Unit, min: number, max: number): number {
  const fail = (what: string): never => {
    throw new TimingProfileError(`profile ${name}: figure "${path}" ${what}`);
  };
  const f = lookUp(json, path) as { value?: unknown; unit?: unknown; source?: unknown } | undefined;
  if (f === undefined) return fail('is missing');
  if (typeof f !== 'object' || f === null || typeof f.value !== 'number' || !Number.isFinite(f.value)) return fail('has no number as its "value"');
  if (f.unit !== unit) return fail(`is in "${String(f.unit)}", not in "${unit}"`);
  if (typeof f.source !== 'string' || f.source.length === 0) return fail('has no "source"');
  if (f.value < min || f.value > max) return fail(`is ${f.value}, not between ${min} and ${max} ${unit}`);
  return f.value;
}

/** The timing part of a parsed profile. Throws TimingProfileError at the first figure that is missing or wrong. */
export function readTimingProfile(json: unknown): TimingProfile {
  const named = lookUp(json, 'name');
  if (typeof named !== 'string') throw new TimingProfileError('not a processor profile: it has no "name"');
  const figures = {} as Record<FigurePath, number>;
  for (const [path, [unit, min, max]] of Object.entries(FIGURES)) figures[path as FigurePath] = read(named, json, path, unit, min, max);
  const costs = {} as Record<CostClass, number>;
  for (const c of COST_CLASSES) costs[c] = read(named, json, `instructions.${c}`, 'cycles', 0, 100000);
  checkShapes(named, figures);
  // Copies: V8 keeps an object that properties were added to by name as a hash table, and these are read all the time.
  return { name: named, figures: { ...figures }, costs: { ...costs } };
}

/** Caches and TLBs must divide into sets whose number is a power of two; the line is 64 bytes. */
function checkShapes(name: string, f: Record<FigurePath, number>): void {
  const shapes: [FigurePath, FigurePath, number][] = [
    ['cache.l1i.size', 'cache.l1i.ways', 64],
    ['cache.l1d.size', 'cache.l1d.ways', 64],
    ['cache.l2.size', 'cache.l2.ways', 64],
    ['cache.l3.size', 'cache.l3.ways', 64],
    ['tlb.itlb.entries', 'tlb.itlb.ways', 1],
    ['tlb.dtlb.entries', 'tlb.dtlb.ways', 1],
    ['tlb.large.entries', 'tlb.large.ways', 1],
    ['tlb.l2.entries', 'tlb.l2.ways', 1],
  ];
  for (const [size, ways, unit] of shapes) {
    const sets = f[size] / unit / f[ways];
    if (f[size] !== 0 && (!Number.isInteger(sets) || (sets & (sets - 1)) !== 0))
      throw new TimingProfileError(`profile ${name}: figure "${size}" (${f[size]}) with ${f[ways]} ways makes ${sets} sets, not a power of two`);
  }
  for (const p of ['predictor.counters', 'predictor.targets'] as const)
    if ((f[p] & (f[p] - 1)) !== 0) throw new TimingProfileError(`profile ${name}: figure "${p}" (${f[p]}) is not a power of two`);
}
