import { Code } from 'iced-x86';
import { describe, expect, it } from 'vitest';
import { allInsns, insnFor, opCodeInfo } from '../insn.js';
import './index.js';

describe('integer descriptions', () => {
  it('cover every form of the instructions that they name', () => {
    const covered = new Set([...allInsns()].flatMap((i) => i.forms.map((f) => opCodeInfo(f).mnemonic)));
    // Far transfers and moves of system registers belong to other descriptions; Jmpe and the like are of other processors.
    const elsewhere = /^(Mov_(r32|r64)_(cr|dr|tr)$|Mov_(cr|dr|tr)_|Mov_Sreg|Pop[wdq]_|(Call|Jmp)_(ptr|m))|_xmm|_xmmm|Cmpxchg486/;
      const missing: string[] = [];
    for (const code of Object.values(Code)) {
      if (typeof code !== 'number') continue;
      const info = opCodeInfo(code);
      const name = Code[code];
      if (info.encoding !== 0 || !covered.has(info.mnemonic) || insnFor(code) !== undefined) continue;
      if (!elsewhere.test(name)) missing.push(name);
    }
    expect(missing).toEqual([]);
  });

  it('take LOCK where the manual allows it, and nowhere else', () => {
    for (const spec of allInsns()) {
      if (spec.forms.every((f) => !opCodeInfo(f).canUseLockPrefix)) expect([spec.name, spec.lockable]).toEqual([spec.name, false]);
      else expect([spec.name, spec.lockable]).toEqual([spec.name, true]);
    }
  });
});
