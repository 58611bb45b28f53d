/**
 * The part of a region's builder that keeps registers and flags in locals.
 *
 * A register that a description writes is only marked; it is stored to the state before helpers and where the region is left. Flags are
 * remembered as an operation and its operands (flag-kinds.ts), and worked out where somebody looks.
 */

import { FunctionEmitter } from '../../../wasm/function.js';
import { I32, I64, V128 } from '../../../wasm/opcodes.js';
import type { CarryOperation, ConditionCode, FlagName, Val, Width } from '../../builder.js';
import { S, XMM_STRIDE, gprAddress } from '../../state.js';
import { V, integerOp } from '../arithmetic-builder.js';
import { CodeBuilder } from '../code-builder.js';
import { HANDLER_TYPE } from '../host-imports.js';
import { SHARED_FUNCTIONS } from '../shared-functions.js';
import { slotOf } from '../usage.js';
import { KIND, LOGIC, UNKNOWN, emitAux, kindOf, operationOf, widthOf } from './flag-kinds.js';

/** Values of `carries` that are computed only when somebody wants them. */
class CarryVector implements Val {
  readonly width: Width;
  readonly known = undefined;
  /** In none, unlike a `V`. */
  readonly local = -1;

  constructor(
    readonly operation: 'add' | 'sub',
    readonly x: Val,
    readonly y: Val,
    readonly result: Val,
  ) {
    this.width = x.width;
  }
}

export abstract class RegionState extends CodeBuilder {
  /** Registers (bits of `slotOf`) whose local may differ from the state. */
  protected dirty = 0;
  protected kind: number = UNKNOWN;
  /** The instruction has changed something that beginning it again would change again. */
  protected changed = false;
  protected readonly flagResult: number;
  protected readonly flagKind: number;
  protected readonly flagA: number;
  protected readonly flagB: number;
  protected readonly codeBase: number;
  protected readonly tlb: number;
  protected readonly wide: number;
  private readonly gpr: number[] = [];
  private readonly xmm: number[] = [];

  /** @param used registers that the region names (bits of `slotOf`) @param flagsAux index of the imported function */
  constructor(
    protected readonly used: number,
    private readonly flagsAux: number,
  ) {
    super(new FunctionEmitter(HANDLER_TYPE.params, SHARED_FUNCTIONS));
    const { f } = this;
    for (let i = 0; i < 16; i++) {
      if (used & (1 << i)) this.gpr[i] = f.fixed(I64);
      if (used & (1 << (16 + i))) this.xmm[i] = f.fixed(V128);
    }
    this.flagResult = f.fixed(I64);
    this.flagKind = f.fixed(I32);
    this.flagA = f.fixed(I64);
    this.flagB = f.fixed(I64);
    this.codeBase = f.fixed(I64);
    this.tlb = f.fixed(I32);
    this.wide = f.fixed(I64);
  }
  /** Name of the instruction that is being emitted, for errors. */
  protected abstract get instructionName(): string;

  // ---- between locals and state

