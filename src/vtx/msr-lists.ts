/**
 * MSR-load and MSR-store areas, and PDPTEs from memory: the parts of a transition that may fail half way.
 *
 * SDM 3C §25.7.2 "VM-Exit Controls for MSRs" (format), §27.4 "Loading MSRs", §28.4 "Saving MSRs", §28.6 "Loading MSRs".
 *
 *     entry: 0 MSR index (u32)   4 reserved, must be 0 (u32)   8 value (u64)
 */

import type { Cpu } from '../cpu/cpu.js';
import { S } from '../cpu/state.js';
import { pdpteOk } from './entry-checks-guest.js';

const ENTRY_BYTES = 16;
const IA32_FS_BASE = 0xc000_0100, IA32_GS_BASE = 0xc000_0101;
const IA32_SMM_MONITOR_CTL = 0x9b, IA32_SMBASE = 0x9e, IA32_BIOS_UPDT_TRIG = 0x79, IA32_BIOS_SIGN_ID = 0x8b, IA32_EFER = 0xc000_0080;
const APIC_BASE = 0x1b, APIC_X2 = 1n << 10n;

function x2apic(cpu: Cpu, index: number): boolean {
  return index >= 0x800 && index <= 0x8ff && ((cpu.msrs.get(APIC_BASE)?.read(cpu) ?? 0n) & APIC_X2) !== 0n;
}

function loadOne(cpu: Cpu, index: number, reserved: number, value: bigint): boolean {
  if (reserved !== 0 || index === IA32_FS_BASE || index === IA32_GS_BASE || index === IA32_SMM_MONITOR_CTL || index === IA32_BIOS_UPDT_TRIG || index === IA32_BIOS_SIGN_ID || x2apic(cpu, index))
    return false;
  // LMA is not written by WRMSR either; entry and exit have set it already, and LME must stay as it is while paging.
  if (index === IA32_EFER && ((BigInt(cpu.s.efer) ^ value) & 0x100n) !== 0n && (cpu.s.cr0 & 0x8000_0000) !== 0) return false;
  return cpu.msrs.get(index)?.write?.(cpu, value) ?? false;
}

/** Loads `count` MSRs. @returns 0, or the 1-based number of the entry that failed. */
export function loadMsrs(cpu: Cpu, address: number, count: number): number {
  for (let i = 0; i < count; i++) {
    const at = address + i * ENTRY_BYTES;
    const head = cpu.readPhys(at, 8);
    if (!loadOne(cpu, Number(head & 0xffff_ffffn), Number(head >> 32n), cpu.readPhys(at + 8, 8))) return i + 1;
  }
  return 0;
}

/** Stores `count` MSRs. @returns false when an entry is not one that can be stored (a VMX abort). */
export function storeMsrs(cpu: Cpu, address: number, count: number): boolean {
  for (let i = 0; i < count; i++) {
    const at = address + i * ENTRY_BYTES;
    const head = cpu.readPhys(at, 8);
    const index = Number(head & 0xffff_ffffn), msr = cpu.msrs.get(index);
    if (head >> 32n !== 0n || index === IA32_SMBASE || msr === undefined || x2apic(cpu, index)) return false;
    cpu.writePhys(at + 8, 8, msr.read(cpu));
  }
  return true;
}

/** Reads the four PDPTEs that CR3 points at into the registers. @returns false when one has a reserved bit set. */
export function loadPdptesFromMemory(cpu: Cpu): boolean {
  const at = Number(cpu.s.get64(S.cr3) & 0xffff_ffe0n);
  const physical = (v: bigint): boolean => v >> BigInt(cpu.physicalAddressBits) === 0n;
  const entries = [0, 8, 16, 24].map((o) => cpu.readPhys(at + o, 8));
  if (!entries.every((e) => pdpteOk(e, physical))) return false;
  entries.forEach((e, i) => cpu.s.set64(S.pdpte + 8 * i, e));
  return true;
}
