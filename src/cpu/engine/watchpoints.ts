/**
 * Watchpoints: ranges of linear memory, in any address space, whose accesses stop the run after the instruction (or the delivery of an
 * event) that made them.
 *
 * The tags of watched pages in the software TLBs are withheld (mmu/tlb.ts), so every access to them comes to memory-access.ts or
 * string-page.ts, which take the address from the entry all the same and tell `note`. What counts is the processor's accesses by
 * linear address: operands, stacks, descriptor tables, frames of events. Fetches, page walks, VMCS and VMCB, and DMA do not count.
 *
 * Invariant: nothing of the run depends on them.
 */

import { WRITE, READ } from '../../mmu/format.js';
import { TAG_READ, TAG_WRITE, type TlbPool, WITHHELD } from '../../mmu/tlb.js';

/** A watched range. */
export interface Watchpoint {
  readonly linear: bigint;
  /** 1 to 1 MiB. */
  readonly bytes: number;
  readonly read: boolean;
  readonly write: boolean;
}
/** The first access to a watched range in an instruction. */
export interface WatchHit {
  readonly id: number;
  readonly vcpu: number;
  readonly linear: bigint;
  readonly bytes: number;
  readonly write: boolean;
}

/**
 * Hears of every store of the processor's to a page of memory, by any linear address, and stops nothing. The store follows at once, or (string
 * instructions) has just been made. @param at linear-memory address
 */
export type StoreListener = (at: number, size: number) => void;

export const MOST_WATCHED_BYTES = 1 << 20;
/** A page of linear memory as a number, exactly. */
const keyOf = (hi: number, lo: number): number => (hi >>> 0) * 0x10_0000 + (lo >>> 12);

export class Watchpoints {
  /** A tool's, not the machine's. */
  readonly outsideSnapshots = true;
  /** The access that the run is to stop for. */
  hit: WatchHit | undefined;
  private readonly points = new Map<number, Watchpoint>();
  /** READ and WRITE bits by page. */
  private readonly pages = new Map<number, number>();
  /** By page of the linear memory. */
  private readonly listeners = new Map<number, { readonly hpaPage: number; readonly heard: StoreListener }>();
  private next = 1;
  private lifted = false;
  /** Called when the first is set and when the last is cleared. */
  onChange: ((any: boolean) => void) | undefined;

  /** @param vcpu whose accesses these are @param onHit the run is to stop after the instruction that runs */
  constructor(
    private readonly tlb: TlbPool,
    private readonly vcpu: () => number,
    private readonly onHit: () => void,
  ) {}

  get any(): boolean {
    return this.points.size > 0 || this.listeners.size > 0;
  }
  all(): [id: number, point: Watchpoint][] {
    return [...this.points];
  }
  /** Sets one; returns its number. @throws RangeError for a range of no bytes or more than 1 MiB, and for one that watches neither reads nor writes */
  set(point: Watchpoint): number {
    const { linear, bytes, read, write } = point;
    if (!Number.isInteger(bytes) || bytes < 1 || bytes > MOST_WATCHED_BYTES) throw new RangeError(`a watchpoint of ${bytes} bytes: 1 to ${MOST_WATCHED_BYTES} are possible`);
    if (!read && !write) throw new RangeError('a watchpoint watches reads, writes or both');
    const id = this.next++;
    this.points.set(id, { linear: BigInt.asUintN(64, linear), bytes, read, write });
    this.changed();
    if (this.points.size === 1) this.onChange?.(true);
    return id;
  }
  clear(id: number): void {
    if (!this.points.delete(id)) return;
    this.changed();
    if (this.points.size === 0) this.onChange?.(false);
  }

  /** Tells of stores to a page of RAM. @param hpaPage its number @param page its number in the linear memory @returns the function that ends it */
  listen(hpaPage: number, page: number, heard: StoreListener): () => void {
    this.listeners.set(page, { hpaPage, heard });
    if (!this.lifted) this.lay();
    return () => {
      this.listeners.delete(page);
      this.changed();
    };
  }
  /** A store has been made, or is about to be and cannot fault any more. @param at linear-memory address */
  stored(at: number, size: number): void {
    const first = at >>> 12, last = (at + size - 1) >>> 12;
    for (let page = first; page <= last; page++) this.listeners.get(page)?.heard(at, size);
  }

  private changed(): void {
    this.pages.clear();
    for (const { linear, bytes, read, write } of this.points.values()) {
      const last = (linear + BigInt(bytes - 1)) >> 12n;
      for (let page = linear >> 12n; page <= last; page++) {
        const key = Number(page);
        this.pages.set(key, (this.pages.get(key) ?? 0) | (read ? READ : 0) | (write ? WRITE : 0));
      }
    }
    if (this.lifted) return;
    this.tlb.releaseAll(WITHHELD.watched);
    this.lay();
  }
  /** Takes everything out of the software TLBs until `lay`, for somebody who copies them. */
  lift(): void {
    if (this.any) this.tlb.releaseAll(WITHHELD.watched);
    this.lifted = true;
  }
  /** Puts it back, in all entries that there are now: they may be others than before. */
  lay(): void {
    this.lifted = false;
    this.tlb.onFill = this.any ? this.filled : undefined;
    for (const [key, access] of this.pages) {
      const lo = (key % 0x10_0000) * 4096, hi = Math.floor(key / 0x10_0000);
      // A read-modify-write looks at the tag for writing only.
      this.tlb.withholdEverywhere(hi, lo, TAG_WRITE, WITHHELD.watched);
      if ((access & READ) !== 0) this.tlb.withholdEverywhere(hi, lo, TAG_READ, WITHHELD.watched);
    }
    for (const { hpaPage } of this.listeners.values()) this.tlb.withholdHostPage(hpaPage, TAG_WRITE, WITHHELD.watched);
  }
  private readonly filled = (tlb: number, hi: number, lo: number): void => {
    const access = this.pages.get(keyOf(hi, lo));
    if (this.lifted) return;
    if (this.listeners.size > 0 && this.listeners.has(this.tlb.addressIn(tlb, lo) >>> 12)) this.tlb.withhold(tlb, hi, lo, TAG_WRITE, WITHHELD.watched);
    if (access === undefined) return;
    this.tlb.withhold(tlb, hi, lo, TAG_WRITE, WITHHELD.watched);
    if ((access & READ) !== 0) this.tlb.withhold(tlb, hi, lo, TAG_READ, WITHHELD.watched);
  };

  /** An access has been made, or is about to be and cannot fault any more. @param access READ, WRITE or both */
  note(hi: number, lo: number, size: number, access: number): void {
    const first = keyOf(hi, lo), inFirst = this.pages.get(first), last = (lo & 4095) + size > 4096 ? this.pages.get(first + 1) : undefined;
    if (this.hit !== undefined || (((inFirst ?? 0) | (last ?? 0)) & access) === 0) return;
    const from = (BigInt(hi >>> 0) << 32n) | BigInt(lo >>> 0), to = from + BigInt(size);
    for (const [id, p] of this.points) {
      const write = p.write && (access & WRITE) !== 0;
      if (from >= p.linear + BigInt(p.bytes) || to <= p.linear || !(write || (p.read && (access & READ) !== 0))) continue;
      this.hit = { id, vcpu: this.vcpu(), linear: from, bytes: size, write };
      return this.onHit();
    }
  }
}
