/**
 * x87 transfers: FLD FST FILD FIST FISTTP FBLD FBSTP, constants, FXCH FCMOV FFREE FINCSTP FDECSTP, FRNDINT FSCALE FXTRACT FPREM.
 *
 * SDM 2 and APM 5, under those names.
 */

import { Code, Mnemonic } from 'iced-x86';
import { toInteger } from '../fp/arithmetic.js';
import { DOUBLE, EXTENDED, FINITE, INFINITE, NAN, SINGLE, UNSUPPORTED, ZERO, bitLength, convertNan, infinity, zero, type Format } from '../fp/format.js';
import { CHOP, IE, NEAREST, PE, ZE, exact, round, wasUp, type Environment } from '../fp/round.js';
import type { Body } from '../builder.js';
import { NEXT, allForms, helper, insn, type InsnHelper } from '../insn.js';
import { CF, PF, ZF } from '../state.js';
import { C0, C1, C2, C3, Fpu, INDEFINITE, nanResult, noteDenormals } from './x87-unit.js';
import { fromFormat, fromSigned } from './x87-arithmetic.js';
import { MSB, both, fromFloat, fromInteger, isUsual, not, toFloat, toInteger as toIntegerInline, x87 } from './x87-inline.js';

const M = Mnemonic;

// ---- loads

/** Pushes a value; a full stack is a stack fault. */
function push(f: Fpu, env: Environment, bits: bigint): void {
  if (!f.isEmpty(7)) {
    if (f.stackFault(true)) f.push(INDEFINITE);
  } else if (f.post(env)) f.push(bits);
}
const loadFloat = (format: Format, size: 4 | 8): InsnHelper => (cpu, i) => {
  const f = new Fpu(cpu, i);
  const bits = f.load(size);
  f.start();
  const env = f.environment();
  const u = fromFormat(format, bits);
  const special = nanResult(env, u);
  noteDenormals(env, u);
  push(f, env, special ?? (u.kind === ZERO ? zero(EXTENDED, u.sign) : u.kind === INFINITE ? infinity(EXTENDED, u.sign) : round(EXTENDED, { ...env }, exact(u))));
  return NEXT;
};
const loadFloatBody = (slow: InsnHelper): Body =>
  x87(slow, (u, s, read, [memory]) => {
    const v = fromFloat(s, read(memory!));
    s.if(s.and(v.usual, not(s, u.isFull(7))), () => u.finish(memory, [[7, v]], { move: -1 }));
  });
insn('FLD m32fp', { forms: [Code.Fld_m32fp], body: loadFloatBody(loadFloat(SINGLE, 4)) });
insn('FLD m64fp', { forms: [Code.Fld_m64fp], body: loadFloatBody(loadFloat(DOUBLE, 8)) });
insn('FLD m80fp', {
  forms: [Code.Fld_m80fp],
  body: helper((cpu, i) => {
    const f = new Fpu(cpu, i);
    const bits = f.load80();
    f.start();
    push(f, f.environment(), bits);
    return NEXT;
  }),
});
insn('FLD ST(i)', {
  forms: [Code.Fld_sti],
  body: x87(
    (cpu, i) => {
      const f = new Fpu(cpu, i).start();
      const from = i.register(0);
      if (f.isEmpty(from)) {
        if (f.stackFault(false)) f.push(INDEFINITE);
      } else push(f, f.environment(), f.get(from));
      return NEXT;
    },
    (u, s) => {
      const from = s.registerNumber(0);
      s.if(s.and(u.isFull(from), not(s, u.isFull(7))), () => u.finish(undefined, [[7, u.get(from)]], { move: -1 }));
    },
  ),
});
const integerBits = (v: bigint): bigint => {
  const u = fromSigned(v);
  return u.kind === ZERO ? 0n : round(EXTENDED, { rounding: NEAREST, masks: 63, daz: false, ftz: false, flags: 0, up: false }, exact(u));
};
insn('FILD', {
  forms: allForms(M.Fild),
  body: x87(
    (cpu, i) => {
      const f = new Fpu(cpu, i);
      const size = i.code === Code.Fild_m16int ? 2 : i.code === Code.Fild_m32int ? 4 : 8;
      const v = BigInt.asIntN(8 * size, f.load(size));
      f.start();
      push(f, f.environment(), integerBits(v));
      return NEXT;
    },
    (u, s, read, [memory]) => {
      const v = fromInteger(s, s.sext(read(memory!), 64));
      s.if(not(s, u.isFull(7)), () => u.finish(memory, [[7, v]], { move: -1 }));
    },
  ),
});
insn('FBLD', {
  forms: allForms(M.Fbld),
  body: helper((cpu, i) => {
    const f = new Fpu(cpu, i);
    const bcd = f.load80();
    f.start();
    let v = 0n;
    for (let digit = 17n; digit >= 0n; digit--) v = v * 10n + ((bcd >> (4n * digit)) & 15n);
    push(f, f.environment(), integerBits(v) | ((bcd >> 79n) << 79n));
    return NEXT;
  }),
});

