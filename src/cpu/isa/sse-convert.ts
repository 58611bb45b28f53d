/**
 * Conversions of SSE and SSE2 between single, double and integers; with MMX registers too. Approximations RCP and RSQRT.
 *
 * SDM 2 and APM 4, under those names. What is exact by nature (CVTSI2SD from 32 bits, CVTDQ2PD) needs no MXCSR; the rest uses
 * the host's conversion where it cannot raise a new flag, as sse-float.ts explains.
 */

import { Mnemonic } from 'iced-x86';
import type { Body, Builder, Val } from '../builder.js';
import { convert, convertFromInteger, convertToInteger } from '../fp/sse.js';
import { DOUBLE, INFINITE, NAN, SINGLE, ZERO, infinity, quiet, unpack, zero } from '../fp/format.js';
import { CHOP } from '../fp/round.js';
import { allForms, insn } from '../insn.js';
import { S } from '../state.js';
import { finishMmx, requireMmx } from './mmx-state.js';
import { ARG_A, ARG_B, formatOf, laneHelper, type Lane, type LaneWidth } from './sse-exact.js';
import { PD, PS, SS, choose, isZero, lanesOf, merge, ordinary, usual, type Shape } from './sse-float.js';
import { readAligned, readLow, readVector, sse, widen, withLow } from './sse-operands.js';

const M = Mnemonic;
const float = (s: Builder, v: Val): ReturnType<Builder['float']> => s.float(v.width === 32 ? 'f32.reinterpret_i32' : 'f64.reinterpret_i64', [v]);
const bits32 = (s: Builder, v: ReturnType<Builder['float']>): Val => s.floatToInt('i32.reinterpret_f32', [v], 32);
const bits64 = (s: Builder, v: ReturnType<Builder['float']>): Val => s.floatToInt('i64.reinterpret_f64', [v], 64);
/** Stores an operand, runs the exact helper, and returns what it left in the low lane. */
function viaHelper(s: Builder, a: Val, exact: Parameters<Builder['call']>[0], width: 32 | 64 | 128): Val {
  s.setState(ARG_A, a);
  s.setState(ARG_B, a);
  s.compute(exact);
  return s.getState(ARG_A, width);
}

// ---- integer to scalar

const fromInteger = (to: LaneWidth, from: LaneWidth) => laneHelper(1, from, to, (env, a) => convertFromInteger(formatOf(to), env, BigInt.asIntN(from, a)));
function scalarFromInteger(to: LaneWidth): Body {
  const exact32 = fromInteger(to, 32), exact64 = fromInteger(to, 64);
  return sse((s, dst, src) => {
    const v = src.read();
    const old = dst.read();
    const op = `f${to}.convert_i${v.width}_s`;
    const converted = s.float(op, [v]);
    const result = s.variable(to === 32 ? bits32(s, converted) : bits64(s, converted));
    // As many bits as the significand has are always exact.
    const bits = to === 32 ? 24 : 53;
    const fits = (): Val => s.eq(s.sar(s.shl(v, v.width - bits), v.width - bits), v);
    if (!(to === 64 && v.width === 32))
      s.if(s.xor(usual(s, s.c(1, 1), fits), s.c(1, 1)), () => result.set(viaHelper(s, widen(s, v), v.width === 32 ? exact32 : exact64, to)));
    dst.write(withLow(s, old, result.get()));
  });
}
insn('CVTSI2SS', { forms: allForms(M.Cvtsi2ss), body: scalarFromInteger(32) });
insn('CVTSI2SD', { forms: allForms(M.Cvtsi2sd), body: scalarFromInteger(64) });

// ---- scalar to integer

