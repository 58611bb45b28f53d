/**
 * CR3 and the PDPTE registers of PAE paging.
 *
 * SDM 3A §4.4.1 "PDPTE Registers", §4.5.2 "Paging-Structure Entries" (CR3 with and without PCIDs), §2.5 "Control Registers".
 */

import type { Cpu } from '../cpu.js';
import { CR0_PG, CR4_PAE, CR4_PCIDE, S } from '../state.js';

const CR3_NO_FLUSH = 1n << 63n;

/** PAE paging in use, or about to be with these CR0 and CR4: the PDPTE registers matter. */
export const usesPdptes = (cpu: Cpu, cr0: number, cr4: number): boolean =>
  (cr0 & CR0_PG) !== 0 && (cr4 & CR4_PAE) !== 0 && !cpu.s.longMode;

/**
 * Loads the four PDPTE registers from the table at `cr3`.
 * @returns false when a present entry has a reserved bit set: #GP(0), nothing loaded.
 */
export function loadPdptes(cpu: Cpu, cr3: bigint): boolean {
  const at = Number(cr3 & 0xffff_ffe0n);
  const reserved = 0x1e6n | ~((1n << BigInt(cpu.physicalAddressBits)) - 1n);
  const values: bigint[] = [];
  for (let i = 0; i < 4; i++) {
    const e = cpu.readGuestPhys(at + 8 * i, 8);
    if (e & 1n && e & BigInt.asUintN(64, reserved)) return false;
    values.push(e);
  }
  values.forEach((e, i) => cpu.s.set64(S.pdpte + 8 * i, e));
  return true;
}

/**
 * Writes CR3 with everything that follows from it: PDPTEs, translations dropped.
 * @returns false for #GP(0): reserved bits, or a bad PDPTE.
 */
export function loadCr3(cpu: Cpu, value: bigint): boolean {
  const s = cpu.s;
  let flush = true;
  if (s.longMode) {
    if (s.cr4 & CR4_PCIDE && value & CR3_NO_FLUSH) {
      flush = false;
      value &= ~CR3_NO_FLUSH;
    }
    if (value >> BigInt(cpu.physicalAddressBits)) return false;
  } else {
    value &= 0xffff_ffffn;
    if (usesPdptes(cpu, s.cr0, s.cr4) && !loadPdptes(cpu, value)) return false;
  }
  s.set64(S.cr3, value);
  if (flush) cpu.flushTlb('local');
  cpu.modeChanged();
  return true;
}