const pushConstant = (slow: InsnHelper, significand: bigint, top: number): Body =>
  x87(slow, (u, s) => s.if(not(s, u.isFull(7)), () => u.finish(undefined, [[7, { significand: s.c(64, significand), top: s.c(32, top) }]], { move: -1 })));
/** Constants as 128-bit significands of numbers in [2^e, 2^(e+1)): rounded as the control word says, no flags. */
const CONSTANTS: readonly (readonly [name: string, m: Mnemonic, e: number, significand: bigint])[] = [
  ['FLD1', M.Fld1, 0, 1n << 127n],
  ['FLDPI', M.Fldpi, 1, 0xc90fdaa22168c234c4c6628b80dc1cd1n],
  ['FLDL2T', M.Fldl2t, 1, 0xd49a784bcd1b8afe492bf6ff4dafdb4cn],
  ['FLDL2E', M.Fldl2e, 0, 0xb8aa3b295c17f0bbbe87fed0691d3e88n],
  ['FLDLG2', M.Fldlg2, -2, 0x9a209a84fbcff7988f8959ac0b7c9178n],
  ['FLDLN2', M.Fldln2, -1, 0xb17217f7d1cf79abc9e3b39803f2f6afn],
];
for (const [name, m, e, significand] of CONSTANTS) {
  const slow: InsnHelper = (cpu, i) => {
    const f = new Fpu(cpu, i).start();
    push(f, f.environment(), round(EXTENDED, f.environment(), { sign: false, m: significand, e: e - 127, sticky: false }));
    return NEXT;
  };
  insn(name, { forms: allForms(m), body: name === 'FLD1' ? pushConstant(slow, MSB, 0x3fff) : helper(slow) });
}
const loadZero: InsnHelper = (cpu, i) => {
  const f = new Fpu(cpu, i).start();
  push(f, f.environment(), 0n);
  return NEXT;
};
insn('FLDZ', { forms: allForms(M.Fldz), body: pushConstant(loadZero, 0n, 0) });

// ---- stores

