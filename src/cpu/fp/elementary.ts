/**
 * Elementary functions to about a hundred bits more than a result has: sine, cosine, tangent, arctangent, 2^x - 1, logarithms.
 *
 * Values are fixed-point BigInts with a number of fraction bits chosen so that small results keep their relative precision; the
 * series are those of any text on the subject (Abramowitz and Stegun, "Handbook of Mathematical Functions", 4.1 to 4.4). Results
 * carry `sticky`, for none of them is exact except where the caller says so.
 */

import { bitLength } from './format.js';
import type { Exact } from './round.js';
import { isqrt } from './arithmetic.js';

/** Fraction bits beyond the position of the argument's first bit. */
const GUARD = 192;

/** Sum of z^(2k+1) / (2k+1), alternating in sign for the arctangent. */
function oddSeries(z: bigint, p: number, alternating: boolean): bigint {
  // A negative power would be rounded down to -1 for ever.
  if (z < 0n) return -oddSeries(-z, p, alternating);
  const square = (z * z) >> BigInt(p);
  let power = z, total = z;
  for (let n = 3n, negative = alternating; power !== 0n; n += 2n, negative = negative !== alternating) {
    power = (power * square) >> BigInt(p);
    total += negative ? -(power / n) : power / n;
  }
  return total;
}
const cache = new Map<string, bigint>();
const once = (name: string, p: number, make: () => bigint): bigint => {
  const key = `${name}${p}`;
  let v = cache.get(key);
  if (v === undefined) cache.set(key, (v = make()));
  return v;
};
/** pi by Machin's formula, and ln 2 = 2 atanh(1/3). */
export const pi = (p: number): bigint =>
  once('pi', p, () => {
    const q = p + 16, one = 1n << BigInt(q);
    return (16n * oddSeries(one / 5n, q, true) - 4n * oddSeries(one / 239n, q, true)) >> 16n;
  });
const ln2 = (p: number): bigint => once('ln2', p, () => (2n * oddSeries((1n << BigInt(p + 16)) / 3n, p + 16, false)) >> 16n);

/** m * 2^e with `p` fraction bits, truncated. */
const fixed = (m: bigint, e: number, p: number): bigint => (e + p >= 0 ? m << BigInt(e + p) : m >> BigInt(-(e + p)));
const exactOf = (v: bigint, p: number): Exact => ({ sign: v < 0n, m: v < 0n ? -v : v, e: -p, sticky: true });

export interface Positive {
  readonly m: bigint;
  readonly e: number;
}
const topOf = (x: Positive): number => x.e + bitLength(x.m) - 1;

/** x a little smaller in magnitude (`less`) or greater: for arguments so small that only rounding sees the function's bend. */
function beside(x: Positive, less: boolean): Exact {
  const m = x.m << 80n;
  return { sign: false, m: less ? m - 1n : m, e: x.e - 80, sticky: true };
}
const TINY = -80;

/** Sine and cosine of x > 0; x below 2^63. The reduction uses pi itself, to as many bits as x needs. */
export function sineCosine(x: Positive): { sine: Exact; cosine: Exact } {
  const top = topOf(x);
  if (top < TINY) return { sine: beside(x, true), cosine: { sign: false, m: (1n << 140n) - 1n, e: -140, sticky: true } };
  const p = GUARD + 80 + Math.max(0, -top);
  // x = quadrant * pi/2 + r, |r| <= pi/4. An x of 63 bits comes no closer than about 2^-70 to a multiple of pi/2.
  const half = pi(p + 80) >> 1n;
  const wide = fixed(x.m, x.e, p + 80);
  const quadrant = (2n * wide + half) / (2n * half);
  const r = (wide - quadrant * half) >> 80n;
  const one = 1n << BigInt(p);
  const square = (r * r) >> BigInt(p);
  let sine = 0n, cosine = 0n;
  for (let term = one, n = 1n; term !== 0n; n += 2n) {
    cosine += term;
    const odd = (term * r) >> BigInt(p);
    sine += odd / n;
    term = -((term * square) >> BigInt(p)) / (n * (n + 1n));
  }
  const turned = [[sine, cosine], [cosine, -sine], [-sine, -cosine], [-cosine, sine]][Number(quadrant & 3n)]!;
  return { sine: exactOf(turned[0]!, p), cosine: exactOf(turned[1]!, p) };
}

