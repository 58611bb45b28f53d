/**
 * The shape of the VM-entry checks, what they look at, and the loop that runs them.
 *
 * SDM 3C §27.2 "Checks on VMX Controls and Host-State Area" and §27.3.1 "Checks on the Guest State Area". The rules themselves are
 * tables, one row per bullet of the manual and in its order: entry-checks-controls.ts, entry-checks-host.ts, entry-checks-guest.ts.
 * Rows of controls that this machine never offers (APIC virtualisation, shadow VMCS, CET ...) do not exist: setting such a control
 * breaks the reserved-bits row.
 *
 * A group of rows is not evaluated again when no field it reads was written since it last held (`Vmx.dirty`): what a VM exit saves
 * satisfies the rules by construction, but for what it does not save (`leavesStale` in processor-state.ts), and a processor may cache
 * the VMCS. The timing core is told of all rows either way.
 */

import type { Cpu } from '../cpu/cpu.js';
import { CR0_PE, CR0_PG, CR4_PAE, EFER_LMA } from '../cpu/state.js';
import { isCanonicalHigh } from '../cpu/system/segments.js';
import type { FeatureName } from './capabilities.js';
import { ENTRY, EVENT, EXIT, PROC, PROC2, eventType } from './controls.js';
import { F, type FieldName, GROUP } from './fields.js';
import type { Vmx } from './vmx.js';

/** A valid VMCS to start from when a row is tested: which kind of guest and host it describes. */
export type BaseName = 'long' | 'compat' | 'pae' | 'virtual-8086' | 'real' | 'host32';

/** The manual's place of a group of rows. Titles stay when numbers move. */
export interface EntryCheck {
  readonly id: string;
  readonly field: FieldName | 'none';
  readonly rule: string;
  readonly ok: (v: CheckView) => boolean;
  /** Fields that, written into the base, make the smallest VMCS that violates this row and none before it. */
  readonly breaks: (v: CheckView) => Partial<Record<FieldName, bigint | number>>;
  readonly base?: BaseName;
  /** Features without which the row cannot be reached. */
  readonly needs?: readonly FeatureName[];
  /** Features that must be absent for the row to be reachable. */
  readonly without?: readonly FeatureName[];
  /** Exit qualification of the failure (guest-state rows). Default 0. */
  readonly qualification?: number;
}

export interface CheckGroup {
  readonly section: string;
  /** GROUP bits that the rows depend on. */
  readonly reads: number;
  readonly rows: readonly EntryCheck[];
  /** `ok` of each row. The rows have many shapes, and looking a property up in them took longer than the checks. */
  readonly oks: readonly EntryCheck['ok'][];
}
export const checkGroup = (section: string, reads: number, rows: readonly EntryCheck[]): CheckGroup => ({ section, reads, rows, oks: rows.map((r) => r.ok) });

export const ALL_ONES = 0xffff_ffff_ffff_ffffn;

/** Bits 63:47 all equal: canonical for 48-bit linear addresses. */
export const canonical = (v: bigint): boolean => BigInt.asUintN(64, BigInt.asIntN(48, v)) === v;

/** What a row can ask: fields of the current VMCS, and the modes that follow from them. */
export class CheckView {
  constructor(
    readonly x: Vmx,
    readonly cpu: Cpu,
  ) {}

  /** @param field region offset, as in `F` */
  u32(field: number): number {
    return this.x.get32(field);
  }
  u64(field: number): bigint {
    return this.x.get(field);
  }

  /** Is the 64-bit field canonical? Bits 63:47 are all equal. */
  canonical(field: number): boolean {
    return isCanonicalHigh(this.x.get32(field + 4));
  }

  get pin(): number {
    return this.u32(F.PIN_BASED_CONTROLS);
  }
  get proc(): number {
    return this.u32(F.PRIMARY_PROCESSOR_BASED_CONTROLS);
  }
  /** Secondary controls, 0 when they are not activated. */
  get proc2(): number {
    return this.proc & PROC.activateSecondaryControls ? this.u32(F.SECONDARY_PROCESSOR_BASED_CONTROLS) : 0;
  }
  get exit(): number {
    return this.u32(F.VM_EXIT_CONTROLS);
  }
  get entry(): number {
    return this.u32(F.VM_ENTRY_CONTROLS);
  }
  get ept(): boolean {
    return (this.proc2 & PROC2.enableEpt) !== 0;
  }
  get unrestricted(): boolean {
    return (this.proc2 & PROC2.unrestrictedGuest) !== 0;
  }
  get ia32eGuest(): boolean {
    return (this.entry & ENTRY.ia32eModeGuest) !== 0;
  }
  get host64(): boolean {
    return (this.exit & EXIT.hostAddressSpaceSize) !== 0;
  }
  /** The processor is in IA-32e mode now. */
  get lma(): boolean {
    return (this.cpu.s.efer & EFER_LMA) !== 0;
  }
  get guestCr0(): number {
    return this.u32(F.GUEST_CR0);
  }
  get guestPe(): boolean {
    return (this.guestCr0 & CR0_PE) !== 0;
  }
  get guestPg(): boolean {
    return (this.guestCr0 & CR0_PG) !== 0;
  }
  get guestV86(): boolean {
    return (this.u32(F.GUEST_RFLAGS) & (1 << 17)) !== 0;
  }
  /** Will the guest use PAE paging? */
  get guestPae(): boolean {
    return this.guestPg && (this.u32(F.GUEST_CR4) & CR4_PAE) !== 0 && !this.ia32eGuest;
  }

  get injection(): number {
    return this.u32(F.VM_ENTRY_INTERRUPTION_INFORMATION);
  }
  get injecting(): boolean {
    return (this.injection & EVENT.valid) !== 0;
  }
  injects(type: number): boolean {
    return this.injecting && eventType(this.injection) === type;
  }

  /** No bits beyond the physical-address width. */
  physical(v: bigint): boolean {
    return v >> BigInt(this.cpu.physicalAddressBits) === 0n;
  }
  /** The smallest address beyond the physical-address width. */
  get beyondPhysical(): bigint {
    return 1n << BigInt(this.cpu.physicalAddressBits);
  }
  /** Within the physical-address width, and a multiple of `2^bits`. */
  aligned(v: bigint, bits: number): boolean {
    return this.physical(v) && BigInt.asUintN(bits, v) === 0n;
  }
}

/** The group bit for rows that look at more than the VMCS: always evaluated. */
export const ALWAYS = 1 << 30;

/** The first row that does not hold, or null; `dirty` tells which groups need a look. */
export function firstViolation(groups: readonly CheckGroup[], v: CheckView, dirty: number): { group: CheckGroup; row: EntryCheck } | null {
  for (const group of groups) {
    if (((dirty | ALWAYS) & group.reads) === 0) continue;
    const { oks } = group;
    for (let i = 0; i < oks.length; i++) if (!oks[i]!(v)) return { group, row: group.rows[i]! };
  }
  return null;
}

export const rowCount = (groups: readonly CheckGroup[]): number => groups.reduce((n, g) => n + g.rows.length, 0);
/** Every group of guest-state checks depends on the controls too. */
export const CONTROLS_AND = (group: number): number => GROUP.controls | group;
