/**
 * The consistency checks of VMRUN: one row for each bullet of the manual, in the manual's order.
 *
 * APM 2 §15.5.1 "Basic Operation", "Canonicalization and Consistency Checks"; §15.20 "Event Injection"; §15.25.3 "Enabling Nested
 * Paging"; §15.25.4 "Nested Paging and VMRUN/#VMEXIT". `ok` says whether a VMCB passes the row; `breaks` makes the smallest
 * change that violates the row and no earlier one. A VMCB that fails any row ends VMRUN with VMEXIT_INVALID.
 *
 * Deviations: the two CET bullets, S_CET and U_CET have no rows because the model has no CET (CR4.CET is a MBZ bit).
 */

import type { PhysicalMemory } from '../mem/physical.js';
import {
  CR0_CD, CR0_ET, CR0_NW, CR0_PE, CR0_PG, CR4_PAE, EFER_LMA, EFER_LME, EFER_SVME, VM,
} from '../cpu/state.js';
import type { SvmCapabilities } from './capabilities.js';
import { EVENT_TYPE_SHIFT, EVENT_VALID, IOPM_BYTES, MSRPM_BYTES, VMCB, VMCB_SEG, type VmcbView } from './fields.js';
import { INTERCEPTS } from './intercepts.js';
import { pdpeTable, pdpesLegal } from './pdpes.js';

/** What the checks need besides the VMCB. */
export interface EntryContext {
  readonly capabilities: SvmCapabilities;
  /** MAXPHYADDR. */
  readonly physicalAddressBits: number;
  /** Bits that may be one; all others are MBZ. */
  readonly cr4Allowed: number;
  readonly eferAllowed: number;
  longModeSupported: boolean;
  /** The host's paging at VMRUN, which nested paging uses. */
  hostPaging: boolean;
  readonly hostLongMode: boolean;
  readonly phys: Pick<PhysicalMemory, 'address'>;
}

export interface EntryCheck {
  readonly id: string;
  readonly section: string;
  /** The rule that must hold, in words. */
  readonly rule: string;
  ok(v: VmcbView, c: EntryContext): boolean;
  /** Changes a VMCB that passes everything so that this row fails. */
  breaks(v: VmcbView, c: EntryContext): void;
}

const BASIC = 'APM 2 §15.5.1 "Basic Operation"';
const INJECTION = 'APM 2 §15.20 "Event Injection"';
const NESTED_ENABLE = 'APM 2 §15.25.3 "Enabling Nested Paging"';
const NESTED = 'APM 2 §15.25.4 "Nested Paging and VMRUN/#VMEXIT"';

const has = (v: VmcbView, offset: number, bits: number): boolean => (v.u32(offset) & bits) === (bits | 0);
const put = (v: VmcbView, offset: number, bits: number): void => v.setU32(offset, v.u32(offset) | bits);
const drop = (v: VmcbView, offset: number, bits: number): void => v.setU32(offset, v.u32(offset) & ~bits);

const longPaging = (v: VmcbView): boolean => has(v, VMCB.EFER, EFER_LME) && has(v, VMCB.CR0, CR0_PG);
/** CS.L and CS.D as bits 9 and 10 of the 12-bit attributes. */
const CS_L = 1 << 9, CS_D = 1 << 10;
const csAttrib = (v: VmcbView): number => v.u16(VMCB.CS + VMCB_SEG.attrib);
const guest64 = (v: VmcbView): boolean => longPaging(v) && (csAttrib(v) & CS_L) !== 0;

/** Is any bit at or above `bits` set in a 64-bit field? */
const aboveWidth = (v: VmcbView, offset: number, bits: number): boolean => v.high(offset) >>> (bits - 32) !== 0;

/** Does this VMCB turn nested paging on? NP_ENABLE is ignored where CPUID does not offer it. */
export const usesNested = (v: VmcbView, c: Pick<EntryContext, 'capabilities'>): boolean => c.capabilities.features.has('NP') && (v.u32(VMCB.NP_ENABLE) & 1) !== 0;

