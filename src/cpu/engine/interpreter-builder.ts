/**
 * The builder whose operands are looked up in the decoded record at run time: it makes the interpreter's handlers.
 *
 * A handler is a wasm function (record, left) that ends in a tail call of the next record's handler. Memory operands probe
 * the software TLB inline (mmu/tlb.ts has the entry's layout) and call `access` on a miss.
 */

import { TLB_ENTRIES, TLB_ENTRY } from '../../mmu/tlb.js';
import type { Operand, Val, Width } from '../builder.js';
import type { InsnHelper } from '../insn.js';
import { FS, GS, LEFT_BY, S, SCRATCH_DATA, SEG, segAddress } from '../state.js';
import { FunctionEmitter } from '../../wasm/function.js';
import { I32 } from '../../wasm/opcodes.js';
import { V } from './arithmetic-builder.js';
import { CodeBuilder } from './code-builder.js';
import type { Form } from './forms.js';
import { helperId } from './helpers.js';
import {
  ACCESS_READ, ACCESS_WRITE, BRANCH_ALWAYS, BRANCH_NOT_TAKEN, BRANCH_TAKEN, DATA_WRITE, FETCH_AT, HANDLER_TYPE, IMPORT_INDEX, TIMING_INDEX,
} from './host-imports.js';
import { InterpreterOperand } from './interpreter-operand.js';
import { R, RECORD_BYTES, RF_HINT_SHIFT, RF_REP, RF_REPNE } from './record.js';
import { SHARED_FUNCTIONS } from './shared-functions.js';

/** How the memory operand's address is formed, or that there is none. */
export type Addressing =
  | 'register' // no memory operand
  | 'flat' // 64-bit mode: base + displacement
  | 'full' // 64-bit mode: base + index * scale + displacement + FS/GS base, cut to the address size
  | 'segmented'; // other modes: cut to the address size, limit check, segment base

export interface Variant {
  readonly form: Form;
  readonly addressing: Addressing;
  readonly codeSize: 16 | 32 | 64;
  /** Cycle mode: static cost from the record, modelled caches. */
  readonly timing: boolean;
}

/** Type index of HANDLER_TYPE in every module: see handlers.ts. */
export const HANDLER_TYPE_INDEX = 0;

const REC = 0, LEFT = 1; // parameters

export interface Access {
  /** Linear-memory address of the data, in a local. */
  readonly address: Val;
  readonly kind: number;
  /** Plain memory for certain: a store needs no `commit`. */
  readonly plain?: boolean;
}

export class InterpreterBuilder extends CodeBuilder {
  readonly operandWidth: 8 | 16 | 32 | 64;
  readonly codeSize: 16 | 32 | 64;
  private readonly list: InterpreterOperand[];
  /** The body ended in a transfer of its own. */
  private ended = false;

  /** @param written which operands the body writes, found by a first pass (then a read checks for write permission too) */
  constructor(
    readonly variant: Variant,
    private readonly written: ReadonlySet<number> = new Set(),
  ) {
    super(new FunctionEmitter(HANDLER_TYPE.params, SHARED_FUNCTIONS));
    this.operandWidth = variant.form.operandWidth;
    this.codeSize = variant.codeSize;
    this.list = variant.form.operands.map((k, i) => new InterpreterOperand(this, k, i));
  }

  operands(): Operand[] {
    return this.list;
  }
  /** Operands that the body wrote (after it ran). */
  writes(): Set<number> {
    return new Set(this.list.filter((o) => o.wasWritten).map((o) => o.index));
  }
  isWritten(index: number): boolean {
    return this.written.has(index);
  }

  // ---- record fields

  field(offset: number, width: 8 | 16 | 32 | 64): Val {
    this.f.get(REC);
    return this.loadAt(width, offset);
  }
  /** Puts on the wasm stack the address of the register that operand `index` is. */
  pushRegisterAddress(index: number): void {
    this.f.get(REC).mem('i32.load', R.op + 4 * index);
  }

  // ---- addresses

