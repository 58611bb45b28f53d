/**
 * String instructions without a helper: elements in plain memory, a stretch inside one page of each string at a time.
 *
 * SDM 1 §7.3.9.2 "Repeated String Operations". What these bodies cannot do - another address size than the code's, a repetition
 * downwards or under TF, elements across pages, devices, faults - they leave to the helper, with the registers exact and the
 * elements that this pass has done at DONE. Invariant: a repetition is cut into the same stretches as the helper's, so both charge
 * the same cycles.
 */

import type { Body, Builder, Val, Variable } from '../builder.js';
import type { InsnHelper } from '../insn.js';
import { DF, ES, RAX, RCX, RDI, RSI, S, TF } from '../state.js';
import { subBorrows } from './carries.js';

/** Elements that a repetition does before it gives the run loop its turn. */
export const ELEMENTS_AT_ONCE = 4096;
/** State field: elements of this pass that emitted code has done when it calls the helper. */
export const DONE = S.scratch + 32;

export type ElementBytes = 1 | 2 | 4 | 8;
export interface StringKind {
  readonly source: boolean;
  readonly destination: 'none' | 'read' | 'write';
}

const PAGE = 4096;
const pointerWidth = (s: Builder): 32 | 64 => (s.codeSize === 64 ? 64 : 32);
const bitsOf = (size: ElementBytes): 8 | 16 | 32 | 64 => (size * 8) as 8;
const all = (s: Builder, ...conditions: Val[]): Val => conditions.reduce((a, b) => s.and(a, b));
const least = (s: Builder, ...values: Val[]): Val => values.reduce((a, b) => s.select(s.ltU(a, b), a, b));
const isNot = (s: Builder, v: Val): Val => s.ne(v, s.c(v.width, 0));

/** A pointer register as an offset in its segment. */
const pointer = (s: Builder, register: number): Val => s.zext(s.reg(register, pointerWidth(s)), 64);
const setPointer = (s: Builder, register: number, offset: Val): void => s.setReg(register, s.trunc(offset, pointerWidth(s)));

interface Side {
  readonly linear: Val;
  /** Of the elements in the linear memory, or 0. */
  readonly address: Val;
}
function find(s: Builder, segment: number | undefined, offset: Val, linear: Val, bytes: Val, write: boolean): Side {
  return { linear, address: s.plain(segment, offset, linear, bytes, write) };
}
const compare = (s: Builder, x: Val, y: Val): void => {
  const difference = s.sub(x, y);
  s.setArithmeticFlags(difference, subBorrows(s, x, y, difference));
};

/** The instruction without a prefix. Clears `rest` when it is done. */
function single(s: Builder, kind: StringKind, size: ElementBytes, rest: Variable): void {
  const bytes = s.c(32, size), width = bitsOf(size), write = kind.destination === 'write';
  const at = (segment: number | undefined, register: number, w: boolean): Side => {
    const offset = pointer(s, register);
    return find(s, segment, offset, s.linear(segment, offset), bytes, w);
  };
  const to = kind.destination === 'none' ? undefined : at(ES, RDI, write);
  const from = kind.source ? at(undefined, RSI, false) : undefined;
  s.if(all(s, ...[to, from].filter((side) => side !== undefined).map((side) => isNot(s, side.address))), () => {
    const x = from === undefined ? s.reg(RAX, width) : s.loadPlain(from.address, width);
    if (kind.destination === 'none') s.setReg(RAX, x);
    else if (write) s.storePlain(to!.address, x);
    else compare(s, x, s.loadPlain(to!.address, width));
    if (kind.destination === 'read') s.chargeSpan(to!.address, to!.linear, bytes, false);
    if (from !== undefined) s.chargeSpan(from.address, from.linear, bytes, false);
    if (write) s.chargeSpan(to!.address, to!.linear, bytes, true);
    const step = s.select(isNot(s, s.and(s.getState(S.rflagsRest, 32), s.c(32, DF))), s.c(64, -size), s.c(64, size));
    if (from !== undefined) setPointer(s, RSI, s.add(pointer(s, RSI), step));
    if (to !== undefined) setPointer(s, RDI, s.add(pointer(s, RDI), step));
    rest.set(s.c(1, 0));
  });
}

/** One stretch of a repetition: the most elements that may be in it, and where they are. */
interface StretchOf {
  readonly elements: Val;
  readonly bytes: Val;
  readonly to: Side;
  readonly from: Side | undefined;
  /** The strings are plain memory for all of them. */
  readonly found: Val;
}
class Repetition {
  readonly source: Variable | undefined;
  readonly destination: Variable;
  readonly left: Variable;
  readonly shift: number;

