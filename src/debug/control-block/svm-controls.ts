/**
 * The intercept bits of a VMCB in plain words: where each lies, what it is called, what it does when it is 1.
 *
 * APM 2 appendix B "Layout of VMCB", table B-1; §15.9 "Instruction Intercepts", §15.12 "Exception Intercepts", §15.13 "Interrupt
 * Intercepts", §15.14 "Miscellaneous Intercepts". Bit numbers come from src/svm/intercepts.ts.
 */

import { VMCB } from '../../svm/fields.js';
import { INTERCEPTS, type InterceptName, MISC1 } from '../../svm/intercepts.js';
import { EXCEPTIONS } from './vectors.js';
import type { ControlBit } from './vmx-controls.js';

const INSTRUCTION = 'APM 2 §15.9 "Instruction Intercepts"';
const leaves = (what: string): string => `${what} leaves the guest`;

/** Title of the bit, what it does, and the manual's section. */
const WORDS: Readonly<Record<InterceptName, readonly [title: string, meaning: string, section: string]>> = {
  INTR: ['Intercept INTR', leaves('a physical maskable interrupt'), 'APM 2 §15.13.1 "INTR Intercept"'],
  NMI: ['Intercept NMI', leaves('an NMI'), 'APM 2 §15.13.2 "NMI Intercept"'],
  SMI: ['Intercept SMI', leaves('an SMI'), 'APM 2 §15.13.3 "SMI Intercept"'],
  INIT: ['Intercept INIT', leaves('an INIT'), 'APM 2 §15.13.4 "INIT Intercept"'],
  VINTR: ['Intercept VINTR', 'the guest leaves when it is about to take a virtual interrupt', 'APM 2 §15.13.5 "Virtual Interrupt Intercept"'],
  CR0_SEL_WRITE: ['Intercept CR0 writes that change bits other than CR0.TS or CR0.MP', 'such a write of CR0 leaves the guest', 'APM 2 §15.9 "Instruction Intercepts"'],
  IDTR_READ: ['Intercept reads of IDTR', leaves('SIDT'), INSTRUCTION],
  GDTR_READ: ['Intercept reads of GDTR', leaves('SGDT'), INSTRUCTION],
  LDTR_READ: ['Intercept reads of LDTR', leaves('SLDT'), INSTRUCTION],
  TR_READ: ['Intercept reads of TR', leaves('STR'), INSTRUCTION],
  IDTR_WRITE: ['Intercept writes of IDTR', leaves('LIDT'), INSTRUCTION],
  GDTR_WRITE: ['Intercept writes of GDTR', leaves('LGDT'), INSTRUCTION],
  LDTR_WRITE: ['Intercept writes of LDTR', leaves('LLDT'), INSTRUCTION],
  TR_WRITE: ['Intercept writes of TR', leaves('LTR'), INSTRUCTION],
  RDTSC: ['Intercept RDTSC instruction', leaves('RDTSC'), INSTRUCTION],
  RDPMC: ['Intercept RDPMC instruction', leaves('RDPMC'), INSTRUCTION],
  PUSHF: ['Intercept PUSHF instruction', leaves('PUSHF'), INSTRUCTION],
  POPF: ['Intercept POPF instruction', leaves('POPF'), INSTRUCTION],
  CPUID: ['Intercept CPUID instruction', leaves('CPUID'), INSTRUCTION],
  RSM: ['Intercept RSM instruction', leaves('RSM'), INSTRUCTION],
  IRET: ['Intercept IRET instruction', leaves('IRET'), INSTRUCTION],
  SWINT: ['Intercept INTn instruction', leaves('INT n'), INSTRUCTION],
  INVD: ['Intercept INVD instruction', leaves('INVD'), INSTRUCTION],
  PAUSE: ['Intercept PAUSE instruction', leaves('PAUSE (as often as the PAUSE filter says)'), 'APM 2 §15.14.4 "Pause Intercept Filtering"'],
  HLT: ['Intercept HLT instruction', leaves('HLT'), INSTRUCTION],
  INVLPG: ['Intercept INVLPG instruction', leaves('INVLPG'), INSTRUCTION],
  INVLPGA: ['Intercept INVLPGA instruction', leaves('INVLPGA'), INSTRUCTION],
  IOIO: ['IOIO_PROT', 'a port access leaves the guest when the bit of one of its ports in the I/O permissions map is 1', 'APM 2 §15.10 "IOIO Intercepts"'],
  MSR: ['MSR_PROT', 'RDMSR and WRMSR leave the guest when the MSR permissions map says so', 'APM 2 §15.11 "MSR Intercepts"'],
  TASK_SWITCH: ['Intercept task switches', leaves('a task switch'), 'APM 2 §15.14.1 "Task Switch Intercept"'],
  FERR_FREEZE: ['Intercept FERR_FREEZE', leaves('processor freezing during legacy FERR handling'), 'APM 2 §15.14.2 "Ferr_Freeze Intercept"'],
  SHUTDOWN: ['Intercept shutdown events', leaves('a shutdown (a triple fault)'), 'APM 2 §15.14.3 "Shutdown Intercept"'],
  VMRUN: ['Intercept VMRUN instruction', `${leaves('VMRUN')}; must be 1`, INSTRUCTION],
  VMMCALL: ['Intercept VMMCALL instruction', leaves('VMMCALL'), INSTRUCTION],
  VMLOAD: ['Intercept VMLOAD instruction', leaves('VMLOAD'), INSTRUCTION],
  VMSAVE: ['Intercept VMSAVE instruction', leaves('VMSAVE'), INSTRUCTION],
  STGI: ['Intercept STGI instruction', leaves('STGI'), INSTRUCTION],
  CLGI: ['Intercept CLGI instruction', leaves('CLGI'), INSTRUCTION],
  SKINIT: ['Intercept SKINIT instruction', leaves('SKINIT'), INSTRUCTION],
  RDTSCP: ['Intercept RDTSCP instruction', leaves('RDTSCP'), INSTRUCTION],
  ICEBP: ['Intercept ICEBP instruction', leaves('ICEBP (INT1)'), INSTRUCTION],
  WBINVD: ['Intercept WBINVD instruction', leaves('WBINVD'), INSTRUCTION],
  MONITOR: ['Intercept MONITOR instruction', leaves('MONITOR'), INSTRUCTION],
  MWAIT: ['Intercept MWAIT instruction unconditionally', leaves('MWAIT'), INSTRUCTION],
  MWAIT_CONDITIONAL: ['Intercept MWAIT instruction if the monitor hardware is armed', leaves('MWAIT with the monitor armed'), INSTRUCTION],
  XSETBV: ['Intercept XSETBV instruction', leaves('XSETBV'), INSTRUCTION],
};

