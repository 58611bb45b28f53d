/** Registers of the guest that has just left, exactly: from the VMCS or VMCB, and from those that a transition leaves alone. */

import { RAX, RCX } from '../../cpu/state.js';
import type { Processor } from '../../machine/processor.js';
import { VMCB } from '../../svm/fields.js';
import { Svm } from '../../svm/index.js';
import { F } from '../../vtx/fields.js';
import { VmxPort } from '../../vtx/index.js';

/** RIP of the guest, while a listener hears of its exit. */
export function guestRip({ extension, vcpu }: Processor): bigint {
  const port = extension?.port;
  if (port instanceof VmxPort) return port.get(F.GUEST_RIP);
  if (port instanceof Svm) return port.vmcb.u64(VMCB.RIP);
  return vcpu.s.rip;
}
/** RAX of the guest, at the same moment. AMD's VMRUN and #VMEXIT exchange it, Intel's leave it alone. */
export function guestRax({ extension, vcpu }: Processor): bigint {
  const port = extension?.port;
  return port instanceof Svm ? port.vmcb.u64(VMCB.RAX) : vcpu.s.gpr(RAX);
}
/** ECX of the guest, at the same moment: the number of an MSR. */
export const guestEcx = ({ vcpu }: Processor): number => vcpu.s.gpr32(RCX);
/** VM-exit interruption information: vector in bits 7:0, type in 10:8, valid in bit 31. 0 on AMD's, where the exit code has the vector. */
export function interruptionInformation({ extension }: Processor): number {
  const port = extension?.port;
  return port instanceof VmxPort ? port.get32(F.VM_EXIT_INTERRUPTION_INFORMATION) : 0;
}
/** Error code of the event that a VM entry injects, while a listener hears of the entry. */
export function injectedError({ extension }: Processor): number {
  const port = extension?.port;
  if (port instanceof VmxPort) return port.get32(F.VM_ENTRY_EXCEPTION_ERROR_CODE);
  return port instanceof Svm ? Number((port.vmcb.u64(VMCB.EVENTINJ) >> 32n) & 0xffff_ffffn) : 0;
}