  /** Effective address of the memory operand, 64 bits. */
  operandEa(): Val {
    const f = this.f;
    f.get(REC).mem('i32.load', R.base).mem('i64.load', 0);
    f.get(REC).mem('i64.load', R.disp).op('i64.add');
    if (this.variant.addressing === 'flat') return this.take(64);
    f.get(REC).mem('i32.load', R.index).mem('i64.load', 0);
    f.get(REC).mem('i64.load8_u', R.scale).op('i64.shl').op('i64.add');
    // Cut to the address size: -1 >>> (64 - width)
    f.i64(-1n).i64(64n).get(REC).mem('i64.load8_u', R.addressWidth).op('i64.sub').op('i64.shr_u').op('i64.and');
    return this.take(64);
  }

  /** The access at `ea` + displacement through the record's segment. */
  accessOperand(ea: Val, displacement: Val | number, width: Width, kind: number): Access {
    let at = ea;
    if (typeof displacement !== 'number' || displacement !== 0) {
      at = this.add(ea, typeof displacement === 'number' ? this.c(64, displacement) : displacement);
      if (this.variant.addressing !== 'flat') {
        this.get(at).f.i64(-1n).i64(64n).get(REC).mem('i64.load8_u', R.addressWidth).op('i64.sub').op('i64.shr_u').op('i64.and');
        at = this.take(64);
      }
    }
    if (this.variant.addressing === 'flat') return this.accessLinear(at, width, kind);
    const segment = this.field(R.segBase, 32);
    if (this.variant.addressing === 'full') {
      this.get(at).get(segment).f.mem('i64.load', SEG.base).op('i64.add');
      return this.accessLinear(this.take(64), width, kind);
    }
    return this.accessSegmented(segment, at, width, kind);
  }

  /** Outside 64-bit mode: fast limit check, base. `segment` is the address of the segment's state entry. */
  private accessSegmented(segment: Val, offset: Val, width: Width, kind: number): Access {
    const f = this.f;
    const address = f.local(I32);
    const write = (kind & ACCESS_WRITE) !== 0;
    this.get(segment).f.mem('i32.load', SEG.slow).i32(kind).op('i32.and').op('i64.extend_i32_u');
    this.get(offset).f.i64(BigInt(width / 8 - 1)).op('i64.add');
    this.get(segment).f.mem('i64.load32_u', write ? SEG.limitWrite : SEG.limitRead);
    f.op('i64.gt_u').op('i64.extend_i32_u').op('i64.or').op('i64.eqz').if();
    this.get(offset).get(segment).f.mem('i64.load', SEG.base).op('i64.add').i64(0xffff_ffffn).op('i64.and');
    const inner = this.accessLinear(this.take(64), width, kind);
    this.get(inner.address).f.set(address);
    f.op('else');
    this.saveLeft();
    f.get(REC);
    this.get(offset).f.op('i32.wrap_i64');
    this.get(segment).f.i32((width / 8) | (kind << 8)).call(IMPORT_INDEX.segmentAccess).set(address);
    this.restoreLeft();
    f.get(address).op('i32.eqz').if().op('return').end();
    f.end();
    return { address: new V(32, address), kind };
  }

  /** Software-TLB probe; entry layout in mmu/tlb.ts. A page crossing misses, because the tag is compared with the last byte's page. */
  accessLinear(linear: Val, width: Width, kind: number): Access {
    const f = this.f;
    const entry = f.local(I32);
    const address = f.local(I32);
    f.i32(0).mem('i32.load', S.tlb);
    this.get(linear).f.i64(12n).op('i64.shr_u').op('i32.wrap_i64').i32(TLB_ENTRIES - 1).op('i32.and').i32(5).op('i32.shl').op('i32.add').set(entry);
    this.get(linear);
    if (width > 8) f.i64(BigInt(width / 8 - 1)).op('i64.add');
    f.i64(-4096n).op('i64.and');
    f.get(entry).mem('i64.load', (kind & ACCESS_WRITE) !== 0 ? TLB_ENTRY.tagWrite : TLB_ENTRY.tagRead).op('i64.eq').if();
    this.get(linear).f.op('i32.wrap_i64').get(entry).mem('i32.load', TLB_ENTRY.addend).op('i32.add').set(address);
    f.op('else');
    this.saveLeft();
    f.get(REC);
    this.get(linear).f.op('i32.wrap_i64');
    this.get(linear).f.i64(32n).op('i64.shr_u').op('i32.wrap_i64');
    f.i32((width / 8) | (kind << 8)).call(IMPORT_INDEX.access).set(address);
    this.restoreLeft();
    f.get(address).op('i32.eqz').if().op('return').end();
    f.end();
    if (this.variant.timing) {
      f.get(LEFT).get(address);
      this.get(linear);
      this.hint();
      // The dependence hint has the place of the flag that `data` wants.
      f.i32(2).op('i32.and').i32((kind & ACCESS_WRITE) !== 0 ? DATA_WRITE : 0).op('i32.or').call(TIMING_INDEX.data).op('i32.sub').set(LEFT);
    }
    return { address: new V(32, address), kind };
  }
  /** The record's timing hints, on the wasm stack. */
  private hint(): void {
    this.f.get(REC).mem('i32.load8_u', R.flags).i32(RF_HINT_SHIFT).op('i32.shr_u');
  }

