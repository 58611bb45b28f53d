/**
 * Operands of SSE instructions: the check before each, alignment of 128-bit memory operands, and memory forms that are narrower
 * than the register. SDM 2 §2.4 "AVX and SSE Instruction Exception Classification", types 1 to 5 (legacy SSE columns).
 */

import type { Body, Builder, Operand, Val } from '../builder.js';
import { requireAligned, requireSse } from './sse-available.js';

/** The low `width` bits of a vector. */
export function low(s: Builder, v: Val, width: 16 | 32 | 64): Val {
  if (width === 64) return s.simd('i64x2.extract_lane', [v], 0);
  const word = s.simd('i32x4.extract_lane', [v], 0);
  return s.trunc(word, width);
}
/** A value of 32 or 64 bits in the low lane of a vector, zeros above. */
export function widen(s: Builder, v: Val): Val {
  return s.simd('i64x2.replace_lane', [s.c(128, 0), s.zext(v, 64)], 0);
}
/** `v` with its low lane replaced by a value of 32 or 64 bits. */
export function withLow(s: Builder, v: Val, value: Val): Val {
  return s.simd(value.width === 64 ? 'i64x2.replace_lane' : 'i32x4.replace_lane', [v, value], 0);
}
/** The low `width` bits of a register or memory operand. */
export function readLow(s: Builder, src: Operand, width: 16 | 32 | 64): Val {
  return src.isMemory ? src.readAt(0, width) : low(s, src.read(), width);
}
/** A 128-bit operand; memory must be aligned. */
export function readAligned(s: Builder, src: Operand): Val {
  if (src.isMemory) requireAligned(s, src.ea());
  return src.read();
}
/** A vector operand that an instruction uses the low `width` bits of: all of a register, or that much memory with zeros above. */
export function readVector(s: Builder, src: Operand, width: 32 | 64 | 128): Val {
  if (width === 128) return readAligned(s, src);
  return src.isMemory ? widen(s, src.readAt(0, width)) : src.read();
}

/** A body that begins with the check for SSE. */
export const sse =
  (body: Body): Body =>
  (s, ...operands) => {
    requireSse(s);
    body(s, ...operands);
  };
/** dst = operation(dst, src) on whole vectors. */
export const vectorBinary = (operation: (s: Builder, a: Val, b: Val) => Val): Body =>
  sse((s, dst, src) => {
    const b = readAligned(s, src);
    dst.write(operation(s, dst.read(), b));
  });
