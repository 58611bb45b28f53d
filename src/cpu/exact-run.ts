/**
 * Chains of records that leave earlier than they would by themselves, and go on later as if they had not: how a run stops at an
 * instruction in the middle of a block.
 *
 * The run loop looks at events where blocks end and nowhere else, so a stop in between must not bring it to look. `S.midBlock` says that
 * the record at RIP is next, without a look at anything. What lies between two instructions (a new cache line, the page's end, a
 * branch's way to its target) belongs to the first of them: it has happened, and has been charged, when the run stops.
 *
 * Invariants: RIP, registers, memory and cycles after a stop are those of a run without it, and so is everything afterwards; no page
 * walk, no decoding and no delivery happens that the chain would not have done (docs/adr/0011).
 */

import { TLB_ENTRIES, TLB_ENTRY_BYTES } from '../mmu/tlb.js';
import { CodeFetch } from './code-fetch.js';
import { CODE_PAGE_TABLE, STEP_RECORD } from './engine/code-cache.js';
import { P, PAGE_HEADER, R, RECORD_BYTES, RF_SAME_PAGE } from './engine/record.js';
import { LEFT_BY, MODE, S } from './state.js';

/** No look at the guest is due, ever: `lookAt` without a compiler. */
const NEVER = 0x7fff_ffff;

export class ExactRun extends CodeFetch {
  /** Cycles of the slice that had passed when `instructions` was brought up to date. */
  protected counted = 0;
  private inChain = false;
  /** The record that was made a `stop` record, and its handler. */
  private planted = 0;
  private plantedOver = 0;
  /** Cycles of the slice behind which the compiler looks where the guest is. */
  private lookAt = NEVER;
  /** Cycles that the chain under way leaves to the look, of which a region may take some (S.sampleSpare); 0: none. */
  private cutBy = 0;

  /** Instructions retired since `instructions` was brought up to date. */
  get live(): number {
    const { u32, i32 } = this.m;
    return this.engine.timing !== undefined ? u32[S.retired >>> 2]! : i32[S.sliceBudget >>> 2]! - i32[S.left >>> 2]! - this.counted - this.charged;
  }
  /** Cycles of the slice that have passed. */
  get elapsed(): number {
    const { i32 } = this.m;
    return i32[S.sliceBudget >>> 2]! - i32[S.left >>> 2]!;
  }
  /** Instructions retired by all vCPUs since power-on, now. This vCPU is the one that runs. */
  protected get total(): number {
    return this.engine.control.retired + this.live;
  }

  // ---- leaving early

  private withhold(cycles: number): void {
    const { i32 } = this.m;
    this.withheld += cycles;
    i32[S.sliceBudget >>> 2]! -= cycles;
    i32[S.left >>> 2]! -= cycles;
  }
  private giveBack(): void {
    const { i32 } = this.m;
    i32[S.sliceBudget >>> 2]! += this.withheld;
    i32[S.left >>> 2]! += this.withheld;
    this.withheld = 0;
  }
  /** Makes the chain under way leave behind the instruction that runs now, from something that this instruction called. */
  override leaveAfterInstruction(): void {
    if (!this.inChain) return;
    if (this.left > 0) this.withhold(this.left);
    const { u32 } = this.m, record = this.running;
    u32[S.leaveRegion >>> 2] = 1;
    if (record === STEP_RECORD || this.planted !== 0) return;
    this.planted = record + RECORD_BYTES;
    this.plantedOver = u32[this.planted >>> 2]!;
    u32[this.planted >>> 2] = this.engine.handlers.base.stop;
  }

