/**
 * The software TLBs: translations in the form that emitted code looks up.
 *
 * They are the engine's, not the modelled processor's: size and timing of the modelled TLB are timing/'s affair. A pool of TLBs
 * lies at TLB_POOL_BASE. Each serves one address space (vCPU, host/VPID/ASID tag, PCID) as seen with one set of control bits
 * (`variant`: user or supervisor, WP, SMAP ...), so that a change of any of them only selects another TLB. The one least
 * recently selected is given up when none is free.
 *
 * A TLB is 4096 entries of 32 bytes (16 MiB of pages), direct-mapped by (linear >> 12) & 4095:
 *
 *     +0   i64  tagRead    linear address of the page, or -1: may be read
 *     +8   i64  tagWrite   the same: may be written without a closer look
 *     +16  i32  addend     linear-memory address of the page - low 32 bits of the page's linear address (wrapping)
 *     +20  u32  host-physical page number
 *     +24  i64  tagExec    the same as tagRead: may be executed
 *
 * A tag can be withheld: its low bits then say why (WITHHELD), so that no address matches it, but it is still known. Emitted code
 * misses, and the slow path (engine/memory-access.ts) takes the address from the entry without a walk. So somebody can hear of the
 * next access to a page without changing the run: snapshots of the first store since, watchpoints of every access.
 *
 * Invariants: a tag for writing that is not withheld means that the page is marked in `LinearMemory.dirty`. A page that holds decoded
 * code has tagWrite = -1 everywhere; so have firmware pages; pages that are neither RAM nor firmware are never in. SDM 3A §4.10 "Caching
 * Translation Information" says what must be forgotten when; keeping less is always allowed. Slots and their saving: tlb-slots.ts.
 */

import type { LinearMemory } from '../mem/linear-memory.js';
import type { PhysicalMemory } from '../mem/physical.js';
import { TLB_POOL_BASE } from '../mem/layout.js';
import {
  type AccessTag, BUCKETS, FREE, GLOBAL, LARGE_SHIFT, LOGGED, SLOTS, TAG_READ, TAG_WRITE, TLB_BYTES, TLB_ENTRIES, TLB_ENTRY_BYTES, TlbSlots, WORDS,
} from './tlb-slots.js';

export { type AccessTag, TAG_READ, TAG_WRITE, TLB_BYTES, TLB_ENTRIES, TLB_ENTRY, TLB_ENTRY_BYTES } from './tlb-slots.js';

/** Why a tag is withheld: bits that may come together. */
export const WITHHELD = {
  /** The page has not been stored to since the last snapshot. */
  clean: 1,
  /** A watchpoint wants to hear of it. */
  watched: 2,
} as const;
const ALL_WITHHELD = WITHHELD.clean | WITHHELD.watched;

/** What `fill` needs of a translation: an `Mmu` after `translate`, hpa below 2^52. */
export interface Translation {
  readonly hpa: number;
  readonly readable: boolean;
  readonly writable: boolean;
  readonly executable: boolean;
  readonly global: boolean;
  readonly pageShift: number;
}

/** A bit of 32 for each 2 MiB of the large page around an address; all for pages above 4 MiB. */
const largeBits = (linLo: number, shift: number): number => (shift === 21 ? 1 << (linLo >>> 21) : shift === 22 ? 3 << ((linLo >>> 21) & 30) : -1);

export class TlbPool extends TlbSlots {
  /** Does decoded code lie on the host-physical page? Asked for every page that is entered as writable. The engine sets it. */
  isCodePage: (hpaPage: number) => boolean = () => false;

  /** Called after an entry has been made, for who wants to withhold its tags. */
  onFill: ((tlb: number, linHi: number, linLo: number) => void) | undefined;

  constructor(m: LinearMemory, private readonly phys: PhysicalMemory) {
    super(m);
  }

  /**
   * The TLB for an address space and set of control bits: its linear-memory address, for `S.tlb`. It stays valid until another
   * `select`; a vCPU that comes back selects again.
   * @param tag `Cpu.addressSpaceTag` @param pcid 0 to 4095 @param variant 0 to 255, the engine's encoding
   */
  select(vcpu: number, tag: number, pcid: number, variant: number): number {
    const { last } = this;
    if (last >= 0 && this.variant[last] === variant && this.tag[last] === tag && this.pcid[last] === pcid && this.vcpu[last] === vcpu)
      return TLB_POOL_BASE + last * TLB_BYTES;
    const b = this.hash(vcpu, tag, pcid, variant);
    let s = this.bucket[b]!;
    while (s >= 0 && !(this.vcpu[s] === vcpu && this.tag[s] === tag && this.pcid[s] === pcid && this.variant[s] === variant)) s = this.next[s]!;
    if (s < 0) {
      s = this.take();
      this.vcpu[s] = vcpu;
      this.tag[s] = tag;
      this.pcid[s] = pcid;
      this.variant[s] = variant;
      this.next[s] = this.bucket[b]!;
      this.bucket[b] = s;
    }
    this.stamp[s] = ++this.clock;
    this.last = s;
    return TLB_POOL_BASE + s * TLB_BYTES;
  }