/** Quotient of two exact values, for the tangent. */
export function divide(a: Exact, b: Exact): Exact {
  const shift = Math.max(0, 200 + bitLength(b.m) - bitLength(a.m));
  return { sign: a.sign !== b.sign, m: (a.m << BigInt(shift)) / b.m, e: a.e - b.e - shift, sticky: true };
}
/** Tangent of x > 0. */
export function tangent(x: Positive): Exact {
  if (topOf(x) < TINY) return beside(x, false);
  const { sine, cosine } = sineCosine(x);
  return divide(sine, cosine);
}

/** Angle of the point (x, y), both positive, in (0, pi/2); with `behind`, of (-x, y), in (pi/2, pi). */
export function angle(y: Positive, x: Positive, behind: boolean): Exact {
  const far = topOf(y) - topOf(x);
  if (far < TINY && !behind) {
    return beside(divide({ sign: false, ...y, sticky: false }, { sign: false, ...x, sticky: false }), true);
  }
  const p = GUARD + Math.min(-TINY, Math.max(0, -far)) + 16;
  const one = 1n << BigInt(p);
  const ratio = (n: Positive, d: Positive): bigint => {
    const shift = n.e - d.e + p;
    return shift >= 0 ? (n.m << BigInt(shift)) / d.m : n.m / (d.m << BigInt(-shift));
  };
  // The smaller over the greater, then two halvings of the angle.
  const steep = far >= 0 && ratio(y, x) > one;
  let t = steep ? ratio(x, y) : ratio(y, x);
  for (let i = 0; i < 2; i++) t = (t << BigInt(p)) / (one + isqrt((one + ((t * t) >> BigInt(p))) << BigInt(p)));
  const small = 4n * oddSeries(t, p, true);
  const first = steep ? (pi(p) >> 1n) - small : small;
  return exactOf(behind ? pi(p) - first : first, p);
}
/** pi * n / 4. */
export const quarters = (n: bigint): Exact => exactOf((pi(GUARD) * n) >> 2n, GUARD);

/** 2^x - 1 for 0 < |x| <= 1. */
export function exponentialMinusOne(x: Positive, negative: boolean): Exact {
  if (topOf(x) < TINY) return { sign: negative, m: x.m * ln2(GUARD), e: x.e - GUARD, sticky: true };
  const p = GUARD + Math.max(0, -topOf(x));
  const y = ((negative ? -1n : 1n) * fixed(x.m, x.e, p) * ln2(p)) >> BigInt(p);
  let total = 0n;
  for (let term = y, n = 2n; term !== 0n; n++) {
    total += term;
    term = ((term * y) >> BigInt(p)) / n;
  }
  return exactOf(total, p);
}

/** Binary logarithm of x > 0, not 1: integer part and fraction are exact for powers of two, which is what `sticky` says. */
export function logarithm(x: Positive): Exact {
  let k = topOf(x);
  const p = GUARD + 80;
  if (x.m === 1n << BigInt(bitLength(x.m) - 1)) return { sign: k < 0, m: BigInt(Math.abs(k)), e: 0, sticky: false };
  let f = fixed(x.m, x.e - k, p); // in [1, 2)
  const one = 1n << BigInt(p);
  if (f > one + (one >> 1n)) {
    f >>= 1n;
    k++;
  }
  return exactOf((BigInt(k) << BigInt(p)) + logOfRatio(f - one, f + one, p), p);
}
/** log2 of (1 + z) / (1 - z) with z = n / d: 2 atanh(z) / ln 2. */
function logOfRatio(n: bigint, d: bigint, p: number): bigint {
  const z = (n << BigInt(p)) / d;
  return ((2n * oddSeries(z, p, false)) << BigInt(p)) / ln2(p);
}
/** log2(1 + x) for a small x, |x| < 1 and not zero. */
export function logarithmPlusOne(x: Positive, negative: boolean): Exact {
  if (topOf(x) < TINY) return { sign: negative, m: (x.m << BigInt(2 * GUARD)) / ln2(GUARD), e: x.e - GUARD, sticky: true };
  const p = GUARD + 16 + Math.max(0, -topOf(x));
  const v = (negative ? -1n : 1n) * fixed(x.m, x.e, p);
  return exactOf(logOfRatio(v, (2n << BigInt(p)) + v, p), p);
}
/** A product of an exact value and a finite one. */
export const times = (a: Exact, b: Positive & { sign: boolean }): Exact => ({ sign: a.sign !== b.sign, m: a.m * b.m, e: a.e + b.e, sticky: a.sticky });
