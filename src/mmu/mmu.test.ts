import { beforeEach, describe, expect, it } from 'vitest';
import { LinearMemory } from '../mem/linear-memory.js';
import { PhysicalMemory } from '../mem/physical.js';
import type { NestedContext, PagingContext, PagingMode } from './context.js';
import { FAULT, FETCH, NESTED_FAULT, OK, READ, UC, WB, WRITE } from './format.js';
import { Mmu } from './mmu.js';

const m = new LinearMemory(8 << 20);
const phys = new PhysicalMemory(m);
const PDPTES = 0x40_0000; // any free linear memory
const mmu = new Mmu(m, phys, { physicalAddressBits: 40, gigabytePages: false, pdpteRegisters: PDPTES });
const big = new Mmu(m, phys, { physicalAddressBits: 40, gigabytePages: true, eptExecuteOnly: true, bit8Reserved: true, pdpteRegisters: PDPTES });

const put64 = (hpa: number, v: bigint): void => void (m.u64[phys.address(hpa) >>> 3] = v);
const put32 = (hpa: number, v: number): void => void (m.u32[phys.address(hpa) >>> 2] = v);
const get64 = (hpa: number): bigint => m.u64[phys.address(hpa) >>> 3]!;
const get32 = (hpa: number): number => m.u32[phys.address(hpa) >>> 2]!;

const P = 1, W = 2, U = 4, A = 32, D = 64, PS = 128, G = 256;
const NX = 1n << 63n;

const base = { cr3Lo: 0x1000, cr3Hi: 0, wp: true, pse: true, pge: true, smep: false, smap: false, ac: false, nx: true, nested: null };
const context = (paging: PagingMode, more: Partial<PagingContext> = {}): PagingContext => ({ ...base, paging, ...more });

beforeEach(() => {
  for (let a = 0; a < 0x20000; a += 8) if (phys.address(a) >= 0) put64(a, 0n);
  m.u8.fill(0, PDPTES, PDPTES + 32);
});

/** Linear 0x00c0_3456 through tables at 0x1000, 0x2000, ...: `entries` from the top down; addresses are filled in. */
const LIN = 0x00c0_3456;
function longTables(entries: bigint[], leafFrame = 0x5_5000n): void {
  const at = [0x1000, 0x2000, 0x3000 + 8 * 6, 0x4000 + 8 * 3];
  entries.forEach((e, i) => put64(at[i]!, e | (i === entries.length - 1 ? leafFrame : BigInt(0x2000 + 0x1000 * i))));
}

