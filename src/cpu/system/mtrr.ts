/**
 * Memory-type range registers: stored, with the rules for their values.
 *
 * SDM 3A §11.11 "Memory Type Range Registers (MTRRs)". The model has no use for memory types outside EPT checks, so nothing follows
 * from the values.
 */

import type { Cpu } from '../cpu.js';
import type { Msr, MsrTable } from '../registers.js';
import { MTRR_VARIABLE, SLOT, getSlot, setSlot } from './msr-store.js';

/** UC, WC, WT, WP, WB. */
export const isMemoryType = (t: number): boolean => t === 0 || t === 1 || t === 4 || t === 5 || t === 6;

const FIXED = [0x250, 0x258, 0x259, 0x268, 0x269, 0x26a, 0x26b, 0x26c, 0x26d, 0x26e, 0x26f];
const CAP_FIX = 0x100, CAP_WC = 0x400;
const DEF_FE = 0x400n, DEF_E = 0x800n;
const WRITE_BACK = 6n;

const stored = (name: string, slot: number, ok: (v: bigint, cpu: Cpu) => boolean): Msr => ({
  name,
  read: (cpu) => getSlot(cpu.s, slot),
  write(cpu, v) {
    if (!ok(v, cpu)) return false;
    setSlot(cpu.s, slot, v);
    return true;
  },
});

const inAddressRange = (v: bigint, cpu: Cpu): boolean => v >> BigInt(cpu.physicalAddressBits) === 0n;
const isBase = (v: bigint, cpu: Cpu): boolean => inAddressRange(v, cpu) && (v & 0xf00n) === 0n && isMemoryType(Number(v & 0xffn));
const isMask = (v: bigint, cpu: Cpu): boolean => inAddressRange(v, cpu) && (v & 0x7ffn) === 0n;
const isFixed = (v: bigint): boolean => {
  for (let i = 0n; i < 64n; i += 8n) if (!isMemoryType(Number((v >> i) & 0xffn))) return false;
  return true;
};
const isDefault = (v: bigint): boolean => (v & ~(0xffn | DEF_FE | DEF_E)) === 0n && isMemoryType(Number(v & 0xffn));

export function defineMtrrs(t: MsrTable): void {
  t.define(0xfe, { name: 'IA32_MTRRCAP', read: () => BigInt(MTRR_VARIABLE | CAP_FIX | CAP_WC) });
  for (let i = 0; i < MTRR_VARIABLE; i++) {
    t.define(0x200 + 2 * i, stored(`IA32_MTRR_PHYSBASE${i}`, SLOT.mtrrVariable + 2 * i, isBase));
    t.define(0x201 + 2 * i, stored(`IA32_MTRR_PHYSMASK${i}`, SLOT.mtrrVariable + 2 * i + 1, isMask));
  }
  FIXED.forEach((index, i) => t.define(index, stored(`IA32_MTRR_FIX_${index.toString(16)}`, SLOT.mtrrFixed + i, isFixed)));
  t.define(0x2ff, stored('IA32_MTRR_DEF_TYPE', SLOT.mtrrDefault, isDefault));
}

/** What firmware leaves behind: everything write-back. For direct boot, where no firmware runs. */
export function setFirmwareMtrrs(cpu: Cpu): void {
  setSlot(cpu.s, SLOT.mtrrDefault, DEF_E | WRITE_BACK);
}
