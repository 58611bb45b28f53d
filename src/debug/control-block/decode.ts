/**
 * Values of control-block fields in words: exit reasons, events, control registers, flags.
 *
 * SDM 3C §25.9.1 "Basic VM-Exit Information", §25.8.3 "VM-Entry Controls for Event Injection", §25.4.2 "Guest Non-Register State",
 * §31.4 "VM Instruction Error Numbers"; APM 2 §15.20 "Event Injection", appendix C "SVM Intercept Exit Codes".
 */

import { EVENT_TYPE } from '../../cpu/events.js';
import { exitName } from '../../svm/intercepts.js';
import { REASON_NAMES } from '../../vtx/controls.js';
import { exceptionName } from './vectors.js';

type BitNames = Readonly<Record<number, string>>;
const CR0: BitNames = { 0: 'PE', 1: 'MP', 2: 'EM', 3: 'TS', 4: 'ET', 5: 'NE', 16: 'WP', 18: 'AM', 29: 'NW', 30: 'CD', 31: 'PG' };
const CR4: BitNames = {
  0: 'VME', 1: 'PVI', 2: 'TSD', 3: 'DE', 4: 'PSE', 5: 'PAE', 6: 'MCE', 7: 'PGE', 8: 'PCE', 9: 'OSFXSR', 10: 'OSXMMEXCPT', 11: 'UMIP', 12: 'LA57', 13: 'VMXE',
  14: 'SMXE', 16: 'FSGSBASE', 17: 'PCIDE', 18: 'OSXSAVE', 20: 'SMEP', 21: 'SMAP', 22: 'PKE', 23: 'CET',
};
const EFER: BitNames = { 0: 'SCE', 8: 'LME', 10: 'LMA', 11: 'NXE', 12: 'SVME', 13: 'LMSLE', 14: 'FFXSR', 15: 'TCE' };
const RFLAGS: BitNames = {
  0: 'CF', 2: 'PF', 4: 'AF', 6: 'ZF', 7: 'SF', 8: 'TF', 9: 'IF', 10: 'DF', 11: 'OF', 14: 'NT', 16: 'RF', 17: 'VM', 18: 'AC', 19: 'VIF', 20: 'VIP', 21: 'ID',
};
const PAGE_FAULT: BitNames = { 0: 'P', 1: 'W/R', 2: 'U/S', 3: 'RSVD', 4: 'I/D' };
const BLOCKING: BitNames = { 0: 'blocking by STI', 1: 'blocking by MOV SS', 2: 'blocking by SMI', 3: 'blocking by NMI' };

/** Names of the bits that are set, lowest first; a bit without a name by its number. @param always bits that are always one and say nothing */
export const bitNames = (names: BitNames, always = 0n) => (value: bigint): string[] => {
  const out: string[] = [];
  for (let v = value & ~always, bit = 0; v !== 0n; v >>= 1n, bit++) if ((v & 1n) !== 0n) out.push(names[bit] ?? `bit ${bit}`);
  return out;
};
export const cr0Bits = bitNames(CR0);
export const cr4Bits = bitNames(CR4);
/** Bits of a page-fault error code. SDM 3A §4.7 "Page-Fault Exceptions". */
export const pageFaultBits = bitNames(PAGE_FAULT);
const eferBits = bitNames(EFER), rflagsBits = bitNames(RFLAGS, 2n), blockingBits = bitNames(BLOCKING);

/** What an event is called: `external interrupt 0x30`, `NMI`, `#PF (page fault)`, `INT 0x80`. */
export function eventName(type: number, vector: number): string {
  const hex = `0x${vector.toString(16).toUpperCase()}`;
  if (type === EVENT_TYPE.external) return `external interrupt ${hex}`;
  if (type === EVENT_TYPE.nmi) return 'NMI';
  if (type === EVENT_TYPE.softwareInterrupt) return `INT ${hex}`;
  return exceptionName(vector);
}
/** Interruption information and EVENTINJ have the same low word: vector 7:0, type 10:8, error code 11, valid 31. */
function event(v: bigint): string {
  if ((v & 0x8000_0000n) === 0n) return 'none';
  return eventName(Number((v >> 8n) & 7n), Number(v & 0xffn)) + ((v & 0x800n) !== 0n ? ', with error code' : '');
}

