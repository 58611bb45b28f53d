/**
 * x87 instructions without a helper, for the values that programs mostly have: zeros and normal numbers, all exceptions masked, no
 * waiting exception, rounding to nearest. The rest goes to the helper that does the whole instruction.
 *
 * SDM 1 §8.3.5 "Basic Arithmetic Instructions", §8.5 "x87 FPU Floating-Point Exception Conditions". Arithmetic is on the 64-bit
 * significands with 64 more bits behind them, rounded once to the precision that the control word names; so PE and C1 (rounded up)
 * come out exactly. Nothing here is approximate and there is no floating-point arithmetic of the host in it.
 *
 * Invariant: before its last possible fault a body changes nothing, and leaves to the helper what it then does from the beginning;
 * a memory operand that has been read goes with it (`MEMORY_READ`), because a device must see one access.
 */

import type { Body, Builder, Operand, Val, Variable } from '../builder.js';
import type { InsnHelper } from '../insn.js';
import { CS, S, SEG, segAddress } from '../state.js';
import { C1, FSW_ES, MEMORY_READ, MEMORY_VALUE, TOP, TOP_SHIFT } from './x87-unit.js';

const MASKS = 0x3f, RC = 0xc00, RC_CHOP = 0xc00;
const BIAS = 16383, INFINITE = 0x7fff;
export const MSB = 1n << 63n;

/** A register's value: the significand (64 bits), and sign and exponent (32 bits, of which 16 are used). */
export interface Extended {
  readonly significand: Val;
  readonly top: Val;
}
/** Rounded to the control word's precision: PE and C1 as they become. */
export interface Rounded extends Extended {
  readonly inexact: Val;
  readonly up: Val;
  /** The exponent is that of a normal number, or the value is zero. */
  readonly fits: Val;
}

export const both = (s: Builder, ...conditions: Val[]): Val => conditions.reduce((a, b) => s.and(a, b));
export const not = (s: Builder, v: Val): Val => s.xor(v, s.c(1, 1));
export const isSet = (s: Builder, v: Val): Val => s.ne(v, s.c(v.width, 0));
export const exponentOf = (s: Builder, v: Extended): Val => s.and(v.top, s.c(32, INFINITE));
export const signOf = (s: Builder, v: Extended): Val => s.bit(v.top, 15);
export const isZero = (s: Builder, v: Extended): Val => s.isZero(s.or(v.significand, s.zext(exponentOf(s, v), 64)));
/** Exponent fields 1 to 0x7ffe. */
export const inRange = (s: Builder, exponent: Val): Val => s.ltU(s.sub(exponent, s.c(32, 1)), s.c(32, INFINITE - 1));
/** Normal with its integer bit, or zero. */
export const isUsual = (s: Builder, v: Extended): Val => s.or(s.and(inRange(s, exponentOf(s, v)), s.msb(v.significand)), isZero(s, v));
export const join = (s: Builder, sign: Val, exponent: Val): Val => s.or(s.shl(s.zext(sign, 32), 15), exponent);

/** The register stack in one instruction; `done` says that the instruction needs no helper. */
export class Unit {
  private readonly fsw: Val;
  private readonly tags: Val;
  readonly control: Val;

  constructor(readonly s: Builder, private readonly done: Variable) {
    this.fsw = s.getState(S.fsw, 32);
    this.tags = s.getState(S.ftw, 32);
    this.control = s.getState(S.fcw, 32);
  }
  /** Physical number of ST(i). */
  private physical(i: Val | number): Val {
    const { s } = this;
    return s.and(s.add(s.shr(this.fsw, TOP_SHIFT), typeof i === 'number' ? s.c(32, i) : i), s.c(32, 7));
  }
  isFull(i: Val | number): Val {
    const { s } = this;
    return s.ne(s.and(s.shr(this.tags, s.shl(this.physical(i), 1)), s.c(32, 3)), s.c(32, 3));
  }
  private at(i: Val | number): Val {
    const { s } = this;
    return s.add(s.c(32, S.st), s.shl(this.physical(i), 4));
  }
  get(i: Val | number): Extended {
    const { s } = this, at = this.at(i);
    return { significand: s.loadPlain(at, 64), top: s.zext(s.loadPlain(s.add(at, s.c(32, 8)), 16), 32) };
  }
  /** The upper half of a register's field is as the helper leaves it. */
  private put(i: Val | number, v: Extended): void {
    const { s } = this, at = this.at(i);
    s.storePlain(at, v.significand);
    s.storePlain(s.add(at, s.c(32, 8)), s.zext(v.top, 64));
  }
  /** All exceptions are masked; rounding to nearest. */
  get usual(): Val {
    const { s } = this;
    return s.eq(s.and(this.control, s.c(32, MASKS | RC)), s.c(32, MASKS));
  }
  get chops(): Val {
    const { s } = this;
    return s.eq(s.and(this.control, s.c(32, RC)), s.c(32, RC_CHOP));
  }
  /** All exceptions are masked. */
  get masked(): Val {
    const { s } = this;
    return s.eq(s.and(this.control, s.c(32, MASKS)), s.c(32, MASKS));
  }
  /** Bits that precision control cuts off a significand: 40, 11 or none. */
  get cut(): Val {
    const { s } = this;
    return s.and(s.shr(s.c(32, 0x000b_0028), s.shl(s.and(s.shr(this.control, 8), s.c(32, 3)), 3)), s.c(32, 0xff));
  }

