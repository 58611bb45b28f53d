/**
 * x87 arithmetic and comparisons: FADD FSUB FMUL FDIV and their reversed, popping and integer forms, FSQRT, FCOM, FUCOM, FCOMI,
 * FTST, FXAM, FABS, FCHS.
 *
 * SDM 2 and APM 5, under those names; SDM 1 §8.3.5 "Basic Arithmetic Instructions". Results are rounded to the precision that the
 * control word names, in the exponent range of the registers.
 */

import { Code, Mnemonic } from 'iced-x86';
import { order as orderOf, product, quotient, root, sum } from '../fp/arithmetic.js';
import { DOUBLE, EXTENDED, FINITE, INFINITE, NAN, SINGLE, UNSUPPORTED, ZERO, convertNan, infinity, unpack, zero, type Format, type Unpacked } from '../fp/format.js';
import { DOWN, IE, ZE, round, type Environment } from '../fp/round.js';
import type { Body, Builder, Val } from '../builder.js';
import { NEXT, allForms, helper, insn, opCodeInfo, type InsnHelper } from '../insn.js';
import { AF, CF, OF, PF, SF, ZF } from '../state.js';
import { add, both, divide, fromFloat, fromInteger, isUsual, isZero, multiply, not, order, x87, type Extended } from './x87-inline.js';
import { C0, C1, C2, C3, Fpu, INDEFINITE, nanResult, noteDenormals } from './x87-unit.js';

const M = Mnemonic;

// ---- operands from memory, in the registers' format

/** A value of another format; a NaN's payload is moved, and it stays signalling. */
export function fromFormat(f: Format, bits: bigint): Unpacked {
  const u = unpack(f, bits);
  if (u.kind !== NAN) return u;
  const wide = convertNan(f, EXTENDED, u);
  return unpack(EXTENDED, u.signalling ? wide & ~(1n << 62n) : wide);
}
export const fromSigned = (v: bigint): Unpacked => ({
  kind: v === 0n ? ZERO : FINITE,
  sign: v < 0n,
  m: v < 0n ? -v : v,
  e: 0,
  denormal: false,
  signalling: false,
  bits: 0n,
});
type Source = (f: Fpu) => Unpacked;
const SOURCES: readonly (readonly [pattern: RegExp, source: Source])[] = [
  [/_m32fp$/, (f) => fromFormat(SINGLE, f.load(4))],
  [/_m64fp$/, (f) => fromFormat(DOUBLE, f.load(8))],
  [/_m16int$/, (f) => fromSigned(BigInt.asIntN(16, f.load(2)))],
  [/_m32int$/, (f) => fromSigned(BigInt.asIntN(32, f.load(4)))],
];
/** How an encoding's memory operand is read, if it has one. */
export const memorySource = (code: number): Source | undefined => SOURCES.find(([p]) => p.test(Code[code]!))?.[1];

// ---- the four operations

export type Operation = 'add' | 'sub' | 'mul' | 'div';
function calculate(op: Operation, env: Environment, a: Unpacked, b: Unpacked, precision: number): bigint {
  const special = nanResult(env, a, b);
  if (special !== null) return special;
  const invalid = (): bigint => {
    env.flags |= IE;
    return INDEFINITE;
  };
  if (op === 'sub') b.sign = !b.sign;
  const sign = a.sign !== b.sign;
  const infinite = a.kind === INFINITE || b.kind === INFINITE;
  if (op === 'add' || op === 'sub') {
    if (a.kind === INFINITE && b.kind === INFINITE && sign) return invalid();
    noteDenormals(env, a, b);
    if (infinite) return infinity(EXTENDED, a.kind === INFINITE ? a.sign : b.sign);
    const total = sum(a, b);
    if (total !== null) return round(EXTENDED, env, total, precision);
    return zero(EXTENDED, a.kind === ZERO && b.kind === ZERO && !sign ? a.sign : env.rounding === DOWN);
  }
  if (op === 'mul') {
    if (infinite && (a.kind === ZERO || b.kind === ZERO)) return invalid();
    noteDenormals(env, a, b);
    if (infinite) return infinity(EXTENDED, sign);
    if (a.kind === ZERO || b.kind === ZERO) return zero(EXTENDED, sign);
    return round(EXTENDED, env, product(a, b), precision);
  }
  if (a.kind === b.kind && a.kind !== FINITE) return invalid();
  if (b.kind === ZERO && a.kind === FINITE) {
    env.flags |= ZE;
    return infinity(EXTENDED, sign);
  }
  noteDenormals(env, a, b);
  if (a.kind === INFINITE || b.kind === ZERO) return infinity(EXTENDED, sign);
  if (a.kind === ZERO || b.kind === INFINITE) return zero(EXTENDED, sign);
  return round(EXTENDED, env, quotient(a, b), precision);
}

