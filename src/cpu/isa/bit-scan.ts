/**
 * BSF BSR TZCNT LZCNT POPCNT. SDM 2 and APM 3, under those names.
 *
 * BSF and BSR of zero leave the destination alone (APM 3 says so; Intel's processors do so), and change ZF alone. TZCNT and
 * LZCNT change CF and ZF. The flags that the manuals leave undefined keep their values.
 */

import { Mnemonic } from 'iced-x86';
import type { Body, Builder, Val } from '../builder.js';
import { allForms, insn } from '../insn.js';

const highestBit = (s: Builder, v: Val): Val => s.sub(s.c(v.width, v.width - 1), s.clz(v));

const scan = (position: (s: Builder, v: Val) => Val): Body => (s, dst, src) => {
  const v = src.read();
  const zero = s.isZero(v);
  s.if(zero, () => {}, () => dst.write(position(s, v)));
  s.setFlags({ ZF: zero });
};
insn('BSF', { forms: allForms(Mnemonic.Bsf), body: scan((s, v) => s.ctz(v)) });
insn('BSR', { forms: allForms(Mnemonic.Bsr), body: scan(highestBit) });

const countZeros = (count: (s: Builder, v: Val) => Val): Body => (s, dst, src) => {
  const v = src.read();
  const zero = s.isZero(v);
  const zeros = s.select(zero, s.c(v.width, v.width), count(s, v));
  dst.write(zeros);
  s.setFlags({ CF: zero, ZF: s.isZero(zeros) });
};
insn('TZCNT', { forms: allForms(Mnemonic.Tzcnt), body: countZeros((s, v) => s.ctz(v)) });
insn('LZCNT', { forms: allForms(Mnemonic.Lzcnt), body: countZeros((s, v) => s.clz(v)) });

insn('POPCNT', {
  forms: allForms(Mnemonic.Popcnt),
  body: (s, dst, src) => {
    const v = src.read();
    const clear = s.c(1, 0);
    const zero = s.isZero(v);
    dst.write(s.popcnt(v));
    s.setFlags({ CF: clear, PF: clear, AF: clear, ZF: zero, SF: clear, OF: clear });
  },
});