  constructor(readonly s: Builder, readonly kind: StringKind, readonly size: ElementBytes, private readonly done: Variable) {
    this.source = kind.source ? s.variable(pointer(s, RSI)) : undefined;
    this.destination = s.variable(pointer(s, RDI));
    this.left = s.variable(pointer(s, RCX));
    this.shift = Math.log2(size);
  }
  private elementsInPage(linear: Val): Val {
    const { s } = this;
    return s.shr(s.sub(s.c(32, PAGE), s.and(s.trunc(linear, 32), s.c(32, PAGE - 1))), this.shift);
  }
  next(): StretchOf {
    const { s } = this;
    const to = this.destination.get(), from = this.source?.get();
    const linearTo = s.linear(ES, to), linearFrom = from === undefined ? undefined : s.linear(undefined, from);
    const turn = s.sub(s.c(32, ELEMENTS_AT_ONCE), this.done.get());
    const most = s.trunc(least(s, this.left.get(), s.zext(turn, 64)), 32);
    const elements = least(s, most, this.elementsInPage(linearTo), ...(linearFrom === undefined ? [] : [this.elementsInPage(linearFrom)]));
    const bytes = s.shl(elements, this.shift);
    const destination = find(s, ES, to, linearTo, bytes, this.kind.destination === 'write');
    const source = from === undefined ? undefined : find(s, undefined, from, linearFrom!, bytes, false);
    const known = [isNot(s, elements), isNot(s, destination.address), ...(source === undefined ? [] : [isNot(s, source.address)])];
    return { elements, bytes, to: destination, from: source, found: all(s, ...known) };
  }
  advance(elements: Val, bytes: Val): void {
    const { s } = this;
    for (const p of [this.source, this.destination]) p?.set(s.add(p.get(), s.zext(bytes, 64)));
    this.left.set(s.sub(this.left.get(), s.zext(elements, 64)));
    this.done.set(s.add(this.done.get(), elements));
  }
  /** Elements are left, and this pass may do them. */
  goesOn(): Val {
    const { s } = this;
    return s.and(isNot(s, this.left.get()), s.ltU(this.done.get(), s.c(32, ELEMENTS_AT_ONCE)));
  }
  writeRegisters(): void {
    const { s } = this;
    if (this.source !== undefined) setPointer(s, RSI, this.source.get());
    setPointer(s, RDI, this.destination.get());
    setPointer(s, RCX, this.left.get());
  }
}

/** Sixteen bytes of an element that is repeated. */
const splat = (s: Builder, size: ElementBytes): Val =>
  s.simd(({ 1: 'i8x16.splat', 2: 'i16x8.splat', 4: 'i32x4.splat', 8: 'i64x2.splat' } as const)[size], [s.reg(RAX, bitsOf(size))]);

/** REP MOVS and REP STOS. */
function repeatedWrite(s: Builder, kind: StringKind, size: ElementBytes, rest: Variable, done: Variable): void {
  const r = new Repetition(s, kind, size, done);
  const pattern = kind.source ? undefined : splat(s, size);
  s.loop(() => {
    const { elements, bytes, to, from, found } = r.next();
    let possible = found;
    const distance = from === undefined ? undefined : s.sub(to.address, from.address);
    // Elements that overlap with themselves are read before they are written: the helper's, but for one alone.
    if (distance !== undefined) possible = s.and(found, s.or(s.leU(s.c(32, size), distance), s.eq(elements, s.c(32, 1))));
    const again = s.variable(s.c(1, 0));
    s.if(possible, () => {
      if (from === undefined) s.fillPlain(to.address, pattern!, bytes);
      else {
        const one = (): void => s.storePlain(to.address, s.loadPlain(from.address, bitsOf(size)));
        // A copy upwards into its own source reads what it wrote.
        const many = (): void => s.if(s.ltU(distance!, bytes), () => s.repeatPlain(to.address, distance!, bytes), () => s.copyPlain(to.address, from.address, bytes));
        s.if(s.eq(elements, s.c(32, 1)), one, many);
        s.chargeSpan(from.address, from.linear, bytes, false);
      }
      s.chargeSpan(to.address, to.linear, bytes, true);
      s.chargeString(bytes);
      r.advance(elements, bytes);
      again.set(r.goesOn());
    });
    return again.get();
  });
  r.writeRegisters();
  rest.set(isNot(s, r.left.get()));
}

