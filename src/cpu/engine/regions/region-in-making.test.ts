/** What happens between two steps of a region's making: its page is written, its records are given up, a breakpoint comes, the machine is restored. */
import { describe, expect, it } from 'vitest';
import { TestMachine } from '../../../../test/support/machine-with.js';
import { RAX, RBX, RCX } from '../../state.js';
import type { Compiler } from './compiler.js';
import { DEFAULT_COMPILER } from './compiler.js';

const at = 0x20_0000, OPTIONS = { ...DEFAULT_COMPILER, sample: 400 };
/** again: add rax, 1; mov rdx, rax; xor rdx, rbx; inc rbx; dec ecx; jnz again; then hlt */
const LOOP = [0x48, 0x83, 0xc0, 1, 0x48, 0x89, 0xc2, 0x48, 0x31, 0xda, 0x48, 0xff, 0xc3, 0xff, 0xc9, 0x75, 0xef, 0xf4, 0xeb, 0xfe];
const IMMEDIATE = 3, PASSES = 20_000;

/** A machine in the loop, and what goes on with it by some cycles, or to the end. */
function start(code: readonly number[] = LOOP): { t: TestMachine; compiler: Compiler; go: (cycles: number) => string } {
  const t = new TestMachine(undefined, OPTIONS), { vcpu } = t;
  t.phys.write(at, Uint8Array.of(...code));
  t.start(64, at);
  for (let i = 0; i < 16; i++) vcpu.s.setGpr(i, i === RCX ? BigInt(PASSES) : 0n);
  let time = 0;
  const go = (cycles: number): string => {
    const exit = vcpu.run(time, cycles);
    time += vcpu.elapsed;
    return exit;
  };
  return { t, compiler: vcpu.engine.compiler!, go };
}
/** Runs until the region has had so many steps. */
function untilStep(step: number, { compiler, go }: ReturnType<typeof start>): void {
  while (!compiler.busy) go(20);
  for (let i = 1; i < step; i++) go(OPTIONS.sample / 4 + 20);
  expect(compiler.busy).toBe(true);
}

describe.each([1, 2, 3, 5, 7])('behind step %i', (step) => {
  it('a store to its page makes it forgotten, and the loop is compiled as it is then', () => {
    const s = start();
    untilStep(step, s);
    const { t, compiler, go } = s, before = t.vcpu.s.gpr(RAX), left = t.vcpu.s.gpr(RBX);
    t.phys.write(at + IMMEDIATE, Uint8Array.of(3));
    expect([compiler.busy, compiler.stats.compiled]).toEqual([false, 0]);
    expect(go(1_000_000)).toBe('halt');
    expect(compiler.stats.regions).toBe(1);
    // The pass under way may have added before.
    expect(t.vcpu.s.gpr(RAX) - before - 3n * (BigInt(PASSES) - left)).toBeOneOf([0n, -3n]);
  });

  it('a store to another page does not', () => {
    const s = start();
    s.t.phys.write(at + 0x1000, Uint8Array.of(0xf4));
    untilStep(step, s);
    s.t.phys.write(at + 0x1000, Uint8Array.of(0x90));
    expect(s.compiler.busy).toBe(true);
  });

  it('records that have been given up are not written to when others are in their place', () => {
    const s = start();
    untilStep(step, s);
    const { t, compiler, go } = s;
    t.vcpu.engine.cache.reset();
    expect(compiler.busy).toBe(false);
    // mov ecx, 100; again: add rbx, 2; dec ecx; jnz again; hlt
    t.phys.write(at, Uint8Array.of(0xb9, 100, 0, 0, 0, 0x48, 0x83, 0xc3, 2, 0xff, 0xc9, 0x75, 0xf8, 0xf4, 0xeb, 0xfe));
    t.start(64, at);
    t.vcpu.s.setGpr(RBX, 0n);
    expect(go(100_000)).toBe('halt');
    expect(t.vcpu.s.gpr(RBX)).toBe(200n);
  });

  it('a breakpoint in it is met', () => {
    const s = start();
    untilStep(step, s);
    const { vcpu } = s.t;
    vcpu.engine.breakpoints.set(BigInt(at + 7));
    expect(s.compiler.busy).toBe(false);
    expect(s.go(10_000)).toBe('breakpoint');
    expect(Number(vcpu.s.rip)).toBe(at + 7);
  });
});

it('a loop that rewrites an instruction of a function it calls, while that is compiled, does as interpreted', () => {
  const f = at + 0x1000;
  const run = (options?: typeof OPTIONS): string => {
    const t = new TestMachine(undefined, options);
    // again: call f; mov edx, ecx; and edx, 127; jnz on; inc byte [f + 3]; on: dec ecx; jnz again; hlt
    t.phys.write(at, Uint8Array.of(0xe8, 0xfb, 0x0f, 0, 0, 0x89, 0xca, 0x83, 0xe2, 127, 0x75, 7, 0xfe, 0x04, 0x25, 3, 0x10, 0x20, 0, 0xff, 0xc9, 0x75, 0xe9, 0xf4, 0xeb, 0xfe));
    t.phys.write(f, Uint8Array.of(0x48, 0x83, 0xc0, 1, 0x48, 0x01, 0xc3, 0xc3)); // add rax, 1; add rbx, rax; ret
    t.start(64, at);
    for (let i = 0; i < 16; i++) t.vcpu.s.setGpr(i, i === RCX ? 4000n : i === 4 ? 0x30_1800n : 0n);
    t.runToHalt(1_000_000);
    if (options !== undefined) expect(t.vcpu.engine.compiler!.stats.compiled).toBeGreaterThan(0);
    return `${t.vcpu.s.gpr(RAX)} ${t.vcpu.s.gpr(RBX)} ${t.vcpu.elapsed} ${t.vcpu.instructions}`;
  };
  expect(run(OPTIONS)).toBe(run());
});
