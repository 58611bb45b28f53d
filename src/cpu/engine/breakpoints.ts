/**
 * Breakpoints: the records that begin at the low 12 bits of a breakpoint's linear address, in every decoded page, have the `breakpoint`
 * handler. It asks the vCPU whether the whole address is one, and goes on with the record's own handler where it is not.
 *
 * So breakpoints cost nothing anywhere else, hold in every address space, and follow code that is decoded later.
 *
 * Invariant: nothing of the run depends on them. A record's own handler is kept here while the patch stands in its place; whoever wants
 * to know what a record does asks `Engine.handlerOf`.
 */

import type { LinearMemory } from '../../mem/linear-memory.js';
import type { CodeCache } from './code-cache.js';
import { PAGE_HEADER, R } from './record.js';

export class Breakpoints {
  /** A tool's, not the machine's. */
  readonly outsideSnapshots = true;
  private readonly addresses = new Set<bigint>();
  /** How many of them have these low 12 bits. */
  private readonly offsets = new Uint16Array(4096);
  private readonly own = new Map<number, number>();
  private lifted = false;
  /** Called before records change: whoever has made something of them gives it up. */
  onChange: (() => void) | undefined;

  /** @param handler table index of the `breakpoint` handler @param refetch that of records that have been given up */
  constructor(
    private readonly m: LinearMemory,
    private readonly cache: CodeCache,
    private readonly handler: number,
    private readonly refetch: number,
  ) {}

  /** Are there any? */
  get any(): boolean {
    return this.addresses.size > 0;
  }
  /** All linear addresses, in the order in which they were set. */
  all(): bigint[] {
    return [...this.addresses];
  }
  set(linear: bigint): void {
    const address = BigInt.asUintN(64, linear), off = Number(address & 0xfffn);
    if (this.addresses.has(address)) return;
    this.onChange?.();
    this.addresses.add(address);
    if (this.offsets[off]!++ === 0 && !this.lifted) for (const record of this.cache.recordsAt(off)) this.patch(record);
  }
  clear(linear: bigint): void {
    const address = BigInt.asUintN(64, linear), off = Number(address & 0xfffn);
    if (!this.addresses.delete(address)) return;
    this.onChange?.();
    if (--this.offsets[off]! === 0 && !this.lifted) for (const record of this.cache.recordsAt(off)) this.restore(record);
  }

  /** Is there one at this address? @param hi upper half @param lo lower half */
  at(hi: number, lo: number): boolean {
    return this.offsets[lo & 4095] !== 0 && this.addresses.has((BigInt(hi >>> 0) << 32n) | BigInt(lo >>> 0));
  }
  /** The record's own handler. */
  handlerOf(record: number): number {
    const handler = this.m.u32[(record + R.handler) >>> 2]!;
    return handler === this.handler ? this.own.get(record)! : handler;
  }

  /** A run has been decoded. @param page structure @param offsets where instructions begin */
  decoded(page: number, offsets: readonly number[]): void {
    if (this.addresses.size === 0 || this.lifted) return;
    for (const off of offsets) if (this.offsets[off] !== 0) this.patch(this.m.u32[(page + PAGE_HEADER + 4 * off) >>> 2]!);
  }
  /** Takes the patches out of the records until `lay`, for somebody who copies them. */
  lift(): void {
    for (const record of this.own.keys()) this.restore(record);
    this.lifted = true;
  }
  /** Puts the patches back, in all records that there are now: they may be others than before. */
  lay(): void {
    this.lifted = false;
    this.own.clear();
    for (const address of this.addresses) for (const record of this.cache.recordsAt(Number(address & 0xfffn))) this.patch(record);
  }
  /** All records have been given up. */
  forget(): void {
    this.own.clear();
  }

  private patch(record: number): void {
    const { u32 } = this.m, at = (record + R.handler) >>> 2, handler = u32[at]!;
    if (handler === this.handler || handler === this.refetch) return;
    this.own.set(record, handler);
    u32[at] = this.handler;
  }
  private restore(record: number): void {
    const { u32 } = this.m, at = (record + R.handler) >>> 2;
    if (u32[at] === this.handler) u32[at] = this.own.get(record)!;
    this.own.delete(record);
  }
}
