/**
 * Shuffles, unpacks, packs, shifts, inserts and extracts of MMX, SSE and SSE2.
 *
 * SDM 2 and APM 4 and 5, under those names. A selector is an immediate. Where it is known only when the instruction runs (in the
 * interpreter), the bytes to take are computed as a vector of indices; else the shuffle has constant lanes.
 */

import { Code, Mnemonic } from 'iced-x86';
import type { Body, Builder, Operand, Val } from '../builder.js';
import { allForms, insn } from '../insn.js';
import { finishMmx, isMmx, mmxBinary, readMmx, requireMmx } from './mmx-state.js';
import { low, readAligned, sse, vectorBinary } from './sse-operands.js';

type Operation = (s: Builder, a: Val, b: Val) => Val;
const M = Mnemonic;
const vector = (m: Mnemonic): number[] => allForms(m).filter((f) => !isMmx(f));
const mmx = (m: Mnemonic): number[] => allForms(m).filter(isMmx);
const lanes = (bytes: number, indices: readonly number[]): number[] => indices.flatMap((l) => Array.from({ length: bytes }, (_, i) => l * bytes + i));

// ---- unpacks

/** Interleaves elements of `bytes` bytes from the low or high halves. `half` is the length of a half: 8, or 4 for MMX. */
function unpack(bytes: number, high: boolean, half: 4 | 8): Operation {
  const n = half / bytes, first = high ? n : 0, other = 16 / bytes;
  const order = Array.from({ length: n }, (_, i) => [first + i, other + first + i]).flat();
  const all = lanes(bytes, order);
  return (s, a, b) => s.shuffle(a, b, [...all, ...all].slice(0, 16));
}
const UNPACKS: readonly [string, number, Mnemonic, Mnemonic, ...Mnemonic[]][] = [
  ['BW', 1, M.Punpcklbw, M.Punpckhbw],
  ['WD', 2, M.Punpcklwd, M.Punpckhwd],
  ['DQ', 4, M.Punpckldq, M.Punpckhdq],
];
for (const [name, bytes, l, h] of UNPACKS) {
  insn(`PUNPCKL${name}`, { forms: vector(l), body: vectorBinary(unpack(bytes, false, 8)) });
  insn(`PUNPCKH${name}`, { forms: vector(h), body: vectorBinary(unpack(bytes, true, 8)) });
  // The low unpacks of MMX read 32 bits of memory.
  insn(`PUNPCKL${name} mm`, {
    forms: mmx(l),
    body: (s, dst, src) => {
      requireMmx(s);
      const b = src.isMemory ? s.simd('i64x2.splat', [s.zext(src.readAt(0, 32), 64)]) : readMmx(s, src);
      dst.write(low(s, unpack(bytes, false, 4)(s, readMmx(s, dst), b), 64));
      finishMmx(s, true);
    },
  });
  insn(`PUNPCKH${name} mm`, { forms: mmx(h), body: mmxBinary(unpack(bytes, true, 4)) });
}
insn('UNPCKLPS', { forms: allForms(M.Unpcklps), body: vectorBinary(unpack(4, false, 8)) });
insn('UNPCKHPS', { forms: allForms(M.Unpckhps), body: vectorBinary(unpack(4, true, 8)) });
insn('PUNPCKLQDQ', { forms: [...allForms(M.Punpcklqdq), ...allForms(M.Unpcklpd)], body: vectorBinary(unpack(8, false, 8)) });
insn('PUNPCKHQDQ', { forms: [...allForms(M.Punpckhqdq), ...allForms(M.Unpckhpd)], body: vectorBinary(unpack(8, true, 8)) });

// ---- packs

for (const [name, op, m] of [
  ['PACKSSWB', 'i8x16.narrow_i16x8_s', M.Packsswb],
  ['PACKUSWB', 'i8x16.narrow_i16x8_u', M.Packuswb],
  ['PACKSSDW', 'i16x8.narrow_i32x4_s', M.Packssdw],
] as const) {
  insn(name, { forms: vector(m), body: vectorBinary((s, a, b) => s.simd(op, [a, b])) });
  // Both operands side by side, packed together.
  insn(`${name} mm`, {
    forms: mmx(m),
    body: mmxBinary((s, a, b) => {
      const both = s.shuffle(a, b, lanes(8, [0, 2]));
      return s.simd(op, [both, both]);
    }),
  });
}

// ---- shuffles by an immediate

