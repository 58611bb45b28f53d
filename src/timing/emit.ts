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
import { ACCESS_DEPENDENT, ACCESS_FETCH, ACCESS_WRITE, KNOWN_LINES } from './emit-constants.js';
import { MissEmitter, cacheSet } from './emit-miss.js';
import { count, currentBlock, hiddenCycles, memoryCycles } from './emit-pieces.js';
import { addPredictors } from './emit-predictors.js';
import { SetFunctions, touch } from './emit-sets.js';
import { addSpan } from './emit-span.js';
import { CURRENT_BLOCK, F, type Counter, type Table, type TimingLayout } from './layout.js';
import type { TimingProfile } from './profile.js';

export * from './emit-constants.js';

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
    const tlbSlow = this.emitTlbMiss(l.dtlb, 'dtlbMisses');
    this.emitData(tlbSlow);
    this.emitSpan(tlbSlow);
    this.emitSettled();
    this.emitString();
    this.emitFetch();
    this.emitWalkRead();
    addPredictors(this.module, p, l);
  }

  private add(f: FunctionEmitter, name?: string): number {
    return this.module.add(f, [I32], name);
  }

  // ---- pieces

  /** Pushes the address of the set of a TLB for the linear address in local `linear`. */
  private tlbSet(f: FunctionEmitter, t: Table, block: number, linear: number, shift: number): void {
    if (t.sets === 1) f.get(block).i32(t.at).op('i32.add');
    else f.get(linear).i64(BigInt(shift)).op('i64.shr_u').op('i32.wrap_i64').i32(t.sets - 1).op('i32.and').i32(t.ways * 8).op('i32.mul').get(block).op('i32.add').i32(t.at).op('i32.add');
  }

  /** miss(line, victim of the first level) -> latency from the second level on, or minus the cycles of a line that the prefetcher had under way. */
  private emitMiss(): number {
    const { p } = this, fig = p.figures;
    const f = new FunctionEmitter([I32, I32]), block = currentBlock(f), latency = f.local(I32);
    const is = (cycles: number, ...events: Counter[]) => (): void => {
      for (const e of events) count(f, block, e);
      f.i32(cycles).set(latency);
    };
    new MissEmitter(p, this.l).inline(f, block, 0, 1, {
      second: is(fig['cache.l2.latency']),
      stream: is(-fig['memory.stream_line'], 'l2Misses', 'streamHits'),
      third: is(fig['cache.l3.latency'], 'l2Misses'),
      memory: is(memoryCycles(p), 'l2Misses', 'memoryAccesses'),
    });
    f.get(latency);
    return this.add(f);
  }

  /** tlbMiss(first-level set, linear, flags): the first way was not it. Looks on, then walks. */
  private emitTlbMiss(first: Table, counter: Counter): number {
    const { large, tlb2 } = this.l;
    const f = new FunctionEmitter([I32, I64, I32]), block = currentBlock(f), key = f.local(I64);
    const makeKey = (mask: bigint): void => void f.get(1).i64(mask).op('i64.and').get(block).mem('i64.load', F.tag).op('i64.or').set(key);
    makeKey(PAGE_KEY);
    f.get(0).get(key).call(this.sets.find(first.ways)).if().i32(0).op('return').end();
    makeKey(LARGE_KEY);
    this.tlbSet(f, large, block, 1, 21);
    f.get(key).call(this.sets.find(large.ways)).if().i32(0).op('return').end();
    count(f, block, counter);
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

  /** Adds the cycles of a line of data to local `extra`. @param address, flags locals */
  private lineOfData(f: FunctionEmitter, block: number, address: number, flags: number, extra: number): void {
    const { l1d } = this.l, fig = this.p.figures;
    const line = f.local(I32), set = f.local(I32), latency = f.local(I32), victim = f.local(I32);
    f.get(address).i32(6).op('i32.shr_u').tee(line);
    cacheSet(f, l1d, block);
    f.tee(set).mem('i32.load', 0).get(line).op('i32.ne').if();
    touch(f, l1d.ways, set, line, victim, () => {
      count(f, block, 'l1dMisses');
      f.get(line).get(victim).call(this.miss).set(latency);
      f.get(latency).i32(0).op('i32.lt_s').if();
      f.get(extra).get(latency).op('i32.sub').set(extra).op('else');
      // What is exposed: what the window does not hide (hiddenCycles), and all of it where the address depends on a load.
      f.get(latency).i32(fig['cache.l1d.latency']).op('i32.sub');
      f.i32(0).i32(hiddenCycles(this.p, true)).i32(hiddenCycles(this.p, false)).get(flags).i32(ACCESS_WRITE).op('i32.and').op('select');
      f.get(flags).i32(ACCESS_DEPENDENT).op('i32.and').op('select').op('i32.sub').tee(latency);
      f.i32(0).get(latency).i32(0).op('i32.gt_s').op('select').get(extra).op('i32.add').set(extra).end();
    });
    f.end();
  }
  private emitData(tlbSlow: number): void {
    const { dtlb } = this.l;
    this.emitDataLine(tlbSlow);
    const f = new FunctionEmitter([I32, I64, I32]), block = currentBlock(f), extra = f.local(I32);
    this.unlessTranslated(f, dtlb, block, 1, (set) => void f.get(set).get(1).get(2).call(tlbSlow).set(extra));
    this.lineOfData(f, block, 0, 2, extra);
    f.get(extra);
    this.add(f, 'data');
  }
  /** The same for compiled code, which has found out that something is not plain: left and known go in and come out (cpu/engine/regions/region-timing.ts). */
  private emitDataLine(tlbSlow: number): void {
    const f = new FunctionEmitter([I32, I32, I32, I64, I32]), block = currentBlock(f), extra = f.local(I32);
    this.unlessTranslated(f, this.l.dtlb, block, 3, (set) => {
      // TLBs may change: pages of data, and lines that are known by the large-page TLB (bit 31), are known no more.
      f.i32(0).get(1).i32(KNOWN_LINES).op('i32.and').get(1).i32(0).op('i32.lt_s').op('select').set(1);
      f.get(set).get(3).get(4).call(tlbSlow).set(extra);
    });
    this.lineOfData(f, block, 2, 4, extra);
    f.get(0).get(extra).op('i32.sub').get(1);
    this.module.add(f, [I32, I32], 'dataLine');
  }
  /** 1: the line is first of its L1I set, and the page's key of its ITLB set, so that fetching it changes nothing but lastLine; 2: the large page's; else 0. */
  private emitSettled(): void {
    const { l1i, itlb } = this.l;
    const f = new FunctionEmitter([I32, I64]), block = currentBlock(f), line = f.local(I32);
    f.get(0).i32(6).op('i32.shr_u').tee(line);
    cacheSet(f, l1i, block);
    f.mem('i32.load', 0).get(line).op('i32.ne').if().i32(0).op('return').end();
    this.tlbSet(f, itlb, block, 1, 12);
    this.firstIs(f, block, 1, PAGE_KEY, 'i64.eq');
    f.if().i32(1).op('return').end();
    this.tlbSet(f, this.l.large, block, 1, 21);
    this.firstIs(f, block, 1, LARGE_KEY, 'i64.eq');
    f.i32(1).op('i32.shl');
    this.add(f, 'settled');
  }

  private emitSpan(tlbSlow: number): void {
    addSpan(this.module, this.p, this.l, (f, block, cycles, translated) => {
      f.i32(1).set(translated);
      this.unlessTranslated(f, this.l.dtlb, block, 1, (set) => {
        f.get(set).get(1).get(3).call(tlbSlow).get(cycles).op('i32.add').set(cycles);
        this.unlessTranslated(f, this.l.dtlb, block, 1, () => void f.i32(0).set(translated));
      });
    });
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
      const f = new FunctionEmitter([I32, I64]), block = currentBlock(f), extra = f.local(I32), line = f.local(I32), latency = f.local(I32), last = f.local(I32), set = f.local(I32), victim = f.local(I32);
      f.get(block).mem('i32.load', F.lastLine).set(last);
      f.get(block).get(0).i32(6).op('i32.shr_u').tee(line).mem('i32.store', F.lastLine);
      this.unlessTranslated(f, itlb, block, 1, (first) => void f.get(first).get(1).i32(ACCESS_FETCH).call(tlbSlow).set(extra));
      f.get(line);
      cacheSet(f, l1i, block);
      f.set(set);
      touch(f, l1i.ways, set, line, victim, () => {
        count(f, block, 'l1iMisses');
        f.get(line).get(victim).call(this.miss).tee(latency).i32(0).op('i32.lt_s').if().i32(0).get(latency).op('i32.sub').set(latency).end();
        // The next line in order is asked for ahead of time: the second level's latency is hidden then.
        f.get(latency).i32(fig['cache.l2.latency']).i32(0).get(line).get(last).op('i32.sub').i32(1).op('i32.eq').op('select').op('i32.sub').tee(latency);
        f.i32(0).get(latency).i32(0).op('i32.gt_s').op('select').get(extra).op('i32.add').set(extra);
      });
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
    const f = new FunctionEmitter([I32]), block = currentBlock(f), line = f.local(I32), latency = f.local(I32), set = f.local(I32), victim = f.local(I32);
    f.get(0).i32(6).op('i32.shr_u').tee(line);
    cacheSet(f, l1d, block);
    f.set(set).i32(this.p.figures['cache.l1d.latency']).set(latency);
    touch(f, l1d.ways, set, line, victim, () => {
      count(f, block, 'l1dMisses');
      f.get(line).get(victim).call(this.miss).tee(latency).i32(0).get(latency).op('i32.sub').get(latency).i32(0).op('i32.gt_s').op('select').set(latency);
    });
    f.get(latency);
    this.add(f, 'walkRead');
  }
}

/** Emits and instantiates. @param walk (linear low, high, flags) -> cycles: called when no TLB has the page */
export function instantiateTiming(p: TimingProfile, l: TimingLayout, memory: WasmMemory, walk: (lo: number, hi: number, flags: number) => number): TimingFunctions {
  const pages = memory.buffer.byteLength / 65536;
  const module = new Wasm.Module(new Emitter(p, l, pages).module.finish());
  const table = new Wasm.Table({ initial: 0, element: 'anyfunc' });
  return new Wasm.Instance(module, { env: { memory, table, walk } }).exports as unknown as TimingFunctions;
}
