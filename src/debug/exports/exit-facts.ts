/**
 * What a VM exit's record says, in the manual's words and in a sentence: from the reason or exit code and the two further values that
 * the probe carries with it.
 *
 * SDM 3C §28.2.1 "Basic VM-Exit Information" (exit qualifications); APM 2 §15.10 to §15.13 and §15.25.6 "Nested versus Guest Page Faults,
 * Fault Ordering" (EXITINFO1 and EXITINFO2).
 */

import type { ExtensionKind } from '../../machine/extension.js';
import { REASON } from '../../vtx/index.js';
import { exitReasonName } from '../exit-names.js';

/** What made the guest leave, as far as the formats tell one from the other. */
export type ExitCause = 'port' | 'memory' | 'msr' | 'control-register' | 'debug-register' | 'exception' | 'interrupt' | 'hypercall' | 'other';

export interface ExitFacts {
  /** The manual's name. */
  readonly reason: string;
  readonly cause: ExitCause;
  readonly sentence: string;
  readonly write?: boolean;
  readonly port?: number;
  readonly bytes?: number;
  /** Guest-physical address. */
  readonly gpa?: number;
  /** Number of a control or debug register, and of the general register that it goes to or comes from (where the record has it). */
  readonly register?: number;
  readonly general?: number;
  readonly vector?: number;
  readonly msr?: number;
}

export const hex = (value: number): string => `0x${value.toString(16)}`;
/** Which way a value goes. */
const TOWARDS = { read: `from`, write: `to` };
const SIZE_NAMES: Readonly<Record<number, string>> = { 1: 'byte', 2: 'word', 4: 'doubleword' };

function portFacts(reason: string, port: number, bytes: number, input: boolean, string: boolean, rep: boolean): ExitFacts {
  const name = `${rep ? 'REP ' : ''}${input ? (string ? 'INS' : 'IN') : string ? 'OUTS' : 'OUT'}`;
  return { reason, cause: 'port', port, bytes, write: !input, sentence: `${name}: one ${SIZE_NAMES[bytes] ?? `${bytes} bytes`} ${input ? TOWARDS.read : TOWARDS.write} port ${hex(port)}` };
}
function memoryFacts(reason: string, gpa: number, write: boolean, fetch: boolean): ExitFacts {
  return { reason, cause: 'memory', gpa, write, sentence: `${fetch ? 'fetch at' : write ? 'write to' : 'read of'} guest-physical address ${hex(gpa)}` };
}
function registerFacts(reason: string, cause: ExitCause, name: string, register: number, write: boolean, general?: number): ExitFacts {
  return { reason, cause, register, write, ...(general === undefined ? {} : { general }), sentence: `MOV ${write ? TOWARDS.write : TOWARDS.read} ${name}${register}` };
}
function msrFacts(reason: string, msr: number, write: boolean): ExitFacts {
  return { reason, cause: 'msr', msr, write, sentence: `${write ? 'WRMSR' : 'RDMSR'} of MSR ${hex(msr)}` };
}

const ACCESS_NAMES = [`MOV ${TOWARDS.write}`, `MOV ${TOWARDS.read}`, 'CLTS in', 'LMSW of'];

function vmxFacts(code: number, qualification: number, further: number, rcx: number): ExitFacts {
  const reason = exitReasonName('vmx', code), low = qualification % 0x1_0000_0000 >>> 0;
  switch (code) {
    case REASON.IO_INSTRUCTION: return portFacts(reason, low >>> 16, (low & 7) + 1, (low & 8) !== 0, (low & 16) !== 0, (low & 32) !== 0);
    case REASON.EPT_VIOLATION: return memoryFacts(reason, further, (low & 2) !== 0, (low & 4) !== 0);
    case REASON.EPT_MISCONFIGURATION: return { reason, cause: 'memory', gpa: further, sentence: `access to guest-physical address ${hex(further)}, whose EPT entry is not well formed` };
    case REASON.CR_ACCESS: {
      const type = (low >>> 4) & 3, register = low & 15;
      return { reason, cause: 'control-register', register, write: type !== 1, general: (low >>> 8) & 15, sentence: `${ACCESS_NAMES[type]} CR${register}` };
    }
    case REASON.MOV_DR: return registerFacts(reason, 'debug-register', 'DR', low & 7, (low & 16) === 0, (low >>> 8) & 15);
    case REASON.RDMSR: return msrFacts(reason, rcx, false);
    case REASON.WRMSR: return msrFacts(reason, rcx, true);
    case REASON.INVLPG: return { reason, cause: 'other', sentence: `INVLPG of linear address ${hex(qualification)}` };
    case REASON.EXCEPTION_OR_NMI: return { reason, cause: 'exception', sentence: 'an exception or NMI' };
    case REASON.EXTERNAL_INTERRUPT: return { reason, cause: 'interrupt', sentence: 'an external interrupt arrived' };
    case REASON.VMCALL: return { reason, cause: 'hypercall', sentence: 'VMCALL' };
    default: return { reason, cause: 'other', sentence: reason };
  }
}

const SVM_DR0_READ = 0x20, SVM_EXCP0 = 0x40, SVM_INTR = 0x60, SVM_IOIO = 0x7b, SVM_MSR = 0x7c, SVM_VMMCALL = 0x81, SVM_NPF = 0x400;

function svmFacts(code: number, info1: number, info2: number, rcx: number): ExitFacts {
  const reason = exitReasonName('svm', code), low = info1 % 0x1_0000_0000 >>> 0;
  if (code >= 0 && code < SVM_DR0_READ) return registerFacts(reason, 'control-register', 'CR', code & 15, (code & 16) !== 0);
  if (code >= SVM_DR0_READ && code < SVM_EXCP0) return registerFacts(reason, 'debug-register', 'DR', code & 15, (code & 16) !== 0);
  if (code >= SVM_EXCP0 && code < SVM_INTR) return { reason, cause: 'exception', vector: code - SVM_EXCP0, sentence: `exception ${code - SVM_EXCP0}` };
  switch (code) {
    case SVM_INTR: return { reason, cause: 'interrupt', sentence: 'an external interrupt arrived' };
    case SVM_IOIO: return portFacts(reason, low >>> 16, (low >>> 4) & 7, (low & 1) !== 0, (low & 4) !== 0, (low & 8) !== 0);
    case SVM_MSR: return msrFacts(reason, rcx, (low & 1) !== 0);
    case SVM_VMMCALL: return { reason, cause: 'hypercall', sentence: 'VMMCALL' };
    case SVM_NPF: return memoryFacts(reason, info2, (low & 2) !== 0, (low & 16) !== 0);
    default: return { reason, cause: 'other', sentence: reason };
  }
}

/**
 * The facts of a record of kind `vmExit`.
 * @param c qualification or EXITINFO1 @param d as `PROBE.vmExit` has it @param rcx the guest's RCX, low 32 bits (an MSR's number)
 */
export const exitFacts = (extension: ExtensionKind, code: number, c: number, d: number, rcx: number): ExitFacts =>
  extension === 'svm' ? svmFacts(code, c, d, rcx) : vmxFacts(code, c, d, rcx);
