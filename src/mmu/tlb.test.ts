import { expect, it } from 'vitest';
import { LinearMemory } from '../mem/linear-memory.js';
import { PhysicalMemory } from '../mem/physical.js';
import { TLB_BYTES, TLB_ENTRIES, TLB_ENTRY_BYTES, TlbPool, type Translation } from './tlb.js';

const m = new LinearMemory(4 << 20);
const phys = new PhysicalMemory(m);
phys.addRegion(0xf_0000, 0x1_0000, false);

const page = (hpa: number, more: Partial<Translation> = {}): Translation => ({ hpa, readable: true, writable: true, executable: true, global: false, pageShift: 12, ...more });

/** What emitted code does: the linear-memory address for a linear address, or null for a miss. */
function look(tlb: number, lin: bigint, tag: 'read' | 'write' | 'exec'): number | null {
  const at = tlb + Number((lin >> 12n) & BigInt(TLB_ENTRIES - 1)) * TLB_ENTRY_BYTES;
  const offset = { read: 0, write: 8, exec: 24 }[tag];
  if (m.i64[(at + offset) >>> 3] !== BigInt.asIntN(64, lin & ~0xfffn)) return null;
  return (Number(lin & 0xffff_ffffn) + m.i32[(at + 16) >>> 2]!) >>> 0;
}
const fill = (p: TlbPool, tlb: number, lin: bigint, t: Translation): void => p.fill(tlb, Number(lin >> 32n), Number(lin & 0xffff_ffffn) | 0, t);

it('finds what was filled, also at the top of the address space', () => {
  const p = new TlbPool(m, phys), tlb = p.select(0, 0, 0, 0);
  for (const lin of [0n, 0x7000n, 0xffff_ffff_ffff_f000n, 0xffff_8000_0012_3000n]) {
    fill(p, tlb, lin, page(0x12_3000));
    for (const tag of ['read', 'write', 'exec'] as const) expect(look(tlb, lin + 0x45n, tag)).toBe(phys.address(0x12_3045));
  }
  expect(look(tlb, 0x1234_5000n, 'read')).toBeNull();
});

it('keeps permissions apart; firmware and code pages are not writable, devices not in at all', () => {
  const p = new TlbPool(m, phys), tlb = p.select(0, 0, 0, 0);
  p.isCodePage = (n) => n === 0x55;
  fill(p, tlb, 0x1000n, page(0x20_0000, { writable: false, executable: false }));
  fill(p, tlb, 0x2000n, page(0xf_2000));
  fill(p, tlb, 0x3000n, page(0x5_5000));
  fill(p, tlb, 0x4000n, page(0xfee0_0000));
  const seen = [0x1000n, 0x2000n, 0x3000n, 0x4000n].map((l) => (['read', 'write', 'exec'] as const).filter((t) => look(tlb, l, t) !== null).join());
  expect(seen).toEqual(['read', 'read,exec', 'read,exec', '']);
});

it('protectPage takes write permission in every address space, and fill can give it back', () => {
  const p = new TlbPool(m, phys), a = p.select(0, 0, 0, 0), b = p.select(1, 5, 0, 3);
  fill(p, a, 0x1000n, page(0x5_5000));
  fill(p, b, 0x9000n, page(0x5_5000));
  p.protectPage(0x55);
  expect([look(a, 0x1000n, 'write'), look(b, 0x9000n, 'write')]).toEqual([null, null]);
  expect(look(b, 0x9000n, 'read')).not.toBeNull();
  fill(p, a, 0x1000n, page(0x5_5000));
  expect(look(a, 0x1000n, 'write')).not.toBeNull();
});

it('flushes a page in all views of its address space, and the whole of a large page', () => {
  const p = new TlbPool(m, phys), user = p.select(0, 3, 0, 1), kernel = p.select(0, 3, 0, 0), other = p.select(0, 4, 0, 0);
  for (const t of [user, kernel, other]) {
    fill(p, t, 0x40_1000n, page(0x20_1000, { pageShift: 21 }));
    fill(p, t, 0x40_2000n, page(0x20_2000, { pageShift: 21 }));
    fill(p, t, 0x60_3000n, page(0x20_3000));
  }
  p.flushPage(0, 3, 0, 0x40_5000);
  expect([look(user, 0x40_1000n, 'read'), look(kernel, 0x40_2000n, 'read')]).toEqual([null, null]);
  expect(look(kernel, 0x60_3000n, 'read')).not.toBeNull();
  expect(look(other, 0x40_1000n, 'read')).not.toBeNull();
  p.flushPage(0, 3, 0, 0x60_3000);
  expect(look(kernel, 0x60_3000n, 'read')).toBeNull();
});

it('a new CR3 keeps global pages; a flush of all does not', () => {
  const p = new TlbPool(m, phys), t = p.select(0, 0, 0, 0);
  fill(p, t, 0x1000n, page(0x1000, { global: true }));
  fill(p, t, 0x2000n, page(0x2000));
  p.flushContext(0, 0, -1, true);
  expect([look(t, 0x1000n, 'read') !== null, look(t, 0x2000n, 'read') !== null]).toEqual([true, false]);
  p.flushAll(-1);
  expect(look(t, 0x1000n, 'read')).toBeNull();
});

it('an exit does not disturb the other side; INVEPT and INVVPID forget guests only', () => {
  const p = new TlbPool(m, phys), host = p.select(0, 0, 0, 0), guest = p.select(0, 7, 0, 0);
  fill(p, host, 0x1000n, page(0x1000));
  fill(p, guest, 0x1000n, page(0x2000));
  expect(p.select(0, 0, 0, 0)).toBe(host);
  p.flushTag(-1, 8);
  expect(look(guest, 0x1000n, 'read')).not.toBeNull();
  p.flushGuests(-1);
  expect([look(host, 0x1000n, 'read') !== null, look(guest, 0x1000n, 'read')]).toEqual([true, null]);
});

it('gives up the least recently selected TLB, emptied', () => {
  const p = new TlbPool(m, phys), first = p.select(0, 1, 0, 0), second = p.select(0, 2, 0, 0);
  fill(p, second, 0x1000n, page(0x1000));
  for (let t = 3; t <= 128; t++) p.select(0, t, 0, 0);
  expect(p.select(0, 1, 0, 0)).toBe(first); // still there: exactly 128 exist
  const reused = p.select(0, 1000, 0, 0);
  expect(reused).toBe(second);
  expect((reused - first) % TLB_BYTES).toBe(0);
  expect(look(reused, 0x1000n, 'read')).toBeNull();
  expect(p.select(0, 2, 0, 0)).not.toBe(second);
});
