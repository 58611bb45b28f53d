/**
 * SHL SAL SHR SAR, ROL ROR RCL RCR, SHLD SHRD.
 *
 * SDM 2 "SAL/SAR/SHL/SHR", "RCL/RCR/ROL/ROR", "SHLD", "SHRD"; APM 3, under those names. The count is taken modulo 32 (64 for
 * 64-bit operands); a masked count of 0 changes no flag. Where the manuals leave flags undefined: OF follows the rule for
 * single-bit counts at every count, AF is cleared by shifts, CF after a shift by more than the width is the bit that an
 * operand extended to 32 bits would give; 16-bit SHLD and SHRD by more than 16, whose results are undefined, too, go on
 * with the second operand again, as the processor does that test/vectors was recorded on.
 *
 * Shifts hand their flags over as carries (see carries.ts): CF at the top, CF ^ OF below it.
 */

import { Mnemonic } from 'iced-x86';
import type { Body, Builder, Operand, Val, Width } from '../builder.js';
import { allForms, insn } from '../insn.js';

/** A masked count: a number when the form or the compiler knows it. */
type Count = Val | number;

function readCount(s: Builder, operand: Operand, width: Width): Count {
  const mask = width === 64 ? 63 : 31;
  const raw = operand.read();
  return raw.known === undefined ? s.and(raw, s.c(raw.width, mask)) : Number(raw.known) & mask;
}
const less1 = (s: Builder, n: Count): Count => (typeof n === 'number' ? n - 1 : s.sub(n, s.c(n.width, 1)));
/** `from` - n, in 0..31 or 0..63 as the work width allows. */
const countFrom = (s: Builder, from: number, n: Count, workWidth: number): Count =>
  typeof n === 'number' ? (from - n) & (workWidth - 1) : s.and(s.sub(s.c(n.width, from), n), s.c(n.width, workWidth - 1));

/** Emits `body` for counts other than zero. */
function ifNonzero(s: Builder, n: Count, body: () => void): void {
  if (typeof n !== 'number') s.if(s.ne(n, s.c(n.width, 0)), body);
  else if (n !== 0) body();
}

/** Narrow operands are shifted as 32 bits, because the count may exceed their width. */
const workWidth = (width: Width): 32 | 64 => (width === 64 ? 64 : 32);
const narrow = (s: Builder, v: Val, width: Width): Val => (v.width === width ? v : s.trunc(v, width));
const wide = (s: Builder, v: Val): Val => (v.width < 32 ? s.zext(v, 32) : v);
const wideSigned = (s: Builder, v: Val): Val => (v.width < 32 ? s.sext(v, 32) : v);

/** After a left shift: `before` is the value shifted by one less, so its top bits are CF and the result's sign. */
const leftFlags = (s: Builder, result: Val, before: Val): void =>
  s.setArithmeticFlags(result, s.and(before, s.not(s.c(before.width, 8))));

/** After a right shift: bit 0 of `before` is CF; OF tells whether the result's two top bits differ. */
function rightFlags(s: Builder, result: Val, before: Val): void {
  const width = result.width;
  const carry = narrow(s, s.shl(before, width - 1), width);
  const signs = s.and(s.xor(result, s.shr(result, 1)), s.c(width, 1n << BigInt(width - 2)));
  s.setArithmeticFlags(result, s.xor(s.xor(carry, s.shr(carry, 1)), signs));
}

const shl: Body = (s, dst, src) => {
  const x = dst.read();
  const n = readCount(s, src, x.width);
  const w = wide(s, x);
  const result = narrow(s, s.shl(w, n), x.width);
  dst.write(result);
  ifNonzero(s, n, () => leftFlags(s, result, narrow(s, s.shl(w, less1(s, n)), x.width)));
};

const shr: Body = (s, dst, src) => {
  const x = dst.read();
  const n = readCount(s, src, x.width);
  const w = wide(s, x);
  const result = narrow(s, s.shr(w, n), x.width);
  dst.write(result);
  ifNonzero(s, n, () => rightFlags(s, result, s.shr(w, less1(s, n))));
};

const sar: Body = (s, dst, src) => {
  const x = dst.read();
  const n = readCount(s, src, x.width);
  const w = wideSigned(s, x);
  const result = narrow(s, s.sar(w, n), x.width);
  dst.write(result);
  ifNonzero(s, n, () => {
    const carry = narrow(s, s.shl(s.sar(w, less1(s, n)), x.width - 1), x.width);
    s.setArithmeticFlags(result, s.sar(carry, 1)); // the sign stays: OF is clear
  });
};

