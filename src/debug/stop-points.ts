/**
 * Breakpoints, watchpoints, exit reasons and cycles that end a `continue`, numbered from 1.
 *
 * The machine knows linear addresses only; two points at one address are one of the machine's. Points that a step sets for itself
 * (`temporary`) are not shown.
 */

import type { Machine } from '../machine/machine.js';
import type { StopCondition, StopPoint } from './api.js';
import { SessionError } from './history.js';

interface Entry {
  readonly point: StopPoint;
  /** The machine's number of a watchpoint. */
  watch?: number | undefined;
}

/** A point as it is asked for, before it has a number. `temporary`: removed when it is hit. */
export type NewPoint = StopCondition & { readonly temporary?: boolean };

export class StopPoints {
  private readonly entries = new Map<number, Entry & { temporary: boolean }>();
  private readonly uses = new Map<bigint, number>();
  private next = 1;

  constructor(private readonly machine: Machine) {}

  get all(): readonly StopPoint[] {
    return [...this.entries.values()].map((e) => e.point);
  }
  get(id: number): StopPoint | undefined {
    return this.entries.get(id)?.point;
  }

  add(request: NewPoint): StopPoint {
    const { temporary = false, ...condition } = request, id = this.next++;
    const point: StopPoint = { id, enabled: true, ...condition }, entry: Entry & { temporary: boolean } = { point, temporary };
    this.arm(entry);
    this.entries.set(id, entry);
    return point;
  }
  /** @throws SessionError when there is none of that number */
  remove(id: number): void {
    const entry = this.need(id);
    if (entry.point.enabled) this.disarm(entry);
    this.entries.delete(id);
  }
  enable(id: number, enabled: boolean): StopPoint {
    const entry = this.need(id);
    if (entry.point.enabled === enabled) return entry.point;
    if (enabled) this.arm(entry);
    else this.disarm(entry);
    const point = { ...entry.point, enabled };
    this.entries.set(id, { ...entry, point });
    return point;
  }
  /** A point was hit: temporary ones have done their work. */
  hit(id: number): void {
    if (this.entries.get(id)?.temporary === true) this.remove(id);
  }

  /** The enabled breakpoint at an address. */
  breakpointAt(linear: bigint): StopPoint | undefined {
    for (const { point } of this.entries.values()) if (point.enabled && point.kind === 'breakpoint' && BigInt(point.linear) === linear) return point;
    return undefined;
  }
  byWatch(watch: number): StopPoint | undefined {
    for (const e of this.entries.values()) if (e.watch === watch) return e.point;
    return undefined;
  }
  /** Enabled points of a kind. */
  of<K extends StopPoint['kind']>(kind: K): Extract<StopPoint, { kind: K }>[] {
    return this.all.filter((p): p is Extract<StopPoint, { kind: K }> => p.enabled && p.kind === kind);
  }

  /** Sets a breakpoint of the machine for as long as it is held. */
  hold(linear: bigint): void {
    const n = this.uses.get(linear) ?? 0;
    if (n === 0) this.machine.breakpoints.set(linear);
    this.uses.set(linear, n + 1);
  }
  release(linear: bigint): void {
    const n = (this.uses.get(linear) ?? 0) - 1;
    if (n > 0) this.uses.set(linear, n);
    else if (this.uses.delete(linear)) this.machine.breakpoints.clear(linear);
  }

  private need(id: number): Entry & { temporary: boolean } {
    const entry = this.entries.get(id);
    if (entry === undefined) throw new SessionError(`there is no breakpoint ${id}`);
    return entry;
  }
  private arm(entry: Entry): void {
    const { point } = entry;
    if (point.kind === 'breakpoint') this.hold(BigInt(point.linear));
    else if (point.kind === 'watchpoint') entry.watch = this.machine.watchpoints.set({ linear: BigInt(point.linear), bytes: point.bytes, read: point.read, write: point.write });
  }
  private disarm(entry: Entry): void {
    if (entry.point.kind === 'breakpoint') this.release(BigInt(entry.point.linear));
    else if (entry.watch !== undefined) this.machine.watchpoints.clear(entry.watch);
    entry.watch = undefined;
  }
}
