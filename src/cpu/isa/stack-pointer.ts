/**
 * The stack pointer at the width that the mode gives it: 64 bits in 64-bit mode, else 32 or 16 by SS.B.
 * SDM 1 §6.2.3 "Address-Size Attributes for Stack Accesses".
 *
 * `StackView` is for descriptions that must look at the stack before they may move RSP; those that only push or pop use the
 * builder's `push` and `pop`. The functions on `Cpu` are for helpers.
 */

import type { Builder, Val } from '../builder.js';
import type { Cpu } from '../cpu.js';
import { RSP, SEG, segAddress, SS } from '../state.js';

/** D/B bit of a segment's attributes. */
const SEGMENT_BIG_BIT = 14;

/** Offset in SS that the register holds, and a way to set RSP to an offset. */
interface StackView {
  readonly offset: Val;
  setRsp(offset: Val): void;
}

/** The stack as register `base` (RSP, or RBP for LEAVE) points into it. For forms with `perMode` set. */
export function stackAt(s: Builder, base: number): StackView {
  if (s.codeSize === 64) return { offset: s.reg(base, 64), setRsp: (offset) => s.setReg(RSP, offset) };
  const big = s.bit(s.getState(segAddress(SS) + SEG.attr, 32), SEGMENT_BIG_BIT);
  return {
    offset: s.select(big, s.zext(s.reg(base, 32), 64), s.zext(s.reg(base, 16), 64)),
    setRsp: (offset) =>
      s.if(
        big,
        () => s.setReg(RSP, s.trunc(offset, 32)),
        () => s.setReg(RSP, s.trunc(offset, 16)),
      ),
  };
}

export const stackWidth = (cpu: Cpu): 16 | 32 | 64 =>
  cpu.s.mode64 ? 64 : (cpu.s.segAttr(SS) >>> SEGMENT_BIG_BIT) & 1 ? 32 : 16;

/** Writes the low `width` bits of a general register as an instruction does: 32 bits clear the upper half, 16 keep the rest. */
export function setRegister(cpu: Cpu, index: number, width: number, value: bigint): void {
  const cut = BigInt.asUintN(width, value);
  const keep = width === 16 ? cpu.s.gpr(index) & ~0xffffn : width === 8 ? cpu.s.gpr(index) & ~0xffn : 0n;
  cpu.s.setGpr(index, keep | cut);
}
