/**
 * Guest and host state between the VMCS and the processor, as tables of (field, place in the vCPU's state).
 *
 * SDM 3C §27.3.2 "Loading Guest State", §28.3 "Saving Guest State", §28.5 "Loading Host State", each in its own order.
 * Nothing is checked here: entry-checks-*.ts came before. Callers run `cpu.modeChanged()` when everything is in place.
 */

import type { Cpu } from '../cpu/cpu.js';
import {
  ACTIVITY, CR0_PG, CR4_PAE, CR4_PCIDE, CS, EFER_LMA, EFER_LME, FS, GS, LDTR, RSP, S, SEG, SS, TF, TR, gprAddress, segAddress,
} from '../cpu/state.js';
import { BLOCKING, ENTRY, EXIT, PENDING_DEBUG, PIN } from './controls.js';
import { F, GROUP, GUEST_SEGMENT, SEGMENTS } from './fields.js';
import type { Vmx } from './vmx.js';

type Place = readonly [field: number, address: number];

const DR7 = S.dr + 7 * 8;
const SYSENTER: readonly Place[] = [
  [F.GUEST_IA32_SYSENTER_CS, S.sysenterCs],
  [F.GUEST_IA32_SYSENTER_ESP, S.sysenterEsp],
  [F.GUEST_IA32_SYSENTER_EIP, S.sysenterEip],
];
/** Registers that both directions copy as they are. */
const PLAIN: readonly Place[] = [
  [F.GUEST_CR3, S.cr3],
  ...SYSENTER,
  [F.GUEST_GDTR_BASE, S.gdtrBase],
  [F.GUEST_IDTR_BASE, S.idtrBase],
  [F.GUEST_RSP, gprAddress(RSP)],
  [F.GUEST_RIP, S.rip],
];
const TABLE_LIMITS: readonly Place[] = [
  [F.GUEST_GDTR_LIMIT, S.gdtrLimit],
  [F.GUEST_IDTR_LIMIT, S.idtrLimit],
];
const DEBUG: readonly Place[] = [
  [F.GUEST_IA32_DEBUGCTL, S.debugctl],
  [F.GUEST_DR7, DR7],
];
const PDPTES: readonly Place[] = [
  [F.GUEST_PDPTE0, S.pdpte],
  [F.GUEST_PDPTE1, S.pdpte + 8],
  [F.GUEST_PDPTE2, S.pdpte + 16],
  [F.GUEST_PDPTE3, S.pdpte + 24],
];

/** Fields that each transfer reads or writes at least: for the timing core. */
export const GUEST_FIELDS = PLAIN.length + TABLE_LIMITS.length + 4 * SEGMENTS.length + 5;
export const HOST_FIELDS = 24;

/** Bits of CR0 that neither VM entry nor VM exit changes: ET, NW, CD and the reserved ones. §27.3.2.1, §28.5.1. */
const CR0_KEPT = 0x7ffa_ffd0;
const DR7_ZERO = 0xd000, DR7_ONE = 0x400;
const DEBUGCTL_BTF = 2;

/** PAE paging: the PDPTE registers are in use. */
export const usesPdptes = (cpu: Cpu): boolean => (cpu.s.cr0 & CR0_PG) !== 0 && (cpu.s.cr4 & CR4_PAE) !== 0 && !cpu.s.longMode;

function setEfer(cpu: Cpu, value: number): void {
  cpu.s.set64(S.efer, BigInt(value >>> 0));
}

