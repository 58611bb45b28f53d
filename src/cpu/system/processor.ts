/**
 * Instructions about the processor itself: CPUID, MSRs, time stamps, caches and TLBs, HLT, MONITOR, XCR0.
 *
 * SDM 2 under those names; SDM 3A §2.8 "System Instruction Summary".
 */

import type { Cpu } from '../cpu.js';
import { GP, UD } from '../events.js';
import type { InsnView } from '../insn-view.js';
import { type HelperResult, LEAVE, NEXT } from '../insn.js';
import { ACTIVITY, CR4_OSXSAVE, CR4_PCE, CR4_PCIDE, CR4_TSD, FS, RAX, RBX, RCX, RDX, S } from '../state.js';
import { wide } from '../wide.js';
import { FEATURE, requireFeature } from './features.js';
import { setAc } from './flags.js';
import { intercepted, isAmd, requireCpl0 } from './privilege.js';
import { isCanonical } from './segments.js';

const HIGH = 0x1_0000_0000;

const TSC = new Uint32Array(2);
/** The time-stamp counter as the running code sees it, as halves: good until the next call. */
function tsc(cpu: Cpu): Uint32Array {
  const { s } = cpu, virt = cpu.inGuest ? cpu.virt : null;
  const now = Math.floor(cpu.now()), nowHigh = Math.floor(now / HIGH);
  const low = now - nowHigh * HIGH + s.get32(S.tscOffset) + (virt?.tscOffsetLow ?? 0);
  TSC[0] = low;
  TSC[1] = nowHigh + s.get32(S.tscOffset + 4) + (virt?.tscOffsetHigh ?? 0) + Math.floor(low / HIGH);
  return TSC;
}
function tscToEdxEax(cpu: Cpu): void {
  const halves = tsc(cpu);
  cpu.s.setGpr32(RAX, halves[0]!);
  cpu.s.setGpr32(RDX, halves[1]!);
}
/** The same as a number of 64 bits. */
export function readTsc(cpu: Cpu): bigint {
  const halves = tsc(cpu);
  return wide(halves[0]!, halves[1]!);
}

function setEdxEax(cpu: Cpu, v: bigint): void {
  cpu.s.setGpr32(RAX, Number(v & 0xffff_ffffn));
  cpu.s.setGpr32(RDX, Number(v >> 32n));
}
const edxEax = (cpu: Cpu): bigint => (BigInt(cpu.s.gpr32(RDX)) << 32n) | BigInt(cpu.s.gpr32(RAX));

export function cpuid(cpu: Cpu, _insn: InsnView): HelperResult {
  if (intercepted(cpu, 'CPUID')) return LEAVE;
  const s = cpu.s;
  const r = cpu.cpuid.leaf(cpu, s.gpr32(RAX), s.gpr32(RCX));
  s.setGpr32(RAX, r.eax);
  s.setGpr32(RBX, r.ebx);
  s.setGpr32(RCX, r.ecx);
  s.setGpr32(RDX, r.edx);
  return NEXT;
}

export function rdmsr(cpu: Cpu, _insn: InsnView): HelperResult {
  requireCpl0(cpu);
  const index = cpu.s.gpr32(RCX);
  if (cpu.inGuest && cpu.virt?.msr(cpu, index, false)) return LEAVE;
  const msr = cpu.msrs.get(index) ?? cpu.raise(GP, 0), { s } = cpu;
  if (msr.field !== undefined) {
    s.setGpr32(RAX, s.get32(msr.field));
    s.setGpr32(RDX, s.get32(msr.field + 4));
  } else setEdxEax(cpu, BigInt.asUintN(64, msr.read(cpu)));
  return NEXT;
}

export function wrmsr(cpu: Cpu, _insn: InsnView): HelperResult {
  requireCpl0(cpu);
  const { s } = cpu, index = s.gpr32(RCX);
  if (cpu.inGuest && cpu.virt?.msr(cpu, index, true)) return LEAVE;
  const msr = cpu.msrs.get(index) ?? cpu.raise(GP, 0);
  if (msr.field !== undefined) {
    const low = s.gpr32(RAX), high = s.gpr32(RDX);
    if (!msr.allows(low, high)) cpu.raise(GP, 0);
    s.set32(msr.field, low);
    s.set32(msr.field + 4, high);
  } else if (msr.write === undefined || !msr.write(cpu, edxEax(cpu))) cpu.raise(GP, 0);
  return cpu.finish();
}

function requireTsc(cpu: Cpu): void {
  if (cpu.s.cr4 & CR4_TSD && cpu.s.cpl !== 0) cpu.raise(GP, 0);
}

export function rdtsc(cpu: Cpu, _insn: InsnView): HelperResult {
  requireTsc(cpu);
  if (intercepted(cpu, 'RDTSC')) return LEAVE;
  tscToEdxEax(cpu);
  return NEXT;
}

export function rdtscp(cpu: Cpu, _insn: InsnView): HelperResult {
  requireFeature(cpu, FEATURE.RDTSCP);
  requireTsc(cpu);
  if (intercepted(cpu, 'RDTSCP')) return LEAVE;
  tscToEdxEax(cpu);
  cpu.s.setGpr32(RCX, cpu.s.get32(S.tscAux));
  return NEXT;
}

export function rdpid(cpu: Cpu, insn: InsnView): HelperResult {
  requireFeature(cpu, FEATURE.RDPID);
  insn.write(0, cpu.s.get64(S.tscAux) & 0xffff_ffffn);
  return NEXT;
}

