/**
 * What the timing core does with a line that the first level has not: second and third level, prefetcher, memory.
 *
 * Emitted inline in two ways: `miss` of any line is a function of its own (emit.ts), and runs of lines in order (emit-run.ts) have it in
 * their loop. Both leave the same tables and count the same.
 */

import type { FunctionEmitter } from '../wasm/function.js';
import { I32, V128 } from '../wasm/opcodes.js';
import type { SameWay } from './emit-same-way.js';
import { equalLanes, exchange, remove, touch, type Order } from './emit-sets.js';
import { F, type Table, type TimingLayout } from './layout.js';
import type { TimingProfile } from './profile.js';

/** What is emitted where it is known what has the line. A line that the prefetcher has under way is `stream`, whatever the third level has. */
export interface Outcomes {
  second(): void;
  stream(): void;
  third(): void;
  memory(): void;
}

/**
 * A run of lines in order, at most RUN_LINES: a stream that had one of its lines has the next one too, and is not looked for again.
 * Locals: the line that this stream expects, or 0 if there is none; the address of its entry less that of the block's streams. The
 * entry is written when the stream is left (`leaveStream`).
 */
export interface Run {
  readonly expected: number;
  readonly entry: number;
  /** Takes the lines out of an exclusive third level. */
  readonly third: SameWay | undefined;
}
export const RUN_LINES = 64;

/** Pushes the address of the set of a cache that the line number on the stack falls into. @param block local; null: the cache is all vCPUs' */
export function cacheSet(f: FunctionEmitter, t: Table, block: number | null): void {
  f.i32(t.sets - 1).op('i32.and').i32(t.ways * 4).op('i32.mul').i32(t.at).op('i32.add');
  if (block !== null) f.get(block).op('i32.add');
}

export class MissEmitter {
  constructor(
    private readonly p: TimingProfile,
    private readonly l: TimingLayout,
  ) {}

  /**
   * A line goes into every level that it passes, except that an exclusive level takes only what the level above gave up.
   * @param line local @param victim1 local with what the first level gave up, or 0
   */
  inline(f: FunctionEmitter, block: number, line: number, victim1: number, outcomes: Outcomes, run?: Run): void {
    const { l1i, l1d, l2, l3 } = this.l, fig = this.p.figures, x2 = fig['cache.l2.exclusive'] === 1, x3 = fig['cache.l3.exclusive'] === 1;
    const hit = f.local(I32), out = f.local(I32), set = f.local(I32), victim = f.local(I32), order: Order = run === undefined ? 'random' : 'in order';
    const findSet = (t: Table, which: number): void => {
      f.get(which);
      cacheSet(f, t, t === l3 ? null : block);
      f.set(set);
    };
    f.block();
    // Whatever the second level gives up is in `out`. If it has no more sets than the first one, a line and what gave way for it share one.
    const together = x2 && l2.sets <= Math.min(l1i.sets, l1d.sets);
    findSet(l2, line);
    if (together) exchange(f, l2.ways, set, line, victim1, hit, out, order);
    else if (x2) {
      f.i32(0).set(out);
      remove(f, l2.ways, set, line, hit, order);
      f.get(victim1).if();
      findSet(l2, victim1);
      touch(f, l2.ways, set, victim1, victim, () => void f.get(victim).set(out), order);
      f.end();
    } else {
      f.i32(0).set(out).i32(1).set(hit);
      touch(f, l2.ways, set, line, victim, () => void f.i32(0).set(hit).get(victim).set(out), order);
    }
    const giveUp = (): void => {
      f.get(out).if();
      findSet(l3, out);
      touch(f, l3.ways, set, out, victim, () => undefined, order);
      f.end();
    };
    f.get(hit).if();
    // A level that had the line gives nothing up for it, unless what the first level gave up belongs to another set.
    if (l3.sets > 0 && x3 && x2 && !together) giveUp();
    outcomes.second();
    f.br(1).end();
    if (l3.sets > 0 && x3) {
      const other = f.local(I32);
      findSet(l3, line);
      f.get(set).set(other);
      findSet(l3, out);
      f.get(set).get(other).op('i32.eq').if();
      exchange(f, l3.ways, set, line, out, hit, victim, order, true);
      f.op('else');
      giveUp();
      if (run?.third !== undefined) run.third.remove(other, line, hit);
      else remove(f, l3.ways, other, line, hit, order);
      f.end();
    } else if (l3.sets > 0) {
      findSet(l3, line);
      f.i32(1).set(hit);
      touch(f, l3.ways, set, line, victim, () => void f.i32(0).set(hit), order);
    }
    this.inStream(f, block, line, outcomes, run);
    f.get(hit).if();
    outcomes.third();
    f.br(1).end();
    outcomes.memory();
    f.end();
  }

