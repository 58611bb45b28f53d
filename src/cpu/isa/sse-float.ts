/**
 * Floating-point arithmetic and comparisons of SSE, SSE2 and SSE3: packed ADD SUB MUL DIV SQRT, scalar and packed MIN MAX CMP, COMIS
 * UCOMIS. sse-scalar.ts has the scalar arithmetic.
 *
 * SDM 2 and APM 4, under those names. The host's arithmetic does the usual cases: WebAssembly rounds to nearest and says nothing
 * of exceptions, so a result is taken only when it cannot raise a flag that is not set already. That means: every operand is
 * normal or zero, the result is normal and not next to the least normal number (or a zero that is exact), MXCSR has its default
 * rounding, masks and no FTZ or DAZ, and PE is set or the rounding error, which is a floating-point number itself (Dekker, "A
 * Floating-Point Technique for Extending the Available Precision", 1971), is zero. Everything else goes to sse-exact.ts.
 */

import { Code, Mnemonic } from 'iced-x86';
import type { Body, Builder, Val } from '../builder.js';
import { type BinaryOperation, binary, compare, squareRoot } from '../fp/sse.js';
import { NEXT, allForms, insn, type InsnHelper } from '../insn.js';
import { S } from '../state.js';
import { ARG_A, ARG_B, environment, formatOf, getLane, laneHelper, post, type LaneWidth } from './sse-exact.js';
import { low, readVector, sse, withLow } from './sse-operands.js';

const M = Mnemonic;

export interface Shape {
  readonly width: LaneWidth;
  readonly packed: boolean;
}
export const SS: Shape = { width: 32, packed: false }, SD: Shape = { width: 64, packed: false };
export const PS: Shape = { width: 32, packed: true }, PD: Shape = { width: 64, packed: true };
export const lanesOf = (t: Shape): number => (t.packed ? 128 / t.width : 1);
const name = (t: Shape): string => (t.width === 32 ? 'f32x4' : 'f64x2');
const integer = (t: Shape): string => (t.width === 32 ? 'i32x4' : 'i64x2');
/** A constant in every lane. */
const splat = (s: Builder, t: Shape, lane: bigint): Val => s.c(128, t.width === 32 ? lane * 0x1_0000_0001_0000_0001_0000_0001n : lane * 0x1_0000_0000_0000_0001n);

const LEAST_NORMAL = { 32: 0x0080_0000n, 64: 0x0010_0000_0000_0000n };
const TWICE_LEAST = { 32: 0x0100_0000n, 64: 0x0020_0000_0000_0000n };
const GREATEST = { 32: 0x7f7f_ffffn, 64: 0x7fef_ffff_ffff_ffffn };

const or = (s: Builder, a: Val, b: Val): Val => s.simd('v128.or', [a, b]);
const and = (s: Builder, a: Val, b: Val): Val => s.simd('v128.and', [a, b]);
export const isZero = (s: Builder, t: Shape, x: Val): Val => s.simd(`${name(t)}.eq`, [x, s.c(128, 0)]);
/** Lanes that are normal, infinite or zero: neither denormal nor NaN. */
export const ordinary = (s: Builder, t: Shape, x: Val): Val =>
  or(s, s.simd(`${name(t)}.ge`, [s.simd(`${name(t)}.abs`, [x]), splat(s, t, LEAST_NORMAL[t.width])]), isZero(s, t, x));
/** Lanes that are finite and so large that rounding did not meet the lower end of the exponents. */
const safe = (s: Builder, t: Shape, r: Val): Val => {
  const magnitude = s.simd(`${name(t)}.abs`, [r]);
  return and(s, s.simd(`${name(t)}.ge`, [magnitude, splat(s, t, TWICE_LEAST[t.width])]), s.simd(`${name(t)}.le`, [magnitude, splat(s, t, GREATEST[t.width])]));
};
/** Does the mask hold in the lanes that the instruction computes? */
function holds(s: Builder, t: Shape, mask: Val): Val {
  if (t.packed) return s.trunc(s.simd(`${integer(t)}.all_true`, [mask]), 1);
  return s.trunc(low(s, mask, t.width), 1);
}
/** MXCSR: nearest, all masked, no DAZ and FTZ; and PE set, or `exact()` holds. */
export function usual(s: Builder, ready: Val, exact: () => Val): Val {
  const mxcsr = s.getState(S.mxcsr, 32);
  const plain = s.and(ready, s.eq(s.and(mxcsr, s.c(32, 0xffc0)), s.c(32, 0x1f80)));
  const good = s.variable(plain);
  s.if(s.and(plain, s.xor(s.bit(mxcsr, 5), s.c(1, 1))), () => good.set(exact()));
  return good.get();
}

