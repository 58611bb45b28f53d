/**
 * Far JMP, CALL and RET: direct, through call gates, and to tasks.
 *
 * SDM 3A §5.8 "Privilege Level Checking When Transferring Program Control Between Code Segments"; SDM 2, "JMP", "CALL", "RET".
 *
 * Invariant: every check and every stack write comes before the first change of a register.
 */

import type { Cpu } from '../cpu.js';
import { GP, NP, SSV } from '../events.js';
import type { InsnView } from '../insn-view.js';
import { type HelperResult, LEAVE } from '../insn.js';
import { CS, RSP, SS } from '../state.js';
import { arrive, checkDirectTarget, checkLongBits, checkRip, is64BitCode, loadCs, loadRealCs, reportOuterLevel } from './code-segment.js';
import {
  type Descriptor, SYS, dplOf, isCode, isConforming, isNull, isPresent, isSystem, isWritableData, markAccessed, readDescriptor, readUpperHalf, typeOf,
} from './descriptors.js';
import { legacyInnerStack, longInnerStack } from './inner-stack.js';
import { dropInnerSegments, isFlatSelectorMode, setNullSegment, setSegment } from './segments.js';
import { Stack, setStackPointer } from './stack.js';
import { switchTask } from './task-switch.js';
import { operandBytes } from './operand-size.js';

interface FarPointer {
  readonly selector: number;
  readonly offset: bigint;
}
type Size = 2 | 4 | 8;
const operandSize = (insn: InsnView): Size => operandBytes(insn) as Size;

/** The far pointer of a direct or indirect transfer. */
export function farPointer(cpu: Cpu, insn: InsnView, memoryOperand = 0): FarPointer {
  if (!insn.isMemory(memoryOperand)) return { selector: insn.farSelector, offset: BigInt(insn.farOffset >>> 0) };
  const size = operandSize(insn);
  const ea = insn.ea();
  const offset = cpu.readSegment(insn.segment, ea, size);
  const selector = cpu.readSegment(insn.segment, BigInt.asUintN(insn.addressWidth, ea + BigInt(size)), 2);
  return { selector: Number(selector), offset };
}

export function farJump(cpu: Cpu, insn: InsnView): HelperResult {
  const p = farPointer(cpu, insn);
  if (isFlatSelectorMode(cpu.s)) {
    if (p.offset > BigInt(cpu.s.segLimit(CS))) cpu.raise(GP, 0);
    loadRealCs(cpu, p.selector);
    arrive(cpu, p.offset);
  } else {
    transfer(cpu, p, undefined);
  }
  return LEAVE;
}

export function farCall(cpu: Cpu, insn: InsnView): HelperResult {
  const s = cpu.s;
  const p = farPointer(cpu, insn);
  const size = operandSize(insn);
  if (isFlatSelectorMode(s)) {
    const stack = Stack.current(cpu);
    stack.push(BigInt(s.selector(CS)), size);
    stack.push(s.nextRip, size);
    if (p.offset > BigInt(s.segLimit(CS))) cpu.raise(GP, 0);
    stack.commit();
    loadRealCs(cpu, p.selector);
    arrive(cpu, p.offset);
  } else {
    transfer(cpu, p, size);
  }
  return LEAVE;
}

/** Protected-mode JMP (`call` undefined) or CALL (its operand size in bytes). */
function transfer(cpu: Cpu, p: FarPointer, call: Size | undefined): void {
  if (isNull(p.selector)) cpu.raise(GP, 0);
  const d = readDescriptor(cpu, p.selector, GP);
  if (!isSystem(d)) toCodeSegment(cpu, p, d, call);
  else throughSystemDescriptor(cpu, p.selector, d, call);
}

function toCodeSegment(cpu: Cpu, p: FarPointer, d: Descriptor, call: Size | undefined): void {
  const s = cpu.s;
  checkDirectTarget(cpu, p.selector, d);
  if (call === undefined) {
    checkRip(cpu, d, p.offset);
    loadCs(cpu, p.selector, d, s.cpl);
  } else {
    const stack = Stack.current(cpu);
    stack.push(BigInt(s.selector(CS)), call);
    stack.push(s.nextRip, call);
    checkRip(cpu, d, p.offset);
    loadCs(cpu, p.selector, d, s.cpl);
    stack.commit();
  }
  arrive(cpu, p.offset);
}

