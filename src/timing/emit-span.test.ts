import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { randomBits } from '../../test/support/random-bits.js';
import { LinearMemory } from '../mem/linear-memory.js';
import { RAM_BASE } from '../mem/layout.js';
import { PhysicalMemory } from '../mem/physical.js';
import { FAULT, OK } from '../mmu/format.js';
import type { Mmu } from '../mmu/mmu.js';
import { TimingCore } from './core.js';
import { readTimingProfile, type FigurePath } from './profile.js';

const m = new LinearMemory(32 << 20);
const phys = new PhysicalMemory(m);

/** Tables of small and of large pages, and some pages that are not there; walks read memory, too. */
const mmu = {
  tables: { refs: [0, 0], refCount: 2, cacheable: [1, 0] },
  tlbPageShift: 12,
  translate(_hi: number, lo: number): number {
    const page = lo >>> 12;
    this.tables.refs = [0x10_0000 + (page >>> 9) * 8, 0x20_0000 + page * 8];
    this.tlbPageShift = (page >>> 9) % 3 === 1 ? 21 : 12;
    return page % 37 === 5 ? FAULT : OK;
  },
};

type Span = (t: TimingCore, at: number, bytes: number, flags: number) => number;
const inOneCall: Span = (t, at, bytes, flags) => t.functions.span(RAM_BASE + at, BigInt(at), bytes, flags);
const lineByLine: Span = (t, at, bytes, flags) => {
  let cycles = 0;
  for (let line = at & -64; line < at + bytes; line += 64) cycles += t.functions.data(RAM_BASE + line, BigInt(line), flags);
  return cycles;
};

/** What 3,000 operations take, and what they leave: spans short and long, two strings in step, single accesses and fetches between them. */
function run(name: string, change: Partial<Record<FigurePath, number>>, span: Span): { cycles: number; counters: object; tables: Uint8Array } {
  const p = readTimingProfile(JSON.parse(readFileSync(`profiles/${name}.json`, 'utf8')));
  const t = new TimingCore(m, phys, { ...p, figures: { ...p.figures, ...change } }, 1, null);
  t.attach(0, { mmu: mmu as unknown as Mmu, isUser: () => false });
  const { random } = randomBits(1);
  let cycles = 0, within = 1 << 20, step = 0;
  const places = Array.from({ length: 8 }, () => random(within));
  for (let i = 0; i < 3000; i++) {
    // Half of them near a few places: lines that were given up come back while streams still expect them, and code is data, too.
    const kind = random(8), at = random(2) === 0 ? random(within) : places[random(8)]! + 64 * random(64);
    if (kind === 0 && random(4) === 0) within = 1 << (13 + random(12));
    else if (kind === 0) places[random(8)] = random(within);
    else if (kind < 3) cycles += span(t, at, 1 + random(200), random(4));
    else if (kind < 5) cycles += span(t, at, 1 + random(9000), random(4));
    else if (kind < 6) cycles += t.functions.data(RAM_BASE + at, BigInt(at), random(4));
    else if (kind < 7) for (let line = 0; line < 40; line++) cycles += t.functions.fetch(RAM_BASE + at + 64 * line, BigInt(at + 64 * line));
    else {
      cycles += span(t, step, 4096, 0) + span(t, (1 << 20) + step, 4096, 1);
      step = (step + 4096) % (1 << 20);
    }
  }
  return { cycles, counters: t.counters(0), tables: m.u8.slice(t.tables.from, t.tables.to) };
}

describe('a span is priced, counted and remembered like its lines one by one', () => {
  it.each<[string, string, Partial<Record<FigurePath, number>>]>([
    ['inclusive levels', 'nehalem-2008', {}],
    ['inclusive and small, so that each level gives lines up', 'nehalem-2008', { 'cache.l2.size': 1 << 16, 'cache.l3.size': 1 << 18 }],
    ['exclusive levels', 'barcelona-2007', {}],
    ['exclusive and small', 'barcelona-2007', { 'cache.l1d.size': 8192, 'cache.l1i.size': 8192, 'cache.l2.size': 1 << 16, 'cache.l3.size': 1 << 18 }],
    ['exclusive, fewer sets than a page has lines, the second level with more sets than the first', 'barcelona-2007', { 'cache.l1d.size': 4096, 'cache.l1i.size': 4096, 'cache.l3.size': 1 << 19 }],
    ['an exclusive third level behind an inclusive second one', 'nehalem-2008', { 'cache.l3.exclusive': 1, 'cache.l3.size': 1 << 19 }],
    ['no third level; sets and streams that are not moved as vectors', 'nehalem-2008', { 'cache.l3.size': 0, 'cache.l2.ways': 2, 'prefetch.streams': 3 }],
  ])('%s', (_, name, change) => {
    const spans = run(name, change, inOneCall), lines = run(name, change, lineByLine);
    expect(spans.cycles).toBe(lines.cycles);
    expect(spans.counters).toEqual(lines.counters);
    expect(Buffer.compare(spans.tables, lines.tables)).toBe(0);
  });
});