/** No performance counters are offered, so every index is #GP(0). */
export function rdpmc(cpu: Cpu, _insn: InsnView): HelperResult {
  if (cpu.s.cpl !== 0 && (cpu.s.cr4 & CR4_PCE) === 0) cpu.raise(GP, 0);
  if (intercepted(cpu, 'RDPMC', { a: cpu.s.gpr32(RCX) })) return LEAVE;
  return cpu.raise(GP, 0);
}

export function hlt(cpu: Cpu, _insn: InsnView): HelperResult {
  requireCpl0(cpu);
  if (intercepted(cpu, 'HLT')) return LEAVE;
  cpu.s.set32(S.activity, ACTIVITY.hlt);
  return cpu.finish();
}

/** INVD and WBINVD: the modelled caches hold no data of their own. */
export const invalidateCaches =
  (op: 'INVD' | 'WBINVD') =>
  (cpu: Cpu, _insn: InsnView): HelperResult => {
    requireCpl0(cpu);
    return intercepted(cpu, op) ? LEAVE : NEXT;
  };

export function invlpg(cpu: Cpu, insn: InsnView): HelperResult {
  const s = cpu.s;
  requireCpl0(cpu);
  const base = s.mode64 && insn.segment < FS ? 0n : s.segBase(insn.segment);
  const linear = BigInt.asUintN(s.mode64 ? 64 : 32, base + insn.ea());
  if (intercepted(cpu, 'INVLPG', { value: linear })) return LEAVE;
  if (isCanonical(linear)) cpu.flushTlb('page', linear);
  return cpu.finish();
}

/**
 * INVPCID. All types drop more than they must where the software TLB has no finer scope.
 * SDM 2, "INVPCID—Invalidate Process-Context Identifier".
 */
export function invpcid(cpu: Cpu, insn: InsnView): HelperResult {
  const s = cpu.s;
  requireFeature(cpu, FEATURE.INVPCID);
  requireCpl0(cpu);
  if (intercepted(cpu, 'INVPCID')) return LEAVE;
  const type = insn.read(0);
  const low = cpu.readSegment(insn.segment, insn.ea(), 8);
  const linear = cpu.readSegment(insn.segment, BigInt.asUintN(insn.addressWidth, insn.ea() + 8n), 8);
  if (type > 3n || low >> 12n) cpu.raise(GP, 0);
  if (type < 2n && low !== 0n && !(s.cr4 & CR4_PCIDE)) cpu.raise(GP, 0);
  if (type === 0n) {
    if (!isCanonical(linear)) cpu.raise(GP, 0);
    cpu.flushTlb('page', linear);
  } else {
    cpu.flushTlb('context');
  }
  return cpu.finish();
}

/** Outside system-management mode RSM is an invalid opcode. */
export function rsm(cpu: Cpu, _insn: InsnView): HelperResult {
  if (intercepted(cpu, 'RSM')) return LEAVE;
  return cpu.raise(UD);
}

export function monitor(cpu: Cpu, insn: InsnView): HelperResult {
  requireFeature(cpu, FEATURE.MONITOR);
  if (cpu.s.cpl !== 0) cpu.raise(UD);
  if (intercepted(cpu, 'MONITOR')) return LEAVE;
  if (cpu.s.gpr32(RCX) !== 0) cpu.raise(GP, 0);
  cpu.readSegment(insn.segment, BigInt.asUintN(insn.addressWidth, cpu.s.gpr(RAX)), 1);
  return NEXT;
}

/**
 * MWAIT never sleeps: the manual allows it to wake for any reason. ECX bit 0 (interrupts wake even if masked) is accepted
 * where CPUID leaf 5 says so.
 */
export function mwait(cpu: Cpu, _insn: InsnView): HelperResult {
  requireFeature(cpu, FEATURE.MONITOR);
  if (cpu.s.cpl !== 0) cpu.raise(UD);
  if (intercepted(cpu, 'MWAIT')) return LEAVE;
  const allowed = (cpu.cpuid.leaf(cpu, 5, 0).ecx & 3) === 3 ? 1 : 0;
  if (cpu.s.gpr32(RCX) & ~allowed) cpu.raise(GP, 0);
  return cpu.finish();
}

export function xgetbv(cpu: Cpu, _insn: InsnView): HelperResult {
  if ((cpu.s.cr4 & CR4_OSXSAVE) === 0) cpu.raise(UD);
  if (cpu.s.gpr32(RCX) !== 0) cpu.raise(GP, 0);
  setEdxEax(cpu, cpu.s.get64(S.xcr0));
  return NEXT;
}

const XCR0_X87 = 1n, XCR0_SSE = 2n;

export function xsetbv(cpu: Cpu, _insn: InsnView): HelperResult {
  // AMD's intercept comes before all exceptions, Intel's exit after #UD and the privilege check.
  if (isAmd(cpu) && intercepted(cpu, 'XSETBV')) return LEAVE;
  if ((cpu.s.cr4 & CR4_OSXSAVE) === 0) cpu.raise(UD);
  requireCpl0(cpu);
  if (!isAmd(cpu) && intercepted(cpu, 'XSETBV')) return LEAVE;
  const value = edxEax(cpu);
  if (cpu.s.gpr32(RCX) !== 0 || (value & XCR0_X87) === 0n || value & ~(XCR0_X87 | XCR0_SSE)) cpu.raise(GP, 0);
  cpu.s.set64(S.xcr0, value);
  return cpu.finish();
}

export const clacStac =
  (on: boolean) =>
  (cpu: Cpu, _insn: InsnView): HelperResult => {
    requireFeature(cpu, FEATURE.SMAP);
    if (cpu.s.cpl !== 0) cpu.raise(UD);
    return setAc(cpu, on);
  };
