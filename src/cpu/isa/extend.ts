/**
 * MOVZX MOVSX MOVSXD CBW CWDE CDQE CWD CDQ CQO: widening. SDM 2 and APM 3, under those names. No flags.
 */

import { Code, Mnemonic } from 'iced-x86';
import type { Body } from '../builder.js';
import { allForms, insn } from '../insn.js';
import { RAX, RDX } from '../state.js';

const zeroExtend: Body = (s, dst, src) => {
  const v = src.read();
  dst.write(v.width === dst.width ? v : s.zext(v, dst.width)); // MOVZX r16, r/m16 exists
};
const signExtend: Body = (s, dst, src) => {
  const v = src.read();
  dst.write(v.width === dst.width ? v : s.sext(v, dst.width));
};

insn('MOVZX', { forms: allForms(Mnemonic.Movzx), body: zeroExtend });
insn('MOVSX', { forms: allForms(Mnemonic.Movsx), body: signExtend });
insn('MOVSXD', { forms: allForms(Mnemonic.Movsxd), body: signExtend });

/** The accumulator's lower half, sign-extended into the whole. */
const widenAccumulator = (from: 8 | 16 | 32, to: 16 | 32 | 64): Body => (s) => s.setReg(RAX, s.sext(s.reg(RAX, from), to));
insn('CBW', { forms: [Code.Cbw], body: widenAccumulator(8, 16) });
insn('CWDE', { forms: [Code.Cwde], body: widenAccumulator(16, 32) });
insn('CDQE', { forms: [Code.Cdqe], body: widenAccumulator(32, 64) });

/** The accumulator's sign in every bit of rDX. */
const signIntoRdx = (width: 16 | 32 | 64): Body => (s) => s.setReg(RDX, s.sar(s.reg(RAX, width), width - 1));
insn('CWD', { forms: [Code.Cwd], body: signIntoRdx(16) });
insn('CDQ', { forms: [Code.Cdq], body: signIntoRdx(32) });
insn('CQO', { forms: [Code.Cqo], body: signIntoRdx(64) });
