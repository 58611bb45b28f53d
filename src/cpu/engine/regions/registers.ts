/** Which registers a region holds in locals, and which of them may differ from the state where a block begins. */

import type { LinearMemory } from '../../../mem/linear-memory.js';
import { R } from '../record.js';
import { slotOf } from '../usage.js';
import { type Block, edgesOf } from './region.js';

export interface RegionRegisters {
  /** Registers that the region names (bits of `slotOf`), and those that it may change. */
  readonly used: number;
  readonly written: number;
}

/** Fills `dirty` of the blocks. @param order in reverse postorder */
export function registersOf(m: LinearMemory, order: readonly Block[]): RegionRegisters {
  const { i32 } = m;
  let used = 0, written = 0;
  const changed: number[] = [];
  for (const b of order) {
    let mask = 0;
    for (const { record, info } of b.steps) {
      if (info === undefined) continue;
      const { usage, variant } = info, { operands } = variant.form, at = record >>> 2;
      used |= usage.named;
      mask |= usage.namedWritten;
      const base = slotOf(i32[at + (R.base >>> 2)]!), index = slotOf(i32[at + (R.index >>> 2)]!);
      if (base >= 0) used |= 1 << base;
      if (index >= 0) used |= 1 << index;
      for (let i = 0; i < operands.length && i < 3; i++) {
        const { kind } = operands[i]!;
        const slot = kind === 'reg' || kind === 'rm' ? slotOf(i32[at + (R.op >>> 2) + i]!) : -1;
        if (slot < 0) continue;
        used |= 1 << slot;
        if (usage.written.has(i)) mask |= 1 << slot;
      }
    }
    b.dirty = 0;
    changed.push(mask);
    written |= mask;
  }
  for (let more = true; more; ) {
    more = false;
    for (const b of order) {
      const out = b.dirty | changed[b.order]!;
      for (const { to } of edgesOf(b)) {
        if (to === undefined || (to.dirty | out) === to.dirty) continue;
        to.dirty |= out;
        more = true;
      }
    }
  }
  return { used, written };
}
