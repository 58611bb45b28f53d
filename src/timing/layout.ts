/**
 * Where the timing core keeps its tables: one block for each vCPU and the shared third-level cache, from TIMING_BASE on.
 *
 *     TIMING_BASE  +0  address of the running vCPU's block     (64 bytes)
 *                  third-level cache: one u32 line number a way, most recently used first in each set
 *                  blocks: fields, L1I, L1D, L2 (u32 line numbers); ITLB, DTLB, large-page TLB, second-level TLB (u64 keys);
 *                  walk cache (u32), prefetch streams (u32), direction counters (u8), targets (u32), return stack (u32)
 *
 * A cache holds linear-memory line numbers (address / 64), which are never 0; a TLB key is bits 47:12 (or 47:21) of the linear
 * address with the address space's number in bits 11:0. 0 means empty in both. Every set is ordered by recency (true LRU).
 */

import { TIMING_BASE, TIMING_SIZE } from '../mem/layout.js';
import type { TimingProfile } from './profile.js';

export const CURRENT_BLOCK = TIMING_BASE;
const SHARED = TIMING_BASE + 64;

/** A set-associative table: offset in the block (or address, for the shared one), sets, ways. */
export interface Table {
  readonly at: number;
  readonly sets: number;
  readonly ways: number;
}

/** Fields at the start of a block. */
export const F = {
  tag: 0, // i64: number of the address space in bits 11:0
  lastLine: 8, // u32: line fetched last
  history: 12, // u32: outcomes of conditional branches
  path: 16, // u32: hash of recent indirect targets and calls
  returnTop: 20, // u32
  nextStream: 24, // u32
} as const;

/** Event counters, i64 each, after the fields. */
export const COUNTERS = [
  'l1dMisses', 'l1iMisses', 'l2Misses', 'memoryAccesses', 'streamHits', 'dtlbMisses', 'itlbMisses', 'walks', 'walkCycles', 'mispredicts',
] as const;
export type Counter = (typeof COUNTERS)[number];
const COUNTERS_AT = 32;
export const counterOffset = (c: Counter): number => COUNTERS_AT + 8 * COUNTERS.indexOf(c);

export interface TimingLayout {
  readonly l1i: Table;
  readonly l1d: Table;
  readonly l2: Table;
  /** Shared: `at` is an address. `sets` is 0 when the processor has none. */
  readonly l3: Table;
  readonly itlb: Table;
  readonly dtlb: Table;
  readonly large: Table;
  readonly tlb2: Table;
  readonly walkCache: Table;
  readonly streams: Table;
  readonly counters: number;
  readonly targets: number;
  readonly returns: number;
  readonly blockBytes: number;
  /** Address of vCPU `id`'s block. */
  block(id: number): number;
}

/** Throws RangeError when the vCPUs' blocks do not fit. @param cpus number of vCPUs */
export function layOut(p: TimingProfile, cpus: number): TimingLayout {
  const f = p.figures;
  let at = 128 + 8 * COUNTERS.length;
  const place = (bytes: number): number => {
    const here = at;
    at += (bytes + 63) & -64;
    return here;
  };
  const cache = (size: number, ways: number): Table => ({ at: place((size / 64) * 4), sets: size / 64 / ways, ways });
  const tlb = (entries: number, ways: number): Table => ({ at: place(entries * 8), sets: entries / ways, ways });
  const list = (entries: number): Table => ({ at: place(entries * 4), sets: 1, ways: entries });
  const l3Bytes = (f['cache.l3.size'] / 64) * 4;
  const blocks = SHARED + l3Bytes;
  const layout = {
    l1i: cache(f['cache.l1i.size'], f['cache.l1i.ways']),
    l1d: cache(f['cache.l1d.size'], f['cache.l1d.ways']),
    l2: cache(f['cache.l2.size'], f['cache.l2.ways']),
    l3: { at: SHARED, sets: f['cache.l3.size'] / 64 / f['cache.l3.ways'], ways: f['cache.l3.ways'] },
    itlb: tlb(f['tlb.itlb.entries'], f['tlb.itlb.ways']),
    dtlb: tlb(f['tlb.dtlb.entries'], f['tlb.dtlb.ways']),
    large: tlb(f['tlb.large.entries'], f['tlb.large.ways']),
    tlb2: tlb(f['tlb.l2.entries'], f['tlb.l2.ways']),
    walkCache: list(f['tlb.walk_cache.entries']),
    streams: list(f['prefetch.streams']),
    counters: place(f['predictor.counters']),
    targets: place(f['predictor.targets'] * 4),
    returns: place(f['predictor.returns'] * 4),
  };
  const blockBytes = at;
  if (blocks + cpus * blockBytes > TIMING_BASE + TIMING_SIZE) throw new RangeError(`profile ${p.name}: the timing tables of ${cpus} vCPUs do not fit`);
  return { ...layout, blockBytes, block: (id) => blocks + id * blockBytes };
}
