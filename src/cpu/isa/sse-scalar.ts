/**
 * Scalar floating-point arithmetic of SSE and SSE2 by the host: ADD SUB MUL DIV SQRT.
 *
 * SDM 2 and APM 4, under those names; sse-float.ts says when the host's result may be taken. Here that is decided from the exponents:
 * first for operands that are neither zero nor denormal and a result in the safe range, in a few integer operations; then for zeros; what
 * is left goes to sse-exact.ts. With PE clear the result must be exact as well. A sum r = a + b is exact when r - a = b and r - b = a: with
 * |a| >= |b| the difference r - a has no rounding error (Dekker 1971), so the comparison tells. A product of two doubles is exact when the
 * significands, without their trailing zeros, have together no more bits than one, or one is a power of two; the product of two singles
 * is a double.
 */

import { Mnemonic } from 'iced-x86';
import type { Body, Builder, FloatVal, Operand, Val } from '../builder.js';
import { squareRoot } from '../fp/sse.js';
import { allForms, insn, type InsnHelper } from '../insn.js';
import { S } from '../state.js';
import { ARG_A, ARG_B, formatOf, laneHelper, type LaneWidth } from './sse-exact.js';
import { exactHelper } from './sse-float.js';
import { low, sse, widen, withLow } from './sse-operands.js';

const M = Mnemonic;
const EXPONENT = { 32: { shift: 23, max: 0xff }, 64: { shift: 52, max: 0x7ff } } as const;
const PE = 1 << 5;

/** A scalar: as a float, as bits, its biased exponent (32 bits), and the vector that it is the low lane of. */
interface Scalar {
  readonly x: FloatVal;
  readonly bits: Val;
  readonly exponent: Val;
  readonly vector: () => Val;
}
function exponentOf(s: Builder, bits: Val): Val {
  const { shift, max } = EXPONENT[bits.width as LaneWidth];
  return s.and(s.trunc(s.shr(bits, shift), 32), s.c(32, max));
}
const isFloat = (s: Builder, bits: Val): FloatVal => s.float(bits.width === 32 ? 'f32.reinterpret_i32' : 'f64.reinterpret_i64', [bits]);
function fromVector(s: Builder, v: Val, width: LaneWidth): Scalar {
  const bits = low(s, v, width);
  return { x: s.floatLane(v, width), bits, exponent: exponentOf(s, bits), vector: () => v };
}
function readScalar(s: Builder, src: Operand, width: LaneWidth): Scalar {
  if (!src.isMemory) return fromVector(s, src.read(), width);
  const bits = src.readAt(0, width);
  return { x: isFloat(s, bits), bits, exponent: exponentOf(s, bits), vector: () => widen(s, bits) };
}

const all = (s: Builder, ...conditions: Val[]): Val => conditions.reduce((a, b) => s.and(a, b));
const isZero = (s: Builder, v: Scalar): Val => s.isZero(s.shl(v.bits, 1));
/** Not denormal. */
const ordinary = (s: Builder, v: Scalar): Val => s.or(s.ne(v.exponent, s.c(32, 0)), isZero(s, v));
const op = (s: Builder, name: string, ...args: FloatVal[]): FloatVal => s.float(`f${args[0]!.float}.${name}`, args);
const double = (s: Builder, v: FloatVal): FloatVal => s.float('f64.promote_f32', [v]);

const lessBy = (s: Builder, v: Val, n: number): Val => s.sub(v, s.c(32, n));

/** A float's bits, to 64. */
const wideBits = (s: Builder, x: FloatVal): Val => s.zext(bitsOf(s, x), 64);
/** Not zero (64 bits) if a float has other bits than those. */
const differs = (s: Builder, x: FloatVal, bits: Val): Val => s.xor(wideBits(s, x), s.zext(bits, 64));
/** Not zero (64 bits) if a value is negative. */
const anyNegative = (s: Builder, ...values: Val[]): Val => s.zext(s.shr(values.reduce((a, b) => s.or(a, b)), 31), 64);

/** Trailing zeros of a double's fraction, and 12 more. */
const fractionZeros = (s: Builder, v: Scalar): Val => s.trunc(s.ctz(s.shl(v.bits, 12)), 32);
const isPowerOfTwo = (s: Builder, v: Scalar): Val => s.isZero(v.bits.width === 64 ? s.shl(v.bits, 12) : s.shl(v.bits, 9));
/** Zero (64 bits) if a * b = p without rounding, as far as trailing zeros tell; a power of two with a long fraction is not noticed. */
function productIsInexact(s: Builder, a: Scalar, b: Scalar, p: FloatVal): Val {
  if (a.x.float === 32) return differs(s, op(s, 'mul', double(s, a.x), double(s, b.x)), bitsOf(s, double(s, p)));
  return anyNegative(s, lessBy(s, s.add(fractionZeros(s, a), fractionZeros(s, b)), 12 + 12 + 53));
}

type Operation = 'add' | 'sub' | 'mul' | 'div';
/** Zero (64 bits) if r is exact, for operands and result in the usual range. */
function isInexact(s: Builder, operation: Operation, a: Scalar, b: Scalar, r: Scalar): Val {
  switch (operation) {
    case 'add':
      return s.or(differs(s, op(s, 'sub', r.x, a.x), b.bits), differs(s, op(s, 'sub', r.x, b.x), a.bits));
    case 'sub':
      return s.or(differs(s, op(s, 'sub', a.x, r.x), b.bits), differs(s, op(s, 'add', r.x, b.x), a.bits));
    case 'mul':
      return productIsInexact(s, a, b, r.x);
    case 'div':
      return s.or(differs(s, op(s, 'mul', r.x, b.x), a.bits), productIsInexact(s, r, b, a.x));
  }
}

