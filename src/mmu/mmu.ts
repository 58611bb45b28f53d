/**
 * Linear to physical addresses: 32-bit, PAE and 4-level paging, alone or under nested paging.
 *
 * SDM 3A chapter 4 "Paging"; APM 2 chapter 5 "Page Translation and Protection", §15.25 "Nested Paging".
 *
 * Order of things, as both manuals have it: the entries from the top, each read at its (translated) address; not-present and
 * reserved-bit faults where they are met; the permissions of the whole walk; then accessed and dirty flags; then the nested
 * translation of the final address. A faulting walk changes no guest entry.
 *
 * Invariants: no allocation and no BigInt in a successful walk or a page fault; results stay in the fields until the next
 * call. Canonical form is the caller's to check: bits above 47 of a linear address are not looked at.
 */

import type { LinearMemory } from '../mem/linear-memory.js';
import type { PhysicalMemory } from '../mem/physical.js';
import type { MmuOptions, NestedContext, NestedFault, PagingContext } from './context.js';
import {
  FAULT, FETCH, HIGH, NESTED_FAULT, OK, PF_ID, PF_P, PF_RSVD, PF_U, PF_W, PTE_A, PTE_D, PTE_G, PTE_NX_HI, PTE_P, PTE_PAT_4K,
  PTE_PAT_LARGE, PTE_PS, PTE_U, PTE_W, READ, WB, WRITE, combineTypes, reservedHigh, type Status,
} from './format.js';
import { NestedWalker, pageShift, pse36Reserved, tableIndex } from './nested.js';
import { TableMemory } from './refs.js';

const NONE = 0, LEGACY = 2, PAE = 3, LONG = 4;
const POWER_ON_PAT = 0x0007_0406;

/** The fault of `Mmu.nestedFault`; overwritten by the next one. */
class FaultRecord implements NestedFault {
  gpa = 0;
  gla = 0n;
  glaValid = false;
  onTable = false;
  read = false;
  write = false;
  fetch = false;
  present = false;
  permissions = 0;
  user = false;
  misconfiguration = false;
  reserved = false;
}

export class Mmu {
  // ---- results of a translation that returned OK
  /** Host-physical address of the byte. */
  hpa = 0;
  /** Guest-physical address of the byte; equal to `hpa` without nested paging. */
  gpa = 0;
  /** log2 of the page in the guest's own tables: 12, 21, 22 or 30. INVLPG drops that much. 12 without paging. */
  pageShift = 12;
  /** log2 of the smaller of the guest's and the nested page: what a hardware TLB entry covers. */
  tlbPageShift = 12;
  /** What the same kind of requester (user or supervisor, explicit) may do to the page without another walk. */
  readable = true;
  /** Includes that all dirty flags are set already. */
  writable = true;
  executable = true;
  /** Does a user access reach the page at all? */
  userOk = true;
  global = false;
  /** Effective memory type (format.ts), MTRRs left out. */
  memoryType: number = WB;

  // ---- results of FAULT and NESTED_FAULT
  /** #PF error code. */
  errorCode = 0;
  readonly nestedFault: NestedFault = new FaultRecord();

  /** Accesses to paging structures of the last translation. */
  readonly tables: TableMemory;

  private readonly nested: NestedWalker;
  private readonly entryHpa = new Float64Array(5);
  private readonly entryGpa = new Float64Array(5);
  private readonly entryLo = new Int32Array(5);
  private readonly addressReserved: number;
  private readonly pse36Reserved: number;
  private readonly u32: Uint32Array;

  private mode = NONE;
  private cr3 = 0;
  private nestedContext: NestedContext | null = null;
  private wp = false;
  private pse = false;
  private pge = false;
  private smep = false;
  private smap = false;
  private ac = false;
  private nx = false;
  private pdpteFromMemory = false;
  private patLo = POWER_ON_PAT;
  private patHi = POWER_ON_PAT;
  private linHi = 0;
  private linLo = 0;
  private glaValid = false;

  constructor(m: LinearMemory, phys: PhysicalMemory, private readonly o: MmuOptions) {
    if (!(o.physicalAddressBits >= 32 && o.physicalAddressBits <= 52)) throw new RangeError(`MAXPHYADDR ${o.physicalAddressBits} is not between 32 and 52`);
    this.u32 = m.u32;
    this.tables = new TableMemory(m, phys);
    this.nested = new NestedWalker(this.tables, {
      physicalAddressBits: o.physicalAddressBits,
      gigabytePages: o.gigabytePages,
      eptGigabytePages: o.eptGigabytePages ?? o.gigabytePages,
      eptExecuteOnly: o.eptExecuteOnly ?? false,
    });
    this.addressReserved = reservedHigh(o.physicalAddressBits);
    this.pse36Reserved = pse36Reserved(o.physicalAddressBits);
  }

