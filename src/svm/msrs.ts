/**
 * The model-specific registers of SVM: VM_CR, VM_HSAVE_PA and SVM_KEY.
 *
 * APM 2 §15.30.1 "VM_CR MSR (C001_0114h)", §15.30.4 "VM_HSAVE_PA MSR (C001_0117h)", §15.31 "SVM-Lock". IGNNE, SMM_CTL and the
 * GUEST_TSC_RATIO register are not there: the model has no SMM and does not advertise TSC scaling.
 */

import type { Cpu } from '../cpu/cpu.js';
import type { MsrTable } from '../cpu/registers.js';
import { EFER_SVME } from '../cpu/state.js';
import { SvmRegisters } from './state.js';

export const MSR_VM_CR = 0xc001_0114, MSR_VM_HSAVE_PA = 0xc001_0117, MSR_SVM_KEY = 0xc001_0118;

export const VM_CR_R_INIT = 1 << 1, VM_CR_LOCK = 1 << 3, VM_CR_SVMDIS = 1 << 4;
const VM_CR_BITS = 0x1fn;

/** The registers of the running vCPU, or null when its processor has no SVM. */
export const svmOf = (cpu: Cpu): SvmRegisters | null => (cpu.virt instanceof SvmRegisters ? cpu.virt : null);
const registers = (cpu: Cpu): SvmRegisters => cpu.virt as unknown as SvmRegisters;

/** "When SVMDIS is set, writes to EFER treat the SVME bit as MBZ." */
export function applySvmDisable(r: SvmRegisters, cpu: Cpu): void {
  cpu.eferAllowed = r.vmCr & VM_CR_SVMDIS ? cpu.eferAllowed & ~EFER_SVME : cpu.eferAllowed | EFER_SVME;
}

function writeVmCr(cpu: Cpu, value: bigint): boolean {
  const r = registers(cpu);
  if ((value & ~VM_CR_BITS) !== 0n) return false;
  let v = Number(value);
  if (v & VM_CR_SVMDIS && cpu.s.efer & EFER_SVME) return false; // regardless of the current state of VM_CR.LOCK
  const kept = VM_CR_LOCK | VM_CR_SVMDIS;
  if (r.vmCr & VM_CR_LOCK) v = (v & ~kept) | (r.vmCr & kept);
  r.vmCr = v;
  applySvmDisable(r, cpu);
  return true;
}

function writeHsavePa(cpu: Cpu, value: bigint): boolean {
  if ((value & 0xfffn) !== 0n || value >> BigInt(cpu.physicalAddressBits) !== 0n) return false;
  registers(cpu).hsavePa = Number(value);
  return true;
}

/** Sets the key while VM_CR.LOCK is clear; a matching key that is not zero clears VM_CR.LOCK. */
function writeSvmKey(cpu: Cpu, value: bigint): boolean {
  const r = registers(cpu);
  if ((r.vmCr & VM_CR_LOCK) === 0) r.svmKey = value;
  else if (r.svmKey !== 0n && r.svmKey === value) r.vmCr &= ~VM_CR_LOCK;
  return true;
}

/** Defines the SVM registers in a vCPU's table, once. */
export function defineSvmMsrs(table: MsrTable, r: SvmRegisters): void {
  if (table.get(MSR_VM_CR) !== undefined) return;
  table.define(MSR_VM_CR, { name: 'VM_CR', read: (cpu) => BigInt(registers(cpu).vmCr), write: writeVmCr });
  table.define(MSR_VM_HSAVE_PA, { name: 'VM_HSAVE_PA', read: (cpu) => BigInt(registers(cpu).hsavePa), write: writeHsavePa });
  if (r.capabilities.features.has('SVML')) table.define(MSR_SVM_KEY, { name: 'SVM_KEY', read: () => 0n, write: writeSvmKey });
}