/** §31.4. */
const INSTRUCTION_ERRORS: Readonly<Record<number, string>> = {
  1: 'VMCALL executed in VMX root operation', 2: 'VMCLEAR with invalid physical address', 3: 'VMCLEAR with VMXON pointer', 4: 'VMLAUNCH with non-clear VMCS',
  5: 'VMRESUME with non-launched VMCS', 7: 'VM entry with invalid control field(s)', 8: 'VM entry with invalid host-state field(s)', 9: 'VMPTRLD with invalid physical address',
  10: 'VMPTRLD with VMXON pointer', 11: 'VMPTRLD with incorrect VMCS revision identifier', 12: 'VMREAD/VMWRITE from/to unsupported VMCS component',
  13: 'VMWRITE to read-only VMCS component', 15: 'VMXON executed in VMX root operation', 26: 'VM entry with events blocked by MOV SS', 28: 'invalid operand to INVEPT/INVVPID',
};
const ACTIVITY = ['active', 'HLT', 'shutdown', 'wait-for-SIPI'];

const listed = (names: readonly string[]): string => names.join(' ') || 'none';
const reason = (v: bigint): string => `${REASON_NAMES[Number(v & 0xffffn)] ?? 'unknown'}${(v & 0x8000_0000n) !== 0n ? ', VM-entry failure' : ''}`;

const DECODERS: Readonly<Record<string, (v: bigint) => string | undefined>> = {
  EXIT_REASON: reason,
  EXITCODE: (v) => exitName(Number(BigInt.asIntN(32, v))),
  VM_INSTRUCTION_ERROR: (v) => (v === 0n ? 'none' : INSTRUCTION_ERRORS[Number(v)]),
  GUEST_ACTIVITY_STATE: (v) => ACTIVITY[Number(v)],
  GUEST_INTERRUPTIBILITY_STATE: (v) => listed(blockingBits(v)),
  VM_ENTRY_INTERRUPTION_INFORMATION: event, VM_EXIT_INTERRUPTION_INFORMATION: event, IDT_VECTORING_INFORMATION: event, EVENTINJ: event, EXITINTINFO: event,
  CR0: (v) => listed(cr0Bits(v)), GUEST_CR0: (v) => listed(cr0Bits(v)), HOST_CR0: (v) => listed(cr0Bits(v)),
  CR0_GUEST_HOST_MASK: (v) => listed(cr0Bits(v)), CR0_READ_SHADOW: (v) => listed(cr0Bits(v)),
  CR4: (v) => listed(cr4Bits(v)), GUEST_CR4: (v) => listed(cr4Bits(v)), HOST_CR4: (v) => listed(cr4Bits(v)),
  CR4_GUEST_HOST_MASK: (v) => listed(cr4Bits(v)), CR4_READ_SHADOW: (v) => listed(cr4Bits(v)),
  EFER: (v) => listed(eferBits(v)), GUEST_IA32_EFER: (v) => listed(eferBits(v)), HOST_IA32_EFER: (v) => listed(eferBits(v)),
  RFLAGS: (v) => listed(rflagsBits(v)), GUEST_RFLAGS: (v) => listed(rflagsBits(v)),
  EPT_POINTER: (v) => `root 0x${(v & ~0xfffn).toString(16)}, ${(v & 7n) === 6n ? 'write-back' : (v & 7n) === 0n ? 'uncacheable' : 'reserved memory type'}, walk of ${Number((v >> 3n) & 7n) + 1} levels`,
};

/** The value in words, or undefined for a field that has none. */
export const decodeField = (name: string, value: bigint): string | undefined => DECODERS[name]?.(value);
