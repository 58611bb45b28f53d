/**
 * Transfers of control that change CS or go through a gate. SDM 3A §5.8, ch. 6 and ch. 7; what each does is in system/far-transfer.ts,
 * iret.ts, software-interrupts.ts and fast-calls.ts.
 */

import { Code, Mnemonic } from 'iced-x86';
import { allForms, helper, insn } from '../insn.js';
import { farCall, farJump, farReturn } from '../system/far-transfer.js';
import { syscall, sysenter, sysexit, sysret } from '../system/fast-calls.js';
import { iret } from '../system/iret.js';
import { int1, int3, intN, into } from '../system/software-interrupts.js';

insn('JMP far', { forms: [Code.Jmp_ptr1616, Code.Jmp_ptr1632, Code.Jmp_m1616, Code.Jmp_m1632, Code.Jmp_m1664], endsBlock: true, body: helper(farJump) });
insn('CALL far', { forms: [Code.Call_ptr1616, Code.Call_ptr1632, Code.Call_m1616, Code.Call_m1632, Code.Call_m1664], endsBlock: true, body: helper(farCall) });
insn('RET far', { forms: allForms(Mnemonic.Retf), endsBlock: true, body: helper(farReturn) });
insn('IRET', {
  forms: [...allForms(Mnemonic.Iret), ...allForms(Mnemonic.Iretd), ...allForms(Mnemonic.Iretq)],
  endsBlock: true,
  exits: { svm: { code: 'IRET', when: 'INTERCEPT_IRET' } },
  body: helper(iret),
});
insn('INT n', { forms: allForms(Mnemonic.Int), endsBlock: true, exits: { svm: { code: 'SWINT', when: 'INTERCEPT_INTn' } }, body: helper(intN) });
insn('INT3', { forms: allForms(Mnemonic.Int3), endsBlock: true, body: helper(int3) });
insn('INTO', { forms: allForms(Mnemonic.Into), endsBlock: true, body: helper(into) });
insn('INT1', { forms: allForms(Mnemonic.Int1), endsBlock: true, exits: { svm: { code: 'ICEBP', when: 'INTERCEPT_ICEBP' } }, body: helper(int1) });

insn('SYSCALL', { forms: allForms(Mnemonic.Syscall), endsBlock: true, body: helper(syscall) });
insn('SYSRET', { forms: [...allForms(Mnemonic.Sysret), ...allForms(Mnemonic.Sysretq)], cpl0: true, endsBlock: true, body: helper(sysret) });
insn('SYSENTER', { forms: allForms(Mnemonic.Sysenter), endsBlock: true, body: helper(sysenter) });
insn('SYSEXIT', { forms: [...allForms(Mnemonic.Sysexit), ...allForms(Mnemonic.Sysexitq)], cpl0: true, endsBlock: true, body: helper(sysexit) });