/** PE is masked and set already, and the rounding is to nearest, unless that does not matter. */
function inexactIsNoted(s: Builder, truncate: boolean): Val {
  const mxcsr = s.getState(S.mxcsr, 32);
  return s.eq(s.and(mxcsr, s.c(32, truncate ? 0x1020 : 0x7020)), s.c(32, 0x1020));
}
function scalarToInteger(from: LaneWidth, truncate: boolean): Body {
  const helperTo = (to: LaneWidth) =>
    laneHelper(1, from, to, (env, a) => convertToInteger(formatOf(from), to, env, a, truncate ? CHOP : env.rounding));
  const exact = { 32: helperTo(32), 64: helperTo(64) };
  return sse((s, dst, src) => {
    const v = readLow(s, src, from);
    const to = dst.width as LaneWidth;
    const x = float(s, v);
    const rounded = truncate ? x : s.float(`f${from}.nearest`, [x]);
    const result = s.variable(s.floatToInt(`i${to}.trunc_sat_f${from}_s`, [rounded], to));
    // Inside the integer range by a margin, and exact or PE set already: nothing else can happen.
    const limit = from === 64 ? (to === 64 ? 0x43e0_0000_0000_0000n : 0x41df_ffff_ff80_0000n) : to === 64 ? 0x5f00_0000n : 0x4eff_ffffn;
    const inside = s.floatToInt(`f${from}.lt`, [s.float(`f${from}.abs`, [x]), float(s, s.c(from, limit))], 1);
    const noted = inexactIsNoted(s, truncate);
    const exactly = s.floatToInt(`f${from}.eq`, [s.float(`f${from}.trunc`, [x]), x], 1);
    s.if(s.xor(s.and(inside, s.or(exactly, noted)), s.c(1, 1)), () => result.set(viaHelper(s, widen(s, v), exact[to], to)));
    dst.write(result.get());
  });
}
insn('CVTSS2SI', { forms: allForms(M.Cvtss2si), body: scalarToInteger(32, false) });
insn('CVTSD2SI', { forms: allForms(M.Cvtsd2si), body: scalarToInteger(64, false) });
insn('CVTTSS2SI', { forms: allForms(M.Cvttss2si), body: scalarToInteger(32, true) });
insn('CVTTSD2SI', { forms: allForms(M.Cvttsd2si), body: scalarToInteger(64, true) });

// ---- between single and double

const widenSingle = laneHelper(1, 32, 64, (env, a) => convert(SINGLE, DOUBLE, env, a));
insn('CVTSS2SD', {
  forms: allForms(M.Cvtss2sd),
  body: sse((s, dst, src) => {
    const v = readLow(s, src, 32);
    const x = float(s, v);
    const magnitude = s.and(v, s.c(32, 0x7fff_ffff));
    // Zero, or between the least normal and infinity.
    const plain = s.or(s.ltU(s.sub(magnitude, s.c(32, 0x0080_0000)), s.c(32, 0x7f00_0001)), s.isZero(magnitude));
    const result = s.variable(bits64(s, s.float('f64.promote_f32', [x])));
    s.if(s.xor(plain, s.c(1, 1)), () => result.set(viaHelper(s, widen(s, v), widenSingle, 64)));
    dst.write(withLow(s, dst.read(), result.get()));
  }),
});
const narrowDouble = laneHelper(1, 64, 32, (env, a) => convert(DOUBLE, SINGLE, env, a));
insn('CVTSD2SS', {
  forms: allForms(M.Cvtsd2ss),
  body: sse((s, dst, src) => {
    const v = readLow(s, src, 64);
    const narrow = bits32(s, s.float('f32.demote_f64', [float(s, v)]));
    const magnitude = s.and(narrow, s.c(32, 0x7fff_ffff));
    const normal = s.ltU(s.sub(magnitude, s.c(32, 0x0100_0000)), s.c(32, 0x7e80_0000));
    const same = (): Val => s.floatToInt('f64.eq', [s.float('f64.promote_f32', [float(s, narrow)]), float(s, v)], 1);
    const plain = usual(s, s.or(normal, s.isZero(s.shl(v, 1))), same);
    const result = s.variable(narrow);
    s.if(s.xor(plain, s.c(1, 1)), () => result.set(viaHelper(s, widen(s, v), narrowDouble, 32)));
    dst.write(withLow(s, dst.read(), result.get()));
  }),
});

// ---- packed

/** What the host computes, and whether it may be taken: all lanes are the processor's, and no flag is new. */
interface Fast {
  readonly result: Val;
  readonly good: Val;
}
const packed = (lanes: number, from: LaneWidth, to: LaneWidth, source: 64 | 128, lane: Lane, fast: (s: Builder, v: Val) => Fast): Body => {
  const exact = laneHelper(lanes, from, to, lane, true);
  return sse((s, dst, src) => {
    const v = readVector(s, src, source);
    const { result, good } = fast(s, v);
    dst.write(choose(s, good, result, v, v, exact));
  });
};
const allTrue = (s: Builder, mask: Val): Val => s.trunc(s.simd('i64x2.all_true', [mask]), 1);
/** Both lanes of the low half hold. */
const lowHalf = (s: Builder, mask: Val): Val => s.eq(s.simd('i64x2.extract_lane', [mask], 0), s.c(64, -1n));
const twice = (v: bigint): bigint => v * 0x1_0000_0000_0000_0001n;

