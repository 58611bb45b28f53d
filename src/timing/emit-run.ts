/**
 * Runs of lines in order, all in one page: what they have in common is worked out in front of the loop, events are counted in a local, and
 * the prefetcher's stream is followed instead of looked for.
 *
 * No two lines of a run share a set of any level. So where levels do not exclude each other, it does not matter in which order sets
 * are gone through, and a run of lines that neither the first nor the second level has, as in most long strings, is done in two passes:
 * one finds that out, the other moves the sets without comparing.
 */

import { FunctionEmitter } from '../wasm/function.js';
import type { ModuleBuilder } from '../wasm/module.js';
import { I32, V128 } from '../wasm/opcodes.js';
import { MissEmitter, RUN_LINES, cacheSet, type Run } from './emit-miss.js';
import { currentBlock, exposed, memoryCycles } from './emit-pieces.js';
import { SameWay } from './emit-same-way.js';
import { LANES, inVectors, loadSet, moveAll, touch } from './emit-sets.js';
import { counterOffset, type Counter, type Table, type TimingLayout } from './layout.js';
import type { TimingProfile } from './profile.js';

/** Where the events of a run are counted: eight bits each of one local, as a run has fewer than 256 lines. */
const L1_MISS = 1, L2_MISS = 1 << 8, STREAM = 1 << 16, MEMORY = 1 << 24;
/** Runs of fewer lines are not worth two passes. */
const TWO_PASSES = 4;

/** Adds run(line, lines, flags) -> extra cycles: at least one line, at most RUN_LINES, none of them behind a line whose number RUN_LINES divides. */
export function addRun(module: ModuleBuilder, p: TimingProfile, l: TimingLayout): number {
  return new RunEmitter(p, l).emit(module);
}

class RunEmitter {
  private readonly f = new FunctionEmitter([I32, I32, I32]);
  private readonly line = 0;
  /** The line behind the last one; at first the number of lines. */
  private readonly end = 1;
  private readonly flags = 2;
  private readonly block = currentBlock(this.f);
  private readonly events = this.f.local(I32);
  private readonly follow: Run;
  private readonly misses: MissEmitter;

  constructor(
    private readonly p: TimingProfile,
    private readonly l: TimingLayout,
  ) {
    this.misses = new MissEmitter(p, l);
    const { f } = this, third = p.figures['cache.l3.exclusive'] === 1 && inVectors(l.l3.ways) ? new SameWay(f, l.l3.ways, 'remove') : undefined;
    this.follow = { expected: f.local(I32), entry: f.local(I32), third };
  }

  emit(module: ModuleBuilder): number {
    const { f, line, end } = this, { l1d, l2, l3 } = this.l, fig = this.p.figures;
    const simple = [l1d, l2, l3].every((t) => inRow(t) && inVectors(t.ways)) && l3.sets > 0 && fig['cache.l2.exclusive'] === 0 && fig['cache.l3.exclusive'] === 0;
    const lines = f.local(I32);
    f.get(end).tee(lines).get(line).op('i32.add').set(end);
    if (simple) this.inTwoPasses(lines);
    this.inOnePass();
    this.misses.leaveStream(f, this.follow);
    this.charge();
    return module.add(f, [I32]);
  }

  private happened(event: number): void {
    this.f.get(this.events).i32(event).op('i32.add').set(this.events);
  }
  /** A local with the address of the first line's set. */
  private firstSet(t: Table): number {
    const { f } = this, set = f.local(I32);
    f.get(this.line);
    cacheSet(f, t, t === this.l.l3 ? null : this.block);
    f.set(set);
    return set;
  }
  private nextSet(t: Table, set: number): void {
    this.f.get(set).i32(t.ways * 4).op('i32.add').set(set);
  }
  /** Pushes the number of the next line. */
  private advance(): FunctionEmitter {
    return this.f.get(this.line).i32(1).op('i32.add').tee(this.line);
  }
  /** Goes to the loop's begin if there are lines left. */
  private nextLine(): void {
    this.advance().get(this.end).op('i32.ne').brIf(0);
  }

  private inOnePass(): void {
    const { f, line } = this, { l1d } = this.l, victim = f.local(I32), set = this.firstSet(l1d);
    f.loop();
    if (!inRow(l1d)) {
      f.get(line);
      cacheSet(f, l1d, this.block);
      f.set(set);
    }
    f.get(set).mem('i32.load', 0).get(line).op('i32.ne').if();
    touch(f, l1d.ways, set, line, victim, () => {
      this.misses.inline(f, this.block, line, victim, {
        second: () => this.happened(L1_MISS),
        stream: () => this.happened(L1_MISS + L2_MISS + STREAM),
        third: () => this.happened(L1_MISS + L2_MISS),
        memory: () => this.happened(L1_MISS + L2_MISS + MEMORY),
      }, this.follow);
    }, 'in order');
    f.end();
    if (inRow(l1d)) this.nextSet(l1d, set);
    this.nextLine();
    f.end();
  }

