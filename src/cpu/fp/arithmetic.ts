/**
 * Exact arithmetic on finite values: sums, products, quotients, square roots, comparison, integers.
 *
 * Special values (NaNs, infinities, division by zero) are the callers' affair: SSE and x87 treat them differently.
 */

import { FINITE, INFINITE, ZERO, bitLength, type Unpacked } from './format.js';
import { type Exact, roundUnits, wasInexact } from './round.js';

/** Bits that a quotient or root has: more than any precision needs. */
const ENOUGH = 68;

/** a + b of finite values (zeros too); null when the sum is zero. */
export function sum(a: Unpacked, b: Unpacked): Exact | null {
  const e = a.kind === ZERO ? b.e : b.kind === ZERO ? a.e : Math.min(a.e, b.e);
  const signed = (u: Unpacked): bigint => (u.kind === ZERO ? 0n : (u.sign ? -u.m : u.m) << BigInt(u.e - e));
  const total = signed(a) + signed(b);
  if (total === 0n) return null;
  return { sign: total < 0n, m: total < 0n ? -total : total, e, sticky: false };
}
/** a * b of finite values that are not zero. */
export const product = (a: Unpacked, b: Unpacked): Exact => ({ sign: a.sign !== b.sign, m: a.m * b.m, e: a.e + b.e, sticky: false });
/** a / b of finite values that are not zero. */
export function quotient(a: Unpacked, b: Unpacked): Exact {
  const shift = Math.max(0, ENOUGH + bitLength(b.m) - bitLength(a.m));
  const n = a.m << BigInt(shift);
  const q = n / b.m;
  return { sign: a.sign !== b.sign, m: q, e: a.e - b.e - shift, sticky: q * b.m !== n };
}
/** The integer part of a square root. */
export function isqrt(n: bigint): bigint {
  let x = 1n << BigInt((bitLength(n) + 1) >> 1);
  for (;;) {
    const y = (x + n / x) >> 1n;
    if (y >= x) return x;
    x = y;
  }
}
/** The root of a positive finite value. */
export function root(a: Unpacked): Exact {
  let shift = Math.max(0, 2 * ENOUGH - bitLength(a.m));
  if ((a.e - shift) & 1) shift++;
  const n = a.m << BigInt(shift);
  const m = isqrt(n);
  return { sign: false, m, e: (a.e - shift) / 2, sticky: m * m !== n };
}

/** Order of two values that are not NaNs: -1, 0, 1. */
export function order(a: Unpacked, b: Unpacked): number {
  const rank = (u: Unpacked): number => (u.kind === ZERO ? 0 : (u.kind === INFINITE ? 2 : 1) * (u.sign ? -1 : 1));
  const ra = rank(a), rb = rank(b);
  if (ra !== rb) return ra < rb ? -1 : 1;
  if (a.kind !== FINITE) return 0;
  const d = sum(a, { ...b, sign: !b.sign });
  return d === null ? 0 : d.sign ? -1 : 1;
}

/** A finite value as an integer; `inexact` says that it was rounded. */
export function toInteger(u: Unpacked, rounding: number): { value: bigint; inexact: boolean } {
  if (u.kind === ZERO) return { value: 0n, inexact: false };
  const q = roundUnits({ sign: u.sign, m: u.m, e: u.e, sticky: false }, 0, rounding);
  return { value: u.sign ? -q : q, inexact: wasInexact() };
}
/** An integer as an exact value; null for zero. */
export const fromInteger = (v: bigint): Exact | null => (v === 0n ? null : { sign: v < 0n, m: v < 0n ? -v : v, e: 0, sticky: false });