describe('4-level paging: permissions and error codes', () => {
  // [title, entries from the top, access, user, context, expected error code or null]
  const all = BigInt(P | W | U);
  const cases: [string, bigint[], number, boolean, Partial<PagingContext>, number | null][] = [
    ['user write to a user page', [all, all, all, all], WRITE, true, {}, null],
    ['not present at the top', [0n, all, all, all], READ, false, {}, 0],
    ['not present at the leaf, user write', [all, all, all, 0n], WRITE, true, {}, 6],
    ['not present, user fetch with NXE', [all, all, all, 0n], FETCH, true, {}, 0x14],
    ['not present, user fetch without NXE or SMEP', [all, all, all, 0n], FETCH, true, { nx: false }, 4],
    ['not present, fetch with SMEP alone', [all, all, all, 0n], FETCH, false, { nx: false, smep: true }, 0x10],
    ['user read of a page whose PDE is supervisor', [all, all, 3n, all], READ, true, {}, 5],
    ['user write where the PML4E is read-only', [5n, all, all, all], WRITE, true, {}, 7],
    ['supervisor write to read-only, WP = 1', [all, all, all, 5n], WRITE, false, {}, 3],
    ['supervisor write to read-only, WP = 0', [all, all, all, 5n], WRITE, false, { wp: false }, null],
    ['user write to read-only, WP = 0', [all, all, all, 5n], WRITE, true, { wp: false }, 7],
    ['fetch from an NX page', [all, all, all, all | NX], FETCH, false, {}, 0x11],
    ['fetch below an NX PDPTE', [all, all | NX, all, all], FETCH, true, {}, 0x15],
    ['read of an NX page', [all, all, all, all | NX], READ, true, {}, null],
    ['NX bit with NXE = 0 is reserved', [all, all, all, all | NX], READ, false, { nx: false }, 9],
    ['address bit at MAXPHYADDR', [all, all, all, all | (1n << 40n)], WRITE, true, {}, 0xf],
    ['ignored bits 62:52', [all, all, all, all | (0x7ffn << 52n)], READ, true, {}, null],
    ['PS in a PML4E', [all | 128n, all, all, all], READ, false, {}, 9],
    ['PS in a PDPTE without 1-GByte pages', [all, all | 128n, all, all], READ, false, {}, 9],
    ['SMEP: supervisor fetch from a user page', [all, all, all, all], FETCH, false, { smep: true }, 0x11],
    ['SMEP: supervisor fetch from a supervisor page', [all, all, all, 3n], FETCH, false, { smep: true }, null],
    ['SMAP: supervisor read of a user page', [all, all, all, all], READ, false, { smap: true }, 1],
    ['SMAP with AC: allowed', [all, all, all, all], WRITE, false, { smap: true, ac: true }, null],
    ['SMAP does not touch fetches', [all, all, all, all], FETCH, false, { smap: true }, null],
  ];
  it.each(cases)('%s', (_, entries, access, user, more, error) => {
    longTables(entries);
    mmu.setContext(context('4-level', more));
    const status = mmu.translate(0, LIN, access, user);
    if (error === null) {
      expect(status).toBe(OK);
      expect(mmu.hpa).toBe(0x5_5456);
    } else {
      expect(status).toBe(FAULT);
      expect(mmu.errorCode).toBe(error);
    }
  });

  it('SMAP applies to implicit supervisor accesses in spite of AC', () => {
    longTables([all, all, all, all]);
    mmu.setContext(context('4-level', { smap: true, ac: true }));
    expect(mmu.translate(0, LIN, READ, false, true)).toBe(FAULT);
  });

  it('sets A in every entry, D in the leaf on a write only, and nothing on a fault', () => {
    longTables([all, all, all, BigInt(P | U)]);
    mmu.setContext(context('4-level'));
    expect(mmu.translate(0, LIN, WRITE, true)).toBe(FAULT);
    expect(get64(0x1000) & 0x60n).toBe(0n);
    longTables([all, all, all, all]);
    mmu.translate(0, LIN, READ, true);
    expect([0x1000, 0x2000, 0x3030, 0x4018].map((a) => Number(get64(a) & 0x60n))).toEqual([A, A, A, A]);
    expect(mmu.writable).toBe(false); // dirty flag still clear
    mmu.translate(0, LIN, WRITE, true);
    expect([0x1000, 0x3030, 0x4018].map((a) => Number(get64(a) & 0x60n))).toEqual([A, A, A | D]);
    expect(mmu.writable).toBe(true);
  });

  it('maps 2-MByte and 1-GByte pages, and checks their reserved bits', () => {
    longTables([all, all, all | BigInt(PS | G)], 0x1_2340_0000n);
    mmu.setContext(context('4-level'));
    expect(mmu.translate(0, LIN, READ, true)).toBe(OK);
    expect([mmu.hpa, mmu.pageShift, mmu.global]).toEqual([0x1_2340_3456, 21, true]);
    longTables([all, all, all | BigInt(PS)], 0x1_2340_2000n);
    expect(mmu.translate(0, LIN, READ, true)).toBe(FAULT);
    expect(mmu.errorCode).toBe(0xd);
    longTables([all, all | BigInt(PS)], 0x40_0000_0000n);
    big.setContext(context('4-level'));
    expect(big.translate(0, LIN, READ, true)).toBe(OK);
    expect([big.hpa, big.pageShift]).toEqual([0x40_00c0_3456, 30]);
  });

  it('takes all 48 bits of the linear address', () => {
    put64(0x1000 + 8 * 0x1ff, 0x2003n);
    put64(0x2000 + 8 * 0x1fe, 0x3003n);
    put64(0x3000 + 8 * 0x1fd, 0x4003n);
    put64(0x4000 + 8 * 0x1fc, 0x77003n);
    mmu.setContext(context('4-level'));
    const lin = (0x1ffn << 39n) | (0x1fen << 30n) | (0x1fdn << 21n) | (0x1fcn << 12n) | 0xabcn;
    expect(mmu.translate(Number(lin >> 32n) | 0xffff0000, Number(lin & 0xffffffffn), READ, false)).toBe(OK);
    expect(mmu.hpa).toBe(0x77abc);
    expect([...mmu.tables.refs.subarray(0, mmu.tables.refCount)]).toEqual([0x1ff8, 0x2ff0, 0x3fe8, 0x4fe0]);
  });

  it('picks the memory type through the PAT', () => {
    longTables([all, all, all, all | 0x18n]); // PCD, PWT: PAT entry 3
    mmu.setContext(context('4-level'));
    mmu.translate(0, LIN, READ, true);
    expect(mmu.memoryType).toBe(UC);
    longTables([all, all, all, all]);
    mmu.translate(0, LIN, READ, true);
    expect(mmu.memoryType).toBe(WB);
  });

  it('AMD reserves bit 8 of a PML4E', () => {
    longTables([all | 256n, all, all, all]);
    big.setContext(context('4-level'));
    mmu.setContext(context('4-level'));
    expect(big.translate(0, LIN, READ, true)).toBe(FAULT);
    expect(mmu.translate(0, LIN, READ, true)).toBe(OK);
  });
});

