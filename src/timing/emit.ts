/**
 * The emitted part of the timing core: caches, TLBs and branch prediction as WebAssembly functions that cycle-mode code calls.
 *
 * Exports, all returning extra cycles (0 on the common path):
 *     data(address, linear, flags)        a data access; flags: see ACCESS_*
 *     fetch(address, linear)              an instruction fetch; free while in the line of the last one
 *     branch(pc, kind, next, hint)        a direct branch; kind: see BRANCH_*
 *     jump(pc, target, next, hint)        an indirect branch or return
 *     walkRead(address)                   one reference of a page walk: its whole latency
 *     dataLine(left, known, address, linear, flags), settled(address, linear)   for compiled code, see there
 *     span(address, linear, bytes, flags) data accesses to every line that some bytes (at least one) lie in
 *     string(bytes)                       what a string instruction takes to move so many bytes that are in the first level
 * `address` is a linear-memory address, `linear` the guest's 64-bit linear address, `pc` anything that tells branches apart.
 *
 * Set-associative tables are kept in order of recency, so that a hit on the most recently used way, by far the most common
 * case, is one comparison. What is hidden by the core's window is taken off here; see `exposed`.
 *
 * Deviations: an access is priced by the line and page of its first byte. Lines evicted from an inclusive L3 stay in L1 and L2.
 * Write-backs take no time. A change of address space drops global pages from the modelled TLBs too.
 */

import { FunctionEmitter } from '../wasm/function.js';
import { Wasm, type WasmMemory } from '../wasm/host.js';
import { ModuleBuilder } from '../wasm/module.js';
import { I32, I64 } from '../wasm/opcodes.js';
import { SetFunctions } from './emit-sets.js';
import { CURRENT_BLOCK, F, VICTIM, counterOffset, type Counter, type Table, type TimingLayout } from './layout.js';
import type { TimingProfile } from './profile.js';

/** Flags of `data`: a store; a load whose address comes from a recent load, so that nothing hides its latency; used by `fetch` itself. */
export const ACCESS_WRITE = 1, ACCESS_DEPENDENT = 2, ACCESS_FETCH = 4;
/** Kinds of direct branches. */
export const BRANCH_NOT_TAKEN = 0, BRANCH_TAKEN = 1, BRANCH_ALWAYS = 2;
/** Hints about an instruction, found when it is decoded (block-cost.ts). DEPENDENT is ACCESS_DEPENDENT's place. */
export const HINT_CALL = 1, HINT_DEPENDENT = 2, HINT_RETURN = 4;

export interface TimingFunctions {
  data(address: number, linear: bigint, flags: number): number;
  fetch(address: number, linear: bigint): number;
  branch(pc: number, kind: number, next: number, hint: number): number;
  jump(pc: number, target: number, next: number, hint: number): number;
  walkRead(address: number): number;
  span(address: number, linear: bigint, bytes: number, flags: number): number;
  string(bytes: number): number;
}

/** Bits 47:12 and 47:21 of a linear address. */
const PAGE_KEY = 0x0000_ffff_ffff_f000n, LARGE_KEY = 0x0000_ffff_ffe0_0000n;

class Emitter {
  readonly module: ModuleBuilder;
  private readonly walkMiss: number;
  private readonly sets: SetFunctions;
  private readonly miss: number;

  constructor(private readonly p: TimingProfile, private readonly l: TimingLayout, memoryPages: number) {
    this.module = new ModuleBuilder(memoryPages, memoryPages);
    this.walkMiss = this.module.importFunction('walk', { params: [I32, I32, I32], results: [I32] });
    this.sets = new SetFunctions(this.module);
    this.miss = this.emitMiss();
    this.emitSpan(this.emitData());
    this.emitSettled();
    this.emitString();
    this.emitFetch();
    this.emitWalkRead();
    this.emitBranch();
    this.emitJump();
  }

  private add(f: FunctionEmitter, name?: string): number {
    return this.module.add(f, [I32], name);
  }

  // ---- pieces

