/**
 * The arithmetic of SSE and SSE2 on one lane: NaN operands, denormals-are-zeros, special values, flags.
 *
 * SDM 1 §4.8.3.5 "Operating on SNaNs and QNaNs", table 4-7; §11.5 "SSE, SSE2, and SSE3 Exceptions"; APM 1 §4.8 "Floating-Point".
 * The rule of SSE: the first operand if it is a NaN, else the second, made quiet.
 */

import { fromInteger, order, product, quotient, root, sum, toInteger } from './arithmetic.js';
import { FINITE, INFINITE, NAN, ZERO, convertNan, indefinite, infinity, quiet, unpack, zero, type Format, type Unpacked } from './format.js';
import { DE, DOWN, IE, PE, ZE, exact, round, type Environment } from './round.js';

/** An operand; a denormal is zero under DAZ. */
function operand(f: Format, env: Environment, bits: bigint): Unpacked {
  const u = unpack(f, bits);
  if (u.denormal && env.daz) {
    u.kind = ZERO;
    u.denormal = false;
    u.m = 0n;
  }
  return u;
}
const noteDenormals = (env: Environment, ...all: Unpacked[]): void => {
  if (all.some((u) => u.denormal)) env.flags |= DE;
};
function invalid(f: Format, env: Environment): bigint {
  env.flags |= IE;
  return indefinite(f);
}
function nan(f: Format, env: Environment, a: Unpacked, b: Unpacked): bigint {
  if (a.signalling || b.signalling) env.flags |= IE;
  return quiet(f, a.kind === NAN ? a.bits : b.bits);
}

export type BinaryOperation = 'add' | 'sub' | 'mul' | 'div' | 'min' | 'max';

/** a op b. */
export function binary(op: BinaryOperation, f: Format, env: Environment, aBits: bigint, bBits: bigint): bigint {
  const a = operand(f, env, aBits), b = operand(f, env, bBits);
  if (op === 'min' || op === 'max') return extreme(op, f, env, a, b);
  if (a.kind === NAN || b.kind === NAN) return nan(f, env, a, b);
  const sign = a.sign !== b.sign;
  switch (op) {
    case 'sub':
    case 'add': {
      if (op === 'sub') b.sign = !b.sign;
      if (a.kind === INFINITE && b.kind === INFINITE && a.sign !== b.sign) return invalid(f, env);
      noteDenormals(env, a, b);
      if (a.kind === INFINITE || b.kind === INFINITE) return infinity(f, a.kind === INFINITE ? a.sign : b.sign);
      const total = sum(a, b);
      if (total !== null) return round(f, env, total);
      return zero(f, a.kind === ZERO && b.kind === ZERO && a.sign === b.sign ? a.sign : env.rounding === DOWN);
    }
    case 'mul':
      if ((a.kind === INFINITE && b.kind === ZERO) || (a.kind === ZERO && b.kind === INFINITE)) return invalid(f, env);
      noteDenormals(env, a, b);
      if (a.kind === INFINITE || b.kind === INFINITE) return infinity(f, sign);
      if (a.kind === ZERO || b.kind === ZERO) return zero(f, sign);
      return round(f, env, product(a, b));
    case 'div':
      if (a.kind === b.kind && (a.kind === ZERO || a.kind === INFINITE)) return invalid(f, env);
      if (b.kind === ZERO && a.kind === FINITE) {
        env.flags |= ZE;
        return infinity(f, sign);
      }
      noteDenormals(env, a, b);
      if (a.kind === INFINITE || b.kind === ZERO) return infinity(f, sign);
      if (a.kind === ZERO || b.kind === INFINITE) return zero(f, sign);
      return round(f, env, quotient(a, b));
  }
}

/** MIN and MAX: the second operand when either is a NaN (any NaN is invalid) or both are zeros. */
function extreme(op: 'min' | 'max', f: Format, env: Environment, a: Unpacked, b: Unpacked): bigint {
  const value = (u: Unpacked): bigint => (u.kind === ZERO ? zero(f, u.sign) : u.bits);
  if (a.kind === NAN || b.kind === NAN) {
    env.flags |= IE;
    return value(b);
  }
  noteDenormals(env, a, b);
  const o = order(a, b);
  return value(op === 'min' ? (o < 0 ? a : b) : o > 0 ? a : b);
}

export function squareRoot(f: Format, env: Environment, bits: bigint): bigint {
  const a = operand(f, env, bits);
  if (a.kind === NAN) return nan(f, env, a, a);
  if (a.kind === ZERO) return zero(f, a.sign);
  if (a.sign) return invalid(f, env);
  noteDenormals(env, a);
  return a.kind === INFINITE ? infinity(f, false) : round(f, env, root(a));
}

/** Order of two values, 2 when unordered. `signals`: QNaNs are invalid too (COMIS, the ordered predicates). */
export function compare(f: Format, env: Environment, aBits: bigint, bBits: bigint, signals: boolean): number {
  const a = operand(f, env, aBits), b = operand(f, env, bBits);
  if (a.kind === NAN || b.kind === NAN) {
    if (signals || a.signalling || b.signalling) env.flags |= IE;
    return 2;
  }
  noteDenormals(env, a, b);
  return order(a, b);
}

/** To another format. */
export function convert(from: Format, to: Format, env: Environment, bits: bigint): bigint {
  const a = operand(from, env, bits);
  if (a.kind === NAN) {
    if (a.signalling) env.flags |= IE;
    return convertNan(from, to, a);
  }
  noteDenormals(env, a);
  if (a.kind === ZERO) return zero(to, a.sign);
  return a.kind === INFINITE ? infinity(to, a.sign) : round(to, env, exact(a));
}

/** To a signed integer of `width` bits, as unsigned bits; what does not fit is invalid and gives the integer indefinite. */
export function convertToInteger(f: Format, width: number, env: Environment, bits: bigint, rounding: number): bigint {
  const a = operand(f, env, bits);
  const limit = 1n << BigInt(width - 1);
  if (a.kind === ZERO || a.kind === FINITE) {
    const { value, inexact } = toInteger(a, rounding);
    if (value >= -limit && value < limit) {
      if (inexact) env.flags |= PE;
      return BigInt.asUintN(width, value);
    }
  }
  env.flags |= IE;
  return limit;
}
/** From a signed integer. */
export function convertFromInteger(f: Format, env: Environment, v: bigint): bigint {
  const x = fromInteger(v);
  return x === null ? zero(f, false) : round(f, env, x);
}