  /**
   * The instruction is done: pointers, status and tags, and what has been computed goes to registers.
   * @param memory the instruction had a memory operand @param puts registers as they are numbered before `move` turns the stack
   * @param move +1: ST(0) becomes empty and the stack is popped, twice for +2; -1: ST(7) is filled and pushed
   */
  finish(memory: Operand | undefined, puts: readonly (readonly [Val | number, Extended])[], options: { move?: -1 | 0 | 1 | 2; rounded?: { inexact: Val; up: Val }; codes?: Val; keepC1?: boolean } = {}): void {
    const { s } = this, { move = 0, rounded, codes, keepC1 = false } = options;
    s.setState(S.fip, s.instructionRip());
    s.setState(S.fcs, s.getState(segAddress(CS) + SEG.selector, 32));
    if (memory !== undefined) {
      s.setState(S.fdp, memory.ea());
      s.setState(S.fds, s.operandSelector());
    }
    for (const [i, v] of puts) this.put(i, v);
    let tags = this.tags;
    const place = (i: Val | number): Val => s.shl(this.physical(i), 1);
    for (const [i] of puts) if (move === -1 || i !== 0) tags = s.and(tags, s.not(s.shl(s.c(32, 3), place(i))));
    if (move > 0) tags = s.or(tags, s.shl(s.c(32, 3), place(0)));
    if (move > 1) tags = s.or(tags, s.shl(s.c(32, 3), place(1)));
    s.setState(S.ftw, tags);
    let fsw = s.and(this.fsw, s.c(32, 0xffff & ~((keepC1 ? 0 : C1) | (codes === undefined ? 0 : 0x4500))));
    if (codes !== undefined) fsw = s.or(fsw, codes);
    if (rounded !== undefined) {
      fsw = s.or(fsw, s.or(s.shl(s.zext(rounded.inexact, 32), 5), s.shl(s.zext(rounded.up, 32), 9)));
    }
    if (move !== 0) fsw = s.or(s.and(fsw, s.c(32, 0xffff & ~TOP)), s.and(s.add(fsw, s.c(32, (move << TOP_SHIFT) >>> 0)), s.c(32, TOP)));
    s.setState(S.fsw, fsw);
    this.done.set(s.c(1, 1));
  }
}

/** A body: `fast` may finish the instruction (`Unit.finish`), else the helper does it. Values of memory operands come from `read`. */
export const x87 = (slow: InsnHelper, fast: (u: Unit, s: Builder, read: (o: Operand) => Val, operands: Operand[]) => void): Body => (s, ...operands) => {
  const done = s.variable(s.c(1, 0));
  let known: Variable | undefined;
  const reads = operands.some((o) => o.isMemory && o.width <= 64);
  if (reads) known = s.variable(s.c(64, 0));
  const wasRead = s.variable(s.c(32, 0));
  s.if(s.isZero(s.or(s.getState(S.x87Trap, 32), s.and(s.getState(S.fsw, 32), s.c(32, FSW_ES)))), () => {
    const read = (o: Operand): Val => {
      const v = o.read();
      known!.set(s.zext(v, 64));
      wasRead.set(s.c(32, 1));
      return v;
    };
    fast(new Unit(s, done), s, read, operands);
  });
  s.if(not(s, done.get()), () => {
    if (known !== undefined) {
      s.setState(MEMORY_READ, wasRead.get());
      s.setState(MEMORY_VALUE, known.get());
    }
    s.call(slow);
  });
};