describe('32-bit paging', () => {
  const pde = 0x1000 + 4 * 3, pte = 0x2000 + 4 * 3;
  it('walks two levels with 4-byte entries', () => {
    put32(pde, 0x2000 | P | W | U);
    put32(pte, 0x55000 | P | W | U);
    mmu.setContext(context('32-bit'));
    expect(mmu.translate(0, LIN, WRITE, true)).toBe(OK);
    expect(mmu.hpa).toBe(0x55456);
    expect(get32(pte) & (A | D)).toBe(A | D);
    expect(get32(pde) & (A | D)).toBe(A);
  });
  it('PSE-36: bits 20:13 are address bits 39:32; bit 21 is reserved', () => {
    put32(pde, 0x0140_0000 | (0x12 << 13) | PS | P | W);
    mmu.setContext(context('32-bit'));
    expect(mmu.translate(0, LIN, READ, false)).toBe(OK);
    expect([mmu.hpa, mmu.pageShift]).toEqual([0x12_0140_3456, 22]);
    put32(pde, 0x0160_0000 | PS | P | W);
    expect(mmu.translate(0, LIN, READ, false)).toBe(FAULT);
    expect(mmu.errorCode).toBe(9);
  });
  it('without CR4.PSE bit 7 of a PDE means nothing', () => {
    put32(pde, 0x2000 | PS | P | W);
    put32(pte, 0x55000 | P);
    mmu.setContext(context('32-bit', { pse: false }));
    expect(mmu.translate(0, LIN, READ, false)).toBe(OK);
    expect(mmu.hpa).toBe(0x55456);
  });
  it('reports no I/D flag: there is no NX here', () => {
    mmu.setContext(context('32-bit'));
    expect(mmu.translate(0, LIN, FETCH, true)).toBe(FAULT);
    expect(mmu.errorCode).toBe(4);
  });
});

describe('PAE paging', () => {
  it('takes the PDPTE from the registers and gives them no permissions', () => {
    put64(0x1020, 0x3001n); // the table at CR3 = 0x1020, 32-byte aligned
    mmu.setContext(context('PAE', { cr3Lo: 0x1020 }));
    expect(mmu.loadPdptes(0x1020)).toBe(OK);
    put64(0x1020, 0n); // later changes of memory do not count
    put64(0x3030, 0x4007n);
    put64(0x4018, 0x55007n);
    expect(mmu.translate(0, LIN, WRITE, true)).toBe(OK);
    expect(mmu.hpa).toBe(0x55456);
  });
  it('bits 62:52 are reserved, unlike in 4-level paging', () => {
    m.u64[PDPTES >>> 3] = 0x3001n;
    put64(0x3030, 0x4007n);
    put64(0x4018, 0x55007n | (1n << 52n));
    mmu.setContext(context('PAE'));
    expect(mmu.translate(0, LIN, READ, true)).toBe(FAULT);
    expect(mmu.errorCode).toBe(0xd);
  });
  it('loading a PDPTE with reserved bits fails and changes no register', () => {
    put64(0x1000, 0x3001n);
    put64(0x1008, 0x3003n);
    mmu.setContext(context('PAE'));
    expect(mmu.loadPdptes(0x1000)).toBe(FAULT);
    expect(m.u64[PDPTES >>> 3]).toBe(0n);
  });
  it('under AMD nested paging the PDPTEs are read from memory', () => {
    put64(0x1000, 0x3001n);
    put64(0x3030, 0x4007n);
    put64(0x4018, 0x55007n);
    mmu.setContext(context('PAE', { pdpteFromMemory: true }));
    expect(mmu.translate(0, LIN, READ, true)).toBe(OK);
    put64(0x1000, 0x3003n);
    expect(mmu.translate(0, LIN, READ, true)).toBe(FAULT);
    expect(mmu.errorCode).toBe(0xd);
  });
});

