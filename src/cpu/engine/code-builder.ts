/**
 * The part of the builder that does not depend on the engine: control, flags, state, vectors and floats, on top of its arithmetic.
 */

import type { Builder, ConditionCode, FlagName, FloatVal, Operand, Val, Variable, Width } from '../builder.js';
import type { InsnHelper } from '../insn.js';
import { FS, RSP, S, SEG, SS, gprAddress, segAddress } from '../state.js';
import { F32, F64, I32, I64, type OpName, type SimdOpName } from '../../wasm/opcodes.js';
import { TLB_ENTRIES, TLB_ENTRY } from '../../mmu/tlb.js';
import { ArithmeticBuilder, wasmType } from './arithmetic-builder.js';
import { copyBytes, fillBytes, repeatBytes } from './bulk-memory.js';

class F implements FloatVal {
  constructor(
    readonly float: 32 | 64,
    readonly local: number,
  ) {}
}

export abstract class CodeBuilder extends ArithmeticBuilder implements Builder {
  abstract readonly operandWidth: 8 | 16 | 32 | 64;
  abstract readonly codeSize: 16 | 32 | 64;
  protected get is64(): boolean {
    return this.codeSize === 64;
  }

  // ---- control

  variable(initial: Val): Variable {
    const local = this.f.local(wasmType(initial.width));
    const { width } = initial;
    this.get(initial).f.set(local);
    return {
      width,
      // A copy: the variable may change while the value is still wanted.
      get: () => {
        this.f.get(local);
        return this.take(width);
      },
      set: (v) => {
        this.get(v).f.set(local);
      },
    };
  }
  if(condition: Val, then: () => void, otherwise?: () => void): void {
    if (condition.known !== undefined) {
      if (condition.known !== 0n) then();
      else otherwise?.();
      return;
    }
    this.get(condition).f.if();
    then();
    if (otherwise !== undefined) {
      this.f.op('else');
      otherwise();
    }
    this.f.end();
  }
  loop(body: () => Val): void {
    this.f.loop();
    const again = body();
    this.get(again).f.brIf(0).end();
  }

  // ---- flags: state.ts says how they are kept