  /** Pushes the address of the set of a cache that the line number on the stack falls into. */
  private cacheSet(f: FunctionEmitter, t: Table, block: number | null): void {
    f.i32(t.sets - 1).op('i32.and').i32(t.ways * 4).op('i32.mul').i32(t.at).op('i32.add');
    if (block !== null) f.get(block).op('i32.add');
  }
  /** Pushes the address of the set of a TLB for the linear address in local `linear`. */
  private tlbSet(f: FunctionEmitter, t: Table, block: number, linear: number, shift: number): void {
    if (t.sets === 1) f.get(block).i32(t.at).op('i32.add');
    else f.get(linear).i64(BigInt(shift)).op('i64.shr_u').op('i32.wrap_i64').i32(t.sets - 1).op('i32.and').i32(t.ways * 8).op('i32.mul').get(block).op('i32.add').i32(t.at).op('i32.add');
  }
  private count(f: FunctionEmitter, block: number, c: Counter): void {
    const o = counterOffset(c);
    f.get(block).get(block).mem('i64.load', o).i64(1n).op('i64.add').mem('i64.store', o);
  }
  private currentBlock(f: FunctionEmitter): number {
    const block = f.local(I32);
    f.i32(CURRENT_BLOCK).mem('i32.load', 0).set(block);
    return block;
  }

  /**
   * miss(line, victim of the first level) -> latency from the second level on, or minus the cycles of a line that the prefetcher
   * had under way. A line goes into every level that it passes, except that an exclusive level takes only what the level above
   * gave up.
   */
  private emitMiss(): number {
    const { l2, l3, streams } = this.l, fig = this.p.figures, x2 = fig['cache.l2.exclusive'] === 1, x3 = fig['cache.l3.exclusive'] === 1;
    const f = new FunctionEmitter([I32, I32]), block = this.currentBlock(f), hit = f.local(I32), out = f.local(I32), at = f.local(I32), end = f.local(I32);
    const set2 = (line: number): void => {
      f.get(line);
      this.cacheSet(f, l2, block);
    };
    const set3 = (line: number): void => {
      f.get(line);
      this.cacheSet(f, l3, null);
    };
    if (x2) {
      set2(0);
      f.get(0).call(this.sets.remove(l2.ways)).set(hit);
      f.get(1).if();
      set2(1);
      f.get(1).call(this.sets.touch(l2.ways)).op('i32.eqz').if().i32(VICTIM).mem('i32.load', 0).set(out).end().end();
    } else {
      set2(0);
      f.get(0).call(this.sets.touch(l2.ways)).tee(hit).op('i32.eqz').if().i32(VICTIM).mem('i32.load', 0).set(out).end();
    }
    if (l3.sets > 0 && x3) {
      f.get(out).if();
      set3(out);
      f.get(out).call(this.sets.touch(l3.ways)).op('drop').end();
    }
    f.get(hit).if().i32(fig['cache.l2.latency']).op('return').end();
    this.count(f, block, 'l2Misses');
    if (l3.sets > 0) {
      set3(0);
      f.get(0).call(x3 ? this.sets.remove(l3.ways) : this.sets.touch(l3.ways)).set(hit);
    }
    // Prefetch streams: each entry is the line that its stream will miss next.
    f.get(block).i32(streams.at).op('i32.add').tee(at).i32(streams.ways * 4).op('i32.add').set(end).loop();
    f.get(at).mem('i32.load', 0).get(0).op('i32.eq').if();
    f.get(at).get(0).i32(1).op('i32.add').mem('i32.store', 0);
    this.count(f, block, 'streamHits');
    f.i32(-fig['memory.stream_line']).op('return').end();
    f.get(at).i32(4).op('i32.add').tee(at).get(end).op('i32.lt_u').brIf(0).end();
    f.get(block).get(block).mem('i32.load', F.nextStream).tee(at).i32(1).op('i32.add').i32(streams.ways).op('i32.rem_u').mem('i32.store', F.nextStream);
    f.get(at).i32(4).op('i32.mul').get(block).op('i32.add').get(0).i32(1).op('i32.add').mem('i32.store', streams.at);
    f.get(hit).if().i32(fig['cache.l3.latency']).op('return').end();
    this.count(f, block, 'memoryAccesses');
    f.i32(memoryCycles(this.p));
    return this.add(f);
  }

