/**
 * What cycle mode adds to a region: the hit paths of the timing core (timing/emit.ts) inline, calls only where something else happens.
 *
 * - Data: the DTLB's or the large-page TLB's first way, then the L1D's first way. Hits on first ways change nothing, so they are loads and
 *   comparisons.
 * - Fetches: lines of the region are constants. A line that was fetched, and is first of its L1I set while its page's key is first of a
 *   TLB's set, changes nothing but `lastLine` when it is fetched again. Such lines are bits of a local; they hold until a fetch or a data
 *   access goes to the same set, or TypeScript has run. Lines beyond LINES have no bit. Bit 31 says that some of them are known by the
 *   large-page TLB, which data accesses change, too. Pages of data that the region remembers have such bits as well.
 * - Direct branches, calls and returns: all of it.
 *
 * Invariant: where an instruction runs, `lastLine` is its line; the region is entered only if so. So a transfer within a line is no fetch.
 */

import type { LinearMemory } from '../../../mem/linear-memory.js';
import type { FunctionEmitter } from '../../../wasm/function.js';
import { I32 } from '../../../wasm/opcodes.js';
import { HINT_CALL, KNOWN_LINES } from '../host-imports.js';
import { P, R } from '../record.js';
import type { Places } from './places.js';
import type { Block, CodePage } from './region.js';
import { LEFT } from './region-frame.js';

/** A set-associative table of the timing core: place in a vCPU's block, sets, ways. */
export interface HitTable {
  readonly at: number;
  readonly sets: number;
  readonly ways: number;
}
/** What inline hit paths need to know of the timing core's tables (timing/layout.ts). Places are offsets in the running vCPU's block. */
export interface HitTables {
  /** Address of the word that has the block's address. */
  readonly current: number;
  /** The block's address if there is one vCPU. */
  readonly block: number | undefined;
  /** Fields. */
  readonly tag: number;
  readonly lastLine: number;
  readonly history: number;
  readonly path: number;
  readonly returnTop: number;
  readonly mispredicts: number;
  readonly l1i: HitTable;
  readonly l1d: HitTable;
  readonly itlb: HitTable;
  readonly dtlb: HitTable;
  readonly large: HitTable;
  /** Two-bit counters; their number and the history's length, as masks. */
  readonly counters: number;
  readonly counterMask: number;
  readonly historyMask: number;
  /** Return stack. */
  readonly returns: number;
  readonly returnEntries: number;
  /** Cycles of a mispredicted branch. */
  readonly mispredict: number;
}
/** Indices of the functions that are called where nothing inline does. */
export interface TimingCalls {
  readonly jump: number;
  readonly span: number;
  readonly string: number;
  readonly fetchAt: number;
  readonly dataLine: number;
  readonly fetchLine: number;
}

/** Lines with a bit. The bits above are pages of data (known-pages.ts) that the DTLB or the large-page TLB has first in its set. */
const LINES = Math.log2(KNOWN_LINES + 1), PAGES = 31 - LINES;
/** What a fetch that may change the large-page TLB makes unknown. */
const ALL_PAGES = 0x7fff_ffff & ~KNOWN_LINES;
const PAGE_KEY = 0x0000_ffff_ffff_f000n, LARGE_KEY = 0x0000_ffff_ffe0_0000n;
const LARGE_PAGE = 2 << 20;

interface Line {
  readonly bit: number;
  /** Bits of lines that do not stay known when this one is fetched. */
  conflicts: number;
}

export class RegionTiming {
  private readonly known: number;
  private readonly block: number;
  private readonly lines = new Map<number, Line>();
  /** Data are likely in large pages: their TLB is looked at first. */
  private readonly largeFirst: boolean;
  // The branch that is being emitted: place of its counter, the counter, the history behind it.
  private readonly counterAt: number;
  private readonly counter: number;
  private readonly history: number;