const EQUAL = { 1: 'i8x16.eq', 2: 'i16x8.eq', 4: 'i32x4.eq', 8: 'i64x2.eq' } as const;
const ALL_TRUE = { 1: 'i8x16.all_true', 2: 'i16x8.all_true', 4: 'i32x4.all_true', 8: 'i64x2.all_true' } as const;

/**
 * SCAS and CMPS under REPE or REPNE. As in the helper, elements that do not end the repetition are one stretch, and the one that
 * does is another.
 */
function repeatedCompare(s: Builder, kind: StringKind, size: ElementBytes, rest: Variable, done: Variable): void {
  const r = new Repetition(s, kind, size, done);
  const width = bitsOf(size);
  const repne = s.bit(s.repeat(), 1);
  const pattern = kind.source ? undefined : splat(s, size);
  const accumulator = s.reg(RAX, width);
  const any = s.variable(s.c(1, 0)), ended = s.variable(s.c(1, 0));
  const x = s.variable(accumulator), y = s.variable(accumulator);
  s.loop(() => {
    const { bytes, to, from, found } = r.next();
    const again = s.variable(s.c(1, 0));
    s.if(found, () => {
      const end = s.add(to.address, bytes);
      const at = s.variable(to.address), other = from === undefined ? undefined : s.variable(from.address);
      const pass = (n: number): void => {
        for (const v of [at, other]) v?.set(s.add(v.get(), s.c(32, n)));
      };
      s.loop(() => {
        const block = s.variable(s.c(1, 0)), here = at.get();
        s.if(s.leU(s.c(32, 16), s.sub(end, here)), () => {
          const same = s.simd(EQUAL[size], [s.loadPlain(here, 128), other === undefined ? pattern! : s.loadPlain(other.get(), 128)]);
          const none = s.isZero(s.simd('v128.any_true', [same]));
          block.set(s.select(repne, none, s.trunc(s.simd(ALL_TRUE[size], [same]), 1)));
          s.if(block.get(), () => pass(16));
        });
        return block.get();
      });
      s.loop(() => {
        const passes = s.variable(s.c(1, 0)), here = at.get();
        s.if(s.ltU(here, end), () => {
          const v = other === undefined ? accumulator : s.loadPlain(other.get(), width);
          passes.set(s.ne(s.eq(v, s.loadPlain(here, width)), repne));
          s.if(passes.get(), () => pass(size));
        });
        return passes.get();
      });
      const passed = s.sub(at.get(), to.address), ends = s.isZero(passed);
      const gone = s.select(ends, s.c(32, size), passed), last = s.sub(gone, s.c(32, size));
      s.chargeSpan(to.address, to.linear, gone, false);
      if (from !== undefined) {
        s.chargeSpan(from.address, from.linear, gone, false);
        x.set(s.loadPlain(s.add(from.address, last), width));
      }
      y.set(s.loadPlain(s.add(to.address, last), width));
      s.chargeString(gone);
      any.set(s.c(1, 1));
      ended.set(ends);
      r.advance(s.shr(gone, r.shift), gone);
      again.set(s.and(r.goesOn(), s.xor(ends, s.c(1, 1))));
    });
    return again.get();
  });
  r.writeRegisters();
  s.if(any.get(), () => compare(s, x.get(), y.get()));
  rest.set(s.and(isNot(s, r.left.get()), s.xor(ended.get(), s.c(1, 1))));
}

/** The body of a string instruction with elements of `size` bytes; `slow` does, or ends, what it cannot. */
export const stringBody = (kind: StringKind, size: ElementBytes, slow: InsnHelper): Body => (s) => {
  const rest = s.variable(s.c(1, 1)), done = s.variable(s.c(32, 0));
  const repeated = (): void =>
    s.if(s.isZero(s.reg(RCX, pointerWidth(s))), () => rest.set(s.c(1, 0)), () =>
      s.if(s.isZero(s.and(s.getState(S.rflagsRest, 32), s.c(32, DF | TF))), () => {
        if (kind.destination === 'write') repeatedWrite(s, kind, size, rest, done);
        else if (kind.destination === 'read') repeatedCompare(s, kind, size, rest, done);
      }),
    );
  s.if(s.eq(s.addressSize(), s.c(32, pointerWidth(s))), () => s.if(s.isZero(s.repeat()), () => single(s, kind, size, rest), repeated));
  s.again(s.and(rest.get(), s.eq(done.get(), s.c(32, ELEMENTS_AT_ONCE))));
  s.if(rest.get(), () => {
    s.setState(DONE, done.get());
    s.call(slow);
  });
};
