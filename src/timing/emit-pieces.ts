/** Pieces of the timing core's emitted functions: where the running vCPU's block is, its counters, and what of a miss is exposed. */

import type { FunctionEmitter } from '../wasm/function.js';
import { I32 } from '../wasm/opcodes.js';
import { ACCESS_DEPENDENT, ACCESS_WRITE } from './emit-constants.js';
import { CURRENT_BLOCK, counterOffset, type Counter } from './layout.js';
import type { TimingProfile } from './profile.js';

/** A new local with the address of the running vCPU's block. */
export function currentBlock(f: FunctionEmitter): number {
  const block = f.local(I32);
  f.i32(CURRENT_BLOCK).mem('i32.load', 0).set(block);
  return block;
}
/** Counts an event. @param block local */
export function count(f: FunctionEmitter, block: number, c: Counter): void {
  const o = counterOffset(c);
  f.get(block).get(block).mem('i64.load', o).i64(1n).op('i64.add').mem('i64.store', o);
}

/** Memory latency in cycles. */
export const memoryCycles = (p: TimingProfile): number => Math.round((p.figures['memory.latency'] * p.figures['frequency_hz']) / 1e9);

/**
 * Cycles of a miss that the core hides when nothing waits for the data: a load as long as the window takes to fill, a store longer
 * by the store queue, a cycle an entry.
 */
export function hiddenCycles(p: TimingProfile, write: boolean): number {
  const window = Math.floor(p.figures['core.window'] / p.figures['core.width']);
  return write ? window + p.figures['core.store_queue'] : window;
}

/** Pushes the cycles of a data access that has `latency`, of which some are hidden unless it depends on a load. @param flags local */
export function exposed(f: FunctionEmitter, p: TimingProfile, latency: number, flags: number): void {
  const over = latency - p.figures['cache.l1d.latency'], cycles = (hidden: number): number => Math.max(0, over - hidden);
  f.i32(cycles(0)).i32(cycles(hiddenCycles(p, true))).i32(cycles(hiddenCycles(p, false))).get(flags).i32(ACCESS_WRITE).op('i32.and').op('select');
  f.get(flags).i32(ACCESS_DEPENDENT).op('i32.and').op('select');
}