describe('nested paging', () => {
  const all = BigInt(P | W | U);
  /** Guest tables as for LIN; EPT or NPT at 0x8000 maps guest page g to host page g + 0x10_0000 for the first 2 MByte. */
  const SHIFT = 0x10_0000;
  const leaf = (gpa: number): number => 0xb000 + 8 * (gpa >>> 12);
  function nest(kind: 'ept' | 'npt', more: Partial<NestedContext> = {}, levels: 3 | 4 = 4): NestedContext {
    const t = kind === 'ept' ? 7n : all, l = kind === 'ept' ? 7n | (6n << 3n) : all;
    if (levels === 4) put64(0x8000, 0x9000n | t);
    put64(0x9000, levels === 4 ? 0xa000n | t : 0xa001n);
    put64(0xa000, 0xb000n | t);
    for (let p = 0; p < 0x80; p++) put64(0xb000 + 8 * p, BigInt(p * 0x1000 + SHIFT) | l);
    return { format: kind, root: levels === 4 ? 0x8000 : 0x9000, ad: false, levels, nx: true, pse: true, ...more };
  }
  function guest(leafEntry = all): void {
    const to = (at: number, v: bigint): void => put64(at + SHIFT, v);
    to(0x1000, 0x2000n | all);
    to(0x2000, 0x3000n | all);
    to(0x3030, 0x4000n | all);
    to(0x4018, 0x5_5000n | leafEntry);
  }

  for (const kind of ['ept', 'npt'] as const)
    it(`${kind}: a two-dimensional walk reads 24 entries and translates the final address`, () => {
      const nested = nest(kind);
      guest(all | BigInt(A | D));
      for (const at of [0x1000, 0x2000, 0x3030]) put64(at + SHIFT, get64(at + SHIFT) | BigInt(A));
      mmu.setContext(context('4-level', { nested }));
      expect(mmu.translate(0, LIN, WRITE, true)).toBe(OK);
      expect([mmu.hpa, mmu.gpa, mmu.tables.refCount]).toEqual([0x5_5456 + SHIFT, 0x5_5456, 24]);
      expect(mmu.writable).toBe(true);
    });

  it('EPT: a violation on the final address tells access, permissions and addresses', () => {
    const nested = nest('ept');
    guest();
    put64(leaf(0x5_5000), (get64(leaf(0x5_5000)) & ~7n) | 5n);
    mmu.setContext(context('4-level', { nested }));
    expect(mmu.translate(0, LIN, READ, true)).toBe(OK);
    expect(mmu.writable).toBe(false);
    expect(mmu.translate(0, LIN, WRITE, true)).toBe(NESTED_FAULT);
    expect(mmu.nestedFault).toMatchObject({ gpa: 0x5_5456, gla: BigInt(LIN), glaValid: true, onTable: false, read: false, write: true, permissions: 5, misconfiguration: false });
  });

  it('EPT: setting an accessed flag in a read-only table is a read and write', () => {
    const nested = nest('ept');
    guest();
    put64(leaf(0x4000), (get64(leaf(0x4000)) & ~7n) | 1n);
    mmu.setContext(context('4-level', { nested }));
    expect(mmu.translate(0, LIN, READ, true)).toBe(NESTED_FAULT);
    expect(mmu.nestedFault).toMatchObject({ gpa: 0x4018, onTable: true, read: true, write: true, permissions: 1 });
    put64(0x4018 + SHIFT, get64(0x4018 + SHIFT) | BigInt(A | D));
    expect(mmu.translate(0, LIN, WRITE, true)).toBe(OK);
  });

  it('EPT with accessed and dirty flags: table accesses are writes, flags are set in EPT entries', () => {
    const nested = nest('ept', { ad: true });
    guest(all | BigInt(A | D));
    mmu.setContext(context('4-level', { nested }));
    mmu.translate(0, LIN, READ, true);
    expect(get64(0x8000) & 0x300n).toBe(0x100n);
    expect(get64(leaf(0x4000)) & 0x300n).toBe(0x300n);
    expect(get64(leaf(0x5_5000)) & 0x300n).toBe(0x100n);
    expect(mmu.writable).toBe(false); // EPT dirty flag still clear
    mmu.translate(0, LIN, WRITE, true);
    expect(get64(leaf(0x5_5000)) & 0x300n).toBe(0x300n);
  });

  const bad: [string, (e: bigint) => bigint][] = [
    ['write without read', (e) => (e & ~7n) | 2n],
    ['write and execute without read', (e) => (e & ~7n) | 6n],
    ['execute-only where that is not supported', (e) => (e & ~7n) | 4n],
    ['memory type 2', (e) => (e & ~0x38n) | (2n << 3n)],
    ['address above MAXPHYADDR', (e) => e | (1n << 45n)],
  ];
  it.each(bad)('EPT misconfiguration: %s', (_, change) => {
    const nested = nest('ept');
    put64(leaf(0x5_5000), change(get64(leaf(0x5_5000))));
    mmu.setContext(context('none', { nested }));
    expect(mmu.translate(0, 0x5_5456, READ, false)).toBe(NESTED_FAULT);
    expect(mmu.nestedFault).toMatchObject({ gpa: 0x5_5456, misconfiguration: true });
  });

  it('EPT: execute-only pages where supported', () => {
    const nested = nest('ept');
    put64(leaf(0x5_5000), (get64(leaf(0x5_5000)) & ~7n) | 4n);
    big.setContext(context('none', { nested }));
    expect(big.translate(0, 0x5_5456, FETCH, false)).toBe(OK);
    expect([big.readable, big.writable, big.executable]).toEqual([false, false, true]);
    expect(big.translate(0, 0x5_5456, READ, false)).toBe(NESTED_FAULT);
    expect(big.nestedFault).toMatchObject({ misconfiguration: false, permissions: 4 });
  });

  it('EPT: the page is as large as the smaller of both', () => {
    const nested = nest('ept');
    put64(0xa000, 0x20_0000n | 7n | (6n << 3n) | 128n);
    mmu.setContext(context('none', { nested }));
    expect(mmu.translate(0, 0x5_5456, READ, false)).toBe(OK);
    expect([mmu.hpa, mmu.tlbPageShift]).toEqual([0x25_5456, 21]);
  });

  it('EPT: the guest PAT type is combined unless the entry says to ignore it', () => {
    const nested = nest('ept');
    guest(all | 0x18n);
    mmu.setContext(context('4-level', { nested }));
    mmu.translate(0, LIN, READ, true);
    expect(mmu.memoryType).toBe(UC);
    put64(leaf(0x5_5000), get64(leaf(0x5_5000)) | 64n);
    mmu.translate(0, LIN, READ, true);
    expect(mmu.memoryType).toBe(WB);
  });

  it('NPT: table walks are user writes, and set dirty flags', () => {
    const nested = nest('npt');
    guest(all | BigInt(A | D));
    put64(leaf(0x2000), get64(leaf(0x2000)) & ~2n);
    mmu.setContext(context('4-level', { nested }));
    expect(mmu.translate(0, LIN, READ, false)).toBe(NESTED_FAULT);
    expect(mmu.nestedFault).toMatchObject({ gpa: 0x2000, onTable: true, write: true, user: true, present: true, reserved: false });
    expect(get64(leaf(0x1000)) & 0x60n).toBe(0x60n);
  });

  it('NPT: a supervisor page is out of reach, a missing one is not present, a reserved bit is told', () => {
    const nested = nest('npt');
    mmu.setContext(context('none', { nested }));
    put64(leaf(0x5_5000), get64(leaf(0x5_5000)) & ~4n);
    expect(mmu.translate(0, 0x5_5456, READ, false)).toBe(NESTED_FAULT);
    expect(mmu.nestedFault).toMatchObject({ present: true, reserved: false, onTable: false, read: true });
    put64(leaf(0x5_5000), 0n);
    mmu.translate(0, 0x5_5456, READ, false);
    expect(mmu.nestedFault).toMatchObject({ present: false });
    put64(leaf(0x5_5000), 0x100_0000_0007n);
    mmu.translate(0, 0x5_5456, READ, false);
    expect(mmu.nestedFault).toMatchObject({ present: true, reserved: true });
  });

  it('NPT in the PAE and 32-bit formats of a legacy host', () => {
    mmu.setContext(context('none', { nested: nest('npt', {}, 3) }));
    expect(mmu.translate(0, 0x5_5456, READ, false)).toBe(OK);
    expect(mmu.hpa).toBe(0x15_5456);
    put32(0xc000, 0xd000 | P | W | U);
    put32(0xd000 + 4 * 0x55, 0x7_7000 | P | W | U);
    const nested: NestedContext = { format: 'npt', root: 0xc000, ad: false, levels: 2, nx: false, pse: true };
    mmu.setContext(context('none', { nested }));
    expect(mmu.translate(0, 0x5_5456, WRITE, false)).toBe(OK);
    expect(mmu.hpa).toBe(0x7_7456);
    expect(get32(0xd000 + 4 * 0x55) & (A | D)).toBe(A | D);
  });

  it('a guest page fault comes before the nested fault of the final address', () => {
    const nested = nest('ept');
    guest(BigInt(P | U));
    put64(leaf(0x5_5000), 0n);
    mmu.setContext(context('4-level', { nested }));
    expect(mmu.translate(0, LIN, WRITE, true)).toBe(FAULT);
    expect(mmu.errorCode).toBe(7);
  });
});
