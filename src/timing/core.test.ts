import { readFileSync } from 'node:fs';
import { beforeEach, describe, expect, it } from 'vitest';
import { LinearMemory } from '../mem/linear-memory.js';
import { RAM_BASE } from '../mem/layout.js';
import { PhysicalMemory } from '../mem/physical.js';
import { Mmu } from '../mmu/mmu.js';
import { TimingCore } from './core.js';
import { ACCESS_DEPENDENT, BRANCH_ALWAYS, BRANCH_NOT_TAKEN, BRANCH_TAKEN, HINT_CALL, HINT_RETURN } from './emit.js';
import { readTimingProfile, type FigurePath, type TimingProfile } from './profile.js';

const m = new LinearMemory(64 << 20);
const phys = new PhysicalMemory(m);

const load = (name: string, change: Partial<Record<FigurePath, number>> = {}): TimingProfile => {
  const p = readTimingProfile(JSON.parse(readFileSync(`profiles/${name}.json`, 'utf8')));
  return { ...p, figures: { ...p.figures, ...change } };
};
const NONE = { fieldsLoaded: 0, fieldsSaved: 0, segmentsLoaded: 0, checks: 0, msrsLoaded: 0, msrsSaved: 0, tlbFlushed: false, injected: false };
const core = (p: TimingProfile): TimingCore => new TimingCore(m, phys, p, 1, { entry: NONE, exit: NONE });

/** Small deterministic random numbers. */
let seed = 1;
const random = (n: number): number => {
  seed ^= seed << 13;
  seed ^= seed >>> 17;
  seed ^= seed << 5;
  return (seed >>> 0) % n;
};
beforeEach(() => void (seed = 1));

/** Average extra cycles of dependent loads over `bytes` of memory, 64 bytes apart in shuffled order, once warm. */
function chase(t: TimingCore, bytes: number): number {
  const lines = Array.from({ length: bytes / 64 }, (_, i) => i);
  for (let i = lines.length - 1; i > 0; i--) {
    const j = random(i + 1);
    [lines[i], lines[j]] = [lines[j]!, lines[i]!];
  }
  let cycles = 0;
  for (let pass = 0; pass < 3; pass++) {
    cycles = 0;
    for (const l of lines) cycles += t.functions.data(RAM_BASE + l * 64, BigInt(l * 64), ACCESS_DEPENDENT);
  }
  return cycles / lines.length;
}

// One address space without page tables: walks cost nothing, so that caches alone are seen. The second-level TLB's latency is set to 0.
describe.each(['nehalem-2008', 'barcelona-2007'])('%s: a pointer chase shows the latency of each level', (name) => {
  const p = load(name, { 'tlb.l2.latency': 0 }), f = p.figures;
  const memory = Math.round((f['memory.latency'] * f['frequency_hz']) / 1e9);
  it.each([
    ['first', f['cache.l1d.size'] / 2, f['cache.l1d.latency']],
    ['second', f['cache.l2.size'] - f['cache.l1d.size'], f['cache.l2.latency']],
    ['third', f['cache.l3.size'] / 2, f['cache.l3.latency']],
    ['memory', f['cache.l3.size'] * 4, memory],
  ])('%s level', (level, bytes, latency) => {
    const measured = chase(core(p), bytes) + f['cache.l1d.latency'];
    // Near a level's size some lines hit the level before, as on the machine.
    expect(measured).toBeLessThanOrEqual(latency + 0.01);
    expect(measured).toBeGreaterThan(latency * (level === 'second' || level === 'third' ? 0.75 : 0.95));
  });
});

