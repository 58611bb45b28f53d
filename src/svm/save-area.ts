/**
 * Moving processor state to and from a state-save area: what VMRUN, #VMEXIT, VMLOAD and VMSAVE have in common.
 *
 * APM 2 §15.5.1 "Basic Operation" (what VMRUN saves and loads, segment state), §15.5.2 "VMSAVE and VMLOAD Instructions".
 * The lists are data, so that the number of fields moved (for the timing core) cannot differ from what is moved. 64-bit values are
 * copied as two words; no BigInt here, because every exit passes through.
 */

import {
  CS, CR0_ET, CR0_PE, CR0_PG, CpuState, DS, EFER_LMA, EFER_LME, ES, FS, GS, LDTR, RAX, RSP, S, SEG, SS, TR, VM, gprAddress, segAddress,
} from '../cpu/state.js';
import { VMCB, VMCB_SEG, type VmcbView } from './fields.js';

const TYPE_CODE = 1 << 3, AR_S = 1 << 4, AR_P = 1 << 7, AR_UNUSABLE = 1 << 16;
const DR6_ONES = 0xffff_0ff0, DR6_WRITABLE = 0xe00f;
export const DR6 = S.dr + 6 * 8, DR7 = S.dr + 7 * 8;
/** DR7 with all breakpoints disabled. */
export const DR7_DISABLED = 0x400;

type Word = readonly [offset: number, state: number];
type Segment = readonly [offset: number, index: number];

/** 64-bit fields that hosts and guests have alike. */
const WORLD_WORDS: readonly Word[] = [
  [VMCB.EFER, S.efer],
  [VMCB.CR4, S.cr4],
  [VMCB.CR3, S.cr3],
  [VMCB.CR0, S.cr0],
  [VMCB.RIP, S.rip],
  [VMCB.RSP, gprAddress(RSP)],
  [VMCB.RAX, gprAddress(RAX)],
];
/** 64-bit fields of a guest alone. */
const GUEST_WORDS: readonly Word[] = [
  [VMCB.CR2, S.cr2],
  [VMCB.DR6, DR6],
  [VMCB.DR7, DR7],
];
const WORLD_SEGMENTS: readonly Segment[] = [
  [VMCB.ES, ES],
  [VMCB.CS, CS],
  [VMCB.SS, SS],
  [VMCB.DS, DS],
];
/** What VMLOAD and VMSAVE move. The base of a segment and these addresses are canonicalised when loaded. */
const EXTRA_SEGMENTS: readonly Segment[] = [
  [VMCB.FS, FS],
  [VMCB.GS, GS],
  [VMCB.LDTR, LDTR],
  [VMCB.TR, TR],
];
const EXTRA_WORDS: readonly Word[] = [
  [VMCB.STAR, S.star],
  [VMCB.SFMASK, S.sfmask],
  [VMCB.SYSENTER_CS, S.sysenterCs],
];
const EXTRA_ADDRESSES: readonly Word[] = [
  [VMCB.LSTAR, S.lstar],
  [VMCB.CSTAR, S.cstar],
  [VMCB.KernelGsBase, S.kernelGsBase],
  [VMCB.SYSENTER_ESP, S.sysenterEsp],
  [VMCB.SYSENTER_EIP, S.sysenterEip],
];

/** RFLAGS, CPL, GDTR and IDTR (base and limit) are moved one by one. */
const SINGLE_FIELDS = 6;
/** Fields and segments that one transfer moves. */
export const HOST_FIELDS = WORLD_WORDS.length + SINGLE_FIELDS;
export const GUEST_FIELDS = HOST_FIELDS + GUEST_WORDS.length;
export const WORLD_SEGMENT_COUNT = WORLD_SEGMENTS.length;

/** 12 bits of the save area (bits 55:52 and 47:40 of a descriptor) from the access rights of the state. */
const packAttrib = (attr: number): number => (attr & AR_UNUSABLE ? 0 : (attr & 0xff) | ((attr >>> 4) & 0xf00));

function saveSegment(v: VmcbView, [offset, index]: Segment): void {
  const { u32 } = v.m;
  const at = segAddress(index);
  v.setU16(offset + VMCB_SEG.selector, u32[(at + SEG.selector) >>> 2]!);
  v.setU16(offset + VMCB_SEG.attrib, packAttrib(u32[(at + SEG.attr) >>> 2]!));
  v.setU32(offset + VMCB_SEG.limit, u32[(at + SEG.limit) >>> 2]!);
  v.store64(offset + VMCB_SEG.base, at + SEG.base);
}

/**
 * Loads one segment register. Only these attributes are observed: D, L, P and R of CS; B, P, E, W and code/data of SS; those and
 * DPL of DS, ES, FS and GS; P, S and type of LDTR and TR. P = 0 means a null segment, except for CS and TR, which never are,
 * and in real and virtual-8086 mode (`flat`).
 */
function loadSegment(v: VmcbView, [offset, index]: Segment, flat: boolean): void {
  const { u32 } = v.m;
  const at = segAddress(index);
  const attrib = v.u16(offset + VMCB_SEG.attrib);
  let attr = (attrib & 0xff) | ((attrib & 0xf00) << 4);
  if (index === CS && !flat) attr |= AR_P | AR_S | TYPE_CODE;
  else if (index === TR) attr |= AR_P;
  else if (index === LDTR) attr |= attr & AR_P ? 0 : AR_UNUSABLE;
  else if (flat || attr & AR_P) attr |= AR_P | AR_S;
  else attr |= AR_UNUSABLE;
  u32[(at + SEG.selector) >>> 2] = v.u16(offset + VMCB_SEG.selector);
  u32[(at + SEG.attr) >>> 2] = attr;
  u32[(at + SEG.limit) >>> 2] = v.u32(offset + VMCB_SEG.limit);
  v.loadCanonical(offset + VMCB_SEG.base, at + SEG.base);
}

