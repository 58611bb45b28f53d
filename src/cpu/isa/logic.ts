/**
 * AND OR XOR NOT TEST. SDM 2 and APM 3, under those names.
 *
 * CF and OF are cleared; AF is undefined in the manuals and cleared by the processors of both makers.
 */

import { Mnemonic } from 'iced-x86';
import type { Body, Builder, Val } from '../builder.js';
import { allForms, insn } from '../insn.js';

const logic = (operation: (s: Builder, x: Val, y: Val) => Val, keep: boolean): Body => (s, dst, src) => {
  const x = dst.read();
  const result = operation(s, x, src.read());
  if (keep) dst.write(result);
  s.setArithmeticFlags(result, s.c(x.width, 0));
};

insn('AND', { forms: allForms(Mnemonic.And), lockable: true, body: logic((s, x, y) => s.and(x, y), true) });
insn('OR', { forms: allForms(Mnemonic.Or), lockable: true, body: logic((s, x, y) => s.or(x, y), true) });
insn('XOR', { forms: allForms(Mnemonic.Xor), lockable: true, body: logic((s, x, y) => s.xor(x, y), true) });
insn('TEST', { forms: allForms(Mnemonic.Test), body: logic((s, x, y) => s.and(x, y), false) });

insn('NOT', {
  forms: allForms(Mnemonic.Not),
  lockable: true,
  body: (s, dst) => dst.write(s.not(dst.read())),
});