  /** In a block: leaves it if a stream expects the line. Each entry is the line that its stream will miss next. */
  inStream(f: FunctionEmitter, block: number, line: number, outcomes: Pick<Outcomes, 'stream'>, run: Run | undefined): void {
    const { streams } = this.l, at = f.local(I32), next = f.local(I32);
    if (run !== undefined) {
      f.get(line).get(run.expected).op('i32.eq').if();
      f.get(line).i32(1).op('i32.add').set(run.expected);
      outcomes.stream();
      f.br(1).end();
      this.leaveStream(f, run);
    }
    const near = this.findStream(f, block, line, at, run !== undefined);
    f.get(line).i32(1).op('i32.add').set(next);
    f.get(at).i32(0).op('i32.ge_s').if();
    f.get(at).i32(4).op('i32.mul').get(block).op('i32.add').tee(at).get(next).mem('i32.store', streams.at);
    if (run !== undefined && near !== undefined) f.get(at).set(run.entry).i32(0).get(next).get(near).op('select').set(run.expected);
    outcomes.stream();
    f.br(1).end();
    f.get(block).get(block).mem('i32.load', F.nextStream).tee(at).i32(1).op('i32.add').i32(streams.ways).op('i32.rem_u').mem('i32.store', F.nextStream);
    f.get(at).i32(4).op('i32.mul').get(block).op('i32.add').get(next).mem('i32.store', streams.at);
  }

  /** Writes the entry of the stream that a run follows, if it does, and follows none from then on. */
  leaveStream(f: FunctionEmitter, run: Run): void {
    f.get(run.expected).if();
    f.get(run.entry).get(run.expected).mem('i32.store', this.l.streams.at).i32(0).set(run.expected).end();
  }

  /**
   * Sets local `at` to the number of the first stream that expects the line in local `line`, or to -1.
   * @returns local with whether any stream expects one of the RUN_LINES lines behind it, if `wantNear` and that can be told
   */
  private findStream(f: FunctionEmitter, block: number, line: number, at: number, wantNear: boolean): number | undefined {
    const { streams } = this.l;
    if (streams.ways % 4 === 0 && streams.ways <= 28) {
      const wanted = f.local(V128), vectors = Array.from({ length: streams.ways / 4 }, () => f.local(V128));
      f.get(line).simd('i32x4.splat').set(wanted);
      vectors.forEach((v, j) => f.get(block).memV128('v128.load', streams.at + 16 * j).set(v));
      equalLanes(f, vectors, wanted);
      // 32 zeros: none.
      f.op('i32.ctz').tee(at).i32(-1).get(at).i32(32).op('i32.lt_u').op('select').set(at);
      if (!wantNear) return undefined;
      const near = f.local(I32), behind = f.local(V128);
      f.get(line).i32(1).op('i32.add').simd('i32x4.splat').set(behind);
      vectors.forEach((v, j) => {
        f.get(v).get(behind).simd('i32x4.sub').i32(RUN_LINES).simd('i32x4.splat').simd('i32x4.lt_u');
        if (j > 0) f.simd('v128.or');
      });
      f.simd('v128.any_true').set(near);
      return near;
    }
    f.i32(0).set(at).block().loop();
    f.get(at).i32(4).op('i32.mul').get(block).op('i32.add').mem('i32.load', streams.at).get(line).op('i32.eq').brIf(1);
    f.get(at).i32(1).op('i32.add').tee(at).i32(streams.ways).op('i32.lt_u').brIf(0).i32(-1).set(at).end().end();
    return undefined;
  }
}