const bytesPattern = (width: number, f: (lane: number) => number): bigint => {
  let v = 0n;
  for (let i = 0; i * width < 128; i++) v |= BigInt(f(i)) << BigInt(i * width);
  return v;
};
/** Byte indices for four 32-bit lanes chosen by the 2-bit fields of `immediate`. */
function select32(s: Builder, immediate: Val): Val {
  const spread = s.simd('i32x4.mul', [s.simd('i32x4.splat', [s.zext(immediate, 32)]), s.c(128, bytesPattern(32, (i) => 64 >> (2 * i)))]);
  const field = s.simd('v128.and', [s.simd('i32x4.shr_u', [spread, s.c(32, 6)]), s.c(128, bytesPattern(32, () => 3))]);
  return s.simd('i32x4.add', [s.simd('i32x4.mul', [field, s.c(128, bytesPattern(32, () => 0x0404_0404))]), s.c(128, bytesPattern(32, () => 0x0302_0100))]);
}
/** Byte indices for four 16-bit lanes of one half; the other half stays. */
function select16(s: Builder, immediate: Val, high: boolean): Val {
  const spread = s.simd('i16x8.mul', [s.simd('i16x8.splat', [s.zext(immediate, 32)]), s.c(128, bytesPattern(16, (i) => 64 >> (2 * (i & 3))))]);
  const mine = (i: number): boolean => i >= 4 === high;
  const field = s.simd('v128.and', [s.simd('i16x8.shr_u', [spread, s.c(32, 6)]), s.c(128, bytesPattern(16, (i) => (mine(i) ? 3 : 0)))]);
  const offset = (i: number): number => (mine(i) ? (high ? 0x0908 : 0x0100) : 0x0100 + 0x0202 * i);
  return s.simd('i16x8.add', [s.simd('i16x8.mul', [field, s.c(128, bytesPattern(16, () => 0x0202))]), s.c(128, bytesPattern(16, offset))]);
}
/** The four 2-bit fields of an immediate that is known. */
const fieldsOf = (immediate: bigint): number[] => [0, 2, 4, 6].map((at) => Number(immediate >> BigInt(at)) & 3);
const shuffleBy = (select: (s: Builder, immediate: Val) => Val, known: (fields: number[]) => number[]): Body =>
  sse((s, dst, src, immediate) => {
    const v = readAligned(s, src), i = immediate!.read();
    dst.write(i.known !== undefined ? s.shuffle(v, v, known(fieldsOf(i.known))) : s.simd('i8x16.swizzle', [v, select(s, i)]));
  });
insn('PSHUFD', { forms: allForms(M.Pshufd), body: shuffleBy(select32, (fields) => lanes(4, fields)) });
insn('PSHUFLW', { forms: allForms(M.Pshuflw), body: shuffleBy((s, i) => select16(s, i, false), (fields) => lanes(2, [...fields, 4, 5, 6, 7])) });
insn('PSHUFHW', { forms: allForms(M.Pshufhw), body: shuffleBy((s, i) => select16(s, i, true), (fields) => lanes(2, [0, 1, 2, 3, ...fields.map((f) => f + 4)])) });
insn('PSHUFW', {
  forms: allForms(M.Pshufw),
  body: (s, dst, src, immediate) => {
    requireMmx(s);
    dst.write(low(s, s.simd('i8x16.swizzle', [readMmx(s, src), select16(s, immediate!.read(), false)]), 64));
    finishMmx(s, true);
  },
});
insn('SHUFPS', {
  forms: allForms(M.Shufps),
  body: sse((s, dst, src, immediate) => {
    const b = readAligned(s, src), i = immediate!.read();
    if (i.known !== undefined) {
      const [a0, a1, b0, b1] = fieldsOf(i.known) as [number, number, number, number];
      return dst.write(s.shuffle(dst.read(), b, lanes(4, [a0, a1, b0 + 4, b1 + 4])));
    }
    const index = select32(s, i);
    const fromA = s.simd('i8x16.swizzle', [dst.read(), index]), fromB = s.simd('i8x16.swizzle', [b, index]);
    dst.write(s.shuffle(fromA, fromB, lanes(8, [0, 3])));
  }),
});
insn('SHUFPD', {
  forms: allForms(M.Shufpd),
  body: sse((s, dst, src, immediate) => {
    const b = readAligned(s, src);
    const a = dst.read(), i = immediate!.read();
    if (i.known !== undefined) return dst.write(s.shuffle(a, b, lanes(8, [Number(i.known & 1n), 2 + Number((i.known >> 1n) & 1n)])));
    const half = (v: Val, bit: number): Val => s.select(s.bit(i, bit), s.simd('i64x2.extract_lane', [v], 1), s.simd('i64x2.extract_lane', [v], 0));
    dst.write(s.simd('i64x2.replace_lane', [s.simd('i64x2.splat', [half(a, 0)]), half(b, 1)], 1));
  }),
});

// ---- shifts

/** Shifts lanes of `width` bits by a 64-bit count: too large a count gives zeros, or copies of the sign. */
function shiftLanes(s: Builder, op: string, width: number, v: Val, count: Val): Val {
  const large = s.ltU(s.c(64, width - 1), count);
  if (op.endsWith('shr_s')) return s.simd(op, [v, s.trunc(s.select(large, s.c(64, width - 1), count), 32)]);
  return s.select(large, s.c(128, 0), s.simd(op, [v, s.trunc(count, 32)]));
}
const count = (s: Builder, src: Operand): Val =>
  src.isImmediate ? s.zext(src.read(), 64) : src.width === 128 ? low(s, readAligned(s, src), 64) : src.isMemory ? src.readAt(0, 64) : src.read();
