/**
 * x87 transcendental instructions: FSIN FCOS FSINCOS FPTAN FPATAN F2XM1 FYL2X FYL2XP1.
 *
 * SDM 1 §8.3.7 "Trigonometric Instructions", §8.3.9 "Logarithmic, Exponential, and Scale", §8.3.10 "Transcendental Instruction
 * Accuracy": processors promise results within one unit in the last place. Here they are correctly rounded, with the argument
 * reduced by pi itself (processors use their own approximation of it), so a processor's result may differ in its last bit.
 * Where the manual leaves the result undefined (F2XM1 beyond 1) the operand stays.
 */

import { Mnemonic } from 'iced-x86';
import { order, sum } from '../fp/arithmetic.js';
import { angle, exponentialMinusOne, logarithm, logarithmPlusOne, quarters, sineCosine, tangent, times } from '../fp/elementary.js';
import { EXTENDED, FINITE, INFINITE, ZERO, bitLength, infinity, zero, type Unpacked } from '../fp/format.js';
import { IE, PE, ZE, round, type Environment, type Exact } from '../fp/round.js';
import { NEXT, allForms, helper, insn, type InsnHelper } from '../insn.js';
import { fromSigned } from './x87-arithmetic.js';
import { C2, Fpu, INDEFINITE, nanResult, noteDenormals } from './x87-unit.js';

const M = Mnemonic;
const ONE = 0x3fff_8000_0000_0000_0000n;
const one = (): Unpacked => fromSigned(1n);

function invalid(env: Environment): bigint {
  env.flags |= IE;
  return INDEFINITE;
}
const signed = (x: Exact, negative: boolean): Exact => ({ ...x, sign: x.sign !== negative });
/** Exponent of the first bit. */
const topOf = (u: Unpacked): number => u.e + bitLength(u.m) - 1;

// ---- trigonometric: |x| below 2^63, else C2 and nothing else

/** Results for ST(0) and, if there is one, the value pushed after it; null when the operand is out of range. */
type Trigonometric = (env: Environment, u: Unpacked) => readonly bigint[] | null;
const trigonometric = (results: 1 | 2, compute: Trigonometric): InsnHelper => (cpu, i) => {
  const f = new Fpu(cpu, i).start();
  f.codes(0, C2);
  const under = f.isEmpty(0);
  if (under || (results === 2 && !f.isEmpty(7))) {
    if (f.stackFault(!under)) {
      f.put(0, INDEFINITE);
      if (results === 2) f.push(INDEFINITE);
    }
    return NEXT;
  }
  const env = f.environment();
  const u = f.value(0);
  const special = nanResult(env, u) ?? (u.kind === INFINITE ? invalid(env) : null);
  if (special === null) noteDenormals(env, u);
  if (special === null && u.kind === FINITE && topOf(u) >= 63) {
    f.codes(C2, C2);
    return NEXT;
  }
  const [first, second] = special !== null ? [special, special] : compute(env, u)!;
  if (f.post(env)) {
    f.put(0, first!);
    if (results === 2) f.push(second!);
  }
  return NEXT;
};
const sine = (env: Environment, u: Unpacked): bigint => (u.kind === ZERO ? zero(EXTENDED, u.sign) : round(EXTENDED, env, signed(sineCosine(u).sine, u.sign)));
const cosine = (env: Environment, u: Unpacked): bigint => (u.kind === ZERO ? ONE : round(EXTENDED, env, sineCosine(u).cosine));
insn('FSIN', { forms: allForms(M.Fsin), body: helper(trigonometric(1, (env, u) => [sine(env, u)])) });
insn('FCOS', { forms: allForms(M.Fcos), body: helper(trigonometric(1, (env, u) => [cosine(env, u)])) });
insn('FSINCOS', { forms: allForms(M.Fsincos), body: helper(trigonometric(2, (env, u) => [sine(env, u), cosine(env, u)])) });
insn('FPTAN', {
  forms: allForms(M.Fptan),
  body: helper(trigonometric(2, (env, u) => [u.kind === ZERO ? zero(EXTENDED, u.sign) : round(EXTENDED, env, signed(tangent(u), u.sign)), ONE])),
});

// ---- two operands: the result replaces ST(1), and ST(0) is popped

