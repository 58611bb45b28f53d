/**
 * Moves of MMX registers, between them and XMM registers, and the byte-masked stores.
 *
 * SDM 2 and APM 4 and 5, under those names.
 */

import { Code, Mnemonic } from 'iced-x86';
import { RDI } from '../state.js';
import { NEXT, allForms, insn, type InsnHelper } from '../insn.js';
import { S } from '../state.js';
import { enterMmx, finishMmx, requireMmx, requireMmxHelper } from './mmx-state.js';
import { requireSseHelper } from './sse-available.js';
import { low, sse, widen } from './sse-operands.js';

insn('MOVD mm', {
  forms: [Code.Movd_mm_rm32, Code.Movq_mm_rm64],
  body: (s, dst, src) => {
    requireMmx(s);
    dst.write(s.zext(src.read(), 64));
    finishMmx(s, true);
  },
});
insn('MOVD from mm', {
  forms: [Code.Movd_rm32_mm, Code.Movq_rm64_mm],
  body: (s, dst, src) => {
    requireMmx(s);
    dst.write(s.trunc(src.read(), dst.width));
    finishMmx(s, false);
  },
});
insn('MOVQ mm', {
  forms: [Code.Movq_mm_mmm64, Code.Movq_mmm64_mm, ...allForms(Mnemonic.Movntq)],
  body: (s, dst, src) => {
    requireMmx(s);
    const v = src.isMemory ? src.readAt(0, 64) : src.read();
    if (dst.isMemory) dst.writeAt(0, v);
    else dst.write(v);
    finishMmx(s, !dst.isMemory);
  },
});
insn('MOVQ2DQ', {
  forms: allForms(Mnemonic.Movq2dq),
  body: sse((s, dst, src) => {
    requireMmx(s);
    dst.write(widen(s, src.read()));
    finishMmx(s, false);
  }),
});
insn('MOVDQ2Q', {
  forms: allForms(Mnemonic.Movdq2q),
  body: sse((s, dst, src) => {
    requireMmx(s);
    dst.write(low(s, src.read(), 64));
    finishMmx(s, true);
  }),
});

/** Stores the bytes of operand 1 whose mask byte in operand 2 has its top bit set, at DS:rDI. */
const maskedStore = (bytes: 8 | 16): InsnHelper => (cpu, i) => {
  if (bytes === 16) requireSseHelper(cpu);
  else requireMmxHelper(cpu);
  const at = (n: number): number => (bytes === 16 ? S.xmm + 32 * i.register(n) : S.st + 16 * i.register(n));
  const { u8 } = cpu.m;
  const offset = BigInt.asUintN(i.addressWidth, cpu.s.gpr(RDI));
  const data = u8.slice(at(1), at(1) + bytes), mask = u8.slice(at(2), at(2) + bytes);
  const chosen = [...mask.keys()].filter((k) => mask[k]! & 0x80);
  const place = (k: number): bigint => BigInt.asUintN(i.addressWidth, offset + BigInt(k));
  // The last byte is in another page at most once: find its fault before the first store.
  const last = chosen.at(-1);
  if (last !== undefined && last !== chosen[0]) cpu.writeSegment(i.segment, place(last), 1, BigInt(data[last]!));
  for (const k of chosen) if (k !== last || last === chosen[0]) cpu.writeSegment(i.segment, place(k), 1, BigInt(data[k]!));
  if (bytes === 8) enterMmx(cpu);
  return NEXT;
};
const maskedStore8 = maskedStore(8), maskedStore16 = maskedStore(16);
insn('MASKMOVQ', { forms: allForms(Mnemonic.Maskmovq), body: (s) => s.helper(maskedStore8) });
insn('MASKMOVDQU', { forms: allForms(Mnemonic.Maskmovdqu), body: (s) => s.helper(maskedStore16) });
