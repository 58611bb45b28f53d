/** Tables of MSRs and CPUID leaves. Each part that implements a register or a leaf defines it here; what nobody defined faults. */

import type { Cpu } from './cpu.js';

export type Msr = ComputedMsr | FieldMsr;

interface ComputedMsr {
  readonly name: string;
  readonly field?: undefined;
  read(cpu: Cpu): bigint;
  /** Returns false for #GP(0): reserved bits or a value that the manual forbids. Absent: read-only. */
  write?(cpu: Cpu, value: bigint): boolean;
}

/** One that is 64 bits of the state and nothing else: RDMSR and WRMSR move them as they are. */
interface FieldMsr {
  readonly name: string;
  /** Linear-memory address of the field. */
  readonly field: number;
  /** May it hold this value, given as unsigned halves? #GP(0) if not. */
  allows(low: number, high: number): boolean;
  read(cpu: Cpu): bigint;
  write(cpu: Cpu, value: bigint): boolean;
}

export const fieldMsr = (name: string, field: number, allows: (low: number, high: number) => boolean = () => true): Msr => ({
  name,
  field,
  allows,
  read: (cpu) => cpu.s.get64(field),
  write(cpu, v) {
    if (!allows(Number(v & 0xffff_ffffn), Number((v >> 32n) & 0xffff_ffffn))) return false;
    cpu.s.set64(field, v);
    return true;
  },
});

export class MsrTable {
  /** By index as a signed number: V8 keeps larger ones in objects, and looks them up slowly. */
  private readonly table = new Map<number, Msr>();
  /** Defines one MSR. Defining an index twice is a programming error. */
  define(index: number, msr: Msr): void {
    if (this.table.has(index | 0)) throw new Error(`MSR ${index.toString(16)} (${msr.name}) is defined twice`);
    this.table.set(index | 0, msr);
  }
  get(index: number): Msr | undefined {
    return this.table.get(index | 0);
  }
}

export interface CpuidResult {
  eax: number;
  ebx: number;
  ecx: number;
  edx: number;
}

export interface CpuidTable {
  /** Whose processor it is, for the few instructions that differ between them. */
  readonly vendor: 'GenuineIntel' | 'AuthenticAMD';
  /** The leaf as the running vCPU sees it (APIC id, OSXSAVE and such filled in). */
  leaf(cpu: Cpu, leaf: number, subleaf: number): CpuidResult;
}
