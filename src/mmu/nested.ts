/**
 * The second dimension: guest-physical to host-physical addresses, in Intel's EPT format and in AMD's NPT format.
 *
 * EPT: SDM 3C §29.3 "The Extended Page Table Mechanism (EPT)". All levels are walked before permissions are judged; a
 * misconfigured entry ends the walk where it is met. NPT: APM 2 §15.25 "Nested Paging"; the tables have the host's own paging
 * format, every access counts as a user access, and CR0.WP has no say.
 *
 * Invariant: nothing is changed (accessed and dirty flags) unless the translation succeeds. No allocation, no BigInt.
 */

import type { NestedContext } from './context.js';
import {
  EPT_A, EPT_D, EPT_IPAT, EPT_PS, EPT_R, EPT_W, EPT_X, FETCH, HIGH, PTE_A, PTE_D, PTE_NX_HI, PTE_P, PTE_PS, PTE_U, PTE_W, WB, WRITE,
  reservedHigh,
} from './format.js';
import type { TableMemory } from './refs.js';

export interface NestedOptions {
  readonly physicalAddressBits: number;
  readonly gigabytePages: boolean;
  readonly eptGigabytePages: boolean;
  readonly eptExecuteOnly: boolean;
}

/** Index into the table of `level` (4 = top of a 4-level walk) for an address given as two halves. */
export function tableIndex(level: number, hi: number, lo: number): number {
  if (level === 1) return (lo >>> 12) & 511;
  if (level === 2) return (lo >>> 21) & 511;
  if (level === 3) return ((hi & 0x7f) << 2) | (lo >>> 30);
  return (hi >>> 7) & 511;
}

/** log2 of the page that an entry of `level` maps in the 8-byte formats. */
export const pageShift = (level: number): number => 3 + 9 * level;

export class NestedWalker {
  /** Results of a successful `translate`. */
  hpa = 0;
  pageShift = 12;
  readable = true;
  /** Writing needs no further walk: permitted, and the dirty flag (if kept) is set. */
  writable = true;
  executable = true;
  /** EPT memory type of the leaf, and its "ignore PAT" flag. */
  memoryType: number = WB;
  ignorePat = false;

  /** Results of a failed one. */
  misconfiguration = false;
  reserved = false;
  present = false;
  /** EPT: R, W and X found (bits 2:0). NPT: 0. */
  permissions = 0;

  private onTable = false;
  private readonly entryAt = new Float64Array(5);
  private readonly entryLo = new Int32Array(5);
  private readonly addressReserved: number;

  constructor(private readonly t: TableMemory, private readonly o: NestedOptions) {
    this.addressReserved = reservedHigh(o.physicalAddressBits);
  }

  /** @returns whether `gpa` can be accessed so; fields tell the rest. @param access READ, WRITE, FETCH or a combination @param onTable the address is that of a guest paging-structure entry */
  translate(c: NestedContext, gpa: number, access: number, onTable: boolean): boolean {
    this.onTable = onTable;
    this.misconfiguration = this.reserved = this.present = false;
    this.permissions = 0;
    if (c.format === 'ept') return this.ept(c, gpa, access);
    return c.levels === 2 ? this.npt32(c, gpa, access) : this.npt64(c, gpa, access);
  }

