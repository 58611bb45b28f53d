/**
 * `span` of the timing core: data accesses to every line that some bytes lie in, a page at a time.
 *
 * Each page is looked up in the TLBs once, and its lines are a run (emit-run.ts). The tables are left as by as many calls of `data`.
 */

import { FunctionEmitter } from '../wasm/function.js';
import type { ModuleBuilder } from '../wasm/module.js';
import { I32, I64 } from '../wasm/opcodes.js';
import { RUN_LINES, cacheSet } from './emit-miss.js';
import { currentBlock } from './emit-pieces.js';
import { addRun } from './emit-run.js';
import type { TimingLayout } from './layout.js';
import type { TimingProfile } from './profile.js';

/**
 * Emits span(address, linear, bytes, flags); address and linear address are in the same place of their pages.
 * @param translate emits: adds to a local what translating the linear address in local 1 takes, and sets another one to whether its page
 *     is the first of its TLB set then, so that the rest of its lines takes nothing
 */
export function addSpan(module: ModuleBuilder, p: TimingProfile, l: TimingLayout, translate: (f: FunctionEmitter, block: number, cycles: number, translated: number) => void): void {
  const run = addRun(module, p, l), { l1d } = l;
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