const popping = (compute: (env: Environment, y: Unpacked, x: Unpacked) => bigint): InsnHelper => (cpu, i) => {
  const f = new Fpu(cpu, i).start();
  if (f.isEmpty(0) || f.isEmpty(1)) {
    if (f.stackFault(false)) {
      f.put(1, INDEFINITE);
      f.pop();
    }
    return NEXT;
  }
  const env = f.environment();
  const y = f.value(1), x = f.value(0);
  const result = nanResult(env, y, x) ?? compute(env, y, x);
  if (f.post(env)) {
    f.put(1, result);
    f.pop();
  }
  return NEXT;
};

insn('FPATAN', {
  forms: allForms(M.Fpatan),
  body: helper(
    popping((env, y, x) => {
      noteDenormals(env, y, x);
      const turn = (n: bigint): bigint => round(EXTENDED, env, signed(quarters(n), y.sign));
      if (y.kind === INFINITE) return turn(x.kind !== INFINITE ? 2n : x.sign ? 3n : 1n);
      if (y.kind === ZERO || x.kind === INFINITE) return x.sign ? turn(4n) : zero(EXTENDED, y.sign);
      if (x.kind === ZERO) return turn(2n);
      return round(EXTENDED, env, signed(angle(y, x, x.sign), y.sign));
    }),
  ),
});

insn('FYL2X', {
  forms: allForms(M.Fyl2x),
  body: helper(
    popping((env, y, x) => {
      if (x.kind !== ZERO && x.sign) return invalid(env);
      if (x.kind === ZERO) {
        if (y.kind === ZERO) return invalid(env);
        if (y.kind === FINITE) env.flags |= ZE;
        return infinity(EXTENDED, !y.sign);
      }
      if (x.kind === INFINITE) {
        if (y.kind === ZERO) return invalid(env);
        noteDenormals(env, y);
        return infinity(EXTENDED, y.sign);
      }
      const side = order(x, one());
      if (y.kind === INFINITE && side === 0) return invalid(env);
      noteDenormals(env, y, x);
      const negative = y.sign !== side < 0;
      if (y.kind === INFINITE) return infinity(EXTENDED, negative);
      if (y.kind === ZERO || side === 0) return zero(EXTENDED, negative);
      // Reported as inexact even for powers of two, as the recorded processor does.
      env.flags |= PE;
      return round(EXTENDED, env, times(logarithm(x), y));
    }),
  ),
});

insn('FYL2XP1', {
  forms: allForms(M.Fyl2xp1),
  body: helper(
    popping((env, y, x) => {
      const negative = y.sign !== x.sign;
      if (x.kind === ZERO && y.kind === INFINITE) return invalid(env);
      if (x.kind === INFINITE) {
        if (x.sign || y.kind === ZERO) return invalid(env);
        noteDenormals(env, y);
        return infinity(EXTENDED, y.sign);
      }
      // log2 of zero or less. The manual's range for ST(0) is narrower still.
      if (x.sign && x.kind === FINITE && topOf(x) >= 0) return invalid(env);
      noteDenormals(env, y, x);
      if (y.kind === INFINITE) return infinity(EXTENDED, negative);
      if (x.kind === ZERO || y.kind === ZERO) return zero(EXTENDED, negative);
      // The series is for small x only.
      const log = topOf(x) < -2 ? logarithmPlusOne(x, x.sign) : logarithm(sum(one(), x)!);
      return round(EXTENDED, env, times(log, y));
    }),
  ),
});

insn('F2XM1', {
  forms: allForms(M.F2xm1),
  body: helper((cpu, i) => {
    const f = new Fpu(cpu, i).start();
    if (f.isEmpty(0)) {
      if (f.stackFault(false)) f.put(0, INDEFINITE);
      return NEXT;
    }
    const env = f.environment();
    const u = f.value(0);
    let result = nanResult(env, u);
    if (result === null) {
      noteDenormals(env, u);
      if (u.kind === INFINITE) result = u.sign ? ONE | (1n << 79n) : f.get(0);
      else if (u.kind === ZERO) result = f.get(0);
      else {
        const bounds = order({ ...u, sign: false }, one());
        // At the ends the value is exact, and reported as inexact like every other.
        env.flags |= PE;
        if (bounds === 0) result = u.sign ? 0xbffe_8000_0000_0000_0000n : ONE;
        else result = bounds > 0 ? f.get(0) : round(EXTENDED, env, exponentialMinusOne(u, u.sign));
      }
    }
    if (f.post(env)) f.put(0, result);
    return NEXT;
  }),
});
