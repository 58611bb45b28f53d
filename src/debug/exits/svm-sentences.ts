/**
 * One composer for each exit code of SVM: from the recorded facts to the sentence "what, where, because of which intercept".
 *
 * APM 2 appendix C "SVM Intercept Exit Codes"; what EXITINFO1 and EXITINFO2 hold is in §15.8 to §15.14 and §15.25.6 "Nested versus Guest
 * Page Faults, Fault Ordering". The table's type makes an intercept without a composer an error of compilation.
 */

import { EVENT_TYPE_SHIFT, EVENT_VALID, VMCB } from '../../svm/fields.js';
import {
  INTERCEPTS, type InterceptName, VMEXIT_CR0_READ, VMEXIT_CR0_WRITE, VMEXIT_DR0_READ, VMEXIT_DR0_WRITE, VMEXIT_EXCP0, VMEXIT_INVALID, VMEXIT_NPF,
} from '../../svm/intercepts.js';
import { eventName } from '../control-block/decode.js';
import { exceptionName } from '../control-block/vectors.js';
import { list, pageFaultBits } from './bits.js';
import { entryFailure } from './entry-failures.js';
import { type Cause, type Detail, detail, type Explanation, exited, type Subject } from './explanation.js';
import type { ExitFacts } from './facts.js';
import { accumulator } from './instruction.js';
import { intercept, interceptOf, ioCause, msrCause } from './svm-causes.js';
import { count, hex, portName } from './words.js';

type Composer = (s: Subject) => Explanation;

const info1 = (f: ExitFacts): number => f.block32(VMCB.EXITINFO1);
const info2 = (f: ExitFacts): bigint => f.block64(VMCB.EXITINFO2);
const operands = (s: Subject): Detail[] => (s.instruction.operands.length === 0 ? [] : [detail('operands', s.instruction.operands.join(', '))]);
const at = (s: Subject): string => (s.instruction.length > 0 ? s.instruction.text : `the instruction at ${hex(s.facts.rip)}`);

/** ` during the delivery of ...`, or nothing. §15.7.2 "Intercepts During IDT Interrupt Delivery". */
function duringDelivery(f: ExitFacts): string {
  const info = f.block32(VMCB.EXITINTINFO);
  return (info & EVENT_VALID) === 0 ? '' : ` during the delivery of ${eventName((info >>> EVENT_TYPE_SHIFT) & 7, info & 0xff)}`;
}

/** An instruction whose intercept is a bit of its own. */
const instruction =
  (name: InterceptName, shown: (s: Subject) => string = at): Composer =>
  (s) =>
    exited(s, shown(s), intercept(s.facts, name), operands(s));
/** Something that came between instructions. */
const event =
  (name: InterceptName, what: (s: Subject) => string, before: (clause: string) => string = (c) => c): Composer =>
  (s) => {
    const cause = intercept(s.facts, name);
    return exited(s, `${what(s)} before ${at(s)}`, { ...cause, clause: before(cause.clause) });
  };

/** APM 2 §15.10.2 "IN and OUT Behavior". */
function io(s: Subject): Explanation {
  const { facts } = s, info = info1(facts);
  const size = (info >>> 4) & 7, input = (info & 1) !== 0, string = (info & 4) !== 0, rep = (info & 8) !== 0, port = info >>> 16;
  const name = `${rep ? 'REP ' : ''}${input ? 'IN' : 'OUT'}${string ? 'S' : ''}`;
  const a = accumulator(facts, size);
  const what = !input && !string ? `${name} ${hex(port)} (${a.name} = ${hex(a.value)})` : `${name} ${hex(port)} (${count(size, 'byte')})`;
  const details = [detail('port', port), detail('size', String(size)), detail('direction', input ? 'in' : 'out')];
  const device = portName(port);
  if (device !== undefined) details.push(detail('device', device));
  if (!input && !string) details.push(detail('value', a.value));
  return exited(s, what, ioCause(facts, port, size), [...details, detail('next RIP', info2(facts))]);
}

