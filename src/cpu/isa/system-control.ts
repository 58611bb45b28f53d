/**
 * Control and debug registers, flags, MSRs, ports and the other system instructions. SDM 3A §2.8 "System Instruction Summary"; what each
 * does is in system/control-registers.ts, debug-registers.ts, flags.ts, io.ts and processor.ts.
 */

import { Code, Mnemonic } from 'iced-x86';
import { allForms, helper, insn } from '../insn.js';
import { clts, lmsw, movFromCr, movToCr, smsw } from '../system/control-registers.js';
import { movFromDr, movToDr } from '../system/debug-registers.js';
import { cli, popf, pushf, sti } from '../system/flags.js';
import { input, ins, output, outs } from '../system/io.js';
import {
  clacStac, cpuid, hlt, invalidateCaches, invlpg, invpcid, monitor, mwait, rdmsr, rdpid, rdpmc, rdtsc, rdtscp, rsm, wrmsr, xgetbv, xsetbv,
} from '../system/processor.js';

const CR_EXIT = { vmx: { reason: 'control-register access', when: 'masks, CR3 and CR8 controls' } };

insn('MOV from CR', {
  forms: [Code.Mov_r32_cr, Code.Mov_r64_cr],
  cpl0: true, endsBlock: true,
  exits: { ...CR_EXIT, svm: { code: 'CRn_READ', when: 'INTERCEPT_CR_READ' } },
  body: helper(movFromCr),
});
insn('MOV to CR', {
  forms: [Code.Mov_cr_r32, Code.Mov_cr_r64],
  cpl0: true, endsBlock: true,
  exits: { ...CR_EXIT, svm: { code: 'CRn_WRITE', when: 'INTERCEPT_CR_WRITE' } },
  body: helper(movToCr),
});
const DR_EXIT = { vmx: { reason: 'MOV DR', when: 'MOV-DR exiting' } };
insn('MOV from DR', {
  forms: [Code.Mov_r32_dr, Code.Mov_r64_dr],
  cpl0: true, endsBlock: true,
  exits: { ...DR_EXIT, svm: { code: 'DRn_READ', when: 'INTERCEPT_DR_READ' } },
  body: helper(movFromDr),
});
insn('MOV to DR', {
  forms: [Code.Mov_dr_r32, Code.Mov_dr_r64],
  cpl0: true, endsBlock: true,
  exits: { ...DR_EXIT, svm: { code: 'DRn_WRITE', when: 'INTERCEPT_DR_WRITE' } },
  body: helper(movToDr),
});
insn('LMSW', { forms: allForms(Mnemonic.Lmsw), cpl0: true, endsBlock: true, exits: { ...CR_EXIT, svm: { code: 'CR0_WRITE', when: 'INTERCEPT_CR_WRITE' } }, body: helper(lmsw) });
insn('SMSW', { forms: allForms(Mnemonic.Smsw), exits: { svm: { code: 'CR0_READ', when: 'INTERCEPT_CR_READ' } }, body: helper(smsw) });
insn('CLTS', { forms: allForms(Mnemonic.Clts), cpl0: true, endsBlock: true, exits: { ...CR_EXIT, svm: { code: 'CR0_WRITE', when: 'INTERCEPT_CR_WRITE' } }, body: helper(clts) });

insn('CLI', { forms: allForms(Mnemonic.Cli), body: helper(cli) });
insn('STI', { forms: allForms(Mnemonic.Sti), endsBlock: true, body: helper(sti) });
insn('PUSHF', {
  forms: [...allForms(Mnemonic.Pushf), ...allForms(Mnemonic.Pushfd), ...allForms(Mnemonic.Pushfq)],
  exits: { svm: { code: 'PUSHF', when: 'INTERCEPT_PUSHF' } },
  body: helper(pushf),
});
insn('POPF', {
  forms: [...allForms(Mnemonic.Popf), ...allForms(Mnemonic.Popfd), ...allForms(Mnemonic.Popfq)],
  endsBlock: true,
  exits: { svm: { code: 'POPF', when: 'INTERCEPT_POPF' } },
  body: helper(popf),
});
insn('CLAC', { forms: allForms(Mnemonic.Clac), endsBlock: true, body: helper(clacStac(false)) });
insn('STAC', { forms: allForms(Mnemonic.Stac), endsBlock: true, body: helper(clacStac(true)) });

