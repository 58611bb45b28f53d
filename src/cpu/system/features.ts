/** CPUID bits that instructions ask for, by name. SDM 2, "CPUID—CPU Identification"; APM 3 appendix E. */

import type { Cpu } from '../cpu.js';
import { UD } from '../events.js';

type Register = 'eax' | 'ebx' | 'ecx' | 'edx';
type Feature = readonly [leaf: number, subleaf: number, register: Register, bit: number];

export const FEATURE = {
  MONITOR: [1, 0, 'ecx', 3],
  PCID: [1, 0, 'ecx', 17],
  XSAVE: [1, 0, 'ecx', 26],
  SEP: [1, 0, 'edx', 11],
  DE: [1, 0, 'edx', 2],
  PSE: [1, 0, 'edx', 3],
  TSC: [1, 0, 'edx', 4],
  PAE: [1, 0, 'edx', 6],
  MCE: [1, 0, 'edx', 7],
  MTRR: [1, 0, 'edx', 12],
  PGE: [1, 0, 'edx', 13],
  MCA: [1, 0, 'edx', 14],
  PAT: [1, 0, 'edx', 16],
  FXSR: [1, 0, 'edx', 24],
  SSE: [1, 0, 'edx', 25],
  FSGSBASE: [7, 0, 'ebx', 0],
  TSC_ADJUST: [7, 0, 'ebx', 1],
  SMEP: [7, 0, 'ebx', 7],
  INVPCID: [7, 0, 'ebx', 10],
  SMAP: [7, 0, 'ebx', 20],
  UMIP: [7, 0, 'ecx', 2],
  RDPID: [7, 0, 'ecx', 22],
  SYSCALL: [0x8000_0001, 0, 'edx', 11],
  NX: [0x8000_0001, 0, 'edx', 20],
  RDTSCP: [0x8000_0001, 0, 'edx', 27],
  LM: [0x8000_0001, 0, 'edx', 29],
} as const satisfies Record<string, Feature>;

export function hasFeature(cpu: Cpu, feature: Feature): boolean {
  const [leaf, subleaf, register, bit] = feature;
  return ((cpu.cpuid.leaf(cpu, leaf, subleaf)[register] >>> bit) & 1) !== 0;
}

/** #UD when the processor does not have the feature. */
export function requireFeature(cpu: Cpu, feature: Feature): void {
  if (!hasFeature(cpu, feature)) cpu.raise(UD);
}
