/**
 * The part of the builder that does not depend on the engine: values, arithmetic, flags, control.
 *
 * Every result goes to a fresh wasm local (the host's optimiser removes what is not needed), constants are folded. Values of
 * 8, 16 and 32 bits are kept zero-extended in an i32.
 */

import type { Builder, ConditionCode, FlagName, FloatVal, Operand, Val, Variable, Width } from '../builder.js';
import type { InsnHelper } from '../insn.js';
import { S, gprAddress } from '../state.js';
import type { FunctionEmitter } from '../../wasm/function.js';
import { F32, F64, I32, I64, V128, type OpName, type SimdOpName, type ValueType } from '../../wasm/opcodes.js';

export class V implements Val {
  constructor(
    readonly width: Width,
    readonly local: number,
    readonly known?: bigint,
  ) {}
}
class F implements FloatVal {
  constructor(
    readonly float: 32 | 64,
    readonly local: number,
  ) {}
}

export const wasmType = (w: Width): ValueType => (w === 64 ? I64 : w === 128 ? V128 : I32);
const maskOf = (w: Width): bigint => (1n << BigInt(w)) - 1n;
const signed = (w: Width, v: bigint): bigint => BigInt.asIntN(w, v);

type Binary = 'add' | 'sub' | 'mul' | 'and' | 'or' | 'xor';
const FOLD: Record<Binary, (a: bigint, b: bigint) => bigint> = {
  add: (a, b) => a + b,
  sub: (a, b) => a - b,
  mul: (a, b) => a * b,
  and: (a, b) => a & b,
  or: (a, b) => a | b,
  xor: (a, b) => a ^ b,
};

export abstract class CodeBuilder implements Builder {
  abstract readonly operandWidth: 8 | 16 | 32 | 64;
  abstract readonly codeSize: 16 | 32 | 64;

  constructor(readonly f: FunctionEmitter) {}

  // ---- values

  c(width: Width, value: number | bigint): Val {
    return new V(width, -1, BigInt.asUintN(width, BigInt(value)));
  }
  /** Puts a value on the wasm stack. */
  get(v: Val): this {
    const x = v as V;
    if (x.known === undefined) this.f.get(x.local);
    else if (x.width === 64) this.f.i64(x.known);
    else if (x.width === 128) this.f.simd('v128.const').code.raw(bytesOf(x.known));
    else this.f.i32(Number(BigInt.asIntN(32, x.known)));
    return this;
  }
  /** Takes the wasm stack's top as a new value. */
  take(width: Width): Val {
    const local = this.f.local(wasmType(width));
    this.f.set(local);
    return new V(width, local);
  }
  /** As `take`, cutting an i32 to 8 or 16 bits first. */
  private takeCut(width: Width): Val {
    if (width < 32) this.f.i32(width === 8 ? 0xff : width === 16 ? 0xffff : 1).op('i32.and');
    return this.take(width);
  }
  private name(w: Width, op: string): OpName {
    return `${w === 64 ? 'i64' : 'i32'}.${op}` as OpName;
  }

  zext(v: Val, width: Width): Val {
    if (v.width === width) return v;
    if (v.known !== undefined) return this.c(width, v.known);
    if (width !== 64) return new V(width, (v as V).local);
    this.get(v);
    this.f.op('i64.extend_i32_u');
    return this.take(64);
  }
  sext(v: Val, width: Width): Val {
    if (v.width === width) return v;
    if (v.known !== undefined) return this.c(width, signed(v.width, v.known));
    this.get(v);
    if (v.width === 1) {
      this.f.i32(31).op('i32.shl').i32(31).op('i32.shr_s');
    } else if (v.width < 32) this.f.op(v.width === 8 ? 'i32.extend8_s' : 'i32.extend16_s');
    if (width === 64) {
      this.f.op('i64.extend_i32_s');
      return this.take(64);
    }
    return this.takeCut(width);
  }
  trunc(v: Val, width: Width): Val {
    if (v.width === width) return v;
    if (v.known !== undefined) return this.c(width, v.known);
    this.get(v);
    if (v.width === 64) this.f.op('i32.wrap_i64');
    return this.takeCut(width);
  }