  /** tlbMiss(first-level set, linear, flags): the first way was not it. Looks on, then walks. */
  private emitTlbMiss(first: Table, counter: Counter): number {
    const { large, tlb2 } = this.l;
    const f = new FunctionEmitter([I32, I64, I32]), block = this.currentBlock(f), key = f.local(I64);
    const makeKey = (mask: bigint): void => void f.get(1).i64(mask).op('i64.and').get(block).mem('i64.load', F.tag).op('i64.or').set(key);
    makeKey(PAGE_KEY);
    f.get(0).get(key).call(this.sets.find(first.ways)).if().i32(0).op('return').end();
    makeKey(LARGE_KEY);
    this.tlbSet(f, large, block, 1, 21);
    f.get(key).call(this.sets.find(large.ways)).if().i32(0).op('return').end();
    this.count(f, block, counter);
    makeKey(PAGE_KEY);
    this.tlbSet(f, tlb2, block, 1, 12);
    f.get(key).call(this.sets.find(tlb2.ways)).if();
    f.get(0).get(key).call(this.sets.insert(first.ways)).op('drop').i32(this.p.figures['tlb.l2.latency']).op('return').end();
    f.get(1).op('i32.wrap_i64').get(1).i64(32n).op('i64.shr_u').op('i32.wrap_i64').get(2).call(this.walkMiss);
    return this.add(f);
  }

  /** Compares the first way of the set on the stack with the key of the linear address in local `linear`. */
  private firstIs(f: FunctionEmitter, block: number, linear: number, mask: bigint, op: 'i64.eq' | 'i64.ne'): void {
    f.mem('i64.load', 0).get(linear).i64(mask).op('i64.and').get(block).mem('i64.load', F.tag).op('i64.or').op(op);
  }
  /** Does what `then` emits unless the first way of the page's or large page's set is it. @param then gets a local with the page's set */
  private unlessTranslated(f: FunctionEmitter, first: Table, block: number, linear: number, then: (set: number) => void): void {
    const set = f.local(I32);
    this.tlbSet(f, first, block, linear, 12);
    f.tee(set);
    this.firstIs(f, block, linear, PAGE_KEY, 'i64.ne');
    f.if();
    this.tlbSet(f, this.l.large, block, linear, 21);
    this.firstIs(f, block, linear, LARGE_KEY, 'i64.ne');
    f.if();
    then(set);
    f.end().end();
  }
  /** Adds the cost of translation to local `extra`. */
  private translate(f: FunctionEmitter, first: Table, block: number, linear: number, extra: number, flags: (f: FunctionEmitter) => void, slow: number): void {
    this.unlessTranslated(f, first, block, linear, (set) => {
      f.get(set).get(linear);
      flags(f);
      f.call(slow).set(extra);
    });
  }