const storeFloat = (format: Format, size: 4 | 8, pops: boolean): InsnHelper => (cpu, i) => {
  const f = new Fpu(cpu, i);
  const env = f.environment();
  let bits: bigint;
  const empty = f.isEmpty(0);
  const u = f.value(0);
  if (empty) bits = unpackedIndefinite(format);
  else if (u.kind === UNSUPPORTED) {
    env.flags |= IE;
    bits = unpackedIndefinite(format);
  } else if (u.kind === NAN) {
    if (u.signalling) env.flags |= IE;
    bits = convertNan(EXTENDED, format, u);
  } else if (u.kind === ZERO) bits = zero(format, u.sign);
  else if (u.kind === INFINITE) bits = infinity(format, u.sign);
  else bits = round(format, env, exact(u));
  const stores = empty ? (env.masks & IE) !== 0 : (env.flags & ~env.masks & 0x1f) === 0;
  // The store may fault, and then nothing has happened yet.
  if (stores) f.store(size, bits);
  f.start();
  const go = empty ? f.stackFault(false) : f.post(env, true);
  if (go && pops) f.pop();
  return NEXT;
};
const unpackedIndefinite = (format: Format): bigint => (format === SINGLE ? 0xffc0_0000n : 0xfff8_0000_0000_0000n);
const storeFloatBody = (slow: InsnHelper, width: 32 | 64, pops: boolean): Body =>
  x87(slow, (u, s, _read, [memory]) => {
    const v = u.get(0), r = toFloat(s, v, width);
    s.if(both(s, u.usual, u.isFull(0), isUsual(s, v), r.fits), () => {
      memory!.write(r.bits);
      u.finish(memory, [], { move: pops ? 1 : 0, rounded: { inexact: r.inexact, up: r.up } });
    });
  });
for (const [name, code, format, size, pops] of [
  ['FST m32fp', Code.Fst_m32fp, SINGLE, 4, false], ['FSTP m32fp', Code.Fstp_m32fp, SINGLE, 4, true],
  ['FST m64fp', Code.Fst_m64fp, DOUBLE, 8, false], ['FSTP m64fp', Code.Fstp_m64fp, DOUBLE, 8, true],
] as const)
  insn(name, { forms: [code], body: storeFloatBody(storeFloat(format, size, pops), size === 4 ? 32 : 64, pops) });
insn('FSTP m80fp', {
  forms: [Code.Fstp_m80fp],
  body: helper((cpu, i) => {
    const f = new Fpu(cpu, i);
    const empty = f.isEmpty(0);
    if (!empty || f.control & IE) f.store80(empty ? INDEFINITE : f.get(0));
    f.start();
    if (!empty || f.stackFault(false)) f.pop();
    return NEXT;
  }),
});
const storeRegister = (pops: boolean): InsnHelper => (cpu, i) => {
  const f = new Fpu(cpu, i).start();
  const empty = f.isEmpty(0);
  if (!empty || f.stackFault(false)) {
    f.put(i.register(0), empty ? INDEFINITE : f.get(0));
    if (pops) f.pop();
  }
  return NEXT;
};
const storeRegisterBody = (pops: boolean): Body =>
  x87(storeRegister(pops), (u, s) => s.if(u.isFull(0), () => u.finish(undefined, [[s.registerNumber(0), u.get(0)]], { move: pops ? 1 : 0 })));
insn('FST ST(i)', { forms: [Code.Fst_sti], body: storeRegisterBody(false) });
insn('FSTP ST(i)', { forms: [Code.Fstp_sti, Code.Fstp_sti_DFD0, Code.Fstp_sti_DFD8], body: storeRegisterBody(true) });
// D9 D8+i pops too, but an empty ST(0) is no stack fault.
insn('FSTPNCE', {
  forms: allForms(M.Fstpnce),
  body: helper((cpu, i) => {
    const f = new Fpu(cpu, i).start();
    if (!f.isEmpty(0)) f.put(i.register(0), f.get(0));
    f.pop();
    return NEXT;
  }),
});