  private loadFlagWord(address: number): void {
    this.f.i32(0).mem('i32.load', address);
  }
  flag(name: FlagName): Val {
    const f = this.f;
    switch (name) {
      case 'CF':
        this.loadFlagWord(S.flagsAux + 4);
        f.i32(31).op('i32.shr_u');
        break;
      case 'OF': {
        const hi = f.local(I32);
        this.loadFlagWord(S.flagsAux + 4);
        f.tee(hi).get(hi).i32(1).op('i32.shl').op('i32.xor').i32(31).op('i32.shr_u');
        break;
      }
      case 'AF':
        this.loadFlagWord(S.flagsAux);
        f.i32(3).op('i32.shr_u').i32(1).op('i32.and');
        break;
      case 'ZF':
        f.i32(0).mem('i64.load', S.flagsRes).op('i64.eqz');
        break;
      case 'SF':
        this.loadFlagWord(S.flagsRes + 4);
        f.i32(31).op('i32.shr_u');
        this.loadFlagWord(S.flagsAux);
        f.i32(1).op('i32.shr_u').i32(1).op('i32.and').op('i32.xor');
        break;
      case 'PF':
        f.i32(0).mem('i32.load8_u', S.flagsRes).op('i32.popcnt').i32(1).op('i32.xor');
        this.loadFlagWord(S.flagsAux);
        f.op('i32.xor').i32(1).op('i32.and');
        break;
    }
    return this.take(1);
  }
  condition(cc: ConditionCode): Val {
    const not = (v: Val): Val => this.xor(v, this.c(1, 1));
    switch (cc) {
      case 'o':
        return this.flag('OF');
      case 'no':
        return not(this.flag('OF'));
      case 'b':
        return this.flag('CF');
      case 'ae':
        return not(this.flag('CF'));
      case 'e':
        return this.flag('ZF');
      case 'ne':
        this.f.i32(0).mem('i64.load', S.flagsRes).i64(0n).op('i64.ne');
        return this.take(1);
      case 'be':
        return this.or(this.flag('CF'), this.flag('ZF'));
      case 'a':
        return not(this.or(this.flag('CF'), this.flag('ZF')));
      case 's':
        return this.flag('SF');
      case 'ns':
        return not(this.flag('SF'));
      case 'p':
        return this.flag('PF');
      case 'np':
        return not(this.flag('PF'));
      case 'l':
        return this.xor(this.flag('SF'), this.flag('OF'));
      case 'ge':
        return not(this.xor(this.flag('SF'), this.flag('OF')));
      case 'le':
        return this.or(this.flag('ZF'), this.xor(this.flag('SF'), this.flag('OF')));
      case 'g':
        return not(this.or(this.flag('ZF'), this.xor(this.flag('SF'), this.flag('OF'))));
    }
  }
  setArithmeticFlags(result: Val, carries: Val, options?: { keepCF?: boolean }): void {
    const w = carries.width;
    let aux: Val;
    if (w === 64) aux = this.and(carries, this.c(64, ~7n));
    else {
      const wide = this.zext(carries, 64);
      aux = this.or(this.shl(wide, 64 - w), this.and(wide, this.c(64, 8)));
    }
    if (options?.keepCF === true) {
      // CF comes from the old word; bit 62 flips with it so that OF (their difference) stays the new one.
      const flip = this.shr(this.xor(aux, this.getState(S.flagsAux, 64)), 63);
      aux = this.xor(aux, this.mul(flip, this.c(64, 3n << 62n)));
    }
    this.setState(S.flagsRes, this.sext(result, 64));
    this.setState(S.flagsAux, aux);
  }
  setFlags(flags: Partial<Record<FlagName, Val>>, result?: Val): void {
    const of = (name: FlagName): Val => flags[name] ?? this.flag(name);
    const wide = (v: Val, at: number): Val => this.shl(this.zext(v, 64), at);
    const cf = of('CF');
    const top = this.or(wide(cf, 63), wide(this.xor(cf, of('OF')), 62));
    let aux = this.or(top, wide(of('AF'), 3));
    const resultNamed = flags.ZF !== undefined || flags.SF !== undefined || flags.PF !== undefined;
    if (result !== undefined && !resultNamed) {
      this.setState(S.flagsRes, this.sext(result, 64));
    } else if (resultNamed) {
      const own = (name: 'ZF' | 'SF' | 'PF'): Val => {
        if (flags[name] !== undefined) return flags[name];
        if (result === undefined) return this.flag(name);
        if (name === 'ZF') return this.isZero(result);
        if (name === 'SF') return this.msb(result);
        return this.xor(this.trunc(this.popcnt(this.trunc(result, 8)), 1), this.c(1, 1));
      };
      const zf = own('ZF'), sf = own('SF'), pf = own('PF');
      aux = this.or(aux, this.or(wide(sf, 1), wide(this.xor(pf, zf), 0)));
      this.setState(S.flagsRes, this.zext(this.xor(zf, this.c(1, 1)), 64));
    } else {
      aux = this.or(aux, this.and(this.getState(S.flagsAux, 64), this.c(64, 3)));
    }
    this.setState(S.flagsAux, aux);
  }

  // ---- state

  reg(index: number, width: 8 | 16 | 32 | 64): Val {
    return this.getState(gprAddress(index), width);
  }
  setReg(index: number, v: Val): void {
    this.writeRegister(() => this.f.i32(0), gprAddress(index), v);
  }
  /** Writes a general register whose address is `address()` + `offset`: 32 bits clear the upper half. */
  writeRegister(address: () => void, offset: number, v: Val): void {
    address();
    if (v.width === 32) {
      this.getZext64(v).f.mem('i64.store', offset);
    } else this.storeTop(this.get(v), v.width, offset);
  }
  private storeTop(_: unknown, width: Width, offset: number): void {
    if (width === 128) this.f.memV128('v128.store', offset);
    else this.f.mem(width === 64 ? 'i64.store' : width === 32 ? 'i32.store' : width === 16 ? 'i32.store16' : 'i32.store8', offset);
  }
  /** Loads `width` bits at (address on the wasm stack) + `offset`. */
  loadAt(width: Width, offset: number): Val {
    if (width === 128) this.f.memV128('v128.load', offset);
    else this.f.mem(width === 64 ? 'i64.load' : width === 32 ? 'i32.load' : width === 16 ? 'i32.load16_u' : 'i32.load8_u', offset);
    return this.take(width);
  }
  /** Stores a value at linear-memory address `address` (a value) + `offset`. */
  storeAt(address: Val, offset: number, v: Val): void {
    this.storeTop(this.get(address).get(v), v.width, offset);
  }
  getState(address: number, width: 8 | 16 | 32 | 64 | 128): Val {
    this.f.i32(0);
    return this.loadAt(width, address);
  }
  setState(address: number, v: Val): void {
    this.storeAt(this.c(32, 0), address, v);
  }

