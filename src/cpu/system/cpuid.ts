/**
 * CPUID: a processor's leaves from its profile, cut down to what the model implements, with the fields that depend on the
 * running vCPU filled in.
 *
 * SDM 2, "CPUID—CPU Identification"; APM 3 appendix E "Obtaining Processor Information Via the CPUID Instruction".
 *
 * Invariant: a feature bit is one only if the profile's processor has it AND `IMPLEMENTED` says that this model does; the leaves
 * of the profile hold what the real processor answers.
 */

import type { Cpu } from '../cpu.js';
import type { CpuidResult, CpuidTable } from '../registers.js';
import {
  CR4_DE, CR4_FSGSBASE, CR4_MCE, CR4_OSFXSR, CR4_OSXMMEXCPT, CR4_OSXSAVE, CR4_PAE, CR4_PCE, CR4_PCIDE, CR4_PGE, CR4_PSE, CR4_SMAP, CR4_SMEP, CR4_TSD,
  CR4_UMIP, EFER_LMA, EFER_LME, EFER_NXE, EFER_SCE,
} from '../state.js';

type Register = 'eax' | 'ebx' | 'ecx' | 'edx';
const REGISTERS: readonly Register[] = ['eax', 'ebx', 'ecx', 'edx'];

/** The `cpuid` part of a profile. Leaf keys are hexadecimal, with the subleaf after a dot; register values are "0x..." strings. */
export interface CpuidProfile {
  readonly vendor: 'GenuineIntel' | 'AuthenticAMD';
  readonly physicalAddressBits: number;
  readonly source: string;
  readonly leaves: Readonly<Record<string, Readonly<Record<Register, string>>>>;
}

export interface CpuidOptions {
  /** Number of vCPUs, 1 to 255: all are cores of one package. */
  readonly cpus: number;
  /** The extension that the machine has plugged in: its feature bits are shown. */
  readonly virtualization: 'vmx' | 'svm' | 'none';
}

const bits = (...list: number[]): number => list.reduce((m, b) => m | (1 << b), 0) >>> 0;

const VMX_BIT = 5, SVM_BIT = 2, HTT_BIT = 28, APIC_BIT = 9, OSXSAVE_BIT = 27, SYSCALL_BIT = 11, CMP_LEGACY_BIT = 1;
/** FPU DE PSE TSC MSR PAE MCE CX8 APIC MTRR PGE MCA CMOV PAT PSE-36 MMX FXSR: the bits that leaf 8000_0001 repeats on AMD. */
const COMMON_EDX = [0, 2, 3, 4, 5, 6, 7, 8, APIC_BIT, 12, 13, 14, 15, 16, 17, 23, 24];

/** Feature bits that the model implements. A leaf that is not listed here passes as it is. */
const IMPLEMENTED: Readonly<Record<number, Readonly<Partial<Record<Register, number>>>>> = {
  // VMX, CX16, PCID, x2APIC, MOVBE, POPCNT, TSC-deadline
  1: { ecx: bits(VMX_BIT, 13, 17, 21, 22, 23, 24), edx: bits(...COMMON_EDX, 11, 19, 25, 26, 27, HTT_BIT) },
  // Power management, MONITOR and performance counters are not there.
  5: { eax: 0, ebx: 0, ecx: 0, edx: 0 },
  6: { eax: 0, ebx: 0, ecx: 0, edx: 0 },
  // FSGSBASE, TSC_ADJUST, SMEP, ERMS, INVPCID, SMAP; UMIP, RDPID
  7: { eax: 0, ebx: bits(0, 1, 7, 9, 10, 20), ecx: bits(2, 22), edx: 0 },
  0xa: { eax: 0, ebx: 0, ecx: 0, edx: 0 },
  0xd: { eax: 0, ebx: 0, ecx: 0, edx: 0 },
  // LAHF, CmpLegacy, SVM, ABM, PREFETCHW; SYSCALL NX RDTSCP LM and on AMD the common bits and 1-GiB pages
  0x8000_0001: { ecx: bits(0, CMP_LEGACY_BIT, SVM_BIT, 5, 8), edx: bits(...COMMON_EDX, SYSCALL_BIT, 20, 26, 27, 29) },
  0x8000_0007: { eax: 0, ebx: 0, ecx: 0, edx: bits(8) },
  0x8000_0008: { ebx: 0 },
  // NP SVML NRIPS VmcbClean FlushByAsid PauseFilter PauseFilterThreshold
  0x8000_000a: { ecx: 0, edx: bits(0, 2, 3, 5, 6, 10, 12) },
  0x8000_001b: { eax: 0, ebx: 0, ecx: 0, edx: 0 },
};

