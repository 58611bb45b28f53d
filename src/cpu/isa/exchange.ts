/**
 * XCHG XADD CMPXCHG CMPXCHG8B CMPXCHG16B. SDM 2 and APM 3, under those names.
 *
 * Every memory form is atomic: vCPUs take turns between instructions, so LOCK needs nothing more.
 * Deviations: CMPXCHG16B checks the alignment of the offset, not of offset plus FS or GS base.
 */

import { Code, Mnemonic } from 'iced-x86';
import type { Body } from '../builder.js';
import { GP } from '../events.js';
import { allForms, insn } from '../insn.js';
import { RAX, RBX, RCX, RDX } from '../state.js';
import { addCarries, subBorrows } from './carries.js';

insn('XCHG', {
  forms: allForms(Mnemonic.Xchg),
  lockable: true,
  body: (_s, a, b) => {
    const x = a.read();
    const y = b.read();
    a.write(y);
    b.write(x);
  },
});

insn('XADD', {
  forms: allForms(Mnemonic.Xadd),
  lockable: true,
  body: (s, dst, src) => {
    const x = dst.read();
    const y = src.read();
    const sum = s.add(x, y);
    // Memory first, because it may fault; of two registers that may be one, the destination last.
    if (dst.isMemory) dst.write(sum);
    src.write(x);
    if (!dst.isMemory) dst.write(sum);
    s.setArithmeticFlags(sum, addCarries(s, x, y, sum));
  },
});

insn('CMPXCHG', {
  forms: [Code.Cmpxchg_rm8_r8, Code.Cmpxchg_rm16_r16, Code.Cmpxchg_rm32_r32, Code.Cmpxchg_rm64_r64],
  lockable: true,
  body: (s, dst, src) => {
    const width = dst.width as 8 | 16 | 32 | 64;
    const old = dst.read();
    const y = src.read();
    const accumulator = s.reg(RAX, width);
    const difference = s.sub(accumulator, old);
    const equal = s.eq(accumulator, old);
    if (dst.isMemory) {
      dst.write(s.select(equal, y, old)); // written in both cases, as the manual says
      s.if(equal, () => {}, () => s.setReg(RAX, old));
    } else {
      // Of the registers just one is written, so the other keeps its upper half.
      s.if(equal, () => dst.write(y), () => s.setReg(RAX, old));
    }
    s.setArithmeticFlags(difference, subBorrows(s, accumulator, old, difference));
  },
});

/** As one access of 64 bits, so that nothing is half written when the operand crosses into a page that faults. */
const cmpxchg8b: Body = (s, m) => {
  const old = m.readAt(0, 64);
  const pair = (high: number, low: number) =>
    s.or(s.shl(s.zext(s.reg(high, 32), 64), 32), s.zext(s.reg(low, 32), 64));
  const equal = s.eq(old, pair(RDX, RAX));
  m.writeAt(0, s.select(equal, pair(RCX, RBX), old));
  s.if(equal, () => {}, () => {
    s.setReg(RAX, s.trunc(old, 32));
    s.setReg(RDX, s.trunc(s.shr(old, 32), 32));
  });
  s.setFlags({ ZF: equal });
};

const cmpxchg16b: Body = (s, m) => {
  s.raiseIf(s.ne(s.and(m.ea(), s.c(64, 15)), s.c(64, 0)), GP, 0);
  const low = m.readAt(0, 64);
  const high = m.readAt(8, 64);
  const equal = s.and(s.eq(low, s.reg(RAX, 64)), s.eq(high, s.reg(RDX, 64)));
  // An aligned operand lies in one page: when the first store is allowed, so is the second.
  m.writeAt(0, s.select(equal, s.reg(RBX, 64), low));
  m.writeAt(8, s.select(equal, s.reg(RCX, 64), high));
  s.if(equal, () => {}, () => {
    s.setReg(RAX, low);
    s.setReg(RDX, high);
  });
  s.setFlags({ ZF: equal });
};

insn('CMPXCHG8B', { forms: allForms(Mnemonic.Cmpxchg8b), lockable: true, body: cmpxchg8b });
insn('CMPXCHG16B', { forms: allForms(Mnemonic.Cmpxchg16b), lockable: true, body: cmpxchg16b });