  /** Does all of the run, charges and returns, if no line is in the first two levels. @param lines local: how many */
  private inTwoPasses(lines: number): void {
    const { f, line } = this, { l1d, l2, l3 } = this.l;
    const any = f.local(V128), wanted = f.local(V128), left = f.local(I32), upper = [l1d, l2].map((t) => [t, this.firstSet(t)] as const);
    /** Compares the sets `ahead` lines from where the locals are. */
    const compare = (ahead: number): void => {
      for (const [t, set] of upper)
        for (let j = 0; j < t.ways / LANES; j++)
          f.get(set).memV128('v128.load', ahead * t.ways * 4 + 16 * j).get(wanted).simd('i32x4.eq').get(any).simd('v128.or').set(any);
    };
    f.block().get(lines).i32(TWO_PASSES).op('i32.lt_u').brIf(0);
    f.get(line).simd('i32x4.splat').set(wanted);
    compare(0);
    f.get(any).simd('v128.any_true').brIf(0);
    // Two lines at a time: where their number is odd, one too many is compared, which does no harm.
    f.get(lines).set(left).loop();
    for (const ahead of [0, 1]) {
      compare(ahead);
      f.get(wanted).i32(1).simd('i32x4.splat').simd('i32x4.add').set(wanted);
    }
    for (const [t, set] of upper) f.get(set).i32(2 * t.ways * 4).op('i32.add').set(set);
    f.get(left).i32(2).op('i32.sub').tee(left).i32(0).op('i32.gt_s').brIf(0).end();
    f.get(any).simd('v128.any_true').brIf(0);

    f.get(lines).i32(L1_MISS + L2_MISS).op('i32.mul').set(this.events);
    const sets = [l1d, l2].map((t) => [t, this.firstSet(t)] as const), set3 = this.firstSet(l3), hit = f.local(I32), first = f.local(I32), { expected } = this.follow;
    f.get(line).set(first).loop().get(line).simd('i32x4.splat').set(wanted);
    for (const [t, set] of sets) {
      moveAll(f, set, wanted, loadSet(f, t.ways, set));
      this.nextSet(t, set);
    }
    this.nextLine();
    f.end();

    const third = new SameWay(f, l3.ways, 'touch');
    const thirdLevel = (): void => {
      f.get(line).simd('i32x4.splat').set(wanted);
      third.touch(set3, line, wanted, hit);
      this.nextSet(l3, set3);
    };
    f.get(first).set(line).block().loop();
    thirdLevel();
    f.block();
    this.misses.inStream(f, this.block, line, { stream: () => this.happened(STREAM) }, this.follow);
    f.get(hit).brIf(0);
    this.happened(MEMORY);
    f.end();
    this.advance().get(this.end).op('i32.eq').brIf(1).get(line).get(expected).op('i32.ne').brIf(0).end();
    // The stream has the lines that are left: what the third level has of them makes no difference to the cycles.
    f.get(this.end).get(line).op('i32.sub').i32(STREAM).op('i32.mul').get(this.events).op('i32.add').set(this.events).get(this.end).set(expected).loop();
    thirdLevel();
    this.nextLine();
    f.end().end();
    this.misses.leaveStream(f, this.follow);
    this.charge();
    f.op('return').end();
  }

  /** Counts the events, and pushes the cycles. */
  private charge(): void {
    const { f, block, flags, p } = this, fig = p.figures;
    const event = (e: number, counter: Counter): number => {
      const n = f.local(I32), o = counterOffset(counter);
      f.get(this.events).i32(Math.log2(e)).op('i32.shr_u').i32(0xff).op('i32.and').set(n);
      f.get(block).get(block).mem('i64.load', o).get(n).op('i64.extend_i32_u').op('i64.add').mem('i64.store', o);
      return n;
    };
    f.get(this.events).op('i32.eqz').if().i32(0).op('return').end();
    const l1 = event(L1_MISS, 'l1dMisses'), l2 = event(L2_MISS, 'l2Misses'), stream = event(STREAM, 'streamHits'), memory = event(MEMORY, 'memoryAccesses');
    f.get(l1).get(l2).op('i32.sub');
    exposed(f, p, fig['cache.l2.latency'], flags);
    f.op('i32.mul').get(stream).i32(fig['memory.stream_line']).op('i32.mul').op('i32.add').get(l2).get(stream).op('i32.sub').get(memory).op('i32.sub');
    exposed(f, p, fig['cache.l3.latency'], flags);
    f.op('i32.mul').op('i32.add').get(memory);
    exposed(f, p, memoryCycles(p), flags);
    f.op('i32.mul').op('i32.add');
  }
}

/** The sets of a run lie one behind the other. */
const inRow = (t: Table): boolean => t.sets % RUN_LINES === 0;