  // ---- vectors and floats

  simd(op: string, args: Val[], lane?: number): Val {
    for (const a of args) this.get(a);
    if (op === 'i64x2.extract_lane' && lane === 0) {
      // The same bits; hosts have a shorter way for a float's lane.
      this.f.simd('f64x2.extract_lane').byte(0);
      this.f.op('i64.reinterpret_f64');
      return this.take(64);
    }
    this.f.simd(op as SimdOpName);
    if (lane !== undefined) this.f.byte(lane);
    if (op.includes('extract_lane')) return this.take(op.startsWith('i8') ? 8 : op.startsWith('i16') ? 16 : op.startsWith('i32') ? 32 : 64);
    if (/bitmask|all_true|any_true/.test(op)) return this.take(32);
    return this.take(128);
  }
  shuffle(a: Val, b: Val, lanes: readonly number[]): Val {
    if (lanes.length !== 16) throw new Error('a shuffle names sixteen lanes');
    this.get(a).get(b).f.simd('i8x16.shuffle').raw(lanes);
    return this.take(128);
  }
  float(op: string, args: (Val | FloatVal)[]): FloatVal {
    for (const a of args) this.getAny(a);
    this.f.op(op as OpName);
    const float = op.startsWith('f32') ? 32 : 64;
    const local = this.f.local(float === 32 ? F32 : F64);
    this.f.set(local);
    return new F(float, local);
  }
  floatLane(v: Val, float: 32 | 64): FloatVal {
    const local = this.f.local(float === 32 ? F32 : F64);
    this.get(v).f.simd(float === 32 ? 'f32x4.extract_lane' : 'f64x2.extract_lane').byte(0);
    this.f.set(local);
    return new F(float, local);
  }
  withFloatLane(v: Val, x: FloatVal): Val {
    this.get(v).f.get((x as F).local).simd(x.float === 32 ? 'f32x4.replace_lane' : 'f64x2.replace_lane').byte(0);
    return this.take(128);
  }
  floatToInt(op: string, args: FloatVal[], width: Width): Val {
    for (const a of args) this.getAny(a);
    if (op.includes('trunc_sat')) this.f.fc(op as 'i32.trunc_sat_f64_s');
    else this.f.op(op as OpName);
    return this.take(width);
  }
  private getAny(a: Val | FloatVal): void {
    if (a instanceof F) this.f.get(a.local);
    else this.get(a as Val);
  }

  // ---- plain memory, for string instructions

  /** Address of a segment's entry in the state; of the instruction's own, or of zeros, for `undefined`. */
  private segmentEntry(segment: number | undefined): Val {
    return segment === undefined ? this.ownSegment() : this.c(32, segAddress(segment));
  }
  linear(segment: number | undefined, offset: Val): Val {
    if (this.codeSize === 64 && segment !== undefined && segment < FS) return offset;
    this.get(offset).get(this.segmentEntry(segment)).f.mem('i64.load', SEG.base).op('i64.add');
    if (this.codeSize !== 64) this.f.i64(0xffff_ffffn).op('i64.and');
    return this.take(64);
  }
  plain(segment: number | undefined, offset: Val, linear: Val, bytes: Val, write: boolean): Val {
    const f = this.f;
    const entry = f.local(I32), last = f.local(I64);
    this.get(bytes).f.op('i64.extend_i32_u').i64(1n).op('i64.sub').set(last);
    f.i32(0).mem('i32.load', S.tlb);
    this.get(linear).f.i64(12n).op('i64.shr_u').op('i32.wrap_i64').i32(TLB_ENTRIES - 1).op('i32.and').i32(5).op('i32.shl').op('i32.add').set(entry);
    this.get(linear).f.op('i32.wrap_i64').get(entry).mem('i32.load', TLB_ENTRY.addend).op('i32.add').i32(0);
    // A stretch that leaves the page has another tag than the page that the entry is for.
    this.get(linear).f.get(last).op('i64.add').i64(-4096n).op('i64.and').get(entry).mem('i64.load', write ? TLB_ENTRY.tagWrite : TLB_ENTRY.tagRead).op('i64.eq');
    if (this.codeSize !== 64) {
      const segmentEntry = this.segmentEntry(segment);
      this.get(segmentEntry).f.mem('i32.load', SEG.slow).op('i32.eqz').op('i32.and');
      this.get(offset).f.get(last).op('i64.add');
      this.get(segmentEntry).f.mem('i64.load32_u', write ? SEG.limitWrite : SEG.limitRead).op('i64.le_u').op('i32.and');
    }
    f.op('select');
    return this.take(32);
  }
  loadPlain(address: Val, width: Width): Val {
    this.get(address);
    return this.loadAt(width, 0);
  }
  storePlain(address: Val, v: Val): void {
    this.storeAt(address, 0, v);
  }
  /** A local of its own with a value, for code that changes it. */
  private copyOf(v: Val): number {
    const local = this.f.local(wasmType(v.width));
    this.get(v).f.set(local);
    return local;
  }
  copyPlain(to: Val, from: Val, bytes: Val): void {
    copyBytes(this.f, this.copyOf(to), this.copyOf(from), this.copyOf(bytes));
  }
  repeatPlain(to: Val, distance: Val, bytes: Val): void {
    repeatBytes(this.f, this.copyOf(to), this.copyOf(distance), this.copyOf(bytes));
  }
  fillPlain(to: Val, pattern: Val, bytes: Val): void {
    fillBytes(this.f, this.copyOf(to), this.copyOf(pattern), this.copyOf(bytes));
  }

