/**
 * Names of exception vectors. SDM 3A §6.3.1 "External Interrupts", table 6-1 "Exceptions and Interrupts"; APM 2 §8.2 "Vectors".
 */

export interface ExceptionName {
  /** `#PF`, or empty for a reserved vector. */
  readonly mnemonic: string;
  readonly title: string;
}

const NAMED: Readonly<Record<number, readonly [string, string]>> = {
  0: ['#DE', 'divide error'],
  1: ['#DB', 'debug exception'],
  2: ['NMI', 'non-maskable interrupt'],
  3: ['#BP', 'breakpoint'],
  4: ['#OF', 'overflow'],
  5: ['#BR', 'BOUND range exceeded'],
  6: ['#UD', 'invalid opcode'],
  7: ['#NM', 'device not available'],
  8: ['#DF', 'double fault'],
  10: ['#TS', 'invalid TSS'],
  11: ['#NP', 'segment not present'],
  12: ['#SS', 'stack-segment fault'],
  13: ['#GP', 'general protection'],
  14: ['#PF', 'page fault'],
  16: ['#MF', 'x87 floating-point error'],
  17: ['#AC', 'alignment check'],
  18: ['#MC', 'machine check'],
  19: ['#XM', 'SIMD floating-point exception'],
  20: ['#VE', 'virtualization exception'],
  21: ['#CP', 'control protection exception'],
  28: ['#HV', 'hypervisor injection exception'],
  29: ['#VC', 'VMM communication exception'],
  30: ['#SX', 'security exception'],
};

/** By vector, 0 to 31. */
export const EXCEPTIONS: readonly ExceptionName[] = Array.from({ length: 32 }, (_, v) => {
  const n = NAMED[v];
  return { mnemonic: n?.[0] ?? '', title: n?.[1] ?? '' };
});

/** `#PF (page fault)`, or `exception 22` for a vector without a name. */
export function exceptionName(vector: number): string {
  const e = EXCEPTIONS[vector];
  return e === undefined || e.mnemonic === '' ? `exception ${vector}` : `${e.mnemonic} (${e.title})`;
}