/**
 * Result of an operation that the host has computed, when MXCSR has its default rounding and masks, neither FTZ nor DAZ, and either
 * `outside` is zero and PE is set or `inexact()` zero, or `second()` holds; else that of `slow()`. All is tested as bits, so that the
 * usual case is one branch. @param outside 64 bits
 */
function settle(s: Builder, old: Val, r: Scalar, outside: Val, inexact: () => Val, second: () => Val, slow: () => Val): Val {
  const control = s.and(s.getState(S.mxcsr, 32), s.c(32, 0xffc0 | PE));
  const unusual = (wanted: number): Val => s.or(s.zext(s.xor(control, s.c(32, wanted)), 64), outside);
  const result = s.variable(s.withFloatLane(old, r.x));
  s.if(s.ne(unusual(0x1f80 | PE), s.c(64, 0)), () =>
    s.if(s.ne(s.or(unusual(0x1f80), inexact()), s.c(64, 0)), () => {
      const plain = s.eq(s.and(control, s.c(32, 0xffc0)), s.c(32, 0x1f80));
      s.if(s.xor(s.and(plain, second()), s.c(1, 1)), () => result.set(withLow(s, old, slow())));
    }),
  );
  return result.get();
}
/** Calls a helper with operands in the low lanes of ARG_A and ARG_B; the low lane of ARG_A is the result. */
function call(s: Builder, helper: InsnHelper, a: Val, b: Val, width: LaneWidth): Val {
  s.setState(ARG_A, a);
  s.setState(ARG_B, b);
  s.compute(helper);
  return s.getState(ARG_A, width);
}
const bitsOf = (s: Builder, x: FloatVal): Val => s.floatToInt(x.float === 32 ? 'i32.reinterpret_f32' : 'i64.reinterpret_f64', [x], x.float);
const resultOf = (s: Builder, x: FloatVal): Scalar => {
  const bits = bitsOf(s, x);
  return { x, bits, exponent: exponentOf(s, bits), vector: () => widen(s, bits) };
};

function arithmetic(operation: Operation, width: LaneWidth): Body {
  const { max } = EXPONENT[width];
  const helper = exactHelper(operation, { width, packed: false });
  return sse((s, dst, src) => {
    const b = readScalar(s, src, width);
    const old = dst.read();
    const a = fromVector(s, old, width);
    const r = resultOf(s, op(s, operation, a.x, b.x));
    // A finite result has finite operands, but for a quotient, which is 0 then. One that is twice the least normal number was not tiny.
    const inRange = [lessBy(s, r.exponent, 2), s.sub(s.c(32, max - 1), r.exponent)];
    const outside = anyNegative(s, lessBy(s, a.exponent, 1), lessBy(s, b.exponent, 1), ...inRange);
    const second = (): Val => {
      const normal = s.isZero(anyNegative(s, ...inRange));
      const exact =
        operation === 'mul' ? s.or(s.and(isZero(s, r), s.or(isZero(s, a), isZero(s, b))), s.and(normal, s.or(isPowerOfTwo(s, a), isPowerOfTwo(s, b))))
        : operation === 'div' ? s.or(s.and(isZero(s, r), isZero(s, a)), s.and(normal, isPowerOfTwo(s, b)))
        : s.or(isZero(s, r), s.and(normal, s.or(isZero(s, a), isZero(s, b))));
      return all(s, ordinary(s, a), ordinary(s, b), exact);
    };
    dst.write(settle(s, old, r, outside, () => isInexact(s, operation, a, b, r), second, () => call(s, helper, old, b.vector(), width)));
  });
}

function sqrt(width: LaneWidth): Body {
  const { max } = EXPONENT[width];
  const f = formatOf(width);
  const helper = laneHelper(1, width, width, (env, a) => squareRoot(f, env, a));
  return sse((s, dst, src) => {
    const b = readScalar(s, src, width);
    const old = dst.read();
    const r = resultOf(s, op(s, 'sqrt', b.x));
    // The root of a normal number is normal; that of a negative number is a NaN.
    const outside = anyNegative(s, lessBy(s, b.exponent, 1), s.sub(s.c(32, max - 1), r.exponent));
    const inexact = (): Val => s.or(differs(s, op(s, 'mul', r.x, r.x), b.bits), productIsInexact(s, r, r, b.x));
    dst.write(settle(s, old, r, outside, inexact, () => isZero(s, b), () => call(s, helper, b.vector(), b.vector(), width)));
  });
}

for (const [suffix, width, ...mnemonics] of [
  ['SS', 32, M.Addss, M.Subss, M.Mulss, M.Divss],
  ['SD', 64, M.Addsd, M.Subsd, M.Mulsd, M.Divsd],
] as const)
  (['add', 'sub', 'mul', 'div'] as const).forEach((o, i) => insn(o.toUpperCase() + suffix, { forms: allForms(mnemonics[i]!), body: arithmetic(o, width) }));
insn('SQRTSS', { forms: allForms(M.Sqrtss), body: sqrt(32) });
insn('SQRTSD', { forms: allForms(M.Sqrtsd), body: sqrt(64) });
