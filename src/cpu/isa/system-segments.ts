/**
 * Segment registers and descriptor tables. SDM 3A ch. 3 "Protected-Mode Memory Management", §2.4 "Memory-Management Registers";
 * what each does is in system/segment-instructions.ts and system/descriptor-tables.ts.
 */

import { Code, Mnemonic } from 'iced-x86';
import { allForms, helper, insn } from '../insn.js';
import { lgdt, lidt, lldt, ltr, sgdt, sidt, sldt, str } from '../system/descriptor-tables.js';
import {
  arpl, lar, loadFarPointer, lsl, movToSreg, popSreg, swapgs, verr, verw,
} from '../system/segment-instructions.js';
import { DS, ES, FS, GS, SS } from '../state.js';

/** Descriptor-table exiting (VMX) and the SVM intercepts of the same registers. */
const tableExit = (name: string, reason: 'GDTR/IDTR' | 'LDTR/TR') => ({
  vmx: { reason: `access to ${reason}`, when: 'descriptor-table exiting' },
  svm: { code: name, when: `INTERCEPT_${name}` },
});

insn('MOV to Sreg', {
  forms: [Code.Mov_Sreg_rm16, Code.Mov_Sreg_r32m16, Code.Mov_Sreg_r64m16],
  endsBlock: true,
  body: helper(movToSreg),
});
insn('POP Sreg', {
  forms: [
    Code.Popw_ES, Code.Popd_ES, Code.Popw_SS, Code.Popd_SS, Code.Popw_DS, Code.Popd_DS, Code.Popw_FS, Code.Popd_FS, Code.Popq_FS,
    Code.Popw_GS, Code.Popd_GS, Code.Popq_GS,
  ],
  endsBlock: true,
  body: helper(popSreg),
});
for (const [name, mnemonic, index] of [
  ['LDS', Mnemonic.Lds, DS], ['LES', Mnemonic.Les, ES], ['LFS', Mnemonic.Lfs, FS], ['LGS', Mnemonic.Lgs, GS], ['LSS', Mnemonic.Lss, SS],
] as const)
  insn(name, { forms: allForms(mnemonic), endsBlock: true, body: helper(loadFarPointer(index)) });

insn('LGDT', { forms: allForms(Mnemonic.Lgdt), cpl0: true, endsBlock: true, exits: tableExit('GDTR_WRITE', 'GDTR/IDTR'), body: helper(lgdt) });
insn('LIDT', { forms: allForms(Mnemonic.Lidt), cpl0: true, endsBlock: true, exits: tableExit('IDTR_WRITE', 'GDTR/IDTR'), body: helper(lidt) });
insn('SGDT', { forms: allForms(Mnemonic.Sgdt), exits: tableExit('GDTR_READ', 'GDTR/IDTR'), body: helper(sgdt) });
insn('SIDT', { forms: allForms(Mnemonic.Sidt), exits: tableExit('IDTR_READ', 'GDTR/IDTR'), body: helper(sidt) });
insn('LLDT', { forms: allForms(Mnemonic.Lldt), cpl0: true, endsBlock: true, exits: tableExit('LDTR_WRITE', 'LDTR/TR'), body: helper(lldt) });
insn('LTR', { forms: allForms(Mnemonic.Ltr), cpl0: true, endsBlock: true, exits: tableExit('TR_WRITE', 'LDTR/TR'), body: helper(ltr) });
insn('SLDT', { forms: allForms(Mnemonic.Sldt), exits: tableExit('LDTR_READ', 'LDTR/TR'), body: helper(sldt) });
insn('STR', { forms: allForms(Mnemonic.Str), exits: tableExit('TR_READ', 'LDTR/TR'), body: helper(str) });

insn('LAR', { forms: allForms(Mnemonic.Lar), body: helper(lar) });
insn('LSL', { forms: allForms(Mnemonic.Lsl), body: helper(lsl) });
insn('VERR', { forms: allForms(Mnemonic.Verr), body: helper(verr) });
insn('VERW', { forms: allForms(Mnemonic.Verw), body: helper(verw) });
insn('ARPL', { forms: allForms(Mnemonic.Arpl), body: helper(arpl) });
insn('SWAPGS', { forms: allForms(Mnemonic.Swapgs), cpl0: true, endsBlock: true, body: helper(swapgs) });
