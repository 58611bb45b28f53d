/**
 * x87 instructions done in emitted code against the helpers: with the denormal exception unmasked a helper does the same instruction, and
 * without denormal operands it must come to the same result.
 */

import { expect, it } from 'vitest';
import { END, TestMachine } from '../../../test/support/machine-with.js';
import { randomBits } from '../../../test/support/random-bits.js';
import { RDI, S } from '../state.js';

const numbers = randomBits(5), { random, bits } = numbers;
/** Runs of ones and zeros at random places, or random bits. */
function significand(n: number): bigint {
  const v = random(3) === 0 ? bits(n) : random(2) === 0 ? bits(n) & (-1n << BigInt(random(n))) : (1n << BigInt(random(n))) - (1n << BigInt(random(n)));
  return BigInt.asUintN(n, v);
}
const register = (): bigint => {
  const kind = random(16), sign = BigInt(random(2)) << 79n;
  if (kind === 0) return sign;
  if (kind === 1) return sign | (0x7fffn << 64n) | (1n << 63n);
  const exponent = kind < 9 ? 16381 + random(6) : kind < 13 ? 16383 - 70 + random(140) : kind === 13 ? 1 + random(3) : kind === 14 ? 0x7ffe - random(3) : 1 + random(0x7ffe);
  return sign | (BigInt(exponent) << 64n) | (1n << 63n) | significand(63);
};
const double = (): bigint => (BigInt(random(2)) << 63n) | (BigInt(random(4) === 0 ? 1 + random(2046) : 1021 + random(5)) << 52n) | significand(52);
const single = (): bigint => (BigInt(random(2)) << 31n) | (BigInt(random(4) === 0 ? 1 + random(254) : 125 + random(5)) << 23n) | significand(23);
const integer = (): bigint => (random(3) === 0 ? BigInt(random(9) - 4) : bits(64) >> BigInt(random(60)));

const t = new TestMachine();
const { s } = t.vcpu;
const MEM = 0x30_0000, TOP = 5;
const at = (i: number): number => S.st + 16 * ((TOP + i) & 7);

interface Outcome {
  readonly fault: number;
  readonly state: string;
}
function run(registers: readonly bigint[], memory: bigint, control: number): Outcome {
  const data = new DataView(new ArrayBuffer(16));
  data.setBigUint64(0, BigInt.asUintN(64, memory), true);
  t.phys.write(MEM, new Uint8Array(data.buffer));
  registers.forEach((v, i) => {
    s.set64(at(i), BigInt.asUintN(64, v));
    s.set64(at(i) + 8, v >> 64n);
  });
  s.set32(S.ftw, 0xffff & ~0b1111 << 10 & ~(3 << (2 * ((TOP + 2) & 7))));
  s.set32(S.fsw, (TOP << 11) | (random(2) << 9));
  for (const field of [S.fip, S.fdp]) s.set64(field, 0n);
  for (const field of [S.fcs, S.fds]) s.set32(field, 0);
  s.set32(S.fcw, control);
  t.start(64, 0x20_0000);
  s.rflags = 0x8d7;
  s.setGpr(RDI, BigInt(MEM));
  const { fault } = t.runToHalt();
  const fields = [S.fsw, S.ftw, S.fcs, S.fds].map((f) => s.get32(f)), pointers = [S.fip, S.fdp].map((f) => s.get64(f));
  const stack = [-1, 0, 1, 2].map((i) => s.get64(at(i)) | (s.get64(at(i) + 8) << 64n));
  return { fault, state: [...fields, ...pointers, ...stack, s.rflags, ...t.phys.read(MEM, 16)].map((v) => v.toString(16)).join(' ') };
}

it.each([
  ['fadd', [0xd8, 0xc1]], ['fmul', [0xd8, 0xc9]], ['fsub', [0xd8, 0xe1]], ['fsubr', [0xd8, 0xe9]], ['fdiv', [0xd8, 0xf1]], ['fdivr', [0xd8, 0xf9]],
  ['fadd to st(2)', [0xdc, 0xc2]], ['faddp', [0xde, 0xc1]], ['fmulp', [0xde, 0xca]], ['fsubp', [0xde, 0xe9]], ['fdivp', [0xde, 0xf9]],
  ['fadd m64', [0xdc, 0x07], double], ['fsubr m64', [0xdc, 0x2f], double], ['fmul m32', [0xd8, 0x0f], single], ['fdiv m32', [0xd8, 0x37], single],
  ['fiadd m32', [0xda, 0x07], integer], ['fimul m16', [0xde, 0x0f], integer],
  ['fst m64', [0xdd, 0x17]], ['fstp m64', [0xdd, 0x1f]], ['fst m32', [0xd9, 0x17]], ['fstp m32', [0xd9, 0x1f]],
  ['fist m16', [0xdf, 0x17]], ['fist m32', [0xdb, 0x17]], ['fistp m64', [0xdf, 0x3f]], ['fisttp m32', [0xdb, 0x0f]],
] as [string, number[], (() => bigint)?][])('%s as the helper does it', (name, code, memory) => {
  t.phys.write(0x20_0000, Uint8Array.of(...code, ...END));
  for (let round = 0; round < 300; round++) {
    const registers = [register(), register(), register()], operand = memory?.() ?? 0n;
    // Nearly the same, but not a denormal.
    if (random(4) === 0) registers[1] = registers[0]! ^ (random(2) === 0 || ((registers[0]! >> 64n) & 0x7fffn) === 0n ? 0n : 1n << BigInt(random(63)));
    const control = 0x3f | ([0, 2, 3][random(3)]! << 8) | ((random(6) === 0 ? random(4) : 0) << 10), before = numbers.seed;
    const fast = run(registers, operand, control);
    numbers.seed = before;
    const slow = run(registers, operand, control & ~2);
    expect(fast, `${name}: ${registers.map((v) => v.toString(16)).join(' ')} and ${operand.toString(16)} with ${control.toString(16)}`).toEqual(slow);
  }
});

it('FLDCW makes an exception wait that it unmasks; FNSTCW and FNSTSW tell; the next FLDCW raises it', () => {
  t.phys.write(MEM, Uint8Array.of(0x7e, 0x03, 0, 0));
  // FLDCW [rdi]; FNSTCW [rdi+2]; FNSTSW AX
  t.phys.write(0x20_0000, Uint8Array.of(0xd9, 0x2f, 0xd9, 0x7f, 2, 0xdf, 0xe0, ...END));
  t.start(64, 0x20_0000);
  s.set64(S.cr0, s.get64(S.cr0) | 0x20n);
  s.set32(S.fcw, 0x37f);
  s.set32(S.fsw, 0x3801);
  s.setGpr(RDI, BigInt(MEM));
  s.setGpr(0, 0x1234_5678_9abc_def0n);
  expect(t.runToHalt().fault).toBe(-1);
  expect([s.get32(S.fcw), [...t.phys.read(MEM + 2, 2)], s.gpr(0)]).toEqual([0x37e, [0x7e, 0x03], 0x1234_5678_9abc_b881n]);
  s.rip = 0x20_0000n;
  s.set32(S.activity, 0);
  expect(t.runToHalt().fault).toBe(16);
});
