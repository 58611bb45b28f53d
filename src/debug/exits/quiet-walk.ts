/**
 * Translation without side effects: reads a guest's page tables and the nested ones as they lie in memory, sets no accessed or dirty
 * flag, judges no permission but "present", and touches neither TLBs nor the mmu's state.
 *
 * SDM 3A chapter 4 "Paging"; SDM 3C §29.3.2 "EPT Translation Mechanism"; APM 2 §15.25 "Nested Paging". No BigInt: it runs at every exit.
 */

import type { PhysicalMemory } from '../../mem/physical.js';
import { FETCH, PTE_NX_HI, PTE_U, PTE_W, WRITE } from '../../mmu/format.js';
import { tableIndex } from '../../mmu/nested.js';

const HIGH = 0x1_0000_0000;
const PS = 0x80, PRESENT = 1, EPT_ANY = 7;
const ADDRESS_HIGH = 0xf_ffff;

/** Paging of a guest: its own tables, and the nested ones. */
export interface WalkContext {
  paging: 'none' | '32-bit' | 'PAE' | '4-level';
  cr3: number;
  /** Physical address of the nested root, or -1 without nested paging. */
  root: number;
  format: 'ept' | 'npt';
  /** Levels of the nested tables. */
  levels: 2 | 3 | 4;
}

export class QuietWalker {
  /** The entry read last: level (4 = top), address, halves. Level 0: none. */
  level = 0;
  entryAt = 0;
  lo = 0;
  hi = 0;
  /** The entry of the last `deciding` walk that did not allow the access, or the last one read. */
  readonly found = { level: 0, entryAt: 0, lo: 0, hi: 0 };
  private need = 0;
  private refused = false;

  constructor(private readonly phys: PhysicalMemory) {}

  private read(address: number): boolean {
    const at = this.phys.address(address);
    if (at < 0) return false;
    const { u32 } = this.phys.m;
    this.lo = u32[at >>> 2]!;
    this.hi = u32[(at >>> 2) + 1]!;
    return true;
  }
  private get frame(): number {
    return (this.hi & ADDRESS_HIGH) * HIGH + ((this.lo & 0xffff_f000) >>> 0);
  }

  /** Walks the nested tables for an access, and leaves in `found` the entry that decided. @param need READ, WRITE, FETCH (mmu/format.ts) */
  deciding(c: WalkContext, gpa: number, need: number): void {
    this.need = need;
    this.refused = false;
    this.found.level = 0;
    this.nested(c, gpa);
    this.need = 0;
  }
  /** An entry of the nested tables has been read. */
  private note(c: WalkContext): void {
    if (this.need === 0 || this.refused) return;
    Object.assign(this.found, { level: this.level, entryAt: this.entryAt, lo: this.lo, hi: this.hi });
    this.refused = !this.allows(c);
  }
  private allows(c: WalkContext): boolean {
    const { lo, need } = this;
    if (c.format === 'ept') return (lo & need) === need;
    if ((lo & PRESENT) === 0) return false;
    if (c.levels === 3 && this.level === 3) return true; // PDPTEs of PAE paging have no rights
    return (lo & PTE_U) !== 0 && ((need & WRITE) === 0 || (lo & PTE_W) !== 0) && ((need & FETCH) === 0 || (this.hi & PTE_NX_HI) === 0);
  }

  /** Host-physical address of a guest-physical one, or -1 where the nested tables have none. */
  nested(c: WalkContext, gpa: number): number {
    this.level = 0;
    if (c.root < 0) return gpa;
    const hi = Math.floor(gpa / HIGH), lo = gpa % HIGH;
    if (c.levels === 2) return this.legacy(c, c.root, lo, false);
    let table = c.root;
    for (let level: number = c.levels; ; level--) {
      const index = c.levels === 3 && level === 3 ? lo >>> 30 : tableIndex(level, hi, lo);
      const at = table + 8 * index;
      if (!this.read(at)) return -1;
      this.level = level;
      this.entryAt = at;
      this.note(c);
      if ((this.lo & (c.format === 'ept' ? EPT_ANY : PRESENT)) === 0) return -1;
      if (level === 1 || (level < 4 && (this.lo & PS) !== 0 && !(c.levels === 3 && level === 3))) return this.leaf(level, lo);
      table = this.frame;
    }
  }
  /** The address in the page that the entry just read maps at `level`. */
  private leaf(level: number, lo: number): number {
    const size = 2 ** (3 + 9 * level);
    return Math.floor(this.frame / size) * size + (lo % size);
  }

  /** 32-bit paging of the guest, or (with `translated` false) of the nested tables. */
  private legacy(c: WalkContext, root: number, lo: number, translated: boolean): number {
    const reach = (address: number): number => (translated ? this.nested(c, address) : address);
    const pdeAt = reach(root + 4 * (lo >>> 22));
    if (pdeAt < 0 || !this.read4(pdeAt)) return -1;
    const { lo: pde } = this;
    if (!translated) {
      [this.level, this.entryAt] = [2, pdeAt];
      this.note(c);
    }
    if ((pde & PRESENT) === 0) return -1;
    if ((pde & PS) !== 0) return ((pde >>> 13) & 0xff) * HIGH + ((pde & 0xffc0_0000) >>> 0) + (lo & 0x3f_ffff);
    const pteAt = reach(((pde & 0xffff_f000) >>> 0) + 4 * ((lo >>> 12) & 1023));
    if (pteAt < 0 || !this.read4(pteAt)) return -1;
    if (!translated) {
      [this.level, this.entryAt] = [1, pteAt];
      this.note(c);
    }
    return (this.lo & PRESENT) === 0 ? -1 : ((this.lo & 0xffff_f000) >>> 0) + (lo & 0xfff);
  }
  private read4(address: number): boolean {
    const at = this.phys.address(address);
    if (at < 0) return false;
    this.lo = this.phys.m.u32[at >>> 2]!;
    this.hi = 0;
    return true;
  }

  /** Guest-physical address of a linear one, or -1 where the guest's tables have none. */
  guestPhysical(c: WalkContext, linHi: number, linLo: number): number {
    if (c.paging === 'none') return linLo >>> 0;
    if (c.paging === '32-bit') {
      const { entryAt, level } = this;
      const gpa = this.legacy(c, Math.floor((c.cr3 % HIGH) / 4096) * 4096, linLo >>> 0, true);
      [this.entryAt, this.level] = [entryAt, level];
      return gpa;
    }
    const pae = c.paging === 'PAE';
    let table = pae ? Math.floor((c.cr3 % HIGH) / 32) * 32 : Math.floor(c.cr3 / 4096) * 4096;
    for (let level = pae ? 3 : 4; ; level--) {
      const index = pae && level === 3 ? linLo >>> 30 : tableIndex(level, linHi, linLo);
      const at = this.nested(c, table + 8 * index);
      if (at < 0 || !this.read(at) || (this.lo & PRESENT) === 0) return -1;
      if (level === 1 || (level < 4 && (this.lo & PS) !== 0 && !(pae && level === 3))) return this.leaf(level, linLo >>> 0);
      table = this.frame;
    }
  }

  /** Host-physical address of a linear one, or -1. */
  translate(c: WalkContext, linHi: number, linLo: number): number {
    const gpa = this.guestPhysical(c, linHi, linLo);
    return gpa < 0 ? -1 : this.nested(c, gpa);
  }
}
