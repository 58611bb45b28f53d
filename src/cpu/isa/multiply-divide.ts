/**
 * MUL IMUL DIV IDIV. SDM 2 and APM 3, under those names.
 *
 * MUL and IMUL: CF = OF = "the upper half is more than the lower half's extension". SF, ZF, AF and PF are undefined in the
 * manuals; here they follow the lower half, AF is clear. DIV and IDIV leave all flags alone (undefined in the manuals).
 * #DE is raised for a zero divisor and for quotients that do not fit, before anything changes.
 */

import { Code, Mnemonic } from 'iced-x86';
import type { Body, Builder, Val } from '../builder.js';
import { DE } from '../events.js';
import { allForms, insn, NEXT, type InsnHelper } from '../insn.js';
import { RAX, RDX, S } from '../state.js';

type IntWidth = 8 | 16 | 32 | 64;

/** CF and OF both from `overflow`; the others from the lower half. */
function productFlags(s: Builder, low: Val, overflow: Val): void {
  const top = s.c(low.width, 1n << BigInt(low.width - 1));
  s.setArithmeticFlags(low, s.select(overflow, top, s.c(low.width, 0)));
}

/** Lower and upper half of x * y. */
function product(s: Builder, x: Val, y: Val, signed: boolean): [Val, Val] {
  const width = x.width;
  if (width === 64) return s.mulWide(x, y, signed);
  const wide = width === 32 ? 64 : 32;
  const extend = (v: Val) => (signed ? s.sext(v, wide) : s.zext(v, wide));
  const full = s.mul(extend(x), extend(y));
  return [s.trunc(full, width), s.trunc(s.shr(full, width), width)];
}

const overflowed = (s: Builder, low: Val, high: Val, signed: boolean): Val =>
  s.ne(high, signed ? s.sar(low, low.width - 1) : s.c(high.width, 0));

/** AX, DX:AX, EDX:EAX or RDX:RAX = accumulator times operand. */
const multiplyAccumulator = (signed: boolean): Body => (s, src) => {
  const width = src.width as IntWidth;
  const [low, high] = product(s, s.reg(RAX, width), src.read(), signed);
  const overflow = overflowed(s, low, high, signed);
  if (width === 8) s.setReg(RAX, s.or(s.shl(s.zext(high, 16), 8), s.zext(low, 16)));
  else {
    s.setReg(RAX, low);
    s.setReg(RDX, high);
  }
  productFlags(s, low, overflow);
};

const WIDENING_IMUL = [Code.Imul_rm8, Code.Imul_rm16, Code.Imul_rm32, Code.Imul_rm64];
insn('MUL', { forms: allForms(Mnemonic.Mul), body: multiplyAccumulator(false) });
insn('IMUL', { forms: WIDENING_IMUL, body: multiplyAccumulator(true) });

/** Two operands: first = first * second. Three: first = second * third. */
insn('IMUL to register', {
  forms: allForms(Mnemonic.Imul).filter((form) => !WIDENING_IMUL.includes(form)),
  body: (s, dst, ...rest) => {
    const [x, y] = rest.length === 1 ? [dst.read(), rest[0].read()] : [rest[0].read(), rest[1].read()];
    const [low, high] = product(s, x, y, true);
    const overflow = overflowed(s, low, high, true);
    dst.write(low);
    productFlags(s, low, overflow);
  },
});

/** Quotient and remainder go to the lower and upper half of the dividend's place. */
function writeQuotient(s: Builder, width: IntWidth, quotient: Val, remainder: Val): void {
  const cut = (v: Val) => (v.width === width ? v : s.trunc(v, width));
  const [q, r] = [cut(quotient), cut(remainder)];
  if (width === 8) s.setReg(RAX, s.or(s.shl(s.zext(r, 16), 8), s.zext(q, 16)));
  else {
    s.setReg(RAX, q);
    s.setReg(RDX, r);
  }
}

/** 8-, 16- and 32-bit operands: the dividend fits a wasm integer. */
function divideNarrow(s: Builder, width: 8 | 16 | 32, divisor: Val, signed: boolean): void {
  const work = width === 32 ? 64 : 32;
  s.raiseIf(s.isZero(divisor), DE);
  const dividend =
    width === 8
      ? signed ? s.sext(s.reg(RAX, 16), work) : s.zext(s.reg(RAX, 16), work)
      : s.or(s.shl(s.zext(s.reg(RDX, width), work), width), s.zext(s.reg(RAX, width), work));
  if (!signed) {
    const by = s.zext(divisor, work);
    const quotient = s.divU(dividend, by);
    s.raiseIf(s.ne(s.shr(quotient, width), s.c(work, 0)), DE);
    writeQuotient(s, width, quotient, s.remU(dividend, by));
    return;
  }
  const by = s.sext(divisor, work);
  // The one division that overflows the work width; it does not fit the operand width either.
  const lowest = s.c(work, 1n << BigInt(work - 1));
  if (width !== 8) s.raiseIf(s.and(s.eq(dividend, lowest), s.eq(by, s.c(work, (1n << BigInt(work)) - 1n))), DE);
  const quotient = s.divS(dividend, by);
  s.raiseIf(s.ne(quotient, s.sext(s.trunc(quotient, width), work)), DE);
  writeQuotient(s, width, quotient, s.remS(dividend, by));
}

const divideWide = (signed: boolean): InsnHelper => (cpu) => {
  const extend = (v: bigint, bits: number) => (signed ? BigInt.asIntN(bits, v) : v);
  const divisor = extend(cpu.s.get64(S.scratch), 64);
  const dividend = extend((cpu.s.gpr(RDX) << 64n) | cpu.s.gpr(RAX), 128);
  const quotient = dividend / divisor;
  if (extend(BigInt.asUintN(64, quotient), 64) !== quotient) cpu.raise(DE);
  cpu.s.setGpr(RAX, quotient);
  cpu.s.setGpr(RDX, dividend % divisor);
  return NEXT;
};
const divideWideUnsigned = divideWide(false);
const divideWideSigned = divideWide(true);

/** 64-bit operands: in wasm when the upper half of the dividend is only an extension, as it nearly always is. */
function divide64(s: Builder, divisor: Val, signed: boolean): void {
  s.raiseIf(s.isZero(divisor), DE);
  const low = s.reg(RAX, 64);
  const high = s.reg(RDX, 64);
  const extended = s.eq(high, signed ? s.sar(low, 63) : s.c(64, 0));
  // -2^63 / -1 would trap in wasm: leave it to the helper, which finds that it does not fit.
  const simple = signed ? s.and(extended, s.ne(divisor, s.c(64, (1n << 64n) - 1n))) : extended;
  s.if(
    simple,
    () => writeQuotient(s, 64, signed ? s.divS(low, divisor) : s.divU(low, divisor), signed ? s.remS(low, divisor) : s.remU(low, divisor)),
    () => {
      s.setState(S.scratch, divisor);
      s.call(signed ? divideWideSigned : divideWideUnsigned);
    },
  );
}

const divide = (signed: boolean): Body => (s, src) => {
  const divisor = src.read();
  if (divisor.width === 64) divide64(s, divisor, signed);
  else divideNarrow(s, divisor.width as 8 | 16 | 32, divisor, signed);
};

insn('DIV', { forms: allForms(Mnemonic.Div), body: divide(false) });
insn('IDIV', { forms: allForms(Mnemonic.Idiv), body: divide(true) });
