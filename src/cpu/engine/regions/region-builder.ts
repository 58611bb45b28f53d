/**
 * The builder whose operands are constant: it makes one WebAssembly function of a whole region.
 *
 * General and XMM registers that the region names live in locals, loaded when it is entered and stored where it is left; so do the
 * status flags (region-state.ts). The cost of instructions is summed while compiling and subtracted once a block. Everything that
 * TypeScript could look at is exact wherever it is called: before helpers, and where the region is left. A memory access that misses
 * the software TLB leaves.
 *
 * Invariant: a region does what the interpreter's chain of the same records does, call for call and cycle for cycle: the same slow
 * paths, the same charges, and it looks at `left` at the same branches. So the engine that happens to run is invisible to the guest.
 */

import { TLB_ENTRIES } from '../../../mmu/tlb.js';
import type { LinearMemory } from '../../../mem/linear-memory.js';
import { ZERO_SLOT } from '../../../mem/layout.js';
import { I32 } from '../../../wasm/opcodes.js';
import type { Operand, Val, Width } from '../../builder.js';
import type { InsnHelper } from '../../insn.js';
import { FS, GS, LEFT_BY, S, SCRATCH_DATA, SEG, segAddress } from '../../state.js';
import { FLAT_STACK } from '../../system/segments.js';
import { V } from '../arithmetic-builder.js';
import { helperId } from '../helpers.js';
import { ACCESS_READ, ACCESS_RMW, ACCESS_WRITE, BRANCH_ALWAYS, BRANCH_NOT_TAKEN, BRANCH_TAKEN, DATA_WRITE } from '../host-imports.js';
import { HANDLER_TYPE_INDEX, type Access } from '../interpreter-builder.js';
import { R, RECORD_BYTES, RF_HINT_SHIFT, RF_REP, RF_REPNE } from '../record.js';
import { slotOf } from '../usage.js';
import { KIND, UNKNOWN } from './flag-kinds.js';
import type { Block, CodePage, Edge, Step } from './region.js';
import { RegionOperand } from './region-operand.js';
import { type RegionEmitter, RegionState } from './region-state.js';

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
  readonly timing?: { readonly data: number; readonly branch: number; readonly jump: number; readonly span: number; readonly string: number; readonly fetchAt: number };
}

const REC = 0, LEFT = 1; // parameters; the record is known, so its local names the one that an exit is about
const ENTRY_MASK = (TLB_ENTRIES - 1) << 5;
/** How a region is left: to the record's handler; by the record's taken branch; to S.rip; to the record's own handler in the interpreter;
 * to S.rip, which is no block's end. */
const BY_HANDLER = 0, BY_BRANCH = 1, BY_RIP = 2, BY_INTERPRETER = 3, BY_TURN = 4;

/** What is known at a point of the region. */
interface Known {
  readonly dirty: number;
  readonly kind: number;
}

export class RegionBuilder extends RegionState {
  operandWidth: 8 | 16 | 32 | 64 = 8;
  private step!: Step;
  private block!: Block;
  /** Cycles and instructions of this block that are not yet subtracted and counted. */
  private cycles = 0;
  private retired = 0;
  /** Arms of `if` in the description that is being emitted. */
  private arm = 0;
  /** Memory accesses of the instruction so far. */
  private accesses = 0;
  /** Depths of the blocks and loops to branch to. */
  private readonly labels = new Map<Block, number>();
  private readonly how: number;
  private readonly choice: number;
  private exit = 0;
  private readonly children = new Map<Block, Block[]>();

  /**
   * @param used registers that the region names (bits of `slotOf`) @param written those that it may change
   * @param dirtyAt registers that may be changed and not stored where a block begins
   */
  constructor(
    private readonly m: LinearMemory,
    readonly codeSize: 32 | 64,
    private readonly imports: RegionImports,
    used: number,
    private readonly written: number,
    private readonly dirtyAt: ReadonlyMap<Block, number>,
    /** Outside 64-bit mode: segments (bits by number) that are flat while the region runs; bit 6: and the stack is 32 bits wide. */
    private readonly flat: number,
    /** The interpreter's handler of a record. */
    private readonly interpreter: (record: number) => number,
  ) {
    super(used, imports.flagsAux);
    this.how = this.f.fixed(I32);
    this.choice = this.f.fixed(I32);
  }
  protected get instructionName(): string {
    return this.step.info?.spec.name ?? 'a line';
  }

