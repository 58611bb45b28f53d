/**
 * The memory of the software TLB pool: slots, what is kept beside them, and saving them for snapshots (machine/object-state.ts). The
 * entry's layout and what it means are in tlb.ts.
 *
 * Invariants: only filled entries are in a slot's log. `touched` says that a slot may differ from its last saved state.
 */

import type { LinearMemory } from '../mem/linear-memory.js';
import { TLB_POOL_BASE, TLB_POOL_SIZE } from '../mem/layout.js';

export const TLB_ENTRIES = 4096;
export const TLB_ENTRY_BYTES = 32;
/** Byte offsets of an entry's fields, as emitted code has them: tlb.ts has the layout. */
export const TLB_ENTRY = { tagRead: 0, tagWrite: 8, addend: 16, hpaPage: 20, tagExec: 24 } as const;
export const TLB_BYTES = TLB_ENTRIES * TLB_ENTRY_BYTES;
export const SLOTS = TLB_POOL_SIZE / TLB_BYTES;
export const WORDS = TLB_ENTRY_BYTES / 4;
export const BUCKETS = 256;
export const FREE = -1;

/** Tags as words of an entry. */
export const TAG_READ = 0, TAG_WRITE = 2;
export type AccessTag = typeof TAG_READ | typeof TAG_WRITE;

/** Entry flags kept beside the pool. */
export const LOGGED = 1, GLOBAL = 2, LARGE_SHIFT = 2; // bits 7:2: log2 of the guest's page when above 12

/** One TLB, as saved: its log, and for each place in it the entry and its flags. */
interface SlotState {
  readonly log: Uint16Array;
  readonly entries: Int32Array;
  readonly flags: Uint8Array;
  readonly hasLarge: number;
}
export interface TlbState {
  readonly bytes: number;
  readonly vcpu: Int32Array;
  readonly tag: Int32Array;
  readonly pcid: Int32Array;
  readonly variant: Int32Array;
  readonly stamp: Float64Array;
  readonly next: Int16Array;
  readonly bucket: Int16Array;
  readonly clock: number;
  readonly slots: readonly (SlotState | undefined)[];
}

export class TlbSlots {
  protected readonly u32: Uint32Array;
  protected readonly i32: Int32Array;
  protected readonly vcpu = new Int32Array(SLOTS).fill(FREE);
  protected readonly tag = new Int32Array(SLOTS);
  protected readonly pcid = new Int32Array(SLOTS);
  protected readonly variant = new Int32Array(SLOTS);
  protected readonly stamp = new Float64Array(SLOTS);
  protected readonly next = new Int16Array(SLOTS).fill(-1);
  protected readonly bucket = new Int16Array(BUCKETS).fill(-1);
  protected readonly flags = new Uint8Array(SLOTS * TLB_ENTRIES);
  protected readonly log = new Uint16Array(SLOTS * TLB_ENTRIES);
  protected readonly logged = new Int32Array(SLOTS);
  /** In which of 32 classes of 2 MiB a slot has had entries of large pages: `flushPage` looks through its log for those alone. */
  protected readonly hasLarge = new Int32Array(SLOTS);
  /** Host page has been entered as writable since it was protected last: spares `protectPage` most searches. */
  protected readonly writableOnce = new Uint8Array(1 << 20);
  /** Slot has changed since it was saved last. */
  protected readonly touched = new Uint8Array(SLOTS).fill(1);
  private saved: (SlotState | undefined)[] = new Array<SlotState | undefined>(SLOTS).fill(undefined);
  protected readonly dirty: Uint8Array;
  protected clock = 0;
  /** The slot selected last: nothing is younger. */
  protected last = -1;

  constructor(m: LinearMemory) {
    this.u32 = m.u32;
    this.i32 = m.i32;
    this.dirty = m.dirty;
  }

  protected word(s: number, index: number): number {
    return ((TLB_POOL_BASE + s * TLB_BYTES) >>> 2) + index * WORDS;
  }

  protected clear(w: number): void {
    const i32 = this.i32;
    i32[w] = i32[w + 1] = i32[w + 2] = i32[w + 3] = i32[w + 6] = i32[w + 7] = -1;
    this.u32[w + 5] = 0xffff_ffff;
  }

  /** Empties a slot. */
  protected drop(s: number): void {
    const base = s * TLB_ENTRIES, n = this.logged[s]!;
    for (let i = 0; i < n; i++) {
      const index = this.log[base + i]!;
      this.flags[base + index] = 0;
      this.clear(this.word(s, index));
    }
    if (n > 0) this.touched[s] = 1;
    this.logged[s] = 0;
    this.hasLarge[s] = 0;
  }

  // ---- saving (machine/object-state.ts)

  /** All TLBs as they are now. Slots that have not changed are shared with the state saved or loaded last. */
  saveState(): TlbState {
    let bytes = 0;
    for (let s = 0; s < SLOTS; s++) {
      if (this.touched[s] === 0) continue;
      this.saved[s] = this.vcpu[s] === FREE ? undefined : this.saveSlot(s);
      this.touched[s] = 0;
      bytes += this.saved[s]?.entries.byteLength ?? 0;
    }
    return {
      bytes, vcpu: this.vcpu.slice(), tag: this.tag.slice(), pcid: this.pcid.slice(), variant: this.variant.slice(), stamp: this.stamp.slice(),
      next: this.next.slice(), bucket: this.bucket.slice(), clock: this.clock, slots: this.saved.slice(),
    };
  }
  private saveSlot(s: number): SlotState {
    const n = this.logged[s]!, base = s * TLB_ENTRIES, log = this.log.slice(base, base + n), entries = new Int32Array(n * WORDS);
    for (let i = 0; i < n; i++) {
      const w = this.word(s, log[i]!);
      for (let k = 0; k < WORDS; k++) entries[i * WORDS + k] = this.i32[w + k]!;
    }
    return { log, entries, flags: Uint8Array.from(log, (index) => this.flags[base + index]!), hasLarge: this.hasLarge[s]! };
  }

  loadState(state: TlbState): void {
    for (let s = 0; s < SLOTS; s++) {
      const slot = state.slots[s];
      if (this.touched[s] === 0 && this.saved[s] === slot) continue;
      if (this.vcpu[s] === FREE) this.u32.fill(0xffff_ffff, this.word(s, 0), this.word(s + 1, 0));
      else this.drop(s);
      if (slot !== undefined) this.loadSlot(s, slot);
      this.touched[s] = 0;
    }
    this.saved = state.slots.slice();
    this.vcpu.set(state.vcpu);
    this.tag.set(state.tag);
    this.pcid.set(state.pcid);
    this.variant.set(state.variant);
    this.stamp.set(state.stamp);
    this.next.set(state.next);
    this.bucket.set(state.bucket);
    this.clock = state.clock;
    this.last = -1;
  }
  private loadSlot(s: number, { log, entries, flags, hasLarge }: SlotState): void {
    const base = s * TLB_ENTRIES, n = log.length;
    this.log.set(log, base);
    this.logged[s] = n;
    this.hasLarge[s] = hasLarge;
    for (let i = 0; i < n; i++) {
      const w = this.word(s, log[i]!);
      for (let k = 0; k < WORDS; k++) this.i32[w + k] = entries[i * WORDS + k]!;
      this.flags[base + log[i]!] = flags[i]!;
      if (this.i32[w + TAG_WRITE] !== -1) this.writableOnce[this.u32[w + 5]!] = 1;
    }
  }
}
