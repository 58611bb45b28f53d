/**
 * SYSCALL, SYSRET, SYSENTER, SYSEXIT: transfers with fixed segments that read no descriptor.
 *
 * SDM 3A §5.8.7 "Performing Fast Calls to System Procedures with the SYSENTER and SYSEXIT Instructions", §5.8.8 "Fast System Calls in
 * 64-Bit Mode"; APM 2 §6.1 "Fast System Call and Return" (SYSCALL outside 64-bit mode is AMD's alone, SYSENTER in long mode Intel's).
 */

import type { Cpu } from '../cpu.js';
import { GP, UD } from '../events.js';
import type { InsnView } from '../insn-view.js';
import { type HelperResult, LEAVE } from '../insn.js';
import { PROBE } from '../ports.js';
import { CS, EFER_SCE, IF, RAX, RCX, RDI, RDX, RF, RSP, S, SS, VM } from '../state.js';
import { arrive, reportOuterLevel } from './code-segment.js';
import { stepByFinalFlags } from './debug.js';
import { isAmd } from './privilege.js';
import { isCanonical, isRealMode, setSegment } from './segments.js';
import { operandBytes } from './operand-size.js';

const R11 = 11;
const CODE64 = 0xa09b, CODE32 = 0xc09b, DATA = 0xc093;
const DPL3 = 0x60;

function flatSegments(cpu: Cpu, cs: number, codeAttr: number, ss: number, cpl: 0 | 3): void {
  const s = cpu.s;
  const dpl = cpl === 3 ? DPL3 : 0;
  s.set32(S.cpl, cpl);
  setSegment(s, CS, (cs & 0xfffc) | cpl, 0n, 0xffff_ffff, codeAttr | dpl);
  setSegment(s, SS, (ss & 0xfffc) | cpl, 0n, 0xffff_ffff, DATA | dpl);
  if (cpl === 3) reportOuterLevel(cpu, cpl);
}

/** Privilege-independent conditions of SYSCALL and SYSRET: #UD. */
function requireSyscall(cpu: Cpu): void {
  const s = cpu.s;
  if ((s.efer & EFER_SCE) === 0 || (isAmd(cpu) ? isRealMode(s) : !s.mode64)) cpu.raise(UD);
}

/** Tells the probe of a call into a more privileged level, with the registers that carry number and first argument by convention. */
export function reportSystemCall(cpu: Cpu): void {
  const { s, probe } = cpu;
  if (probe.active) probe.emit(PROBE.systemCall, cpu.now(), cpu.id, Number(s.gpr(RAX)), Number(s.gpr(RDI)), Number(s.rip), cpu.inGuest ? 1 : 0);
}

export function syscall(cpu: Cpu, _insn: InsnView): HelperResult {
  const s = cpu.s;
  requireSyscall(cpu);
  reportSystemCall(cpu);
  const selector = s.get32(S.star + 4) & 0xffff;
  const flags = s.rflags & ~RF;
  if (s.longMode) {
    const target = s.mode64 ? s.get64(S.lstar) : s.get64(S.cstar);
    s.setGpr(RCX, s.nextRip);
    s.setGpr32(R11, flags);
    s.rflags = flags & ~s.get32(S.sfmask);
    flatSegments(cpu, selector, CODE64, selector + 8, 0);
    arrive(cpu, target);
  } else {
    s.setGpr32(RCX, Number(s.nextRip & 0xffff_ffffn));
    s.rflags = flags & ~(IF | VM);
    flatSegments(cpu, selector, CODE32, selector + 8, 0);
    arrive(cpu, s.get64(S.star) & 0xffff_ffffn);
  }
  stepByFinalFlags(cpu);
  return LEAVE;
}

export function sysret(cpu: Cpu, insn: InsnView): HelperResult {
  const s = cpu.s;
  requireSyscall(cpu);
  if (s.cpl !== 0) cpu.raise(GP, 0);
  const to64 = operandBytes(insn) === 8;
  // Intel faults here, at level 0; AMD loads any RIP and faults on the fetch.
  if (to64 && !isAmd(cpu) && !isCanonical(s.gpr(RCX))) cpu.raise(GP, 0);
  const selector = s.get32(S.star + 4) >>> 16;
  s.rflags = s.longMode ? s.gpr32(R11) & ~(RF | VM) : s.rflags | IF;
  flatSegments(cpu, to64 ? selector + 16 : selector, to64 ? CODE64 : CODE32, selector + 8, 3);
  arrive(cpu, to64 ? s.gpr(RCX) : BigInt(s.gpr32(RCX)));
  stepByFinalFlags(cpu);
  return LEAVE;
}

export function sysenter(cpu: Cpu, _insn: InsnView): HelperResult {
  const s = cpu.s;
  if (s.longMode && isAmd(cpu)) cpu.raise(UD);
  const selector = s.get32(S.sysenterCs) & 0xfffc;
  if (isRealMode(s) || selector === 0) cpu.raise(GP, 0);
  const long = s.longMode;
  const width = long ? 64 : 32;
  s.rflags = s.rflags & ~(IF | VM | RF);
  flatSegments(cpu, selector, long ? CODE64 : CODE32, selector + 8, 0);
  s.setGpr(RSP, BigInt.asUintN(width, s.get64(S.sysenterEsp)));
  arrive(cpu, BigInt.asUintN(width, s.get64(S.sysenterEip)));
  return LEAVE;
}

export function sysexit(cpu: Cpu, insn: InsnView): HelperResult {
  const s = cpu.s;
  if (s.longMode && isAmd(cpu)) cpu.raise(UD);
  const selector = s.get32(S.sysenterCs) & 0xfffc;
  if (isRealMode(s) || selector === 0 || s.cpl !== 0) cpu.raise(GP, 0);
  const to64 = operandBytes(insn) === 8;
  const rip = to64 ? s.gpr(RDX) : BigInt(s.gpr32(RDX));
  const rsp = to64 ? s.gpr(RCX) : BigInt(s.gpr32(RCX));
  if (to64 && (!isCanonical(rip) || !isCanonical(rsp))) cpu.raise(GP, 0);
  flatSegments(cpu, selector + (to64 ? 32 : 16), to64 ? CODE64 : CODE32, selector + (to64 ? 40 : 24), 3);
  s.setGpr(RSP, rsp);
  arrive(cpu, rip);
  return LEAVE;
}
