/**
 * The bits of the VMX control fields in plain words: the manual's name, and what the bit does when it is 1.
 *
 * SDM 3C §25.6.1 "Pin-Based VM-Execution Controls", §25.6.2 "Processor-Based VM-Execution Controls", §25.7.1 "VM-Exit Controls",
 * §25.8.1 "VM-Entry Controls", §25.6.3 "Exception Bitmap". The bit numbers come from src/vtx/controls.ts.
 *
 * Invariant: every bit that the machine can offer has a row; the types see to it.
 */

import { ENTRY, EXIT, PIN, PROC, PROC2 } from '../../vtx/controls.js';
import { type FieldName } from '../../vtx/fields.js';
import { EXCEPTIONS } from './vectors.js';

/** One bit of a control field. */
export interface ControlBit {
  /** The manual's name. */
  readonly name: string;
  readonly bit: number;
  readonly meaning: string;
}
type Words<T> = { readonly [K in keyof T]: readonly [name: string, meaning: string] };

const bitNumber = (mask: number): number => 31 - Math.clz32(mask);
function bits<T extends Record<string, number>>(masks: T, words: Words<T>): readonly ControlBit[] {
  return Object.entries(masks)
    .map(([key, mask]) => ({ name: words[key]![0], bit: bitNumber(mask), meaning: words[key]![1] }))
    .sort((a, b) => a.bit - b.bit);
}

const PIN_BITS = bits(PIN, {
  externalInterruptExiting: ['External-interrupt exiting', 'an external interrupt leaves the guest instead of going through its IDT'],
  nmiExiting: ['NMI exiting', 'an NMI leaves the guest'],
  virtualNmis: ['Virtual NMIs', 'NMIs are not blocked by the guest; the guest has its own blocking by NMI'],
  preemptionTimer: ['Activate VMX-preemption timer', 'the guest leaves when the VMX-preemption timer reaches zero'],
});

const PROC_BITS = bits(PROC, {
  interruptWindowExiting: ['Interrupt-window exiting', 'the guest leaves as soon as it could take an interrupt'],
  useTscOffsetting: ['Use TSC offsetting', 'the TSC offset is added to what the guest reads from its time-stamp counter'],
  hltExiting: ['HLT exiting', 'HLT leaves the guest'],
  invlpgExiting: ['INVLPG exiting', 'INVLPG and INVPCID leave the guest'],
  mwaitExiting: ['MWAIT exiting', 'MWAIT leaves the guest'],
  rdpmcExiting: ['RDPMC exiting', 'RDPMC leaves the guest'],
  rdtscExiting: ['RDTSC exiting', 'RDTSC and RDTSCP leave the guest'],
  cr3LoadExiting: ['CR3-load exiting', 'MOV to CR3 leaves the guest, unless the value is one of the CR3-target values'],
  cr3StoreExiting: ['CR3-store exiting', 'MOV from CR3 leaves the guest'],
  cr8LoadExiting: ['CR8-load exiting', 'MOV to CR8 leaves the guest'],
  cr8StoreExiting: ['CR8-store exiting', 'MOV from CR8 leaves the guest'],
  nmiWindowExiting: ['NMI-window exiting', 'the guest leaves as soon as virtual NMIs are not blocked'],
  movDrExiting: ['MOV-DR exiting', 'MOV to and from debug registers leaves the guest'],
  unconditionalIoExiting: ['Unconditional I/O exiting', 'every IN, OUT, INS and OUTS leaves the guest; ignored when I/O bitmaps are used'],
  useIoBitmaps: ['Use I/O bitmaps', 'a port access leaves the guest when the bit of one of its ports in I/O bitmap A or B is 1'],
  monitorTrapFlag: ['Monitor trap flag', 'the guest leaves after each instruction'],
  useMsrBitmaps: ['Use MSR bitmaps', 'RDMSR and WRMSR leave the guest when the MSR bitmaps say so; without them they always do'],
  monitorExiting: ['MONITOR exiting', 'MONITOR leaves the guest'],
  pauseExiting: ['PAUSE exiting', 'PAUSE leaves the guest'],
  activateSecondaryControls: ['Activate secondary controls', 'the secondary processor-based controls count; otherwise they are taken as 0'],
});