  private emitData(): number {
    const { l1d, dtlb } = this.l, fig = this.p.figures;
    const tlbSlow = this.emitTlbMiss(dtlb, 'dtlbMisses');
    const cacheSlow = ((): number => {
      const f = new FunctionEmitter([I32, I32, I32]), block = this.currentBlock(f), latency = f.local(I32); // set, line, flags
      f.get(0).get(1).call(this.sets.touch(l1d.ways)).if().i32(0).op('return').end();
      this.count(f, block, 'l1dMisses');
      f.get(1).i32(VICTIM).mem('i32.load', 0).call(this.miss).tee(latency).i32(0).op('i32.lt_s').if().i32(0).get(latency).op('i32.sub').op('return').end();
      // What is exposed: see exposedCycles.
      f.get(latency).i32(fig['cache.l1d.latency']).op('i32.sub');
      f.i32(0).i32(hiddenCycles(this.p, true)).i32(hiddenCycles(this.p, false)).get(2).i32(ACCESS_WRITE).op('i32.and').op('select');
      f.get(2).i32(ACCESS_DEPENDENT).op('i32.and').op('select').op('i32.sub').tee(latency);
      f.i32(0).get(latency).i32(0).op('i32.gt_s').op('select');
      return this.add(f);
    })();
    const f = new FunctionEmitter([I32, I64, I32]), block = this.currentBlock(f), extra = f.local(I32), line = f.local(I32), set = f.local(I32);
    this.translate(f, dtlb, block, 1, extra, (g) => void g.get(2), tlbSlow);
    f.get(0).i32(6).op('i32.shr_u').tee(line);
    this.cacheSet(f, l1d, block);
    f.tee(set).mem('i32.load', 0).get(line).op('i32.ne').if();
    f.get(set).get(line).get(2).call(cacheSlow).get(extra).op('i32.add').set(extra).end();
    f.get(extra);
    const data = this.add(f, 'data');
    this.emitDataLine(data);
    return data;
  }
  /** An access that compiled code found not to be a plain hit. -> left and known behind it (cpu/engine/regions/region-timing.ts) */
  private emitDataLine(data: number): void {
    const f = new FunctionEmitter([I32, I32, I32, I64, I32]), block = this.currentBlock(f);
    // Translation that is no hit may change the large-page TLB: lines that are known by it (bit 31) are so no more.
    f.get(1).i32(0).op('i32.lt_s').if();
    this.unlessTranslated(f, this.l.dtlb, block, 3, () => void f.i32(0).set(1));
    f.end();
    f.get(0).get(2).get(3).get(4).call(data).op('i32.sub').get(1);
    this.module.add(f, [I32, I32], 'dataLine');
  }
  /** 1: the line is first of its L1I set, and the page's key of its ITLB set, so that fetching it changes nothing but lastLine; 2: the large page's; else 0. */
  private emitSettled(): void {
    const { l1i, itlb } = this.l;
    const f = new FunctionEmitter([I32, I64]), block = this.currentBlock(f), line = f.local(I32);
    f.get(0).i32(6).op('i32.shr_u').tee(line);
    this.cacheSet(f, l1i, block);
    f.mem('i32.load', 0).get(line).op('i32.ne').if().i32(0).op('return').end();
    this.tlbSet(f, itlb, block, 1, 12);
    this.firstIs(f, block, 1, PAGE_KEY, 'i64.eq');
    f.if().i32(1).op('return').end();
    this.tlbSet(f, this.l.large, block, 1, 21);
    this.firstIs(f, block, 1, LARGE_KEY, 'i64.eq');
    f.i32(1).op('i32.shl');
    this.add(f, 'settled');
  }

  private emitSpan(data: number): void {
    const f = new FunctionEmitter([I32, I64, I32, I32]), over = f.local(I32), lines = f.local(I32), cycles = f.local(I32);
    f.get(0).i32(63).op('i32.and').tee(over).get(2).op('i32.add').i32(63).op('i32.add').i32(6).op('i32.shr_u').set(lines);
    f.get(0).get(over).op('i32.sub').set(0);
    f.get(1).get(over).op('i64.extend_i32_u').op('i64.sub').set(1).loop();
    f.get(0).get(1).get(3).call(data).get(cycles).op('i32.add').set(cycles);
    f.get(0).i32(64).op('i32.add').set(0).get(1).i64(64n).op('i64.add').set(1);
    f.get(lines).i32(1).op('i32.sub').tee(lines).brIf(0).end().get(cycles);
    this.add(f, 'span');
  }
  private emitString(): void {
    const f = new FunctionEmitter([I32]), perByte = new DataView(new ArrayBuffer(8));
    perByte.setFloat64(0, this.p.costs.string_bytes_16 / 16);
    f.get(0).op('f64.convert_i32_s').i64(perByte.getBigUint64(0)).op('f64.reinterpret_i64').op('f64.mul').op('f64.ceil').op('i32.trunc_f64_s');
    this.add(f, 'string');
  }

