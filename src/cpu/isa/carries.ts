/**
 * Carry vectors: what `Builder.setArithmeticFlags` wants beside a result. Bit i is the carry (or borrow) out of bit i.
 *
 * They hold for any carry or borrow into bit 0, because that one is already in the result.
 * SDM 1 §3.4.3.1 "Status Flags".
 */

import type { Builder, Val } from '../builder.js';

/** Carries of `sum` = x + y. */
export const addCarries = (s: Builder, x: Val, y: Val, sum: Val): Val => s.carries('add', x, y, sum);
/** Carries of `sum` = x + y + carry. */
export const adcCarries = (s: Builder, x: Val, y: Val, sum: Val): Val => s.carries('adc', x, y, sum);
/** Borrows of `difference` = x - y. */
export const subBorrows = (s: Builder, x: Val, y: Val, difference: Val): Val => s.carries('sub', x, y, difference);
/** Borrows of `difference` = x - y - borrow. */
export const sbbBorrows = (s: Builder, x: Val, y: Val, difference: Val): Val => s.carries('sbb', x, y, difference);