const PROC2_BITS = bits(PROC2, {
  enableEpt: ['Enable EPT', 'guest-physical addresses are translated by the extended page tables'],
  descriptorTableExiting: ['Descriptor-table exiting', 'LGDT, LIDT, LLDT, LTR, SGDT, SIDT, SLDT and STR leave the guest'],
  enableRdtscp: ['Enable RDTSCP', 'RDTSCP exists in the guest; otherwise it is an invalid opcode'],
  enableVpid: ['Enable VPID', 'the guest\'s translations are tagged with its VPID and survive transitions'],
  wbinvdExiting: ['WBINVD exiting', 'WBINVD leaves the guest'],
  unrestrictedGuest: ['Unrestricted guest', 'the guest may run in real-address mode or without paging'],
  pauseLoopExiting: ['PAUSE-loop exiting', 'a long loop of PAUSE at CPL 0 leaves the guest'],
  rdrandExiting: ['RDRAND exiting', 'RDRAND leaves the guest'],
  enableInvpcid: ['Enable INVPCID', 'INVPCID exists in the guest; otherwise it is an invalid opcode'],
  rdseedExiting: ['RDSEED exiting', 'RDSEED leaves the guest'],
});

const EXIT_BITS = bits(EXIT, {
  saveDebugControls: ['Save debug controls', 'a VM exit saves DR7 and IA32_DEBUGCTL'],
  hostAddressSpaceSize: ['Host address-space size', 'the host is in 64-bit mode after a VM exit'],
  acknowledgeInterrupt: ['Acknowledge interrupt on exit', 'an exit for an external interrupt acknowledges it and records its vector'],
  savePat: ['Save IA32_PAT', 'a VM exit saves the guest\'s IA32_PAT'],
  loadPat: ['Load IA32_PAT', 'a VM exit loads the host\'s IA32_PAT'],
  saveEfer: ['Save IA32_EFER', 'a VM exit saves the guest\'s IA32_EFER'],
  loadEfer: ['Load IA32_EFER', 'a VM exit loads the host\'s IA32_EFER'],
  savePreemptionTimer: ['Save VMX-preemption timer value', 'a VM exit writes back what is left of the timer'],
});

const ENTRY_BITS = bits(ENTRY, {
  loadDebugControls: ['Load debug controls', 'VM entry loads DR7 and IA32_DEBUGCTL'],
  ia32eModeGuest: ['IA-32e mode guest', 'the guest is in IA-32e mode after VM entry'],
  entryToSmm: ['Entry to SMM', 'the guest is in system-management mode after VM entry'],
  deactivateDualMonitor: ['Deactivate dual-monitor treatment', 'ends the dual-monitor treatment of SMM'],
  loadPat: ['Load IA32_PAT', 'VM entry loads the guest\'s IA32_PAT'],
  loadEfer: ['Load IA32_EFER', 'VM entry loads the guest\'s IA32_EFER'],
});

const EXCEPTION_BITS: readonly ControlBit[] = EXCEPTIONS.map((e, bit) => ({
  name: e.mnemonic === '' ? `Vector ${bit}` : e.mnemonic,
  bit,
  meaning: `the exception with vector ${bit}${e.title === '' ? '' : ` (${e.title})`} leaves the guest`,
}));

/** How sentences speak of a control field: its name in running text, and where the manual has it. */
export interface ControlField {
  readonly spoken: string;
  readonly section: string;
  readonly bits: readonly ControlBit[];
}

export const VMX_CONTROL_FIELDS: { readonly [K in FieldName]?: ControlField } = {
  PIN_BASED_CONTROLS: { spoken: 'the pin-based VM-execution controls', section: 'SDM 3C §25.6.1 "Pin-Based VM-Execution Controls"', bits: PIN_BITS },
  PRIMARY_PROCESSOR_BASED_CONTROLS: { spoken: 'the primary processor-based VM-execution controls', section: 'SDM 3C §25.6.2 "Processor-Based VM-Execution Controls"', bits: PROC_BITS },
  SECONDARY_PROCESSOR_BASED_CONTROLS: { spoken: 'the secondary processor-based VM-execution controls', section: 'SDM 3C §25.6.2 "Processor-Based VM-Execution Controls"', bits: PROC2_BITS },
  VM_EXIT_CONTROLS: { spoken: 'the VM-exit controls', section: 'SDM 3C §25.7.1 "VM-Exit Controls"', bits: EXIT_BITS },
  VM_ENTRY_CONTROLS: { spoken: 'the VM-entry controls', section: 'SDM 3C §25.8.1 "VM-Entry Controls"', bits: ENTRY_BITS },
  EXCEPTION_BITMAP: { spoken: 'the exception bitmap', section: 'SDM 3C §25.6.3 "Exception Bitmap"', bits: EXCEPTION_BITS },
};

/** The row of a bit that has a name. Throws RangeError for one that has none: sentences speak of named bits only. */
export function vmxControlBit(field: FieldName, mask: number): ControlBit & { readonly field: ControlField } {
  const f = VMX_CONTROL_FIELDS[field];
  const found = f?.bits.find((b) => b.bit === bitNumber(mask));
  if (f === undefined || found === undefined) throw new RangeError(`bit ${bitNumber(mask)} of ${field} has no name`);
  return { ...found, field: f };
}