/** One intercept bit: field of the VMCB, byte of it, and its words. */
export interface InterceptBit extends ControlBit {
  /** Byte offset in the VMCB of the field that has the bit. */
  readonly offset: number;
  readonly section: string;
}

export function interceptBit(name: InterceptName): InterceptBit {
  const [word, bit] = INTERCEPTS[name];
  const [title, meaning, section] = WORDS[name];
  return { name: title, bit, meaning, section, offset: word === MISC1 ? VMCB.INTERCEPT_MISC1 : VMCB.INTERCEPT_MISC2 };
}

const misc = (offset: number): readonly ControlBit[] =>
  (Object.keys(INTERCEPTS) as InterceptName[]).map(interceptBit).filter((b) => b.offset === offset).sort((a, b) => a.bit - b.bit);
const registers = (kind: 'CR' | 'DR', access: 'reads' | 'writes'): readonly ControlBit[] =>
  Array.from({ length: 16 }, (_, bit) => ({ name: `Intercept ${access} of ${kind}${bit}`, bit, meaning: leaves(`a ${access.slice(0, -1)} of ${kind}${bit}`) }));

/** Named bits of the VMCB's intercept fields, by field. */
export const SVM_CONTROL_BITS: Readonly<Partial<Record<keyof typeof VMCB, readonly ControlBit[]>>> = {
  INTERCEPT_CR_READ: registers('CR', 'reads'),
  INTERCEPT_CR_WRITE: registers('CR', 'writes'),
  INTERCEPT_DR_READ: registers('DR', 'reads'),
  INTERCEPT_DR_WRITE: registers('DR', 'writes'),
  INTERCEPT_EXCEPTIONS: EXCEPTIONS.map((e, bit) => ({
    name: e.mnemonic === '' ? `Vector ${bit}` : e.mnemonic,
    bit,
    meaning: leaves(`the exception with vector ${bit}${e.title === '' ? '' : ` (${e.title})`}`),
  })),
  INTERCEPT_MISC1: misc(VMCB.INTERCEPT_MISC1),
  INTERCEPT_MISC2: misc(VMCB.INTERCEPT_MISC2),
  V_INTR: [
    { name: 'V_IRQ', bit: 8, meaning: 'a virtual interrupt is pending' },
    { name: 'V_IGN_TPR', bit: 20, meaning: 'the virtual interrupt is taken whatever V_TPR says' },
    { name: 'V_INTR_MASKING', bit: 24, meaning: 'RFLAGS.IF of the guest masks virtual interrupts only; the host\'s masks physical ones' },
  ],
  INTERRUPT_SHADOW: [{ name: 'INTERRUPT_SHADOW', bit: 0, meaning: 'the guest is in an interrupt shadow (after STI or MOV SS)' }],
  NP_ENABLE: [{ name: 'NP_ENABLE', bit: 0, meaning: 'nested paging is on' }],
};
