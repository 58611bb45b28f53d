/** Lists in running text. Names of bits: control-block/decode.ts. */

export { cr0Bits, cr4Bits, pageFaultBits } from '../control-block/decode.js';

/** `a`, `a and b`, `a, b and c`. */
export const list = (words: readonly string[]): string =>
  words.length < 2 ? (words[0] ?? '') : `${words.slice(0, -1).join(', ')} and ${words[words.length - 1]!}`;
