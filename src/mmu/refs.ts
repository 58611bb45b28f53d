/**
 * Reading and writing paging-structure entries, and the list of what a translation touched.
 *
 * Invariant: no allocation and no BigInt here; an entry arrives as two 32-bit halves in `lo` and `hi`.
 */

import type { LinearMemory } from '../mem/linear-memory.js';
import type { PhysicalMemory } from '../mem/physical.js';

/** A two-dimensional walk reads at most 4 x 5 + 4 entries; updates of accessed and dirty flags come on top. */
const MAX_REFS = 64;

export class TableMemory {
  /** The entry read last. */
  lo = 0;
  hi = 0;
  /** Host-physical addresses that the translation read, in order; `refCount` of them count. The timing core charges each. */
  readonly refs = new Float64Array(MAX_REFS);
  refCount = 0;
  /**
   * 1 for references to entries that a paging-structure cache may hold: all but the one that maps the page itself and, under nested
   * paging, the nested one that maps the page. SDM 3A §4.10.3 "Paging-Structure Caches".
   */
  readonly cacheable = new Uint8Array(MAX_REFS);
  /** Called after an entry was changed (accessed and dirty flags), so that code decoded from there is dropped. */
  onWrite: ((hpa: number) => void) | undefined;

  private readonly u32: Uint32Array;
  private readonly dirty: Uint8Array;

  constructor(m: LinearMemory, private readonly phys: PhysicalMemory) {
    this.u32 = m.u32;
    this.dirty = m.dirty;
  }

  private note(hpa: number): void {
    if (this.refCount === MAX_REFS) return;
    this.cacheable[this.refCount] = 1;
    this.refs[this.refCount++] = hpa;
  }

  /** The entry read last maps the page. */
  leafRead(): void {
    if (this.refCount > 0) this.cacheable[this.refCount - 1] = 0;
  }

  /** Reads 8 bytes. Where there is no memory all bits read as one, which every format rejects as reserved. */
  read64(hpa: number): void {
    this.note(hpa);
    const at = this.phys.address(hpa);
    this.lo = at < 0 ? -1 : this.u32[at >>> 2]! | 0;
    this.hi = at < 0 ? -1 : this.u32[(at >>> 2) + 1]! | 0;
  }

  /** Reads 4 bytes into `lo`; `hi` becomes 0. */
  read32(hpa: number): void {
    this.note(hpa);
    const at = this.phys.address(hpa);
    this.lo = at < 0 ? -1 : this.u32[at >>> 2]! | 0;
    this.hi = 0;
  }

  /** Sets bits in the low half of the entry at `hpa` (a locked read-modify-write on the real part). Firmware keeps its value. */
  setBits(hpa: number, bits: number): void {
    if (!this.phys.writable(hpa)) return;
    const at = this.phys.address(hpa);
    this.u32[at >>> 2]! |= bits;
    this.dirty[at >>> 12] = 1;
    this.onWrite?.(hpa);
  }
}
