/**
 * Values and integer arithmetic of the builder: constants are folded, every result goes to a fresh wasm local (the host's optimiser
 * removes what is not needed). Values of 8, 16 and 32 bits are kept zero-extended in an i32.
 */

import type { CarryOperation, Val, Width } from '../builder.js';
import type { FunctionEmitter } from '../../wasm/function.js';
import { I32, I64, OP, V128, type OpName, type ValueType } from '../../wasm/opcodes.js';

export class V implements Val {
  constructor(
    readonly width: Width,
    readonly local: number,
    readonly known?: bigint,
  ) {}
}
/** Names of the instructions on i32 and on i64, by what follows the type: names put together would have to be looked up as new strings. */
const named = (type: string): Record<string, OpName> =>
  Object.fromEntries((Object.keys(OP) as OpName[]).flatMap((n) => (n.startsWith(type) ? [[n.slice(type.length), n]] : [])));
const I32_NAMES = named('i32.'), I64_NAMES = named('i64.');
/** The instruction `op` on an integer of a width. */
export const integerOp = (w: Width, op: string): OpName => (w === 64 ? I64_NAMES : I32_NAMES)[op]!;
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
const COMPARE: Record<'eq' | 'ne' | 'lt_u' | 'le_u' | 'lt_s' | 'le_s', (a: bigint, b: bigint, w: Width) => boolean> = {
  eq: (a, b) => a === b,
  ne: (a, b) => a !== b,
  lt_u: (a, b) => a < b,
  le_u: (a, b) => a <= b,
  lt_s: (a, b, w) => signed(w, a) < signed(w, b),
  le_s: (a, b, w) => signed(w, a) <= signed(w, b),
};

export abstract class ArithmeticBuilder {
  constructor(readonly f: FunctionEmitter) {}

  // ---- values

  c(width: Width, value: number | bigint): Val {
    if (typeof value === 'number' && value >= 0 && value < (width >= 32 ? 0x1_0000_0000 : 1 << width)) return new V(width, -1, BigInt(value));
    return new V(width, -1, BigInt.asUintN(width, BigInt(value)));
  }
  /** Puts a value on the wasm stack. */
  get(v: Val): this {
    const x = v as V;
    if (x.known === undefined) this.f.get(x.local);
    else if (x.width === 64) this.f.i64(x.known);
    else if (x.width === 128) this.f.simd('v128.const').raw(bytesOf(x.known));
    else this.f.i32(Number(BigInt.asIntN(32, x.known)));
    return this;
  }
  /** Takes the wasm stack's top as a new value. */
  take(width: Width): Val {
    return new V(width, this.f.take(width === 64 ? I64 : width === 128 ? V128 : I32));
  }
  /** As `take`, cutting an i32 to 8 or 16 bits first. */
  private takeCut(width: Width): Val {
    if (width < 32) this.f.i32(width === 8 ? 0xff : width === 16 ? 0xffff : 1).op('i32.and');
    return this.take(width);
  }

  /** Puts a value on the wasm stack, zero-extended to 64 bits. */
  getZext64(v: Val): this {
    if (v.known !== undefined) this.f.i64(v.known);
    else if (v.width === 64) this.get(v);
    else this.get(v).f.op('i64.extend_i32_u');
    return this;
  }
  /** The same sign-extended. */
  getSext64(v: Val): this {
    if (v.known !== undefined || v.width === 1) return this.get(this.sext(v, 64));
    this.get(v);
    if (v.width === 64) return this;
    if (v.width !== 32) this.f.op(v.width === 16 ? 'i32.extend16_s' : 'i32.extend8_s');
    this.f.op('i64.extend_i32_s');
    return this;
  }

  zext(v: Val, width: Width): Val {
    if (v.width === width) return v;
    if (v.known !== undefined) return this.c(width, v.known);
    if (width !== 64) return new V(width, (v as V).local);
    this.getZext64(v);
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
    this.f.op(integerOp(a.width, op));
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
  carries(op: CarryOperation, x: Val, y: Val, result: Val): Val {
    if (op === 'add' || op === 'adc') return this.or(this.and(x, y), this.and(this.or(x, y), this.not(result)));
    const nx = this.not(x);
    return this.or(this.and(nx, y), this.and(this.or(nx, y), result));
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
    this.f.op(integerOp(a.width, op));
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
    this.f.op(integerOp(a.width, op));
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
    this.f.op(integerOp(a.width, op));
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
    if (a.known !== undefined && b.known !== undefined) return this.c(1, COMPARE[op](a.known, b.known, a.width) ? 1 : 0);
    const narrow = a.width < 32 && (op === 'lt_s' || op === 'le_s');
    this.get(narrow ? this.sext(a, 32) : a).get(narrow ? this.sext(b, 32) : b);
    this.f.op(integerOp(a.width, op));
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
    if (a.known !== undefined) return this.c(1, a.known === 0n ? 1 : 0);
    this.get(a);
    this.f.op(a.width === 64 ? 'i64.eqz' : 'i32.eqz');
    return this.take(1);
  }
  msb(a: Val): Val {
    return this.bit(a, a.width - 1);
  }
  bit(a: Val, i: number | Val): Val {
    if (a.known !== undefined && typeof i === 'number') return this.c(1, a.known >> BigInt(i));
    this.get(a);
    this.get(this.count(a.width, i));
    this.f.op(integerOp(a.width, 'shr_u'));
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
}

function bytesOf(v: bigint): number[] {
  return Array.from({ length: 16 }, (_, i) => Number((v >> BigInt(8 * i)) & 0xffn));
}