it('hits and misses as a plain LRU model of the caches does', () => {
  const p = load('nehalem-2008', { 'prefetch.streams': 1, 'tlb.l2.latency': 0, 'cache.l3.size': 1 << 20 }), f = p.figures, t = core(p);
  const level = (size: number, ways: number): ((line: number) => boolean) => {
    const sets = Array.from({ length: size / 64 / ways }, () => [] as number[]);
    return (line) => {
      const s = sets[line % sets.length]!, at = s.indexOf(line);
      if (at >= 0) s.splice(at, 1);
      s.unshift(line);
      s.length = Math.min(s.length, ways);
      return at >= 0;
    };
  };
  const l1 = level(f['cache.l1d.size'], 8), l2 = level(f['cache.l2.size'], 8), l3 = level(1 << 20, 16);
  let next = -1, wrong = 0;
  for (let i = 0; i < 200_000; i++) {
    const address = RAM_BASE + (random(10) < 7 ? random(1 << 15) : random(1 << 22)), line = address >>> 6;
    let expected = 0;
    if (!l1(line)) {
      if (l2(line)) expected = f['cache.l2.latency'] - 4;
      else {
        const hit = l3(line);
        if (line === next) expected = f['memory.stream_line'];
        else expected = (hit ? f['cache.l3.latency'] : 179) - 4;
        next = line + 1;
      }
    }
    if (t.functions.data(address, 0n, ACCESS_DEPENDENT) !== expected) wrong++;
  }
  expect(wrong).toBe(0);
  expect(t.counters(0).l1dMisses).toBeGreaterThan(50_000);
});

it('a linear pass over memory is carried by the prefetcher', () => {
  const p = load('nehalem-2008', { 'tlb.l2.latency': 0 }), t = core(p);
  let cycles = 0;
  for (let a = 0; a < 1 << 20; a += 64) cycles += t.functions.data(RAM_BASE + a, BigInt(a), 0);
  expect(cycles / (1 << 14)).toBeCloseTo(p.figures['memory.stream_line'], 0);
});

it('the window hides what nothing waits for; stores are hidden longer', () => {
  const t = core(load('nehalem-2008', { 'tlb.l2.latency': 0 }));
  const miss = (flags: number, at: number): number => t.functions.data(RAM_BASE + at, 0n, flags);
  expect([miss(ACCESS_DEPENDENT, 0x10000), miss(0, 0x20000), miss(1, 0x30000)]).toEqual([175, 175 - 32, 175 - 32 - 32]);
});

describe('modelled TLBs', () => {
  const PML4 = 0x10_0000, put = (hpa: number, v: number): void => void (m.u64[phys.address(hpa) >>> 3] = BigInt(v));
  /** Maps linear 0 to 16 MByte one to one with 4-KByte pages; 16 to 18 MByte with one large page. */
  function paged(t: TimingCore): Mmu {
    put(PML4, 0x10_1027);
    put(0x10_1000, 0x10_2027);
    for (let d = 0; d < 8; d++) {
      put(0x10_2000 + 8 * d, (0x10_3000 + d * 0x1000) | 0x27);
      for (let i = 0; i < 512; i++) put(0x10_3000 + d * 0x1000 + 8 * i, (d * 0x20_0000 + i * 0x1000) | 0x67);
    }
    put(0x10_2040, 0x100_00e7);
    const mmu = new Mmu(m, phys, { physicalAddressBits: 40, gigabytePages: false, pdpteRegisters: 0x40_0000 });
    mmu.setContext({ paging: '4-level', cr3Lo: PML4, cr3Hi: 0, wp: true, pse: true, pge: true, smep: false, smap: false, ac: false, nx: true, nested: null });
    t.attach(0, { mmu, isUser: () => false });
    return mmu;
  }
  const touch = (t: TimingCore, page: number): number => t.functions.data(RAM_BASE, BigInt(page) << 12n, 0);

  it('64 pages fit the first level, 512 the second, more walk', () => {
    const t = core(load('nehalem-2008'));
    paged(t);
    const pass = (n: number): void => void Array.from({ length: n }, (_, i) => touch(t, i));
    const during = (n: number): { misses: number; walks: number } => {
      pass(n);
      const before = t.counters(0);
      pass(n);
      const after = t.counters(0);
      return { misses: after.dtlbMisses - before.dtlbMisses, walks: after.walks - before.walks };
    };
    expect(during(64)).toEqual({ misses: 0, walks: 0 });
    expect(during(512)).toEqual({ misses: 512, walks: 0 });
    expect(during(2048)).toEqual({ misses: 2048, walks: 2048 });
  });

  it('a walk is charged by the references it makes, upper entries from the walk cache', () => {
    const t = core(load('nehalem-2008'));
    paged(t);
    const memory = 179;
    expect(touch(t, 1)).toBe(4 * memory + (179 - 4 - 32)); // all four entries from memory, and the line itself
    expect(touch(t, 2)).toBe(3 * 2 + 4); // three from the walk cache, the last in the line that entry 1 brought in
  });

  it('large pages have their own entries', () => {
    const t = core(load('nehalem-2008'));
    paged(t);
    for (let i = 0; i < 512; i++) touch(t, 4096 + i);
    expect(t.counters(0).walks).toBe(1);
  });

  it('spaces are told apart; flushing a page or a space takes just that', () => {
    const t = core(load('nehalem-2008'));
    paged(t);
    const walks = (page: number): number => {
      const before = t.counters(0).walks;
      touch(t, page);
      return t.counters(0).walks - before;
    };
    const seen: number[] = [walks(1), walks(2), walks(1)];
    t.select(0, 7, 0);
    seen.push(walks(1));
    t.select(0, 0, 0);
    seen.push(walks(1));
    t.flush('page', 0, 0x1000n);
    seen.push(walks(1), walks(2));
    t.flush('context', 0);
    seen.push(walks(2));
    t.select(0, 7, 0);
    seen.push(walks(1));
    expect(seen).toEqual([1, 1, 0, 1, 0, 1, 0, 1, 0]);
  });
});

