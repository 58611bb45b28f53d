/**
 * CLI, STI, PUSHF, POPF and the interrupt shadow.
 *
 * SDM 2 under those names; SDM 3A §6.8.1 "Masking Maskable Hardware Interrupts", §6.8.3 "Masking Exceptions and Interrupts When Switching
 * Stacks". CR4.VME and CR4.PVI are not offered, so there is no virtual interrupt flag.
 */

import type { Cpu } from '../cpu.js';
import { GP } from '../events.js';
import type { InsnView } from '../insn-view.js';
import { type HelperResult, LEAVE, NEXT } from '../insn.js';
import { AC, DF, ID, IF, IOPL, NT, RF, S, STATUS_FLAGS, TF, VM } from '../state.js';
import { intercepted, iopl, requireV86Iopl } from './privilege.js';
import { Stack } from './stack.js';
import { operandBytes } from './operand-size.js';

export const SHADOW_STI = 1, SHADOW_MOV_SS = 2;

/** Holds interrupts back for one instruction after this one. */
export function armShadow(cpu: Cpu, kind: typeof SHADOW_STI | typeof SHADOW_MOV_SS): void {
  cpu.s.set32(S.interruptShadow, kind);
  cpu.s.set32(S.shadowArmed, 1);
}

/** #GP(0) unless CPL <= IOPL (real mode: always allowed; virtual-8086 mode is level 3). */
function requireIopl(cpu: Cpu): void {
  if (cpu.s.cpl > iopl(cpu)) cpu.raise(GP, 0);
}

export function cli(cpu: Cpu, _insn: InsnView): HelperResult {
  requireIopl(cpu);
  const s = cpu.s;
  s.set32(S.rflagsRest, s.get32(S.rflagsRest) & ~IF);
  return NEXT;
}

export function sti(cpu: Cpu, _insn: InsnView): HelperResult {
  requireIopl(cpu);
  const s = cpu.s;
  const rest = s.get32(S.rflagsRest);
  if (rest & IF) return NEXT;
  s.set32(S.rflagsRest, rest | IF);
  armShadow(cpu, SHADOW_STI);
  return cpu.finish();
}

export function pushf(cpu: Cpu, insn: InsnView): HelperResult {
  if (intercepted(cpu, 'PUSHF')) return LEAVE;
  requireV86Iopl(cpu);
  const stack = Stack.current(cpu);
  stack.push(BigInt(cpu.s.rflags & ~(VM | RF)), operandBytes(insn) as 2 | 4 | 8);
  stack.commit();
  return NEXT;
}

export function popf(cpu: Cpu, insn: InsnView): HelperResult {
  if (intercepted(cpu, 'POPF')) return LEAVE;
  requireV86Iopl(cpu);
  const s = cpu.s;
  const size = operandBytes(insn) as 2 | 4 | 8;
  const stack = Stack.current(cpu);
  const image = Number(stack.pop(size) & 0xffff_ffffn);
  let mask = STATUS_FLAGS | TF | DF | NT;
  if (size !== 2) mask |= AC | ID;
  if (s.cpl <= iopl(cpu)) mask |= IF;
  if (s.cpl === 0) mask |= IOPL;
  const old = s.rflags;
  stack.commit();
  s.rflags = (old & ~(mask | (size === 2 ? 0 : RF))) | (image & mask);
  const changed = old ^ s.rflags;
  if (changed & AC) cpu.modeChanged(); // SMAP and alignment checks look at it
  return changed & (IF | TF | AC) ? cpu.finish() : NEXT;
}

/** CLAC and STAC: level 0 only, else #UD (checked by the caller's description). */
export function setAc(cpu: Cpu, on: boolean): HelperResult {
  const s = cpu.s;
  const rest = s.get32(S.rflagsRest);
  s.set32(S.rflagsRest, on ? rest | AC : rest & ~AC);
  cpu.modeChanged();
  return cpu.finish();
}