/** Guest PAE paging outside long mode, walked from registers (without nested paging). */
const guestLoadsPdpes = (v: VmcbView, c: EntryContext): boolean =>
  has(v, VMCB.CR0, CR0_PG) && has(v, VMCB.CR4, CR4_PAE) && !has(v, VMCB.EFER, EFER_LME) && !usesNested(v, c);

/** PA fields of the PAT register: UC, WC, WT, WP, WB, UC-. APM 2 §7.8.1 "PAT Register". */
function patLegal(v: VmcbView): boolean {
  for (let i = 0; i < 8; i++) {
    const type = v.u8(VMCB.G_PAT + i);
    if (type > 7 || type === 2 || type === 3) return false;
  }
  return true;
}

const event = (v: VmcbView): number => v.u32(VMCB.EVENTINJ);
const eventType = (v: VmcbView): number => (event(v) >>> EVENT_TYPE_SHIFT) & 7;
const injects = (v: VmcbView): boolean => (event(v) & EVENT_VALID) !== 0;
const inject = (v: VmcbView, type: number, vector: number): void =>
  v.setHalves(VMCB.EVENTINJ, (EVENT_VALID | (type << EVENT_TYPE_SHIFT) | vector) >>> 0, 0);

/**
 * Vectors that are exceptions; 2 is NMI, the others below 32 are reserved. #HV (28) and #VC (29) exist only in encrypted guests.
 * APM 2 §8.2 "Vectors", table 8-1.
 */
const EXCEPTION_VECTORS: ReadonlySet<number> = new Set([0, 1, 3, 4, 5, 6, 7, 8, 10, 11, 12, 13, 14, 16, 17, 18, 19, 21, 30]);
const isException = (vector: number): boolean => EXCEPTION_VECTORS.has(vector);