// ---- arithmetic

/** Rounds significand and the 64 bits behind it, both normalised (the first bit is set), to nearest. `exponent` may be out of range. */
function round(u: Unit, sign: Val, exponent: Val, high: Val, low: Val): Rounded {
  const { s } = u;
  const cut = s.zext(u.cut, 64), one = s.c(64, 1), zero = s.c(64, 0);
  const mask = s.sub(s.shl(one, cut), one);
  // What is cut off, as a fraction of the last bit that stays: its first 64 bits, and whether there is more.
  const fraction = s.or(s.shl(s.and(high, mask), s.and(s.sub(zero, cut), s.c(64, 63))), s.shr(low, cut));
  const more = isSet(s, s.and(low, mask));
  const last = s.trunc(s.and(s.shr(high, cut), one), 1);
  const up = s.and(s.msb(fraction), s.or(s.or(isSet(s, s.shl(fraction, 1)), more), last));
  const sum = s.add(s.and(high, s.not(mask)), s.shl(s.zext(up, 64), cut));
  const carried = s.isZero(sum);
  const result = s.select(carried, s.c(64, MSB), sum);
  const e = s.add(exponent, s.zext(carried, 32));
  return { significand: result, top: join(s, sign, e), inexact: s.or(isSet(s, fraction), more), up, fits: inRange(s, e) };
}
const noRounding = (s: Builder): { inexact: Val; up: Val } => ({ inexact: s.c(1, 0), up: s.c(1, 0) });

class Result {
  readonly significand: Variable;
  readonly top: Variable;
  readonly inexact: Variable;
  readonly up: Variable;
  readonly fits: Variable;
  constructor(s: Builder, sign: Val) {
    // A zero, until something is set.
    this.significand = s.variable(s.c(64, 0));
    this.top = s.variable(join(s, sign, s.c(32, 0)));
    [this.inexact, this.up] = Object.values(noRounding(s)).map((v) => s.variable(v)) as [Variable, Variable];
    this.fits = s.variable(s.c(1, 1));
  }
  set(r: Rounded): void {
    this.significand.set(r.significand);
    this.top.set(r.top);
    this.inexact.set(r.inexact);
    this.up.set(r.up);
    this.fits.set(r.fits);
  }
  get(): Rounded {
    return { significand: this.significand.get(), top: this.top.get(), inexact: this.inexact.get(), up: this.up.get(), fits: this.fits.get() };
  }
}

/** a + b, or a - b, of usual values. */
export function add(u: Unit, x: Extended, y: Extended, subtracts: boolean): Rounded {
  const { s } = u;
  const ex = exponentOf(s, x), ey = exponentOf(s, y), sx = signOf(s, x), sy = subtracts ? not(s, signOf(s, y)) : signOf(s, y);
  const swap = s.or(s.ltU(ex, ey), s.and(s.eq(ex, ey), s.ltU(x.significand, y.significand)));
  const a = s.select(swap, y.significand, x.significand), b = s.select(swap, x.significand, y.significand);
  const e = s.select(swap, ey, ex), sign = s.select(swap, sy, sx);
  const distance = s.zext(s.sub(e, s.select(swap, ex, ey)), 64);
  const unlike = s.xor(sx, sy);
  const c = (v: number | bigint): Val => s.c(64, v);
  // The smaller one, moved to the right by the distance; bits that fall off leave their mark in the last one.
  const count = s.and(distance, c(63)), opposite = s.and(s.sub(c(0), count), c(63));
  const near = s.ltU(distance, c(64)), medium = s.ltU(distance, c(128));
  const down = s.shr(b, count), out = s.select(s.isZero(count), c(0), s.shl(b, opposite));
  const bh = s.select(near, down, c(0));
  const mark = (v: Val): Val => s.zext(isSet(s, v), 64);
  const bl = s.select(near, out, s.select(medium, s.or(down, mark(out)), mark(b)));
  const equalZero = s.and(s.isZero(a), s.isZero(b));
  // Equal signs keep them; a difference of nothing is +0 in this rounding.
  const result = new Result(s, s.and(s.and(sx, sy), equalZero));
  s.if(
    unlike,
    () => {
      const l = s.sub(c(0), bl), h = s.sub(s.sub(a, bh), mark(bl));
      s.if(isSet(s, s.or(h, l)), () => {
        const wholeWord = s.isZero(h);
        const first = s.select(wholeWord, l, h), second = s.select(wholeWord, c(0), l);
        const n = s.clz(first), back = s.and(s.sub(c(0), n), c(63));
        const high = s.or(s.shl(first, n), s.select(s.isZero(n), c(0), s.shr(second, back)));
        const lost = s.add(s.trunc(n, 32), s.shl(s.zext(wholeWord, 32), 6));
        result.set(round(u, sign, s.sub(e, lost), high, s.shl(second, n)));
      });
    },
    () =>
      s.if(not(s, equalZero), () => {
        const h = s.add(a, bh), carry = s.ltU(h, a);
        const high = s.select(carry, s.or(s.shr(h, 1), c(MSB)), h);
        const low = s.select(carry, s.or(s.or(s.shr(bl, 1), s.shl(h, 63)), s.and(bl, c(1))), bl);
        result.set(round(u, sign, s.add(e, s.zext(carry, 32)), high, low));
      }),
  );
  return result.get();
}