const ZERO: CpuidResult = { eax: 0, ebx: 0, ecx: 0, edx: 0 };
const keyOf = (leaf: number, subleaf: number): number => (leaf >>> 0) * 256 + subleaf;

export class ProfileCpuid implements CpuidTable {
  readonly vendor: 'GenuineIntel' | 'AuthenticAMD';
  readonly physicalAddressBits: number;
  private readonly leaves = new Map<number, CpuidResult>();
  private readonly withSubleaves = new Set<number>();
  private readonly maxBasic: number;
  private readonly maxExtended: number;

  /** @throws Error in one line when the part is not well formed; `name` is the profile's. */
  constructor(name: string, part: CpuidProfile, private readonly options: CpuidOptions) {
    if (part?.vendor !== 'GenuineIntel' && part?.vendor !== 'AuthenticAMD')
      throw new Error(`profile ${name}: "cpuid.vendor" must be GenuineIntel or AuthenticAMD`);
    if (!Number.isInteger(part.physicalAddressBits) || part.physicalAddressBits < 32 || part.physicalAddressBits > 52)
      throw new Error(`profile ${name}: "cpuid.physicalAddressBits" must be an integer from 32 to 52`);
    this.vendor = part.vendor;
    this.physicalAddressBits = part.physicalAddressBits;
    for (const [key, registers] of Object.entries(part.leaves ?? {})) this.add(name, key, registers);
    const max = (leaf: number): number => this.leaves.get(keyOf(leaf, 0))?.eax ?? failMissing(name, leaf);
    this.maxBasic = max(0);
    this.maxExtended = max(0x8000_0000);
  }

  private add(name: string, key: string, registers: Readonly<Record<Register, string>>): void {
    const match = /^([0-9a-f]{1,8})(?:\.([0-9a-f]{1,2}))?$/i.exec(key);
    if (match === null) throw new Error(`profile ${name}: "cpuid.leaves.${key}" is not a hexadecimal leaf number`);
    const leaf = parseInt(match[1]!, 16), subleaf = parseInt(match[2] ?? '0', 16);
    if (match[2] !== undefined) this.withSubleaves.add(leaf);
    const masks = IMPLEMENTED[leaf] ?? {};
    const result = { ...ZERO };
    for (const r of REGISTERS) {
      if (!/^0x[0-9a-f]{1,8}$/i.test(registers[r] ?? '')) throw new Error(`profile ${name}: "cpuid.leaves.${key}.${r}" is not a value such as "0x0000000b"`);
      result[r] = (parseInt(registers[r], 16) & (masks[r] ?? 0xffff_ffff)) >>> 0;
    }
    this.leaves.set(keyOf(leaf, subleaf), this.withoutExtensions(leaf, result));
  }

  /** Hides the virtualisation extensions that the machine has not plugged in. */
  private withoutExtensions(leaf: number, r: CpuidResult): CpuidResult {
    const { virtualization } = this.options;
    if (leaf === 1 && virtualization !== 'vmx') r.ecx = (r.ecx & ~(1 << VMX_BIT)) >>> 0;
    if (leaf === 0x8000_0001 && virtualization !== 'svm') r.ecx = (r.ecx & ~(1 << SVM_BIT)) >>> 0;
    return leaf === 0x8000_000a && virtualization !== 'svm' ? { ...ZERO } : r;
  }

  /** A leaf as the processor has it, without what depends on the running vCPU. */
  fixed(leaf: number, subleaf = 0): CpuidResult {
    return this.leaves.get(keyOf(leaf, this.withSubleaves.has(leaf) ? subleaf : 0)) ?? ZERO;
  }

  leaf(cpu: Cpu, leaf: number, subleaf: number): CpuidResult {
    leaf = leaf >>> 0;
    const known = leaf <= this.maxBasic || (leaf >= 0x8000_0000 && leaf <= this.maxExtended);
    if (!known) {
      // Intel answers as for the highest basic leaf, AMD with zeroes.
      if (this.vendor === 'AuthenticAMD') return { ...ZERO };
      leaf = this.maxBasic;
    }
    const r = { ...this.fixed(leaf, subleaf) };
    const fill = DYNAMIC[leaf];
    if (fill !== undefined) fill(r, cpu, subleaf, this.options.cpus, this.vendor);
    for (const name of REGISTERS) r[name] = r[name] >>> 0;
    return r;
  }
}