const SIZE = { 16: 2, 32: 4, 64: 8 } as const;
const storeInteger = (width: 16 | 32 | 64, pops: boolean, chop: boolean): InsnHelper => (cpu, i) => {
  const f = new Fpu(cpu, i);
  const env = f.environment();
  const limit = 1n << BigInt(width - 1);
  const empty = f.isEmpty(0);
  const u = f.value(0);
  let bits = limit;
  let fits = false;
  if (!empty && (u.kind === ZERO || u.kind === FINITE) && (u.kind === ZERO || u.e + bitLength(u.m) <= 65)) {
    const { value, inexact } = toInteger(u, chop ? CHOP : env.rounding);
    fits = value >= -limit && value < limit;
    if (fits) {
      bits = BigInt.asUintN(width, value);
      if (inexact) {
        env.flags |= PE;
        env.up = wasUp();
      }
    }
  }
  if (!fits) env.flags |= IE;
  if ((env.flags & ~env.masks & IE) === 0) f.store(SIZE[width], bits);
  f.start();
  const go = empty ? f.stackFault(false) : f.post(env);
  if (go && pops) f.pop();
  return NEXT;
};
const storeIntegerBody = (width: 16 | 32 | 64, pops: boolean, chop: boolean): Body =>
  x87(storeInteger(width, pops, chop), (u, s, _read, [memory]) => {
    const v = u.get(0), chops = chop ? s.c(1, 1) : u.chops;
    const r = toIntegerInline(s, v, width, chops);
    s.if(both(s, s.or(u.usual, s.and(u.masked, chops)), u.isFull(0), isUsual(s, v), r.fits), () => {
      memory!.write(r.bits);
      u.finish(memory, [], { move: pops ? 1 : 0, rounded: { inexact: r.inexact, up: r.up } });
    });
  });
for (const width of [16, 32] as const) insn(`FIST m${width}int`, { forms: [width === 16 ? Code.Fist_m16int : Code.Fist_m32int], body: storeIntegerBody(width, false, false) });
for (const [width, fistp, fisttp] of [[16, Code.Fistp_m16int, Code.Fisttp_m16int], [32, Code.Fistp_m32int, Code.Fisttp_m32int], [64, Code.Fistp_m64int, Code.Fisttp_m64int]] as const) {
  insn(`FISTP m${width}int`, { forms: [fistp], body: storeIntegerBody(width, true, false) });
  insn(`FISTTP m${width}int`, { forms: [fisttp], body: storeIntegerBody(width, true, true) });
}
insn('FBSTP', {
  forms: allForms(M.Fbstp),
  body: helper((cpu, i) => {
    const f = new Fpu(cpu, i);
    const env = f.environment();
    const empty = f.isEmpty(0);
    const u = f.value(0);
    let bits = 0xffff_c000_0000_0000_0000n; // the packed decimal indefinite
    let fits = false;
    if (!empty && (u.kind === ZERO || (u.kind === FINITE && u.e + bitLength(u.m) <= 65))) {
      const { value, inexact } = toInteger(u, env.rounding);
      const magnitude = value < 0n ? -value : value;
      fits = magnitude < 10n ** 18n;
      if (fits) {
        bits = BigInt('0x' + magnitude.toString()) | (u.sign ? 1n << 79n : 0n);
        if (inexact) {
          env.flags |= PE;
          env.up = wasUp();
        }
      }
    }
    if (!fits) env.flags |= IE;
    if ((env.flags & ~env.masks & IE) === 0) f.store80(bits);
    f.start();
    const go = empty ? f.stackFault(false) : f.post(env);
    if (go) f.pop();
    return NEXT;
  }),
});

// ---- between registers

insn('FXCH', {
  forms: allForms(M.Fxch),
  body: x87(
    (cpu, i) => {
      const f = new Fpu(cpu, i).start();
      const other = i.register(1);
      const emptyA = f.isEmpty(0), emptyB = f.isEmpty(other);
      if ((emptyA || emptyB) && !f.stackFault(false)) return NEXT;
      const a = emptyA ? INDEFINITE : f.get(0), b = emptyB ? INDEFINITE : f.get(other);
      f.put(0, b);
      f.put(other, a);
      return NEXT;
    },
    (u, s) => {
      const other = s.registerNumber(1);
      s.if(s.and(u.isFull(0), u.isFull(other)), () => {
        const a = u.get(0), b = u.get(other);
        u.finish(undefined, [[0, b], [other, a]]);
      });
    },
  ),
});
for (const [name, m, mask, wanted] of [
  ['B', M.Fcmovb, CF, true], ['E', M.Fcmove, ZF, true], ['BE', M.Fcmovbe, CF | ZF, true], ['U', M.Fcmovu, PF, true],
  ['NB', M.Fcmovnb, CF, false], ['NE', M.Fcmovne, ZF, false], ['NBE', M.Fcmovnbe, CF | ZF, false], ['NU', M.Fcmovnu, PF, false],
] as const)
  insn(`FCMOV${name}`, {
    forms: allForms(m),
    body: helper((cpu, i) => {
      const f = new Fpu(cpu, i).start(false);
      const from = i.register(1);
      if (f.isEmpty(0) || f.isEmpty(from)) {
        if (f.stackFault(false)) f.put(0, INDEFINITE);
      } else if (((cpu.s.rflags & mask) !== 0) === wanted) f.put(0, f.get(from));
      return NEXT;
    }),
  });