  /**
   * Enters a translation. Pages of devices are left out; firmware and code pages are entered without write permission.
   * @param tlb what `select` returned @param t the mmu, right after a translation of this address that returned OK
   */
  fill(tlb: number, linHi: number, linLo: number, t: Translation): void {
    const at = this.phys.address(t.hpa);
    if (at < 0) return;
    const s = (tlb - TLB_POOL_BASE) / TLB_BYTES, index = (linLo >>> 12) & (TLB_ENTRIES - 1);
    const hpaPage = t.hpa >>> 12;
    const writable = t.writable && this.phys.writable(t.hpa) && !this.isCodePage(hpaPage);
    if (writable) {
      this.writableOnce[hpaPage] = 1;
      this.dirty[at >>> 12] = 1;
    }
    this.touched[s] = 1;
    const lo = linLo & ~0xfff, i32 = this.i32, w = (tlb + index * TLB_ENTRY_BYTES) >>> 2;
    i32[w] = t.readable ? lo : -1;
    i32[w + 1] = t.readable ? linHi : -1;
    i32[w + 2] = writable ? lo : -1;
    i32[w + 3] = writable ? linHi : -1;
    i32[w + 4] = (at & ~0xfff) - lo;
    this.u32[w + 5] = hpaPage;
    i32[w + 6] = t.executable ? lo : -1;
    i32[w + 7] = t.executable ? linHi : -1;
    const f = s * TLB_ENTRIES + index;
    if ((this.flags[f]! & LOGGED) === 0) this.log[s * TLB_ENTRIES + this.logged[s]!++] = index;
    let flags = LOGGED | (t.global ? GLOBAL : 0);
    if (t.pageShift > 12) {
      flags |= t.pageShift << LARGE_SHIFT;
      this.hasLarge[s]! |= largeBits(linLo, t.pageShift);
    }
    this.flags[f] = flags;
    this.onFill?.(tlb, linHi, linLo);
  }

  /** Forgets one page in every view of an address space, and every piece of the large page that it belongs to (INVLPG, INVLPGA, INVVPID type 0). All PCIDs: allowed, and needed for global pages. */
  flushPage(vcpu: number, tag: number, linHi: number, linLo: number): void {
    const index = (linLo >>> 12) & (TLB_ENTRIES - 1);
    for (let s = 0; s < SLOTS; s++) {
      if (this.vcpu[s] !== vcpu || this.tag[s] !== tag) continue;
      if ((this.flags[s * TLB_ENTRIES + index]! & LOGGED) !== 0) this.dropIfSame(s, index, linHi, linLo, 12);
      if ((this.hasLarge[s]! & largeBits(linLo, 21)) === 0) continue;
      const base = s * TLB_ENTRIES, n = this.logged[s]!;
      for (let i = 0; i < n; i++) {
        const at = this.log[base + i]!, shift = this.flags[base + at]! >>> LARGE_SHIFT;
        if (shift !== 0) this.dropIfSame(s, at, linHi, linLo, shift);
      }
    }
  }

  /** Forgets an address space (MOV to CR3, INVPCID): all its views. @param pcid or -1 for all @param keepGlobal global pages stay */
  flushContext(vcpu: number, tag: number, pcid: number, keepGlobal: boolean): void {
    for (let s = 0; s < SLOTS; s++) {
      if (this.vcpu[s] !== vcpu || this.tag[s] !== tag || (pcid >= 0 && this.pcid[s] !== pcid)) continue;
      if (keepGlobal) this.dropLocal(s);
      else this.drop(s);
    }
  }

  /** Forgets all that carries the tag, on one vCPU or (-1) on all (INVVPID, ASID flush). */
  flushTag(vcpu: number, tag: number): void {
    for (let s = 0; s < SLOTS; s++) if (this.tag[s] === tag && this.matches(s, vcpu)) this.drop(s);
  }