  /** @param blocks all of the region, the head first */
  constructor(
    private readonly f: FunctionEmitter,
    private readonly m: LinearMemory,
    private readonly t: HitTables,
    private readonly calls: TimingCalls,
    private readonly codeBase: number,
    private readonly places: Places,
    blocks: readonly Block[],
  ) {
    this.known = f.fixed(I32);
    this.block = t.block === undefined ? f.fixed(I32) : -1;
    this.counterAt = f.fixed(I32);
    this.counter = f.fixed(I32);
    this.history = f.fixed(I32);
    this.findLines(blocks);
    this.largeFirst = this.entries(t.large) > this.entries(t.dtlb);
  }
  /** How many entries of a TLB the address space has that runs now. */
  private entries(t: HitTable): number {
    const { u32 } = this.m, block = u32[this.t.current >>> 2]!, tag = u32[(block + this.t.tag) >>> 2]! & 0xfff;
    let n = 0;
    for (let i = 0; i < t.sets * t.ways; i++) if ((u32[(block + t.at + 8 * i) >>> 2]! & 0xfff) === tag) n++;
    return n;
  }

  // ---- pieces

  /** Puts the block on the wasm stack; a place in it is then at `at` of it. */
  private base(): this {
    if (this.block < 0) this.f.i32(0);
    else this.f.get(this.block);
    return this;
  }
  private at(place: number): number {
    return (this.t.block ?? 0) + place;
  }
  /** Puts the address of a set on the wasm stack, less the table's place: bits of the value that `push` puts there, from `from` on, choose it. */
  private set(t: HitTable, entryBytes: number, from: number, push: () => void): void {
    const { f } = this, shift = Math.log2(t.ways * entryBytes);
    if (t.sets === 1) {
      this.base();
      return;
    }
    push();
    if (Number.isInteger(shift)) {
      if (from > shift) f.i32(from - shift).op('i32.shr_u');
      else if (from < shift) f.i32(shift - from).op('i32.shl');
      f.i32((t.sets - 1) << shift).op('i32.and');
    } else f.i32(from).op('i32.shr_u').i32(t.sets - 1).op('i32.and').i32(t.ways * entryBytes).op('i32.mul');
    if (this.block >= 0) f.get(this.block).op('i32.add');
  }

  // ---- a region's beginning

  /** Puts on the wasm stack: the region is not compiled for this. @param first its first record @param page that one's */
  notHere(first: number, page: CodePage): void {
    const { f, t } = this;
    if (t.block === undefined) f.i32(0).mem('i32.load', t.current).set(this.block);
    this.base();
    f.mem('i32.load', this.at(t.lastLine)).i32(this.lineOf(first, page)).op('i32.ne');
    if (t.block !== undefined) f.i32(0).mem('i32.load', t.current).i32(t.block).op('i32.ne').op('i32.or');
  }
  /** TypeScript has run: nothing is known of lines. */
  forget(): void {
    this.f.i32(0).set(this.known);
  }
  /** The bit of a page that is remembered, by its number; 0: there is none. */
  pageBit(index: number): number {
    return index < PAGES ? 1 << (LINES + index) : 0;
  }
  /** Another page is remembered in the place of one. */
  forgetPage(bit: number): void {
    if (bit !== 0) this.f.get(this.known).i32(~bit).op('i32.and').set(this.known);
  }

  // ---- data