/** §27.3.2.1 "Loading Guest Control Registers, Debug Registers, and MSRs" to §27.3.2.3. */
export function loadGuestRegisters(x: Vmx, cpu: Cpu): void {
  const { s } = cpu, { c } = x;
  s.set64(S.cr0, BigInt(((s.cr0 & CR0_KEPT) | (x.get32(F.GUEST_CR0) & ~CR0_KEPT)) >>> 0));
  x.copyTo(F.GUEST_CR4, S.cr4);
  if (c.entry & ENTRY.loadDebugControls) {
    x.copyTo(F.GUEST_IA32_DEBUGCTL, S.debugctl);
    s.set64(DR7, BigInt(((x.get32(F.GUEST_DR7) & ~DR7_ZERO) | DR7_ONE) >>> 0));
  }
  if (c.entry & ENTRY.loadEfer) setEfer(cpu, x.get32(F.GUEST_IA32_EFER));
  else {
    const ia32e = (c.entry & ENTRY.ia32eModeGuest) !== 0;
    const controlled = s.cr0 & CR0_PG ? EFER_LMA | EFER_LME : EFER_LMA;
    setEfer(cpu, (s.efer & ~controlled) | (ia32e ? controlled : 0));
  }
  if (c.entry & ENTRY.loadPat) x.copyTo(F.GUEST_IA32_PAT, S.pat);
  for (let i = 0; i < GUEST_SEGMENT.length; i++) {
    const f = GUEST_SEGMENT[i]!, at = segAddress(i);
    s.set32(at + SEG.selector, x.get32(f.selector));
    s.set32(at + SEG.limit, x.get32(f.limit));
    s.set32(at + SEG.attr, x.get32(f.rights));
    x.copyTo(f.base, at + SEG.base);
  }
  for (const [field, address] of PLAIN) x.copyTo(field, address);
  for (const [field, address] of TABLE_LIMITS) s.set32(address, x.get32(field));
  s.rflags = x.get32(F.GUEST_RFLAGS);
  // CPL is the DPL of SS in every mode: 3 in virtual-8086 mode by the checks, 0 in real mode.
  s.set32(S.cpl, (x.get32(F.GUEST_SS_ACCESS_RIGHTS) >> 5) & 3);
}

/** Loads the PDPTE registers of a PAE guest with EPT from their fields. Without EPT they come from memory (entry.ts). */
export function loadGuestPdptes(x: Vmx): void {
  for (const [field, address] of PDPTES) x.copyTo(field, address);
}

/** §27.7.1 "Interruptibility State", §27.7.2 "Activity State". Pending debug exceptions follow in entry.ts. */
export function loadGuestNonRegister(x: Vmx, cpu: Cpu): void {
  const { s } = cpu;
  const blocking = x.get32(F.GUEST_INTERRUPTIBILITY_STATE);
  const shadow = blocking & BLOCKING.sti ? 1 : blocking & BLOCKING.movSs ? 2 : 0;
  s.set32(S.interruptShadow, shadow);
  // Armed, so that the shadow outlives the VM-entry instruction and covers the guest's first one.
  s.set32(S.shadowArmed, shadow !== 0 ? 1 : 0);
  s.set32(S.nmiBlocked, blocking & BLOCKING.nmi ? 1 : 0);
  s.set32(S.activity, x.get32(F.GUEST_ACTIVITY_STATE));
}

/**
 * §28.3 "Saving Guest State".
 * @param resume RFLAGS.RF of the saved image is set
 * @param debugReported the exit itself reports the debug exceptions (#DB): none stay pending
 */
