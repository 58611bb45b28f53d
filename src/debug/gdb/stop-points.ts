/**
 * Breakpoints and watchpoints of a client: Z0 to Z4. gdb manual, E.2 "Packets", `Z type,addr,kind`.
 *
 * A software breakpoint changes no memory here: both kinds stop before the instruction at a linear address, in whichever address space it is executed.
 * What differs is what gdb is told.
 */

import type { Machine } from '../../machine/machine.js';
import { parseNumber } from './hex.js';

export type PointKind = 'swbreak' | 'hwbreak' | 'watch' | 'rwatch' | 'awatch';
const KINDS: readonly PointKind[] = ['swbreak', 'hwbreak', 'watch', 'rwatch', 'awatch'];
const LONGEST_WATCH = 4096;

interface Point {
  readonly kind: PointKind;
  readonly linear: bigint;
  /** Number that the machine gave a watchpoint. */
  readonly id: number;
}

export class StopPoints {
  private readonly points = new Map<string, Point>();

  constructor(private readonly machine: Machine) {}

  /** `Z` and `z` packets without their first letter: `type,addr,kind[;conditions]`. The reply's text. */
  change(insert: boolean, text: string): string {
    const [type = '', address = '', length = ''] = text.split(';')[0]!.split(',');
    const kind = KINDS[/^[0-4]$/.test(type) ? Number(type) : -1], linear = parseNumber(address), bytes = parseNumber(length);
    if (kind === undefined) return '';
    if (linear === undefined || bytes === undefined) return 'E01';
    const key = `${type},${linear.toString(16)},${bytes}`;
    if (insert) return this.points.has(key) ? 'OK' : this.insert(key, kind, linear, Number(bytes));
    this.remove(key);
    return 'OK';
  }

  private insert(key: string, kind: PointKind, linear: bigint, bytes: number): string {
    const { machine } = this;
    if (kind === 'swbreak' || kind === 'hwbreak') {
      machine.breakpoints.set(linear);
      this.points.set(key, { kind, linear, id: -1 });
      return 'OK';
    }
    if (bytes < 1 || bytes > LONGEST_WATCH) return 'E16';
    const id = machine.watchpoints.set({ linear, bytes, read: kind !== 'watch', write: kind !== 'rwatch' });
    this.points.set(key, { kind, linear, id });
    return 'OK';
  }

  private remove(key: string): void {
    const point = this.points.get(key);
    if (point === undefined) return;
    this.points.delete(key);
    if (point.id >= 0) this.machine.watchpoints.clear(point.id);
    else if (![...this.points.values()].some((p) => p.id < 0 && p.linear === point.linear)) this.machine.breakpoints.clear(point.linear);
  }

  /** The client has gone: nothing of its stays. */
  clear(): void {
    for (const key of [...this.points.keys()]) this.remove(key);
  }

  /** The kind by which a breakpoint at this address was asked for. */
  breakpointAt(linear: bigint): PointKind {
    return [...this.points.values()].find((p) => p.id < 0 && p.linear === linear)?.kind ?? 'swbreak';
  }
  /** Kind and address of a watchpoint. */
  watchpoint(id: number): { kind: PointKind; linear: bigint } | undefined {
    return [...this.points.values()].find((p) => p.id === id);
  }
}
