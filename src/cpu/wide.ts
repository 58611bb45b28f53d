/**
 * 64-bit values as halves, and back, without what V8 does for BigInt arithmetic: a call and an object for each step. Two views of
 * eight bytes are all it takes; views of typed arrays are compiled to loads and stores.
 *
 * Invariant: nothing stays in them from one call to the next.
 */

const WIDE = new BigUint64Array(1), HALVES = new Uint32Array(WIDE.buffer);

/** Bits 31:0, unsigned. */
export function low32(v: bigint): number {
  WIDE[0] = v;
  return HALVES[0]!;
}
/** Bits 63:32, unsigned. */
export function high32(v: bigint): number {
  WIDE[0] = v;
  return HALVES[1]!;
}
/** The value whose halves these are; only their 32 bits count. */
export function wide(low: number, high: number): bigint {
  HALVES[0] = low;
  HALVES[1] = high;
  return WIDE[0]!;
}
/** The low `width` bits. With a width that is not a constant `BigInt.asUintN` is a call into the runtime. @param width 8, 16, 32 or 64 */
export const cut = (width: number, v: bigint): bigint =>
  width === 64 ? BigInt.asUintN(64, v) : width === 32 ? BigInt.asUintN(32, v) : width === 16 ? BigInt.asUintN(16, v) : BigInt.asUintN(8, v);
