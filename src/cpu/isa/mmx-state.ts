/**
 * MMX registers: the low 64 bits of the physical x87 registers.
 *
 * SDM 1 §9.5 "Compatibility with x87 FPU Architecture", SDM 3A chapter 12 "Intel MMX Technology System Programming": every MMX
 * instruction sets TOP to 0 and all tags to valid (EMMS: empty), and a write of a register sets its bits 79:64 to ones.
 */

import { Mnemonic, OpCodeOperandKind as K } from 'iced-x86';
import type { Body, Builder, Operand, Val } from '../builder.js';
import type { Cpu } from '../cpu.js';
import { MF, NM, UD } from '../events.js';
import { NEXT, allForms, insn, opCodeInfo, type InsnHelper } from '../insn.js';
import { CR0_EM, CR0_TS, S } from '../state.js';
import { low, widen } from './sse-operands.js';

const FSW_TOP = 7 << 11, FSW_ES = 1 << 7;

/** Does an encoding have an MMX register operand? */
export function isMmx(code: number): boolean {
  const info = opCodeInfo(code);
  for (let i = 0; i < info.opCount; i++) {
    const k = info.opKind(i);
    if (k === K.mm_reg || k === K.mm_rm || k === K.mm_or_mem) return true;
  }
  return false;
}

/** Raises #UD, #NM or #MF where an MMX instruction may not run. */
export function requireMmxHelper(cpu: Cpu): void {
  const { s } = cpu;
  if (s.cr0 & CR0_EM) cpu.raise(UD);
  if (s.cr0 & CR0_TS) cpu.raise(NM);
  if (s.get32(S.fsw) & FSW_ES) cpu.raise(MF);
}
const checkMmx: InsnHelper = (cpu) => {
  requireMmxHelper(cpu);
  return NEXT;
};
export function requireMmx(s: Builder): void {
  const trouble = s.or(s.getState(S.x87Trap, 32), s.and(s.getState(S.fsw, 32), s.c(32, FSW_ES)));
  s.if(s.ne(trouble, s.c(32, 0)), () => s.compute(checkMmx));
}

/** TOP = 0, all registers valid. */
export function enterMmx(cpu: Cpu): void {
  const { s } = cpu;
  s.set32(S.fsw, s.get32(S.fsw) & ~FSW_TOP);
  s.set32(S.ftw, 0);
}
const readDone: InsnHelper = (cpu) => {
  enterMmx(cpu);
  return NEXT;
};
const writeDone: InsnHelper = (cpu, i) => {
  enterMmx(cpu);
  cpu.s.set64(S.st + 16 * i.register(0) + 8, 0xffffn);
  return NEXT;
};
/** Ends an MMX instruction that wrote its first operand, or only read MMX registers. */
export function finishMmx(s: Builder, wroteFirst: boolean): void {
  s.compute(wroteFirst ? writeDone : readDone);
}

/** An MMX operand or 64-bit memory in the low half of a vector. */
export const readMmx = (s: Builder, o: Operand): Val => widen(s, o.isMemory ? o.readAt(0, 64) : o.read());

/** dst = operation(dst, src), done on the low halves of vectors. */
export const mmxBinary = (operation: (s: Builder, a: Val, b: Val) => Val): Body => (s, dst, src) => {
  requireMmx(s);
  const b = readMmx(s, src);
  dst.write(low(s, operation(s, readMmx(s, dst), b), 64));
  finishMmx(s, true);
};

insn('EMMS', {
  forms: allForms(Mnemonic.Emms),
  body: (s) => {
    requireMmx(s);
    s.setState(S.fsw, s.and(s.getState(S.fsw, 32), s.c(32, ~FSW_TOP >>> 0)));
    s.setState(S.ftw, s.c(32, 0xffff));
  },
});