function throughSystemDescriptor(cpu: Cpu, selector: number, d: Descriptor, call: Size | undefined): void {
  const s = cpu.s;
  const error = selector & 0xfffc;
  const type = typeOf(d);
  if (dplOf(d) < s.cpl || dplOf(d) < (selector & 3)) cpu.raise(GP, error);
  if (s.longMode) {
    if (type !== SYS.callGate32) cpu.raise(GP, error);
    gate(cpu, selector, d, call);
    return;
  }
  const reason = call === undefined ? 'jmp' : 'call';
  const origin = { returnRip: s.nextRip, rflags: s.rflags };
  switch (type) {
    case SYS.tss16: case SYS.tss32:
      if (!isPresent(d)) cpu.raise(NP, error);
      switchTask(cpu, selector, reason, origin);
      break;
    case SYS.taskGate:
      if (!isPresent(d)) cpu.raise(NP, error);
      switchTask(cpu, d.lo >>> 16, reason, origin);
      break;
    case SYS.callGate16: case SYS.callGate32:
      gate(cpu, selector, d, call);
      break;
    default:
      cpu.raise(GP, error);
  }
}

/** Entry point that a call gate names; in IA-32e mode from a 16-byte descriptor. */
function gateTarget(cpu: Cpu, selector: number, d: Descriptor): FarPointer {
  const low = typeOf(d) === SYS.callGate16 ? d.lo & 0xffff : ((d.hi & 0xffff_0000) | (d.lo & 0xffff)) >>> 0;
  let offset = BigInt(low);
  if (cpu.s.longMode) {
    const upper = readUpperHalf(cpu, selector, GP);
    if (upper.reserved & 0x1f00) cpu.raise(GP, selector & 0xfffc);
    offset |= upper.high << 32n;
  }
  return { selector: d.lo >>> 16, offset };
}

function gate(cpu: Cpu, selector: number, d: Descriptor, call: Size | undefined): void {
  const s = cpu.s;
  if (!isPresent(d)) cpu.raise(NP, selector & 0xfffc);
  const target = gateTarget(cpu, selector, d);
  if (isNull(target.selector)) cpu.raise(GP, 0);
  const error = target.selector & 0xfffc;
  const code = readDescriptor(cpu, target.selector, GP);
  if (!isCode(code) || dplOf(code) > s.cpl) cpu.raise(GP, error);
  if (s.longMode) {
    checkLongBits(cpu, target.selector, code);
    if (!is64BitCode(cpu, code)) cpu.raise(GP, error);
  }
  if (call === undefined && !isConforming(code) && dplOf(code) !== s.cpl) cpu.raise(GP, error);
  if (!isPresent(code)) cpu.raise(NP, error);
  if (call === undefined) {
    checkRip(cpu, code, target.offset);
    loadCs(cpu, target.selector, code, s.cpl);
    arrive(cpu, target.offset);
  } else if (!isConforming(code) && dplOf(code) < s.cpl) {
    callInner(cpu, d, target, code);
  } else {
    const size: Size = s.longMode ? 8 : typeOf(d) === SYS.callGate16 ? 2 : 4;
    const stack = Stack.current(cpu);
    stack.push(BigInt(s.selector(CS)), size);
    stack.push(s.nextRip, size);
    checkRip(cpu, code, target.offset);
    loadCs(cpu, target.selector, code, s.cpl);
    if (is64BitCode(cpu, code)) setStackPointer(cpu, stack.sp, 64);
    else stack.commit();
    arrive(cpu, target.offset);
  }
}

/** CALL through a gate to a more privileged level: new stack from the TSS, parameters copied. */
function callInner(cpu: Cpu, gate: Descriptor, target: FarPointer, code: Descriptor): void {
  const s = cpu.s;
  const cpl = dplOf(code);
  if (s.longMode) {
    const stack = new Stack(cpu, { base: 0n, limit: 0, attr: 0 }, longInnerStack(cpu, cpl), 0, true, true);
    for (const v of [BigInt(s.selector(SS)), s.gpr(RSP), BigInt(s.selector(CS)), s.nextRip]) stack.push(v, 8);
    checkRip(cpu, code, target.offset);
    loadCs(cpu, target.selector, code, cpl);
    setNullSegment(s, SS, cpl);
    s.setGpr(RSP, stack.sp);
    arrive(cpu, target.offset);
    return;
  }
  const size: Size = typeOf(gate) === SYS.callGate16 ? 2 : 4;
  const to = legacyInnerStack(cpu, cpl);
  const stack = new Stack(cpu, to.segment, to.sp, to.selector & 0xfffc, true, false);
  const caller = Stack.current(cpu);
  stack.push(BigInt(s.selector(SS)), size);
  stack.push(s.gpr(RSP), size);
  for (let i = (gate.hi & 31) - 1; i >= 0; i--) stack.push(caller.peek(i * size, size), size);
  stack.push(BigInt(s.selector(CS)), size);
  stack.push(s.nextRip, size);
  checkRip(cpu, code, target.offset);
  const ssAttr = markAccessed(cpu, to.selector, to.segment);
  loadCs(cpu, target.selector, code, cpl);
  setSegment(s, SS, to.selector, to.segment.base, to.segment.limit, ssAttr);
  stack.commit();
  arrive(cpu, target.offset);
}