// Splitting multiplies by 2^k + 1; inside +-LIMIT, and with products above 1 / LIMIT, no step of the error term over- or underflows.
const SPLIT = { 32: 0x4580_0800n, 64: 0x41a0_0000_0200_0000n };
const LIMIT = { 32: 0x5d80_0000n, 64: 0x58f0_0000_0000_0000n };
const LIMIT_INVERSE = { 32: 0x2180_0000n, 64: 0x26f0_0000_0000_0000n };

/** Lanes where a + b = r without rounding. */
function sumIsExact(s: Builder, t: Shape, a: Val, b: Val, r: Val): Val {
  const sub = (x: Val, y: Val): Val => s.simd(`${name(t)}.sub`, [x, y]);
  const part = sub(r, a);
  return isZero(s, t, s.simd(`${name(t)}.add`, [sub(a, sub(r, part)), sub(b, part)]));
}
/** Lanes where a * b = r without rounding, as far as this can tell. */
function productIsExact(s: Builder, t: Shape, a: Val, b: Val, r: Val): Val {
  const op = (o: string, x: Val, y: Val): Val => s.simd(`${name(t)}.${o}`, [x, y]);
  const split = (x: Val): [Val, Val] => {
    const scaled = op('mul', x, splat(s, t, SPLIT[t.width]));
    const high = op('sub', scaled, op('sub', scaled, x));
    return [high, op('sub', x, high)];
  };
  const [ah, al] = split(a), [bh, bl] = split(b);
  const error = op('add', op('add', op('add', op('sub', op('mul', ah, bh), r), op('mul', ah, bl)), op('mul', al, bh)), op('mul', al, bl));
  const magnitude = (x: Val): Val => s.simd(`${name(t)}.abs`, [x]);
  const small = (x: Val): Val => op('le', magnitude(x), splat(s, t, LIMIT[t.width]));
  const large = or(s, op('ge', magnitude(r), splat(s, t, LIMIT_INVERSE[t.width])), isZero(s, t, r));
  return and(s, and(s, isZero(s, t, error), large), and(s, small(a), small(b)));
}

/** Lanes where a / b = r without rounding: r * b gives a, exactly. */
function quotientIsExact(s: Builder, t: Shape, a: Val, b: Val, r: Val): Val {
  const back = s.simd(`${name(t)}.mul`, [r, b]);
  return and(s, s.simd(`${name(t)}.eq`, [back, a]), productIsExact(s, t, r, b, back));
}

/** Chooses between the value computed here and the exact helper's, and writes the destination. */
export function choose(s: Builder, good: Val, fast: Val, a: Val, b: Val, exact: InsnHelper): Val {
  const result = s.variable(fast);
  s.if(s.xor(good, s.c(1, 1)), () => {
    s.setState(ARG_A, a);
    s.setState(ARG_B, b);
    s.compute(exact);
    result.set(s.getState(ARG_A, 128));
  });
  return result.get();
}
/** Puts the computed lanes into the destination's old value. */
export const merge = (s: Builder, t: Shape, old: Val, result: Val): Val => (t.packed ? result : withLow(s, old, low(s, result, t.width)));
const sourceWidth = (t: Shape): 32 | 64 | 128 => (t.packed ? 128 : t.width);

/** a op b in the lanes of a shape, by the host where that is right, else by the helper. */
function compute(s: Builder, t: Shape, op: BinaryOperation, a: Val, b: Val, exact: InsnHelper): Val {
  const ready = and(s, ordinary(s, t, a), ordinary(s, t, b));
  // WebAssembly's pmin(x, y) is y < x ? y : x.
  if (op === 'min' || op === 'max') return choose(s, holds(s, t, ready), s.simd(`${name(t)}.p${op}`, [b, a]), a, b, exact);
  const fast = s.simd(`${name(t)}.${op}`, [a, b]);
  const zeroes =
    op === 'mul' ? and(s, isZero(s, t, fast), or(s, isZero(s, t, a), isZero(s, t, b)))
    : op === 'div' ? and(s, isZero(s, t, fast), isZero(s, t, a))
    : isZero(s, t, fast);
  const good = usual(s, holds(s, t, and(s, ready, or(s, safe(s, t, fast), zeroes))), () =>
    holds(
      s,
      t,
      op === 'add' ? sumIsExact(s, t, a, b, fast)
      : op === 'sub' ? sumIsExact(s, t, a, s.simd(`${name(t)}.neg`, [b]), fast)
      : op === 'mul' ? productIsExact(s, t, a, b, fast)
      : quotientIsExact(s, t, a, b, fast),
    ),
  );
  return choose(s, good, fast, a, b, exact);
}
export function exactHelper(op: BinaryOperation, t: Shape): InsnHelper {
  const f = formatOf(t.width);
  return laneHelper(lanesOf(t), t.width, t.width, (env, a, b) => binary(op, f, env, a, b));
}
function arithmetic(op: BinaryOperation, t: Shape): Body {
  const exact = exactHelper(op, t);
  return sse((s, dst, src) => {
    const b = readVector(s, src, sourceWidth(t));
    const a = dst.read();
    dst.write(merge(s, t, a, compute(s, t, op, a, b, exact)));
  });
}