describe('branch prediction', () => {
  it('learns a loop of six passes and pays for what is random', () => {
    const t = core(load('nehalem-2008')), cost = t.profile.figures['core.mispredict'];
    const run = (outcome: (i: number) => number, n: number): number => {
      let cycles = 0;
      for (let i = 0; i < n; i++) cycles += t.functions.branch(0x80_0040, outcome(i) !== 0 ? BRANCH_TAKEN : BRANCH_NOT_TAKEN, 0, 0);
      return cycles / cost;
    };
    run((i) => (i % 6 === 5 ? 0 : 1), 2000);
    expect(run((i) => ((i + 2000) % 6 === 5 ? 0 : 1), 600)).toBe(0);
    const wrong = run(() => random(2), 10_000);
    expect(wrong).toBeGreaterThan(4000);
    expect(wrong).toBeLessThan(6000);
  });

  it('returns follow their calls', () => {
    const t = core(load('nehalem-2008'));
    const call = (from: number): number => t.functions.branch(from, BRANCH_ALWAYS, from + 5, HINT_CALL);
    const ret = (to: number): number => t.functions.jump(0x900, to, 0, HINT_RETURN);
    for (const nest of [1, 5, 15]) {
      for (let i = 0; i < nest; i++) expect(call(0x1000 + 64 * i)).toBe(0);
      for (let i = nest - 1; i >= 0; i--) expect(ret(0x1005 + 64 * i)).toBe(0);
    }
    call(0x1000);
    expect(ret(0x7777)).toBe(17);
  });

  it('an indirect jump is predicted by the path to it', () => {
    const t = core(load('nehalem-2008'));
    let wrong = 0;
    for (let i = 0; i < 400; i++) if (t.functions.jump(0x2000, 0x3000 + 0x100 * (i % 4), 0, 0) !== 0 && i >= 200) wrong++;
    expect(wrong).toBe(0);
  });
});

describe.each([['nehalem-2008', 1009], ['barcelona-2007', 1360]] as const)('%s: transitions', (name, roundTrip) => {
  const p = load(name);
  const entry = { ...NONE, fieldsLoaded: 40, fieldsSaved: 10, segmentsLoaded: 4, checks: 60 };
  const exit = { ...NONE, fieldsLoaded: 20, fieldsSaved: 45, segmentsLoaded: 4 };
  const t = new TimingCore(m, phys, p, 1, { entry, exit });
  it('the minimal round trip is the published one', () => {
    expect(t.transition('vm-entry', entry) + t.transition('vm-exit', exit)).toBe(roundTrip);
  });
  it('more work costs more, part by part', () => {
    const more = t.transition('vm-entry', { ...entry, msrsLoaded: 3, injected: true, tlbFlushed: true });
    expect(more - t.transition('vm-entry', entry)).toBe(3 * 60 + 60 + 80);
  });
  it('a profile whose parts exceed its round trip is refused', () => {
    expect(() => new TimingCore(m, phys, p, 1, { entry: { ...entry, checks: 1000 }, exit })).toThrow(/"transition.entry" \(\d+\) is less than the parts/);
  });
});

it('device accesses take bus time, the local APIC does not', () => {
  const t = core(load('nehalem-2008'));
  expect(t.device('port-read', 0x80)).toBe(Math.round(844 * 2.67));
  expect(t.device('mmio-read', 0xfee0_00b0)).toBe(40);
});
