/**
 * The four page-directory-pointer entries of legacy PAE paging, which VMRUN and #VMEXIT load with CR3.
 *
 * APM 2 §15.5.1 "Basic Operation" (guest: reserved bits cause a #VMEXIT), §15.6 "#VMEXIT" (host: shutdown), §5.3 "Long-Mode Page
 * Translation" and §5.2.3 "PAE Paging" for the format. With nested paging they are read on demand (§15.25.10 "Legacy PAE Mode").
 */

import type { Cpu } from '../cpu/cpu.js';
import { CR0_PG, CR4_PAE, S } from '../cpu/state.js';
import type { LinearMemory } from '../mem/linear-memory.js';

/** Reserved in the lower half of a present entry: bits 2:1 and 8:5. */
const RESERVED_LOW = 0x1e6;

/** Linear-memory address of the table that a legacy CR3 names, or -1 when it is not memory. */
export const pdpeTable = (address: (hpa: number) => number, cr3: number): number => address((cr3 & ~0x1f) >>> 0);

/** Are the four entries at `at` (a linear-memory address) free of reserved bits? What is not memory passes: the first walk faults. */
export function pdpesLegal(m: LinearMemory, at: number, physicalAddressBits: number): boolean {
  if (at < 0) return true;
  for (let i = at >>> 2; i < (at >>> 2) + 8; i += 2) {
    const low = m.u32[i]!, high = m.u32[i + 1]!;
    if (low & 1 && (low & RESERVED_LOW || high >>> (physicalAddressBits - 32) !== 0)) return false;
  }
  return true;
}

/**
 * Loads the four entries when the state just loaded uses legacy PAE paging.
 * @returns false when one has a reserved bit set
 */
export function loadPdpes(cpu: Cpu): boolean {
  const { s, m } = cpu;
  if (s.longMode || (s.cr0 & CR0_PG) === 0 || (s.cr4 & CR4_PAE) === 0) return true;
  const at = pdpeTable((hpa) => cpu.phys.address(hpa), s.get32(S.cr3));
  for (let i = 0; i < 8; i++) s.set32(S.pdpte + 4 * i, at < 0 ? 0xffff_ffff : m.u32[(at >>> 2) + i]!);
  return pdpesLegal(m, at, cpu.physicalAddressBits);
}