  // ---- stack: SDM 1 §6.2.2 "Setting Up Stacks", address size of the stack segment

  private stackOffset(rsp: Val): Val {
    return this.is64 ? rsp : this.and(rsp, this.zext(this.getState(S.stackMask, 32), 64));
  }
  /** Writes a new stack pointer: only SP outside 64-bit mode when the stack segment is 16-bit. */
  private setStackPointer(old: Val, value: Val): void {
    if (this.is64) return this.setState(gprAddress(RSP), value);
    const mask = this.zext(this.getState(S.stackMask, 32), 64);
    this.setState(gprAddress(RSP), this.or(this.and(old, this.not(mask)), this.and(value, mask)));
  }
  push(v: Val): void {
    const rsp = this.getState(gprAddress(RSP), 64);
    const next = this.sub(rsp, this.c(64, v.width / 8));
    this.store(SS, this.stackOffset(next), v);
    this.setStackPointer(rsp, next);
  }
  pop(width: 16 | 32 | 64): Val {
    const rsp = this.getState(gprAddress(RSP), 64);
    const v = this.load(SS, this.stackOffset(rsp), width);
    this.setStackPointer(rsp, this.add(rsp, this.c(64, width / 8)));
    return v;
  }

  // ---- targets of near transfers

  /** #GP(0) unless RIP is canonical (64-bit mode) or inside the code segment. The raise sets RIP back to this instruction. */
  checkTarget(rip: Val): void {
    const bad = this.is64
      ? this.ne(this.sar(this.shl(rip, 16), 16), rip)
      : this.ltU(this.zext(this.getState(segAddress(1) + SEG.limit, 32), 64), rip);
    this.raiseIf(bad, 13, 0);
  }

  compute(fn: InsnHelper): void {
    this.call(fn);
  }

  // ---- what an engine provides

  abstract load(segment: number, offset: Val, width: Width): Val;
  abstract store(segment: number, offset: Val, v: Val): void;
  abstract nextRip(): Val;
  abstract branchIf(condition: Val): void;
  abstract branch(): void;
  abstract jump(rip: Val): void;
  abstract again(condition: Val): void;
  abstract raiseIf(condition: Val, vector: number, errorCode?: number): void;
  abstract helper(fn: InsnHelper): void;
  abstract call(fn: InsnHelper): void;
  abstract instructionRip(): Val;
  abstract operandSelector(): Val;
  abstract registerNumber(i: number): Val;
  abstract repeat(): Val;
  abstract addressSize(): Val;
  /** Address of the state entry of the segment that the string operand is in; of zeros when its base is 0 in 64-bit mode. */
  protected abstract ownSegment(): Val;
  abstract chargeSpan(address: Val, linear: Val, bytes: Val, write: boolean): void;
  abstract chargeString(bytes: Val): void;
  abstract operands(): Operand[];
}