function msr(s: Subject): Explanation {
  const { facts } = s, write = (info1(facts) & 1) !== 0;
  const index = facts.gpr32(1), value = (BigInt(facts.gpr32(2)) << 32n) | BigInt(facts.gpr32(0));
  const what = write ? `WRMSR of ${hex(value)} to ${s.msr(index)}` : `RDMSR of ${s.msr(index)}`;
  return exited(s, what, msrCause(facts, index, write), [detail('MSR', s.msr(index)), ...(write ? [detail('value', value)] : [])]);
}

function taskSwitch(s: Subject): Explanation {
  const { facts } = s, high = Number(info2(facts) >> 32n);
  const by = (high & 0x10) !== 0 ? 'IRET' : (high & 0x40) !== 0 ? 'JMP' : 'CALL, an exception or an interrupt';
  return exited(s, `A task switch to TSS selector ${hex(info1(facts) & 0xffff)} by ${by}`, intercept(facts, 'TASK_SWITCH'), [detail('TSS selector', info1(facts) & 0xffff)]);
}

/** By intercept. */
export const SVM_COMPOSERS: Readonly<Record<InterceptName, Composer>> = {
  INTR: event('INTR', (s) => `External interrupt${s.facts.pendingVector === undefined ? '' : ` ${hex(s.facts.pendingVector)}`}`),
  NMI: event('NMI', () => 'An NMI'),
  SMI: event('SMI', () => 'An SMI'),
  INIT: event('INIT', () => 'An INIT signal'),
  VINTR: event('VINTR', (s) => `A virtual interrupt with vector ${hex(s.facts.block8(VMCB.V_INTR_VECTOR))}`, (c) => `the guest could take it (V_IRQ and RFLAGS.IF are 1) and ${c}`),
  CR0_SEL_WRITE: instruction('CR0_SEL_WRITE'),
  IDTR_READ: instruction('IDTR_READ'),
  GDTR_READ: instruction('GDTR_READ'),
  LDTR_READ: instruction('LDTR_READ'),
  TR_READ: instruction('TR_READ'),
  IDTR_WRITE: instruction('IDTR_WRITE'),
  GDTR_WRITE: instruction('GDTR_WRITE'),
  LDTR_WRITE: instruction('LDTR_WRITE'),
  TR_WRITE: instruction('TR_WRITE'),
  RDTSC: instruction('RDTSC'),
  RDPMC: instruction('RDPMC', (s) => `RDPMC of counter ${hex(s.facts.gpr32(1))}`),
  PUSHF: instruction('PUSHF'),
  POPF: instruction('POPF'),
  CPUID: instruction('CPUID', (s) => `CPUID of leaf ${hex(s.facts.gpr32(0))}, subleaf ${hex(s.facts.gpr32(1))}`),
  RSM: instruction('RSM'),
  IRET: instruction('IRET'),
  SWINT: instruction('SWINT'),
  INVD: instruction('INVD'),
  PAUSE: (s) => {
    const cause = intercept(s.facts, 'PAUSE'), filter = s.facts.block16(VMCB.PAUSE_FILTER_COUNT);
    return exited(s, 'PAUSE', filter === 0 ? cause : { ...cause, clause: `${cause.clause} and the PAUSE filter's count of ${filter} was used up` });
  },
  HLT: instruction('HLT'),
  INVLPG: instruction('INVLPG'),
  INVLPGA: instruction('INVLPGA', (s) => `INVLPGA of ${hex(s.facts.gpr(0))} in ASID ${s.facts.gpr32(1)}`),
  IOIO: io,
  MSR: msr,
  TASK_SWITCH: taskSwitch,
  FERR_FREEZE: event('FERR_FREEZE', () => 'A freeze by legacy FERR handling'),
  SHUTDOWN: (s) => exited(s, `A shutdown (triple fault)${duringDelivery(s.facts)}`, intercept(s.facts, 'SHUTDOWN')),
  VMRUN: instruction('VMRUN', (s) => `VMRUN of ${hex(s.facts.gpr(0))}`),
  VMMCALL: instruction('VMMCALL', (s) => `VMMCALL with RAX = ${hex(s.facts.gpr(0))}`),
  VMLOAD: instruction('VMLOAD', (s) => `VMLOAD of ${hex(s.facts.gpr(0))}`),
  VMSAVE: instruction('VMSAVE', (s) => `VMSAVE of ${hex(s.facts.gpr(0))}`),
  STGI: instruction('STGI'),
  CLGI: instruction('CLGI'),
  SKINIT: instruction('SKINIT'),
  RDTSCP: instruction('RDTSCP'),
  ICEBP: instruction('ICEBP'),
  WBINVD: instruction('WBINVD'),
  MONITOR: instruction('MONITOR'),
  MWAIT: instruction('MWAIT'),
  MWAIT_CONDITIONAL: instruction('MWAIT_CONDITIONAL'),
  XSETBV: instruction('XSETBV', (s) => `XSETBV of ${hex((BigInt(s.facts.gpr32(2)) << 32n) | BigInt(s.facts.gpr32(0)))} to XCR${s.facts.gpr32(1)}`),
};

