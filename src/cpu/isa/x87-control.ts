/**
 * x87 control: FNINIT FNCLEX FLDCW FNSTCW FNSTSW FNSTENV FLDENV FNSAVE FRSTOR WAIT, and the obsolete FENI FDISI FSETPM.
 *
 * SDM 1 §8.1.10 "Saving the x87 FPU's State with FSTENV/FNSTENV and FSAVE/FNSAVE", figures 8-9 to 8-12; SDM 3A §2.5 "Control
 * Registers" for WAIT and CR0.MP. The forms with FN do not wait for exceptions; a waiting form is WAIT and the FN form.
 */

import { Code, Mnemonic } from 'iced-x86';
import type { Cpu } from '../cpu.js';
import { NM } from '../events.js';
import type { Body, Builder } from '../builder.js';
import { NEXT, allForms, helper, insn, type InsnHelper } from '../insn.js';
import type { InsnView } from '../insn-view.js';
import { CR0_MP, CR0_PE, CR0_TS, S, VM } from '../state.js';
import { requireX87 } from './sse-available.js';
import { tagOf } from './sse-state.js';
import { FSW_B, FSW_ES, TOP_SHIFT, checkPending, updateSummary } from './x87-unit.js';

const M = Mnemonic;
const FCW_INITIAL = 0x37f, FCW_BITS = 0x1f7f, FCW_FIXED = 0x40, FOP_BITS = 0x7ff, EXCEPTION_MASKS = 0x3f;
const EXCEPTION_BITS = 0xff | FSW_B;

function initialise(cpu: Cpu): void {
  const { s } = cpu;
  s.set32(S.fcw, FCW_INITIAL);
  s.set32(S.fsw, 0);
  s.set32(S.ftw, 0xffff);
  s.set32(S.fop, 0);
  s.set64(S.fip, 0n);
  s.set64(S.fdp, 0n);
  s.set32(S.fcs, 0);
  s.set32(S.fds, 0);
}
const control = (fn: (cpu: Cpu, i: InsnView) => void, waits = false): InsnHelper => (cpu, i) => {
  requireX87(cpu);
  if (waits) checkPending(cpu);
  fn(cpu, i);
  return NEXT;
};
insn('FNINIT', { forms: allForms(M.Fninit), body: helper(control(initialise)) });
insn('FNCLEX', { forms: allForms(M.Fnclex), body: helper(control(({ s }) => s.set32(S.fsw, s.get32(S.fsw) & ~EXCEPTION_BITS))) });
// The 8087's and 80287's: no operation since.
insn('FNENI', { forms: [...allForms(M.Fneni), ...allForms(M.Fndisi), ...allForms(M.Fnsetpm)], body: helper(control(() => {})) });
/** Raises what an unavailable unit raises. */
const availableHelper = control(() => {});
function available(s: Builder): void {
  s.if(s.ne(s.getState(S.x87Trap, 32), s.c(32, 0)), () => s.compute(availableHelper));
}
const storeWord = (field: number): Body => (s, dst) => {
  available(s);
  dst.write(s.trunc(s.getState(field, 32), 16));
};
insn('FNSTCW', { forms: allForms(M.Fnstcw), body: storeWord(S.fcw) });
insn('FNSTSW', { forms: [Code.Fnstsw_m2byte], body: storeWord(S.fsw) });
insn('FNSTSW AX', { forms: [Code.Fnstsw_AX], body: storeWord(S.fsw) });
const waitHelper = control(() => {}, true);
const summaryHelper = control((cpu) => updateSummary(cpu));
insn('FLDCW', {
  forms: allForms(M.Fldcw),
  body: (s, src) => {
    const trouble = s.or(s.getState(S.x87Trap, 32), s.and(s.getState(S.fsw, 32), s.c(32, FSW_ES)));
    s.if(s.ne(trouble, s.c(32, 0)), () => s.compute(waitHelper));
    const word = s.zext(src.read(), 32);
    const fcw = s.or(s.and(word, s.c(32, FCW_BITS)), s.c(32, FCW_FIXED));
    s.setState(S.fcw, fcw);
    // An exception that is no longer masked waits from now on.
    s.if(s.ne(s.and(s.and(s.getState(S.fsw, 32), s.not(fcw)), s.c(32, EXCEPTION_MASKS)), s.c(32, 0)), () => s.compute(summaryHelper));
  },
});
insn('WAIT', {
  forms: allForms(M.Wait),
  body: helper((cpu) => {
    if ((cpu.s.cr0 & (CR0_MP | CR0_TS)) === (CR0_MP | CR0_TS)) cpu.raise(NM);
    checkPending(cpu);
    return NEXT;
  }),
});

// ---- environment and state in memory

/** The tag word with each register's class. */
export function fullTags(cpu: Cpu): number {
  const { s } = cpu;
  let tags = 0;
  for (let p = 0; p < 8; p++) {
    const at = S.st + 16 * p;
    const tag = ((s.get32(S.ftw) >> (2 * p)) & 3) === 3 ? 3 : tagOf(s.get32(at), s.get32(at + 4), s.get32(at + 8) & 0xffff);
    tags |= tag << (2 * p);
  }
  return tags;
}