  /** On a slow path: the changed registers, which stay changed elsewhere. */
  protected storeSlowly(): void {
    const { dirty } = this;
    this.storeRegisters();
    this.dirty = dirty;
  }
  /** Stores the registers that have changed since they were stored last. */
  protected storeRegisters(): void {
    const { f } = this;
    for (let i = 0; i < 16; i++) {
      if (this.dirty & (1 << i)) f.i32(0).get(this.gpr[i]!).mem('i64.store', gprAddress(i));
      if (this.dirty & (1 << (16 + i))) f.i32(0).get(this.xmm[i]!).memV128('v128.store', S.xmm + XMM_STRIDE * i);
    }
    this.dirty = 0;
  }
  protected storeFlags(): void {
    const { f } = this;
    f.i32(0).get(this.flagResult).mem('i64.store', S.flagsRes);
    if (this.kind === UNKNOWN) {
      f.get(this.flagKind).i32(KIND.generic).op('i32.ne').if();
      this.callAux();
      f.set(this.flagA).i32(KIND.generic).set(this.flagKind).end();
    }
    f.i32(0);
    if (this.isGeneric || this.kind === UNKNOWN) f.get(this.flagA);
    else this.callAux();
    f.mem('i64.store', S.flagsAux);
  }
  /** Makes the state exact. */
  protected spill(): void {
    this.storeRegisters();
    this.storeFlags();
  }
  private callAux(): void {
    this.flagOperands();
    this.f.call(this.flagsAux);
  }
  /** Puts kind, A, B and result on the wasm stack. */
  protected flagOperands(): void {
    const { f } = this;
    if (this.kind === UNKNOWN) f.get(this.flagKind);
    else f.i32(this.isGeneric ? KIND.generic : this.kind);
    f.get(this.flagA);
    // Operations without a second operand leave the old one there.
    f.get(this.flagB).get(this.flagResult);
  }
  /** Loads registers and flags from the state. */
  protected reload(): void {
    const { f } = this;
    for (let i = 0; i < 16; i++) {
      if (this.used & (1 << i)) f.i32(0).mem('i64.load', gprAddress(i)).set(this.gpr[i]!);
      if (this.used & (1 << (16 + i))) f.i32(0).memV128('v128.load', S.xmm + XMM_STRIDE * i).set(this.xmm[i]!);
    }
    f.i32(0).mem('i64.load', S.flagsRes).set(this.flagResult);
    f.i32(0).mem('i64.load', S.flagsAux).set(this.flagA);
    f.i32(KIND.generic).set(this.flagKind);
    f.i32(0).mem('i32.load', S.tlb).set(this.tlb);
    this.kind = KIND.generic;
  }
  // ---- registers

  override getState(address: number, width: 8 | 16 | 32 | 64 | 128): Val {
    const { f } = this;
    const slot = slotOf(address);
    if (slot >= 0) return slot < 16 ? this.readGpr(slot, address & 7, width) : this.readXmm(slot - 16, address - S.xmm - XMM_STRIDE * (slot - 16), width);
    if (address === S.flagsRes && width === 64) return this.copy(this.flagResult, 64);
    if (address === S.flagsAux && width === 64) {
      this.settleFlags();
      return this.copy(this.flagA, 64);
    }
    if (address === S.codeBase) return this.copy(this.codeBase, 64);
    f.i32(0);
    return this.loadAt(width, address);
  }
  override setState(address: number, v: Val): void {
    const slot = slotOf(address);
    if (address < S.scratch || address >= S.scratch + 128) this.changed = true;
    if (slot >= 0) return this.writeSlot(address, v);
    if (address === S.flagsRes) {
      // Whatever the old result means to the other flags must be worked out before it goes.
      this.settleFlags();
      this.kind = KIND.generic;
      this.get(v).f.set(this.flagResult);
    } else if (address === S.flagsAux) {
      this.get(v).f.set(this.flagA).i32(KIND.generic).set(this.flagKind);
      this.kind = KIND.generic;
    } else super.setState(address, v);
  }
  override setReg(index: number, v: Val): void {
    this.writeRegisterAt(gprAddress(index), v);
  }
  /** Writes a register operand: 32 bits clear the upper half of a general register. */
  writeRegisterAt(address: number, v: Val): void {
    const slot = slotOf(address);
    if (slot < 0) return this.setState(address, v);
    if (slot < 16 && v.width === 32) {
      this.willWrite(slot);
      this.getZext64(v).f.set(this.gpr[slot]!);
    } else this.writeSlot(address, v);
  }
  protected copy(local: number, width: Width): Val {
    this.f.get(local);
    return this.take(width);
  }
  private mustUse(slot: number): void {
    if ((this.used & (1 << slot)) === 0) throw new Error(`${this.instructionName} names register slot ${slot}, which its notes do not have`);
  }
  private willWrite(slot: number): void {
    this.changed = true;
    this.mustUse(slot);
    this.dirty |= 1 << slot;
  }
  private readGpr(n: number, byte: number, width: Width): Val {
    this.mustUse(n);
    const { f } = this;
    f.get(this.gpr[n]!);
    if (width === 64) return this.take(64);
    if (byte >= 4) f.i64(8 * byte).op('i64.shr_u').op('i32.wrap_i64');
    else {
      f.op('i32.wrap_i64');
      if (byte !== 0) f.i32(8 * byte).op('i32.shr_u');
    }
    if (width !== 32) f.i32(width === 8 ? 0xff : 0xffff).op('i32.and');
    return this.take(width);
  }
  private readXmm(n: number, byte: number, width: Width): Val {
    this.mustUse(16 + n);
    const { f } = this;
    f.get(this.xmm[n]!);
    if (width === 128) return this.take(128);
    f.simd(width === 64 ? 'i64x2.extract_lane' : width === 32 ? 'i32x4.extract_lane' : width === 16 ? 'i16x8.extract_lane_u' : 'i8x16.extract_lane_u').byte((8 * byte) / width);
    return this.take(width);
  }
  private writeSlot(address: number, v: Val): void {
    const { f } = this;
    const slot = slotOf(address);
    this.willWrite(slot);
    if (slot >= 16) {
      const local = this.xmm[slot - 16]!, byte = address - S.xmm - XMM_STRIDE * (slot - 16);
      if (v.width === 128) this.get(v).f.set(local);
      else {
        f.get(local);
        this.get(v);
        f.simd(v.width === 64 ? 'i64x2.replace_lane' : v.width === 32 ? 'i32x4.replace_lane' : v.width === 16 ? 'i16x8.replace_lane' : 'i8x16.replace_lane').byte((8 * byte) / v.width);
        f.set(local);
      }
      return;
    }
    const local = this.gpr[slot]!, byte = address & 7;
    if (v.width === 64) {
      this.get(v).f.set(local);
      return;
    }
    const kept = byte === 0 ? -(2 ** v.width) : ~(((1n << BigInt(v.width)) - 1n) << BigInt(8 * byte));
    f.get(local).i64(kept).op('i64.and');
    this.getZext64(v);
    if (byte !== 0) f.i64(8 * byte).op('i64.shl');
    f.op('i64.or').set(local);
  }

