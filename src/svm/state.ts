/**
 * What an SVM processor keeps on chip beside the architectural registers: GIF, the SVM MSRs, and, between VMRUN and #VMEXIT, the
 * controls that VMRUN loaded.
 *
 * APM 2 §15.5.1 "Basic Operation", "Control Bits": intercepts, TSC offset, virtual-interrupt state and ASID are read once, by VMRUN;
 * changing them in memory while the guest runs has no effect. §15.30 "SVM Related MSRs".
 */

import type { LinearMemory } from '../mem/linear-memory.js';
import type { NestedContext } from '../cpu/ports.js';
import type { SvmCapabilities } from './capabilities.js';
import { INTERCEPTS, INTERCEPT_WORDS, VMEXIT_INVALID, VMEXIT_NPF, allExitCodes, exitName, type InterceptName } from './intercepts.js';
import { VmcbView } from './fields.js';

/** Why the last VMRUN ended with VMEXIT_INVALID. */
export interface EntryFailure {
  /** Identifier of the rule in `entry-checks.ts`. */
  readonly rule: string;
  readonly section: string;
  /** The rule in words, with the value that broke it. */
  readonly text: string;
  readonly vmcb: number;
}

/** Plain data for snapshots. */
export type SvmSnapshot = Record<string, number | boolean | bigint | number[] | NestedContext | null>;

const SAVED = [
  'gif', 'vmCr', 'svmKey', 'hsavePa', 'vmcbPa', 'vmcbAt', 'hsaveAt', 'asid', 'vIntr', 'vIntrVector', 'tscOffsetLow', 'tscOffsetHigh', 'iopm', 'msrpm', 'hostIf',
  'hostCr8', 'pauseCount', 'pauseReload', 'pauseThreshold', 'lastPause', 'injecting', 'injectedNmi', 'nmiBlockedBefore',
  'deliveryInfo', 'deliveryError', 'nested',
] as const;

export class SvmRegisters {
  gif = true;
  /** VM_CR, VM_HSAVE_PA and the hidden SVM key. */
  vmCr = 0;
  svmKey = 0n;
  hsavePa = 0;

  /** The VMCB of the last VMRUN: guest-physical address. Meaningful between VMRUN and #VMEXIT, as are the two views. */
  vmcbPa = 0;
  readonly vmcb: VmcbView;
  readonly hsave: VmcbView;

  /** Intercept words, in the order of `intercepts.ts`. */
  readonly intercepts = new Uint32Array(INTERCEPT_WORDS);
  asid = 0;
  /** V_TPR, V_IRQ, V_INTR_PRIO, V_IGN_TPR, V_INTR_MASKING: the word at V_INTR; V_IRQ changes while the guest runs. */
  vIntr = 0;
  vIntrVector = 0;
  /** TSC offset of the guest, as unsigned halves. */
  tscOffsetLow = 0;
  tscOffsetHigh = 0;
  /** Physical addresses of the permission maps. */
  iopm = 0;
  msrpm = 0;
  /** Host RFLAGS.IF at VMRUN: with V_INTR_MASKING it governs physical interrupts. */
  hostIf = false;
  hostCr8 = 0;
  /** PAUSE filter: internal counter, its reload value, threshold in cycles, time of the last PAUSE. */
  pauseCount = 0;
  pauseReload = 0;
  pauseThreshold = 0;
  lastPause = 0;
  nested: NestedContext | null = null;

  /** An event injected by VMRUN has not begun delivery yet: "not subject to intercept checks". */
  injecting = false;
  /** "An injected NMI does not block delivery of further NMIs." */
  injectedNmi = false;
  nmiBlockedBefore = 0;
  /** The event being delivered through the guest's IDT, in the format of EXITINTINFO; 0 = none. */
  deliveryInfo = 0;
  deliveryError = 0;

  lastEntryFailure: EntryFailure | null = null;
  /** Exits so far, by exit code. */
  private readonly counts = new Float64Array(VMEXIT_NPF + 1);
  private invalidCount = 0;
  entries = 0;
  /** VMRUNs that reached the guest and #VMEXITs since power-on: numbers the transitions of this processor. */
  transitions = 0;

  constructor(readonly m: LinearMemory, readonly capabilities: SvmCapabilities) {
    this.vmcb = new VmcbView(m);
    this.hsave = new VmcbView(m);
  }

  /** Linear-memory addresses of the VMCB and of the host save area. */
  get vmcbAt(): number {
    return this.vmcb.at;
  }
  set vmcbAt(at: number) {
    this.vmcb.at = at;
  }
  get hsaveAt(): number {
    return this.hsave.at;
  }
  set hsaveAt(at: number) {
    this.hsave.at = at;
  }

  /** Is the intercept set? */
  intercepted(name: InterceptName): boolean {
    const [word, bit] = INTERCEPTS[name];
    return ((this.intercepts[word]! >>> bit) & 1) !== 0;
  }

  countExit(code: number): void {
    this.transitions++;
    if (code === VMEXIT_INVALID) this.invalidCount++;
    else this.counts[code]!++;
  }

  /** Exits since power-on, by the manual's name, without those that never happened. */
  exitCounts(): Map<string, number> {
    const out = new Map<string, number>();
    for (const code of allExitCodes()) {
      const n = code === VMEXIT_INVALID ? this.invalidCount : this.counts[code]!;
      if (n > 0) out.set(exitName(code), n);
    }
    return out;
  }

  snapshot(): SvmSnapshot {
    const out: SvmSnapshot = { intercepts: [...this.intercepts] };
    for (const key of SAVED) out[key] = this[key];
    return out;
  }

  restore(saved: SvmSnapshot): void {
    for (const key of SAVED) (this as Record<string, unknown>)[key] = saved[key];
    this.intercepts.set(saved['intercepts'] as number[]);
  }

  /** After reset: the on-chip state of APM 2 §14.1.3 "Processor Initialization State". */
  powerOn(): void {
    this.gif = true;
    this.vmCr = 0;
    this.svmKey = 0n;
    this.hsavePa = 0;
    this.leaveGuest();
  }

  /** What #VMEXIT clears inside the processor. APM 2 §15.6 "#VMEXIT". */
  leaveGuest(): void {
    this.intercepts.fill(0);
    this.asid = 0;
    this.vIntr = 0;
    this.tscOffsetLow = this.tscOffsetHigh = 0;
    this.nested = null;
    this.injecting = false;
    this.injectedNmi = false;
    this.deliveryInfo = 0;
  }
}