  private emitFetch(): void {
    const { l1i, itlb } = this.l, fig = this.p.figures;
    const tlbSlow = this.emitTlbMiss(itlb, 'itlbMisses');
    const slow = ((): number => {
      const f = new FunctionEmitter([I32, I64]), block = this.currentBlock(f), extra = f.local(I32), line = f.local(I32), latency = f.local(I32), last = f.local(I32);
      f.get(block).mem('i32.load', F.lastLine).set(last);
      f.get(block).get(0).i32(6).op('i32.shr_u').tee(line).mem('i32.store', F.lastLine);
      this.translate(f, itlb, block, 1, extra, (g) => void g.i32(ACCESS_FETCH), tlbSlow);
      f.get(line);
      this.cacheSet(f, l1i, block);
      f.get(line).call(this.sets.touch(l1i.ways)).op('i32.eqz').if();
      this.count(f, block, 'l1iMisses');
      f.get(line).i32(VICTIM).mem('i32.load', 0).call(this.miss).tee(latency).i32(0).op('i32.lt_s').if().i32(0).get(latency).op('i32.sub').set(latency).end();
      // The next line in order is asked for ahead of time: the second level's latency is hidden then.
      f.get(latency).i32(fig['cache.l2.latency']).i32(0).get(line).get(last).op('i32.sub').i32(1).op('i32.eq').op('select').op('i32.sub').tee(latency);
      f.i32(0).get(latency).i32(0).op('i32.gt_s').op('select').get(extra).op('i32.add').set(extra).end();
      f.get(extra);
      return this.add(f);
    })();
    const f = new FunctionEmitter([I32, I64]);
    f.get(0).i32(6).op('i32.shr_u').i32(CURRENT_BLOCK).mem('i32.load', 0).mem('i32.load', F.lastLine).op('i32.eq').if().i32(0).op('return').end();
    f.get(0).get(1).call(slow);
    this.add(f, 'fetch');
  }

  private emitWalkRead(): void {
    const { l1d } = this.l;
    const f = new FunctionEmitter([I32]), block = this.currentBlock(f), line = f.local(I32), latency = f.local(I32);
    f.get(0).i32(6).op('i32.shr_u').tee(line);
    this.cacheSet(f, l1d, block);
    f.get(line).call(this.sets.touch(l1d.ways)).if().i32(this.p.figures['cache.l1d.latency']).op('return').end();
    this.count(f, block, 'l1dMisses');
    f.get(line).i32(VICTIM).mem('i32.load', 0).call(this.miss).tee(latency).i32(0).get(latency).op('i32.sub').get(latency).i32(0).op('i32.gt_s').op('select');
    this.add(f, 'walkRead');
  }

  /** Pushes the return address in local `next` when `hint` says that the instruction is a call. */
  private pushReturn(f: FunctionEmitter, block: number, next: number, hint: number): void {
    const top = f.local(I32), n = this.p.figures['predictor.returns'];
    f.get(hint).i32(HINT_CALL).op('i32.and').if();
    f.get(block).get(block).mem('i32.load', F.returnTop).i32(1).op('i32.add').i32(n).op('i32.rem_u').tee(top).mem('i32.store', F.returnTop);
    f.get(top).i32(4).op('i32.mul').get(block).op('i32.add').get(next).mem('i32.store', this.l.returns).end();
  }
  /** Mixes the value on the stack into the path history. */
  private addToPath(f: FunctionEmitter, block: number, push: () => void): void {
    f.get(block).get(block).mem('i32.load', F.path).i32(3).op('i32.shl');
    push();
    f.op('i32.xor').mem('i32.store', F.path);
  }
  private mispredicted(f: FunctionEmitter, block: number): void {
    this.count(f, block, 'mispredicts');
    f.i32(this.p.figures['core.mispredict']).op('return');
  }