  /** Runs from a record until something leaves or the goal is near. @param arrive false: the record's fetch has been charged */
  protected chain(record: number, arrive: boolean): void {
    const { control } = this.engine;
    if (control.bounded) {
      const total = this.total, now = this.now();
      if (control.near(total, now)) return this.single(record, arrive);
      const spare = this.left - control.room(total, now);
      if (spare > 0) this.withhold(spare);
    }
    const { compiler } = this.engine;
    if (compiler?.attentive === true) compiler.entering(record);
    const spare = this.m.i32[S.sliceBudget >>> 2]! - this.lookAt;
    if (spare > 0) this.cut(spare);
    const by = this.runFrom(record, arrive);
    if ((by & LEFT_BY.stopRecord) !== 0) {
      const next = this.planted;
      this.uproot();
      this.advance(next);
      return;
    }
    this.uproot();
    // It was arrived at; the run loop finds the breakpoint.
    if ((by & LEFT_BY.breakpoint) !== 0) this.m.u32[S.midBlock >>> 2] = 1;
    else if (by !== 0 && this.left > 0) this.arriveAtRip((by & LEFT_BY.samePage) !== 0);
    if (spare > 0 && this.elapsed >= this.lookAt) {
      compiler!.sample((by & LEFT_BY.blockEnd) !== 0);
      this.lookAt = this.elapsed + compiler!.interval;
    }
  }
  /** A run begins: the look that is due next has its place in the slice. */
  protected awaitLook(): void {
    const { compiler } = this.engine;
    this.lookAt = compiler === undefined ? NEVER : this.elapsed + compiler.untilLook;
  }
  /** A run has ended; perhaps another vCPU runs next. */
  protected noteLook(): void {
    const { compiler } = this.engine;
    if (compiler !== undefined) compiler.untilLook = this.lookAt - this.elapsed;
  }
  /** Ends the chain that comes where the next look is due: a stop like any other. A region may go on, but not for ever. */
  private cut(spare: number): void {
    const { i32 } = this.m, over = spare - this.engine.compiler!.options.longest;
    if (over > 0) {
      this.withhold(over);
      spare -= over;
    }
    i32[S.sliceBudget >>> 2]! -= spare;
    i32[S.left >>> 2]! -= spare;
    i32[S.sampleSpare >>> 2] = this.cutBy = spare;
  }
  private join(): void {
    const { i32 } = this.m, spare = i32[S.sampleSpare >>> 2]!;
    // A region that took the cycles needs no look. What came behind it does when it has used up those that the region left it.
    if (spare !== this.cutBy) this.lookAt = this.elapsed + (this.engine.compiler!.ran(spare > 0 && this.left <= 0) ? 0 : this.engine.compiler!.interval);
    i32[S.sliceBudget >>> 2]! += spare;
    i32[S.left >>> 2]! += spare;
    i32[S.sampleSpare >>> 2] = this.cutBy = 0;
  }
  private uproot(): void {
    if (this.planted === 0) return;
    const { u32 } = this.m;
    const { base } = this.engine.handlers;
    // A store to the page may have made it a `refetch` record since, and a compiled region that it was may be gone.
    if (u32[this.planted >>> 2] === base.stop) u32[this.planted >>> 2] = this.engine.compiler?.current(this.plantedOver) ?? this.plantedOver;
    this.planted = 0;
  }
  private runFrom(record: number, arrive: boolean): number {
    const { u32 } = this.m, { handlers } = this.engine;
    this.inChain = true;
    if (arrive) handlers.enter(record, this.left);
    else handlers.resume(record, this.left);
    this.inChain = false;
    if (this.cutBy !== 0) this.join();
    if (this.withheld !== 0) this.giveBack();
    const by = u32[S.leftBy >>> 2]!;
    u32[S.leftBy >>> 2] = 0;
    return by;
  }

  // ---- one instruction