// --- families: sixteen control registers, sixteen debug registers, thirty-two exceptions

const REGISTER_INTERCEPTS = 'APM 2 §15.9 "Instruction Intercepts"', EXCEPTION_INTERCEPTS = 'APM 2 §15.12 "Exception Intercepts"';

function register(s: Subject, kind: 'CR' | 'DR', n: number, write: boolean): Explanation {
  const offset = kind === 'CR' ? (write ? VMCB.INTERCEPT_CR_WRITE : VMCB.INTERCEPT_CR_READ) : write ? VMCB.INTERCEPT_DR_WRITE : VMCB.INTERCEPT_DR_READ;
  const what = s.instruction.length > 0 ? s.instruction.text : `A ${write ? 'write' : 'read'} of ${kind}${n}`;
  const value = write && s.instruction.operands.length === 1 ? ` with ${s.instruction.operands[0]!}` : '';
  return exited(s, `${what}${value}`, interceptOf(s.facts, offset, n, `${write ? 'writes' : 'reads'} of ${kind}${n}`, REGISTER_INTERCEPTS), operands(s));
}

const PAGE_FAULT = 14;
const WITH_ERROR_CODE: ReadonlySet<number> = new Set([8, 10, 11, 12, 13, 14, 17, 21, 29, 30]);

function exception(s: Subject, vector: number): Explanation {
  const { facts } = s, withError = WITH_ERROR_CODE.has(vector), error = info1(facts);
  const details = [detail('vector', String(vector))];
  let what = exceptionName(vector);
  if (vector === PAGE_FAULT) {
    what += ` at ${hex(info2(facts))}`;
    details.push(detail('linear address', info2(facts)));
  }
  if (withError) {
    what += ` with error code ${hex(error)}`;
    details.push(detail('error code', `${hex(error).toLowerCase()}${vector === PAGE_FAULT ? ` (${list(pageFaultBits(BigInt(error))) || 'none'})` : ''}`));
  }
  const delivery = duringDelivery(facts);
  what += delivery !== '' ? delivery : ` by ${at(s)}`;
  const name = exceptionName(vector).split(' ')[0]!;
  return exited(s, what, interceptOf(facts, VMCB.INTERCEPT_EXCEPTIONS, vector, name === 'exception' ? `exception ${vector}` : name, EXCEPTION_INTERCEPTS), details);
}

// --- nested page faults

const FAULTS = 'APM 2 §15.25.6 "Nested versus Guest Page Faults, Fault Ordering"';
const NESTED_NAMES = ['', 'nested PTE', 'nested PDE', 'nested PDPE', 'nested PML4E'] as const;