insn('SHL', { forms: [...allForms(Mnemonic.Shl), ...allForms(Mnemonic.Sal)], body: shl });
insn('SHR', { forms: allForms(Mnemonic.Shr), body: shr });
insn('SAR', { forms: allForms(Mnemonic.Sar), body: sar });

const rotate = (left: boolean): Body => (s, dst, src) => {
  const x = dst.read();
  const n = readCount(s, src, x.width);
  const turns = typeof n === 'number' ? n & (x.width - 1) : s.and(n, s.c(n.width, x.width - 1));
  const result = left ? s.rotl(x, turns) : s.rotr(x, turns);
  dst.write(result);
  ifNonzero(s, n, () => {
    const top = s.msb(result);
    if (left) {
      const CF = s.bit(result, 0);
      s.setFlags({ CF, OF: s.xor(top, CF) });
    } else s.setFlags({ CF: top, OF: s.xor(top, s.bit(result, x.width - 2)) });
  });
};

insn('ROL', { forms: allForms(Mnemonic.Rol), body: rotate(true) });
insn('ROR', { forms: allForms(Mnemonic.Ror), body: rotate(false) });

/** The count of a rotation through CF: modulo the width plus one. */
function turnsThroughCarry(s: Builder, n: Count, width: Width): Count {
  if (width >= 32) return n;
  return typeof n === 'number' ? n % (width + 1) : s.remU(s.zext(n, 32), s.c(32, width + 1));
}

const rotateThroughCarry = (left: boolean): Body => (s, dst, src) => {
  const x = dst.read();
  const width = x.width;
  const work = workWidth(width);
  const n = turnsThroughCarry(s, readCount(s, src, width), width);
  const w = wide(s, x);
  const carryIn = s.zext(s.flag('CF'), work);
  const nLess1 = typeof n === 'number' ? (n - 1) & (work - 1) : s.and(s.sub(n, s.c(n.width, 1)), s.c(n.width, work - 1));
  const rest = countFrom(s, width, n, work); // width - n
  const turned = left
    ? s.or(s.or(s.shl(w, n), s.shl(carryIn, nLess1)), s.shr(s.shr(w, 1), rest))
    : s.or(s.or(s.shr(w, n), s.shl(carryIn, rest)), s.shl(s.shl(w, 1), rest));
  const result =
    typeof n === 'number' ? (n === 0 ? x : narrow(s, turned, width)) : s.select(s.ne(n, s.c(n.width, 0)), narrow(s, turned, width), x);
  const carryOut = s.and(s.shr(w, left ? rest : nLess1), s.c(work, 1));
  dst.write(result);
  ifNonzero(s, n, () => {
    const CF = s.ne(carryOut, s.c(work, 0));
    const top = s.msb(result);
    s.setFlags({ CF, OF: s.xor(top, left ? CF : s.bit(result, width - 2)) });
  });
};

insn('RCL', { forms: allForms(Mnemonic.Rcl), body: rotateThroughCarry(true) });
insn('RCR', { forms: allForms(Mnemonic.Rcr), body: rotateThroughCarry(false) });

/** Three 16-bit values in a row, so that counts up to 31 find their bits. */
function row(s: Builder, high: Val, middle: Val, low: Val): Val {
  return s.or(s.or(s.shl(s.zext(high, 64), 32), s.shl(s.zext(middle, 64), 16)), s.zext(low, 64));
}

const shld: Body = (s, dst, src, count) => {
  const x = dst.read();
  const y = src.read();
  const width = x.width;
  const n = readCount(s, count, width);
  const shifted = (by: Count): Val =>
    width === 16
      ? s.trunc(s.shr(s.shl(row(s, x, y, y), by), 32), 16)
      : s.or(s.shl(x, by), s.shr(s.shr(y, 1), countFrom(s, width - 1, by, width)));
  const result = shifted(n);
  dst.write(result);
  ifNonzero(s, n, () => leftFlags(s, result, shifted(less1(s, n))));
};

const shrd: Body = (s, dst, src, count) => {
  const x = dst.read();
  const y = src.read();
  const width = x.width;
  const n = readCount(s, count, width);
  const source = width === 16 ? row(s, y, y, x) : x;
  const result =
    width === 16
      ? s.trunc(s.shr(source, n), 16)
      : s.or(s.shr(x, n), s.shl(s.shl(y, 1), countFrom(s, width - 1, n, width)));
  dst.write(result);
  ifNonzero(s, n, () => rightFlags(s, result, s.shr(source, less1(s, n))));
};

insn('SHLD', { forms: allForms(Mnemonic.Shld), body: shld });
insn('SHRD', { forms: allForms(Mnemonic.Shrd), body: shrd });
