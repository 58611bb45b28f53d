/**
 * The part of a region's builder that knows what is around an instruction: its record, what has been charged, and the ways out.
 *
 * The cost of instructions is summed while compiling and subtracted once a block. All ways out meet in one place behind the code
 * (`exits`), where the state is made exact: so a way out is a few bytes wherever it is needed.
 */

import type { LinearMemory } from '../../../mem/linear-memory.js';
import { I32 } from '../../../wasm/opcodes.js';
import type { Val } from '../../builder.js';
import type { InsnHelper } from '../../insn.js';
import { LEFT_BY, S } from '../../state.js';
import { R } from '../record.js';
import { CHAIN } from '../shared-functions.js';
import { UNKNOWN } from './flag-kinds.js';
import { Places } from './places.js';
import type { Step } from './region.js';
import { RegionState } from './region-state.js';
import type { HitTables, RegionTiming, TimingCalls } from './region-timing.js';

/** Indices of the functions that a region's module imports. */
export interface RegionImports {
  readonly commit: number;
  readonly helper: number;
  readonly raise: number;
  readonly arrive: number;
  readonly branchSlow: number;
  readonly dispatch: number;
  readonly flagsAux: number;
  readonly slowAccess: number;
  /** Cycle mode only. */
  readonly timing?: TimingCalls;
  readonly hits?: HitTables;
}

/** Parameters; the record is known, so its local names the one that an exit is about. */
export const REC = 0, LEFT = 1;
/**
 * How a region is left: to the record's handler; by the record's taken branch; to S.rip; to the record's own handler in the interpreter;
 * to S.rip, which is no block's end.
 */
export const BY_HANDLER = 0, BY_BRANCH = 1, BY_RIP = 2, BY_INTERPRETER = 3, BY_TURN = 4;

/** Cycles within which the guest is looked at behind a region that ran past the look. */
const LATEST = 8192;

export abstract class RegionFrame extends RegionState {
  protected step!: Step;
  /** Cycles and instructions of this block that are not yet subtracted and counted. */
  protected cycles = 0;
  protected retired = 0;
  /** Cycle mode only. */
  protected timing: RegionTiming | undefined;
  protected readonly choice: number;
  /** Whatever of the code is not the same in each machine. */
  readonly places: Places;
  /** Emitted code of this instruction calls something that may want the region to be left behind it. */
  protected called = false;
  private readonly how: number;
  /** Cycles that were withheld for the next look at the guest when the region was entered: that look is for interpreted code. */
  protected readonly spare: number;
  private exit = 0;
  private exitReturn = 0;
  /** What comes behind what is emitted now; the last of it is next. So control is nested in the code, but not in calls, and emitting can pause. */
  private readonly rest: (() => void)[] = [];

  /** @param used registers that the region names (bits of `slotOf`) @param written those that it may change */
  constructor(
    protected readonly m: LinearMemory,
    readonly codeSize: 32 | 64,
    protected readonly imports: RegionImports,
    used: number,
    protected readonly written: number,
  ) {
    super(used, imports.flagsAux);
    this.places = new Places(this.f);
    this.how = this.f.fixed(I32);
    this.spare = this.f.fixed(I32);
    this.choice = this.f.fixed(I32);
  }
  protected get instructionName(): string {
    return this.step.info?.spec.name ?? 'a line';
  }

  // ---- the record

  get record(): number {
    return this.step.record;
  }
  /** A signed or unsigned field of the record, as a number. */
  fieldI32(offset: number): number {
    return this.m.i32[(this.record + offset) >>> 2]!;
  }
  fieldU8(offset: number): number {
    return this.m.u8[this.record + offset]!;
  }
  field64(offset: number): bigint {
    return this.m.view.getBigUint64(this.record + offset, true);
  }
  isWritten(index: number): boolean {
    return this.step.info!.usage.written.has(index);
  }
  isMemory(kind: string): boolean {
    return kind === 'mem' || (kind === 'rm' && this.step.info!.variant.addressing !== 'register');
  }

  protected get offset(): number {
    return this.m.u16[(this.record + R.off) >>> 1]!;
  }
  /** RIP at a distance from the instruction's beginning. */
  protected ripBehind(bytes: number): Val {
    const rip = this.add(this.copy(this.codeBase, 64), this.c(64, this.offset + bytes));
    return this.is64 ? rip : this.and(rip, this.c(64, 0xffff_ffff));
  }

  // ---- what has been charged

  protected tally(): void {
    this.cycles += this.timing === undefined ? 1 : this.m.u16[(this.step.record + R.cost) >>> 1]!;
    this.retired++;
  }
  /** Puts on the wasm stack: LEFT as if the block had been charged so far. */
  protected pushLeft(): void {
    this.f.get(LEFT);
    if (this.cycles !== 0) this.f.i32(this.cycles).op('i32.sub');
  }
  /** Subtracts and counts what has run. */
  protected flush(): void {
    if (this.cycles !== 0) {
      this.pushLeft();
      this.f.set(LEFT);
    }
    this.addRetired(this.retired);
    this.cycles = this.retired = 0;
  }
  /** Cycle mode: functional mode counts by cycles. */
  protected addRetired(n: number): void {
    if (this.timing !== undefined && n !== 0) this.f.i32(0).i32(0).mem('i32.load', S.retired).i32(n).op('i32.add').mem('i32.store', S.retired);
  }
  /** Around a call that may look at the time or change it: S.left (and S.retired) as if the block had been charged so far. */
  protected saveLeft(): void {
    const { f } = this;
    f.i32(0);
    this.pushLeft();
    f.mem('i32.store', S.left);
    this.addRetired(this.retired);
  }
  protected restoreLeft(): void {
    const { f } = this;
    f.i32(0).mem('i32.load', S.left);
    if (this.cycles !== 0) f.i32(this.cycles).op('i32.add');
    f.set(LEFT);
    this.addRetired(-this.retired);
    this.timing?.forget();
  }