  /**
   * Charges a data access. @param address local @param linear puts the linear address on the wasm stack @param low it has 32 bits
   * @param page bit of the page that it is in, if that is known, else 0
   */
  data(address: number, linear: () => void, low: boolean, flags: number, page: number): void {
    const { f, t } = this;
    const narrow = (): void => {
      linear();
      f.op('i32.wrap_i64');
    };
    const key = (mask: bigint): void => {
      linear();
      f.i64(low ? BigInt.asIntN(32, mask & 0xffff_ffffn) : mask).op('i64.and');
      this.base();
      f.mem('i64.load', this.at(t.tag)).op('i64.or');
    };
    const compare = (table: HitTable, from: number, mask: bigint): void => {
      this.set(table, 8, from, narrow);
      f.mem('i64.load', this.at(table.at));
      key(mask);
    };
    const small = (): void => compare(t.dtlb, 12, PAGE_KEY), large = (): void => compare(t.large, 21, LARGE_KEY);
    const [first, second] = this.largeFirst ? [large, small] : [small, large];
    // Out of these: the line is a hit; something is not; the page is translated; a TLB has it.
    f.block().block().block();
    if (page !== 0) f.get(this.known).i32(page).op('i32.and').usually(true).brIf(0).block();
    first();
    f.op('i64.eq').usually(true).brIf(0);
    second();
    f.op('i64.ne').usually(false).brIf(page === 0 ? 1 : 2).end();
    if (page !== 0) f.get(this.known).i32(page).op('i32.or').set(this.known).end();
    this.set(t.l1d, 4, 6, () => void f.get(address));
    f.mem('i32.load', this.at(t.l1d.at)).get(address).i32(6).op('i32.shr_u').op('i32.eq').usually(true).brIf(1).end();
    f.get(LEFT).get(this.known).get(address);
    linear();
    f.i32(flags).call(this.calls.dataLine).set(this.known).set(LEFT).end();
  }
  /** Charges the lines of a stretch. */
  span(address: () => void, linear: () => void, bytes: () => void, flags: number): void {
    const { f } = this;
    f.get(LEFT);
    address();
    linear();
    bytes();
    f.i32(flags).call(this.calls.span).op('i32.sub').set(LEFT);
    // The TLBs may have changed.
    f.get(this.known).i32(KNOWN_LINES).op('i32.and').get(this.known).i32(31).op('i32.shr_s').i32(-1).op('i32.xor').op('i32.and').set(this.known);
  }
  string(bytes: () => void): void {
    const { f } = this;
    f.get(LEFT);
    bytes();
    f.call(this.calls.string).op('i32.sub').set(LEFT);
  }

  // ---- fetches

  private lineOf(record: number, page: CodePage): number {
    const { u16, u32 } = this.m;
    return (u32[(page.structure + P.bytes) >>> 2]! + u16[(record + R.off) >>> 1]!) >>> 6;
  }
  /** Which lines the region has, and which of them exclude each other. */
  private findLines(blocks: readonly Block[]): void {
    const { l1i, itlb, large } = this.t;
    const pages = new Map<number, CodePage>();
    for (const { page, steps } of blocks) {
      if (page === undefined) continue;
      for (const { record, info } of steps) if (info !== undefined) pages.set(this.lineOf(record, page), page);
    }
    let i = 0;
    for (const line of pages.keys()) this.lines.set(line, { bit: i < LINES ? 1 << i++ : 0, conflicts: 0 });
    for (const [x, a] of this.lines)
      for (const [y, b] of this.lines) {
        if (x === y) continue;
        const distance = Math.abs(pages.get(x)!.distance - pages.get(y)!.distance);
        const sameSet = ((x ^ y) & (l1i.sets - 1)) === 0;
        // Where pages lie close together, those of different 2 MiB have different sets.
        const sameTlbSet = distance !== 0 && ((distance / 4096) % itlb.sets === 0 || distance > (large.sets - 1) * LARGE_PAGE);
        if (sameSet || sameTlbSet) a.conflicts |= b.bit;
      }
  }
  /** Charges the fetch of a record of the current page. @param from a record of `fromPage` that the transfer comes from; 0: from another line */
  fetch(record: number, page: CodePage, from: number, fromPage: CodePage): void {
    const { f, t } = this;
    const number = this.lineOf(record, page);
    if (from !== 0 && this.lineOf(from, fromPage) === number) return;
    const line = this.lines.get(number);
    if (line === undefined || line.bit === 0) {
      f.get(LEFT);
      this.places.get('record', record).call(this.calls.fetchAt).op('i32.sub').set(LEFT);
      const conflicts = (line?.conflicts ?? -1) | ALL_PAGES;
      f.get(this.known).i32(~conflicts).op('i32.and').set(this.known);
      return;
    }
    f.get(this.known).i32(line.bit).op('i32.and').usually(true).if();
    this.base();
    f.i32(number).mem('i32.store', this.at(t.lastLine)).op('else');
    f.get(LEFT).get(this.known).i32(~(line.conflicts | ALL_PAGES)).op('i32.and');
    this.places.get('record', record).i32(line.bit).call(this.calls.fetchLine).set(this.known).set(LEFT).end();
  }

  // ---- branches

