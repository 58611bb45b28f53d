/**
 * The builder whose operands are constant: it makes one WebAssembly function of a whole region.
 *
 * General and XMM registers that the region names live in locals, loaded when it is entered and stored where it is left; so do the
 * status flags. Everything that TypeScript could look at is exact wherever it is called: before helpers, and where the region is left.
 * This file has the blocks, the control inside a description, and helpers; below it are transfers to other blocks (region-transfers.ts),
 * memory (region-memory.ts), what is around an instruction (region-frame.ts), registers and flags (region-state.ts).
 *
 * Invariant: a region does what the interpreter's chain of the same records does, call for call and cycle for cycle: the same slow
 * paths, the same charges, and it looks at `left` at the same branches. So the engine that happens to run is invisible to the guest.
 */

import type { LinearMemory } from '../../../mem/linear-memory.js';
import type { FunctionEmitter } from '../../../wasm/function.js';
import type { Operand, Val } from '../../builder.js';
import type { InsnHelper, InsnSpec } from '../../insn.js';
import { S, SEG, segAddress } from '../../state.js';
import { DATA_WRITE } from '../host-imports.js';
import { R, RECORD_BYTES, RF_REP, RF_REPNE } from '../record.js';
import type { Assumed } from './assumed.js';
import { KIND, UNKNOWN } from './flag-kinds.js';
import { KnownPages } from './known-pages.js';
import { BY_BRANCH, BY_HANDLER, BY_INTERPRETER, BY_RIP, BY_TURN, LEFT, type RegionImports } from './region-frame.js';
import { RegionOperand } from './region-operand.js';
import { RegionTiming } from './region-timing.js';
import { RegionTransfers } from './region-transfers.js';
import { type Block, type Edge, type Step, cut } from './region.js';

/** The imported global that says which region was entered last, or where it ended because it was long enough. */
const ENTERED = 0;

/** Descriptions that regions of this process have had. The first time, the host has not compiled what one calls, and takes ten times as long. */
const EMITTED = new Set<InsnSpec>();
/** Bytes behind which a region ends: where it is entered for the first time, the host makes machine code of all of it at once, 0.1 ms a KB. */
const MAX_BYTES = 40 << 10;

/** What is known at a point of the region. */
interface Known {
  readonly dirty: number;
  readonly kind: number;
}

export class RegionBuilder extends RegionTransfers {
  operandWidth: 8 | 16 | 32 | 64 = 8;
  /** Blocks that the region has, when all is emitted: all of `begin`, or those before it was long enough. The head is the first. */
  readonly emitted: Block[] = [];
  /** Instructions to emit before the next pause. */
  private room = 0;
  /** Arms of `if` in the description that is being emitted. */
  private arm = 0;
  /** Depths of the blocks and loops to branch to. */
  private readonly labels = new Map<Block, number>();
  private readonly children = new Map<Block, Block[]>();

  /**
   * @param used registers that the region names (bits of `slotOf`) @param written those that it may change
   */
  constructor(
    m: LinearMemory, codeSize: 32 | 64, imports: RegionImports, used: number, written: number, assumed: Assumed,
  ) {
    super(m, codeSize, imports, used, written, assumed);
  }

  // ---- the whole function

