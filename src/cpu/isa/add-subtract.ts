/**
 * ADD ADC SUB SBB CMP INC DEC NEG, ADCX ADOX: integer addition and subtraction.
 *
 * SDM 2 and APM 3, under those names. All six status flags are defined; INC and DEC leave CF alone, ADCX and ADOX
 * change one flag each.
 */

import { Mnemonic } from 'iced-x86';
import type { Body } from '../builder.js';
import { allForms, insn } from '../insn.js';
import { adcCarries, addCarries, sbbBorrows, subBorrows } from './carries.js';

const adder = (withCarry: boolean): Body => (s, dst, src) => {
  const x = dst.read();
  const y = src.read();
  const plain = s.add(x, y);
  const sum = withCarry ? s.add(plain, s.zext(s.flag('CF'), x.width)) : plain;
  dst.write(sum);
  s.setArithmeticFlags(sum, (withCarry ? adcCarries : addCarries)(s, x, y, sum));
};

const subtracter = (withBorrow: boolean, keep: boolean): Body => (s, dst, src) => {
  const x = dst.read();
  const y = src.read();
  const plain = s.sub(x, y);
  const difference = withBorrow ? s.sub(plain, s.zext(s.flag('CF'), x.width)) : plain;
  if (keep) dst.write(difference);
  s.setArithmeticFlags(difference, (withBorrow ? sbbBorrows : subBorrows)(s, x, y, difference));
};

insn('ADD', { forms: allForms(Mnemonic.Add), lockable: true, body: adder(false) });
insn('ADC', { forms: allForms(Mnemonic.Adc), lockable: true, body: adder(true) });
insn('SUB', { forms: allForms(Mnemonic.Sub), lockable: true, body: subtracter(false, true) });
insn('SBB', { forms: allForms(Mnemonic.Sbb), lockable: true, body: subtracter(true, true) });
insn('CMP', { forms: allForms(Mnemonic.Cmp), body: subtracter(false, false) });

insn('INC', {
  forms: allForms(Mnemonic.Inc),
  lockable: true,
  body: (s, dst) => {
    const x = dst.read();
    const sum = s.add(x, s.c(x.width, 1));
    dst.write(sum);
    // Adding one turns a bit from 1 to 0 exactly where the carry goes on.
    s.setArithmeticFlags(sum, s.and(x, s.not(sum)), { keepCF: true });
  },
});

insn('DEC', {
  forms: allForms(Mnemonic.Dec),
  lockable: true,
  body: (s, dst) => {
    const x = dst.read();
    const difference = s.sub(x, s.c(x.width, 1));
    dst.write(difference);
    s.setArithmeticFlags(difference, s.and(s.not(x), difference), { keepCF: true });
  },
});

insn('NEG', {
  forms: allForms(Mnemonic.Neg),
  lockable: true,
  body: (s, dst) => {
    const x = dst.read();
    const negative = s.neg(x);
    dst.write(negative);
    s.setArithmeticFlags(negative, s.or(x, negative)); // the borrows of 0 - x
  },
});

const oneFlagAdder = (flag: 'CF' | 'OF'): Body => (s, dst, src) => {
  const x = dst.read();
  const y = src.read();
  const sum = s.add(s.add(x, y), s.zext(s.flag(flag), x.width));
  const carry = s.msb(adcCarries(s, x, y, sum));
  dst.write(sum);
  s.setFlags({ [flag]: carry });
};

insn('ADCX', { forms: allForms(Mnemonic.Adcx), body: oneFlagAdder('CF') });
insn('ADOX', { forms: allForms(Mnemonic.Adox), body: oneFlagAdder('OF') });