  private mispredicted(): void {
    const { f, t } = this;
    this.base().base();
    f.mem('i64.load', this.at(t.mispredicts)).i64(1n).op('i64.add').mem('i64.store', this.at(t.mispredicts));
    f.get(LEFT).i32(t.mispredict).op('i32.sub').set(LEFT);
  }
  /** Low 32 bits of RIP at an offset of the page. */
  private pc(offset: number): void {
    this.f.get(this.codeBase).op('i32.wrap_i64').i32(offset).op('i32.add');
  }
  /** A conditional branch: looks the prediction up. @param offset of the instruction in its page */
  predict(offset: number): void {
    const { f, t } = this;
    this.pc(offset);
    f.tee(this.counterAt).get(this.counterAt).i32(6).op('i32.shr_u').op('i32.xor');
    this.base();
    f.mem('i32.load', this.at(t.history)).tee(this.history).op('i32.xor').i32(t.counterMask).op('i32.and');
    if (this.block >= 0) f.get(this.block).op('i32.add');
    f.tee(this.counterAt).mem('i32.load8_u', this.at(t.counters)).set(this.counter);
    f.get(this.history).i32(1).op('i32.shl').i32(t.historyMask).op('i32.and').set(this.history);
  }
  /** Behind `predict`: what the branch does. */
  outcome(taken: boolean): void {
    const { f, t } = this;
    this.base();
    f.get(this.history);
    if (taken) f.i32(1).op('i32.or');
    f.mem('i32.store', this.at(t.history));
    f.get(this.counter);
    if (taken) f.i32(3).op('i32.ne');
    f.if();
    f.get(this.counterAt).get(this.counter).i32(1).op(taken ? 'i32.add' : 'i32.sub').mem('i32.store8', this.at(t.counters));
    f.get(this.counter).i32(2).op(taken ? 'i32.lt_u' : 'i32.ge_u').usually(false).if();
    this.mispredicted();
    f.end().end();
  }
  /** A direct branch that is always taken: only calls leave something behind. @param next offset of the return address */
  always(next: number, hint: number): void {
    if ((hint & HINT_CALL) === 0) return;
    const { f, t } = this;
    const at = this.counterAt, rip = this.counter, path = this.at(t.path);
    this.pc(next);
    f.set(rip);
    this.base().base();
    f.mem('i32.load', this.at(t.returnTop)).i32(1).op('i32.add');
    this.wrap(at);
    f.tee(at).mem('i32.store', this.at(t.returnTop));
    this.returnPlace(at);
    f.get(rip).mem('i32.store', this.at(t.returns));
    this.base().base();
    f.mem('i32.load', path).i32(3).op('i32.shl').get(rip).op('i32.xor').mem('i32.store', path);
  }
  /** A return. @param target local with the low half of RIP */
  returned(target: number): void {
    const { f, t } = this;
    const at = this.counterAt;
    this.base();
    f.mem('i32.load', this.at(t.returnTop)).set(at);
    this.returnPlace(at);
    f.mem('i32.load', this.at(t.returns)).get(target).op('i32.ne').usually(false).if();
    this.mispredicted();
    f.end();
    this.base();
    f.get(at).i32(t.returnEntries - 1).op('i32.add');
    this.wrap(at);
    f.mem('i32.store', this.at(t.returnTop));
  }
  private returnPlace(at: number): void {
    this.f.get(at).i32(2).op('i32.shl');
    if (this.block >= 0) this.f.get(this.block).op('i32.add');
  }
  /** The number on the wasm stack, below twice the return stack's size, modulo that size. @param spare local */
  private wrap(spare: number): void {
    const { f } = this, n = this.t.returnEntries;
    if ((n & (n - 1)) === 0) {
      f.i32(n - 1).op('i32.and');
      return;
    }
    f.tee(spare).i32(n).op('i32.sub').get(spare).get(spare).i32(n).op('i32.ge_u').op('select');
  }
  /** An indirect branch that is no return. @param target puts the low half of RIP on the wasm stack */
  jump(offset: number, target: () => void, next: number, hint: number): void {
    const { f } = this;
    f.get(LEFT);
    this.pc(offset);
    target();
    this.pc(next);
    f.i32(hint).call(this.calls.jump).op('i32.sub').set(LEFT);
  }
}