  // ---- the whole function

  /** Emits the region. @param blocks in reverse postorder, the head first */
  region(blocks: readonly Block[]): RegionEmitter {
    const { f } = this;
    f.i32(0).i32(0).mem('i32.store', S.leaveRegion);
    f.i32(0).mem('i64.load', S.codeBase).set(this.codeBase);
    this.reload();
    for (const b of blocks) {
      if (b.parent === undefined || b.forward < 2) continue;
      const list = this.children.get(b.parent);
      if (list === undefined) this.children.set(b.parent, [b]);
      else list.push(b);
    }
    f.block();
    this.exit = f.depth;
    if (this.flat !== 0) {
      this.notFlat();
      this.aside(() => this.leave(BY_INTERPRETER, blocks[0]!.first));
    }
    this.tree(blocks[0]!, { dirty: 0, kind: KIND.generic });
    f.op('unreachable').end();
    this.exits();
    return f;
  }
  /** Puts on the wasm stack: a segment that the region takes for flat is not. */
  private notFlat(): void {
    this.f.i32(0).mem('i32.load', S.flatSegments).i32(this.flat).op('i32.and').i32(this.flat).op('i32.ne');
  }
  /** All ways out end here: the state is made exact, then the chain goes on. */
  private exits(): void {
    const { f } = this;
    this.dirty = this.written;
    this.kind = UNKNOWN;
    this.spill();
    f.get(this.how).i32(BY_HANDLER).op('i32.eq').if();
    f.get(REC).get(LEFT).get(REC).mem('i32.load', R.handler).returnCallIndirect(HANDLER_TYPE_INDEX).end();
    f.get(this.how).i32(BY_INTERPRETER).op('i32.eq').if();
    f.get(REC).get(LEFT).get(this.choice).returnCallIndirect(HANDLER_TYPE_INDEX).end();
    f.get(this.how).i32(BY_BRANCH).op('i32.eq').if();
    f.get(REC).get(LEFT).returnCall(this.imports.branchSlow).end();
    f.get(LEFT).i32(0).op('i32.le_s').if();
    f.i32(0).get(LEFT).mem('i32.store', S.left);
    f.i32(0).i32(0).i32(LEFT_BY.blockEnd).get(this.how).i32(BY_TURN).op('i32.eq').op('select').mem('i32.store', S.leftBy).op('return').end();
    f.i32(0).get(LEFT).returnCall(this.imports.dispatch);
    f.op('unreachable');
  }
  /** Leaves the region, everything so far subtracted. */
  private leave(how: number, record = 0): void {
    const { f } = this;
    this.flush();
    f.i32(how).set(this.how);
    if (record !== 0) f.i32(record).set(REC);
    if (how === BY_INTERPRETER) f.i32(this.interpreter(record)).set(this.choice);
    f.brTo(this.exit);
  }

  private tree(b: Block, known: Known): void {
    const { f } = this;
    const merged = b.loop || b.forward >= 2;
    const at: Known = merged ? { dirty: this.dirtyAt.get(b)!, kind: UNKNOWN } : known;
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
    this.body(b, at);
    for (const y of meets.reverse()) {
      f.end();
      this.tree(y, at);
    }
    if (b.loop) f.end();
  }
  private body(b: Block, at: Known): void {
    this.block = b;
    this.dirty = at.dirty;
    this.kind = at.kind;
    this.cycles = this.retired = 0;
    for (const step of b.steps) this.instruction(step);
    if (b.end === 'choose') return this.choose(b.sites, 0);
    if (b.end !== 'next' && b.end !== 'goto' && b.end !== 'page') return;
    this.flush();
    if (b.end === 'page') this.nextPage(b);
    if (b.end === 'goto') this.chargeFetch(b.fall!.record);
    this.follow(b.fall!);
  }
  /** Something that this instruction calls may want the region to be left behind it. */
  private get looks(): boolean {
    const { usage } = this.step.info!;
    return usage.calls || (this.imports.timing !== undefined && usage.accesses > 1);
  }
  /** A `pageEnd` record: the slice may end there, else it dispatches. */
  private nextPage(b: Block): void {
    const { f } = this;
    f.get(LEFT).i32(0).op('i32.le_s');
    this.aside(() => this.leaveEnded(BY_HANDLER, b.ending, false));
    f.i32(0);
    this.pageMoved(b.fall!.page!);
    this.aside(() => this.leave(BY_HANDLER, b.ending));
    this.arrive(b.fall!);
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
    this.changed = false;
    this.arm = 0;
    if (step.info === undefined) {
      this.flush();
      return this.chargeFetch(step.record + RECORD_BYTES);
    }
    const { spec, variant, usage } = step.info;
    this.operandWidth = variant.form.operandWidth;
    spec.body(this, ...variant.form.operands.map((k, i) => new RegionOperand(this, k, i)));
    if (usage.ends !== undefined) return;
    this.tally();
    if (!this.looks) return;
    f.i32(0).mem('i32.load', S.leaveRegion);
    this.aside(() => this.leave(BY_HANDLER, step.record + RECORD_BYTES));
  }

