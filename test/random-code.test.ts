/** Whatever bytes a guest runs, in whatever state: the run loop returns. It never throws, and never hangs beyond its budget. */

import { expect, it } from 'vitest';
import { TestMachine } from './support/machine-with.js';

/** Escapes, prefixes and opcodes with many forms, so that more than the one-byte instructions come up. */
const FREQUENT = [0x0f, 0x66, 0xf3, 0xf2, 0x48, 0x67, 0x65, 0x36, 0xc4, 0xf0, 0xd9, 0xdd];
const RUNS = 200, CYCLES = 300;

it.each([1])('random code ends in a fault, a halt or the end of the slice (seed %i)', (first) => {
  let seed = first;
  const random = (below: number): number => {
    seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
    return (seed >>> 16) % below;
  };
  const t = new TestMachine();
  for (let run = 0; run < RUNS; run++) {
    const code = Uint8Array.from({ length: 64 }, () => random(256));
    for (let i = 0; i < code.length; i += 1 + random(6)) code[i] = FREQUENT[random(FREQUENT.length)]!;
    const bits = ([64, 32, 16] as const)[random(3)]!;
    const at = (bits === 16 ? 0xa000 : 0x20_0000) + random(0x3000);
    t.vcpu.reset();
    t.buildTables();
    t.phys.write(at, code);
    t.start(bits, at);
    for (let i = 0; i < 16; i++)
      t.vcpu.s.setGpr(i, random(3) === 0 ? BigInt.asUintN(64, BigInt(random(65536)) * 0x1234_5678_90abn) : BigInt(0x30_0000 + random(65536) * 8));
    t.vcpu.s.rflags = (random(65536) & 0xcd5) | 2;
    const before = `run ${run}: ${bits}-bit ${Buffer.from(code).toString('hex')}`;
    try {
      t.vcpu.run(0, CYCLES);
    } catch (e) {
      throw new Error(before, { cause: e });
    }
    t.vcpu.stopReason = undefined; // "not implemented" is an orderly end
    expect(t.vcpu.elapsed, before).toBeLessThan(100_000);
  }
});
