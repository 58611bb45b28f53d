/**
 * Intel VT-x for the machine: `createVmx` makes the VirtPort of one vCPU, `attachVmx` gives the vCPU its MSRs and CR4.VMXE.
 * Importing this file registers the VMX instructions.
 */

import './instructions.js';
import type { Cpu } from '../cpu/cpu.js';
import { CR4_VMXE } from '../cpu/state.js';
import type { LinearMemory } from '../mem/linear-memory.js';
import type { PhysicalMemory } from '../mem/physical.js';
import { Capabilities, type VmxOptions } from './capabilities.js';
import { VmxPort } from './intercepts.js';

export { ALL_FEATURES, Capabilities, FEATURES, type FeatureName, type VmxOptions, parseVmxOptions } from './capabilities.js';
export { REASON, REASON_NAMES } from './controls.js';
export { VmxPort } from './intercepts.js';
export type { EntryFailure } from './vmx.js';

/** The virtualisation extension of one vCPU. Each vCPU needs one of its own. */
export function createVmx(options: VmxOptions, m: LinearMemory, phys: PhysicalMemory): VmxPort {
  return new VmxPort(new Capabilities(options), m, phys);
}

const IA32_FEATURE_CONTROL = 0x3a;
const LOCK = 1n, DEFINED = 5n; // lock, VMX outside SMX; there is no SMX

/**
 * Offers VT-x on a vCPU whose `virt` came from createVmx: CR4.VMXE, IA32_FEATURE_CONTROL and the capability MSRs.
 * vCPUs may share one MsrTable: the MSRs are defined once. CPUID.1:ECX.VMX is the profile's.
 */
export function attachVmx(cpu: Cpu): void {
  const x = cpu.virt;
  if (!(x instanceof VmxPort)) throw new TypeError('attachVmx needs a vCPU made with createVmx');
  cpu.cr4Allowed |= CR4_VMXE;
  if (cpu.msrs.get(IA32_FEATURE_CONTROL) !== undefined) return;
  const of = (c: Cpu): VmxPort => c.virt as VmxPort;
  cpu.msrs.define(IA32_FEATURE_CONTROL, {
    name: 'IA32_FEATURE_CONTROL',
    read: (c) => BigInt(of(c).featureControl),
    write: (c, v) => {
      if ((BigInt(of(c).featureControl) & LOCK) !== 0n || (v & ~DEFINED) !== 0n) return false;
      of(c).featureControl = Number(v);
      return true;
    },
  });
  x.caps.define(cpu.msrs);
}
