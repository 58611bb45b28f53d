/**
 * NOP, hints, prefetches, fences, cache-line flushes, PAUSE, and the opcodes that are undefined on purpose.
 *
 * SDM 2 and APM 3, under those names; SDM 2A Table A-3 for the hint space 0F 18 - 0F 1F, where every encoding that is not
 * assigned, and every assigned one whose feature is absent (CET, MPX), is a NOP. A NOP's memory operand is not accessed.
 */

import { Code, Mnemonic } from 'iced-x86';
import { UD } from '../events.js';
import { allForms, helper, insn, LEAVE, NEXT, type InsnHelper } from '../insn.js';
import { S } from '../state.js';

const nothing = (): void => {};

insn('NOP', { forms: [...allForms(Mnemonic.Nop), ...allForms(Mnemonic.Reservednop)], body: nothing });
insn('ENDBR', { forms: [Code.Endbr32, Code.Endbr64], body: nothing });
insn('other hints', { forms: [Code.Cldemote_m8, Code.Prefetchit0_m8, Code.Prefetchit1_m8], body: nothing });
// Without CET these are the hint NOPs that they were made from.
insn('RDSSP', { forms: [Code.Rdsspd_r32, Code.Rdsspq_r64], body: nothing });
insn('PREFETCH', {
  forms: [
    ...allForms(Mnemonic.Prefetch), ...allForms(Mnemonic.Prefetchw), ...allForms(Mnemonic.Prefetchwt1),
    ...allForms(Mnemonic.Prefetchnta), ...allForms(Mnemonic.Prefetcht0), ...allForms(Mnemonic.Prefetcht1), ...allForms(Mnemonic.Prefetcht2),
  ],
  body: nothing,
});
// vCPUs see each other's stores in order anyway.
insn('fences', { forms: [...allForms(Mnemonic.Lfence), ...allForms(Mnemonic.Mfence), ...allForms(Mnemonic.Sfence)], body: nothing });

// A flush checks its operand as a load of a byte does; caches are the timing core's affair.
insn('CLFLUSH', {
  forms: [...allForms(Mnemonic.Clflush), ...allForms(Mnemonic.Clflushopt), ...allForms(Mnemonic.Clwb)],
  body: (_s, line) => void line.readAt(0, 8),
});

const pauseInGuest: InsnHelper = (cpu) => (cpu.virt!.instruction(cpu, 'PAUSE') ? LEAVE : NEXT);
insn('PAUSE', {
  forms: [Code.Pause],
  exits: {
    vmx: { reason: 'PAUSE', when: '"PAUSE exiting" is 1, or PAUSE-loop exiting at CPL 0' },
    svm: { code: 'PAUSE', when: 'PAUSE intercept, filtered by the pause-filter count' },
  },
  body: (s) => s.if(s.ne(s.getState(S.guest, 32), s.c(32, 0)), () => s.call(pauseInGuest)),
});

const undefinedOpcode: InsnHelper = (cpu) => cpu.raise(UD);
insn('UD', {
  forms: [...allForms(Mnemonic.Ud0), ...allForms(Mnemonic.Ud1), ...allForms(Mnemonic.Ud2)],
  endsBlock: true,
  body: helper(undefinedOpcode),
});
