/**
 * What one processor remembers about VMX operation, and access to the current VMCS.
 *
 * SDM 3C chapter 24 "Introduction to Virtual Machine Extensions", §25.1 "Overview" (launch state, current VMCS), §29.4 "Caching
 * Translation Information". No decisions here: entry.ts, exit.ts, intercepts.ts and instructions.ts are functions over this class.
 *
 * Invariants: one Vmx per vCPU. The controls of the running guest (`Controls`) are copied out at VM entry, because nothing can
 * change them while the guest runs. `S.guest` in the state is 1 exactly in VMX non-root operation.
 */

import type { Cpu } from '../cpu/cpu.js';
import type { NestedContext } from '../cpu/ports.js';
import { CR4_VMXE, EFER_LMA } from '../cpu/state.js';
import type { LinearMemory } from '../mem/linear-memory.js';
import type { Capabilities } from './capabilities.js';
import { REASON_COUNT, REASON_NAMES } from './controls.js';
import { ABORT_OFFSET, type FieldName, LAUNCH_OFFSET, REVISION_OFFSET } from './fields.js';
import { KnownVmcss } from './known-vmcs.js';

/** Why the last VM entry failed: which field broke which rule. */
export interface EntryFailure {
  /** Row of the tables in entry-checks-*.ts. */
  readonly id: string;
  readonly field: FieldName | 'none';
  /** The rule, in words. */
  readonly rule: string;
  /** The manual's section title. */
  readonly section: string;
  /** The field's value. */
  readonly value: bigint;
  /** VM-instruction error number (7, 8), or 0 when the failure was reported as a VM exit. */
  readonly error: number;
  /** Exit reason (33, 34) or 0. */
  readonly reason: number;
  readonly qualification: number;
  /** All of it in one line for people. */
  readonly text: string;
}

/** The VM-execution controls of the guest that runs, as entered. 32-bit fields are unsigned numbers. */
export class Controls {
  pin = 0;
  proc = 0;
  proc2 = 0;
  exit = 0;
  entry = 0;
  exceptionBitmap = 0;
  pageFaultMask = 0;
  pageFaultMatch = 0;
  cr0Mask = 0n;
  cr0Shadow = 0n;
  cr4Mask = 0n;
  cr4Shadow = 0n;
  tscOffsetLow = 0;
  tscOffsetHigh = 0;
  ioBitmapA = 0;
  ioBitmapB = 0;
  msrBitmap = 0;
}

/** An event whose delivery through the IDT has begun: what IDT-vectoring information would record. */
export interface Delivery {
  readonly information: number;
  readonly hasError: boolean;
  readonly error: number;
  readonly length: number;
}

/** No current VMCS; also the value that VMPTRST stores then. */
export const NO_VMCS = -1;

/** Tags of software translations: 0 is the host; each (VPID, EPT root) pair of a guest has one of its own. */
interface GuestTag {
  readonly vpid: number;
  readonly root: number;
  readonly tag: number;
}
const TAG_LIMIT = 256;

export class Vmx {
  /** In VMX operation (between VMXON and VMXOFF)? */
  on = false;
  /** Physical address of the VMXON region. */
  vmxonPointer = NO_VMCS;
  /** Physical address of the current VMCS, or NO_VMCS. */
  currentPointer = NO_VMCS;
  /** Linear-memory address of the current VMCS; meaningless without one. */
  private at = 0;
  /** IA32_FEATURE_CONTROL. */
  featureControl = 0;

  readonly c = new Controls();
  /** GROUP bits of fields written since the checks of VM entry last held, for this VMCS. See entry-checks.ts. */
  dirty = ~0;
  private readonly known: KnownVmcss;
  /** IA32_EFER.LMA when the host checks last held. */
  checkedLong = false;
  lastEntryFailure: EntryFailure | null = null;
  /** VM exits by basic exit reason since reset, for statistics. */
  readonly exitCounts = new Float64Array(REASON_COUNT);
  /** VM entries that reached the guest since reset. */
  entryCount = 0;
  /** VM entries that reached the guest and VM exits since power-on: numbers the transitions of this processor. */
  transitions = 0;

  /** The event being delivered now, for an exit in the middle of it. */
  delivery: Delivery | null = null;
  /** Monitor trap flag: 0 off, 1 after the next instruction, 2 exit at the next boundary. */
  mtf: 0 | 1 | 2 = 0;
  /** Preemption timer: TSC value, in units of 2^timerShift, at which it reaches zero; Infinity when it is not active. */
  timerEnd = Infinity;
  /** The same moment in cycles. */
  timerDeadline = Infinity;
  /** PAUSE-loop exiting: time of the last PAUSE at CPL 0 and of the first one of its loop. */
  lastPause = 0;
  firstPause = 0;
  /** An IRET with NMIs blocked began (§28.2.3 "Information About NMI Unblocking Due to IRET"): cleared at the next boundary. */
  iretUnblocked = false;
  /** That IRET does not end blocking by NMI ("NMI exiting" without virtual NMIs). */
  iretKeepsBlocking = false;

  nested: NestedContext | null = null;
  private readonly tags: GuestTag[] = [];
  private nextTag = 1;
  private readonly u32: Uint32Array;
  private readonly u64: BigUint64Array;