  /** Takes over the control bits. Cheap: for every change of mode, CR3, AC or address space. */
  setContext(c: PagingContext): void {
    this.mode = c.paging === '4-level' ? LONG : c.paging === 'none' ? NONE : c.paging === 'PAE' ? PAE : LEGACY;
    // Bits below the table's alignment are flags, a PCID or ignored.
    const align = this.mode === PAE ? 0xffff_ffe0 : 0xffff_f000;
    this.cr3 = (this.mode === LONG ? (c.cr3Hi & 0xf_ffff) * HIGH : 0) + ((c.cr3Lo & align) >>> 0);
    this.nestedContext = c.nested;
    this.wp = c.wp;
    this.pse = c.pse;
    this.pge = c.pge;
    this.smep = c.smep;
    this.smap = c.smap;
    this.ac = c.ac;
    this.nx = c.nx;
    this.pdpteFromMemory = c.pdpteFromMemory ?? false;
    this.patLo = c.patLo ?? POWER_ON_PAT;
    this.patHi = c.patHi ?? POWER_ON_PAT;
  }

  /**
   * Translates one linear address.
   * @param linHi high half of the linear address (0 outside 64-bit mode) @param linLo low half
   * @param access READ, WRITE, FETCH; READ | WRITE for a read-modify-write
   * @param user the access is made with user privilege (CPL 3)
   * @param implicit supervisor access to a system structure: SMAP applies whatever RFLAGS.AC says
   */
  translate(linHi: number, linLo: number, access: number, user: boolean, implicit = false): Status {
    this.tables.refCount = 0;
    this.linHi = linHi;
    this.linLo = linLo;
    this.glaValid = true;
    if (this.mode === NONE) {
      this.readable = this.writable = this.executable = this.userOk = true;
      this.global = false;
      this.pageShift = 12;
      return this.finish((linHi & 0xf_ffff) * HIGH + (linLo >>> 0), access, user, WB);
    }
    return this.mode === LEGACY ? this.walk32(access, user, implicit) : this.walk64(access, user, implicit);
  }

  /** Translates a guest-physical address that no linear address led to. Returns OK or NESTED_FAULT; fields as for `translate`. */
  translatePhysical(gpa: number, access: number): Status {
    this.tables.refCount = 0;
    this.glaValid = false;
    this.readable = this.writable = this.executable = this.userOk = true;
    this.global = false;
    this.pageShift = 12;
    return this.finish(gpa, access, false, WB);
  }

  /**
   * Loads the PDPTE registers from the table that CR3 names. SDM 3A §4.4.1 "PDPTE Registers".
   * @returns FAULT when a present entry has a reserved bit set: #GP(0) for the MOV to CR, and no register has changed
   */
  loadPdptes(cr3Lo: number): Status {
    this.tables.refCount = 0;
    this.glaValid = false;
    const table = (cr3Lo & 0xffff_ffe0) >>> 0, t = this.tables;
    const at = this.tableAddress(table, READ);
    if (at < 0) return NESTED_FAULT;
    for (let i = 0; i < 4; i++) {
      t.read64(at + 8 * i);
      if (this.pdpteReserved(t.lo, t.hi)) return FAULT;
    }
    for (let i = 0; i < 4; i++) {
      t.read64(at + 8 * i);
      this.u32[(this.o.pdpteRegisters >>> 2) + 2 * i] = t.lo;
      this.u32[(this.o.pdpteRegisters >>> 2) + 2 * i + 1] = t.hi;
    }
    return OK;
  }

  /** Does a PDPTE of PAE paging break the reserved bits (2:1, 8:5, 63:MAXPHYADDR)? Not-present entries never do. */
  pdpteReserved(lo: number, hi: number): boolean {
    return (lo & PTE_P) !== 0 && ((lo & 0x1e6) !== 0 || (hi & (this.addressReserved | 0xfff0_0000)) !== 0);
  }

  // ---- walks

  private walk32(access: number, user: boolean, implicit: boolean): Status {
    const t = this.tables, lin = this.linLo;
    let at = this.readEntry(2, this.cr3 + 4 * (lin >>> 22), true);
    if (at < 0) return NESTED_FAULT;
    const pde = t.lo;
    if ((pde & PTE_P) === 0) return this.fault(0, access, user);
    if (this.pse && (pde & PTE_PS) !== 0) {
      if ((pde & this.pse36Reserved) !== 0) return this.fault(PF_P | PF_RSVD, access, user);
      t.leafRead();
      return this.complete(2, 2, 22, (pde >>> 13) & 0xff, pde & 0xffc0_0000, pde, 0, access, user, implicit);
    }
    at = this.readEntry(1, ((pde & 0xffff_f000) >>> 0) + 4 * ((lin >>> 12) & 1023), true);
    if (at < 0) return NESTED_FAULT;
    const pte = t.lo;
    if ((pte & PTE_P) === 0) return this.fault(0, access, user);
    t.leafRead();
    return this.complete(2, 1, 12, 0, pte & 0xffff_f000, pde & pte, 0, access, user, implicit);
  }

