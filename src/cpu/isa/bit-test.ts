/**
 * BT BTS BTR BTC. SDM 2 and APM 3, under those names.
 *
 * A register offset addresses a bit string in memory: it is signed and may reach beyond the operand; an immediate one is
 * taken modulo the operand size. CF is the bit; ZF is defined to stay; OF, SF, AF and PF are undefined and stay, too.
 */

import { Mnemonic } from 'iced-x86';
import type { Body, Builder, Val } from '../builder.js';
import { allForms, insn } from '../insn.js';

type Change = (s: Builder, value: Val, mask: Val) => Val;

const bitTest = (change?: Change): Body => (s, base, offset) => {
  const width = base.width;
  const raw = offset.read();
  const index = s.and(raw, s.c(raw.width, width - 1));
  const inMemory = base.isMemory && !offset.isImmediate;
  // Whole operands between the base and the one that holds the bit, in bytes.
  const log = Math.log2(width);
  const wide = inMemory && width !== 64 ? s.sext(raw, 64) : raw;
  const displacement = inMemory ? s.shl(s.sar(wide, log), log - 3) : undefined;
  const value = displacement === undefined ? base.read() : base.readAt(displacement, width);
  const bit = s.bit(value, index);
  if (change !== undefined) {
    const mask = s.shl(s.c(width, 1), index);
    const changed = change(s, value, mask);
    if (displacement === undefined) base.write(changed);
    else base.writeAt(displacement, changed);
  }
  s.setFlags({ CF: bit });
};

insn('BT', { forms: allForms(Mnemonic.Bt), body: bitTest() });
insn('BTS', { forms: allForms(Mnemonic.Bts), lockable: true, body: bitTest((s, v, m) => s.or(v, m)) });
insn('BTR', { forms: allForms(Mnemonic.Btr), lockable: true, body: bitTest((s, v, m) => s.and(v, s.not(m))) });
insn('BTC', { forms: allForms(Mnemonic.Btc), lockable: true, body: bitTest((s, v, m) => s.xor(v, m)) });
