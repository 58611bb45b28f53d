/**
 * Which encodings a processor has, from its CPUID leaves: what is not advertised raises #UD, or is the older instruction that
 * its prefix was ignored for (TZCNT is BSF, LZCNT is BSR, WBNOINVD is WBINVD without the feature).
 *
 * SDM 2 "CPUID—CPU Identification" and the "CPUID Feature Flag" column of each instruction; APM 3 appendix D "Instruction
 * Subsets and CPUID Feature Flags". iced names the features of every encoding.
 */

import { CpuidFeature as F, DecoderOptions, Instruction, OpCodeTableKind } from 'iced-x86';
import { opCodeInfo } from '../insn.js';
import type { CpuidResult } from '../registers.js';

/** What the decoder asks about a processor. */
export interface EncodingSet {
  /** Two sets with the same key are the same. */
  readonly key: string;
  /** iced `DecoderOptions`. */
  readonly decoderOptions: number;
  /** Does the processor know the encoding? */
  has(code: number): boolean;
}

type Register = keyof CpuidResult;
type Bit = readonly [leaf: number, register: Register, bit: number];

/** Every processor with long mode has these, or has them as NOPs. */
const ALWAYS = new Set<number>([
  F.INTEL8086, F.INTEL186, F.INTEL286, F.INTEL386, F.INTEL486, F.X64, F.CPUID, F.PAUSE, F.MULTIBYTENOP, F.PREFETCHW, F.PREFETCHWT1, F.SMM, F.RDPMC,
]);

const LEAF1 = 1, LEAF7 = 7, LEAFX = 0x8000_0001;
const BITS = new Map<number, Bit>([
  [F.FPU, [LEAF1, 'edx', 0]], [F.FPU287, [LEAF1, 'edx', 0]], [F.FPU387, [LEAF1, 'edx', 0]],
  [F.TSC, [LEAF1, 'edx', 4]], [F.MSR, [LEAF1, 'edx', 5]], [F.CX8, [LEAF1, 'edx', 8]], [F.SEP, [LEAF1, 'edx', 11]], [F.CMOV, [LEAF1, 'edx', 15]],
  [F.CLFSH, [LEAF1, 'edx', 19]], [F.MMX, [LEAF1, 'edx', 23]], [F.FXSR, [LEAF1, 'edx', 24]], [F.SSE, [LEAF1, 'edx', 25]], [F.SSE2, [LEAF1, 'edx', 26]],
  [F.SSE3, [LEAF1, 'ecx', 0]], [F.PCLMULQDQ, [LEAF1, 'ecx', 1]], [F.MONITOR, [LEAF1, 'ecx', 3]], [F.VMX, [LEAF1, 'ecx', 5]], [F.INVEPT, [LEAF1, 'ecx', 5]],
  [F.INVVPID, [LEAF1, 'ecx', 5]], [F.SMX, [LEAF1, 'ecx', 6]], [F.SSSE3, [LEAF1, 'ecx', 9]], [F.FMA, [LEAF1, 'ecx', 12]], [F.CMPXCHG16B, [LEAF1, 'ecx', 13]],
  [F.SSE4_1, [LEAF1, 'ecx', 19]], [F.SSE4_2, [LEAF1, 'ecx', 20]], [F.MOVBE, [LEAF1, 'ecx', 22]], [F.POPCNT, [LEAF1, 'ecx', 23]], [F.AES, [LEAF1, 'ecx', 25]],
  [F.XSAVE, [LEAF1, 'ecx', 26]], [F.AVX, [LEAF1, 'ecx', 28]], [F.F16C, [LEAF1, 'ecx', 29]], [F.RDRAND, [LEAF1, 'ecx', 30]],
  [F.FSGSBASE, [LEAF7, 'ebx', 0]], [F.BMI1, [LEAF7, 'ebx', 3]], [F.AVX2, [LEAF7, 'ebx', 5]], [F.BMI2, [LEAF7, 'ebx', 8]], [F.INVPCID, [LEAF7, 'ebx', 10]],
  [F.RTM, [LEAF7, 'ebx', 11]], [F.HLE_or_RTM, [LEAF7, 'ebx', 11]], [F.RDSEED, [LEAF7, 'ebx', 18]], [F.ADX, [LEAF7, 'ebx', 19]], [F.SMAP, [LEAF7, 'ebx', 20]],
  [F.CLFLUSHOPT, [LEAF7, 'ebx', 23]], [F.CLWB, [LEAF7, 'ebx', 24]], [F.SHA, [LEAF7, 'ebx', 29]], [F.PKU, [LEAF7, 'ecx', 3]], [F.RDPID, [LEAF7, 'ecx', 22]],
  [F.SVM, [LEAFX, 'ecx', 2]], [F.SKINIT_or_SVM, [LEAFX, 'ecx', 2]], [F.LZCNT, [LEAFX, 'ecx', 5]], [F.SSE4A, [LEAFX, 'ecx', 6]],
  [F.SYSCALL, [LEAFX, 'edx', 11]], [F.RDTSCP, [LEAFX, 'edx', 27]], [F.D3NOW, [LEAFX, 'edx', 31]],
  [F.WBNOINVD, [0x8000_0008, 'ebx', 9]],
]);
const LAHF64: Bit = [LEAFX, 'ecx', 0];

/** The hint opcodes 0F 0D and 0F 18-1F: whatever is not assigned there, or not advertised, is a NOP (no-operation.ts). */
function isHint(code: number): boolean {
  const info = opCodeInfo(code);
  // A ModRM byte that belongs to the opcode follows it (ENDBR64 is 1EFA).
  const opCode = info.opCodeLength > 1 ? info.opCode >>> 8 : info.opCode;
  return info.table === OpCodeTableKind.T0F && (opCode === 0x0d || (opCode >= 0x18 && opCode <= 0x1f));
}

class Encodings implements EncodingSet {
  private readonly known = new Map<number, boolean>();
  constructor(readonly key: string, readonly decoderOptions: number, private readonly features: ReadonlySet<number>) {}

  has(code: number): boolean {
    let answer = this.known.get(code);
    if (answer === undefined) {
      scratch.code = code;
      this.known.set(code, (answer = isHint(code) || [...scratch.cpuidFeatures()].every((f) => ALWAYS.has(f) || this.features.has(f))));
    }
    return answer;
  }
}
const scratch = new Instruction();
/** Of all processors that the process has seen. */
const sets = new Map<string, EncodingSet>();

/** The encodings of a processor. @param leaf its CPUID leaves as it answers them, subleaf 0 */
export function encodingsOf(leaf: (leaf: number) => CpuidResult): EncodingSet {
  const advertised = ([l, register, bit]: Bit): boolean => ((leaf(l)[register] >>> bit) & 1) !== 0;
  const feature = (f: number): boolean => ALWAYS.has(f) || (BITS.has(f) && advertised(BITS.get(f)!));
  let decoderOptions: number = DecoderOptions.None;
  if (!feature(F.BMI1)) decoderOptions |= DecoderOptions.NoMPFX_0FBC;
  if (!feature(F.LZCNT)) decoderOptions |= DecoderOptions.NoMPFX_0FBD;
  if (!feature(F.WBNOINVD)) decoderOptions |= DecoderOptions.NoWbnoinvd;
  if (!advertised(LAHF64)) decoderOptions |= DecoderOptions.NoLahfSahf64;
  const features = [...BITS.keys()].filter(feature), key = `${decoderOptions} ${features.join(' ')}`;
  let set = sets.get(key);
  if (set === undefined) sets.set(key, (set = new Encodings(key, decoderOptions, new Set(features))));
  return set;
}