  private walk64(access: number, user: boolean, implicit: boolean): Status {
    const t = this.tables, hi = this.linHi, lo = this.linLo;
    const top = this.mode === PAE ? 2 : 4;
    let table = this.cr3, rights = PTE_W | PTE_U, nx = 0, level = top;
    if (this.mode === PAE) {
      if (!this.readPdpte(lo >>> 30)) return NESTED_FAULT;
      if ((t.lo & PTE_P) === 0) return this.fault(0, access, user);
      if (this.pdpteFromMemory && this.pdpteReserved(t.lo, t.hi)) return this.fault(PF_P | PF_RSVD, access, user);
      table = (t.hi & 0xf_ffff) * HIGH + ((t.lo & 0xffff_f000) >>> 0);
    }
    for (; ; level--) {
      if (this.readEntry(level, table + 8 * tableIndex(level, hi, lo), false) < 0) return NESTED_FAULT;
      const e = t.lo;
      if ((e & PTE_P) === 0) return this.fault(0, access, user);
      const leaf = level === 1 || (level < 4 && (e & PTE_PS) !== 0);
      if (this.reserved(e, t.hi, level, leaf)) return this.fault(PF_P | PF_RSVD, access, user);
      rights &= e;
      nx |= t.hi & PTE_NX_HI;
      if (leaf) break;
      table = (t.hi & 0xf_ffff) * HIGH + ((e & 0xffff_f000) >>> 0);
    }
    t.leafRead();
    return this.complete(top, level, pageShift(level), t.hi & 0xf_ffff, t.lo & 0xffff_f000, rights, nx, access, user, implicit);
  }

  /** Reserved bits of a present entry of PAE or 4-level paging. SDM 3A tables 4-8 to 4-11 and 4-15 to 4-20. */
  private reserved(lo: number, hi: number, level: number, leaf: boolean): boolean {
    if ((hi & this.addressReserved) !== 0) return true;
    if ((hi & PTE_NX_HI) !== 0 && !this.nx) return true;
    if (this.mode === PAE && (hi & 0x7ff0_0000) !== 0) return true;
    if (level === 4) return (lo & PTE_PS) !== 0 || (this.o.bit8Reserved === true && (lo & PTE_G) !== 0);
    if (level === 3) {
      if (leaf) return !this.o.gigabytePages || (lo & 0x3fff_e000) !== 0;
      return this.o.bit8Reserved === true && (lo & PTE_G) !== 0;
    }
    return level === 2 && leaf && (lo & 0x1f_e000) !== 0;
  }

  /** Reads the PDPTE for quarter `i` of the address space: false for a nested fault. */
  private readPdpte(i: number): boolean {
    const t = this.tables;
    if (!this.pdpteFromMemory) {
      t.lo = this.u32[(this.o.pdpteRegisters >>> 2) + 2 * i]! | 0;
      t.hi = this.u32[(this.o.pdpteRegisters >>> 2) + 2 * i + 1]! | 0;
      return true;
    }
    const at = this.tableAddress(this.cr3 + 8 * i, READ);
    if (at < 0) return false;
    t.read64(at);
    return true;
  }

  /** Reads a guest entry, remembering where it is for `complete`. Returns its host address, or -1 after a nested fault. */
  private readEntry(level: number, gpa: number, short: boolean): number {
    const at = this.tableAddress(gpa, READ);
    if (at < 0) return -1;
    const t = this.tables;
    if (short) t.read32(at);
    else t.read64(at);
    this.entryGpa[level] = gpa;
    this.entryHpa[level] = at;
    this.entryLo[level] = t.lo;
    return at;
  }

  /**
   * Host address of a guest paging-structure entry, or -1 after a nested fault. With EPT accessed and dirty flags on, and
   * always under NPT, these accesses count as writes (SDM 3C §29.3.3.2 "EPT Violations"; APM 2 §15.25.5 "Nested Table Walk").
   */
  private tableAddress(gpa: number, access: number): number {
    const c = this.nestedContext;
    if (c === null) return gpa;
    const how = c.format === 'npt' || c.ad ? access | WRITE : access;
    if (this.nested.translate(c, gpa, how, true)) return this.nested.hpa;
    this.recordNestedFault(gpa, how, true, true);
    return -1;
  }

