/** Pieces of the timing core's emitted functions: where the running vCPU's block is, and its counters. */

import type { FunctionEmitter } from '../wasm/function.js';
import { I32 } from '../wasm/opcodes.js';
import { CURRENT_BLOCK, counterOffset, type Counter } from './layout.js';

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
