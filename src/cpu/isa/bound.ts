/** BOUND. SDM 2 and APM 3, under that name: #BR when the signed index is outside the two bounds, both inclusive. */

import { Mnemonic } from 'iced-x86';
import { BR } from '../events.js';
import { allForms, helper, insn, NEXT, type InsnHelper } from '../insn.js';

const bound: InsnHelper = (cpu, insn) => {
  const width = insn.operandWidth;
  const size = width / 8;
  const at = insn.ea();
  const lower = cpu.readSegment(insn.segment, at, size);
  const upper = cpu.readSegment(insn.segment, BigInt.asUintN(insn.addressWidth, at + BigInt(size)), size);
  const signed = (v: bigint) => BigInt.asIntN(width, v);
  const index = signed(insn.read(0));
  if (index < signed(lower) || index > signed(upper)) cpu.raise(BR);
  return NEXT;
};
insn('BOUND', { forms: allForms(Mnemonic.Bound), body: helper(bound) });