  // ---- the end of a walk

  private permits(w: number, u: number, nx: number, access: number, user: boolean, implicit: boolean): boolean {
    if (user) {
      if (u === 0) return false;
      if ((access & WRITE) !== 0 && w === 0) return false;
    } else {
      if (u !== 0 && (access & FETCH) !== 0 && this.smep) return false;
      if (u !== 0 && (access & (READ | WRITE)) !== 0 && this.smap && (implicit || !this.ac)) return false;
      if ((access & WRITE) !== 0 && w === 0 && this.wp) return false;
    }
    return (access & FETCH) === 0 || nx === 0;
  }

  private complete(top: number, level: number, shift: number, frameHi: number, frameLo: number, rights: number, nx: number, access: number, user: boolean, implicit: boolean): Status {
    const w = rights & PTE_W, u = rights & PTE_U;
    if (!this.permits(w, u, nx, access, user, implicit)) return this.fault(PF_P, access, user);

    const leaf = this.entryLo[level]!;
    for (let l = top; l >= level; l--) {
      const want = l === level && (access & WRITE) !== 0 ? PTE_A | PTE_D : PTE_A;
      if ((this.entryLo[l]! & want) === want) continue;
      if (this.nestedContext !== null) {
        // The update is a write of its own; the table's page may be readable only.
        const at = this.tableAddress(this.entryGpa[l]!, READ | WRITE);
        if (at < 0) return NESTED_FAULT;
        this.entryHpa[l] = at;
      }
      this.tables.setBits(this.entryHpa[l]!, want);
    }

    this.readable = this.permits(w, u, nx, READ, user, false);
    this.writable = ((access & WRITE) !== 0 || (leaf & PTE_D) !== 0) && this.permits(w, u, nx, WRITE, user, false);
    this.executable = this.permits(w, u, nx, FETCH, user, false);
    this.userOk = u !== 0;
    this.global = this.pge && (leaf & PTE_G) !== 0;
    this.pageShift = shift;
    const inPage = (1 << shift) - 1;
    const pat = (leaf >>> 3) & 3 | ((leaf & (level === 1 ? PTE_PAT_4K : PTE_PAT_LARGE)) !== 0 ? 4 : 0);
    const type = ((pat < 4 ? this.patLo : this.patHi) >>> (8 * (pat & 3))) & 7;
    return this.finish(frameHi * HIGH + (((frameLo & ~inPage) | (this.linLo & inPage)) >>> 0), access, user, type);
  }

  /** The final address: through the nested tables where there are any. */
  private finish(gpa: number, access: number, user: boolean, type: number): Status {
    this.gpa = gpa;
    this.tlbPageShift = this.pageShift;
    const c = this.nestedContext;
    if (c === null) {
      this.hpa = gpa;
      this.memoryType = type;
      return OK;
    }
    const n = this.nested;
    if (!n.translate(c, gpa, access, false)) {
      this.recordNestedFault(gpa, access, false, user);
      return NESTED_FAULT;
    }
    this.hpa = n.hpa;
    this.readable = this.readable && n.readable;
    this.writable = this.writable && n.writable;
    this.executable = this.executable && n.executable;
    if (this.mode === NONE || n.pageShift < this.tlbPageShift) this.tlbPageShift = n.pageShift;
    this.memoryType = n.ignorePat ? n.memoryType : combineTypes(type, n.memoryType);
    return OK;
  }

  private fault(bits: number, access: number, user: boolean): Status {
    // SDM 3A §4.7: I/D is set only where instruction fetches have a permission of their own.
    const id = (access & FETCH) !== 0 && (this.smep || (this.mode !== LEGACY && this.nx));
    this.errorCode = bits | ((access & WRITE) !== 0 ? PF_W : 0) | (user ? PF_U : 0) | (id ? PF_ID : 0);
    return FAULT;
  }

  private recordNestedFault(gpa: number, access: number, onTable: boolean, user: boolean): void {
    const f = this.nestedFault as FaultRecord, n = this.nested, npt = this.nestedContext!.format === 'npt';
    f.gpa = gpa;
    f.glaValid = this.glaValid;
    f.gla = this.glaValid ? (BigInt(this.linHi >>> 0) << 32n) | BigInt(this.linLo >>> 0) : 0n;
    f.onTable = onTable;
    f.read = (access & READ) !== 0;
    f.write = (access & WRITE) !== 0;
    f.fetch = (access & FETCH) !== 0;
    f.present = n.present;
    f.permissions = n.permissions;
    f.user = npt || user; // APM 2 §15.25.5: at the nested level every access is a user access
    f.misconfiguration = n.misconfiguration;
    f.reserved = n.reserved;
  }
}
