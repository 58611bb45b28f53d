/**
 * `span` of the timing core: data accesses to every line that some bytes lie in, a page at a time.
 *
 * Each page is looked up in the TLBs once, and its lines are a run: what they have in common is worked out in front of the loop, events
 * are counted in a local, and the prefetcher's stream is followed instead of looked for. The tables are left as by as many calls of `data`.
 */

import { FunctionEmitter } from '../wasm/function.js';
import type { ModuleBuilder } from '../wasm/module.js';
import { I32, I64 } from '../wasm/opcodes.js';
import { MissEmitter, RUN_LINES, cacheSet, type Run } from './emit-miss.js';
import { currentBlock, exposed, memoryCycles } from './emit-pieces.js';
import { touch } from './emit-sets.js';
import { counterOffset, type Counter, type TimingLayout } from './layout.js';
import type { TimingProfile } from './profile.js';

/** Where the events of a run are counted: eight bits each of one local, as a run has fewer than 256 lines. */
const L1_MISS = 1, L2_MISS = 1 << 8, STREAM = 1 << 16, MEMORY = 1 << 24;

/**
 * Emits span(address, linear, bytes, flags); address and linear address are in the same place of their pages.
 * @param translate emits: adds to a local what translating the linear address in local 1 takes, and sets another one to whether its page
 *     is the first of its TLB set then, so that the rest of its lines takes nothing
 */
export function addSpan(module: ModuleBuilder, p: TimingProfile, l: TimingLayout, translate: (f: FunctionEmitter, block: number, cycles: number, translated: number) => void): void {
  const run = emitRun(module, p, l), { l1d } = l;
  const f = new FunctionEmitter([I32, I64, I32, I32]), block = currentBlock(f);
  const lines = f.local(I32), line = f.local(I32), n = f.local(I32), set = f.local(I32), cycles = f.local(I32), translated = f.local(I32);
  f.get(0).i32(63).op('i32.and').get(2).op('i32.add').i32(63).op('i32.add').i32(6).op('i32.shr_u').set(lines);
  f.get(0).i32(6).op('i32.shr_u').set(line).loop();
  translate(f, block, cycles, translated);
  // What cannot be translated is walked for again at each line.
  f.i32(RUN_LINES).get(line).i32(RUN_LINES - 1).op('i32.and').op('i32.sub').tee(n).get(lines).get(n).get(lines).op('i32.lt_u').op('select').i32(1).get(translated).op('select').set(n);
  f.get(lines).get(n).op('i32.sub').set(lines);
  f.get(1).i64(-64n).op('i64.and').get(n).i32(6).op('i32.shl').op('i64.extend_i32_u').op('i64.add').set(1);
  // Lines that are the first of their sets change nothing.
  f.block().loop();
  f.get(line);
  cacheSet(f, l1d, block);
  f.tee(set).mem('i32.load', 0).get(line).op('i32.ne').if();
  f.get(line).get(n).get(3).call(run).get(cycles).op('i32.add').set(cycles);
  f.get(line).get(n).op('i32.add').set(line).br(2).end();
  f.get(line).i32(1).op('i32.add').set(line).get(n).i32(1).op('i32.sub').tee(n).brIf(0).end().end();
  f.get(lines).brIf(0).end().get(cycles);
  module.add(f, [I32], 'span');
}

/** run(line, lines, flags) -> extra cycles: at least one line, at most RUN_LINES, none of them behind a line whose number RUN_LINES divides. */
function emitRun(module: ModuleBuilder, p: TimingProfile, l: TimingLayout): number {
  const { l1d } = l, fig = p.figures;
  const f = new FunctionEmitter([I32, I32, I32]), block = currentBlock(f);
  const line = 0, end = 1, flags = 2;
  const set = f.local(I32), victim = f.local(I32), events = f.local(I32), follow: Run = { expected: f.local(I32), entry: f.local(I32) };
  const misses = new MissEmitter(p, l);
  // The sets of a run lie one behind the other if there are so many.
  const inRow = l1d.sets % RUN_LINES === 0;
  const findSet = (): void => {
    f.get(line);
    cacheSet(f, l1d, block);
    f.set(set);
  };
  f.get(line).get(end).op('i32.add').set(end);
  if (inRow) findSet();
  f.loop();
  if (!inRow) findSet();
  f.get(set).mem('i32.load', 0).get(line).op('i32.ne').if();
  const event = (e: number) => (): void => void f.get(events).i32(e).op('i32.add').set(events);
  touch(f, l1d.ways, set, line, victim, () => {
    misses.inline(f, block, line, victim, {
      second: event(L1_MISS), stream: event(L1_MISS + L2_MISS + STREAM), third: event(L1_MISS + L2_MISS), memory: event(L1_MISS + L2_MISS + MEMORY),
    }, follow);
  }, 'in order');
  f.end();
  if (inRow) f.get(set).i32(l1d.ways * 4).op('i32.add').set(set);
  f.get(line).i32(1).op('i32.add').tee(line).get(end).op('i32.ne').brIf(0).end();
  misses.leaveStream(f, follow);
  f.get(events).op('i32.eqz').if().i32(0).op('return').end();

  const events8 = (e: number): void => void f.get(events).i32(Math.log2(e)).op('i32.shr_u').i32(0xff).op('i32.and');
  const counted: readonly (readonly [Counter, number])[] = [['l1dMisses', L1_MISS], ['l2Misses', L2_MISS], ['streamHits', STREAM], ['memoryAccesses', MEMORY]];
  const number = new Map(counted.map(([c, e]) => {
    const n = f.local(I32), o = counterOffset(c);
    events8(e);
    f.set(n).get(block).get(block).mem('i64.load', o).get(n).op('i64.extend_i32_u').op('i64.add').mem('i64.store', o);
    return [e, n] as const;
  }));
  const times = (e: number): FunctionEmitter => f.get(number.get(e)!);
  times(L1_MISS).get(number.get(L2_MISS)!).op('i32.sub');
  exposed(f, p, fig['cache.l2.latency'], flags);
  f.op('i32.mul');
  times(STREAM).i32(fig['memory.stream_line']).op('i32.mul').op('i32.add');
  times(L2_MISS).get(number.get(STREAM)!).op('i32.sub').get(number.get(MEMORY)!).op('i32.sub');
  exposed(f, p, fig['cache.l3.latency'], flags);
  f.op('i32.mul').op('i32.add');
  times(MEMORY);
  exposed(f, p, memoryCycles(p), flags);
  f.op('i32.mul').op('i32.add');
  return module.add(f, [I32]);
}
