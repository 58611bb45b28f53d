/** TypeScript helpers by number: what emitted code passes to the `helper` import. */

import type { InsnHelper } from '../insn.js';

const list: InsnHelper[] = [];
const ids = new Map<InsnHelper, number>();

/** The helper's number; the same function always has the same. */
export function helperId(fn: InsnHelper): number {
  let id = ids.get(fn);
  if (id === undefined) ids.set(fn, (id = list.push(fn) - 1));
  return id;
}
export const helperById = (id: number): InsnHelper => list[id]!;
