/**
 * Remembers who had the processor and what happened, for the timeline. Growing flat arrays; a replay of what is known adds nothing.
 *
 * Invariant: both lists are in order of cycles, so that a window is found by bisection.
 */

import { DOM0, GUEST, HYPERVISOR } from '../../experiments/code-owners.js';
import { ownerOf } from '../../machine/attribution.js';
import type { Machine } from '../../machine/machine.js';
import { PROBE } from '../../machine/probe.js';
import { momentText } from './moment-text.js';
import { type Lane, LANES, type Moment, type MomentKind, type TimelineWindow } from './window.js';

/** Moments that a window sends one by one. */
const MOST_MOMENTS = 400;
const KIND_OF: Readonly<Record<number, MomentKind>> = {
  [PROBE.vmExit]: 'exit', [PROBE.vmEntry]: 'entry', [PROBE.systemCall]: 'hypercall', [PROBE.interrupt]: 'interrupt', [PROBE.exception]: 'exception',
  [PROBE.ioRead]: 'device', [PROBE.ioWrite]: 'device', [PROBE.mmioRead]: 'device', [PROBE.mmioWrite]: 'device', [PROBE.diskRequest]: 'device',
  [PROBE.frameSent]: 'device', [PROBE.frameReceived]: 'device',
};
const NOBODY = 255;
const LANE_OF: Readonly<Record<number, number>> = { [GUEST]: LANES.indexOf('guest'), [HYPERVISOR]: LANES.indexOf('hypervisor'), [DOM0]: LANES.indexOf('dom0') };

/** Records of `width` doubles, the first of them the cycle. */
export class Records {
  words: Float64Array;
  count = 0;
  constructor(readonly width: number) {
    this.words = new Float64Array(1024 * width);
  }
  add(...record: number[]): void {
    if ((this.count + 1) * this.width > this.words.length) {
      const more = new Float64Array(this.words.length * 2);
      more.set(this.words);
      this.words = more;
    }
    this.words.set(record, this.count++ * this.width);
  }
  cycle(i: number): number {
    return this.words[i * this.width]!;
  }
  /** Cycle of the last record; a smaller one is a replay within one move. */
  get last(): number {
    return this.count === 0 ? -1 : this.cycle(this.count - 1);
  }
  /** Is there such a record already, in its cycle? */
  has(record: readonly number[]): boolean {
    for (let i = this.count - 1; i >= 0 && this.cycle(i) === record[0]; i--)
      if (record.every((value, k) => this.words[i * this.width + k] === value)) return true;
    return false;
  }
  /** The first record at or after a cycle. */
  from(cycle: number): number {
    let low = 0, high = this.count;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.cycle(middle) < cycle) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

export class TimelineRecorder {
  /** [cycle, lane]: from then on that lane runs. */
  private readonly spans = new Records(2);
  /** [cycle, kind, a, b, c] */
  private readonly moments = new Records(5);
  /** Whose code ran last. */
  private lane = NOBODY;
  /** Everything up to here is known. */
  private known = -1;

  constructor(private readonly machine: Machine) {
    machine.probe.subscribe((kind, cycle, _vcpu, a, b, c) => {
      if (KIND_OF[kind] !== undefined) this.remember(this.moments, cycle, kind, a, b, c);
    });
    machine.attribution?.subscribe((account, cycle) => {
      this.lane = LANE_OF[ownerOf(account)] ?? NOBODY;
      this.runs(cycle, this.lane);
    });
    // A VM transition is nobody's: until whoever comes next arrives.
    if (machine.attribution !== undefined) machine.probe.subscribe((_kind, cycle) => this.runs(cycle, NOBODY), [PROBE.vmExit, PROBE.vmEntry]);
    // All vCPUs halted for so many cycles: nobody ran, and then whoever did before.
    machine.probe.subscribe((_kind, cycle, _vcpu, skipped) => {
      this.runs(cycle - skipped, NOBODY);
      this.runs(cycle, this.lane);
    }, [PROBE.halt]);
  }

  private runs(cycle: number, lane: number): void {
    this.remember(this.spans, cycle, lane);
  }
  /** A replay is known by its cycle; in the last known cycle, where a run may go on, by the record itself. */
  private remember(records: Records, ...record: number[]): void {
    const cycle = record[0]!;
    if (cycle < this.known || cycle < records.last || (cycle === this.known && records.has(record))) return;
    records.add(...record);
  }

  /** After each operation: what has been recorded so far is not recorded again. */
  settle(): void {
    this.known = Math.max(this.known, this.machine.cycles);
  }
  /** The future will be another one than the one recorded. */
  forget(): void {
    const { cycles } = this.machine;
    this.known = cycles;
    this.spans.count = this.spans.from(cycles + 1);
    this.moments.count = this.moments.from(cycles + 1);
  }

  window(from: number, to: number, columns: number): TimelineWindow {
    const shares = Object.fromEntries(LANES.map((lane) => [lane, new Float32Array(columns)])) as Record<Lane, Float32Array>;
    const exits = new Uint32Array(columns), end = Math.max(this.known, this.machine.cycles);
    this.fillSpans(from, Math.min(to, end), (to - from) / columns, shares);
    const first = this.moments.from(from), last = this.moments.from(to);
    const moments: Moment[] = [], each = last - first <= MOST_MOMENTS;
    for (let i = first; i < last; i++) {
      const at = i * 5, kind = KIND_OF[this.moments.words[at + 1]!]!, column = Math.min(columns - 1, Math.floor(((this.moments.cycle(i) - from) * columns) / (to - from)));
      if (kind === 'exit') exits[column]!++;
      if (kind === 'device') shares.devices[column] = 1;
      if (each) moments.push(this.moment(at));
    }
    return { from, to, end, shares, exits, moments };
  }

  private moment(at: number): Moment {
    const w = this.moments.words, kind = w[at + 1]!;
    return { cycle: w[at]!, kind: KIND_OF[kind]!, text: momentText(this.machine.extension, kind, w[at + 2]!, w[at + 3]!, w[at + 4]!) ?? '' };
  }

  private fillSpans(from: number, to: number, width: number, shares: Record<Lane, Float32Array>): void {
    const { spans } = this;
    for (let i = Math.max(0, spans.from(from) - 1); i < spans.count; i++) {
      const begin = Math.max(from, spans.cycle(i)), end = Math.min(to, i + 1 < spans.count ? spans.cycle(i + 1) : to);
      if (spans.cycle(i) >= to) break;
      const lane = LANES[spans.words[i * 2 + 1]!];
      if (lane !== undefined && end > begin) addShare(shares[lane], (begin - from) / width, (end - from) / width);
    }
  }
}

/** Adds the stretch from `a` to `b`, in columns, to each column it touches. */
export function addShare(columns: Float32Array, a: number, b: number): void {
  const first = Math.floor(a), last = Math.min(columns.length - 1, Math.ceil(b) - 1);
  for (let c = first; c <= last; c++) columns[c] = Math.min(1, columns[c]! + Math.min(b, c + 1) - Math.max(a, c));
}