  // ---- going on

  /** Goes to an edge's target with everything subtracted; the target has no fetch to charge. */
  private follow(e: Edge): void {
    const { to } = e;
    if (to === undefined) return this.leave(BY_HANDLER, e.record);
    if (e.choice !== undefined) this.f.i32(e.choice).set(this.choice);
    if (to.order > this.block.order && to.forward < 2) {
      const here = this.block;
      this.tree(to, { dirty: this.dirty, kind: this.kind });
      this.block = here;
      return;
    }
    this.f.brTo(this.labels.get(to)!);
  }
  /** Emits two arms for the condition on the wasm stack; what is known at the beginning holds in both. */
  private arms(then: () => void, otherwise: () => void): void {
    const { f, block, dirty, kind, cycles, retired, step } = this;
    f.if();
    then();
    f.op('else');
    Object.assign(this, { block, dirty, kind, cycles, retired, step });
    otherwise();
    f.end();
    Object.assign(this, { block, dirty, kind, cycles, retired, step });
  }
  /** An exit if the wasm stack's top is not zero; what is known afterwards is as before. */
  private aside(exit: () => void): void {
    const { dirty, kind, cycles, retired } = this;
    this.f.if();
    exit();
    this.f.end();
    Object.assign(this, { dirty, kind, cycles, retired });
  }

  private tally(): void {
    this.cycles += this.imports.timing === undefined ? 1 : this.m.u16[(this.step.record + R.cost) >>> 1]!;
    this.retired++;
  }
  /** Subtracts and counts what has run. */
  private flush(): void {
    const { f } = this;
    if (this.cycles !== 0) f.get(LEFT).i32(this.cycles).op('i32.sub').set(LEFT);
    if (this.imports.timing !== undefined && this.retired !== 0) this.addRetired(this.retired);
    this.cycles = this.retired = 0;
  }
  private addRetired(n: number): void {
    this.f.i32(0).i32(0).mem('i32.load', S.retired).i32(n).op('i32.add').mem('i32.store', S.retired);
  }
  /** Around a call that may look at the time or change it: S.left (and S.retired) as if the block had been charged so far. */
  private saveLeft(): void {
    const { f } = this;
    f.i32(0).get(LEFT);
    if (this.cycles !== 0) f.i32(this.cycles).op('i32.sub');
    f.mem('i32.store', S.left);
    if (this.imports.timing !== undefined && this.retired !== 0) this.addRetired(this.retired);
  }
  private restoreLeft(): void {
    const { f } = this;
    f.i32(0).mem('i32.load', S.left);
    if (this.cycles !== 0) f.i32(this.cycles).op('i32.add');
    f.set(LEFT);
    if (this.imports.timing !== undefined && this.retired !== 0) this.addRetired(-this.retired);
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
    const { info } = this.step;
    this.dirty |= this.writtenBy(info!.usage.namedWritten);
    this.kind = UNKNOWN;
    super.loop(body);
    this.kind = UNKNOWN;
  }
  private writtenBy(named: number): number {
    let mask = named;
    for (const i of this.step.info!.usage.written) {
      const slot = slotOf(this.m.i32[(this.step.record + R.op + 4 * i) >>> 2]!);
      if (slot >= 0) mask |= 1 << slot;
    }
    return mask & this.used;
  }