for (const [name, op, width, m] of [
  ['PSLLW', 'i16x8.shl', 16, M.Psllw], ['PSLLD', 'i32x4.shl', 32, M.Pslld], ['PSLLQ', 'i64x2.shl', 64, M.Psllq],
  ['PSRLW', 'i16x8.shr_u', 16, M.Psrlw], ['PSRLD', 'i32x4.shr_u', 32, M.Psrld], ['PSRLQ', 'i64x2.shr_u', 64, M.Psrlq],
  ['PSRAW', 'i16x8.shr_s', 16, M.Psraw], ['PSRAD', 'i32x4.shr_s', 32, M.Psrad],
] as const) {
  insn(name, {
    forms: vector(m),
    body: sse((s, dst, src) => {
      const n = count(s, src);
      dst.write(shiftLanes(s, op, width, dst.read(), n));
    }),
  });
  insn(`${name} mm`, {
    forms: mmx(m),
    body: (s, dst, src) => {
      requireMmx(s);
      const n = count(s, src);
      dst.write(low(s, shiftLanes(s, op, width, readMmx(s, dst), n), 64));
      finishMmx(s, true);
    },
  });
}
const IOTA = bytesPattern(8, (i) => i);
/** Whole-register shifts by bytes: indices outside 0-15 select zero. */
const shiftBytes = (direction: 'add' | 'sub'): Body =>
  sse((s, dst, immediate) => {
    const i = s.zext(immediate.read(), 32);
    if (i.known !== undefined) {
      const n = Math.min(Number(i.known), 16) * (direction === 'add' ? 1 : -1);
      // Lanes 16 to 31 are those of a vector of zeros.
      return dst.write(s.shuffle(dst.read(), s.c(128, 0), Array.from({ length: 16 }, (_, at) => (at + n < 0 || at + n > 15 ? 16 : at + n))));
    }
    const n = s.select(s.ltU(s.c(32, 16), i), s.c(32, 16), i);
    dst.write(s.simd('i8x16.swizzle', [dst.read(), s.simd(`i8x16.${direction}`, [s.c(128, IOTA), s.simd('i8x16.splat', [n])])]));
  });
insn('PSLLDQ', { forms: allForms(M.Pslldq), body: shiftBytes('sub') });
insn('PSRLDQ', { forms: allForms(M.Psrldq), body: shiftBytes('add') });

// ---- single words

/** The 16-bit lane `index` of a vector. */
function extractWord(s: Builder, v: Val, index: Val): Val {
  if (index.known !== undefined) return s.simd('i16x8.extract_lane_u', [v], Number(index.known));
  const first = s.shl(index, 1);
  const at = s.or(first, s.shl(s.add(first, s.c(32, 1)), 8));
  return s.simd('i16x8.extract_lane_u', [s.simd('i8x16.swizzle', [v, s.simd('i32x4.splat', [at])])], 0);
}
const replaceWord = (s: Builder, v: Val, index: Val, word: Val): Val =>
  index.known !== undefined
    ? s.simd('i16x8.replace_lane', [v, word], Number(index.known))
    : s.simd('v128.bitselect', [s.simd('i16x8.splat', [word]), v, s.simd('i16x8.eq', [s.simd('i16x8.splat', [index]), s.c(128, bytesPattern(16, (i) => i))])]);
const lane = (s: Builder, immediate: Operand, mask: number): Val => s.and(s.zext(immediate.read(), 32), s.c(32, mask));
const word = (s: Builder, src: Operand): Val => s.zext(src.isMemory ? src.readAt(0, 16) : s.trunc(src.read(), 16), 32);

insn('PEXTRW', {
  forms: [Code.Pextrw_r32_xmm_imm8, Code.Pextrw_r64_xmm_imm8],
  body: sse((s, dst, src, immediate) => dst.write(s.zext(extractWord(s, src.read(), lane(s, immediate!, 7)), dst.width))),
});
insn('PINSRW', {
  forms: vector(M.Pinsrw),
  body: sse((s, dst, src, immediate) => {
    const w = word(s, src);
    dst.write(replaceWord(s, dst.read(), lane(s, immediate!, 7), w));
  }),
});
insn('PEXTRW mm', {
  forms: mmx(M.Pextrw),
  body: (s, dst, src, immediate) => {
    requireMmx(s);
    dst.write(s.zext(extractWord(s, readMmx(s, src), lane(s, immediate!, 3)), dst.width));
    finishMmx(s, false);
  },
});
insn('PINSRW mm', {
  forms: mmx(M.Pinsrw),
  body: (s, dst, src, immediate) => {
    requireMmx(s);
    const w = word(s, src);
    dst.write(low(s, replaceWord(s, readMmx(s, dst), lane(s, immediate!, 3), w), 64));
    finishMmx(s, true);
  },
});

insn('PMOVMSKB', { forms: vector(M.Pmovmskb), body: sse((s, dst, src) => dst.write(s.zext(s.simd('i8x16.bitmask', [src.read()]), dst.width))) });
insn('PMOVMSKB mm', {
  forms: mmx(M.Pmovmskb),
  body: (s, dst, src) => {
    requireMmx(s);
    dst.write(s.zext(s.simd('i8x16.bitmask', [readMmx(s, src)]), dst.width));
    finishMmx(s, false);
  },
});
