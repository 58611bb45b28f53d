/** Every description makes valid code for each encoding, mode and kind of operand: nothing is left to be found when a guest runs it. */

import { Code } from 'iced-x86';
import { expect, it } from 'vitest';
import { TestMachine } from '../../../test/support/machine-with.js';
import { formOf } from '../engine/forms.js';
import { allInsns, opCodeInfo } from '../insn.js';

it.each([16, 32, 64] as const)('all descriptions have handlers in %i-bit code', (bits) => {
  const { handlers } = new TestMachine().vcpu.engine;
  const failed: string[] = [];
  let made = 0;
  for (const spec of allInsns()) {
    for (const code of spec.forms) {
      const info = opCodeInfo(code);
      if (!(bits === 64 ? info.mode64 : bits === 32 ? info.mode32 : info.mode16)) continue;
      const form = formOf(code);
      const memory = !form.hasMem ? [] : bits === 64 ? (['flat', 'full'] as const) : (['segmented'] as const);
      for (const addressing of form.hasMem && !form.hasRm ? memory : (['register', ...memory] as const)) {
        try {
          handlers.index(handlers.kind(spec, code, addressing, bits));
          made++;
        } catch (e) {
          failed.push(`${Code[code]} ${addressing}: ${String(e)}`);
        }
      }
    }
    try {
      handlers.install();
    } catch (e) {
      failed.push(`${spec.name}: ${String(e)}`);
    }
  }
  expect(failed).toEqual([]);
  expect(made).toBeGreaterThan(1000);
});
