import { Code, Mnemonic } from 'iced-x86';
import { describe, expect, it } from 'vitest';
import { allForms, allInsns, insnFor, opCodeInfo } from '../insn.js';
import { operandBytes } from '../system/operand-size.js';
import type { InsnView } from '../insn-view.js';
import './index.js';

describe('system instructions', () => {
  it('cover every form of the system mnemonics', () => {
    const mnemonics = [Mnemonic.Mov, Mnemonic.Pop, Mnemonic.Jmp, Mnemonic.Call, Mnemonic.In, Mnemonic.Out, Mnemonic.Lgdt, Mnemonic.Iretq, Mnemonic.Int];
    const missing = mnemonics.flatMap((m) => allForms(m)).filter((code) => insnFor(code) === undefined && opCodeInfo(code).mode64);
    expect(missing.map((c) => Code[c])).toEqual([]);
  });

  it('have an operand size where the helper needs one', () => {
    const names = new Set(['JMP far', 'CALL far', 'RET far', 'IRET', 'PUSHF', 'POPF', 'POP Sreg', 'LSS', 'LGDT', 'LIDT', 'SYSRET', 'SYSEXIT', 'IN imm8', 'IN DX', 'OUT imm8', 'OUT DX', 'INS', 'OUTS']);
    for (const spec of allInsns()) {
      if (!names.has(spec.name)) continue;
      for (const code of spec.forms) {
        const info = opCodeInfo(code);
        const bytes = operandBytes({ code } as InsnView);
        if (info.operandSize !== 0) expect([Code[code], bytes * 8]).toEqual([Code[code], info.operandSize]);
      }
    }
  });
});