/** dst = dst op src, reversed: src op dst. Memory forms have ST(0) as destination. */
const arithmetic = (op: Operation, reversed: boolean, pops: boolean): InsnHelper => (cpu, i) => {
  const f = new Fpu(cpu, i);
  const read = memorySource(i.code);
  const memory = read?.(f);
  f.start();
  const dst = read !== undefined ? 0 : i.register(0), src = read !== undefined ? 0 : i.register(1);
  if (f.isEmpty(dst) || (memory === undefined && f.isEmpty(src))) {
    if (f.stackFault(false)) {
      f.put(dst, INDEFINITE);
      if (pops) f.pop();
    }
    return NEXT;
  }
  const env = f.environment();
  const x = f.value(dst), y = memory ?? f.value(src);
  const result = reversed ? calculate(op, env, y, x, f.precision) : calculate(op, env, x, y, f.precision);
  if (f.post(env)) {
    f.put(dst, result);
    if (pops) f.pop();
  }
  return NEXT;
};
/** Memory operands by the pattern of the encoding's name, as extended values; `usual`: zero or normal. */
function readMemory(s: Builder, code: string, v: Val): Extended & { readonly usual: Val } {
  return /fp$/.test(code) ? fromFloat(s, v) : { ...fromInteger(s, s.sext(v, 64)), usual: s.c(1, 1) };
}
/** The same without a helper, for one encoding. */
const arithmeticBody = (code: number, op: Operation, reversed: boolean, pops: boolean): Body => {
  const inMemory = memorySource(code) !== undefined;
  return x87(arithmetic(op, reversed, pops), (u, s, read, operands) => {
    const memory = inMemory ? operands[0]! : undefined;
    const dst = inMemory ? 0 : s.registerNumber(0), src = inMemory ? 0 : s.registerNumber(1);
    const y = memory === undefined ? undefined : readMemory(s, Code[code]!, read(memory));
    s.if(both(s, u.usual, u.isFull(dst), u.isFull(src)), () => {
      const x = u.get(dst), other = y ?? u.get(src);
      const [a, b] = reversed ? [other, x] : [x, other];
      const divisor = op === 'div' ? [not(s, isZero(s, a)), not(s, isZero(s, b))] : [];
      s.if(both(s, isUsual(s, x), y === undefined ? isUsual(s, other) : y.usual, ...divisor), () => {
        const r = op === 'mul' ? multiply(u, a, b) : op === 'div' ? divide(u, a, b) : add(u, a, b, op === 'sub');
        s.if(r.fits, () => u.finish(memory, [[dst, r]], { move: pops ? 1 : 0, rounded: r }));
      });
    });
  });
};
for (const [name, op, reversed, plain, popping, integer] of [
  ['FADD', 'add', false, M.Fadd, M.Faddp, M.Fiadd], ['FMUL', 'mul', false, M.Fmul, M.Fmulp, M.Fimul],
  ['FSUB', 'sub', false, M.Fsub, M.Fsubp, M.Fisub], ['FSUBR', 'sub', true, M.Fsubr, M.Fsubrp, M.Fisubr],
  ['FDIV', 'div', false, M.Fdiv, M.Fdivp, M.Fidiv], ['FDIVR', 'div', true, M.Fdivr, M.Fdivrp, M.Fidivr],
] as const) {
  for (const code of [...allForms(plain), ...allForms(integer)]) insn(name, { forms: [code], body: arithmeticBody(code, op, reversed, false) });
  for (const code of allForms(popping)) insn(`${name}P`, { forms: [code], body: arithmeticBody(code, op, reversed, true) });
}

insn('FSQRT', {
  forms: allForms(M.Fsqrt),
  body: helper((cpu, i) => {
    const f = new Fpu(cpu, i).start();
    if (f.isEmpty(0)) {
      if (f.stackFault(false)) f.put(0, INDEFINITE);
      return NEXT;
    }
    const env = f.environment();
    const x = f.value(0);
    let result = nanResult(env, x);
    if (result === null) {
      if (x.kind === ZERO) result = zero(EXTENDED, x.sign);
      else if (x.sign) {
        env.flags |= IE;
        result = INDEFINITE;
      } else {
        noteDenormals(env, x);
        result = x.kind === INFINITE ? infinity(EXTENDED, false) : round(EXTENDED, env, root(x), f.precision);
      }
    }
    if (f.post(env)) f.put(0, result);
    return NEXT;
  }),
});
for (const [name, m, change, top] of [
  ['FABS', M.Fabs, (v: bigint) => v & ~(1n << 79n), (s: Builder, t: Val) => s.and(t, s.c(32, 0x7fff))],
  ['FCHS', M.Fchs, (v: bigint) => v ^ (1n << 79n), (s: Builder, t: Val) => s.xor(t, s.c(32, 0x8000))],
] as const) {
  const slow: InsnHelper = (cpu, i) => {
    const f = new Fpu(cpu, i).start();
    if (!f.isEmpty(0)) f.put(0, change(f.get(0)));
    else if (f.stackFault(false)) f.put(0, INDEFINITE);
    return NEXT;
  };
  insn(name, {
    forms: allForms(m),
    body: x87(slow, (u, s) =>
      s.if(u.isFull(0), () => {
        const v = u.get(0);
        u.finish(undefined, [[0, { significand: v.significand, top: top(s, v.top) }]]);
      }),
    ),
  });
}

