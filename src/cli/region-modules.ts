/**
 * Modules of compiled regions, as V8 should treat them: it optimises a function of WebAssembly, on another thread, when that has run for a
 * number of bytes (`--wasm-tiering-budget`) that does not depend on how long optimising takes. That suits an interpreter's short
 * handlers. A region of 10 KB takes some 15 ms, and would begin to after 12,000 guest instructions, which are 0.2 ms. So a region's
 * budget is in proportion to its length. V8 reads the budget when it makes a module.
 */

import { setFlagsFromString } from 'node:v8';

/** V8's budget, in the versions that this is known of; elsewhere nothing is changed. */
const USUAL = process.versions.v8.startsWith('11.') ? 1_800_000 : undefined;
/** Budget for each byte of a region's module. */
const FOR_A_BYTE = 20_000;

const given = [...process.execArgv, process.env['NODE_OPTIONS'] ?? ''].some((a) => a.includes('wasm'));

export function makingRegion<T>(bytes: number, make: () => T): T {
  if (USUAL === undefined || given) return make();
  setFlagsFromString(`--wasm-tiering-budget=${Math.max(USUAL, FOR_A_BYTE * bytes)}`);
  try {
    return make();
  } finally {
    setFlagsFromString(`--wasm-tiering-budget=${USUAL}`);
  }
}