  /** Begins the region. @param blocks in reverse postorder, the head first */
  begin(blocks: readonly Block[]): void {
    const { f, imports } = this, head = blocks[0]!;
    if (imports.timing !== undefined) this.timing = new RegionTiming(f, this.m, imports.hits!, imports.timing, this.codeBase, this.places, blocks);
    this.places.get('record', head.first).setGlobal(ENTERED);
    f.i32(0).i32(0).mem('i32.store', S.leaveRegion);
    f.i32(0).mem('i64.load', S.codeBase).set(this.codeBase);
    this.reload();
    for (const b of blocks) {
      if (b.parent === undefined || b.forward < 2) continue;
      const list = this.children.get(b.parent);
      if (list === undefined) this.children.set(b.parent, [b]);
      else list.push(b);
    }
    this.pages = new KnownPages(f, this.m, this.used, blocks);
    this.withExits(() => {
      this.unlessAssumed(() => this.leave(BY_INTERPRETER, head.first));
      if (this.timing !== undefined) {
        this.timing.notHere(head.first, head.page!);
        this.aside(() => this.leave(BY_INTERPRETER, head.first));
      }
      this.tree(head, { dirty: 0, kind: KIND.generic });
    });
  }
  /** Goes on by so many instructions at most, to the first whose description no region of the process has had yet. False: all is emitted. */
  emit(most: number): boolean {
    for (this.room = most; this.room > 0; ) if (!this.next()) return false;
    return true;
  }
  /** The function, when all is emitted. */
  get code(): FunctionEmitter {
    return this.f;
  }
  private tree(b: Block, known: Known): void {
    const { f } = this;
    const merged = b.loop || b.forward >= 2;
    const at: Known = merged ? { dirty: b.dirty, kind: UNKNOWN } : known;
    if (b.loop) {
      f.loop();
      this.labels.set(b, f.depth);
    }
    // Blocks where forward branches meet follow this one; the last in order is the outermost.
    const meets = [...(this.children.get(b) ?? [])].sort((x, y) => y.order - x.order);
    for (const y of meets) {
      f.block();
      this.labels.set(y, f.depth);
    }
    const parts = [() => this.body(b, at)];
    for (const y of meets.reverse())
      parts.push(() => {
        f.end();
        this.tree(y, at);
      });
    if (b.loop) parts.push(() => void f.end());
    this.behind(...parts);
  }
  private body(b: Block, at: Known): void {
    this.block = b;
    this.dirty = at.dirty;
    this.kind = at.kind;
    this.cycles = this.retired = 0;
    this.emitted.push(b);
    this.steps(b, 0);
  }
  /** A block's instructions from one on. The last has its ways on emitted behind it. */
  private steps(b: Block, from: number): void {
    for (let i = from; i < b.steps.length; i++) {
      if (this.room <= 0) return this.behind(() => this.steps(b, i));
      if (this.f.size > MAX_BYTES) cut(b, i);
      else this.instruction(b.steps[i]!);
    }
    if (b.end === 'choose') return this.choose(b.sites, 0);
    if (b.end !== 'next' && b.end !== 'goto' && b.end !== 'page') return;
    this.flush();
    if (b.end === 'page') this.nextPage(b);
    if (b.end === 'goto') this.chargeFetch(b.fall!.record, undefined, true);
    this.follow(b.fall!);
  }
  /** A `pageEnd` record: the slice may end there, else it dispatches. */
  private nextPage(b: Block): void {
    const { f } = this;
    f.get(LEFT).i32(0).op('i32.le_s');
    this.aside(() => this.leave(BY_HANDLER, b.ending));
    f.i32(0);
    this.pageMoved(b.fall!.page!);
    this.aside(() => this.leave(BY_HANDLER, b.ending));
    this.arrive(b.fall!, true);
  }
  private choose(sites: readonly Edge[], i: number): void {
    if (i === sites.length - 1) return this.follow(sites[i]!);
    this.f.get(this.choice).i32(i).op('i32.eq');
    this.arms(() => this.follow(sites[i]!), () => this.choose(sites, i + 1));
  }
  private instruction(step: Step): void {
    const { f } = this;
    f.release();
    this.step = step;
    this.accesses = 0;
    this.changed = this.called = false;
    this.arm = 0;
    if (step.info === undefined) {
      this.flush();
      return this.chargeFetch(step.record + RECORD_BYTES, undefined, true);
    }
    const { spec, variant, usage } = step.info;
    this.room--;
    if (!EMITTED.has(spec)) {
      EMITTED.add(spec);
      this.room = 0;
    }
    this.operandWidth = variant.form.operandWidth;
    const operands: RegionOperand[] = [];
    for (const k of variant.form.operands) operands.push(new RegionOperand(this, k, operands.length));
    spec.body(this, ...operands);
    if (usage.ends !== undefined) return;
    this.tally();
    if (!this.called) return;
    f.i32(0).mem('i32.load', S.leaveRegion);
    this.aside(() => this.leave(BY_HANDLER, step.record + RECORD_BYTES));
  }

  operands(): Operand[] {
    throw new Error('a region has many lists of operands');
  }

  // ---- going on

  /** Goes to an edge's target with everything subtracted; the target has no fetch to charge. */
  private follow(e: Edge): void {
    const { to } = e;
    if (to === undefined) {
      if (e.more === true) this.places.get('record', e.record).setGlobal(ENTERED);
      return this.leave(BY_HANDLER, e.record);
    }
    if (e.choice !== undefined) this.f.i32(e.choice).set(this.choice);
    if (to.order > this.block.order && to.forward < 2) return this.tree(to, { dirty: this.dirty, kind: this.kind });
    this.f.brTo(this.labels.get(to)!);
  }
  /** Emits two arms for the condition on the wasm stack, each with what it has emitted behind it; what is known at the beginning holds in both. */
  private arms(then: () => void, otherwise: () => void): void {
    const { f, block, dirty, kind, cycles, retired, step, called } = this;
    f.if();
    const back = (): void => {
      this.block = block;
      this.dirty = dirty;
      this.kind = kind;
      this.cycles = cycles;
      this.retired = retired;
      this.step = step;
      this.called = called;
    };
    this.behind(
      () => {
        f.op('else');
        back();
        otherwise();
      },
      () => {
        f.end();
        back();
      },
    );
    then();
  }

  // ---- control inside a description

  override if(condition: Val, then: () => void, otherwise?: () => void): void {
    this.get(condition).f.if();
    const { dirty, kind } = this;
    this.arm++;
    then();
    const after = { dirty: this.dirty, kind: this.kind };
    this.dirty = dirty;
    this.kind = kind;
    if (otherwise !== undefined) {
      this.f.op('else');
      otherwise();
    }
    this.arm--;
    this.f.end();
    this.dirty |= after.dirty;
    if (this.kind !== after.kind) this.kind = UNKNOWN;
  }
  override loop(body: () => Val): void {
    // What the pass changes is changed already where the next pass begins.
    this.dirty |= this.written;
    this.kind = UNKNOWN;
    super.loop(body);
    this.kind = UNKNOWN;
  }
  // ---- control transfer