function saveTable(v: VmcbView, offset: number, base: number, limit: number): void {
  v.setU32(offset + VMCB_SEG.limit, v.m.u32[limit >>> 2]!);
  v.store64(offset + VMCB_SEG.base, base);
}

function loadTable(v: VmcbView, offset: number, base: number, limit: number): void {
  v.m.u32[limit >>> 2] = v.u32(offset + VMCB_SEG.limit) & 0xffff;
  v.loadCanonical(offset + VMCB_SEG.base, base);
}

/** Saves what a host and a guest have alike: the host's part of VMRUN, the first part of the guest's on #VMEXIT. */
function saveWorld(s: CpuState, v: VmcbView): void {
  for (const segment of WORLD_SEGMENTS) saveSegment(v, segment);
  saveTable(v, VMCB.GDTR, S.gdtrBase, S.gdtrLimit);
  saveTable(v, VMCB.IDTR, S.idtrBase, S.idtrLimit);
  for (const [offset, state] of WORLD_WORDS) v.store64(offset, state);
  v.setHalves(VMCB.RFLAGS, s.rflags, 0);
  v.setU8(VMCB.CPL, s.cpl);
}

/** Saves the host; RIP in the area is that of the instruction after VMRUN, and RF is clear as after any instruction. */
export function saveHost(s: CpuState, v: VmcbView): void {
  saveWorld(s, v);
  v.store64(VMCB.RIP, S.nextRip);
  v.setU32(VMCB.RFLAGS, s.rflags & ~(1 << 16));
}

/** Writes the guest's state back to its VMCB. G_PAT and the virtual-interrupt fields are the caller's. */
export function saveGuest(s: CpuState, v: VmcbView): void {
  saveWorld(s, v);
  for (const [offset, state] of GUEST_WORDS) v.store64(offset, state);
}

/**
 * Loads what a host and a guest have alike. EFER.LMA follows from LME and PG, CR0.ET is always one. Real-mode and virtual-8086
 * segments are present whatever the save area says.
 */
function loadWorld(s: CpuState, v: VmcbView): void {
  const { u32 } = v.m;
  const flat = (v.u32(VMCB.CR0) & CR0_PE) === 0 || (v.u32(VMCB.RFLAGS) & VM) !== 0;
  for (const segment of WORLD_SEGMENTS) loadSegment(v, segment, flat);
  loadTable(v, VMCB.GDTR, S.gdtrBase, S.gdtrLimit);
  loadTable(v, VMCB.IDTR, S.idtrBase, S.idtrLimit);
  for (const [offset, state] of WORLD_WORDS) v.load64(offset, state);
  u32[S.cr0 >>> 2]! |= CR0_ET;
  const efer = u32[S.efer >>> 2]!;
  const long = (efer & EFER_LME) !== 0 && (u32[S.cr0 >>> 2]! & CR0_PG) !== 0;
  u32[S.efer >>> 2] = long ? efer | EFER_LMA : efer & ~EFER_LMA;
  s.rflags = v.u32(VMCB.RFLAGS);
}

/** Loads a guest. "If the guest is in real mode, the CPL is forced to 0; if the guest is in v86 mode, the CPL is forced to 3." */
export function loadGuest(s: CpuState, v: VmcbView): void {
  loadWorld(s, v);
  for (const [offset, state] of GUEST_WORDS) v.load64(offset, state);
  const { u32 } = v.m;
  u32[DR6 >>> 2] = (u32[DR6 >>> 2]! & DR6_WRITABLE) | DR6_ONES;
  u32[DR7 >>> 2]! |= DR7_DISABLED;
  const real = (s.cr0 & CR0_PE) === 0;
  u32[S.cpl >>> 2] = real ? 0 : (s.rflags & VM) !== 0 && !s.longMode ? 3 : v.u8(VMCB.CPL) & 3;
}

/** Loads the host: CR0.PE one, RFLAGS.VM zero, CPL zero, all breakpoints disabled. */
export function loadHost(s: CpuState, v: VmcbView): void {
  v.setU32(VMCB.CR0, v.u32(VMCB.CR0) | CR0_PE);
  v.setU32(VMCB.RFLAGS, v.u32(VMCB.RFLAGS) & ~VM);
  loadWorld(s, v);
  const { u32 } = v.m;
  u32[DR7 >>> 2] = DR7_DISABLED;
  u32[(DR7 >>> 2) + 1] = 0;
  u32[S.cpl >>> 2] = 0;
}

/** VMLOAD. */
export function loadExtra(v: VmcbView): void {
  for (const segment of EXTRA_SEGMENTS) loadSegment(v, segment, false);
  for (const [offset, state] of EXTRA_WORDS) v.load64(offset, state);
  for (const [offset, state] of EXTRA_ADDRESSES) v.loadCanonical(offset, state);
}

/** VMSAVE. */
export function saveExtra(v: VmcbView): void {
  for (const segment of EXTRA_SEGMENTS) saveSegment(v, segment);
  for (const [offset, state] of EXTRA_WORDS) v.store64(offset, state);
  for (const [offset, state] of EXTRA_ADDRESSES) v.store64(offset, state);
}
