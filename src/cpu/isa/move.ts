/**
 * MOV (not to or from control and debug registers, not into segment registers), MOVNTI, LEA, MOVBE, BSWAP, XLAT.
 *
 * SDM 2 and APM 3, under those names. No flags.
 */

import { Code, Mnemonic } from 'iced-x86';
import type { Body, Builder, Val } from '../builder.js';
import { allForms, helper, insn, NEXT, type InsnHelper } from '../insn.js';
import { RAX, RBX } from '../state.js';

const copy: Body = (_s, dst, src) => dst.write(src.read());

insn('MOV', {
  forms: [
    Code.Mov_rm8_r8, Code.Mov_rm16_r16, Code.Mov_rm32_r32, Code.Mov_rm64_r64,
    Code.Mov_r8_rm8, Code.Mov_r16_rm16, Code.Mov_r32_rm32, Code.Mov_r64_rm64,
    Code.Mov_AL_moffs8, Code.Mov_AX_moffs16, Code.Mov_EAX_moffs32, Code.Mov_RAX_moffs64,
    Code.Mov_moffs8_AL, Code.Mov_moffs16_AX, Code.Mov_moffs32_EAX, Code.Mov_moffs64_RAX,
    Code.Mov_r8_imm8, Code.Mov_r16_imm16, Code.Mov_r32_imm32, Code.Mov_r64_imm64,
    Code.Mov_rm8_imm8, Code.Mov_rm16_imm16, Code.Mov_rm32_imm32, Code.Mov_rm64_imm32,
  ],
  body: copy,
});
insn('MOVNTI', { forms: allForms(Mnemonic.Movnti), body: copy });

insn('MOV from Sreg', {
  forms: [Code.Mov_rm16_Sreg, Code.Mov_r32m16_Sreg, Code.Mov_r64m16_Sreg],
  body: (s, dst, src) => {
    const selector = src.read();
    // 16 bits to memory whatever the operand size.
    if (dst.isMemory) dst.writeAt(0, selector);
    else dst.write(s.zext(selector, dst.width));
  },
});

insn('LEA', {
  forms: allForms(Mnemonic.Lea),
  body: (s, dst, src) => {
    const offset = src.ea();
    dst.write(dst.width === 64 ? offset : s.trunc(offset, dst.width));
  },
});

/** The bytes of a 16-, 32- or 64-bit value in the opposite order. */
function reverseBytes(s: Builder, v: Val): Val {
  if (v.width === 16) return s.rotl(v, 8);
  const swapWithin = (x: Val, bits: number, mask: bigint): Val =>
    s.or(s.and(s.shr(x, bits), s.c(x.width, mask)), s.shl(s.and(x, s.c(x.width, mask)), bits));
  if (v.width === 32) return s.rotl(swapWithin(v, 8, 0x00ff00ffn), 16);
  return s.rotl(swapWithin(swapWithin(v, 8, 0x00ff00ff00ff00ffn), 16, 0x0000ffff0000ffffn), 32);
}

insn('MOVBE', { forms: allForms(Mnemonic.Movbe), body: (s, dst, src) => dst.write(reverseBytes(s, src.read())) });
insn('BSWAP', {
  forms: [Code.Bswap_r32, Code.Bswap_r64],
  body: (s, dst) => dst.write(reverseBytes(s, dst.read())),
});
// The manuals leave the 16-bit form undefined; the recorded processor clears the register's low half.
insn('BSWAP r16', { forms: [Code.Bswap_r16], body: (s, dst) => dst.write(s.c(16, 0)) });

const xlat: InsnHelper = (cpu, insn) => {
  const offset = BigInt.asUintN(insn.addressWidth, cpu.s.gpr(RBX) + (cpu.s.gpr(RAX) & 0xffn));
  const value = cpu.readSegment(insn.segment, offset, 1);
  cpu.s.setGpr(RAX, (cpu.s.gpr(RAX) & ~0xffn) | value);
  return NEXT;
};
insn('XLAT', { forms: allForms(Mnemonic.Xlatb), body: helper(xlat) });
