/**
 * Packed-integer and logic instructions of MMX, SSE and SSE2.
 *
 * SDM 2 and APM 4 and 5, under those names. The MMX form of an operation is the same on the low half of a vector; where halves
 * matter (packs, unpacks, shuffles) sse-shuffle.ts describes it.
 */

import { Mnemonic } from 'iced-x86';
import type { Builder, Val } from '../builder.js';
import { allForms, insn } from '../insn.js';
import { mmxBinary } from './mmx-state.js';
import { isMmx } from './mmx-state.js';
import { vectorBinary } from './sse-operands.js';

type Operation = (s: Builder, a: Val, b: Val) => Val;
const op = (name: string): Operation => (s, a, b) => s.simd(name, [a, b]);

/** The high 16 bits of each 32-bit lane of two vectors. */
const HIGH_WORDS = [2, 3, 6, 7, 10, 11, 14, 15, 18, 19, 22, 23, 26, 27, 30, 31];
const multiplyHigh = (sign: 's' | 'u'): Operation => (s, a, b) =>
  s.shuffle(s.simd(`i32x4.extmul_low_i16x8_${sign}`, [a, b]), s.simd(`i32x4.extmul_high_i16x8_${sign}`, [a, b]), HIGH_WORDS);

/** The low words of the 64-bit lanes, side by side. */
const EVEN_WORDS = [0, 1, 2, 3, 8, 9, 10, 11, 0, 1, 2, 3, 8, 9, 10, 11];
const multiplyEven = (sign: 's' | 'u'): Operation => (s, a, b) =>
  s.simd(`i64x2.extmul_low_i32x4_${sign}`, [s.shuffle(a, a, EVEN_WORDS), s.shuffle(b, b, EVEN_WORDS)]);

const sumOfDifferences: Operation = (s, a, b) => {
  const distance = s.simd('v128.or', [s.simd('i8x16.sub_sat_u', [a, b]), s.simd('i8x16.sub_sat_u', [b, a])]);
  const quads = s.simd('i32x4.extadd_pairwise_i16x8_u', [s.simd('i16x8.extadd_pairwise_i8x16_u', [distance])]);
  const sum = s.simd('i64x2.add', [quads, s.simd('i64x2.shr_u', [quads, s.c(32, 32)])]);
  return s.simd('v128.and', [sum, s.c(128, 0xffff_0000_0000_0000_ffffn)]);
};
/** dst = NOT dst AND src. */
const andNot: Operation = (s, a, b) => s.simd('v128.andnot', [b, a]);

const M = Mnemonic;
const OPERATIONS: readonly (readonly [name: string, operation: Operation, mnemonics: readonly Mnemonic[]])[] = [
  ['PADDB', op('i8x16.add'), [M.Paddb]], ['PADDW', op('i16x8.add'), [M.Paddw]], ['PADDD', op('i32x4.add'), [M.Paddd]], ['PADDQ', op('i64x2.add'), [M.Paddq]],
  ['PSUBB', op('i8x16.sub'), [M.Psubb]], ['PSUBW', op('i16x8.sub'), [M.Psubw]], ['PSUBD', op('i32x4.sub'), [M.Psubd]], ['PSUBQ', op('i64x2.sub'), [M.Psubq]],
  ['PADDSB', op('i8x16.add_sat_s'), [M.Paddsb]], ['PADDSW', op('i16x8.add_sat_s'), [M.Paddsw]],
  ['PADDUSB', op('i8x16.add_sat_u'), [M.Paddusb]], ['PADDUSW', op('i16x8.add_sat_u'), [M.Paddusw]],
  ['PSUBSB', op('i8x16.sub_sat_s'), [M.Psubsb]], ['PSUBSW', op('i16x8.sub_sat_s'), [M.Psubsw]],
  ['PSUBUSB', op('i8x16.sub_sat_u'), [M.Psubusb]], ['PSUBUSW', op('i16x8.sub_sat_u'), [M.Psubusw]],
  ['PMULLW', op('i16x8.mul'), [M.Pmullw]], ['PMULHW', multiplyHigh('s'), [M.Pmulhw]], ['PMULHUW', multiplyHigh('u'), [M.Pmulhuw]],
  ['PMULUDQ', multiplyEven('u'), [M.Pmuludq]], ['PMADDWD', op('i32x4.dot_i16x8_s'), [M.Pmaddwd]],
  ['PAVGB', op('i8x16.avgr_u'), [M.Pavgb]], ['PAVGW', op('i16x8.avgr_u'), [M.Pavgw]], ['PSADBW', sumOfDifferences, [M.Psadbw]],
  ['PMINUB', op('i8x16.min_u'), [M.Pminub]], ['PMAXUB', op('i8x16.max_u'), [M.Pmaxub]], ['PMINSW', op('i16x8.min_s'), [M.Pminsw]], ['PMAXSW', op('i16x8.max_s'), [M.Pmaxsw]],
  ['PCMPEQB', op('i8x16.eq'), [M.Pcmpeqb]], ['PCMPEQW', op('i16x8.eq'), [M.Pcmpeqw]], ['PCMPEQD', op('i32x4.eq'), [M.Pcmpeqd]],
  ['PCMPGTB', op('i8x16.gt_s'), [M.Pcmpgtb]], ['PCMPGTW', op('i16x8.gt_s'), [M.Pcmpgtw]], ['PCMPGTD', op('i32x4.gt_s'), [M.Pcmpgtd]],
  ['PAND', op('v128.and'), [M.Pand, M.Andps, M.Andpd]], ['POR', op('v128.or'), [M.Por, M.Orps, M.Orpd]],
  ['PXOR', op('v128.xor'), [M.Pxor, M.Xorps, M.Xorpd]], ['PANDN', andNot, [M.Pandn, M.Andnps, M.Andnpd]],
  ['PMULLD', op('i32x4.mul'), [M.Pmulld]], ['PMULDQ', multiplyEven('s'), [M.Pmuldq]], ['PCMPEQQ', op('i64x2.eq'), [M.Pcmpeqq]], ['PCMPGTQ', op('i64x2.gt_s'), [M.Pcmpgtq]],
  ['PMINSB', op('i8x16.min_s'), [M.Pminsb]], ['PMAXSB', op('i8x16.max_s'), [M.Pmaxsb]], ['PMINUW', op('i16x8.min_u'), [M.Pminuw]], ['PMAXUW', op('i16x8.max_u'), [M.Pmaxuw]],
  ['PMINSD', op('i32x4.min_s'), [M.Pminsd]], ['PMAXSD', op('i32x4.max_s'), [M.Pmaxsd]], ['PMINUD', op('i32x4.min_u'), [M.Pminud]], ['PMAXUD', op('i32x4.max_u'), [M.Pmaxud]],
];

for (const [name, operation, mnemonics] of OPERATIONS) {
  const forms = mnemonics.flatMap(allForms);
  const mmx = forms.filter(isMmx);
  insn(name, { forms: forms.filter((f) => !isMmx(f)), body: vectorBinary(operation) });
  if (mmx.length > 0) insn(`${name} mm`, { forms: mmx, body: mmxBinary(operation) });
}
