/**
 * Rounding of exact values to a format: the four rounding modes, overflow, underflow after rounding, flush-to-zero.
 *
 * SDM 1 §4.8.4 "Rounding", §4.9.1.4 to §4.9.1.6 (overflow, underflow, inexact), §10.2.3.3 "Flush-To-Zero".
 */

import { bitLength, infinity, largest, packFinite, zero, type Format } from './format.js';

/** Exception flags as MXCSR and the x87 status word place them. */
export const IE = 1, DE = 2, ZE = 4, OE = 8, UE = 16, PE = 32;
export const NEAREST = 0, DOWN = 1, UP = 2, CHOP = 3;

/** What arithmetic depends on, and the flags that it leaves. */
export interface Environment {
  /** RC: NEAREST, DOWN, UP, CHOP. */
  readonly rounding: number;
  /** Exception masks in bits 5:0. */
  readonly masks: number;
  readonly daz: boolean;
  readonly ftz: boolean;
  flags: number;
  /** The last rounding went away from zero (x87's C1). */
  up: boolean;
}

/** Value m * 2^e, or a little more in magnitude when `sticky`; then m has at least two bits more than any precision. m > 0. */
export interface Exact {
  sign: boolean;
  m: bigint;
  e: number;
  sticky: boolean;
}

/** |value| in units of 2^unit, rounded. `inexact` and `up` describe what the last call did. */
let inexact = false, up = false;
export function roundUnits(x: Exact, unit: number, rounding: number): bigint {
  inexact = x.sticky;
  up = false;
  if (x.e >= unit) return x.m << BigInt(x.e - unit);
  const shift = BigInt(unit - x.e);
  const q = x.m >> shift;
  const rest = x.m - (q << shift);
  if (rest === 0n && !x.sticky) return q;
  inexact = true;
  if (rounding === NEAREST) {
    const half = 1n << (shift - 1n);
    up = rest > half || (rest === half && (x.sticky || (q & 1n) === 1n));
  } else up = rounding === (x.sign ? DOWN : UP);
  return up ? q + 1n : q;
}
export const wasInexact = (): boolean => inexact;
export const wasUp = (): boolean => up;

/**
 * An exact value in a format, flags set. `precision` below the format's is the x87's precision control.
 * Unmasked overflow and underflow give the result that the x87 stores: the exponent wrapped by 3 * 2^(exponent bits - 2).
 */
export function round(f: Format, env: Environment, x: Exact, precision = f.precision): bigint {
  const { sign } = x;
  const widen = BigInt(f.precision - precision);
  let top = x.e + bitLength(x.m) - 1;
  let unit = top - (precision - 1);
  let q = roundUnits(x, unit, env.rounding);
  let exactly = !inexact, away = up;
  top = unit + bitLength(q) - 1;
  if (top < f.emin) {
    // Tiny: underflow is judged after rounding as if the exponent had no lower end.
    if ((env.masks & UE) === 0) {
      env.flags |= UE;
      if (!exactly) env.flags |= PE;
      env.up = away;
      return wrapped(f, sign, q << widen, unit - Number(widen), 1);
    }
    if (env.ftz) {
      env.flags |= UE | PE;
      return zero(f, sign);
    }
    unit = f.emin - (precision - 1);
    q = roundUnits(x, unit, env.rounding);
    exactly = !inexact;
    away = up;
    if (!exactly) env.flags |= UE;
  } else if (top > f.emax) {
    env.flags |= OE;
    if ((env.masks & OE) === 0) {
      if (!exactly) env.flags |= PE;
      env.up = away;
      return wrapped(f, sign, q << widen, unit - Number(widen), -1);
    }
    env.flags |= PE;
    const toInfinity = env.rounding === NEAREST || env.rounding === (sign ? DOWN : UP);
    env.up = toInfinity;
    return toInfinity ? infinity(f, sign) : largest(f, sign, precision);
  }
  if (!exactly) env.flags |= PE;
  env.up = away;
  return packFinite(f, sign, ...carried(f, q << widen, unit - Number(widen)));
}

/** Rounding up may have made one bit more. */
function carried(f: Format, m: bigint, e: number): [bigint, number] {
  return m >> BigInt(f.precision) === 0n ? [m, e] : [m >> 1n, e + 1];
}
function wrapped(f: Format, sign: boolean, m: bigint, e: number, direction: 1 | -1): bigint {
  const [n, at] = carried(f, m, e + direction * 3 * 2 ** (f.exponentBits - 2));
  if (at + bitLength(n) - 1 > f.emax) return infinity(f, sign);
  if (at + bitLength(n) - 1 < f.emin) return zero(f, sign);
  return packFinite(f, sign, n, at);
}

/** Sign and kind of an exact zero aside, what `round` takes from an unpacked finite value. */
export const exact = (u: { sign: boolean; m: bigint; e: number }): Exact => ({ sign: u.sign, m: u.m, e: u.e, sticky: false });
