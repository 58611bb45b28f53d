/** Tables of MSRs and CPUID leaves. Each part that implements a register or a leaf defines it here; what nobody defined faults. */

import type { Cpu } from './cpu.js';

export interface Msr {
  readonly name: string;
  read(cpu: Cpu): bigint;
  /** Returns false for #GP(0): reserved bits or a value that the manual forbids. Absent: read-only. */
  write?(cpu: Cpu, value: bigint): boolean;
}

export class MsrTable {
  private readonly table = new Map<number, Msr>();
  /** Defines one MSR. Defining an index twice is a programming error. */
  define(index: number, msr: Msr): void {
    if (this.table.has(index)) throw new Error(`MSR ${index.toString(16)} (${msr.name}) is defined twice`);
    this.table.set(index, msr);
  }
  get(index: number): Msr | undefined {
    return this.table.get(index >>> 0);
  }
  entries(): IterableIterator<[number, Msr]> {
    return this.table.entries();
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