  private binary(op: Binary, a: Val, b: Val): Val {
    if (a.width !== b.width) throw new Error(`${op} of ${a.width} and ${b.width} bits`);
    if (a.known !== undefined && b.known !== undefined) return this.c(a.width, FOLD[op](a.known, b.known));
    if (b.known === 0n && (op === 'add' || op === 'sub' || op === 'or' || op === 'xor')) return a;
    this.get(a).get(b);
    this.f.op(this.name(a.width, op));
    return op === 'and' || op === 'or' || op === 'xor' ? this.take(a.width) : this.takeCut(a.width);
  }
  add(a: Val, b: Val): Val {
    return this.binary('add', a, b);
  }
  sub(a: Val, b: Val): Val {
    return this.binary('sub', a, b);
  }
  mul(a: Val, b: Val): Val {
    return this.binary('mul', a, b);
  }
  and(a: Val, b: Val): Val {
    return this.binary('and', a, b);
  }
  or(a: Val, b: Val): Val {
    return this.binary('or', a, b);
  }
  xor(a: Val, b: Val): Val {
    return this.binary('xor', a, b);
  }
  not(a: Val): Val {
    return this.binary('xor', a, this.c(a.width, maskOf(a.width)));
  }
  neg(a: Val): Val {
    return this.binary('sub', this.c(a.width, 0), a);
  }
  mulWide(a: Val, b: Val, isSigned: boolean): [Val, Val] {
    // Four 32 x 32 products, as on paper; the signed high half is the unsigned one corrected by the operands' signs.
    const lo32 = this.c(64, 0xffff_ffff);
    const [a0, a1, b0, b1] = [this.and(a, lo32), this.shr(a, 32), this.and(b, lo32), this.shr(b, 32)];
    const p00 = this.mul(a0, b0);
    const p01 = this.mul(a0, b1);
    const p10 = this.mul(a1, b0);
    const middle = this.add(this.add(this.shr(p00, 32), this.and(p01, lo32)), this.and(p10, lo32));
    let high = this.add(this.add(this.mul(a1, b1), this.shr(p01, 32)), this.add(this.shr(p10, 32), this.shr(middle, 32)));
    if (isSigned) {
      high = this.sub(high, this.and(this.sar(a, 63), b));
      high = this.sub(high, this.and(this.sar(b, 63), a));
    }
    return [this.mul(a, b), high];
  }

  private count(width: Width, n: Val | number): Val {
    const v = typeof n === 'number' ? this.c(width, n) : n;
    return width === 64 ? this.zext(v, 64) : v.width === 64 ? this.trunc(v, 32) : v;
  }
  private shift(op: 'shl' | 'shr_u' | 'shr_s' | 'rotl' | 'rotr', a: Val, n: Val | number): Val {
    if (n === 0) return a;
    this.get(a);
    this.get(this.count(a.width, n));
    this.f.op(this.name(a.width, op));
    return op === 'shr_u' ? this.take(a.width) : this.takeCut(a.width);
  }
  shl(a: Val, n: Val | number): Val {
    if (a.known !== undefined && typeof n === 'number') return this.c(a.width, a.known << BigInt(n));
    return this.shift('shl', a, n);
  }
  shr(a: Val, n: Val | number): Val {
    if (a.known !== undefined && typeof n === 'number') return this.c(a.width, a.known >> BigInt(n));
    return this.shift('shr_u', a, n);
  }
  sar(a: Val, n: Val | number): Val {
    if (n === 0) return a;
    if (a.width >= 32) return this.shift('shr_s', a, n);
    return this.trunc(this.shift('shr_s', this.sext(a, 32), n), a.width);
  }
  rotl(a: Val, n: Val | number): Val {
    if (a.width >= 32) return this.shift('rotl', a, n);
    const k = this.count(32, n);
    const wide = this.zext(a, 32);
    const back = this.and(this.sub(this.c(32, a.width), this.zext(k, 32)), this.c(32, a.width - 1));
    return this.trunc(this.or(this.shift('shl', wide, k), this.shift('shr_u', wide, back)), a.width);
  }
  rotr(a: Val, n: Val | number): Val {
    if (a.width >= 32) return this.shift('rotr', a, n);
    const k = this.count(32, n);
    const wide = this.zext(a, 32);
    const back = this.and(this.sub(this.c(32, a.width), this.zext(k, 32)), this.c(32, a.width - 1));
    return this.trunc(this.or(this.shift('shr_u', wide, k), this.shift('shl', wide, back)), a.width);
  }
  private unary(op: 'clz' | 'ctz' | 'popcnt', a: Val): Val {
    this.get(a);
    this.f.op(this.name(a.width, op));
    return this.take(a.width);
  }
  clz(a: Val): Val {
    const r = this.unary('clz', a);
    return a.width < 32 ? this.sub(r, this.c(a.width, 32 - a.width)) : r;
  }
  ctz(a: Val): Val {
    if (a.width >= 32) return this.unary('ctz', a);
    return this.trunc(this.unary('ctz', this.or(this.zext(a, 32), this.c(32, 1 << a.width))), a.width);
  }
  popcnt(a: Val): Val {
    return this.unary('popcnt', a);
  }
  private divide(op: 'div_u' | 'rem_u' | 'div_s' | 'rem_s', a: Val, b: Val): Val {
    this.get(a).get(b);
    this.f.op(this.name(a.width, op));
    return this.takeCut(a.width);
  }
  divU(a: Val, b: Val): Val {
    return this.divide('div_u', a, b);
  }
  remU(a: Val, b: Val): Val {
    return this.divide('rem_u', a, b);
  }
  divS(a: Val, b: Val): Val {
    return this.divide('div_s', this.widen(a), this.widen(b));
  }
  remS(a: Val, b: Val): Val {
    return this.divide('rem_s', this.widen(a), this.widen(b));
  }
  /** Signed operations on 8 and 16 bits work on the sign-extended value. */
  private widen(a: Val): Val {
    if (a.width >= 32) return a;
    const wide = this.sext(a, 32) as V;
    return new V(a.width, wide.local, wide.known);
  }

