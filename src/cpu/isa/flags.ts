/** CLC STC CMC CLD STD LAHF SAHF SALC. SDM 2 and APM 3, under those names (SALC: APM 3 lists the opcode as undocumented). */

import { Code } from 'iced-x86';
import { insn } from '../insn.js';
import { AF, CF, DF, PF, RAX, S, SF, ZF } from '../state.js';

insn('CLC', { forms: [Code.Clc], body: (s) => s.setFlags({ CF: s.c(1, 0) }) });
insn('STC', { forms: [Code.Stc], body: (s) => s.setFlags({ CF: s.c(1, 1) }) });
insn('CMC', { forms: [Code.Cmc], body: (s) => s.setFlags({ CF: s.isZero(s.flag('CF')) }) });

insn('CLD', {
  forms: [Code.Cld],
  body: (s) => s.setState(S.rflagsRest, s.and(s.getState(S.rflagsRest, 32), s.c(32, ~DF >>> 0))),
});
insn('STD', {
  forms: [Code.Std],
  body: (s) => s.setState(S.rflagsRest, s.or(s.getState(S.rflagsRest, 32), s.c(32, DF))),
});

/** The flags that AH carries; its bit 1 is one. */
const IN_AH = [['CF', CF], ['PF', PF], ['AF', AF], ['ZF', ZF], ['SF', SF]] as const;

insn('LAHF', {
  forms: [Code.Lahf],
  body: (s) => {
    let ah = s.c(16, 2);
    for (const [name, mask] of IN_AH) ah = s.or(ah, s.shl(s.zext(s.flag(name), 16), Math.log2(mask)));
    s.setReg(RAX, s.or(s.and(s.reg(RAX, 16), s.c(16, 0xff)), s.shl(ah, 8)));
  },
});
insn('SAHF', {
  forms: [Code.Sahf],
  body: (s) => {
    const ax = s.reg(RAX, 16);
    const bit = (mask: number) => s.bit(ax, 8 + Math.log2(mask));
    s.setFlags({ CF: bit(CF), PF: bit(PF), AF: bit(AF), ZF: bit(ZF), SF: bit(SF) });
  },
});

insn('SALC', {
  forms: [Code.Salc],
  body: (s) => s.setReg(RAX, s.select(s.flag('CF'), s.c(8, 0xff), s.c(8, 0))),
});