const IO_EXIT = {
  vmx: { reason: 'I/O instruction', when: 'unconditional I/O exiting or I/O bitmaps' },
  svm: { code: 'IOIO', when: 'INTERCEPT_IOIO_PROT' },
};
insn('IN imm8', { forms: [Code.In_AL_imm8, Code.In_AX_imm8, Code.In_EAX_imm8], endsBlock: true, exits: IO_EXIT, body: helper(input(true)) });
insn('IN DX', { forms: [Code.In_AL_DX, Code.In_AX_DX, Code.In_EAX_DX], endsBlock: true, exits: IO_EXIT, body: helper(input(false)) });
insn('OUT imm8', { forms: [Code.Out_imm8_AL, Code.Out_imm8_AX, Code.Out_imm8_EAX], endsBlock: true, exits: IO_EXIT, body: helper(output(true)) });
insn('OUT DX', { forms: [Code.Out_DX_AL, Code.Out_DX_AX, Code.Out_DX_EAX], endsBlock: true, exits: IO_EXIT, body: helper(output(false)) });
insn('INS', { forms: [Code.Insb_m8_DX, Code.Insw_m16_DX, Code.Insd_m32_DX], endsBlock: true, exits: IO_EXIT, body: helper(ins) });
insn('OUTS', { forms: [Code.Outsb_DX_m8, Code.Outsw_DX_m16, Code.Outsd_DX_m32], endsBlock: true, exits: IO_EXIT, body: helper(outs) });

const always = (name: string) => ({ vmx: { reason: name, when: 'always' }, svm: { code: name, when: `INTERCEPT_${name}` } });
const exiting = (name: string) => ({ vmx: { reason: name, when: `${name} exiting` }, svm: { code: name, when: `INTERCEPT_${name}` } });

insn('CPUID', { forms: allForms(Mnemonic.Cpuid), exits: always('CPUID'), body: helper(cpuid) });
insn('RDMSR', {
  forms: allForms(Mnemonic.Rdmsr), cpl0: true, endsBlock: true,
  exits: { vmx: { reason: 'RDMSR', when: 'MSR bitmaps' }, svm: { code: 'MSR', when: 'INTERCEPT_MSR_PROT' } },
  body: helper(rdmsr),
});
insn('WRMSR', {
  forms: allForms(Mnemonic.Wrmsr), cpl0: true, endsBlock: true,
  exits: { vmx: { reason: 'WRMSR', when: 'MSR bitmaps' }, svm: { code: 'MSR', when: 'INTERCEPT_MSR_PROT' } },
  body: helper(wrmsr),
});
insn('RDTSC', { forms: allForms(Mnemonic.Rdtsc), endsBlock: true, exits: exiting('RDTSC'), body: helper(rdtsc) });
insn('RDTSCP', { forms: allForms(Mnemonic.Rdtscp), endsBlock: true, exits: { vmx: { reason: 'RDTSCP', when: 'RDTSC exiting' }, svm: { code: 'RDTSCP', when: 'INTERCEPT_RDTSCP' } }, body: helper(rdtscp) });
insn('RDPID', { forms: allForms(Mnemonic.Rdpid), body: helper(rdpid) });
insn('RDPMC', { forms: allForms(Mnemonic.Rdpmc), exits: exiting('RDPMC'), body: helper(rdpmc) });
insn('HLT', { forms: allForms(Mnemonic.Hlt), cpl0: true, endsBlock: true, exits: exiting('HLT'), body: helper(hlt) });
insn('INVD', { forms: allForms(Mnemonic.Invd), cpl0: true, endsBlock: true, exits: always('INVD'), body: helper(invalidateCaches('INVD')) });
insn('WBINVD', { forms: allForms(Mnemonic.Wbinvd), cpl0: true, endsBlock: true, exits: exiting('WBINVD'), body: helper(invalidateCaches('WBINVD')) });
insn('INVLPG', { forms: allForms(Mnemonic.Invlpg), cpl0: true, endsBlock: true, exits: exiting('INVLPG'), body: helper(invlpg) });
insn('INVPCID', { forms: allForms(Mnemonic.Invpcid), cpl0: true, endsBlock: true, exits: { vmx: { reason: 'INVPCID', when: 'INVLPG exiting' } }, body: helper(invpcid) });
insn('RSM', { forms: allForms(Mnemonic.Rsm), endsBlock: true, exits: { svm: { code: 'RSM', when: 'INTERCEPT_RSM' } }, body: helper(rsm) });
insn('MONITOR', { forms: allForms(Mnemonic.Monitor), exits: exiting('MONITOR'), body: helper(monitor) });
insn('MWAIT', { forms: allForms(Mnemonic.Mwait), endsBlock: true, exits: exiting('MWAIT'), body: helper(mwait) });
insn('XGETBV', { forms: allForms(Mnemonic.Xgetbv), body: helper(xgetbv) });
insn('XSETBV', { forms: allForms(Mnemonic.Xsetbv), cpl0: true, endsBlock: true, exits: always('XSETBV'), body: helper(xsetbv) });