export function saveGuest(x: Vmx, cpu: Cpu, resume: boolean, debugReported: boolean): void {
  const { s } = cpu, { c } = x;
  x.copyFrom(F.GUEST_CR0, S.cr0);
  x.copyFrom(F.GUEST_CR4, S.cr4);
  if (c.exit & EXIT.saveDebugControls) for (const [field, address] of DEBUG) x.copyFrom(field, address);
  if (c.exit & EXIT.savePat) x.copyFrom(F.GUEST_IA32_PAT, S.pat);
  if (c.exit & EXIT.saveEfer) x.copyFrom(F.GUEST_IA32_EFER, S.efer);
  if (leavesStale(x, cpu)) x.dirty |= GROUP.guestRegisters;
  for (let i = 0; i < GUEST_SEGMENT.length; i++) {
    const f = GUEST_SEGMENT[i]!, at = segAddress(i);
    x.set32(f.selector, s.get32(at + SEG.selector));
    x.set32(f.limit, s.get32(at + SEG.limit));
    x.set32(f.rights, s.get32(at + SEG.attr));
    x.copyFrom(f.base, at + SEG.base);
  }
  for (const [field, address] of PLAIN) x.copyFrom(field, address);
  for (const [field, address] of TABLE_LIMITS) x.set32(field, s.get32(address));
  const rflags = s.rflags;
  x.set32(F.GUEST_RFLAGS, (resume ? rflags | 0x1_0000 : rflags) >>> 0);
  if (x.nested !== null && usesPdptes(cpu)) for (const [field, address] of PDPTES) x.copyFrom(field, address);

  const shadow = s.get32(S.interruptShadow), activity = s.get32(S.activity);
  x.set32(
    F.GUEST_INTERRUPTIBILITY_STATE,
    (shadow === 1 ? BLOCKING.sti : shadow === 2 ? BLOCKING.movSs : 0) | (s.get32(S.nmiBlocked) !== 0 ? BLOCKING.nmi : 0),
  );
  x.set32(F.GUEST_ACTIVITY_STATE, activity);
  x.set(F.GUEST_PENDING_DEBUG_EXCEPTIONS, debugReported ? 0n : pendingDebug(cpu, rflags, shadow !== 0 || activity === ACTIVITY.hlt));
}

/**
 * Does a field keep another value than the guest's register has, because this exit does not save it, and is it checked together with
 * fields that are saved? Then these need not pass: IA32_EFER with CR0.PG, IA32_DEBUGCTL.BTF with the pending single-step.
 */
function leavesStale(x: Vmx, cpu: Cpu): boolean {
  const { s } = cpu, { c } = x;
  if ((c.exit & EXIT.saveEfer) === 0 && (c.entry & ENTRY.loadEfer) !== 0 && x.get32(F.GUEST_IA32_EFER) !== s.get32(S.efer)) return true;
  return (c.exit & EXIT.saveDebugControls) === 0 && (s.rflags & TF) !== 0 && ((x.get32(F.GUEST_IA32_DEBUGCTL) ^ s.get32(S.debugctl)) & DEBUGCTL_BTF) !== 0;
}

/** The pending debug exceptions to save. §28.3.4 "Saving Non-Register State". */
function pendingDebug(cpu: Cpu, rflags: number, blocked: boolean): bigint {
  const bits = BigInt(cpu.s.get32(S.pendingDebug));
  let v = bits & (PENDING_DEBUG.b0to3 | PENDING_DEBUG.bs);
  if (v & PENDING_DEBUG.b0to3) v |= PENDING_DEBUG.enabledBreakpoint;
  // While debug traps are held back, BS says whether the instruction that holds them was single-stepped.
  const stepping = (rflags & TF) !== 0 && (cpu.s.get32(S.debugctl) & DEBUGCTL_BTF) === 0;
  if (blocked) v = stepping ? v | PENDING_DEBUG.bs : v & ~PENDING_DEBUG.bs;
  return v;
}

function setHidden(cpu: Cpu, index: number, selector: number, limit: number, rights: number): void {
  const at = segAddress(index), { s } = cpu;
  s.set32(at + SEG.selector, selector);
  s.set64(at + SEG.base, 0n);
  s.set32(at + SEG.limit, limit);
  s.set32(at + SEG.attr, rights);
}

const HOST_DATA: readonly Place[] = [
  [F.HOST_ES_SELECTOR, 0],
  [F.HOST_SS_SELECTOR, SS],
  [F.HOST_DS_SELECTOR, 3],
  [F.HOST_FS_SELECTOR, FS],
  [F.HOST_GS_SELECTOR, GS],
];
const RIGHTS = { code: 0x809b, long: 1 << 13, big: 1 << 14, data: 0xc093, tss: 0x8b, unusable: 1 << 16 } as const;
const TSS_LIMIT = 0x67, TABLE_LIMIT = 0xffff, RFLAGS_FIXED = 2;