// ---- SSE3: neighbours within a register, and differences beside sums

/** The even and the odd lanes of two vectors. */
const lanesFrom = (t: Shape, odd: 0 | 1): number[] =>
  Array.from({ length: 16 }, (_, i) => {
    const bytes = t.width / 8, lane = Math.floor(i / bytes);
    return 2 * lane * bytes + odd * bytes + (i % bytes);
  });
function horizontal(op: 'add' | 'sub', t: Shape): Body {
  const exact = exactHelper(op, t);
  return sse((s, dst, src) => {
    const b = readVector(s, src, 128);
    const a = dst.read();
    dst.write(compute(s, t, op, s.shuffle(a, b, lanesFrom(t, 0)), s.shuffle(a, b, lanesFrom(t, 1)), exact));
  });
}
function addSubtract(t: Shape): Body {
  const f = formatOf(t.width);
  const even = t.width === 64 ? 1n << 63n : 0x8000_0000_0000_0000_8000_0000n;
  // The helper gets the operand with the signs of its even lanes turned; NaNs must have their own sign.
  const exact = laneHelper(lanesOf(t), t.width, t.width, (env, a, b, _insn, i) =>
    i & 1 ? binary('add', f, env, a, b) : binary('sub', f, env, a, b ^ (1n << BigInt(t.width - 1))),
  );
  return sse((s, dst, src) => {
    const b = readVector(s, src, 128);
    dst.write(compute(s, t, 'add', dst.read(), s.simd('v128.xor', [b, s.c(128, even)]), exact));
  });
}
insn('HADDPS', { forms: allForms(M.Haddps), body: horizontal('add', PS) });
insn('HADDPD', { forms: allForms(M.Haddpd), body: horizontal('add', PD) });
insn('HSUBPS', { forms: allForms(M.Hsubps), body: horizontal('sub', PS) });
insn('HSUBPD', { forms: allForms(M.Hsubpd), body: horizontal('sub', PD) });
insn('ADDSUBPS', { forms: allForms(M.Addsubps), body: addSubtract(PS) });
insn('ADDSUBPD', { forms: allForms(M.Addsubpd), body: addSubtract(PD) });

function sqrt(t: Shape): Body {
  const f = formatOf(t.width);
  const exact = laneHelper(lanesOf(t), t.width, t.width, (env, a) => squareRoot(f, env, a));
  return sse((s, dst, src) => {
    const b = readVector(s, src, sourceWidth(t));
    const fast = s.simd(`${name(t)}.sqrt`, [b]);
    // The root of a denormal is normal: look at the operand. Roots of infinities and negative numbers are not `safe`.
    const ready = holds(s, t, and(s, ordinary(s, t, b), or(s, safe(s, t, fast), isZero(s, t, b))));
    const good = usual(s, ready, () => holds(s, t, quotientIsExact(s, t, b, fast, fast)));
    dst.write(merge(s, t, dst.read(), choose(s, good, fast, b, b, exact)));
  });
}

const suffix = (t: Shape): string => (t.packed ? 'P' : 'S') + (t.width === 32 ? 'S' : 'D');
for (const [t, ...mnemonics] of [[PS, M.Addps, M.Subps, M.Mulps, M.Divps], [PD, M.Addpd, M.Subpd, M.Mulpd, M.Divpd]] as const)
  (['add', 'sub', 'mul', 'div'] as const).forEach((op, i) => insn(op.toUpperCase() + suffix(t), { forms: allForms(mnemonics[i]!), body: arithmetic(op, t) }));
insn('SQRTPS', { forms: allForms(M.Sqrtps), body: sqrt(PS) });
insn('SQRTPD', { forms: allForms(M.Sqrtpd), body: sqrt(PD) });
for (const [t, min, max] of [[SS, M.Minss, M.Maxss], [SD, M.Minsd, M.Maxsd], [PS, M.Minps, M.Maxps], [PD, M.Minpd, M.Maxpd]] as const) {
  insn(`MIN${suffix(t)}`, { forms: allForms(min), body: arithmetic('min', t) });
  insn(`MAX${suffix(t)}`, { forms: allForms(max), body: arithmetic('max', t) });
}

// ---- CMPxx: masks by the predicate in the immediate

