/**
 * JMP CALL RET (near), Jcc, LOOP LOOPE LOOPNE, JCXZ JECXZ JRCXZ. SDM 2 and APM 3, under those names. No flags.
 *
 * Invariant: a target that faults leaves RSP where it was, so indirect calls and returns check it before they move RSP.
 */

import { Code, Mnemonic } from 'iced-x86';
import type { Builder, Val } from '../builder.js';
import { GP } from '../events.js';
import { allForms, insn } from '../insn.js';
import { CS, RCX, RSP, SEG, segAddress, SS } from '../state.js';
import { CONDITIONS } from './conditions.js';
import { stackAt } from './stack-pointer.js';

const widened = (s: Builder, v: Val): Val => (v.width === 64 ? v : s.zext(v, 64));

/** #GP(0) for a target that is not canonical, or beyond the limit of CS outside 64-bit mode. */
function checkTarget(s: Builder, target: Val): void {
  if (s.codeSize === 64) {
    if (target.width === 64) s.raiseIf(s.ne(s.sar(s.shl(target, 16), 16), target), GP, 0);
    return;
  }
  const offset = target.width === 16 ? s.zext(target, 32) : target;
  s.raiseIf(s.ltU(s.getState(segAddress(CS) + SEG.limit, 32), offset), GP, 0);
}

insn('JMP', {
  forms: [
    Code.Jmp_rel16, Code.Jmp_rel32_32, Code.Jmp_rel32_64, Code.Jmp_rel8_16, Code.Jmp_rel8_32, Code.Jmp_rel8_64,
  ],
  endsBlock: true,
  body: (s) => s.branch(),
});
insn('JMP indirect', {
  forms: [Code.Jmp_rm16, Code.Jmp_rm32, Code.Jmp_rm64],
  endsBlock: true,
  body: (s, target) => s.jump(widened(s, target.read())),
});

insn('CALL', {
  forms: [Code.Call_rel16, Code.Call_rel32_32, Code.Call_rel32_64],
  endsBlock: true,
  body: (s) => {
    const width = s.operandWidth;
    s.push(width === 64 ? s.nextRip() : s.trunc(s.nextRip(), width));
    s.branch();
  },
});
insn('CALL indirect', {
  forms: [Code.Call_rm16, Code.Call_rm32, Code.Call_rm64],
  endsBlock: true,
  perMode: true,
  body: (s, operand) => {
    const target = operand.read();
    checkTarget(s, target);
    s.push(target.width === 64 ? s.nextRip() : s.trunc(s.nextRip(), target.width));
    s.jump(widened(s, target));
  },
});

/** RET and RET imm16: the immediate counts bytes of parameters above the return address. */
insn('RET', {
  forms: allForms(Mnemonic.Ret),
  endsBlock: true,
  perMode: true,
  body: (s, parameters?) => {
    const width = s.operandWidth as 16 | 32 | 64;
    const stack = stackAt(s, RSP);
    const target = s.load(SS, stack.offset, width);
    checkTarget(s, target);
    const above = s.add(stack.offset, s.c(64, width / 8));
    stack.setRsp(parameters === undefined ? above : s.add(above, s.zext(parameters.read(), 64)));
    s.jump(widened(s, target));
  },
});

for (const [suffix, cc] of CONDITIONS) {
  insn(`J${suffix}`, {
    forms: allForms(Mnemonic[`J${cc}` as keyof typeof Mnemonic] as unknown as Mnemonic),
    endsBlock: true,
    body: (s) => s.branchIf(s.condition(cc)),
  });
}

type CountWidth = 16 | 32 | 64;

/** The forms of a counting branch by the width of its counter, which is the address size. */
function byCounter(mnemonic: Mnemonic): Map<CountWidth, number[]> {
  const forms = new Map<CountWidth, number[]>();
  for (const form of allForms(mnemonic)) {
    const name = Code[form];
    const width = /_RCX$|^Jrcxz/.test(name) ? 64 : /_ECX$|^Jecxz/.test(name) ? 32 : 16;
    forms.set(width, [...(forms.get(width) ?? []), form]);
  }
  return forms;
}

const LOOPS = [
  ['LOOP', Mnemonic.Loop, undefined],
  ['LOOPE', Mnemonic.Loope, 'e'],
  ['LOOPNE', Mnemonic.Loopne, 'ne'],
] as const;
for (const [name, mnemonic, cc] of LOOPS) {
  for (const [width, forms] of byCounter(mnemonic)) {
    insn(name, {
      forms,
      endsBlock: true,
      body: (s) => {
        const count = s.sub(s.reg(RCX, width), s.c(width, 1));
        const again = s.ne(count, s.c(width, 0));
        s.setReg(RCX, count);
        s.branchIf(cc === undefined ? again : s.and(again, s.condition(cc)));
      },
    });
  }
}

for (const [name, mnemonic] of [['JCXZ', Mnemonic.Jcxz], ['JECXZ', Mnemonic.Jecxz], ['JRCXZ', Mnemonic.Jrcxz]] as const) {
  for (const [width, forms] of byCounter(mnemonic)) {
    insn(name, { forms, endsBlock: true, body: (s) => s.branchIf(s.isZero(s.reg(RCX, width))) });
  }
}