  private ept(c: NestedContext, gpa: number, access: number): boolean {
    const t = this.t, hi = Math.floor(gpa / HIGH), lo = gpa | 0;
    if (hi >>> 16 !== 0) return false; // beyond what four levels map: no entry
    let table = c.root, level = 4, allowed = 7;
    for (; ; level--) {
      const at = (this.entryAt[level] = table + 8 * tableIndex(level, hi, lo));
      t.read64(at);
      const e = (this.entryLo[level] = t.lo);
      if ((e & 7) === 0) return false;
      const leaf = level === 1 || (level < 4 && (e & EPT_PS) !== 0);
      if (this.misconfigured(e, t.hi, level, leaf)) {
        this.misconfiguration = true;
        return false;
      }
      allowed &= e;
      if (leaf) break;
      table = (t.hi & 0xf_ffff) * HIGH + ((e & 0xffff_f000) >>> 0);
    }
    this.permissions = allowed & 7;
    this.present = true;
    if ((access & ~allowed) !== 0) return false;
    const leafEntry = this.entryLo[level]!;
    let dirty = true;
    if (c.ad) {
      for (let l = 4; l >= level; l--) {
        const want = l === level && (access & WRITE) !== 0 ? EPT_A | EPT_D : EPT_A;
        if ((this.entryLo[l]! & want) !== want) t.setBits(this.entryAt[l]!, want);
      }
      dirty = (access & WRITE) !== 0 || (leafEntry & EPT_D) !== 0;
    }
    this.leaf(t.hi & 0xf_ffff, t.lo, lo, pageShift(level));
    this.readable = (allowed & EPT_R) !== 0;
    this.writable = (allowed & EPT_W) !== 0 && dirty;
    this.executable = (allowed & EPT_X) !== 0;
    this.memoryType = (leafEntry >>> 3) & 7;
    this.ignorePat = (leafEntry & EPT_IPAT) !== 0;
    return true;
  }

  /** SDM 3C §29.3.3.1 "EPT Misconfigurations". */
  private misconfigured(lo: number, hi: number, level: number, leaf: boolean): boolean {
    if ((lo & (EPT_R | EPT_W)) === EPT_W) return true; // write without read
    if ((lo & 7) === EPT_X && !this.o.eptExecuteOnly) return true;
    if ((hi & this.addressReserved) !== 0) return true;
    if (!leaf) return (lo & (level === 4 ? 0xf8 : 0x78)) !== 0;
    const type = (lo >>> 3) & 7;
    if (type === 2 || type === 3 || type === 7) return true;
    if (level === 3) return !this.o.eptGigabytePages || (lo & 0x3fff_f000) !== 0;
    return level === 2 && (lo & 0x1f_f000) !== 0;
  }

  private npt64(c: NestedContext, gpa: number, access: number): boolean {
    const t = this.t, hi = Math.floor(gpa / HIGH), lo = gpa | 0;
    if (hi >>> (c.levels === 4 ? 16 : 0) !== 0) return false;
    let table = c.root, level: number = c.levels, allowed = PTE_W | PTE_U, nx = 0;
    for (; ; level--) {
      const at = (this.entryAt[level] = table + 8 * (c.levels === 3 && level === 3 ? lo >>> 30 : tableIndex(level, hi, lo)));
      t.read64(at);
      const e = (this.entryLo[level] = t.lo);
      this.present = (e & PTE_P) !== 0;
      if (!this.present) return false;
      const pdpte = c.levels === 3 && level === 3;
      const leaf = level === 1 || (level < 4 && !pdpte && (e & PTE_PS) !== 0);
      if (this.nptReserved(c, e, t.hi, level, leaf, pdpte)) {
        this.reserved = true;
        return false;
      }
      if (!pdpte) {
        allowed &= e;
        nx |= t.hi & PTE_NX_HI;
      }
      if (leaf) break;
      table = (t.hi & 0xf_ffff) * HIGH + ((e & 0xffff_f000) >>> 0);
    }
    if (!this.nptPermits(c, allowed, nx, access)) return false;
    const top = c.levels === 3 ? 2 : 4; // PAE PDPTEs have no accessed flag
    return this.nptDone(top, level, t.hi & 0xf_ffff, t.lo, lo, pageShift(level), access, allowed, nx);
  }

