/** SETcc and CMOVcc. SDM 2 and APM 3, under those names. CMOVcc reads its source, and clears the upper half, in both cases. */

import { Mnemonic } from 'iced-x86';
import { allForms, insn } from '../insn.js';
import { CONDITIONS } from './conditions.js';

for (const [suffix, cc] of CONDITIONS) {
  const mnemonic = (prefix: string) => Mnemonic[`${prefix}${cc}` as keyof typeof Mnemonic] as unknown as Mnemonic;
  insn(`SET${suffix}`, {
    forms: allForms(mnemonic('Set')),
    body: (s, dst) => dst.write(s.zext(s.condition(cc), 8)),
  });
  insn(`CMOV${suffix}`, {
    forms: allForms(mnemonic('Cmov')),
    body: (s, dst, src) => {
      const v = src.read();
      dst.write(s.select(s.condition(cc), v, dst.read()));
    },
  });
}
