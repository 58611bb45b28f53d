/** Seeded numbers for tests that try many operands. */

export interface RandomBits {
  /** Set to what it was before, the same numbers come again. */
  seed: number;
  /** A whole number from 0 to `below` - 1. */
  readonly random: (below: number) => number;
  /** `n` random bits. */
  readonly bits: (n: number) => bigint;
}
export function randomBits(seed: number): RandomBits {
  const numbers: RandomBits = {
    seed,
    random: (below) => {
      numbers.seed = (Math.imul(numbers.seed, 1664525) + 1013904223) >>> 0;
      return Math.floor((numbers.seed / 2 ** 32) * below);
    },
    bits: (n) => {
      let v = 0n;
      for (let i = 0; i < n; i += 16) v = (v << 16n) | BigInt(numbers.random(65536));
      return BigInt.asUintN(n, v);
    },
  };
  return numbers;
}