  // ---- one thing behind the other

  /** Has these emitted, in this order, behind what is emitted now, and before what comes behind that. */
  protected behind(...parts: readonly (() => void)[]): void {
    for (let i = parts.length - 1; i >= 0; i--) this.rest.push(parts[i]!);
  }
  /** Emits what comes next. False: nothing is left. */
  protected next(): boolean {
    const part = this.rest.pop();
    part?.();
    return part !== undefined;
  }

  // ---- ways out

  /** Emits what `body` does, and what it has emitted behind it, between the beginning of a function and its ways out. */
  protected withExits(body: () => void): void {
    const { f } = this;
    f.i32(0).mem('i32.load', S.sampleSpare).set(this.spare);
    f.get(LEFT).get(this.spare).op('i32.add').set(LEFT);
    this.addToBudget('i32.add');
    f.i32(0).i32(0).mem('i32.store', S.sampleSpare);
    f.block();
    this.exitReturn = f.depth;
    f.block();
    this.exit = f.depth;
    this.behind(() => {
      f.op('unreachable').end();
      this.exits();
      f.end();
      f.i32(0).mem('i32.load', S.left).get(this.spare).op('i32.gt_s').if();
      f.i32(0).i32(0).mem('i32.load', S.left).get(this.spare).op('i32.sub').mem('i32.store', S.left);
      this.withhold();
      f.end();
    });
    body();
  }
  private addToBudget(op: 'i32.add' | 'i32.sub'): void {
    this.f.i32(0).i32(0).mem('i32.load', S.sliceBudget).get(this.spare).op(op).mem('i32.store', S.sliceBudget);
  }
  /** The cycles that the region did not need are withheld again, so that the look comes when it is due. */
  private withhold(): void {
    this.addToBudget('i32.sub');
    this.f.i32(0).get(this.spare).mem('i32.store', S.sampleSpare);
  }
  /** Ends the chain; the state is as a call has left it. */
  protected returnNow(): void {
    this.f.brTo(this.exitReturn);
  }
  /** All ways out end here: the state is made exact, then the chain goes on. */
  private exits(): void {
    const { f } = this;
    this.dirty = this.written;
    this.kind = UNKNOWN;
    this.spill();
    f.get(LEFT).get(this.spare).op('i32.gt_s').if();
    f.get(LEFT).get(this.spare).op('i32.sub').set(LEFT);
    this.withhold();
    f.op('else');
    // The look was due in here. What comes now may be interpreted, and is looked at when it has run as long as the region since then.
    const soon = f.local(I32);
    f.get(this.spare).get(LEFT).op('i32.sub').tee(soon).i32(LATEST).get(soon).i32(LATEST).op('i32.lt_s').op('select').tee(soon);
    f.get(LEFT).op('i32.lt_s').if();
    f.get(LEFT).get(soon).op('i32.sub').set(this.spare);
    f.get(soon).set(LEFT);
    this.withhold();
    f.end().end();
    f.get(this.how).i32(BY_HANDLER).op('i32.eq').if();
    f.get(REC).get(LEFT).get(REC).mem('i32.load', R.handler).returnCall(CHAIN).end();
    f.get(this.how).i32(BY_INTERPRETER).op('i32.eq').if();
    f.get(REC).get(LEFT).get(this.choice).returnCall(CHAIN).end();
    f.get(this.how).i32(BY_BRANCH).op('i32.eq').if();
    f.get(REC).get(LEFT).returnCall(this.imports.branchSlow).end();
    f.get(LEFT).i32(0).op('i32.le_s').if();
    f.i32(0).get(LEFT).mem('i32.store', S.left);
    f.i32(0).i32(0).i32(LEFT_BY.blockEnd).get(this.how).i32(BY_TURN).op('i32.eq').op('select').mem('i32.store', S.leftBy).op('return').end();
    f.i32(0).get(LEFT).returnCall(this.imports.dispatch);
    f.op('unreachable');
  }
  /** Leaves the region, everything so far subtracted. */
  protected leave(how: number, record = 0): void {
    const { f } = this;
    this.flush();
    f.i32(how).set(this.how);
    if (record !== 0) this.places.get('record', record).set(REC);
    if (how === BY_INTERPRETER) this.places.get('handler', record).set(this.choice);
    f.brTo(this.exit);
  }

  /** Emits a way out; what is known behind it is as before it. */
  private keeping(exit: () => void): void {
    const { dirty, kind, cycles, retired } = this;
    exit();
    this.dirty = dirty;
    this.kind = kind;
    this.cycles = cycles;
    this.retired = retired;
  }
  /** A way out if the wasm stack's top is not zero. */
  protected aside(exit: () => void): void {
    this.f.usually(false).if();
    this.keeping(exit);
    this.f.end();
  }
  /** Leaves to the interpreter before the instruction. */
  protected leaveHere(): void {
    this.keeping(() => this.leave(BY_INTERPRETER, this.record));
  }
  /** Runs a helper with exact state; leaves if it says so. Its changes of registers and flags are in the state alone. */
  protected runHelper(fn: InsnHelper): void {
    this.spill();
    this.saveLeft();
    this.places.get('record', this.record);
    this.places.helper(this.record, fn).call(this.imports.helper).if();
    this.returnNow();
    this.f.end();
    this.restoreLeft();
    this.called = true;
  }
}
