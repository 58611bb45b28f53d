/**
 * What this processor's VT-x can do: the profile's feature list, and the capability MSRs computed from it.
 *
 * SDM 3C Appendix A "VMX Capability Reporting Facility". Nothing is written down as an MSR value: the allowed settings are
 * the controls in controls.ts whose feature the profile has, so what is advertised and what VM entry accepts cannot differ.
 */

import type { Cpu } from '../cpu/cpu.js';
import type { Msr, MsrTable } from '../cpu/registers.js';
import { CR4_VMXE } from '../cpu/state.js';
import { DEFAULT1, DEFAULT1_OPTIONAL, ENTRY, EXIT, PIN, PROC, PROC2 } from './controls.js';
import { FIELDS } from './fields.js';

/** Optional parts of VT-x. Everything else (NMI exiting, I/O bitmaps, TSC offsetting ...) every VT-x processor has. */
export const FEATURES = [
  'true-controls',
  'virtual-nmis',
  'preemption-timer',
  'monitor-trap-flag',
  'msr-bitmaps',
  'secondary-controls',
  'ept',
  'ept-execute-only',
  'ept-1g-pages',
  'ept-accessed-dirty',
  'vpid',
  'unrestricted-guest',
  'descriptor-table-exiting',
  'rdtscp',
  'wbinvd-exiting',
  'pause-loop-exiting',
  'rdrand-exiting',
  'invpcid',
  'rdseed-exiting',
  'pat-controls',
  'efer-controls',
  'vmwrite-any-field',
  'zero-length-injection',
] as const;
export type FeatureName = (typeof FEATURES)[number];

/** The `vmx` part of a profile. */
export interface VmxOptions {
  readonly features: readonly FeatureName[];
  /** The preemption timer counts down every 2^shift TSC ticks (0 to 31). Default 5. */
  readonly timerShift?: number;
}

/**
 * Everything implemented: what a processor-neutral profile offers. RDRAND and RDSEED exiting are not in it: the machine has no
 * such instructions, so the controls would promise exits that cannot come.
 */
export const ALL_FEATURES: VmxOptions = { features: FEATURES.filter((f) => f !== 'rdrand-exiting' && f !== 'rdseed-exiting'), timerShift: 0 };

/** Features that make no sense without another one. */
const IMPLIES: Partial<Record<FeatureName, FeatureName>> = {
  ept: 'secondary-controls',
  vpid: 'secondary-controls',
  'ept-execute-only': 'ept',
  'ept-1g-pages': 'ept',
  'ept-accessed-dirty': 'ept',
  'unrestricted-guest': 'ept',
  'descriptor-table-exiting': 'secondary-controls',
  rdtscp: 'secondary-controls',
  'wbinvd-exiting': 'secondary-controls',
  'pause-loop-exiting': 'secondary-controls',
  'rdrand-exiting': 'secondary-controls',
  invpcid: 'secondary-controls',
  'rdseed-exiting': 'secondary-controls',
};

/**
 * Reads the `vmx` part of a profile: `{"features": [...], "timer_shift": n}`.
 * Throws RangeError with one line that names the profile and what is wrong.
 */
export function parseVmxOptions(part: unknown, profile: string): VmxOptions {
  const p = part as { features?: unknown; timer_shift?: unknown } | null;
  if (typeof p !== 'object' || p === null || !Array.isArray(p.features)) throw new RangeError(`profile ${profile}: "vmx" has no list "features"`);
  for (const f of p.features)
    if (!(FEATURES as readonly unknown[]).includes(f)) throw new RangeError(`profile ${profile}: unknown vmx feature "${String(f)}"; known: ${FEATURES.join(', ')}`);
  const shift = p.timer_shift ?? 5;
  if (typeof shift !== 'number' || !Number.isInteger(shift) || shift < 0 || shift > 31)
    throw new RangeError(`profile ${profile}: vmx.timer_shift must be an integer from 0 to 31`);
  return { features: p.features as FeatureName[], timerShift: shift };
}

/** Allowed settings of one 32-bit control field: bits that must be one, and bits that may be one. Unsigned. */
export interface Allowed {
  readonly must1: number;
  readonly may1: number;
}

/** "xeno": the revision identifier of our VMCS layout (bit 31 clear). */
const REVISION = 0x6f6e_6578;
const CR0_FIXED0 = 0x8000_0021; // PG, NE, PE
const MEMORY_TYPE_WB = 6;
export const CR3_TARGETS = 4;
/** Recommended bound of an MSR-load or MSR-store list: 512 * (field 27:25 + 1). */
export const MSR_LIST_MAX = 512;