export const ENTRY_CHECKS: readonly EntryCheck[] = [
  {
    id: 'efer-svme', section: BASIC, rule: 'EFER.SVME is one',
    ok: (v) => has(v, VMCB.EFER, EFER_SVME),
    breaks: (v) => drop(v, VMCB.EFER, EFER_SVME),
  },
  {
    id: 'cr0-cd-nw', section: BASIC, rule: 'CR0.NW is zero when CR0.CD is zero',
    ok: (v) => has(v, VMCB.CR0, CR0_CD) || !has(v, VMCB.CR0, CR0_NW),
    breaks: (v) => (drop(v, VMCB.CR0, CR0_CD), put(v, VMCB.CR0, CR0_NW)),
  },
  {
    id: 'cr0-high', section: BASIC, rule: 'CR0[63:32] are zero',
    ok: (v) => v.high(VMCB.CR0) === 0,
    breaks: (v) => v.setU32(VMCB.CR0 + 4, 1),
  },
  {
    id: 'cr3-mbz', section: BASIC, rule: 'no MBZ bit of CR3 is set',
    // In every mode: CR3 of the save area is 64 bits wide, and what lies above MAXPHYADDR is MBZ.
    ok: (v, c) => !aboveWidth(v, VMCB.CR3, c.physicalAddressBits),
    breaks: (v) => v.setU32(VMCB.CR3 + 4, 0x8000_0000),
  },
  {
    id: 'cr4-mbz', section: BASIC, rule: 'no MBZ bit of CR4 is set',
    ok: (v, c) => v.high(VMCB.CR4) === 0 && (v.u32(VMCB.CR4) & ~c.cr4Allowed) === 0,
    breaks: (v) => v.setU32(VMCB.CR4 + 4, 1),
  },
  {
    id: 'dr6-high', section: BASIC, rule: 'DR6[63:32] are zero',
    ok: (v) => v.high(VMCB.DR6) === 0,
    breaks: (v) => v.setU32(VMCB.DR6 + 4, 1),
  },
  {
    id: 'dr7-high', section: BASIC, rule: 'DR7[63:32] are zero',
    ok: (v) => v.high(VMCB.DR7) === 0,
    breaks: (v) => v.setU32(VMCB.DR7 + 4, 1),
  },
  {
    id: 'efer-mbz', section: BASIC, rule: 'no MBZ bit of EFER is set',
    ok: (v, c) => v.high(VMCB.EFER) === 0 && (v.u32(VMCB.EFER) & ~(c.eferAllowed | EFER_LMA | EFER_LME | EFER_SVME)) === 0,
    breaks: (v) => v.setU32(VMCB.EFER + 4, 1),
  },
  {
    id: 'efer-long-mode-supported', section: BASIC, rule: 'EFER.LMA and EFER.LME are zero on a processor without long mode',
    ok: (v, c) => c.longModeSupported || (v.u32(VMCB.EFER) & (EFER_LMA | EFER_LME)) === 0,
    breaks: (v, c) => (put(v, VMCB.EFER, EFER_LMA), (c.longModeSupported = false)),
  },
  {
    id: 'efer-lme-without-pae', section: BASIC, rule: 'CR4.PAE is one when EFER.LME and CR0.PG are',
    ok: (v) => !longPaging(v) || has(v, VMCB.CR4, CR4_PAE),
    breaks: (v) => (enterLongMode(v), drop(v, VMCB.CR4, CR4_PAE)),
  },
  {
    id: 'efer-lme-without-pe', section: BASIC, rule: 'CR0.PE is one when EFER.LME and CR0.PG are',
    ok: (v) => !longPaging(v) || has(v, VMCB.CR0, CR0_PE),
    breaks: (v) => (enterLongMode(v), drop(v, VMCB.CR0, CR0_PE)),
  },
  {
    id: 'cs-l-and-d', section: BASIC, rule: 'EFER.LME, CR0.PG, CR4.PAE, CS.L and CS.D are not all one',
    ok: (v) => !longPaging(v) || !has(v, VMCB.CR4, CR4_PAE) || (csAttrib(v) & (CS_L | CS_D)) !== (CS_L | CS_D),
    breaks: (v) => (enterLongMode(v), v.setU16(VMCB.CS + VMCB_SEG.attrib, csAttrib(v) | CS_L | CS_D)),
  },
  {
    id: 'vmrun-intercept', section: BASIC, rule: 'the VMRUN intercept is set',
    ok: (v) => has(v, VMCB.INTERCEPT_MISC2, 1 << INTERCEPTS.VMRUN[1]),
    breaks: (v) => drop(v, VMCB.INTERCEPT_MISC2, 1 << INTERCEPTS.VMRUN[1]),
  },
  {
    id: 'iopm-in-physical-memory', section: BASIC, rule: 'the I/O permissions map ends below the maximum physical address',
    ok: (v, c) => mapFits(v, c, VMCB.IOPM_BASE_PA, IOPM_BYTES),
    breaks: (v, c) => v.setU64(VMCB.IOPM_BASE_PA, BigInt(2 ** c.physicalAddressBits - 0x2000)),
  },
  {
    id: 'msrpm-in-physical-memory', section: BASIC, rule: 'the MSR permissions map ends below the maximum physical address',
    ok: (v, c) => mapFits(v, c, VMCB.MSRPM_BASE_PA, MSRPM_BYTES),
    breaks: (v, c) => v.setU64(VMCB.MSRPM_BASE_PA, BigInt(2 ** c.physicalAddressBits - 0x1000)),
  },
  {
    id: 'event-type', section: INJECTION, rule: 'EVENTINJ.TYPE is not a reserved value',
    ok: (v) => !injects(v) || [0, 2, 3, 4].includes(eventType(v)),
    breaks: (v) => inject(v, 1, 0x20),
  },
  {
    id: 'event-exception-vector', section: INJECTION, rule: 'EVENTINJ.VECTOR is an exception when TYPE is 3',
    ok: (v) => !injects(v) || eventType(v) !== 3 || isException(event(v) & 0xff),
    breaks: (v) => inject(v, 3, 2),
  },
  {
    id: 'event-possible', section: INJECTION, rule: 'the injected exception exists in the guest\'s mode (#OF and #BR do not in 64-bit mode)',
    ok: (v) => !injects(v) || eventType(v) !== 3 || !guest64(v) || ![4, 5].includes(event(v) & 0xff),
    breaks: (v) => (enterLongMode(v), inject(v, 3, 5)),
  },
  {
    id: 'asid-zero', section: BASIC, rule: 'ASID is not zero',
    ok: (v) => v.u32(VMCB.GUEST_ASID) !== 0,
    breaks: (v) => v.setU32(VMCB.GUEST_ASID, 0),
  },
  {
    id: 'pae-pdpes', section: BASIC, rule: 'no reserved bit of the four PDPEs is set (PAE paging without nested paging)',
    ok: (v, c) =>
      !guestLoadsPdpes(v, c) ||
      pdpesLegal(v.m, pdpeTable((hpa) => c.phys.address(hpa), v.u32(VMCB.CR3)), c.physicalAddressBits),
    breaks: (v, c) => {
      drop(v, VMCB.EFER, EFER_LME);
      drop(v, VMCB.EFER, EFER_LMA);
      put(v, VMCB.CR0, CR0_PG | CR0_PE);
      put(v, VMCB.CR4, CR4_PAE);
      v.setU16(VMCB.CS + VMCB_SEG.attrib, csAttrib(v) & ~CS_L);
      v.setU32(VMCB.NP_ENABLE, 0);
      v.setHalves(VMCB.CR3, 0x8000, 0);
      v.m.u32[c.phys.address(0x8000) >>> 2] = 0x3;
    },
  },
  {
    id: 'nested-host-paging', section: NESTED_ENABLE, rule: 'the host uses paging when NP_ENABLE is one',
    ok: (v, c) => !usesNested(v, c) || c.hostPaging,
    breaks: (v, c) => (v.setU32(VMCB.NP_ENABLE, 1), (c.hostPaging = false)),
  },
  {
    id: 'ncr3-mbz', section: NESTED, rule: 'no MBZ bit of nCR3 is set',
    ok: (v, c) => !usesNested(v, c) || !c.hostLongMode || !aboveWidth(v, VMCB.N_CR3, c.physicalAddressBits),
    breaks: (v) => (v.setU32(VMCB.NP_ENABLE, 1), v.setU32(VMCB.N_CR3 + 4, 0x8000_0000)),
  },
  {
    id: 'g-pat', section: NESTED, rule: 'every field of G_PAT has a supported type encoding',
    ok: (v, c) => !usesNested(v, c) || patLegal(v),
    breaks: (v) => (v.setU32(VMCB.NP_ENABLE, 1), v.setU8(VMCB.G_PAT + 3, 2)),
  },
];

/** The lower 12 bits of a map's address are ignored. */
function mapFits(v: VmcbView, c: EntryContext, offset: number, bytes: number): boolean {
  const base = Math.floor(v.address(offset) / 4096) * 4096;
  return base + bytes <= 2 ** c.physicalAddressBits;
}

/** The guest in 64-bit mode, legally: the ground on which several rows break. */
function enterLongMode(v: VmcbView): void {
  put(v, VMCB.EFER, EFER_LME | EFER_LMA);
  put(v, VMCB.CR0, CR0_PG | CR0_PE | CR0_ET);
  put(v, VMCB.CR4, CR4_PAE);
  drop(v, VMCB.RFLAGS, VM);
  v.setU16(VMCB.CS + VMCB_SEG.attrib, (csAttrib(v) & ~CS_D) | CS_L);
}

/** The first row that a VMCB fails, or undefined. */
export function firstFailure(v: VmcbView, c: EntryContext): EntryCheck | undefined {
  for (const row of ENTRY_CHECKS) if (!row.ok(v, c)) return row;
  return undefined;
}