/** Bits of EXITINFO1 as in a page-fault error code; bit 32: the final address, bit 33: a guest page-table entry. */
function nestedPageFault(s: Subject): Explanation {
  const { facts } = s, info = facts.block64(VMCB.EXITINFO1), error = Number(info & 0x1fn), onTable = (info >> 33n) & 1n;
  const fetch = (error & 16) !== 0, write = (error & 2) !== 0;
  // "Table walks for guest page tables are always treated as user writes."
  const walk = onTable === 1n, access = walk ? 'A walk of the guest\'s page tables (which counts as a write)' : fetch ? 'An instruction fetch' : write ? 'A write' : 'A read';
  const delivery = duringDelivery(facts), by = s.instruction.length > 0 && !fetch && delivery === '' ? ` by ${s.instruction.text}` : '';
  const e = facts.nestedEntry;
  return exited(s, `${access} at guest-physical ${hex(info2(facts))}${by}${delivery}`, nestedCause(facts, error), [
    detail('guest-physical address', info2(facts)),
    detail('access', access.replace(/^An? /, '')),
    detail('error code', `${hex(error).toLowerCase()} (${list(pageFaultBits(BigInt(error))) || 'none'})`),
    ...(e === undefined ? [] : [detail(NESTED_NAMES[e.level]!, `${hex(e.entry).toLowerCase()} at ${hex(e.address).toLowerCase()}`)]),
    ...operands(s),
  ]);
}

function nestedCause(f: ExitFacts, error: number): Cause {
  const e = f.nestedEntry;
  if (e === undefined) return { clause: 'the nested page tables have no entry for the address', section: FAULTS };
  const where = `the ${NESTED_NAMES[e.level]!} at ${hex(e.address)}`;
  const control = { kind: 'memory', address: e.address, mask: 7 } as const;
  if ((error & 1) === 0) return { clause: `${where} is not present (it holds ${hex(e.entry)})`, section: FAULTS, control };
  if ((error & 8) !== 0) return { clause: `a reserved bit is 1 in ${where}, which holds ${hex(e.entry)}`, section: FAULTS, control };
  const refuses = (error & 16) !== 0 ? 'execution' : (error & 2) !== 0 ? 'writing' : 'user access';
  return { clause: `the nested page tables do not allow ${refuses}: ${where} holds ${hex(e.entry)}`, section: FAULTS, control };
}

const byCode = new Map<number, InterceptName>((Object.keys(INTERCEPTS) as InterceptName[]).map((name) => [INTERCEPTS[name][2], name]));

/** The explanation of a #VMEXIT, or undefined for a code that this machine has no name for. */
export function explainSvm(s: Subject): Explanation | undefined {
  const { code } = s.facts;
  if (code === VMEXIT_INVALID) return entryFailure(s);
  if (code === VMEXIT_NPF) return nestedPageFault(s);
  if (code >= VMEXIT_EXCP0 && code < VMEXIT_EXCP0 + 32) return exception(s, code - VMEXIT_EXCP0);
  if (code >= VMEXIT_CR0_READ && code < VMEXIT_CR0_WRITE) return register(s, 'CR', code - VMEXIT_CR0_READ, false);
  if (code >= VMEXIT_CR0_WRITE && code < VMEXIT_DR0_READ) return register(s, 'CR', code - VMEXIT_CR0_WRITE, true);
  if (code >= VMEXIT_DR0_READ && code < VMEXIT_DR0_WRITE) return register(s, 'DR', code - VMEXIT_DR0_READ, false);
  if (code >= VMEXIT_DR0_WRITE && code < VMEXIT_EXCP0) return register(s, 'DR', code - VMEXIT_DR0_WRITE, true);
  const name = byCode.get(code);
  return name === undefined ? undefined : SVM_COMPOSERS[name](s);
}