  nextRip(): Val {
    return this.ripBehind(this.fieldU8(R.len));
  }
  private takeBranch(): void {
    const edge = this.block.taken!;
    // A branch to another page, or to one that is not decoded, is the dispatcher's.
    const away = edge.page !== this.block.page;
    if (edge.record === 0 || (away && edge.to === undefined)) return this.leave(BY_BRANCH, this.record);
    this.mustLeave();
    this.aside(() => this.leave(BY_BRANCH, this.record));
    if (away) {
      this.f.i32(0);
      this.pageMoved(edge.page!);
      this.aside(() => this.leave(BY_BRANCH, this.record));
    }
    this.arrive(edge);
    this.follow(edge);
  }
  branchIf(condition: Val): void {
    this.tally();
    this.flush();
    this.timing?.predict(this.offset);
    this.get(condition);
    this.arms(
      () => {
        this.timing?.outcome(true);
        this.takeBranch();
      },
      () => {
        this.timing?.outcome(false);
        this.follow(this.block.fall!);
      },
    );
  }
  branch(): void {
    this.tally();
    this.flush();
    this.chargeAlways();
    this.takeBranch();
  }
  jump(rip: Val): void {
    this.checkTarget(rip);
    this.setState(S.rip, rip);
    this.tally();
    this.flush();
    this.chargeJump(rip);
    this.toSites(rip, this.block.sites.filter((s) => s.to !== undefined));
  }
  /** Goes to one of the block's sites if that is where `rip` leads; else, or when anything else has to be looked at, dispatches. */
  private toSites(rip: Val, sites: readonly Edge[]): void {
    const { f } = this;
    const [site, ...rest] = sites;
    if (site === undefined) return this.toCached(rip);
    this.get(rip).f.get(this.codeBase).op('i64.sub');
    if (!this.is64) f.i64(0xffff_ffffn).op('i64.and');
    const off = BigInt(this.m.u16[(site.record + R.off) >>> 1]! + this.distanceTo(site.page!));
    f.i64(this.is64 ? off : BigInt.asUintN(32, off)).op('i64.eq');
    this.arms(
      () => {
        this.mustLeave();
        this.aside(() => this.leave(BY_RIP));
        f.i32(0);
        this.pageMoved(site.page!);
        this.aside(() => this.leave(BY_RIP));
        this.arrive(site);
        this.follow(site);
      },
      () => this.toSites(rip, rest),
    );
  }
  // ---- x87 and string instructions

  instructionRip(): Val {
    return this.ripBehind(0);
  }
  operandSelector(): Val {
    return this.getState(segAddress(this.fieldU8(R.segment)) + SEG.selector, 32);
  }
  registerNumber(i: number): Val {
    return this.c(32, this.fieldU8(R.reg + i));
  }
  repeat(): Val {
    return this.c(32, this.fieldU8(R.flags) & (RF_REP | RF_REPNE));
  }
  addressSize(): Val {
    return this.c(32, this.fieldU8(R.addressWidth));
  }
  protected ownSegment(): Val {
    return this.c(32, this.fieldI32(R.segBase));
  }
  chargeSpan(address: Val, linear: Val, bytes: Val, write: boolean): void {
    const push = (v: Val) => () => void this.get(v);
    this.timing?.span(push(address), push(linear), push(bytes), write ? DATA_WRITE : 0);
  }
  chargeString(bytes: Val): void {
    this.timing?.string(() => void this.get(bytes));
  }

  // ---- exceptions and helpers

  raiseIf(condition: Val, vector: number, errorCode?: number): void {
    if (condition.known === 0n) return;
    this.get(condition);
    this.aside(() => {
      this.spill();
      this.saveLeft();
      this.places.get('record', this.record).i32(vector).i32(errorCode ?? -1).call(this.imports.raise).op('drop');
      this.returnNow();
    });
  }
  again(condition: Val): void {
    this.get(condition);
    this.aside(() => {
      this.setState(S.rip, this.instructionRip());
      this.tally();
      this.leave(BY_TURN);
    });
  }
  call(fn: InsnHelper): void {
    this.runHelper(fn);
    this.pages.forget();
    this.reload();
    this.unlessAssumed(() => this.f.i32(0).i32(1).mem('i32.store', S.leaveRegion));
  }
  /** What is known of registers and flags stays: nothing is loaded again. */
  override compute(fn: InsnHelper): void {
    // What is needed only sometimes is the interpreter's, like a memory access that misses, so that loops have no calls.
    if (this.arm > 0 && !this.changed && this.missLeaves) return this.leaveHere();
    const { dirty, kind } = this;
    this.runHelper(fn);
    this.dirty = dirty;
    this.kind = kind;
  }
  helper(fn: InsnHelper): void {
    this.call(fn);
  }
}