insn('CVTPS2PD', {
  forms: allForms(M.Cvtps2pd),
  body: packed(2, 32, 64, 64, (env, a) => convert(SINGLE, DOUBLE, env, a), (s, v) => ({
    result: s.simd('f64x2.promote_low_f32x4', [v]),
    good: lowHalf(s, ordinary(s, PS, v)),
  })),
});
insn('CVTPD2PS', {
  forms: allForms(M.Cvtpd2ps),
  body: packed(2, 64, 32, 128, (env, a) => convert(DOUBLE, SINGLE, env, a), (s, v) => {
    const result = s.simd('f32x4.demote_f64x2_zero', [v]);
    const back = s.simd('f64x2.promote_low_f32x4', [result]);
    const magnitude = s.simd('f64x2.abs', [back]);
    // Between twice the least normal single and the greatest.
    const inside = s.simd('v128.and', [
      s.simd('f64x2.ge', [magnitude, s.c(128, twice(0x3820_0000_0000_0000n))]),
      s.simd('f64x2.le', [magnitude, s.c(128, twice(0x47ef_ffff_e000_0000n))]),
    ]);
    const safe = allTrue(s, s.simd('v128.or', [inside, isZero(s, PD, v)]));
    return { result, good: usual(s, safe, () => allTrue(s, s.simd('f64x2.eq', [back, v]))) };
  }),
});
function toInt32(from: LaneWidth, truncate: boolean): { lane: Lane; fast: (s: Builder, v: Val) => Fast } {
  const t = from === 32 ? PS : PD, name = from === 32 ? 'f32x4' : 'f64x2';
  // Inside the integer range, by a margin; see scalarToInteger.
  const limit = from === 32 ? 0x4eff_ffffn * 0x1_0000_0001n : 0x41df_ffff_ff80_0000n;
  return {
    lane: (env, a) => convertToInteger(formatOf(from), 32, env, a, truncate ? CHOP : env.rounding),
    fast: (s, v) => {
      const rounded = truncate ? v : s.simd(`${name}.nearest`, [v]);
      const result = s.simd(from === 32 ? 'i32x4.trunc_sat_f32x4_s' : 'i32x4.trunc_sat_f64x2_s_zero', [rounded]);
      const inside = allTrueIn(s, t, s.simd(`${name}.lt`, [s.simd(`${name}.abs`, [v]), s.c(128, twice(limit))]));
      const exactly = allTrueIn(s, t, s.simd(`${name}.eq`, [s.simd(`${name}.trunc`, [v]), v]));
      return { result, good: s.and(inside, s.or(exactly, inexactIsNoted(s, truncate))) };
    },
  };
}
const allTrueIn = (s: Builder, t: Shape, mask: Val): Val => s.trunc(s.simd(t.width === 32 ? 'i32x4.all_true' : 'i64x2.all_true', [mask]), 1);
for (const [name, mnemonic, from, truncate] of [
  ['CVTPS2DQ', M.Cvtps2dq, 32, false], ['CVTTPS2DQ', M.Cvttps2dq, 32, true], ['CVTPD2DQ', M.Cvtpd2dq, 64, false], ['CVTTPD2DQ', M.Cvttpd2dq, 64, true],
] as const) {
  const { lane, fast } = toInt32(from, truncate);
  insn(name, { forms: allForms(mnemonic), body: packed(128 / from, from, 32, 128, lane, fast) });
}
const singleFromInt32 = laneHelper(4, 32, 32, (env, a) => convertFromInteger(SINGLE, env, BigInt.asIntN(32, a)));
insn('CVTDQ2PS', {
  forms: allForms(M.Cvtdq2ps),
  body: sse((s, dst, src) => {
    const v = readAligned(s, src);
    const fits = (): Val => s.trunc(s.simd('i32x4.all_true', [s.simd('i32x4.eq', [s.simd('i32x4.shr_s', [s.simd('i32x4.shl', [v, s.c(32, 8)]), s.c(32, 8)]), v])]), 1);
    dst.write(choose(s, usual(s, s.c(1, 1), fits), s.simd('f32x4.convert_i32x4_s', [v]), v, v, singleFromInt32));
  }),
});
/** Two 32-bit integers in the low half as doubles. */
const doublesOf = (s: Builder, v: Val): Val => s.simd('f64x2.convert_low_i32x4_s', [v]);
insn('CVTDQ2PD', { forms: allForms(M.Cvtdq2pd), body: sse((s, dst, src) => dst.write(doublesOf(s, readVector(s, src, 64)))) });