  /** Runs one instruction, a copy of its record with a `stop` record behind it. A branch leaves because nothing is left. */
  private single(record: number, arrive: boolean): void {
    const { m, engine } = this, { base } = engine.handlers;
    let at = record;
    if (engine.handlerOf(at) === base.straddle && (at = this.across(record)) === 0) return;
    if (m.u32[at >>> 2] === base.refetch) return this.setRip(m.u16[(at + R.off) >>> 1]!);
    for (let to = STEP_RECORD >>> 2, from = at >>> 2, i = 1; i < RECORD_BYTES / 4; i++) m.u32[to + i] = m.u32[from + i]!;
    m.u32[STEP_RECORD >>> 2] = engine.handlerOf(at);
    this.stopAfter(m.u16[(at + R.off) >>> 1]! + m.u8[at + R.len]!);
    if (this.left > 0) this.withhold(this.left);
    const by = this.runFrom(STEP_RECORD, arrive);
    if ((by & LEFT_BY.stopRecord) !== 0) this.advance(at + RECORD_BYTES);
    else if (by !== 0 && this.left > 0) this.arriveAtRip((m.u8[at + R.flags]! & RF_SAME_PAGE) !== 0);
  }
  /** Puts a `stop` record behind the step record. @param off offset in the page at which the next instruction begins */
  protected stopAfter(off: number): void {
    const { m } = this;
    m.u32[(STEP_RECORD + RECORD_BYTES) >>> 2] = this.engine.handlers.base.stop;
    m.u16[(STEP_RECORD + RECORD_BYTES + R.off) >>> 1] = off;
  }

  // ---- breakpoints

  /** Asked by the `breakpoint` handler: S.rip and S.left are exact. */
  override breakpoint(record: number): number {
    return this.onBreakpoint() ? -1 : this.engine.handlerOf(record);
  }
  /** Is there a breakpoint at RIP, other than one where the run began? */
  protected onBreakpoint(): boolean {
    const { engine } = this;
    return engine.breakpoints.at(this.linearHi, this.linearLo) && !engine.control.fresh(this.total);
  }
  private get linearLo(): number {
    const { u32 } = this.m;
    return (u32[S.rip >>> 2]! + u32[S.csBase >>> 2]!) >>> 0;
  }
  private get linearHi(): number {
    const { u32 } = this.m;
    return u32[S.mode >>> 2] === MODE.bits64 ? u32[(S.rip >>> 2) + 1]! : 0;
  }
  /** CS:RIP as a linear address. */
  get linear(): bigint {
    return (BigInt(this.linearHi) << 32n) | BigInt(this.linearLo);
  }

  // ---- going on in the middle of a block

  /** Goes on at RIP, where a stop has come between two instructions of a block. */
  protected resume(): void {
    const { u32 } = this.m;
    u32[S.midBlock >>> 2] = 0;
    const page = u32[S.currentPage >>> 2]!, off = this.offsetInPage();
    const record = page !== 0 && off < 4096 ? u32[(page + PAGE_HEADER + 4 * off) >>> 2]! : 0;
    // A machine restored from a snapshot may have none.
    const found = record !== 0 ? record : this.fetch();
    if (found !== 0) this.chain(found, false);
  }
  /** RIP minus the page's address; 4096 or more when it lies elsewhere. */
  private offsetInPage(): number {
    const { u32 } = this.m, r = S.rip >>> 2, c = S.codeBase >>> 2;
    const off = (u32[r]! - u32[c]!) >>> 0;
    const carry = u32[r]! < u32[c]! ? 1 : 0;
    const wide = u32[S.mode >>> 2] === MODE.bits64;
    return wide && ((u32[c + 1]! + carry) >>> 0) !== u32[r + 1]! ? 4096 : off;
  }

