/**
 * The jump cache: where jumps that are not linked have gone last. `dispatch` and the indirect jumps of compiled regions look here before
 * the tables of decoded code are gone through.
 *
 * An entry names the decoded instruction at a linear address of a host-physical page:
 *
 *     +0   i64  linear address, with the code size in its upper bits where that is not 64; -1: none
 *     +8   u32  host-physical page
 *     +12  u32  record
 *     +16  u32  page structure
 *
 * It serves when the software TLB that is in use has the page for execution and leads to that host-physical page: then `dispatch` would
 * find the same record. So address spaces, remapping and evicted translations need nothing here, nor do breakpoints, stops and
 * regions, which change a record's handler and not its place.
 *
 * Invariant: an entry's structure is in the table of code pages, and has the record at that offset. A page that is dropped and a
 * restored snapshot make the cache empty (`forget`); the record of an offset does not change while its structure lives.
 */

import type { LinearMemory } from '../../mem/linear-memory.js';
import { JUMP_CACHE_BASE, JUMP_CACHE_SIZE } from '../../mem/layout.js';
import type { FunctionEmitter } from '../../wasm/function.js';
import { MODE } from '../state.js';

const ENTRY_SHIFT = 5;
const ENTRIES = JUMP_CACHE_SIZE >>> ENTRY_SHIFT;
/** Addresses of functions have low bits and high bits in common: a product's upper bits depend on all (D. E. Knuth, TAOCP 3, 6.4). */
const FACTOR = 0x9e37_79b1 | 0;
const MODE_SHIFT = 61;

/** Memory offsets of the fields, with an entry's place in the cache as address. */
export const JUMP = { key: JUMP_CACHE_BASE, hpaPage: JUMP_CACHE_BASE + 8, record: JUMP_CACHE_BASE + 12, page: JUMP_CACHE_BASE + 16 } as const;

export class JumpCache {
  constructor(private readonly m: LinearMemory) {
    this.forget();
  }
  /** Code was dropped, or all memory is another now. */
  forget(): void {
    this.m.u8.fill(0xff, JUMP_CACHE_BASE, JUMP_CACHE_BASE + JUMP_CACHE_SIZE);
  }
}

/** What an entry's key adds to the linear address: linear addresses outside 64-bit mode have 32 bits, and in it these bits are alike. @param mode MODE */
export const jumpKeyOf = (mode: number): bigint => BigInt(MODE.bits64 - mode) << BigInt(MODE_SHIFT);
/** Adds that to the linear address on the wasm stack, for the mode that runs. @param mode local with S.mode */
export function addJumpKey(f: FunctionEmitter, mode: number): void {
  f.i32(MODE.bits64).get(mode).op('i32.sub').op('i64.extend_i32_u').i64(BigInt(MODE_SHIFT)).op('i64.shl').op('i64.add');
}
/** From the linear address in an i64 local: puts an entry's place in the cache on the wasm stack. */
export function jumpEntry(f: FunctionEmitter, linear: number): void {
  f.get(linear).op('i32.wrap_i64').i32(FACTOR).op('i32.mul').i32(32 - Math.log2(ENTRIES) - ENTRY_SHIFT).op('i32.shr_u').i32((ENTRIES - 1) << ENTRY_SHIFT).op('i32.and');
}
