/**
 * x87 arithmetic and comparisons: FADD FSUB FMUL FDIV and their reversed, popping and integer forms, FSQRT, FCOM, FUCOM, FCOMI,
 * FTST, FXAM, FABS, FCHS.
 *
 * SDM 2 and APM 5, under those names; SDM 1 §8.3.5 "Basic Arithmetic Instructions". Results are rounded to the precision that the
 * control word names, in the exponent range of the registers.
 */

import { Code, Mnemonic } from 'iced-x86';
import { order, product, quotient, root, sum } from '../fp/arithmetic.js';
import { DOUBLE, EXTENDED, FINITE, INFINITE, NAN, SINGLE, UNSUPPORTED, ZERO, convertNan, infinity, unpack, zero, type Format, type Unpacked } from '../fp/format.js';
import { DOWN, IE, ZE, round, type Environment } from '../fp/round.js';
import { NEXT, allForms, helper, insn, type InsnHelper } from '../insn.js';
import { AF, CF, OF, PF, SF, ZF } from '../state.js';
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
for (const [name, op, reversed, plain, popping, integer] of [
  ['FADD', 'add', false, M.Fadd, M.Faddp, M.Fiadd], ['FMUL', 'mul', false, M.Fmul, M.Fmulp, M.Fimul],
  ['FSUB', 'sub', false, M.Fsub, M.Fsubp, M.Fisub], ['FSUBR', 'sub', true, M.Fsubr, M.Fsubrp, M.Fisubr],
  ['FDIV', 'div', false, M.Fdiv, M.Fdivp, M.Fidiv], ['FDIVR', 'div', true, M.Fdivr, M.Fdivrp, M.Fidivr],
] as const) {
  insn(name, { forms: [...allForms(plain), ...allForms(integer)], body: helper(arithmetic(op, reversed, false)) });
  insn(`${name}P`, { forms: allForms(popping), body: helper(arithmetic(op, reversed, true)) });
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
for (const [name, m, change] of [
  ['FABS', M.Fabs, (v: bigint) => v & ~(1n << 79n)],
  ['FCHS', M.Fchs, (v: bigint) => v ^ (1n << 79n)],
] as const)
  insn(name, {
    forms: allForms(m),
    body: helper((cpu, i) => {
      const f = new Fpu(cpu, i).start();
      if (!f.isEmpty(0)) f.put(0, change(f.get(0)));
      else if (f.stackFault(false)) f.put(0, INDEFINITE);
      return NEXT;
    }),
  });

// ---- comparisons

/** Order of two values, 2 when unordered. */
function compare(env: Environment, a: Unpacked, b: Unpacked, quietly: boolean): number {
  const unsupported = a.kind === UNSUPPORTED || b.kind === UNSUPPORTED;
  if (unsupported || a.kind === NAN || b.kind === NAN) {
    if (unsupported || !quietly || a.signalling || b.signalling) env.flags |= IE;
    return 2;
  }
  noteDenormals(env, a, b);
  return order(a, b);
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
insn('FCOM', { forms: [...allForms(M.Fcom), ...allForms(M.Ficom)], body: helper(comparison(false, 0, false)) });
insn('FCOMP', { forms: [...allForms(M.Fcomp), ...allForms(M.Ficomp)], body: helper(comparison(false, 1, false)) });
insn('FCOMPP', { forms: allForms(M.Fcompp), body: helper(comparison(false, 2, false)) });
insn('FUCOM', { forms: allForms(M.Fucom), body: helper(comparison(true, 0, false)) });
insn('FUCOMP', { forms: allForms(M.Fucomp), body: helper(comparison(true, 1, false)) });
insn('FUCOMPP', { forms: allForms(M.Fucompp), body: helper(comparison(true, 2, false)) });
insn('FCOMI', { forms: allForms(M.Fcomi), body: helper(comparison(false, 0, true)) });
insn('FCOMIP', { forms: allForms(M.Fcomip), body: helper(comparison(false, 1, true)) });
insn('FUCOMI', { forms: allForms(M.Fucomi), body: helper(comparison(true, 0, true)) });
insn('FUCOMIP', { forms: allForms(M.Fucomip), body: helper(comparison(true, 1, true)) });
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
