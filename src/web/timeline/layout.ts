/** Scale of the timeline: cycles to pixels and back, zoom, pan, and where the axis has its marks. Pure. */

/** The stretch of cycles in sight. */
export interface Range {
  readonly from: number;
  readonly to: number;
}

/** Fewest cycles that a window shows. */
export const SMALLEST = 20;

export const toPixel = (r: Range, width: number, cycle: number): number => ((cycle - r.from) / (r.to - r.from)) * width;
export const toCycle = (r: Range, width: number, pixel: number): number => r.from + (pixel / width) * (r.to - r.from);

/** Keeps a range inside 0..end, as wide as it was where that is possible. */
export function within(r: Range, end: number): Range {
  const most = Math.max(end, SMALLEST), width = Math.min(Math.max(r.to - r.from, SMALLEST), most);
  const from = Math.min(Math.max(0, r.from), most - width);
  return { from, to: from + width };
}

/** @param factor below 1: nearer @param around the cycle that stays where it is */
export const zoom = (r: Range, factor: number, around: number, end: number): Range =>
  within({ from: around - (around - r.from) * factor, to: around + (r.to - around) * factor }, end);

export const pan = (r: Range, cycles: number, end: number): Range => within({ from: r.from + cycles, to: r.to + cycles }, end);

/** The range that shows a cycle: the same where it is in sight already, else moved so that the cycle is in its last fifth. */
export function reveal(r: Range, cycle: number, end: number): Range {
  if (cycle >= r.from && cycle <= r.to) return within(r, end);
  const width = r.to - r.from;
  return within({ from: cycle - width * 0.8, to: cycle + width * 0.2 }, end);
}

/** Cycles of the axis' marks: 1, 2 or 5 times a power of ten apart, at most `most` of them. */
export function marks(r: Range, most: number): number[] {
  const rough = (r.to - r.from) / most, power = 10 ** Math.floor(Math.log10(rough));
  const step = Math.max(1, [1, 2, 5, 10].map((n) => n * power).find((n) => n >= rough)!);
  const out: number[] = [];
  for (let at = Math.ceil(r.from / step) * step; at <= r.to; at += step) out.push(at);
  return out;
}

/** A mark's cycle in as many digits as tell it from its neighbours. @param step cycles between two marks */
export function markText(cycle: number, step: number): string {
  const [unit, size] = ([['G', 1e9], ['M', 1e6], ['k', 1e3]] as const).find(([, s]) => cycle >= s) ?? ['', 0];
  const decimals = size === 0 ? Infinity : Math.max(0, Math.ceil(Math.log10(size / step) - 1e-9));
  if (decimals <= 2) return `${(cycle / size).toFixed(decimals)} ${unit}`;
  return cycle.toLocaleString('en-US');
}
