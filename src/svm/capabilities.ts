/**
 * What an SVM implementation offers: CPUID Fn8000_000A, from which everything optional follows.
 *
 * APM 3 appendix E, §E.4.9 "Function 8000_000Ah: SVM Features". The profile's CPUID leaf is the only statement of a processor's
 * features; a leaf that claims a feature which this model does not implement is refused when the machine is built, so that
 * nothing is advertised that is not there.
 */

import type { CpuidResult } from '../cpu/registers.js';

/** EDX of CPUID Fn8000_000A: bit of each feature, those of this model alone. */
export const SVM_FEATURES = {
  /** Nested paging. */
  NP: 0,
  /** VM_CR.LOCK can be cleared with SVM_KEY. */
  SVML: 2,
  /** NRIP is saved on #VMEXIT, and used for injected software interrupts. */
  NRIPS: 3,
  /** The clean bits of the VMCB may be set: a hint, and every field is loaded all the same. */
  VmcbClean: 5,
  /** TLB_CONTROL 3 and 7. */
  FlushByAsid: 6,
  /** PAUSE_FILTER_COUNT. */
  PauseFilter: 10,
  /** PAUSE_FILTER_THRESHOLD. */
  PauseFilterThreshold: 12,
} as const;

export type SvmFeature = keyof typeof SVM_FEATURES;

export interface SvmCapabilities {
  /** SVM revision, EAX[7:0]. */
  readonly revision: number;
  /** Number of address-space identifiers, EBX. */
  readonly asids: number;
  readonly features: ReadonlySet<SvmFeature>;
}

/**
 * Reads CPUID Fn8000_000A.
 * @throws RangeError when the leaf advertises what the model does not implement
 */
export function capabilitiesFromCpuid(leaf: CpuidResult): SvmCapabilities {
  const features = new Set<SvmFeature>();
  let rest = leaf.edx >>> 0;
  for (const [name, bit] of Object.entries(SVM_FEATURES) as [SvmFeature, number][]) {
    if ((rest >>> bit) & 1) features.add(name);
    rest &= ~(1 << bit);
  }
  if (rest !== 0)
    throw new RangeError(`CPUID Fn8000_000A advertises SVM features that are not implemented: EDX bits ${bitsOf(rest).join(', ')}`);
  if (leaf.ebx < 2) throw new RangeError(`CPUID Fn8000_000A: ${leaf.ebx} address-space identifiers; a guest needs at least 2`);
  return { revision: leaf.eax & 0xff, asids: leaf.ebx >>> 0, features };
}

/** CPUID Fn8000_000A for given capabilities: the inverse of `capabilitiesFromCpuid`. */
export function cpuidFromCapabilities(c: SvmCapabilities): CpuidResult {
  let edx = 0;
  for (const name of c.features) edx |= 1 << SVM_FEATURES[name];
  return { eax: c.revision, ebx: c.asids, ecx: 0, edx: edx >>> 0 };
}

/** Every feature of the model, for the profile that has all of them. */
export const ALL_CAPABILITIES: SvmCapabilities = {
  revision: 1,
  asids: 64,
  features: new Set(Object.keys(SVM_FEATURES) as SvmFeature[]),
};

const bitsOf = (v: number): number[] => [...Array(32).keys()].filter((b) => (v >>> b) & 1);