const ENVIRONMENT_WORDS = 7;
/** The seven words of the environment. In real-address and virtual-8086 mode the pointers are linear addresses. */
function environmentWords(cpu: Cpu, wide: boolean): number[] {
  const { s } = cpu;
  const ip = s.get32(S.fip), dp = s.get32(S.fdp), cs = s.get32(S.fcs), ds = s.get32(S.fds), op = s.get32(S.fop);
  const head = [s.get32(S.fcw), s.get32(S.fsw), fullTags(cpu)];
  const real = (s.cr0 & CR0_PE) === 0 || (s.rflags & VM) !== 0;
  const linearIp = (ip + cs * 16) >>> 0, linearDp = (dp + ds * 16) >>> 0;
  if (!wide) {
    if (!real) return [...head, ip & 0xffff, cs, dp & 0xffff, ds];
    return [...head, linearIp & 0xffff, ((linearIp >>> 4) & 0xf000) | op, linearDp & 0xffff, (linearDp >>> 4) & 0xf000];
  }
  // The unused halves read as ones.
  const filled = head.map((w) => (w | 0xffff_0000) >>> 0);
  if (!real) return [...filled, ip, (cs | (op << 16)) >>> 0, dp, (ds | 0xffff_0000) >>> 0];
  return [
    ...filled, ((linearIp & 0xffff) | 0xffff_0000) >>> 0, (((linearIp >>> 16) << 12) | op) >>> 0,
    ((linearDp & 0xffff) | 0xffff_0000) >>> 0, ((linearDp >>> 16) << 12) >>> 0,
  ];
}
function loadEnvironment(cpu: Cpu, wide: boolean, w: readonly number[]): void {
  const { s } = cpu;
  s.set32(S.fcw, (w[0]! & FCW_BITS) | FCW_FIXED);
  s.set32(S.fsw, w[1]! & 0xffff);
  s.set32(S.ftw, w[2]! & 0xffff);
  const real = (s.cr0 & CR0_PE) === 0 || (s.rflags & VM) !== 0;
  if (real) {
    const ip = wide ? (w[3]! & 0xffff) | (((w[4]! >>> 12) & 0xffff) << 16) : w[3]! | ((w[4]! & 0xf000) << 4);
    const dp = wide ? (w[5]! & 0xffff) | (((w[6]! >>> 12) & 0xffff) << 16) : w[5]! | ((w[6]! & 0xf000) << 4);
    s.set64(S.fip, BigInt(ip >>> 0));
    s.set64(S.fdp, BigInt(dp >>> 0));
    s.set32(S.fop, w[4]! & FOP_BITS);
    s.set32(S.fcs, 0);
    s.set32(S.fds, 0);
  } else {
    s.set64(S.fip, BigInt(w[3]!));
    s.set32(S.fcs, w[4]! & 0xffff);
    if (wide) s.set32(S.fop, (w[4]! >>> 16) & FOP_BITS);
    s.set64(S.fdp, BigInt(w[5]!));
    s.set32(S.fds, w[6]! & 0xffff);
  }
  updateSummary(cpu);
}
const wideForm = (i: InsnView): boolean =>
  i.code === Code.Fnstenv_m28byte || i.code === Code.Fldenv_m28byte || i.code === Code.Fnsave_m108byte || i.code === Code.Frstor_m108byte;

/** Writes the environment, and the registers when `all`; the far end first proves that nothing can fault half-way. */
function storeState(cpu: Cpu, i: InsnView, all: boolean): void {
  const wide = wideForm(i), size = wide ? 4 : 2;
  const at = i.ea(), { s } = cpu;
  const words = environmentWords(cpu, wide);
  const registers = at + BigInt(ENVIRONMENT_WORDS * size);
  const end = all ? registers + 79n : registers - 1n;
  cpu.writeSegment(i.segment, end, 1, cpu.readSegment(i.segment, end, 1));
  words.forEach((w, n) => cpu.writeSegment(i.segment, at + BigInt(n * size), size, BigInt(w)));
  if (!all) return;
  const top = (s.get32(S.fsw) >> TOP_SHIFT) & 7;
  for (let r = 0; r < 8; r++) {
    const from = S.st + 16 * ((top + r) & 7);
    cpu.writeSegment(i.segment, registers + BigInt(10 * r), 8, s.get64(from));
    cpu.writeSegment(i.segment, registers + BigInt(10 * r + 8), 2, s.get64(from + 8) & 0xffffn);
  }
}
function loadState(cpu: Cpu, i: InsnView, all: boolean): void {
  const wide = wideForm(i), size = wide ? 4 : 2;
  const at = i.ea(), { s } = cpu;
  const words = Array.from({ length: ENVIRONMENT_WORDS }, (_, n) => Number(cpu.readSegment(i.segment, at + BigInt(n * size), size)));
  const registers = at + BigInt(ENVIRONMENT_WORDS * size);
  const values: [bigint, bigint][] = [];
  for (let r = 0; all && r < 8; r++)
    values.push([cpu.readSegment(i.segment, registers + BigInt(10 * r), 8), cpu.readSegment(i.segment, registers + BigInt(10 * r + 8), 2)]);
  loadEnvironment(cpu, wide, words);
  const top = (s.get32(S.fsw) >> TOP_SHIFT) & 7;
  values.forEach(([low, high], r) => {
    const to = S.st + 16 * ((top + r) & 7);
    s.set64(to, low);
    s.set64(to + 8, high);
  });
}
insn('FNSTENV', {
  forms: allForms(M.Fnstenv),
  body: helper(
    control((cpu, i) => {
      storeState(cpu, i, false);
      cpu.s.set32(S.fcw, cpu.s.get32(S.fcw) | EXCEPTION_MASKS);
      cpu.s.set32(S.fsw, cpu.s.get32(S.fsw) & ~(FSW_ES | FSW_B));
    }),
  ),
});
insn('FLDENV', { forms: allForms(M.Fldenv), body: helper(control((cpu, i) => loadState(cpu, i, false), true)) });
insn('FNSAVE', {
  forms: allForms(M.Fnsave),
  body: helper(
    control((cpu, i) => {
      storeState(cpu, i, true);
      initialise(cpu);
    }),
  ),
});
insn('FRSTOR', { forms: allForms(M.Frstor), body: helper(control((cpu, i) => loadState(cpu, i, true), true)) });