  // ---- flags

  override carries(operation: CarryOperation, x: Val, y: Val, result: Val): Val {
    if (operation === 'adc' || operation === 'sbb') return super.carries(operation, x, y, result);
    return new CarryVector(operation, x, y, result);
  }
  override get(v: Val): this {
    const { local } = v as V;
    if (local >= 0) {
      this.f.get(local);
      return this;
    }
    if (v instanceof CarryVector) return super.get(super.carries(v.operation, v.x, v.y, v.result));
    return super.get(v);
  }
  override setArithmeticFlags(result: Val, carries: Val, options?: { keepCF?: boolean }): void {
    this.changed = true;
    const { f } = this;
    const { width } = carries;
    if (options?.keepCF === true) {
      const cf = this.zext(this.flag('CF'), 64);
      this.getZext64(carries).f.set(this.flagA);
      this.get(cf).f.set(this.flagB);
      this.kind = kindOf('keep', width);
    } else if (carries instanceof CarryVector) {
      this.getZext64(carries.x).f.set(this.flagA);
      this.getZext64(carries.y).f.set(this.flagB);
      this.kind = kindOf(carries.operation, width);
    } else if (carries.known === 0n) {
      f.i64(0n).set(this.flagA);
      this.kind = LOGIC;
    } else {
      this.getZext64(carries).f.set(this.flagA);
      this.kind = kindOf('carries', width);
    }
    f.i32(this.isGeneric ? KIND.generic : this.kind).set(this.flagKind);
    this.getSext64(result).f.set(this.flagResult);
  }
  private get isGeneric(): boolean {
    return this.kind === KIND.generic || this.kind === LOGIC;
  }