  override getState(address: number, width: 8 | 16 | 32 | 64 | 128): Val {
    return address === S.stackMask && (this.flat & FLAT_STACK) !== 0 ? this.c(32, 0xffff_ffff) : super.getState(address, width);
  }

  // ---- memory

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

  /** Effective address of the memory operand, 64 bits. */
  operandEa(): Val {
    const width = this.fieldU8(R.addressWidth);
    const base = this.fieldI32(R.base), index = this.fieldI32(R.index), scale = this.fieldU8(R.scale);
    const disp = this.field64(R.disp);
    const simple = this.step.info!.variant.addressing === 'flat';
    let ea = base === ZERO_SLOT ? this.c(64, disp) : this.add(this.getState(base, 64), this.c(64, disp));
    if (simple) return ea;
    if (index !== ZERO_SLOT) ea = this.add(ea, this.shl(this.getState(index, 64), scale));
    return width === 64 ? ea : this.and(ea, this.c(64, (1n << BigInt(width)) - 1n));
  }
  /** The access at `ea` + displacement through the record's segment. */
  accessOperand(ea: Val, displacement: Val | number, width: Width, kind: number, stored?: Val): Access {
    const { addressing } = this.step.info!.variant;
    let at = ea;
    if (typeof displacement !== 'number' || displacement !== 0) {
      at = this.add(ea, typeof displacement === 'number' ? this.c(64, displacement) : displacement);
      const cut = this.fieldU8(R.addressWidth);
      if (addressing !== 'flat' && cut !== 64) at = this.and(at, this.c(64, (1n << BigInt(cut)) - 1n));
    }
    if (addressing === 'flat') return this.accessLinear(at, width, kind, stored);
    const segment = this.fieldI32(R.segBase);
    if (addressing === 'full') return this.accessLinear(segment === ZERO_SLOT ? at : this.add(at, this.getState(segment + SEG.base, 64)), width, kind, stored);
    return this.accessSegmented(segment, at, width, kind, stored);
  }
  /** Outside 64-bit mode: fast limit check, base. `segment` is the address of the segment's state entry. */
  private accessSegmented(segment: number, offset: Val, width: Width, kind: number, stored?: Val): Access {
    // The region is entered, and gone on with, only while the segment is flat: no limit, base 0.
    if (this.flat & (1 << ((segment - segAddress(0)) / 32))) return this.accessLinear(offset, width, kind, stored, segment);
    const { f } = this;
    const address = f.local(I32);
    const write = (kind & ACCESS_WRITE) !== 0, plain = this.missLeaves;
    f.i32(0).mem('i32.load', segment + SEG.slow).i32(kind).op('i32.and').op('i64.extend_i32_u');
    this.get(offset).f.i64(BigInt(width / 8 - 1)).op('i64.add');
    f.i32(0).mem('i64.load32_u', segment + (write ? SEG.limitWrite : SEG.limitRead));
    f.op('i64.gt_u').op('i64.extend_i32_u').op('i64.or').op('i64.eqz').if();
    this.get(offset).f.i32(0).mem('i64.load', segment + SEG.base).op('i64.add').i64(0xffff_ffffn).op('i64.and');
    const inner = this.accessLinear(this.take(64), width, kind);
    this.get(inner.address).f.set(address);
    f.op('else');
    if (plain) this.leaveHere();
    else this.slowPath(offset, width, kind, segment, address);
    f.end();
    const access: Access = { address: new V(32, address), kind, plain };
    if (stored !== undefined) this.writeAccess(access, stored);
    return access;
  }
  /**
   * A miss leaves the region: the interpreter does the instruction from its beginning, before which nothing has changed, and the chain
   * comes back to the region by itself. So regions have no calls in their loops, and the host keeps their registers. Not in cycle mode
   * behind an access that has been charged: that would be charged again.
   */
  private get missLeaves(): boolean {
    return this.imports.timing === undefined || this.accesses === 0;
  }
  /** What the interpreter does on a miss, as a call. @param linear or offset in the segment */
  private slowPath(linear: Val, width: Width, kind: number, segment: number, address: number): void {
    const { f } = this;
    this.storeSlowly();
    if (this.imports.timing !== undefined && this.retired !== 0) this.addRetired(this.retired);
    f.i32(this.record);
    this.get(linear).f.i32((width / 8) | (kind << 8)).i32(segment).get(LEFT);
    if (this.cycles !== 0) f.i32(this.cycles).op('i32.sub');
    this.flagOperands();
    f.call(this.imports.slowAccess).tee(address).op('i32.eqz').if().op('return').end();
    this.restoreLeft();
  }
  /** Leaves to the interpreter before the instruction; what is known behind the exit is as before. */
  private leaveHere(): void {
    const { dirty, kind, cycles, retired } = this;
    this.leave(BY_INTERPRETER, this.record);
    Object.assign(this, { dirty, kind, cycles, retired });
  }
  private storeChecked(address: number, v: Val): void {
    const { f } = this;
    this.storeAt(new V(32, address), 0, v);
    f.get(address).i32(SCRATCH_DATA).op('i32.eq').if();
    this.saveLeft();
    f.i32(this.record).call(this.imports.commit).op('drop');
    this.restoreLeft();
    f.end();
  }
  /**
   * Software-TLB probe, as the interpreter's (mmu/tlb.ts has the entry's layout).
   * @param stored the value to store: then that is done, too @param segment outside 64-bit mode: of a flat segment
   */
  accessLinear(linear: Val, width: Width, kind: number, stored?: Val, segment = 0): Access {
    const { f } = this;
    const { timing } = this.imports;
    const plain = this.missLeaves;
    const entry = f.local(I32), address = f.local(I32);
    f.get(this.tlb);
    this.get(linear).f.op('i32.wrap_i64').i32(7).op('i32.shr_u').i32(ENTRY_MASK).op('i32.and').op('i32.add').set(entry);
    this.get(linear);
    if (width > 8) f.i64(BigInt(width / 8 - 1)).op('i64.add');
    f.i64(-4096n).op('i64.and').get(entry).mem('i64.load', (kind & ACCESS_WRITE) !== 0 ? 8 : 0);
    if (plain) {
      f.op('i64.ne').if();
      this.leaveHere();
      f.end();
    } else f.op('i64.eq').if();
    this.get(linear).f.op('i32.wrap_i64').get(entry).mem('i32.load', 16).op('i32.add').set(address);
    if (!plain) {
      f.op('else');
      this.slowPath(linear, width, kind, segment, address);
      f.end();
    }
    this.accesses++;
    if (timing !== undefined) {
      f.get(LEFT).get(address);
      this.get(linear);
      f.i32((this.hint & 2) | ((kind & ACCESS_WRITE) !== 0 ? DATA_WRITE : 0)).call(timing.data).op('i32.sub').set(LEFT);
    }
    const access: Access = { address: new V(32, address), kind, plain };
    if (stored !== undefined) this.writeAccess(access, stored);
    return access;
  }
  private get hint(): number {
    return this.fieldU8(R.flags) >>> RF_HINT_SHIFT;
  }
  readAccess(a: Access, width: Width): Val {
    this.get(a.address);
    return this.loadAt(width, 0);
  }
  writeAccess(a: Access, v: Val): void {
    this.changed = true;
    if (a.plain === true) this.storeAt(a.address, 0, v);
    else this.storeChecked((a.address as V).local, v);
  }
  private accessSegment(segment: number, offset: Val, width: Width, kind: number, stored?: Val): Access {
    if (this.codeSize !== 64) return this.accessSegmented(segAddress(segment), offset, width, kind, stored);
    const based = segment === FS || segment === GS;
    return this.accessLinear(based ? this.add(offset, this.getState(segAddress(segment) + SEG.base, 64)) : offset, width, kind, stored);
  }
  load(segment: number, offset: Val, width: Width): Val {
    return this.readAccess(this.accessSegment(segment, offset, width, ACCESS_READ), width);
  }
  store(segment: number, offset: Val, v: Val): void {
    this.accessSegment(segment, offset, v.width, ACCESS_WRITE, v);
  }
  operands(): Operand[] {
    throw new Error('a region has many lists of operands');
  }
  /** Kinds of access that an operand wants. */
  readKind(index: number): number {
    return this.isWritten(index) ? ACCESS_RMW : ACCESS_READ;
  }