const REGION_BYTES = 4096;
const u32 = (n: number): number => n >>> 0;
const pair = (low: number, high: number): bigint => (BigInt(u32(high)) << 32n) | BigInt(u32(low));
const sum = (bits: Record<string, number>): number => Object.values(bits).reduce((a, b) => a | b, 0);

/** One processor's capabilities. Immutable. */
export class Capabilities {
  readonly revision = REVISION;
  readonly timerShift: number;
  private readonly have: ReadonlySet<FeatureName>;

  readonly pin: Allowed;
  readonly proc: Allowed;
  readonly proc2: Allowed;
  readonly exit: Allowed;
  readonly entry: Allowed;

  constructor(readonly options: VmxOptions) {
    this.have = new Set(options.features);
    for (const f of options.features) {
      const base = IMPLIES[f];
      if (base !== undefined && !this.have.has(base)) throw new RangeError(`the vmx feature ${f} needs ${base}`);
    }
    this.timerShift = options.timerShift ?? 5;
    const on = (f: FeatureName, bits: number): number => (this.have.has(f) ? bits : 0);
    const without = (all: Record<string, number>, conditional: number): number => sum(all) & ~conditional;
    const must = (k: keyof typeof DEFAULT1): number => u32(DEFAULT1[k] & ~on('true-controls', DEFAULT1_OPTIONAL[k]));

    const pin = without(PIN, PIN.virtualNmis | PIN.preemptionTimer) | on('virtual-nmis', PIN.virtualNmis) | on('preemption-timer', PIN.preemptionTimer);
    // NMI-window exiting is meaningless without virtual NMIs.
    const optionalProc = PROC.monitorTrapFlag | PROC.useMsrBitmaps | PROC.activateSecondaryControls | PROC.nmiWindowExiting;
    const proc =
      without(PROC, optionalProc) |
      on('monitor-trap-flag', PROC.monitorTrapFlag) |
      on('msr-bitmaps', PROC.useMsrBitmaps) |
      on('secondary-controls', PROC.activateSecondaryControls) |
      on('virtual-nmis', PROC.nmiWindowExiting);
    const proc2 =
      on('ept', PROC2.enableEpt) |
      on('vpid', PROC2.enableVpid) |
      on('unrestricted-guest', PROC2.unrestrictedGuest) |
      on('descriptor-table-exiting', PROC2.descriptorTableExiting) |
      on('rdtscp', PROC2.enableRdtscp) |
      on('wbinvd-exiting', PROC2.wbinvdExiting) |
      on('pause-loop-exiting', PROC2.pauseLoopExiting) |
      on('rdrand-exiting', PROC2.rdrandExiting) |
      on('invpcid', PROC2.enableInvpcid) |
      on('rdseed-exiting', PROC2.rdseedExiting);
    const exit =
      EXIT.saveDebugControls |
      EXIT.hostAddressSpaceSize |
      EXIT.acknowledgeInterrupt |
      on('pat-controls', EXIT.savePat | EXIT.loadPat) |
      on('efer-controls', EXIT.saveEfer | EXIT.loadEfer) |
      on('preemption-timer', EXIT.savePreemptionTimer);
    // The two SMM controls may be set as far as the capability goes; the checks on SMM entry refuse them (we have no SMM).
    const entry =
      ENTRY.loadDebugControls | ENTRY.ia32eModeGuest | ENTRY.entryToSmm | ENTRY.deactivateDualMonitor |
      on('pat-controls', ENTRY.loadPat) | on('efer-controls', ENTRY.loadEfer);

    this.pin = { must1: must('pin'), may1: u32(pin | DEFAULT1.pin) };
    this.proc = { must1: must('proc'), may1: u32(proc | DEFAULT1.proc) };
    this.proc2 = { must1: 0, may1: u32(proc2) };
    this.exit = { must1: must('exit'), may1: u32(exit | DEFAULT1.exit) };
    this.entry = { must1: must('entry'), may1: u32(entry | DEFAULT1.entry) };
  }

  has(f: FeatureName): boolean {
    return this.have.has(f);
  }
  hasAll(features: readonly FeatureName[]): boolean {
    return features.length === 0 || features.every((f) => this.have.has(f));
  }

  /** IA32_VMX_BASIC. Appendix A.1 "Basic VMX Information". */
  get basic(): bigint {
    const insOutsInformation = 1 << (54 - 32), trueControls = this.has('true-controls') ? 1 << (55 - 32) : 0;
    return pair(this.revision, REGION_BYTES | (MEMORY_TYPE_WB << (50 - 32)) | insOutsInformation | trueControls);
  }