const stackOnly = (change: (f: Fpu, register: number) => void): InsnHelper => (cpu, i) => {
  const f = new Fpu(cpu, i).start();
  change(f, i.opCount > 0 ? i.register(0) : 0);
  return NEXT;
};
insn('FFREE', { forms: allForms(M.Ffree), body: helper(stackOnly((f, r) => f.setEmpty(r))) });
insn('FFREEP', {
  forms: allForms(M.Ffreep),
  body: helper(
    stackOnly((f, r) => {
      f.setEmpty(r);
      f.pop();
    }),
  ),
});
insn('FINCSTP', { forms: allForms(M.Fincstp), body: helper(stackOnly((f) => (f.top = f.top + 1))) });
insn('FDECSTP', { forms: allForms(M.Fdecstp), body: helper(stackOnly((f) => (f.top = f.top - 1))) });
insn('FNOP', { forms: allForms(M.Fnop), body: helper((cpu, i) => (new Fpu(cpu, i), NEXT)) });

// ---- one operand in, one out

/** Replaces ST(0) by a function of it. */
const unary = (compute: (env: Environment, f: Fpu) => bigint): InsnHelper => (cpu, i) => {
  const f = new Fpu(cpu, i).start();
  if (f.isEmpty(0)) {
    if (f.stackFault(false)) f.put(0, INDEFINITE);
    return NEXT;
  }
  const env = f.environment();
  const result = compute(env, f);
  if (f.post(env)) f.put(0, result);
  return NEXT;
};
insn('FRNDINT', {
  forms: allForms(M.Frndint),
  body: helper(
    unary((env, f) => {
      const u = f.value(0);
      const special = nanResult(env, u);
      if (special !== null) return special;
      noteDenormals(env, u);
      if (u.kind !== FINITE || u.e >= 0) return f.get(0);
      const { value, inexact } = toInteger(u, env.rounding);
      if (inexact) {
        env.flags |= PE;
        env.up = wasUp();
      }
      return value === 0n ? zero(EXTENDED, u.sign) : integerBits(value);
    }),
  ),
});

/** FSCALE, FPREM: ST(0) from ST(0) and ST(1). */
const binary = (compute: (env: Environment, f: Fpu, setCodes: (codes: number) => void) => bigint, cleared = 0): InsnHelper => (cpu, i) => {
  const f = new Fpu(cpu, i).start();
  f.codes(0, cleared);
  if (f.isEmpty(0) || f.isEmpty(1)) {
    if (f.stackFault(false)) f.put(0, INDEFINITE);
    return NEXT;
  }
  const env = f.environment();
  let codes = -1;
  const result = compute(env, f, (c) => (codes = c));
  if (f.post(env)) {
    f.put(0, result);
    if (codes >= 0) f.codes(codes, C0 | C1 | C2 | C3);
  }
  return NEXT;
};
insn('FSCALE', {
  forms: allForms(M.Fscale),
  body: helper(
    binary((env, f) => {
      const a = f.value(0), b = f.value(1);
      const special = nanResult(env, a, b);
      if (special !== null) return special;
      if (b.kind === INFINITE && ((b.sign && a.kind === INFINITE) || (!b.sign && a.kind === ZERO))) {
        env.flags |= IE;
        return INDEFINITE;
      }
      noteDenormals(env, a, b);
      if (a.kind !== FINITE) return f.get(0);
      if (b.kind === INFINITE) return b.sign ? zero(EXTENDED, a.sign) : infinity(EXTENDED, a.sign);
      // Beyond any exponent all scales are alike.
      const far = b.kind === FINITE && b.e + bitLength(b.m) > 17;
      const by = b.kind === ZERO ? 0 : far ? (b.sign ? -0x2_0000 : 0x2_0000) : Number(toInteger(b, CHOP).value);
      return round(EXTENDED, env, { sign: a.sign, m: a.m, e: a.e + by, sticky: false });
    }),
  ),
});

