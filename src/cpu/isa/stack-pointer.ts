/**
 * The stack pointer at the width that the mode gives it: 64 bits in 64-bit mode, else 32 or 16 by SS.B.
 * SDM 1 §6.2.3 "Address-Size Attributes for Stack Accesses".
 *
 * `StackView` is for descriptions that must look at the stack before they may move RSP; those that only push or pop use the
 * builder's `push` and `pop`. The functions on `Cpu` are for helpers.
 */

import type { Builder, Val } from '../builder.js';
import type { Cpu } from '../cpu.js';
import { RSP, S } from '../state.js';

/** Offset in SS that the register holds, and a way to set RSP to an offset. */
interface StackView {
  readonly offset: Val;
  setRsp(offset: Val): void;
}

/** The stack as register `base` (RSP, or RBP for LEAVE) points into it. For forms with `perMode` set. */
export function stackAt(s: Builder, base: number): StackView {
  if (s.codeSize === 64) return { offset: s.reg(base, 64), setRsp: (offset) => s.setReg(RSP, offset) };
  const mask = s.zext(s.getState(S.stackMask, 32), 64);
  return {
    offset: s.and(s.reg(base, 64), mask),
    setRsp: (offset) => s.setReg(RSP, s.or(s.and(s.reg(RSP, 64), s.not(mask)), s.and(offset, mask))),
  };
}

export const stackWidth = (cpu: Cpu): 16 | 32 | 64 =>
  cpu.s.mode64 ? 64 : cpu.s.get32(S.stackMask) === 0xffff ? 16 : 32;

/** Writes the low `width` bits of a general register as an instruction does: 32 bits clear the upper half, 16 keep the rest. */
export function setRegister(cpu: Cpu, index: number, width: number, value: bigint): void {
  const cut = BigInt.asUintN(width, value);
  const keep = width === 16 ? cpu.s.gpr(index) & ~0xffffn : width === 8 ? cpu.s.gpr(index) & ~0xffn : 0n;
  cpu.s.setGpr(index, keep | cut);
}
