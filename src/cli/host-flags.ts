/**
 * What the host is asked for before it compiles anything: V8 reads the branch hints of WebAssembly modules (Branch Hinting proposal) only
 * if it is told to. Compiled code in cycle mode runs some 5 % faster with them.
 */

import { setFlagsFromString } from 'node:v8';

/** Releases of Node.js whose V8 knows the flag; to a V8 that does not, setting it is an error on standard error. */
const FIRST = 20, LAST = 24;

/** For the whole process, its worker threads included. */
export function useBranchHints(): void {
  const release = Number(process.versions.node.split('.')[0]);
  if (release >= FIRST && release <= LAST) setFlagsFromString('--experimental-wasm-branch-hinting');
}