  // ---- control transfer

  private get offset(): number {
    return this.m.u16[(this.record + R.off) >>> 1]!;
  }
  nextRip(): Val {
    const rip = this.add(this.copy(this.codeBase, 64), this.c(64, this.offset + this.fieldU8(R.len)));
    return this.is64 ? rip : this.and(rip, this.c(64, 0xffff_ffff));
  }
  private chargeFetch(record: number): void {
    const { timing } = this.imports;
    if (timing !== undefined) this.f.get(LEFT).i32(record).call(timing.fetchAt).op('i32.sub').set(LEFT);
  }
  private predictorPc(plus: number): void {
    this.f.get(this.codeBase).op('i32.wrap_i64').i32(this.offset + plus).op('i32.add');
  }
  private chargeBranch(kind: number): void {
    const { timing } = this.imports;
    if (timing === undefined) return;
    const { f } = this;
    f.get(LEFT);
    this.predictorPc(0);
    f.i32(kind);
    this.predictorPc(this.fieldU8(R.len));
    f.i32(this.hint).call(timing.branch).op('i32.sub').set(LEFT);
  }
  /** Puts on the wasm stack: the slice is used up, or the region is to be left. */
  private mustLeave(): void {
    this.f.get(LEFT).i32(0).op('i32.le_s');
    if (this.looks) this.f.i32(0).mem('i32.load', S.leaveRegion).op('i32.or');
  }
  /**
   * Leaves by a branch or jump where the slice ends. Cycles that were only withheld for the next look at the guest are taken first:
   * that look is for interpreted code.
   */
  private leaveEnded(how: number, record: number, looks = this.looks): void {
    const { f } = this;
    f.get(LEFT).i32(0).mem('i32.load', S.sampleSpare).op('i32.add').i32(0).op('i32.le_s');
    if (looks) f.i32(0).mem('i32.load', S.leaveRegion).op('i32.or');
    this.aside(() => this.leave(how, record));
    f.get(LEFT).i32(0).mem('i32.load', S.sampleSpare).op('i32.add').set(LEFT);
    f.i32(0).i32(0).mem('i32.load', S.sliceBudget).i32(0).mem('i32.load', S.sampleSpare).op('i32.add').mem('i32.store', S.sliceBudget);
    f.i32(0).i32(0).mem('i32.store', S.sampleSpare);
  }
  private takeBranch(kind: number): void {
    const edge = this.block.taken!;
    this.chargeBranch(kind);
    // A branch to another page, or to one that is not decoded, is the dispatcher's.
    const away = edge.page !== this.block.page;
    if (edge.record === 0 || (away && edge.to === undefined)) return this.leave(BY_BRANCH, this.record);
    this.mustLeave();
    this.aside(() => this.leaveEnded(BY_BRANCH, this.record));
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
    this.get(condition);
    this.arms(
      () => this.takeBranch(BRANCH_TAKEN),
      () => {
        this.chargeBranch(BRANCH_NOT_TAKEN);
        this.follow(this.block.fall!);
      },
    );
  }
  branch(): void {
    this.tally();
    this.flush();
    this.takeBranch(BRANCH_ALWAYS);
  }
  jump(rip: Val): void {
    const { f } = this;
    const { timing } = this.imports;
    this.checkTarget(rip);
    this.setState(S.rip, rip);
    this.tally();
    this.flush();
    if (timing !== undefined) {
      f.get(LEFT);
      this.predictorPc(0);
      this.get(this.trunc(rip, 32));
      this.predictorPc(this.fieldU8(R.len));
      f.i32(this.hint).call(timing.jump).op('i32.sub').set(LEFT);
    }
    this.toSites(rip, this.block.sites.filter((s) => s.to !== undefined));
  }
  /** Goes to one of the block's sites if that is where `rip` leads; else, or when anything else has to be looked at, dispatches. */
  private toSites(rip: Val, sites: readonly Edge[]): void {
    const { f } = this;
    const [site, ...rest] = sites;
    if (site === undefined) return this.leave(BY_RIP);
    this.get(rip).f.get(this.codeBase).op('i64.sub');
    if (!this.is64) f.i64(0xffff_ffffn).op('i64.and');
    const off = BigInt(this.m.u16[(site.record + R.off) >>> 1]! + this.distanceTo(site.page!));
    f.i64(this.is64 ? off : BigInt.asUintN(32, off)).op('i64.eq');
    this.arms(
      () => {
        this.mustLeave();
        this.aside(() => this.leaveEnded(BY_RIP, 0));
        f.i32(0);
        this.pageMoved(site.page!);
        this.aside(() => this.leave(BY_RIP));
        this.arrive(site);
        this.follow(site);
      },
      () => this.toSites(rip, rest),
    );
  }
  private distanceTo(page: CodePage): number {
    return page.distance - this.block.page!.distance;
  }
  /** ORs: a page is not in the software TLB for execution any more, where the dispatcher would leave, or it is another one. */
  private pageMoved(page: CodePage): void {
    const { f } = this;
    f.get(this.codeBase).i32(0).mem('i64.load', S.csBase).op('i64.add');
    const distance = this.distanceTo(page);
    if (distance !== 0) f.i64(BigInt(distance)).op('i64.add');
    if (!this.is64) f.i64(0xffff_ffffn).op('i64.and');
    f.set(this.wide);
    const entry = f.local(I32);
    f.get(this.tlb).get(this.wide).op('i32.wrap_i64').i32(7).op('i32.shr_u').i32(ENTRY_MASK).op('i32.and').op('i32.add').set(entry);
    f.get(entry).mem('i64.load', 24).get(this.wide).op('i64.ne').op('i32.or');
    f.get(entry).mem('i32.load', 20).i32(page.hpaPage).op('i32.ne').op('i32.or');
  }
  /** What comes with an edge's target: its page, if that is another one, becomes the one that runs; the fetch. */
  private arrive(e: Edge): void {
    const { f } = this;
    const page = e.page!, distance = this.distanceTo(page);
    if (page !== this.block.page) {
      if (this.imports.timing !== undefined && page.account !== 0) {
        f.i32(0).mem('i32.load', S.account).i32(page.account).op('i32.ne').if();
        f.i32(page.account).get(LEFT).call(this.imports.arrive).op('drop').end();
      }
      f.get(this.codeBase).i64(BigInt(distance)).op('i64.add');
      if (!this.is64) f.i64(0xffff_ffffn).op('i64.and');
      f.set(this.codeBase);
      f.i32(0).get(this.codeBase).mem('i64.store', S.codeBase);
      f.i32(0).i32(page.structure).mem('i32.store', S.currentPage);
    }
    this.chargeFetch(e.record);
  }

