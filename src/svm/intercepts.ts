/**
 * The intercepts as data: which bit of the VMCB asks for which exit, and with which exit code.
 *
 * APM 2 §15.9 "Instruction Intercepts", §15.13 "Interrupt Intercepts", §15.14 "Miscellaneous Intercepts"; appendix B table B-1 for
 * the bits, appendix C "SVM Intercept Exit Codes" for the codes. Exit codes and VMCB bits are listed separately because they
 * do not run in step (RDTSCP is bit 7 of the second word, code 87h; the exceptions are 32 codes for one word).
 */

import type { InterceptOp } from '../cpu/ports.js';

/** Words of the intercept vector, as indices of `SvmRegisters.intercepts`. */
export const CR_WORD = 0, DR_WORD = 1, EXCEPTION_WORD = 2, MISC1 = 3, MISC2 = 4;
export const INTERCEPT_WORDS = 5;

/** Bit number and exit code of each intercept of the two miscellaneous words. */
export const INTERCEPTS = {
  INTR: [MISC1, 0, 0x60],
  NMI: [MISC1, 1, 0x61],
  SMI: [MISC1, 2, 0x62],
  INIT: [MISC1, 3, 0x63],
  VINTR: [MISC1, 4, 0x64],
  CR0_SEL_WRITE: [MISC1, 5, 0x65],
  IDTR_READ: [MISC1, 6, 0x66],
  GDTR_READ: [MISC1, 7, 0x67],
  LDTR_READ: [MISC1, 8, 0x68],
  TR_READ: [MISC1, 9, 0x69],
  IDTR_WRITE: [MISC1, 10, 0x6a],
  GDTR_WRITE: [MISC1, 11, 0x6b],
  LDTR_WRITE: [MISC1, 12, 0x6c],
  TR_WRITE: [MISC1, 13, 0x6d],
  RDTSC: [MISC1, 14, 0x6e],
  RDPMC: [MISC1, 15, 0x6f],
  PUSHF: [MISC1, 16, 0x70],
  POPF: [MISC1, 17, 0x71],
  CPUID: [MISC1, 18, 0x72],
  RSM: [MISC1, 19, 0x73],
  IRET: [MISC1, 20, 0x74],
  SWINT: [MISC1, 21, 0x75],
  INVD: [MISC1, 22, 0x76],
  PAUSE: [MISC1, 23, 0x77],
  HLT: [MISC1, 24, 0x78],
  INVLPG: [MISC1, 25, 0x79],
  INVLPGA: [MISC1, 26, 0x7a],
  IOIO: [MISC1, 27, 0x7b],
  MSR: [MISC1, 28, 0x7c],
  TASK_SWITCH: [MISC1, 29, 0x7d],
  FERR_FREEZE: [MISC1, 30, 0x7e],
  SHUTDOWN: [MISC1, 31, 0x7f],
  VMRUN: [MISC2, 0, 0x80],
  VMMCALL: [MISC2, 1, 0x81],
  VMLOAD: [MISC2, 2, 0x82],
  VMSAVE: [MISC2, 3, 0x83],
  STGI: [MISC2, 4, 0x84],
  CLGI: [MISC2, 5, 0x85],
  SKINIT: [MISC2, 6, 0x86],
  RDTSCP: [MISC2, 7, 0x87],
  ICEBP: [MISC2, 8, 0x88],
  WBINVD: [MISC2, 9, 0x89],
  MONITOR: [MISC2, 10, 0x8a],
  MWAIT: [MISC2, 11, 0x8b],
  MWAIT_CONDITIONAL: [MISC2, 12, 0x8c],
  XSETBV: [MISC2, 13, 0x8d],
} as const satisfies Record<string, readonly [number, number, number]>;

export type InterceptName = keyof typeof INTERCEPTS;

/** Exit codes that have no bit of their own in the miscellaneous words. APM 2 appendix C. */
export const VMEXIT_CR0_READ = 0x000, VMEXIT_CR0_WRITE = 0x010, VMEXIT_DR0_READ = 0x020, VMEXIT_DR0_WRITE = 0x030;
export const VMEXIT_EXCP0 = 0x040, VMEXIT_NPF = 0x400;
/** -1 as a 64-bit exit code; kept as a number here. */
export const VMEXIT_INVALID = -1;

/** The intercept that an operation of the instruction set checks. Operations that SVM cannot intercept are absent. */
export const OPERATION_INTERCEPT: { readonly [K in InterceptOp]?: InterceptName } = {
  CPUID: 'CPUID', HLT: 'HLT', INVD: 'INVD', WBINVD: 'WBINVD', INVLPG: 'INVLPG', RDTSC: 'RDTSC', RDTSCP: 'RDTSCP', RDPMC: 'RDPMC',
  RSM: 'RSM', PAUSE: 'PAUSE', MONITOR: 'MONITOR', MWAIT: 'MWAIT', XSETBV: 'XSETBV', VMRUN: 'VMRUN', VMMCALL: 'VMMCALL',
  VMLOAD: 'VMLOAD', VMSAVE: 'VMSAVE', STGI: 'STGI', CLGI: 'CLGI', SKINIT: 'SKINIT', INVLPGA: 'INVLPGA', PUSHF: 'PUSHF',
  POPF: 'POPF', IRET: 'IRET', INTn: 'SWINT', ICEBP: 'ICEBP', SGDT: 'GDTR_READ', SIDT: 'IDTR_READ', LGDT: 'GDTR_WRITE',
  LIDT: 'IDTR_WRITE', SLDT: 'LDTR_READ', STR: 'TR_READ', LLDT: 'LDTR_WRITE', LTR: 'TR_WRITE',
};

const names = new Map<number, string>([[VMEXIT_NPF, 'NPF'], [VMEXIT_INVALID, 'INVALID']]);
for (let i = 0; i < 16; i++) {
  names.set(VMEXIT_CR0_READ + i, `CR${i}_READ`);
  names.set(VMEXIT_CR0_WRITE + i, `CR${i}_WRITE`);
  names.set(VMEXIT_DR0_READ + i, `DR${i}_READ`);
  names.set(VMEXIT_DR0_WRITE + i, `DR${i}_WRITE`);
}
for (let i = 0; i < 32; i++) names.set(VMEXIT_EXCP0 + i, `EXCP${i}`);
for (const [name, [, , code]] of Object.entries(INTERCEPTS)) names.set(code, name);

/** The manual's name of an exit code, without the VMEXIT_ prefix. */
export const exitName = (code: number): string => names.get(code) ?? `0x${(code >>> 0).toString(16)}`;
export const allExitCodes = (): readonly number[] => [...names.keys()];