  /** IA32_VMX_MISC. Appendix A.6 "Miscellaneous Data". */
  get misc(): bigint {
    let v = this.timerShift | (1 << 6) | (1 << 7) | (1 << 8) | (CR3_TARGETS << 16);
    if (this.has('unrestricted-guest')) v |= 1 << 5;
    if (this.has('vmwrite-any-field')) v |= 1 << 29;
    if (this.has('zero-length-injection')) v |= 1 << 30;
    return pair(v, 0);
  }

  /** IA32_VMX_VMCS_ENUM: the highest index of any field's encoding. Appendix A.9 "VMCS Enumeration". */
  get vmcsEnum(): bigint {
    let highest = 0;
    for (const f of FIELDS) if (this.hasAll(f.needs)) highest = Math.max(highest, (f.encoding >> 1) & 0x1ff);
    return BigInt(highest << 1);
  }

  /** IA32_VMX_EPT_VPID_CAP. Appendix A.10 "VPID and EPT Capabilities". */
  get eptVpid(): bigint {
    let low = 0, high = 0;
    if (this.has('ept')) low |= (1 << 6) | (1 << 8) | (1 << 14) | (1 << 16) | (1 << 20) | (1 << 25) | (1 << 26);
    if (this.has('ept-execute-only')) low |= 1;
    if (this.has('ept-1g-pages')) low |= 1 << 17;
    if (this.has('ept-accessed-dirty')) low |= 1 << 21;
    if (this.has('vpid')) high |= 1 | (0xf << 8);
    return pair(low, high);
  }

  /** CR0 bits that are fixed to one in VMX operation; in a guest `unrestricted` frees PE and PG. Appendix A.7 "VMX-Fixed Bits in CR0". */
  cr0Fixed1s(unrestricted: boolean): number {
    return unrestricted ? u32(CR0_FIXED0 & ~0x8000_0001) : CR0_FIXED0;
  }
  /** CR4 bits that may be one. Appendix A.8 "VMX-Fixed Bits in CR4". */
  cr4May1(cpu: Cpu): number {
    return u32(cpu.cr4Allowed | CR4_VMXE);
  }

  /** Defines IA32_VMX_* in a processor's table. All are read-only. */
  define(msrs: MsrTable): void {
    const constant = (index: number, name: string, value: bigint): void => {
      const msr: Msr = { name, read: () => value };
      msrs.define(index, msr);
    };
    const controls = (a: Allowed, must1: number): bigint => pair(must1, a.may1);
    constant(0x480, 'IA32_VMX_BASIC', this.basic);
    constant(0x481, 'IA32_VMX_PINBASED_CTLS', controls(this.pin, DEFAULT1.pin));
    constant(0x482, 'IA32_VMX_PROCBASED_CTLS', controls(this.proc, DEFAULT1.proc));
    constant(0x483, 'IA32_VMX_EXIT_CTLS', controls(this.exit, DEFAULT1.exit));
    constant(0x484, 'IA32_VMX_ENTRY_CTLS', controls(this.entry, DEFAULT1.entry));
    constant(0x485, 'IA32_VMX_MISC', this.misc);
    constant(0x486, 'IA32_VMX_CR0_FIXED0', BigInt(CR0_FIXED0));
    constant(0x487, 'IA32_VMX_CR0_FIXED1', 0xffff_ffffn);
    constant(0x488, 'IA32_VMX_CR4_FIXED0', BigInt(CR4_VMXE));
    msrs.define(0x489, { name: 'IA32_VMX_CR4_FIXED1', read: (cpu) => BigInt(this.cr4May1(cpu)) });
    constant(0x48a, 'IA32_VMX_VMCS_ENUM', this.vmcsEnum);
    if (this.has('secondary-controls')) constant(0x48b, 'IA32_VMX_PROCBASED_CTLS2', controls(this.proc2, 0));
    if (this.has('ept') || this.has('vpid')) constant(0x48c, 'IA32_VMX_EPT_VPID_CAP', this.eptVpid);
    if (this.has('true-controls')) {
      constant(0x48d, 'IA32_VMX_TRUE_PINBASED_CTLS', controls(this.pin, this.pin.must1));
      constant(0x48e, 'IA32_VMX_TRUE_PROCBASED_CTLS', controls(this.proc, this.proc.must1));
      constant(0x48f, 'IA32_VMX_TRUE_EXIT_CTLS', controls(this.exit, this.exit.must1));
      constant(0x490, 'IA32_VMX_TRUE_ENTRY_CTLS', controls(this.entry, this.entry.must1));
    }
  }
}