  // ---- x87 and string instructions

  instructionRip(): Val {
    const rip = this.add(this.copy(this.codeBase, 64), this.c(64, this.offset));
    return this.is64 ? rip : this.and(rip, this.c(64, 0xffff_ffff));
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
    const { timing } = this.imports;
    if (timing === undefined) return;
    this.f.get(LEFT);
    this.get(address).get(linear).get(bytes).f.i32(write ? DATA_WRITE : 0).call(timing.span).op('i32.sub').set(LEFT);
  }
  chargeString(bytes: Val): void {
    const { timing } = this.imports;
    if (timing === undefined) return;
    this.f.get(LEFT);
    this.get(bytes).f.call(timing.string).op('i32.sub').set(LEFT);
  }

  // ---- exceptions and helpers

  raiseIf(condition: Val, vector: number, errorCode?: number): void {
    if (condition.known === 0n) return;
    this.get(condition);
    this.aside(() => {
      this.spill();
      this.saveLeft();
      this.f.i32(this.record).i32(vector).i32(errorCode ?? -1).call(this.imports.raise).op('drop').op('return');
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
    const { f } = this;
    this.spill();
    this.saveLeft();
    f.i32(this.record).i32(helperId(fn)).call(this.imports.helper).if().op('return').end();
    this.restoreLeft();
    this.reload();
    if (this.flat === 0) return;
    this.notFlat();
    f.if().i32(0).i32(1).mem('i32.store', S.leaveRegion).end();
  }
  /** What is known of registers and flags stays: nothing is loaded again. */
  override compute(fn: InsnHelper): void {
    // What is needed only sometimes is the interpreter's, like a memory access that misses, so that loops have no calls.
    if (this.arm > 0 && !this.changed && this.missLeaves) return this.leaveHere();
    const { f, dirty, kind } = this;
    this.spill();
    this.saveLeft();
    f.i32(this.record).i32(helperId(fn)).call(this.imports.helper).if().op('return').end();
    this.restoreLeft();
    Object.assign(this, { dirty, kind });
  }
  helper(fn: InsnHelper): void {
    this.call(fn);
  }
}