/** FPREM truncates the quotient, FPREM1 rounds it to nearest. C2 says that the reduction is not complete. */
const remainder = (nearest: boolean): InsnHelper =>
  binary((env, f, setCodes) => {
    const a = f.value(0), b = f.value(1);
    const special = nanResult(env, a, b);
    if (special !== null) return special;
    if (a.kind === INFINITE || b.kind === ZERO) {
      env.flags |= IE;
      return INDEFINITE;
    }
    noteDenormals(env, a, b);
    setCodes(0);
    if (a.kind === ZERO) return f.get(0);
    if (b.kind === INFINITE) return a.denormal ? round(EXTENDED, env, exact(a)) : f.get(0);
    const distance = a.e + bitLength(a.m) - (b.e + bitLength(b.m));
    const e = Math.min(a.e, b.e);
    const x = a.m << BigInt(a.e - e);
    let y = b.m << BigInt(b.e - e);
    let rest: bigint;
    let sign = a.sign;
    if (distance < 64) {
      let q = x / y;
      rest = x - q * y;
      if (nearest && (2n * rest > y || (2n * rest === y && q & 1n))) {
        q++;
        rest = y - rest;
        sign = !sign;
      }
      setCodes((q & 4n ? C0 : 0) | (q & 2n ? C3 : 0) | (q & 1n ? C1 : 0));
    } else {
      // As much of the quotient as the manual allows in one go: between 32 and 63 bits.
      y <<= BigInt(distance - ((distance & 31) | 32));
      rest = x % y;
      setCodes(C2);
    }
    return rest === 0n ? zero(EXTENDED, a.sign) : round(EXTENDED, env, { sign, m: rest, e, sticky: false });
  }, C2);
insn('FPREM', { forms: allForms(M.Fprem), body: helper(remainder(false)) });
insn('FPREM1', { forms: allForms(M.Fprem1), body: helper(remainder(true)) });

insn('FXTRACT', {
  forms: allForms(M.Fxtract),
  body: helper((cpu, i) => {
    const f = new Fpu(cpu, i).start();
    const under = f.isEmpty(0);
    if (under || !f.isEmpty(7)) {
      if (f.stackFault(!under)) {
        f.put(0, INDEFINITE);
        f.push(INDEFINITE);
      }
      return NEXT;
    }
    const env = f.environment();
    const u = f.value(0);
    let exponent = nanResult(env, u), significand = exponent;
    if (exponent === null || significand === null) {
      if (u.kind === ZERO) {
        env.flags |= ZE;
        exponent = infinity(EXTENDED, true);
        significand = f.get(0);
      } else if (u.kind === INFINITE) {
        exponent = infinity(EXTENDED, false);
        significand = f.get(0);
      } else {
        noteDenormals(env, u);
        const length = bitLength(u.m);
        exponent = integerBits(BigInt(u.e + length - 1));
        significand = round(EXTENDED, f.environment(), { sign: u.sign, m: u.m, e: 1 - length, sticky: false });
      }
    }
    if (f.post(env)) {
      f.put(0, exponent);
      f.push(significand);
    }
    return NEXT;
  }),
});