/** Checks the code segment that a far RET or an IRET goes back to; its RPL becomes the privilege level. */
export function readReturnSegment(cpu: Cpu, selector: number): Descriptor {
  if (isNull(selector)) cpu.raise(GP, 0);
  const error = selector & 0xfffc, rpl = selector & 3;
  const d = readDescriptor(cpu, selector, GP);
  if (!isCode(d) || rpl < cpu.s.cpl) cpu.raise(GP, error);
  checkLongBits(cpu, selector, d);
  if (isConforming(d) ? dplOf(d) > rpl : dplOf(d) !== rpl) cpu.raise(GP, error);
  if (!isPresent(d)) cpu.raise(NP, error);
  return d;
}

export interface ReturnStack {
  readonly selector: number;
  /** undefined for a null selector, which only 64-bit code below level 3 may have. */
  readonly segment: Descriptor | undefined;
}

/** Checks the stack segment that a return to level `rpl` loads. */
export function readReturnStack(cpu: Cpu, selector: number, rpl: number, code: Descriptor): ReturnStack {
  if (isNull(selector)) {
    if (!is64BitCode(cpu, code) || rpl === 3 || (selector & 3) !== rpl) cpu.raise(GP, selector & 0xfffc);
    return { selector, segment: undefined };
  }
  const error = selector & 0xfffc;
  const segment = readDescriptor(cpu, selector, GP);
  if ((selector & 3) !== rpl || !isWritableData(segment) || dplOf(segment) !== rpl) cpu.raise(GP, error);
  if (!isPresent(segment)) cpu.raise(SSV, error);
  return { selector, segment };
}

/** Loads CS, SS and the stack pointer of a return that changes them, and drops segments of the inner level. */
export function commitReturn(cpu: Cpu, cs: number, code: Descriptor, stack: ReturnStack, sp: bigint): void {
  const s = cpu.s;
  const rpl = cs & 3;
  const outer = rpl !== s.cpl;
  const ssAttr = stack.segment === undefined ? 0 : markAccessed(cpu, stack.selector, stack.segment);
  loadCs(cpu, cs, code, rpl);
  if (stack.segment === undefined) setNullSegment(s, SS, stack.selector);
  else setSegment(s, SS, stack.selector, stack.segment.base, stack.segment.limit, ssAttr);
  if (is64BitCode(cpu, code)) s.setGpr(RSP, sp);
  else setStackPointer(cpu, sp, ssAttr & 0x4000 ? 32 : 16);
  if (!outer) return;
  dropInnerSegments(s, rpl);
  reportOuterLevel(cpu, rpl);
}

export function farReturn(cpu: Cpu, insn: InsnView): HelperResult {
  const s = cpu.s;
  const size = operandSize(insn);
  const released = insn.opCount > 0 ? Number(insn.immediate(0) & 0xffffn) : 0;
  const stack = Stack.current(cpu);
  const rip = stack.peek(0, size);
  const cs = Number(stack.peek(size, size) & 0xffffn);
  if (isFlatSelectorMode(s)) {
    if (rip > BigInt(s.segLimit(CS))) cpu.raise(GP, 0);
    stack.release(2 * size + released);
    stack.commit();
    loadRealCs(cpu, cs);
    arrive(cpu, rip);
    return LEAVE;
  }
  const code = readReturnSegment(cpu, cs);
  if ((cs & 3) === s.cpl) {
    checkRip(cpu, code, rip);
    stack.release(2 * size + released);
    loadCs(cpu, cs, code, s.cpl);
    if (is64BitCode(cpu, code)) setStackPointer(cpu, stack.sp, 64);
    else stack.commit();
  } else {
    const rsp = stack.peek(2 * size + released, size);
    const ss = readReturnStack(cpu, Number(stack.peek(3 * size + released, size) & 0xffffn), cs & 3, code);
    checkRip(cpu, code, rip);
    commitReturn(cpu, cs, code, ss, rsp);
    // The parameters are released on the outer stack, too.
    const width = is64BitCode(cpu, code) ? 64 : s.segAttr(SS) & 0x4000 ? 32 : 16;
    setStackPointer(cpu, BigInt.asUintN(width, s.gpr(RSP) + BigInt(released)), width);
  }
  arrive(cpu, rip);
  return LEAVE;
}