  /** What comes between an instruction and the next one: `next` is the record behind it. */
  private advance(next: number): void {
    const { u32, u16 } = this.m, { base } = this.engine.handlers;
    for (let at = next; ; ) {
      const handler = u32[at >>> 2]!; // a breakpoint's stands for an instruction
      if (handler === base.line) this.chargeFetch((at += RECORD_BYTES));
      else if (handler === base.goto) this.chargeFetch((at = u32[(at + R.target) >>> 2]!));
      else if (handler === base.refetch) return this.setRip(u16[(at + R.off) >>> 1]!);
      else if (handler === base.pageEnd) {
        this.setRip(u16[(at + R.off) >>> 1]!);
        if (this.left > 0) this.arriveAtRip(false);
        return;
      } else {
        this.setRip(u16[(at + R.off) >>> 1]!);
        u32[S.midBlock >>> 2] = 1;
        return;
      }
    }
  }
  private chargeFetch(record: number): void {
    const { fetchAt } = this.engine.handlers;
    if (fetchAt !== undefined) this.m.i32[S.left >>> 2]! -= fetchAt(record);
  }
  private setRip(off: number): void {
    const { u32 } = this.m, lo = u32[S.codeBase >>> 2]! + off;
    u32[S.rip >>> 2] = lo;
    u32[(S.rip >>> 2) + 1] = u32[S.mode >>> 2] === MODE.bits64 ? u32[(S.codeBase >>> 2) + 1]! + (lo > 0xffff_ffff ? 1 : 0) : 0;
  }

  /**
   * A taken branch, a jump or a page's end comes to its target, as `branchSlow` and `dispatch` of base-handlers.ts do. Where these leave,
   * the run loop is next and nothing changes.
   */
  private arriveAtRip(samePage: boolean): void {
    const { u32 } = this.m;
    if (samePage) {
      const off = this.offsetInPage();
      const record = off < 4096 ? u32[(u32[S.currentPage >>> 2]! + PAGE_HEADER + 4 * off) >>> 2]! : 0;
      if (record !== 0) return this.arriveAt(record);
    }
    const mode = u32[S.mode >>> 2]!;
    const lo = this.linearLo, hi = this.linearHi;
    const entry = this.tlbEntry(lo);
    if (u32[entry + 6] !== (lo & ~4095) >>> 0 || u32[entry + 7] !== hi) return;
    let page = u32[(CODE_PAGE_TABLE >>> 2) + u32[entry + 5]!]!;
    while (page !== 0 && u32[(page + P.mode) >>> 2] !== mode) page = u32[(page + P.next) >>> 2]!;
    if (page === 0) return;
    const off = lo & 4095, record = u32[(page + PAGE_HEADER + 4 * off) >>> 2]!;
    if (record === 0) return;
    const account = u32[(page + P.account) >>> 2]!;
    if (account !== 0 && account !== u32[S.account >>> 2]) this.arrive(account, this.left);
    u32[S.currentPage >>> 2] = page;
    this.s.set64(S.codeBase, BigInt.asUintN(64, this.s.rip - BigInt(off)));
    this.arriveAt(record);
  }
  private arriveAt(record: number): void {
    this.chargeFetch(record);
    this.m.u32[S.midBlock >>> 2] = 1;
  }
  /** Word index of the software-TLB entry for a linear address. */
  private tlbEntry(lo: number): number {
    return (this.m.u32[S.tlb >>> 2]! + ((lo >>> 12) & (TLB_ENTRIES - 1)) * TLB_ENTRY_BYTES) >>> 2;
  }
  /** The decoded form of a page-crossing instruction that follows in sequence, as `straddle` of base-handlers.ts finds it; 0 when that leaves. */
  private across(straddle: number): number {
    const { u32, u16 } = this.m;
    this.setRip(u16[(straddle + R.off) >>> 1]!);
    const { s } = this, wide = u32[S.mode >>> 2] === MODE.bits64;
    const linear = BigInt.asUintN(wide ? 64 : 32, s.rip + s.get64(S.csBase) + 4096n) & ~4095n;
    const lo = Number(linear & 0xffff_ffffn), hi = Number(linear >> 32n), entry = this.tlbEntry(lo), target = u32[(straddle + R.target) >>> 2]!;
    return target !== 0 && u32[entry + 6] === lo && u32[entry + 7] === hi && u32[entry + 5] === u32[(straddle + R.disp) >>> 2] ? target : 0;
  }
}