/** a * b of usual values. */
export function multiply(u: Unit, x: Extended, y: Extended): Rounded {
  const { s } = u;
  const sign = s.xor(signOf(s, x), signOf(s, y));
  const result = new Result(s, sign);
  s.if(not(s, s.or(s.isZero(x.significand), s.isZero(y.significand))), () => {
    const [low, high] = s.mulWide(x.significand, y.significand, false);
    const full = s.msb(high);
    const h = s.select(full, high, s.or(s.shl(high, 1), s.shr(low, 63))), l = s.select(full, low, s.shl(low, 1));
    // An exponent below the least wraps to a large one, which does not fit either.
    const e = s.add(s.sub(s.add(exponentOf(s, x), exponentOf(s, y)), s.c(32, BIAS)), s.zext(full, 32));
    result.set(round(u, sign, e, h, l));
  });
  return result.get();
}

/** a / b of normal values: a bit at a time, as by hand. */
export function divide(u: Unit, x: Extended, y: Extended): Rounded {
  const { s } = u;
  const b = y.significand;
  const whole = s.leU(b, x.significand);
  const rest = s.variable(s.select(whole, s.sub(x.significand, b), x.significand));
  const quotient = s.variable(s.zext(whole, 64));
  const step = (): Val => {
    const r = rest.get(), twice = s.shl(r, 1);
    const one = s.or(s.msb(r), s.leU(b, twice));
    rest.set(s.select(one, s.sub(twice, b), twice));
    return s.zext(one, 64);
  };
  s.loop(() => {
    quotient.set(s.or(s.shl(quotient.get(), 1), step()));
    return not(s, s.msb(quotient.get()));
  });
  // Behind the significand: the next bit, and whether there is more.
  const guard = step();
  const low = s.or(s.shl(guard, 63), s.zext(isSet(s, rest.get()), 64));
  const e = s.add(s.sub(s.add(exponentOf(s, x), s.c(32, BIAS - 1)), exponentOf(s, y)), s.zext(whole, 32));
  return round(u, s.xor(signOf(s, x), signOf(s, y)), e, quotient.get(), low);
}

// ---- other formats

/** A double or single as an extended value, and whether it is zero or normal. */
export function fromFloat(s: Builder, bits: Val): Extended & { readonly usual: Val } {
  const [fraction, bias, max] = bits.width === 64 ? [52, 1023, 0x7ff] : [23, 127, 0xff];
  const wide = s.zext(bits, 64);
  const e = s.and(s.trunc(s.shr(wide, fraction), 32), s.c(32, max));
  const zero = s.isZero(s.shl(bits, 1));
  const significand = s.select(zero, s.c(64, 0), s.or(s.shl(wide, 63 - fraction), s.c(64, MSB)));
  const top = join(s, s.msb(bits), s.select(zero, s.c(32, 0), s.add(e, s.c(32, BIAS - bias))));
  return { significand, top, usual: s.or(zero, s.ltU(s.sub(e, s.c(32, 1)), s.c(32, max - 1))) };
}

