/**
 * How long exits take, by reason: the table of `perf kvm stat report`. An exit lasts until the same guest processor (VMCS or VMCB) runs
 * again, whoever ran in between; one that never ends is not counted as a sample.
 */

import type { Machine } from '../../machine/machine.js';
import { PROBE } from '../../machine/probe.js';
import { exitReasonName } from '../exit-names.js';

/** Cycles of the exits with one reason. */
export interface ExitTime {
  readonly reason: string;
  readonly samples: number;
  readonly cycles: number;
  readonly least: number;
  readonly most: number;
  /** Standard deviation of the mean, as a share of the mean (0 for a single sample). */
  readonly deviation: number;
}

interface Sum {
  samples: number;
  cycles: number;
  least: number;
  most: number;
  mean: number;
  /** Sum of squared distances from the mean (Welford's method). */
  squares: number;
}

export class ExitTimes {
  private readonly sums = new Map<number, Sum>();
  private readonly entered: number[] = [];
  private readonly open = new Map<number, { code: number; cycle: number }>();

  /** Starts counting. */
  constructor(private readonly machine: Machine) {
    machine.probe.subscribe((kind, cycle, vcpu, a, _b, c) => (kind === PROBE.vmExit ? this.exit(cycle, vcpu, a) : this.entry(cycle, vcpu, c)), [PROBE.vmExit, PROBE.vmEntry]);
  }

  private exit(cycle: number, vcpu: number, code: number): void {
    const block = this.entered[vcpu];
    if (block !== undefined) this.open.set(block, { code, cycle });
  }
  private entry(cycle: number, vcpu: number, block: number): void {
    this.entered[vcpu] = block;
    const open = this.open.get(block);
    if (open === undefined) return;
    this.open.delete(block);
    let sum = this.sums.get(open.code);
    if (sum === undefined) this.sums.set(open.code, (sum = { samples: 0, cycles: 0, least: Infinity, most: 0, mean: 0, squares: 0 }));
    const took = cycle - open.cycle, distance = took - sum.mean;
    sum.samples++;
    sum.cycles += took;
    sum.least = Math.min(sum.least, took);
    sum.most = Math.max(sum.most, took);
    sum.mean += distance / sum.samples;
    sum.squares += distance * (took - sum.mean);
  }

  /** The rows so far, most samples first. */
  rows(): ExitTime[] {
    return [...this.sums]
      .map(([code, s]) => ({
        reason: exitReasonName(this.machine.extension, code), samples: s.samples, cycles: s.cycles, least: s.least, most: s.most,
        deviation: s.samples < 2 || s.mean === 0 ? 0 : Math.sqrt(s.squares / (s.samples - 1) / s.samples) / s.mean,
      }))
      .sort((x, y) => y.samples - x.samples || (x.reason < y.reason ? -1 : 1));
  }
  /** The rows as `perf kvm stat report` prints them, with the cycles beside the microseconds. */
  table(title: string): string {
    return exitTable(title, this.rows(), this.machine.frequencyHz);
  }
}

const COLUMNS: readonly [string, number][] = [
  ['VM-EXIT', 24], ['Samples', 11], ['Samples%', 10], ['Time%', 10], ['Min Time', 12], ['Max Time', 12], ['Avg time', 25], ['Min cycles', 12], ['Max cycles', 12], ['Avg cycles', 12],
];

/** @param frequencyHz cycles a second: what a microsecond is */
export function exitTable(title: string, rows: readonly ExitTime[], frequencyHz: number): string {
  const samples = rows.reduce((n, r) => n + r.samples, 0), cycles = rows.reduce((n, r) => n + r.cycles, 0);
  const us = (c: number): string => `${((c * 1e6) / frequencyHz).toFixed(2)}us`;
  const share = (part: number, of: number): string => `${of === 0 ? '0.00' : ((100 * part) / of).toFixed(2)}%`;
  const line = (cells: readonly string[]): string => cells.map((cell, i) => cell.padStart(COLUMNS[i]![1])).join(' ').trimEnd();
  const body = rows.map((r) => line([
    r.reason, String(r.samples), share(r.samples, samples), share(r.cycles, cycles), us(r.least), us(r.most),
    `${us(r.cycles / r.samples)} ( +- ${(100 * r.deviation).toFixed(2).padStart(6)}% )`, String(r.least), String(r.most), (r.cycles / r.samples).toFixed(1),
  ]));
  return [`${title}:`, '', line(COLUMNS.map(([name]) => name)), '', ...body, '', `Total Samples:${samples}, Total events handled time:${us(cycles)} (${cycles} cycles).`, ''].join('\n');
}