function failMissing(name: string, leaf: number): never {
  throw new Error(`profile ${name}: "cpuid.leaves.${leaf.toString(16)}" is missing`);
}

/** Is the local APIC there and enabled in IA32_APIC_BASE? */
function apicEnabled(cpu: Cpu): boolean {
  const base = cpu.msrs.get(0x1b);
  return base !== undefined && (base.read(cpu) & 0x800n) !== 0n;
}

/** Bits that hold numbers below `n`. */
const bitsFor = (n: number): number => 32 - Math.clz32(n - 1);

type Fill = (r: CpuidResult, cpu: Cpu, subleaf: number, cpus: number, vendor: CpuidTable['vendor']) => void;

/** Leaves with parts that depend on the vCPU, its mode or the number of vCPUs. */
const DYNAMIC: Readonly<Record<number, Fill>> = {
  1(r, cpu, _subleaf, cpus) {
    r.ebx = (r.ebx & 0xffff) | ((cpus > 1 ? cpus : 0) << 16) | (cpu.id << 24);
    if (cpus === 1) r.edx &= ~(1 << HTT_BIT);
    if (!apicEnabled(cpu)) r.edx &= ~(1 << APIC_BIT);
    if (cpu.s.cr4 & CR4_OSXSAVE) r.ecx |= 1 << OSXSAVE_BIT;
  },
  4(r, _cpu, _subleaf, cpus) {
    if ((r.eax & 0x1f) === 0) return;
    const ids = (1 << bitsFor(cpus)) - 1;
    const shared = ((r.eax >>> 5) & 7) >= 3 ? ids : 0;
    r.eax = (r.eax & 0x3fff) | (shared << 14) | (ids << 26);
  },
  0xb(r, cpu, subleaf, cpus) {
    r.eax = subleaf === 1 ? bitsFor(cpus) : 0;
    r.ebx = subleaf === 0 ? 1 : subleaf === 1 ? cpus : 0;
    r.ecx = (subleaf & 0xff) | (subleaf < 2 ? (subleaf + 1) << 8 : 0);
    r.edx = cpu.id;
  },
  0x8000_0001(r, cpu, _subleaf, cpus, vendor) {
    if (vendor === 'GenuineIntel') {
      // Intel shows SYSCALL only to 64-bit code.
      if (!cpu.s.mode64) r.edx &= ~(1 << SYSCALL_BIT);
      return;
    }
    if (cpus === 1) r.ecx &= ~(1 << CMP_LEGACY_BIT);
    if (!apicEnabled(cpu)) r.edx &= ~(1 << APIC_BIT);
  },
  0x8000_0008(r, _cpu, _subleaf, cpus, vendor) {
    if (vendor === 'AuthenticAMD') r.ecx = (cpus - 1) | (bitsFor(cpus) << 12);
  },
};

/** CR4 bits that this processor's features allow (those of extensions are added by them). SDM 3A §2.5 "Control Registers". */
export function cr4AllowedBy(cpuid: ProfileCpuid): number {
  const one = cpuid.fixed(1), seven = cpuid.fixed(7);
  const when = (register: number, bit: number, cr4: number): number => ((register >>> bit) & 1 ? cr4 : 0);
  return (
    CR4_PCE | when(one.edx, 4, CR4_TSD) | when(one.edx, 2, CR4_DE) | when(one.edx, 3, CR4_PSE) | when(one.edx, 6, CR4_PAE) |
    when(one.edx, 7, CR4_MCE) | when(one.edx, 13, CR4_PGE) | when(one.edx, 24, CR4_OSFXSR) | when(one.edx, 25, CR4_OSXMMEXCPT) |
    when(one.ecx, 17, CR4_PCIDE) | when(one.ecx, 26, CR4_OSXSAVE) | when(seven.ebx, 0, CR4_FSGSBASE) | when(seven.ebx, 7, CR4_SMEP) |
    when(seven.ebx, 20, CR4_SMAP) | when(seven.ecx, 2, CR4_UMIP)
  );
}

/** IA32_EFER bits that may be written, LMA among them (its value is ignored). */
export function eferAllowedBy(cpuid: ProfileCpuid): number {
  const { edx } = cpuid.fixed(0x8000_0001);
  return ((edx >>> SYSCALL_BIT) & 1 ? EFER_SCE : 0) | ((edx >>> 29) & 1 ? EFER_LME | EFER_LMA : 0) | ((edx >>> 20) & 1 ? EFER_NXE : 0);
}