/** A usual value rounded to nearest as a double or single; `fits` when the result is zero or well inside the normal range. */
export function toFloat(s: Builder, v: Extended, width: 32 | 64): { readonly bits: Val; readonly inexact: Val; readonly up: Val; readonly fits: Val } {
  const [fraction, bias, max] = width === 64 ? [52, 1023, 0x7ff] : [23, 127, 0xff];
  const cut = 63 - fraction, half = 1n << BigInt(cut - 1), zero = isZero(s, v);
  const rest = s.and(v.significand, s.c(64, (1n << BigInt(cut)) - 1n)), kept = s.shr(v.significand, cut);
  const up = s.or(s.ltU(s.c(64, half), rest), s.and(s.eq(rest, s.c(64, half)), s.trunc(s.and(kept, s.c(64, 1)), 1)));
  const e = s.sub(exponentOf(s, v), s.c(32, BIAS - bias));
  // The integer bit adds one to the exponent field; rounding up may carry into it.
  const magnitude = s.add(s.shl(s.zext(s.sub(e, s.c(32, 1)), 64), fraction), s.add(kept, s.zext(up, 64)));
  const signed = s.or(s.select(zero, s.c(64, 0), magnitude), s.shl(s.zext(signOf(s, v), 64), width - 1));
  const fits = s.or(zero, s.ltU(s.sub(e, s.c(32, 2)), s.c(32, max - 3)));
  return { bits: s.trunc(signed, width), inexact: isSet(s, rest), up, fits };
}

/** A signed integer of 64 bits. */
export function fromInteger(s: Builder, v: Val): Extended {
  const sign = s.msb(v), magnitude = s.select(sign, s.neg(v), v), zero = s.isZero(v);
  const n = s.select(zero, s.c(64, 0), s.clz(magnitude));
  const e = s.sub(s.c(32, BIAS + 63), s.trunc(n, 32));
  return { significand: s.shl(magnitude, n), top: s.select(zero, s.c(32, 0), join(s, sign, e)) };
}

/** A usual value as an integer, to nearest or (`chop`) towards zero; `fits` when its magnitude is below 2^(width - 1). */
export function toInteger(s: Builder, v: Extended, width: 16 | 32 | 64, chop: Val): { readonly bits: Val; readonly inexact: Val; readonly up: Val; readonly fits: Val } {
  const e = s.sub(exponentOf(s, v), s.c(32, BIAS)), c = (x: number): Val => s.c(64, x), wide = s.zext(e, 64);
  // Below a half everything is alike; from 2^62 on nothing is done here.
  const whole = s.leS(s.c(32, 0), e), half = s.eq(e, s.c(32, 0xffff_ffff)), fits62 = s.ltS(e, s.c(32, Math.min(width - 1, 62)));
  const count = s.and(wide, c(63));
  const integer = s.select(whole, s.shr(v.significand, s.sub(c(63), count)), c(0));
  const small = s.select(half, v.significand, s.zext(isSet(s, v.significand), 64));
  const fraction = s.select(whole, s.shl(s.shl(v.significand, count), 1), small);
  const nearest = s.and(s.msb(fraction), s.or(isSet(s, s.shl(fraction, 1)), s.trunc(s.and(integer, c(1)), 1)));
  const up = s.and(nearest, not(s, chop));
  const magnitude = s.add(integer, s.zext(up, 64));
  const bits = s.select(signOf(s, v), s.neg(magnitude), magnitude);
  return { bits: s.trunc(bits, width), inexact: isSet(s, fraction), up, fits: s.and(fits62, s.ltU(magnitude, s.c(64, 1n << BigInt(width - 1)))) };
}

/** Order of two usual values: a < b, a = b. */
export function order(s: Builder, a: Extended, b: Extended): { readonly less: Val; readonly equal: Val } {
  const ea = exponentOf(s, a), eb = exponentOf(s, b), sa = signOf(s, a), sb = signOf(s, b);
  const zeros = s.and(isZero(s, a), isZero(s, b));
  const same = s.and(s.eq(ea, eb), s.eq(a.significand, b.significand));
  const smaller = s.or(s.ltU(ea, eb), s.and(s.eq(ea, eb), s.ltU(a.significand, b.significand)));
  const larger = not(s, s.or(smaller, same));
  const less = s.select(s.ne(sa, sb), sa, s.select(sa, larger, smaller));
  return { less: s.and(less, not(s, zeros)), equal: s.or(zeros, s.and(same, s.eq(sa, sb))) };
}