  readAccess(a: Access, width: Width): Val {
    this.get(a.address);
    return this.loadAt(width, 0);
  }
  writeAccess(a: Access, v: Val): void {
    this.storeAt(a.address, 0, v);
    this.get(a.address).f.i32(SCRATCH_DATA).op('i32.eq').if();
    this.saveLeft();
    this.f.get(REC).call(IMPORT_INDEX.commit).op('drop');
    this.restoreLeft();
    this.f.end();
  }
  saveLeft(): void {
    this.f.i32(0).get(LEFT).mem('i32.store', S.left);
  }
  restoreLeft(): void {
    this.f.i32(0).mem('i32.load', S.left).set(LEFT);
  }

  private accessSegment(segment: number, offset: Val, width: Width, kind: number): Access {
    if (!this.is64) return this.accessSegmented(this.c(32, segAddress(segment)), offset, width, kind);
    const based = segment === FS || segment === GS;
    return this.accessLinear(based ? this.add(offset, this.getState(segAddress(segment) + SEG.base, 64)) : offset, width, kind);
  }
  load(segment: number, offset: Val, width: Width): Val {
    return this.readAccess(this.accessSegment(segment, offset, width, ACCESS_READ), width);
  }
  store(segment: number, offset: Val, v: Val): void {
    this.writeAccess(this.accessSegment(segment, offset, v.width, ACCESS_WRITE), v);
  }

  // ---- control transfer

  nextRip(): Val {
    const off = this.zext(this.field(R.off, 16), 64);
    const len = this.zext(this.field(R.len, 8), 64);
    const rip = this.add(this.getState(S.codeBase, 64), this.add(off, len));
    return this.is64 ? rip : this.and(rip, this.c(64, this.codeSize === 16 ? 0xffff : 0xffff_ffff));
  }
  private charge(): void {
    this.f.get(LEFT);
    if (this.variant.timing) this.f.get(REC).mem('i32.load16_u', R.cost);
    else this.f.i32(1);
    this.f.op('i32.sub').set(LEFT);
    if (this.variant.timing) this.f.i32(0).i32(0).mem('i32.load', S.retired).i32(1).op('i32.add').mem('i32.store', S.retired);
  }
  /** Ends the body: go on with the next record. */
  next(): void {
    this.ended = true;
    this.charge();
    const f = this.f;
    f.get(REC).i32(RECORD_BYTES).op('i32.add').get(LEFT).get(REC).mem('i32.load', RECORD_BYTES + R.handler).returnCallIndirect(HANDLER_TYPE_INDEX);
  }
  /** Low 32 bits of RIP, and of the next RIP: what the modelled predictors know an instruction by. */
  private predictorPc(): void {
    this.f.i32(0).mem('i32.load', S.codeBase).get(REC).mem('i32.load16_u', R.off).op('i32.add');
  }
  private predictorNext(): void {
    this.predictorPc();
    this.f.get(REC).mem('i32.load8_u', R.len).op('i32.add');
  }
  private chargeBranch(kind: number): void {
    if (!this.variant.timing) return;
    this.f.get(LEFT);
    this.predictorPc();
    this.f.i32(kind);
    this.predictorNext();
    this.hint();
    this.f.call(TIMING_INDEX.branch).op('i32.sub').set(LEFT);
  }
  private takeBranch(kind: number): void {
    const f = this.f;
    const target = f.local(I32);
    this.chargeBranch(kind);
    f.get(REC).mem('i32.load', R.target).tee(target).op('i32.eqz').get(LEFT).i32(0).op('i32.le_s').op('i32.or').if();
    f.get(REC).get(LEFT).returnCall(IMPORT_INDEX.branchSlow).end();
    if (this.variant.timing) f.get(LEFT).get(target).call(FETCH_AT).op('i32.sub').set(LEFT);
    f.get(target).get(LEFT).get(target).mem('i32.load', R.handler).returnCallIndirect(HANDLER_TYPE_INDEX);
  }
  branchIf(condition: Val): void {
    this.ended = true;
    this.charge();
    this.get(condition).f.if();
    this.takeBranch(BRANCH_TAKEN);
    this.f.end();
    this.chargeBranch(BRANCH_NOT_TAKEN);
    this.f.get(REC).i32(RECORD_BYTES).op('i32.add').get(LEFT).get(REC).mem('i32.load', RECORD_BYTES + R.handler).returnCallIndirect(HANDLER_TYPE_INDEX);
  }
  branch(): void {
    this.ended = true;
    this.charge();
    this.takeBranch(BRANCH_ALWAYS);
  }
  jump(rip: Val): void {
    this.ended = true;
    const f = this.f;
    this.checkTarget(rip);
    this.setState(S.rip, rip);
    this.charge();
    if (this.variant.timing) {
      f.get(LEFT);
      this.predictorPc();
      this.get(this.trunc(rip, 32));
      this.predictorNext();
      this.hint();
      f.call(TIMING_INDEX.jump).op('i32.sub').set(LEFT);
    }
    f.get(LEFT).i32(0).op('i32.le_s').if();
    this.saveLeft();
    f.i32(0).i32(LEFT_BY.blockEnd).mem('i32.store', S.leftBy).op('return').end();
    f.get(REC).get(LEFT).returnCall(IMPORT_INDEX.dispatch);
  }