  /** Forgets everything of guests (tag not 0), on one vCPU or (-1) on all (INVEPT). */
  flushGuests(vcpu: number): void {
    for (let s = 0; s < SLOTS; s++) if (this.tag[s] !== 0 && this.matches(s, vcpu)) this.drop(s);
  }

  /** Forgets everything, on one vCPU or (-1) on all. */
  flushAll(vcpu: number): void {
    for (let s = 0; s < SLOTS; s++) if (this.matches(s, vcpu)) this.drop(s);
  }

  /** Takes write permission from every entry of a host page: code has been decoded from it. */
  protectPage(hpaPage: number): void {
    if (this.writableOnce[hpaPage] === 0) return;
    this.writableOnce[hpaPage] = 0;
    for (let s = 0; s < SLOTS; s++) {
      const base = s * TLB_ENTRIES, n = this.logged[s]!, tlb = TLB_POOL_BASE + s * TLB_BYTES;
      for (let i = 0; i < n; i++) {
        const w = (tlb >>> 2) + this.log[base + i]! * WORDS;
        if (this.u32[w + 5] !== hpaPage) continue;
        this.i32[w + 2] = this.i32[w + 3] = -1;
        this.touched[s] = 1;
      }
    }
  }

  /** Forgets every entry of a host page, whoever maps it: it has become another kind of memory (shadow RAM, a moved device). */
  forgetHostPage(hpaPage: number): void {
    for (let s = 0; s < SLOTS; s++) {
      const base = s * TLB_ENTRIES, n = this.logged[s]!;
      for (let i = 0; i < n; i++) {
        const index = this.log[base + i]!, w = this.word(s, index);
        if (this.u32[w + 5] !== hpaPage) continue;
        this.clear(w);
        this.touched[s] = 1;
      }
    }
  }

  // ---- withheld tags

  /** Why the tag of the entry for a page is withheld: WITHHELD bits; 0 when it is not, or there is no such entry. @param tlb what `select` returned */
  withheld(tlb: number, linHi: number, linLo: number, tag: AccessTag): number {
    const w = ((tlb + ((linLo >>> 12) & (TLB_ENTRIES - 1)) * TLB_ENTRY_BYTES) >>> 2) + tag, v = this.i32[w]!;
    if (this.i32[w + 1] !== (linHi | 0) || ((v ^ linLo) & ~0xfff) !== 0) return 0;
    const why = v & 0xfff;
    return why <= ALL_WITHHELD ? why : 0;
  }
  /** The linear-memory address of a byte of a page that an entry is for. Only after `withheld` has found it. */
  addressIn(tlb: number, linLo: number): number {
    return (this.i32[((tlb + ((linLo >>> 12) & (TLB_ENTRIES - 1)) * TLB_ENTRY_BYTES) >>> 2) + 4]! + linLo) >>> 0;
  }
  /** Takes reasons away from a tag that `withheld` has found; without any left it is valid again. */
  release(tlb: number, linLo: number, tag: AccessTag, why: number): void {
    const s = (tlb - TLB_POOL_BASE) / TLB_BYTES, w = this.word(s, (linLo >>> 12) & (TLB_ENTRIES - 1));
    this.i32[w + tag]! &= ~why;
    if ((why & WITHHELD.clean) !== 0) this.dirty[((this.i32[w + 4]! + linLo) >>> 0) >>> 12] = 1;
    this.touched[s] = 1;
  }
  /** Withholds a tag of the entry for a page, in one TLB, if it has one. */
  withhold(tlb: number, linHi: number, linLo: number, tag: AccessTag, why: number): void {
    const s = (tlb - TLB_POOL_BASE) / TLB_BYTES, w = this.word(s, (linLo >>> 12) & (TLB_ENTRIES - 1)) + tag, v = this.i32[w]!;
    if (this.i32[w + 1] !== (linHi | 0) || ((v ^ linLo) & ~0xfff) !== 0 || (v & 0xfff) > ALL_WITHHELD) return;
    this.i32[w] = v | why;
    this.touched[s] = 1;
  }
  /** Withholds tags of a linear page everywhere, whatever address space: the slow path looks closer. */
  withholdEverywhere(linHi: number, linLo: number, tag: AccessTag, why: number): void {
    for (let s = 0; s < SLOTS; s++) if (this.vcpu[s] !== FREE) this.withhold(TLB_POOL_BASE + s * TLB_BYTES, linHi, linLo, tag, why);
  }
  /** Withholds tags of every entry that leads to a host page. */
  withholdHostPage(hpaPage: number, tag: AccessTag, why: number): void {
    for (let s = 0; s < SLOTS; s++) {
      const base = s * TLB_ENTRIES, n = this.logged[s]!;
      for (let i = 0; i < n; i++) {
        const w = this.word(s, this.log[base + i]!);
        if (this.u32[w + 5] !== hpaPage || (this.i32[w + tag]! & 0xfff) > ALL_WITHHELD) continue;
        this.i32[w + tag]! |= why;
        this.touched[s] = 1;
      }
    }
  }
  /** Takes reasons away from every tag. */
  releaseAll(why: number): void {
    for (let s = 0; s < SLOTS; s++) {
      const base = s * TLB_ENTRIES, n = this.logged[s]!;
      for (let i = 0; i < n; i++) {
        const w = this.word(s, this.log[base + i]!);
        for (const tag of [TAG_READ, TAG_WRITE]) {
          const v = this.i32[w + tag]!;
          if ((v & 0xfff) > ALL_WITHHELD || (v & why) === 0) continue;
          this.i32[w + tag] = v & ~why;
          this.touched[s] = 1;
        }
      }
    }
  }
  /** All pages are clean now: withholds every tag for writing. */
  withholdWrites(): void {
    const { i32, log } = this;
    for (let s = 0; s < SLOTS; s++) {
      if (this.touched[s] === 0) continue; // since the last time no tag has become valid here
      const base = s * TLB_ENTRIES, n = this.logged[s]!, first = this.word(s, 0);
      for (let i = 0; i < n; i++) {
        const w = first + log[base + i]! * WORDS + TAG_WRITE;
        if ((i32[w]! & 0xfff) <= ALL_WITHHELD) i32[w]! |= WITHHELD.clean;
      }
    }
  }

