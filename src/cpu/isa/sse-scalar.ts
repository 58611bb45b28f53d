/**
 * Scalar floating-point arithmetic of SSE and SSE2 by the host: ADD SUB MUL DIV SQRT.
 *
 * SDM 2 and APM 4, under those names; sse-float.ts says when the host's result may be taken. Here that is decided from the exponents:
 * first for operands that are neither zero nor denormal and a result in the safe range, in a few integer operations; then for zeros; what
 * is left goes to sse-exact.ts. With PE clear the result must be exact as well. A sum r = a + b is exact when r - a = b and r - b = a: with
 * |a| >= |b| the difference r - a has no rounding error (Dekker 1971), so the comparison tells. A product of two doubles is exact when the
 * significands, without their trailing zeros, have together no more bits than one; the product of two singles is a double.
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
const equal = (s: Builder, a: FloatVal, b: FloatVal): Val => s.floatToInt(`f${a.float}.eq`, [a, b], 1);
const op = (s: Builder, name: string, ...args: FloatVal[]): FloatVal => s.float(`f${args[0]!.float}.${name}`, args);
const double = (s: Builder, v: FloatVal): FloatVal => s.float('f64.promote_f32', [v]);

/** No value negative: the sign bit of their disjunction is clear. */
const noneNegative = (s: Builder, ...values: Val[]): Val => s.isZero(s.shr(values.reduce((a, b) => s.or(a, b)), 31));
const lessBy = (s: Builder, v: Val, n: number): Val => s.sub(v, s.c(32, n));

/** a * b = p without rounding, as far as trailing zeros tell. */
function productIsExact(s: Builder, a: Scalar, b: Scalar, p: FloatVal): Val {
  if (a.x.float === 32) return equal(s, op(s, 'mul', double(s, a.x), double(s, b.x)), double(s, p));
  const zeros = (v: Scalar): Val => s.trunc(s.ctz(s.or(v.bits, s.c(64, 1n << 52n))), 32);
  const za = zeros(a), zb = zeros(b);
  const one = (z: Val): Val => s.eq(z, s.c(32, 52));
  return s.or(s.ltU(s.c(32, 52), s.add(za, zb)), s.or(one(za), one(zb)));
}

type Operation = 'add' | 'sub' | 'mul' | 'div';
function isExact(s: Builder, operation: Operation, a: Scalar, b: Scalar, r: Scalar): Val {
  switch (operation) {
    case 'add':
      return s.and(equal(s, op(s, 'sub', r.x, a.x), b.x), equal(s, op(s, 'sub', r.x, b.x), a.x));
    case 'sub':
      return s.and(equal(s, op(s, 'sub', a.x, r.x), b.x), equal(s, op(s, 'add', r.x, b.x), a.x));
    case 'mul':
      return productIsExact(s, a, b, r.x);
    case 'div':
      return s.and(equal(s, op(s, 'mul', r.x, b.x), a.x), productIsExact(s, r, b, a.x));
  }
}

/** Result of an operation that has been computed: by the host if `first` holds (PE set, or `exact`), or `second`; MXCSR is looked at here. */
function settle(s: Builder, old: Val, r: Scalar, first: Val, exact: () => Val, second: () => Val, slow: () => Val): Val {
  const mxcsr = s.getState(S.mxcsr, 32);
  // Rounding to nearest, all exceptions masked, neither FTZ nor DAZ.
  const plain = s.eq(s.and(mxcsr, s.c(32, 0xffc0)), s.c(32, 0x1f80));
  const good = s.variable(s.and(first, plain));
  s.if(s.isZero(s.and(mxcsr, s.c(32, PE))), () => good.set(s.and(good.get(), exact())));
  const result = s.variable(s.withFloatLane(old, r.x));
  s.if(s.xor(good.get(), s.c(1, 1)), () => s.if(s.xor(s.and(plain, second()), s.c(1, 1)), () => result.set(withLow(s, old, slow()))));
  return result.get();
}
/** Calls a helper with operands in the low lanes of ARG_A and ARG_B; the low lane of ARG_A is the result. */
function call(s: Builder, helper: InsnHelper, a: Val, b: Val, width: LaneWidth): Val {
  s.setState(ARG_A, a);
  s.setState(ARG_B, b);
  s.compute(helper);
  return s.getState(ARG_A, width);
}
const resultOf = (s: Builder, x: FloatVal): Scalar => {
  const bits = s.floatToInt(x.float === 32 ? 'i32.reinterpret_f32' : 'i64.reinterpret_f64', [x], x.float);
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
    const first = noneNegative(s, lessBy(s, a.exponent, 1), lessBy(s, b.exponent, 1), ...inRange);
    const second = (): Val => {
      const zero =
        operation === 'mul' ? s.and(isZero(s, r), s.or(isZero(s, a), isZero(s, b)))
        : operation === 'div' ? s.and(isZero(s, r), isZero(s, a))
        : s.or(isZero(s, r), s.and(noneNegative(s, ...inRange), s.or(isZero(s, a), isZero(s, b))));
      return all(s, ordinary(s, a), ordinary(s, b), zero);
    };
    dst.write(settle(s, old, r, first, () => isExact(s, operation, a, b, r), second, () => call(s, helper, old, b.vector(), width)));
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
    const first = noneNegative(s, lessBy(s, b.exponent, 1), s.sub(s.c(32, max - 1), r.exponent));
    const exact = (): Val => s.and(equal(s, op(s, 'mul', r.x, r.x), b.x), productIsExact(s, r, r, b.x));
    dst.write(settle(s, old, r, first, exact, () => isZero(s, b), () => call(s, helper, b.vector(), b.vector(), width)));
  });
}

for (const [suffix, width, ...mnemonics] of [
  ['SS', 32, M.Addss, M.Subss, M.Mulss, M.Divss],
  ['SD', 64, M.Addsd, M.Subsd, M.Mulsd, M.Divsd],
] as const)
  (['add', 'sub', 'mul', 'div'] as const).forEach((o, i) => insn(o.toUpperCase() + suffix, { forms: allForms(mnemonics[i]!), body: arithmetic(o, width) }));
insn('SQRTSS', { forms: allForms(M.Sqrtss), body: sqrt(32) });
insn('SQRTSD', { forms: allForms(M.Sqrtsd), body: sqrt(64) });
