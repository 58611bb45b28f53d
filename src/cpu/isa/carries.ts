/**
 * Carry vectors: what `Builder.setArithmeticFlags` wants beside a result. Bit i is the carry (or borrow) out of bit i.
 *
 * They hold for any carry or borrow into bit 0, because that one is already in the result.
 * SDM 1 §3.4.3.1 "Status Flags".
 */

import type { Builder, Val } from '../builder.js';

/** Carries of `sum` = x + y (+ carry). */
export const addCarries = (s: Builder, x: Val, y: Val, sum: Val): Val =>
  s.or(s.and(x, y), s.and(s.or(x, y), s.not(sum)));

/** Borrows of `difference` = x - y (- borrow). */
export const subBorrows = (s: Builder, x: Val, y: Val, difference: Val): Val =>
  s.or(s.and(s.not(x), y), s.and(s.or(s.not(x), y), difference));