// ---- comparisons

/** Order of two values, 2 when unordered. */
function compare(env: Environment, a: Unpacked, b: Unpacked, quietly: boolean): number {
  const unsupported = a.kind === UNSUPPORTED || b.kind === UNSUPPORTED;
  if (unsupported || a.kind === NAN || b.kind === NAN) {
    if (unsupported || !quietly || a.signalling || b.signalling) env.flags |= IE;
    return 2;
  }
  noteDenormals(env, a, b);
  return orderOf(a, b);
}
const CODES = new Map([[-1, C0], [0, C3], [1, 0], [2, C0 | C2 | C3]]);
const FLAGS = new Map([[-1, CF], [0, ZF], [1, 0], [2, CF | ZF | PF]]);

const comparison = (quietly: boolean, pops: 0 | 1 | 2, toFlags: boolean, source?: Source): InsnHelper => (cpu, i) => {
  const f = new Fpu(cpu, i);
  const read = memorySource(i.code) ?? source;
  const memory = read?.(f);
  f.start(!toFlags);
  // FCOMPP and FUCOMPP name no operands in some forms: they compare with ST(1).
  const other = memory !== undefined ? -1 : i.opCount > 1 ? i.register(1) : 1;
  const tell = (order: number): void => {
    if (toFlags) cpu.s.rflags = (cpu.s.rflags & ~(AF | CF | OF | PF | SF | ZF)) | FLAGS.get(order)!;
    else f.codes(CODES.get(order)!, C0 | C2 | C3);
  };
  let go: boolean;
  let outcome = 2;
  if (f.isEmpty(0) || (other >= 0 && f.isEmpty(other))) go = f.stackFault(false);
  else {
    const env = f.environment();
    outcome = compare(env, f.value(0), memory ?? f.value(other), quietly);
    go = f.post(env);
  }
  tell(outcome);
  if (go) for (let n = 0; n < pops; n++) f.pop();
  return NEXT;
};
/** The same without a helper, for one encoding. */
const comparisonBody = (code: number, quietly: boolean, pops: 0 | 1 | 2, toFlags: boolean): Body => {
  const inMemory = memorySource(code) !== undefined, registers = opCodeInfo(code).opCount > 1;
  return x87(comparison(quietly, pops, toFlags), (u, s, read, operands) => {
    const memory = inMemory ? operands[0]! : undefined;
    const y = memory === undefined ? undefined : readMemory(s, Code[code]!, read(memory));
    const other = registers ? s.registerNumber(1) : 1;
    s.if(y === undefined ? s.and(u.isFull(0), u.isFull(other)) : s.and(u.isFull(0), y.usual), () => {
      const a = u.get(0), b = y ?? u.get(other);
      s.if(y === undefined ? s.and(isUsual(s, a), isUsual(s, b)) : isUsual(s, a), () => {
        const { less, equal } = order(s, a, b), none = s.c(1, 0);
        if (toFlags) s.setFlags({ CF: less, ZF: equal, PF: none, AF: none, SF: none, OF: none });
        const codes = toFlags ? undefined : s.or(s.shl(s.zext(less, 32), 8), s.shl(s.zext(equal, 32), 14));
        u.finish(memory, [], { move: pops, codes, keepC1: toFlags });
      });
    });
  });
};
for (const [name, mnemonics, quietly, pops, toFlags] of [
  ['FCOM', [M.Fcom, M.Ficom], false, 0, false], ['FCOMP', [M.Fcomp, M.Ficomp], false, 1, false], ['FCOMPP', [M.Fcompp], false, 2, false],
  ['FUCOM', [M.Fucom], true, 0, false], ['FUCOMP', [M.Fucomp], true, 1, false], ['FUCOMPP', [M.Fucompp], true, 2, false],
  ['FCOMI', [M.Fcomi], false, 0, true], ['FCOMIP', [M.Fcomip], false, 1, true], ['FUCOMI', [M.Fucomi], true, 0, true], ['FUCOMIP', [M.Fucomip], true, 1, true],
] as const)
  for (const code of mnemonics.flatMap(allForms)) insn(name, { forms: [code], body: comparisonBody(code, quietly, pops, toFlags) });
insn('FTST', { forms: allForms(M.Ftst), body: helper(comparison(false, 0, false, () => fromSigned(0n))) });

insn('FXAM', {
  forms: allForms(M.Fxam),
  body: helper((cpu, i) => {
    const f = new Fpu(cpu, i).start();
    const u = f.value(0);
    const kind = f.isEmpty(0) ? C3 | C0 : { [ZERO]: C3, [FINITE]: u.denormal ? C3 | C2 : C2, [INFINITE]: C2 | C0, [NAN]: C0, [UNSUPPORTED]: 0 }[u.kind];
    f.codes(kind | (f.get(0) >> 79n ? C1 : 0), C0 | C1 | C2 | C3);
    return NEXT;
  }),
});
