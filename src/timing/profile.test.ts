import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { readTimingProfile, TimingProfileError } from './profile.js';

const names = ['nehalem-2008', 'barcelona-2007'];
const load = (name: string): Record<string, never> => JSON.parse(readFileSync(`profiles/${name}.json`, 'utf8')) as Record<string, never>;

describe.each(names)('%s', (name) => {
  it('has every figure', () => {
    expect(readTimingProfile(load(name)).name).toBe(name);
  });
  it('cites figures that the documentation has', () => {
    const table = readFileSync('docs/published-figures.md', 'utf8');
    const { cpuid: _, ...timing } = load(name);
    const cited = new Set(JSON.stringify(timing).match(/\b[AC]\d{3}\b/g));
    expect([...cited].filter((id) => !table.includes(`| ${id} |`))).toEqual([]);
    expect(cited.size).toBeGreaterThan(30);
  });
});

/** The message about nehalem-2008 with one figure changed. */
function message(change: (p: any) => void): string {
  const p = load('nehalem-2008');
  change(p);
  try {
    readTimingProfile(p);
  } catch (e) {
    if (e instanceof TimingProfileError) return e.message;
    throw e;
  }
  return 'accepted';
}

it('names the figure that is missing or wrong, in one line', () => {
  expect(message((p) => delete p.cache.l2.latency)).toBe('profile nehalem-2008: figure "cache.l2.latency" is missing');
  expect(message((p) => delete p.tlb)).toBe('profile nehalem-2008: figure "tlb.itlb.entries" is missing');
  expect(message((p) => (p.core.width.value = '4'))).toBe('profile nehalem-2008: figure "core.width" has no number as its "value"');
  expect(message((p) => (p.memory.latency.unit = 'cycles'))).toBe('profile nehalem-2008: figure "memory.latency" is in "cycles", not in "ns"');
  expect(message((p) => delete p.instructions.cpuid.source)).toBe('profile nehalem-2008: figure "instructions.cpuid" has no "source"');
  expect(message((p) => (p.core.width.value = 0))).toMatch('"core.width" is 0, not between 1 and 16');
  expect(message((p) => (p.cache.l1d.ways.value = 7))).toMatch('"cache.l1d.size" (32768) with 7 ways');
});
