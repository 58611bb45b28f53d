/**
 * IRET in every mode.
 *
 * SDM 2, "IRET/IRETD/IRETQ—Interrupt Return"; SDM 3A §6.12.1, §6.14.3 "IRET in IA-32e Mode", §20.2.5 "Entering Virtual-8086 Mode".
 *
 * Invariant: stack reads are made at the privilege level that executes IRET (SMAP and U/S look at that).
 */

import type { Cpu } from '../cpu.js';
import { GP, TS } from '../events.js';
import type { InsnView } from '../insn-view.js';
import { type HelperResult, LEAVE } from '../insn.js';
import {
  AC, CS, DF, DS, ES, FS, GS, ID, IF, IOPL, NT, RF, RSP, S, SS, STATUS_FLAGS, TF, TR, VIF, VIP, VM,
} from '../state.js';
import { low32 } from '../wide.js';
import { arrive, checkRip, is64BitCode, loadCs, loadRealCs, reportOuterLevel } from './code-segment.js';
import { readSystem } from './descriptors.js';
import { commitReturn, readReturnSegment, readReturnStack } from './far-transfer.js';
import { intercepted, iopl, requireV86Iopl } from './privilege.js';
import { isRealMode, isV86, loadRealSegment } from './segments.js';
import { Stack, setStackPointer } from './stack.js';
import { switchTask } from './task-switch.js';
import { operandBytes } from './operand-size.js';

const ALWAYS = STATUS_FLAGS | TF | DF | NT;

/** RFLAGS after an IRET that ran at level `cpl`, of `size` bytes: bits that it may not change keep their values. */
function newFlags(cpu: Cpu, image: number, size: number, cpl: number): number {
  let mask = ALWAYS;
  if (size !== 2) mask |= RF | AC | ID;
  if (cpl <= iopl(cpu)) mask |= IF;
  if (cpl === 0) mask |= IOPL | (size === 2 ? 0 : VIF | VIP);
  return (cpu.s.rflags & ~mask) | (image & mask);
}

export function iret(cpu: Cpu, insn: InsnView): HelperResult {
  const s = cpu.s;
  const size = operandBytes(insn) as 2 | 4 | 8;
  if (intercepted(cpu, 'IRET')) return LEAVE;
  requireV86Iopl(cpu);
  // Blocking by NMI ends even if this IRET faults. SDM 3A §6.7.1 "Handling Multiple NMIs".
  s.set32(S.nmiBlocked, 0);
  if (isRealMode(s) || isV86(s)) returnReal(cpu, size);
  else if (s.rflags & NT) returnFromTask(cpu);
  else returnProtected(cpu, size);
  return LEAVE;
}

function returnReal(cpu: Cpu, size: 2 | 4 | 8): void {
  const s = cpu.s;
  const stack = Stack.current(cpu);
  const rip = stack.pop(size), cs = Number(stack.pop(size) & 0xffffn), image = Number(stack.pop(size));
  if (rip > BigInt(s.segLimit(CS))) cpu.raise(GP, 0);
  // Virtual-8086 mode with IOPL 3: IF may change, IOPL may not.
  const v86 = isV86(s);
  let mask = ALWAYS | IF | (v86 ? 0 : IOPL);
  if (size !== 2) mask |= RF | AC | ID;
  stack.commit();
  loadRealCs(cpu, cs);
  s.rflags = (s.rflags & ~mask) | (image & mask);
  arrive(cpu, rip);
}

function returnFromTask(cpu: Cpu): void {
  const s = cpu.s;
  if (s.longMode) cpu.raise(GP, 0);
  const link = readSystem(cpu, s.segBase(TR), 0, 2);
  if ((link & 0xfffc) === 0 || link & 4) cpu.raise(TS, link & 0xfffc);
  switchTask(cpu, link, 'iret', { returnRip: s.nextRip, rflags: s.rflags });
}

function returnProtected(cpu: Cpu, size: 2 | 4 | 8): void {
  const s = cpu.s;
  const stack = Stack.current(cpu);
  const rip = stack.peek(0, size);
  const cs = low32(stack.peek(size, size)) & 0xffff;
  const image = low32(stack.peek(2 * size, size));
  const cpl = s.cpl;
  if (image & VM && cpl === 0 && size === 4 && !s.longMode) {
    returnToV86(cpu, stack, rip, cs, image);
    return;
  }
  const code = readReturnSegment(cpu, cs);
  const flags = newFlags(cpu, image, size, cpl);
  if ((cs & 3) === cpl && !s.mode64) {
    checkRip(cpu, code, rip);
    stack.release(3 * size);
    loadCs(cpu, cs, code, cpl);
    if (is64BitCode(cpu, code)) setStackPointer(cpu, stack.sp, 64);
    else stack.commit();
  } else {
    const rsp = stack.peek(3 * size, size);
    const ss = readReturnStack(cpu, low32(stack.peek(4 * size, size)) & 0xffff, cs & 3, code);
    checkRip(cpu, code, rip);
    commitReturn(cpu, cs, code, ss, rsp);
  }
  s.rflags = flags;
  arrive(cpu, rip);
}

/** From level 0 to virtual-8086 mode: nine doublewords. */
function returnToV86(cpu: Cpu, stack: Stack, rip: bigint, cs: number, image: number): void {
  const s = cpu.s;
  const esp = stack.peek(12, 4);
  const selectors = [SS, ES, DS, FS, GS].map((seg, i) => ({ seg, selector: Number(stack.peek(16 + 4 * i, 4) & 0xffffn) }));
  if (rip > 0xffffn) cpu.raise(GP, 0);
  s.rflags = image;
  s.set32(S.cpl, 3);
  loadRealCs(cpu, cs);
  for (const { seg, selector } of selectors) loadRealSegment(s, seg, selector);
  s.setGpr(RSP, esp);
  reportOuterLevel(cpu, 3);
  arrive(cpu, rip);
}