  private nptReserved(c: NestedContext, lo: number, hi: number, level: number, leaf: boolean, pdpte: boolean): boolean {
    if ((hi & this.addressReserved) !== 0) return true;
    if (c.levels === 3 && (hi & 0x7ff0_0000) !== 0) return true;
    if (pdpte) return (lo & 0x1e6) !== 0 || (hi & PTE_NX_HI) !== 0;
    if (!c.nx && (hi & PTE_NX_HI) !== 0) return true;
    if (level === 4) return (lo & 0x180) !== 0;
    if (level === 3) return leaf ? !this.o.gigabytePages || (lo & 0x3fff_e000) !== 0 : (lo & 0x100) !== 0;
    return level === 2 && leaf && (lo & 0x1f_e000) !== 0;
  }

  private npt32(c: NestedContext, gpa: number, access: number): boolean {
    if (gpa >= HIGH) return false;
    const t = this.t, lo = gpa | 0;
    t.read32((this.entryAt[2] = c.root + 4 * (lo >>> 22)));
    const pde = (this.entryLo[2] = t.lo);
    if ((pde & PTE_P) === 0) return false;
    this.present = true;
    let allowed = pde, level = 2, frameHi = 0, frameLo: number, shift = 22;
    if (c.pse && (pde & PTE_PS) !== 0) {
      if ((pde & pse36Reserved(this.o.physicalAddressBits)) !== 0) {
        this.reserved = true;
        return false;
      }
      frameHi = (pde >>> 13) & 0xff; // PSE-36: bits 39:32 of the address
      frameLo = pde;
    } else {
      t.read32((this.entryAt[1] = ((pde & 0xffff_f000) >>> 0) + 4 * ((lo >>> 12) & 1023)));
      const pte = (this.entryLo[1] = t.lo);
      if ((pte & PTE_P) === 0) return (this.present = false);
      allowed &= pte;
      level = 1;
      shift = 12;
      frameLo = pte;
    }
    if (!this.nptPermits(c, allowed, 0, access)) return false;
    return this.nptDone(2, level, frameHi, frameLo, lo, shift, access, allowed, 0);
  }

  private nptPermits(c: NestedContext, allowed: number, nx: number, access: number): boolean {
    if ((allowed & PTE_U) === 0) return false;
    if ((access & WRITE) !== 0 && (allowed & PTE_W) === 0) return false;
    return (access & FETCH) === 0 || nx === 0 || !c.nx;
  }

  private nptDone(top: number, level: number, frameHi: number, frameLo: number, gpaLo: number, shift: number, access: number, allowed: number, nx: number): boolean {
    const leafDirty = (this.entryLo[level]! & PTE_D) !== 0;
    for (let l = top; l >= level; l--) {
      const want = l === level && (access & WRITE) !== 0 ? PTE_A | PTE_D : PTE_A;
      if ((this.entryLo[l]! & want) !== want) this.t.setBits(this.entryAt[l]!, want);
    }
    this.leaf(frameHi, frameLo, gpaLo, shift);
    this.readable = true;
    this.writable = (allowed & PTE_W) !== 0 && (leafDirty || (access & WRITE) !== 0);
    this.executable = nx === 0;
    this.memoryType = WB;
    this.ignorePat = false;
    return true;
  }

  /** The host address: bits above the page from the leaf entry, the rest from the guest-physical address. */
  private leaf(frameHi: number, frameLo: number, gpaLo: number, shift: number): void {
    if (!this.onTable) this.t.leafRead();
    const inPage = (1 << shift) - 1;
    this.pageShift = shift;
    this.hpa = frameHi * HIGH + (((frameLo & ~inPage) | (gpaLo & inPage)) >>> 0);
  }
}

/** Bits of a 4-MByte PDE that must be zero: bit 21 and the address bits above MAXPHYADDR. SDM 3A §4.3 "32-Bit Paging", table 4-4. */
export function pse36Reserved(physicalAddressBits: number): number {
  const m = Math.min(40, physicalAddressBits);
  return 0x3f_e000 & ~((2 ** (m - 32) - 1) << 13);
}