  // ---- x87 and string instructions

  instructionRip(): Val {
    const rip = this.add(this.getState(S.codeBase, 64), this.zext(this.field(R.off, 16), 64));
    return this.is64 ? rip : this.and(rip, this.c(64, 0xffff_ffff));
  }
  operandSelector(): Val {
    const entry = this.shl(this.zext(this.field(R.segment, 8), 32), 5);
    return this.loadPlain(this.add(entry, this.c(32, segAddress(0) + SEG.selector)), 32);
  }
  registerNumber(i: number): Val {
    return this.zext(this.field(R.reg + i, 8), 32);
  }
  repeat(): Val {
    return this.and(this.zext(this.field(R.flags, 8), 32), this.c(32, RF_REP | RF_REPNE));
  }
  addressSize(): Val {
    return this.zext(this.field(R.addressWidth, 8), 32);
  }
  protected ownSegment(): Val {
    return this.field(R.segBase, 32);
  }
  chargeSpan(address: Val, linear: Val, bytes: Val, write: boolean): void {
    if (!this.variant.timing) return;
    this.f.get(LEFT);
    this.get(address).get(linear).get(bytes).f.i32(write ? DATA_WRITE : 0).call(TIMING_INDEX.span).op('i32.sub').set(LEFT);
  }
  chargeString(bytes: Val): void {
    if (!this.variant.timing) return;
    this.f.get(LEFT);
    this.get(bytes).f.call(TIMING_INDEX.string).op('i32.sub').set(LEFT);
  }

  // ---- exceptions and helpers

  raiseIf(condition: Val, vector: number, errorCode?: number): void {
    this.get(condition).f.if();
    this.saveLeft();
    this.f.get(REC).i32(vector).i32(errorCode ?? -1).call(IMPORT_INDEX.raise).op('drop').op('return').end();
  }
  again(condition: Val): void {
    const { f } = this;
    this.get(condition).f.if();
    this.setState(S.rip, this.instructionRip());
    this.charge();
    f.get(LEFT).i32(0).op('i32.le_s').if();
    this.saveLeft();
    f.op('return').end();
    f.i32(0).get(LEFT).returnCall(IMPORT_INDEX.dispatch).end();
  }
  call(fn: InsnHelper): void {
    this.saveLeft();
    this.f.get(REC).i32(helperId(fn)).call(IMPORT_INDEX.helper);
    const leave = this.f.local(I32);
    this.f.set(leave);
    this.restoreLeft();
    this.f.get(leave).if();
    this.f.op('return').end();
  }
  helper(fn: InsnHelper): void {
    this.call(fn);
    this.next();
  }

  /** Runs a body and closes the function. */
  finishBody(): FunctionEmitter {
    if (!this.ended) this.next();
    this.f.op('unreachable');
    return this.f;
  }
}