  /** Makes the kind generic. */
  protected settleFlags(): void {
    if (this.isGeneric) return;
    const { f } = this;
    if (this.kind === UNKNOWN) this.callAux();
    else emitAux(f, operationOf(this.kind), widthOf(this.kind), this.flagA, this.flagB, this.flagResult, this.wide);
    f.set(this.flagA).i32(KIND.generic).set(this.flagKind);
    this.kind = KIND.generic;
  }
  override flag(name: FlagName): Val {
    const { f } = this;
    if (name === 'ZF') {
      f.get(this.flagResult).op('i64.eqz');
      return this.take(1);
    }
    const operation = this.operation;
    if (name === 'CF') {
      if (operation === KIND.sub) return this.compareOperands('lt_u');
      if (operation === KIND.keep) {
        f.get(this.flagB).op('i32.wrap_i64');
        return this.take(1);
      }
      if (this.kind === UNKNOWN) return this.carryOfUnknown();
    }
    if (name === 'SF' && operation !== UNKNOWN && this.kind !== KIND.generic) {
      f.get(this.flagResult).i64(0n).op('i64.lt_s');
      return this.take(1);
    }
    this.settleFlags();
    switch (name) {
      case 'CF':
        f.get(this.flagA).i64(63n).op('i64.shr_u').op('i32.wrap_i64');
        break;
      case 'OF':
        f.get(this.flagA).get(this.flagA).i64(1n).op('i64.shl').op('i64.xor').i64(63n).op('i64.shr_u').op('i32.wrap_i64');
        break;
      case 'AF':
        f.get(this.flagA).op('i32.wrap_i64').i32(3).op('i32.shr_u').i32(1).op('i32.and');
        break;
      case 'SF':
        f.get(this.flagResult).i64(63n).op('i64.shr_u').op('i32.wrap_i64').get(this.flagA).op('i32.wrap_i64').i32(1).op('i32.shr_u').i32(1).op('i32.and').op('i32.xor');
        break;
      case 'PF':
        f.get(this.flagResult).op('i32.wrap_i64').i32(0xff).op('i32.and').op('i32.popcnt').i32(1).op('i32.xor').get(this.flagA).op('i32.wrap_i64').op('i32.xor').i32(1).op('i32.and');
        break;
    }
    return this.take(1);
  }
  /** CF where the kind is not known: INC and DEC in a loop carry it along. */
  private carryOfUnknown(): Val {
    const { f } = this;
    const local = f.local(I32);
    f.get(this.flagKind).i32(KIND.keep).op('i32.ge_u').if();
    f.get(this.flagB).op('i32.wrap_i64').set(local).op('else');
    this.callAux();
    f.i64(63n).op('i64.shr_u').op('i32.wrap_i64').set(local).end();
    f.get(local);
    return this.take(1);
  }
  /** Compares the operands of the subtraction that the flags come from. */
  private compareOperands(op: 'eq' | 'ne' | 'lt_u' | 'le_u' | 'gt_u' | 'ge_u' | 'lt_s' | 'le_s' | 'gt_s' | 'ge_s'): Val {
    const { f } = this;
    const width = widthOf(this.kind), signed = op.endsWith('_s');
    for (const local of [this.flagA, this.flagB]) {
      f.get(local);
      if (width === 64) continue;
      f.op('i32.wrap_i64');
      if (signed && width !== 32) f.op(width === 8 ? 'i32.extend8_s' : 'i32.extend16_s');
    }
    f.op(integerOp(width, op));
    return this.take(1);
  }
  /** The operation of a kind that is known, else UNKNOWN. */
  private get operation(): number {
    return this.kind < 0 ? this.kind : operationOf(this.kind);
  }
  override condition(cc: ConditionCode): Val {
    const { f } = this;
    const { operation } = this;
    if (operation === KIND.sub) {
      const op = ({ b: 'lt_u', ae: 'ge_u', e: 'eq', ne: 'ne', be: 'le_u', a: 'gt_u', l: 'lt_s', ge: 'ge_s', le: 'le_s', g: 'gt_s' } as const)[cc as 'b'];
      if (op !== undefined) return this.compareOperands(op);
    }
    const result = (op: 'eqz' | 'ne' | 'lt_s' | 'ge_s' | 'le_s' | 'gt_s'): Val => {
      f.get(this.flagResult);
      if (op === 'eqz') f.op('i64.eqz');
      else f.i64(0).op(integerOp(64, op));
      return this.take(1);
    };
    if (cc === 'e') return result('eqz');
    if (cc === 'ne') return result('ne');
    const plainSign = operation !== UNKNOWN && operation !== KIND.generic;
    if (plainSign && cc === 's') return result('lt_s');
    if (plainSign && cc === 'ns') return result('ge_s');
    if (this.kind === LOGIC) {
      if (cc === 'l') return result('lt_s');
      if (cc === 'ge') return result('ge_s');
      if (cc === 'le') return result('le_s');
      if (cc === 'g') return result('gt_s');
      if (cc === 'be') return result('eqz');
      if (cc === 'a') return result('ne');
    }
    return super.condition(cc);
  }
}
