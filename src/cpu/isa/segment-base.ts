/** RDFSBASE RDGSBASE WRFSBASE WRGSBASE. SDM 2 and APM 3, under those names: 64-bit mode, #UD unless CR4.FSGSBASE is set. */

import { Mnemonic } from 'iced-x86';
import { GP, UD } from '../events.js';
import { allForms, helper, insn, NEXT, type InsnHelper } from '../insn.js';
import { CR4_FSGSBASE, FS, GS, SEG, segAddress } from '../state.js';

const readBase = (segment: number): InsnHelper => (cpu, insn) => {
  if ((cpu.s.cr4 & CR4_FSGSBASE) === 0) cpu.raise(UD);
  insn.write(0, BigInt.asUintN(insn.width(0), cpu.s.segBase(segment)));
  return NEXT;
};
const writeBase = (segment: number): InsnHelper => (cpu, insn) => {
  if ((cpu.s.cr4 & CR4_FSGSBASE) === 0) cpu.raise(UD);
  const base = insn.read(0);
  if (BigInt.asUintN(64, BigInt.asIntN(48, base)) !== base) cpu.raise(GP, 0);
  cpu.s.set64(segAddress(segment) + SEG.base, base);
  return cpu.finish();
};

insn('RDFSBASE', { forms: allForms(Mnemonic.Rdfsbase), body: helper(readBase(FS)) });
insn('RDGSBASE', { forms: allForms(Mnemonic.Rdgsbase), body: helper(readBase(GS)) });
insn('WRFSBASE', { forms: allForms(Mnemonic.Wrfsbase), endsBlock: true, body: helper(writeBase(FS)) });
insn('WRGSBASE', { forms: allForms(Mnemonic.Wrgsbase), endsBlock: true, body: helper(writeBase(GS)) });
