/** Long repetitions against an element-by-element model: page stretches, overlaps, both directions, faults on the way. */

import { describe, expect, it } from 'vitest';
import { TestMachine } from '../../../test/support/machine-with.js';
import { PFV } from '../events.js';
import { RAX, RCX, RDI, RSI } from '../state.js';

const t = new TestMachine();
const reg = (i: number): number => Number(t.vcpu.s.gpr(i));
const BASE = 0x40_0000, BYTES = 0x8000;
const STD = 0xfd, CLD = 0xfc;
/** Prefixes and opcode of an element of 1, 2, 4 or 8 bytes. */
const opcode = (byteForm: number, size: number): number[] =>
  size === 1 ? [byteForm] : size === 2 ? [0x66, byteForm + 1] : size === 4 ? [byteForm + 1] : [0x48, byteForm + 1];
const withRep = (rep: number, [first, second]: number[]): number[] =>
  second === undefined ? [rep, first!] : first === 0x66 ? [first, rep, second] : [rep, first!, second];

let seed = 7;
const random = (below: number): number => {
  seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
  return (seed >>> 8) % below;
};
const randomBytes = (): Uint8Array => Uint8Array.from({ length: BYTES }, () => random(256));

describe.each([1, 2, 4, 8])('with elements of %i bytes', (size) => {
  it('REP MOVS copies like one MOVS after another', () => {
    for (let round = 0; round < 40; round++) {
      const down = round % 2 === 1;
      const n = random(2000);
      const step = down ? -size : size;
      const place = (): number => (down ? n * size + random(8000) : random(8000));
      const from = place(), to = round % 3 === 0 ? from + step * random(20) + random(3) : place();
      const model = randomBytes();
      t.phys.write(BASE, model);
      for (let i = 0; i < n; i++) for (const b of [...model.slice(from + i * step, from + i * step + size)].entries()) model[to + i * step + b[0]] = b[1];
      t.execute([down ? STD : CLD, ...withRep(0xf3, opcode(0xa4, size)), CLD], { [RSI]: BigInt(BASE + from), [RDI]: BigInt(BASE + to), [RCX]: BigInt(n) });
      expect(Buffer.compare(t.phys.read(BASE, BYTES), model), `round ${round}: ${n} from ${from} to ${to}`).toBe(0);
      expect([reg(RSI), reg(RDI), reg(RCX)]).toEqual([BASE + from + n * step, BASE + to + n * step, 0]);
    }
  });

  it('REP STOS fills exactly its elements', () => {
    for (let round = 0; round < 10; round++) {
      const down = round % 2 === 1;
      const n = random(1500);
      const step = down ? -size : size;
      const to = (down ? n * size : 0) + random(4000);
      const model = randomBytes();
      t.phys.write(BASE, model);
      for (let i = 0; i < n; i++) for (let b = 0; b < size; b++) model[to + i * step + b] = 0x11 * (b + 1);
      t.execute([down ? STD : CLD, ...withRep(0xf3, opcode(0xaa, size)), CLD], { [RAX]: 0x8877665544332211n, [RDI]: BigInt(BASE + to), [RCX]: BigInt(n) });
      expect(Buffer.compare(t.phys.read(BASE, BYTES), model)).toBe(0);
      expect(reg(RDI)).toBe(BASE + to + n * step);
    }
  });

  it('REPNE SCAS and REPE CMPS stop behind the element that ends them', () => {
    const hit = 5000 - (5000 % size);
    const memory = new Uint8Array(BYTES);
    memory[hit] = 0x77;
    t.phys.write(BASE, memory);
    t.execute(withRep(0xf2, opcode(0xae, size)), { [RAX]: 0x77n, [RDI]: BigInt(BASE), [RCX]: 100_000n });
    expect([reg(RDI), reg(RCX)]).toEqual([BASE + hit + size, 100_000 - hit / size - 1]);
    expect(t.vcpu.s.rflags & 0x40).toBe(0x40);
    t.execute(withRep(0xf3, opcode(0xa6, size)), { [RSI]: BigInt(BASE + BYTES), [RDI]: BigInt(BASE), [RCX]: 100_000n });
    expect(reg(RDI)).toBe(BASE + hit + size);
    expect(t.vcpu.s.rflags & 0x40).toBe(0);
  });
});

it.each([1, 2, 4, 8])('REPE and REPNE of CMPS and SCAS with elements of %i bytes compare like one after another', (size) => {
  const at = (m: Uint8Array, o: number): bigint => m.slice(o, o + size).reduceRight((v, b) => (v << 8n) | BigInt(b), 0n);
  for (let round = 0; round < 60; round++) {
    const memory = Uint8Array.from({ length: BYTES }, () => (random(40) === 0 ? random(3) : 0));
    const two = round % 2 === 0, repne = round % 4 < 2, down = round % 10 === 9;
    if (two && repne) for (let i = BYTES / 2; i < BYTES; i++) if (random(60) !== 0) memory[i] = 5;
    t.phys.write(BASE, memory);
    const n = 1 + random(1500), step = down ? -size : size, low = down ? n * size : 0;
    const from = low + random(1000), to = BYTES / 2 + (down ? 0 : random(1000)), rax = repne ? BigInt(random(3)) : 0n;
    let done = 0, x = 0n, y = 0n;
    do {
      x = two ? at(memory, from + done * step) : rax;
      y = at(memory, to + done * step);
      done++;
    } while (done < n && (x === y) !== repne);
    const code = [down ? STD : CLD, ...withRep(repne ? 0xf2 : 0xf3, opcode(two ? 0xa6 : 0xae, size)), CLD];
    t.execute(code, { [RAX]: rax, [RSI]: BigInt(BASE + from), [RDI]: BigInt(BASE + to), [RCX]: BigInt(n) });
    expect([reg(RSI), reg(RDI), reg(RCX)], `round ${round}`).toEqual([BASE + from + (two ? done * step : 0), BASE + to + done * step, n - done]);
    expect([t.vcpu.s.rflags & 0x40, t.vcpu.s.rflags & 1]).toEqual([x === y ? 0x40 : 0, x < y ? 1 : 0]);
  }
});

it('a page fault in a repetition leaves registers at the element that faulted', () => {
  const end = 0x80_0000;
  expect(t.execute([0xf3, 0xa4], { [RSI]: BigInt(BASE), [RDI]: BigInt(end - 5000), [RCX]: 6000n })).toEqual({ rip: 0x20_0000, fault: PFV });
  expect([reg(RSI), reg(RDI), reg(RCX)]).toEqual([BASE + 5000, end, 1000]);
  expect(t.execute([0xf3, 0x48, 0xab], { [RDI]: BigInt(end - 20), [RCX]: 10n }).fault).toBe(PFV);
  expect([reg(RDI), reg(RCX)]).toEqual([end - 4, 8]);
});

it('a repetition that overwrites its own code goes on with what is there then', () => {
  // REP STOSB of NOPs over itself and the INT3 behind it: the rest of the page runs as NOPs to the HLT.
  const at = 0x50_0000;
  expect(t.execute([0xf3, 0xaa, 0xcc, 0xcc], { [RAX]: 0x90n, [RDI]: BigInt(at), [RCX]: 4n }, 64, at)).toEqual({ rip: at + 4, fault: -1 });
});
