/**
 * DAA DAS AAA AAS AAM AAD: decimal adjustment; 16- and 32-bit code only. SDM 2 and APM 3, under those names.
 *
 * Flags that the manuals leave undefined: OF is clear after all of them; CF and AF are clear after AAM and AAD; AAA and AAS
 * give SF, ZF and PF from AL.
 */

import { Code, Mnemonic } from 'iced-x86';
import type { Cpu } from '../cpu.js';
import { DE } from '../events.js';
import { allForms, helper, insn, NEXT, type InsnHelper } from '../insn.js';
import { AF, CF, PF, RAX, SF, STATUS_FLAGS, ZF } from '../state.js';

/** Sets AX and all status flags: SF, ZF and PF from AL, `more` as given. */
function finishWith(cpu: Cpu, ax: number, more: number): void {
  cpu.s.setGpr(RAX, (cpu.s.gpr(RAX) & ~0xffffn) | BigInt(ax & 0xffff));
  const al = ax & 0xff;
  let ones = 0;
  for (let v = al; v !== 0; v >>>= 1) ones += v & 1;
  let flags = more;
  if (al === 0) flags |= ZF;
  if (al & 0x80) flags |= SF;
  if ((ones & 1) === 0) flags |= PF;
  cpu.s.rflags = (cpu.s.rflags & ~STATUS_FLAGS) | flags;
}

const decimalAdjust = (sign: 1 | -1): InsnHelper => (cpu) => {
  const ax = cpu.s.gpr32(RAX) & 0xffff;
  const al = ax & 0xff;
  const flags = cpu.s.rflags;
  let result = al;
  let out = 0;
  if ((al & 15) > 9 || flags & AF) {
    result += sign * 6;
    out |= AF;
    if (flags & CF || result < 0 || result > 0xff) out |= CF;
  }
  if (al > 0x99 || flags & CF) {
    result += sign * 0x60;
    out |= CF;
  }
  finishWith(cpu, (ax & 0xff00) | (result & 0xff), out);
  return NEXT;
};
insn('DAA', { forms: [Code.Daa], body: helper(decimalAdjust(1)) });
insn('DAS', { forms: [Code.Das], body: helper(decimalAdjust(-1)) });

const asciiAdjust = (sign: 1 | -1): InsnHelper => (cpu) => {
  const ax = cpu.s.gpr32(RAX) & 0xffff;
  const adjust = (ax & 15) > 9 || (cpu.s.rflags & AF) !== 0;
  const result = adjust ? ax + sign * 0x106 : ax;
  finishWith(cpu, result & 0xff0f, adjust ? AF | CF : 0);
  return NEXT;
};
insn('AAA', { forms: [Code.Aaa], body: helper(asciiAdjust(1)) });
insn('AAS', { forms: [Code.Aas], body: helper(asciiAdjust(-1)) });

const aam: InsnHelper = (cpu, insn) => {
  const base = Number(insn.immediate(0));
  if (base === 0) cpu.raise(DE);
  const al = cpu.s.gpr32(RAX) & 0xff;
  finishWith(cpu, (Math.floor(al / base) << 8) | al % base, 0);
  return NEXT;
};
const aad: InsnHelper = (cpu, insn) => {
  const ax = cpu.s.gpr32(RAX) & 0xffff;
  finishWith(cpu, ((ax & 0xff) + (ax >>> 8) * Number(insn.immediate(0))) & 0xff, 0);
  return NEXT;
};
insn('AAM', { forms: allForms(Mnemonic.Aam), body: helper(aam) });
insn('AAD', { forms: allForms(Mnemonic.Aad), body: helper(aad) });