  constructor(
    readonly caps: Capabilities,
    readonly m: LinearMemory,
  ) {
    this.u32 = m.u32;
    this.u64 = m.u64;
    this.known = new KnownVmcss(m);
  }

  /** Power-on and RESET: outside VMX operation, IA32_FEATURE_CONTROL unlocked. */
  reset(): void {
    this.on = false;
    this.vmxonPointer = this.currentPointer = NO_VMCS;
    this.featureControl = 0;
    this.exitCounts.fill(0);
    this.entryCount = 0;
    this.lastEntryFailure = null;
    this.leaveGuest();
  }

  /** Forgets everything that exists only in VMX non-root operation. */
  leaveGuest(): void {
    this.iretUnblocked = this.iretKeepsBlocking = false;
    this.delivery = null;
    this.mtf = 0;
    this.timerEnd = Infinity;
    this.nested = null;
  }

  /** Makes the VMCS at `hpa` (linear-memory address `at`) current. */
  load(hpa: number, at: number): void {
    this.currentPointer = hpa;
    this.at = at;
    this.dirty = this.known.dirty(hpa, at, this.checkedLong);
  }

  /** The guest has left, and its state is in the VMCS: what was checked at its entry holds for the fields as they are now. */
  noteChecked(): void {
    this.known.note(this.currentPointer, this.at, this.dirty, this.checkedLong);
  }

  get(field: number): bigint {
    return this.u64[(this.at + field) >>> 3]!;
  }
  /** Low 32 bits of a field. */
  get32(field: number): number {
    return this.u32[(this.at + field) >>> 2]!;
  }
  set(field: number, value: bigint): void {
    this.u64[(this.at + field) >>> 3] = value;
    this.m.dirty[this.at >>> 12] = 1;
  }
  set32(field: number, value: number): void {
    this.setHalves(field, value, 0);
  }
  setHalves(field: number, low: number, high: number): void {
    const i = (this.at + field) >>> 2;
    this.u32[i] = low;
    this.u32[i + 1] = high;
    this.m.dirty[this.at >>> 12] = 1;
  }
  /** A field that holds a physical address, as a number. Exact below 2^53. */
  getAddress(field: number): number {
    const i = (this.at + field) >>> 2;
    return this.u32[i + 1]! * 0x1_0000_0000 + this.u32[i]!;
  }
  /** Copies all 64 bits of a field to a linear-memory address, and back. */
  copyTo(field: number, address: number): void {
    const from = (this.at + field) >>> 2, to = address >>> 2;
    this.u32[to] = this.u32[from]!;
    this.u32[to + 1] = this.u32[from + 1]!;
  }
  copyFrom(field: number, address: number): void {
    const to = (this.at + field) >>> 2, from = address >>> 2;
    this.u32[to] = this.u32[from]!;
    this.u32[to + 1] = this.u32[from + 1]!;
    this.m.dirty[this.at >>> 12] = 1;
  }

  get revision(): number {
    return this.u32[(this.at + REVISION_OFFSET) >>> 2]!;
  }
  get launched(): boolean {
    return this.u32[(this.at + LAUNCH_OFFSET) >>> 2] === 1;
  }
  set launched(v: boolean) {
    this.u32[(this.at + LAUNCH_OFFSET) >>> 2] = v ? 1 : 0;
    this.m.dirty[this.at >>> 12] = 1;
  }
  set abortIndicator(v: number) {
    this.u32[(this.at + ABORT_OFFSET) >>> 2] = v;
    this.m.dirty[this.at >>> 12] = 1;
  }

  /** The tag for translations of a guest. `root` is the EPT root, or NO_VMCS without EPT. */
  tagOf(cpu: Cpu, vpid: number, root: number): number {
    for (const t of this.tags) if (t.vpid === vpid && t.root === root) return t.tag;
    if (this.tags.length === TAG_LIMIT) cpu.flushTag(this.tags.shift()!.tag);
    const tag = this.nextTag++;
    this.tags.push({ vpid, root, tag });
    return tag;
  }

  /** Drops software translations of every tag that `match` accepts. */
  flushTags(cpu: Cpu, match: (vpid: number, root: number) => boolean, linear?: bigint): void {
    for (const t of this.tags) if (match(t.vpid, t.root)) cpu.flushTag(t.tag, linear);
  }

  /** May CR4 hold `value` in VMX operation? */
  cr4Ok(cpu: Cpu, value: number): boolean {
    return (value & CR4_VMXE) !== 0 && (value & ~this.caps.cr4May1(cpu)) === 0;
  }
  /** Are only defined bits of IA32_EFER set? LMA counts as defined. */
  eferOk(cpu: Cpu, value: bigint): boolean {
    return value >> 32n === 0n && (Number(value) & ~(cpu.eferAllowed | EFER_LMA)) === 0;
  }

  /** Exit counts by name, without zeros. */
  exitTable(): Record<string, number> {
    const table: Record<string, number> = {};
    this.exitCounts.forEach((n, i) => {
      if (n > 0) table[REASON_NAMES[i] ?? String(i)] = n;
    });
    return table;
  }
}