  private compare(op: 'eq' | 'ne' | 'lt_u' | 'le_u' | 'lt_s' | 'le_s', a: Val, b: Val): Val {
    const narrow = a.width < 32 && (op === 'lt_s' || op === 'le_s');
    this.get(narrow ? this.sext(a, 32) : a).get(narrow ? this.sext(b, 32) : b);
    this.f.op(this.name(a.width, op));
    return this.take(1);
  }
  eq(a: Val, b: Val): Val {
    return this.compare('eq', a, b);
  }
  ne(a: Val, b: Val): Val {
    return this.compare('ne', a, b);
  }
  ltU(a: Val, b: Val): Val {
    return this.compare('lt_u', a, b);
  }
  leU(a: Val, b: Val): Val {
    return this.compare('le_u', a, b);
  }
  ltS(a: Val, b: Val): Val {
    return this.compare('lt_s', a, b);
  }
  leS(a: Val, b: Val): Val {
    return this.compare('le_s', a, b);
  }
  isZero(a: Val): Val {
    this.get(a);
    this.f.op(a.width === 64 ? 'i64.eqz' : 'i32.eqz');
    return this.take(1);
  }
  msb(a: Val): Val {
    return this.bit(a, a.width - 1);
  }
  bit(a: Val, i: number | Val): Val {
    this.get(a);
    this.get(this.count(a.width, i));
    this.f.op(this.name(a.width, 'shr_u'));
    if (a.width === 64) this.f.op('i32.wrap_i64');
    this.f.i32(1).op('i32.and');
    return this.take(1);
  }
  select(condition: Val, ifTrue: Val, ifFalse: Val): Val {
    if (condition.known !== undefined) return condition.known ? ifTrue : ifFalse;
    this.get(ifTrue).get(ifFalse).get(condition);
    this.f.op('select');
    return this.take(ifTrue.width);
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
      this.get(this.zext(v, 64)).f.mem('i64.store', offset);
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
    this.f.simd(op as SimdOpName);
    if (lane !== undefined) this.f.code.u8(lane);
    if (op.includes('extract_lane')) return this.take(op.startsWith('i8') ? 8 : op.startsWith('i16') ? 16 : op.startsWith('i32') ? 32 : 64);
    if (/bitmask|all_true|any_true/.test(op)) return this.take(32);
    return this.take(128);
  }
  shuffle(a: Val, b: Val, lanes: readonly number[]): Val {
    if (lanes.length !== 16) throw new Error('a shuffle names sixteen lanes');
    this.get(a).get(b).f.simd('i8x16.shuffle').code.raw(lanes);
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

  // ---- what an engine provides

  abstract load(segment: number, offset: Val, width: Width): Val;
  abstract store(segment: number, offset: Val, v: Val): void;
  abstract push(v: Val): void;
  abstract pop(width: 16 | 32 | 64): Val;
  abstract nextRip(): Val;
  abstract branchIf(condition: Val): void;
  abstract branch(): void;
  abstract jump(rip: Val): void;
  abstract raiseIf(condition: Val, vector: number, errorCode?: number): void;
  abstract helper(fn: InsnHelper): void;
  abstract call(fn: InsnHelper): void;
  abstract operands(): Operand[];
}

function bytesOf(v: bigint): number[] {
  return Array.from({ length: 16 }, (_, i) => Number((v >> BigInt(8 * i)) & 0xffn));
}