// ---- with MMX registers. A memory operand of CVTPI2PS and CVTPI2PD leaves the x87 state alone; a conversion that raises #XM has
// changed it to MMX, both as on the recorded processor.

insn('CVTPI2PD', {
  forms: allForms(M.Cvtpi2pd),
  body: sse((s, dst, src) => {
    if (!src.isMemory) requireMmx(s);
    dst.write(doublesOf(s, widen(s, src.isMemory ? src.readAt(0, 64) : src.read())));
    if (!src.isMemory) finishMmx(s, false);
  }),
});
const pairOfSingles = laneHelper(2, 32, 32, (env, a) => convertFromInteger(SINGLE, env, BigInt.asIntN(32, a)));
insn('CVTPI2PS', {
  forms: allForms(M.Cvtpi2ps),
  body: sse((s, dst, src) => {
    if (!src.isMemory) requireMmx(s);
    const pair = widen(s, src.isMemory ? src.readAt(0, 64) : src.read());
    if (!src.isMemory) finishMmx(s, false);
    dst.write(s.simd('i64x2.replace_lane', [dst.read(), viaHelper(s, pair, pairOfSingles, 64)], 0));
  }),
});
for (const [label, m, from, truncate] of [
  ['CVTPS2PI', M.Cvtps2pi, 32, false], ['CVTTPS2PI', M.Cvttps2pi, 32, true],
  ['CVTPD2PI', M.Cvtpd2pi, 64, false], ['CVTTPD2PI', M.Cvttpd2pi, 64, true],
] as const) {
  const exact = laneHelper(2, from, 32, toInt32(from, truncate).lane, true);
  insn(label, {
    forms: allForms(m),
    body: sse((s, dst, src) => {
      requireMmx(s);
      const v = readVector(s, src, from === 32 ? 64 : 128);
      finishMmx(s, false);
      dst.write(viaHelper(s, v, exact, 64));
      finishMmx(s, true);
    }),
  });
}

// ---- approximations: SDM 2 bounds the relative error by 1.5 * 2^-12 and leaves the value to the processor. Here: the first 12
// bits of the significand of the correctly rounded result. Denormal operands count as zeros, tiny results are zeros, no flags.

const cut = (x: number): bigint => {
  const view = new DataView(new ArrayBuffer(4));
  view.setFloat32(0, x);
  const bits = view.getUint32(0);
  const kept = (bits + 0x800) & ~0xfff;
  return BigInt((kept & 0x7f80_0000) === 0 ? kept & 0x8000_0000 ? 0x8000_0000 : 0 : kept >>> 0);
};
const numberOf = (bits: bigint): number => {
  const view = new DataView(new ArrayBuffer(4));
  view.setUint32(0, Number(bits));
  return view.getFloat32(0);
};
const approximation = (root: boolean) => (_env: unknown, bits: bigint): bigint => {
  const u = unpack(SINGLE, bits);
  if (u.kind === NAN) return quiet(SINGLE, bits);
  if (u.kind === ZERO || u.denormal) return infinity(SINGLE, u.sign);
  if (root && u.sign) return 0xffc0_0000n;
  if (u.kind === INFINITE) return zero(SINGLE, u.sign);
  const x = numberOf(bits);
  return cut(root ? 1 / Math.sqrt(x) : 1 / x);
};
const approximate = (t: Shape, root: boolean): Body => {
  const exact = laneHelper(lanesOf(t), 32, 32, approximation(root));
  return sse((s, dst, src) => {
    const v = readVector(s, src, t.packed ? 128 : 32);
    dst.write(merge(s, t, dst.read(), viaHelper(s, v, exact, 128)));
  });
};
insn('RCPSS', { forms: allForms(M.Rcpss), body: approximate(SS, false) });
insn('RCPPS', { forms: allForms(M.Rcpps), body: approximate(PS, false) });
insn('RSQRTSS', { forms: allForms(M.Rsqrtss), body: approximate(SS, true) });
insn('RSQRTPS', { forms: allForms(M.Rsqrtps), body: approximate(PS, true) });