  /** Direction: two-bit counters chosen by branch address and global history (gshare). */
  private emitBranch(): void {
    const fig = this.p.figures;
    const f = new FunctionEmitter([I32, I32, I32, I32]), block = this.currentBlock(f), at = f.local(I32), counter = f.local(I32);
    f.get(1).i32(BRANCH_ALWAYS).op('i32.eq').if();
    this.pushReturn(f, block, 2, 3);
    f.get(3).i32(HINT_CALL).op('i32.and').if();
    this.addToPath(f, block, () => void f.get(2));
    f.end().i32(0).op('return').end();
    f.get(0).get(0).i32(6).op('i32.shr_u').op('i32.xor').get(block).mem('i32.load', F.history).op('i32.xor').i32(fig['predictor.counters'] - 1).op('i32.and').get(block).op('i32.add').tee(at);
    f.mem('i32.load8_u', this.l.counters).set(counter);
    f.get(block).get(block).mem('i32.load', F.history).i32(1).op('i32.shl').get(1).op('i32.or').i32(2 ** fig['predictor.history'] - 1).op('i32.and').mem('i32.store', F.history);
    // New counter: one up when taken, to 3; one down when not, to 0. Counters begin at 1.
    f.get(at).get(counter);
    f.get(1).get(counter).i32(3).op('i32.lt_u').op('i32.and').op('i32.add');
    f.get(1).op('i32.eqz').get(counter).i32(0).op('i32.gt_u').op('i32.and').op('i32.sub').mem('i32.store8', this.l.counters);
    f.get(counter).i32(1).op('i32.shr_u').get(1).op('i32.ne').if();
    this.mispredicted(f, block);
    f.end().i32(0);
    this.add(f, 'branch');
  }

  /** Targets: the return stack for returns, else a table indexed by branch address and path. */
  private emitJump(): void {
    const fig = this.p.figures, n = fig['predictor.returns'];
    const f = new FunctionEmitter([I32, I32, I32, I32]), block = this.currentBlock(f), at = f.local(I32), guess = f.local(I32);
    f.get(3).i32(HINT_RETURN).op('i32.and').if();
    f.get(block).mem('i32.load', F.returnTop).tee(at).i32(4).op('i32.mul').get(block).op('i32.add').mem('i32.load', this.l.returns).set(guess);
    f.get(block).get(at).i32(n - 1).op('i32.add').i32(n).op('i32.rem_u').mem('i32.store', F.returnTop);
    f.op('else');
    this.pushReturn(f, block, 2, 3);
    f.get(0).get(0).i32(6).op('i32.shr_u').op('i32.xor').get(block).mem('i32.load', F.path).op('i32.xor').i32(fig['predictor.targets'] - 1).op('i32.and').i32(4).op('i32.mul').get(block).op('i32.add').tee(at);
    f.mem('i32.load', this.l.targets).set(guess);
    f.get(at).get(1).mem('i32.store', this.l.targets);
    this.addToPath(f, block, () => void f.get(1));
    f.end();
    f.get(guess).get(1).op('i32.ne').if();
    this.mispredicted(f, block);
    f.end().i32(0);
    this.add(f, 'jump');
  }
}

/** Memory latency in cycles. */
export const memoryCycles = (p: TimingProfile): number => Math.round((p.figures['memory.latency'] * p.figures['frequency_hz']) / 1e9);

/**
 * Cycles of a miss that the core hides when nothing waits for the data: a load as long as the window takes to fill, a store longer
 * by the store queue, a cycle an entry.
 */
export function hiddenCycles(p: TimingProfile, write: boolean): number {
  const window = Math.floor(p.figures['core.window'] / p.figures['core.width']);
  return write ? window + p.figures['core.store_queue'] : window;
}

/** Emits and instantiates. @param walk (linear low, high, flags) -> cycles: called when no TLB has the page */
export function instantiateTiming(p: TimingProfile, l: TimingLayout, memory: WasmMemory, walk: (lo: number, hi: number, flags: number) => number): TimingFunctions {
  const pages = memory.buffer.byteLength / 65536;
  const module = new Wasm.Module(new Emitter(p, l, pages).module.finish());
  const table = new Wasm.Table({ initial: 0, element: 'anyfunc' });
  return new Wasm.Instance(module, { env: { memory, table, walk } }).exports as unknown as TimingFunctions;
}
