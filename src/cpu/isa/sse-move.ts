/**
 * Moves of SSE and SSE2: MOVAPS MOVUPS MOVDQA ... MOVSS MOVSD MOVD MOVQ, halves, non-temporal stores, MOVMSK.
 *
 * SDM 2 and APM 4, under those names. A load of less than 128 bits clears the rest of the register; between registers the scalar
 * and half moves keep it.
 */

import { Code, Mnemonic } from 'iced-x86';
import type { Body } from '../builder.js';
import { allForms, insn } from '../insn.js';
import { requireAligned } from './sse-available.js';
import { low, readAligned, readLow, sse, widen, withLow } from './sse-operands.js';

const aligned: Body = sse((s, dst, src) => {
  if (dst.isMemory) requireAligned(s, dst.ea());
  dst.write(readAligned(s, src));
});
const unaligned: Body = sse((_s, dst, src) => dst.write(src.read()));

insn('MOVAPS', {
  forms: [...allForms(Mnemonic.Movaps), ...allForms(Mnemonic.Movapd), ...allForms(Mnemonic.Movdqa)],
  body: aligned,
});
insn('MOVUPS', {
  forms: [...allForms(Mnemonic.Movups), ...allForms(Mnemonic.Movupd), ...allForms(Mnemonic.Movdqu), ...allForms(Mnemonic.Lddqu)],
  body: unaligned,
});
// Non-temporal: a hint to the caches, and an ordinary store for the program.
insn('MOVNTPS', { forms: [...allForms(Mnemonic.Movntps), ...allForms(Mnemonic.Movntpd), ...allForms(Mnemonic.Movntdq)], body: aligned });
insn('MOVNTDQA', { forms: allForms(Mnemonic.Movntdqa), body: aligned });

const scalarMove = (width: 32 | 64): Body =>
  sse((s, dst, src) => {
    if (dst.isMemory) dst.writeAt(0, low(s, src.read(), width));
    else if (src.isMemory) dst.write(widen(s, src.readAt(0, width)));
    else dst.write(withLow(s, dst.read(), low(s, src.read(), width)));
  });
insn('MOVSS', { forms: allForms(Mnemonic.Movss), body: scalarMove(32) });
insn('MOVSD', { forms: [Code.Movsd_xmm_xmmm64, Code.Movsd_xmmm64_xmm], body: scalarMove(64) });
insn('MOVQ', {
  forms: [Code.Movq_xmm_xmmm64, Code.Movq_xmmm64_xmm],
  body: sse((s, dst, src) => {
    const v = readLow(s, src, 64);
    if (dst.isMemory) dst.writeAt(0, v);
    else dst.write(widen(s, v));
  }),
});
insn('MOVD to xmm', { forms: [Code.Movd_xmm_rm32, Code.Movq_xmm_rm64], body: sse((s, dst, src) => dst.write(widen(s, src.read()))) });
insn('MOVD from xmm', {
  forms: [Code.Movd_rm32_xmm, Code.Movq_rm64_xmm],
  body: sse((s, dst, src) => dst.write(low(s, src.read(), dst.width as 32 | 64))),
});

/** Loads or stores one 64-bit half of a register. */
const half = (lane: 0 | 1): Body =>
  sse((s, dst, src) => {
    if (dst.isMemory) dst.writeAt(0, s.simd('i64x2.extract_lane', [src.read()], lane));
    else {
      const v = src.readAt(0, 64);
      dst.write(s.simd('i64x2.replace_lane', [dst.read(), v], lane));
    }
  });
insn('MOVLPS', { forms: [...allForms(Mnemonic.Movlps), ...allForms(Mnemonic.Movlpd)], body: half(0) });
insn('MOVHPS', { forms: [...allForms(Mnemonic.Movhps), ...allForms(Mnemonic.Movhpd)], body: half(1) });
insn('MOVHLPS', {
  forms: allForms(Mnemonic.Movhlps),
  body: sse((s, dst, src) => dst.write(s.simd('i64x2.replace_lane', [dst.read(), s.simd('i64x2.extract_lane', [src.read()], 1)], 0))),
});
insn('MOVLHPS', {
  forms: allForms(Mnemonic.Movlhps),
  body: sse((s, dst, src) => dst.write(s.simd('i64x2.replace_lane', [dst.read(), s.simd('i64x2.extract_lane', [src.read()], 0)], 1))),
});

insn('MOVDDUP', { forms: allForms(Mnemonic.Movddup), body: sse((s, dst, src) => dst.write(s.simd('i64x2.splat', [readLow(s, src, 64)]))) });
const duplicate = (lanes: readonly number[]): Body =>
  sse((s, dst, src) => {
    const v = readAligned(s, src);
    dst.write(s.shuffle(v, v, lanes.flatMap((l) => [4 * l, 4 * l + 1, 4 * l + 2, 4 * l + 3])));
  });
insn('MOVSLDUP', { forms: allForms(Mnemonic.Movsldup), body: duplicate([0, 0, 2, 2]) });
insn('MOVSHDUP', { forms: allForms(Mnemonic.Movshdup), body: duplicate([1, 1, 3, 3]) });

const mask = (op: string): Body =>
  sse((s, dst, src) => dst.write(s.zext(s.simd(op, [src.read()]), dst.width)));
insn('MOVMSKPS', { forms: allForms(Mnemonic.Movmskps), body: mask('i32x4.bitmask') });
insn('MOVMSKPD', { forms: allForms(Mnemonic.Movmskpd), body: mask('i64x2.bitmask') });