/** §28.5 "Loading Host State". PDPTEs and MSR lists are the caller's. */
export function loadHost(x: Vmx, cpu: Cpu): void {
  const { s } = cpu;
  const exit = x.get32(F.VM_EXIT_CONTROLS);
  const long = (exit & EXIT.hostAddressSpaceSize) !== 0;
  s.set64(S.cr0, BigInt(((s.cr0 & CR0_KEPT) | (x.get32(F.HOST_CR0) & ~CR0_KEPT)) >>> 0));
  x.copyTo(F.HOST_CR3, S.cr3);
  const cr4 = x.get32(F.HOST_CR4);
  s.set64(S.cr4, BigInt((long ? cr4 | CR4_PAE : cr4 & ~CR4_PCIDE) >>> 0));
  s.set64(DR7, BigInt(DR7_ONE));
  s.set64(S.debugctl, 0n);
  x.copyTo(F.HOST_IA32_SYSENTER_CS, S.sysenterCs);
  x.copyTo(F.HOST_IA32_SYSENTER_ESP, S.sysenterEsp);
  x.copyTo(F.HOST_IA32_SYSENTER_EIP, S.sysenterEip);
  if (exit & EXIT.loadEfer) setEfer(cpu, x.get32(F.HOST_IA32_EFER));
  else setEfer(cpu, (s.efer & ~(EFER_LMA | EFER_LME)) | (long ? EFER_LMA | EFER_LME : 0));
  if (exit & EXIT.loadPat) x.copyTo(F.HOST_IA32_PAT, S.pat);

  setHidden(cpu, CS, x.get32(F.HOST_CS_SELECTOR), 0xffff_ffff, RIGHTS.code | (long ? RIGHTS.long : RIGHTS.big));
  for (const [field, index] of HOST_DATA) {
    const selector = x.get32(field);
    setHidden(cpu, index, selector, 0xffff_ffff, selector === 0 ? RIGHTS.unusable | RIGHTS.big : RIGHTS.data);
  }
  x.copyTo(F.HOST_FS_BASE, segAddress(FS) + SEG.base);
  x.copyTo(F.HOST_GS_BASE, segAddress(GS) + SEG.base);
  setHidden(cpu, TR, x.get32(F.HOST_TR_SELECTOR), TSS_LIMIT, RIGHTS.tss);
  x.copyTo(F.HOST_TR_BASE, segAddress(TR) + SEG.base);
  setHidden(cpu, LDTR, 0, 0, RIGHTS.unusable);
  x.copyTo(F.HOST_GDTR_BASE, S.gdtrBase);
  x.copyTo(F.HOST_IDTR_BASE, S.idtrBase);
  s.set32(S.gdtrLimit, TABLE_LIMIT);
  s.set32(S.idtrLimit, TABLE_LIMIT);
  x.copyTo(F.HOST_RIP, S.rip);
  x.copyTo(F.HOST_RSP, gprAddress(RSP));
  s.rflags = RFLAGS_FIXED;
  s.set32(S.cpl, 0);
  s.set32(S.interruptShadow, 0);
  s.set32(S.shadowArmed, 0);
  s.set32(S.pendingDebug, 0);
  s.set32(S.activity, ACTIVITY.active);
  // The exit may come in the middle of an exception's delivery: the exception is in the VMCS now.
  s.set32(S.pending, 0);
}


/** Blocking by NMI is the physical one unless the guest has virtual NMIs: then it is the guest's own. */
export const hasVirtualNmis = (x: Vmx): boolean => (x.c.pin & PIN.virtualNmis) !== 0;