const LESS = 1, LESS_OR_EQUAL = 2, UNORDERED = 3;
function predicateHolds(predicate: number, order: number): boolean {
  const p = predicate & 3;
  const plain = order === 2 ? p === UNORDERED : p === LESS ? order < 0 : p === LESS_OR_EQUAL ? order <= 0 : p === UNORDERED ? false : order === 0;
  return plain !== ((predicate & 4) !== 0);
}
function compareMask(t: Shape): Body {
  const f = formatOf(t.width);
  const ones = (1n << BigInt(t.width)) - 1n;
  const exact = laneHelper(lanesOf(t), t.width, t.width, (env, a, b, i) => {
    const predicate = Number(i.immediate(2)) & 7;
    const ordered = (predicate & 3) === LESS || (predicate & 3) === LESS_OR_EQUAL;
    return predicateHolds(predicate, compare(f, env, a, b, ordered)) ? ones : 0n;
  });
  return sse((s, dst, src, immediate) => {
    const b = readVector(s, src, sourceWidth(t));
    const a = dst.read();
    const p = s.zext(immediate!.read(), 32);
    const good = holds(s, t, and(s, ordinary(s, t, a), ordinary(s, t, b)));
    if (p.known !== undefined) {
      const relation = ['eq', 'lt', 'le', undefined, 'ne', 'ge', 'gt', undefined][Number(p.known) & 7];
      // Ordinary numbers are ordered.
      const fast = relation === undefined ? s.c(128, (p.known & 4n) !== 0n ? -1n : 0n) : s.simd(`${name(t)}.${relation}`, [a, b]);
      return dst.write(merge(s, t, a, choose(s, good, fast, a, b, exact)));
    }
    const mask = (bit: number): Val => s.simd('i32x4.splat', [s.neg(s.and(s.shr(p, bit), s.c(32, 1)))]);
    const p0 = mask(0), p1 = mask(1);
    const less = s.simd(`${name(t)}.lt`, [a, b]), equal = s.simd(`${name(t)}.eq`, [a, b]);
    // 0 equal, 1 less, 2 either, 3 (unordered) neither; bit 2 negates.
    const plain = or(s, s.simd('v128.andnot', [equal, p0]), and(s, less, s.simd('v128.xor', [p0, p1])));
    const fast = s.simd('v128.xor', [plain, mask(2)]);
    dst.write(merge(s, t, a, choose(s, good, fast, a, b, exact)));
  });
}
insn('CMPSS', { forms: allForms(M.Cmpss), body: compareMask(SS) });
insn('CMPSD', { forms: [Code.Cmpsd_xmm_xmmm64_imm8], body: compareMask(SD) });
insn('CMPPS', { forms: allForms(M.Cmpps), body: compareMask(PS) });
insn('CMPPD', { forms: allForms(M.Cmppd), body: compareMask(PD) });

// ---- COMISx, UCOMISx: order in ZF, PF, CF

function compareFlags(t: Shape, signals: boolean): Body {
  const f = formatOf(t.width);
  // ARG_A gets CF in bit 0, PF in bit 2, ZF in bit 6.
  const exact: InsnHelper = (cpu) => {
    const env = environment(cpu);
    const order = compare(f, env, getLane(cpu, ARG_A, t.width, 0), getLane(cpu, ARG_B, t.width, 0), signals);
    post(cpu, env);
    cpu.m.u32[ARG_A >>> 2] = order === 2 ? 0x45 : order < 0 ? 1 : order === 0 ? 0x40 : 0;
    return NEXT;
  };
  return sse((s, dst, src) => {
    const b = readVector(s, src, t.width);
    const a = dst.read();
    const lane = (v: Val): Val => s.trunc(low(s, v, t.width), 1);
    const flags = s.variable(
      s.or(s.zext(lane(s.simd(`${name(t)}.lt`, [a, b])), 32), s.shl(s.zext(lane(s.simd(`${name(t)}.eq`, [a, b])), 32), 6)),
    );
    s.if(s.xor(lane(and(s, ordinary(s, t, a), ordinary(s, t, b))), s.c(1, 1)), () => {
      s.setState(ARG_A, a);
      s.setState(ARG_B, b);
      s.compute(exact);
      flags.set(s.getState(ARG_A, 32));
    });
    const v = flags.get();
    const none = s.c(1, 0);
    s.setFlags({ CF: s.bit(v, 0), PF: s.bit(v, 2), ZF: s.bit(v, 6), AF: none, SF: none, OF: none });
  });
}
insn('UCOMISS', { forms: allForms(M.Ucomiss), body: compareFlags(SS, false) });
insn('UCOMISD', { forms: allForms(M.Ucomisd), body: compareFlags(SD, false) });
insn('COMISS', { forms: allForms(M.Comiss), body: compareFlags(SS, true) });
insn('COMISD', { forms: allForms(M.Comisd), body: compareFlags(SD, true) });