  private matches(s: number, vcpu: number): boolean {
    return this.vcpu[s] !== FREE && (vcpu < 0 || this.vcpu[s] === vcpu);
  }

  private hash(vcpu: number, tag: number, pcid: number, variant: number): number {
    return (variant ^ Math.imul(tag, 0x35) ^ Math.imul(pcid, 0x9d) ^ Math.imul(vcpu, 0x6b)) & (BUCKETS - 1);
  }

  /** Clears the entry when its page lies in the same 2^shift bytes as the address. It stays in the log. */
  private dropIfSame(s: number, index: number, linHi: number, linLo: number, shift: number): void {
    // Any valid tag of the entry holds the page's address; with none valid the comparison meets -1, an address no page has.
    const w = this.word(s, index), i32 = this.i32;
    const t = i32[w] !== -1 || i32[w + 1] !== -1 ? w : i32[w + 2] !== -1 || i32[w + 3] !== -1 ? w + 2 : w + 6;
    if (i32[t + 1] !== (linHi | 0) || (i32[t]! ^ linLo) >>> shift !== 0) return;
    this.clear(w);
    this.touched[s] = 1;
  }

  private dropLocal(s: number): void {
    const base = s * TLB_ENTRIES, n = this.logged[s]!;
    let kept = 0;
    for (let i = 0; i < n; i++) {
      const index = this.log[base + i]!;
      if ((this.flags[base + index]! & GLOBAL) !== 0) this.log[base + kept++] = index;
      else {
        this.flags[base + index] = 0;
        this.clear(this.word(s, index));
      }
    }
    if (kept !== n) this.touched[s] = 1;
    this.logged[s] = kept;
  }

  /** A free slot, or the one least recently selected, emptied and out of its bucket. */
  private take(): number {
    let oldest = 0;
    for (let s = 0; s < SLOTS; s++) {
      if (this.vcpu[s] === FREE) {
        // Memory is filled when a slot is used for the first time, so that the host commits only those.
        this.u32.fill(0xffff_ffff, this.word(s, 0), this.word(s + 1, 0));
        return s;
      }
      if (this.stamp[s]! < this.stamp[oldest]!) oldest = s;
    }
    this.drop(oldest);
    const b = this.hash(this.vcpu[oldest]!, this.tag[oldest]!, this.pcid[oldest]!, this.variant[oldest]!);
    if (this.bucket[b] === oldest) this.bucket[b] = this.next[oldest]!;
    else {
      let p = this.bucket[b]!;
      while (this.next[p] !== oldest) p = this.next[p]!;
      this.next[p] = this.next[oldest]!;
    }
    this.vcpu[oldest] = FREE;
    return oldest;
  }
}
