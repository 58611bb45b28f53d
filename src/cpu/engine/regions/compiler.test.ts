/** Regions as they come and go: hot places, dropped pages, a full house, the look behind a store to code; cycle mode's caches and TLBs. */
import { describe, expect, it } from 'vitest';
import { TestMachine } from '../../../../test/support/machine-with.js';
import { RAX, RBP, RBX, RCX, RDI, RDX, RSI, RSP, S } from '../../state.js';
import { type CompilerOptions, DEFAULT_COMPILER, EAGER_COMPILER } from './compiler.js';

const at = 0x20_0000;
/** mov ecx, N; loop: add rax, rcx; dec ecx; jnz loop */
const loop = (n: number): number[] => [0xb9, n & 255, (n >> 8) & 255, (n >> 16) & 255, 0, 0x48, 0x01, 0xc8, 0xff, 0xc9, 0x75, 0xf9];

describe('compiler', () => {
  it('finds a loop, runs it there, and gives it up when its page is written', () => {
    const t = new TestMachine(undefined, DEFAULT_COMPILER);
    t.execute(loop(300_000));
    const { stats } = t.vcpu.engine.compiler!;
    expect(t.vcpu.s.gpr(RAX)).toBe(45_000_150_000n);
    expect([stats.compiled, stats.regions]).toEqual([1, 1]);
    expect(stats.hits).toBeGreaterThan(0);
    t.phys.write(at, Uint8Array.of(0x90));
    expect([stats.regions, stats.bytes]).toEqual([0, 0]);
  });

  it('compiles all of a loop that is longer than a region, and nothing twice', () => {
    const t = new TestMachine(undefined, DEFAULT_COMPILER), code = Array.from({ length: 598 }, () => [0x48, 0x01, 0xc3]).flat(); // add rbx, rax
    t.execute([...code, 0xff, 0xc9, 0x0f, 0x85, ...new Uint8Array(Int32Array.of(-8 - code.length).buffer)], { [RAX]: 1n, [RCX]: 1600n });
    const { stats } = t.vcpu.engine.compiler!;
    expect(t.vcpu.s.gpr(RBX)).toBe(956_800n);
    expect([stats.compiled, stats.instructions]).toEqual([3, 600]);
  });

  it('finds both halves of a loop whose length divides the time between two looks', () => {
    const t = new TestMachine(undefined, { ...DEFAULT_COMPILER, sample: 1000, threshold: 2000 });
    // loop: dec ecx; jz end; push half; ret. half: four nops; push loop; ret: ten cycles
    const pushAndReturn = (to: number): number[] => [0x68, to & 255, (to >> 8) & 255, (to >> 16) & 255, 0, 0xc3];
    t.phys.write(at + 0x100, Uint8Array.of(0x90, 0x90, 0x90, 0x90, ...pushAndReturn(at)));
    t.execute([0xff, 0xc9, 0x74, 0x06, ...pushAndReturn(at + 0x100)], { [RCX]: 50_000n });
    expect(t.vcpu.engine.compiler!.stats.regions).toBeGreaterThan(1);
  });

  it('gives regions up when the house is full, and goes on', () => {
    const t = new TestMachine(undefined, { ...EAGER_COMPILER, maxRegions: 2 });
    for (let i = 0; i < 6; i++) {
      t.execute(loop(10 + i), {}, 64, at + i * 0x1000);
      expect(t.vcpu.s.gpr(RAX)).toBe(BigInt(((10 + i) * (11 + i)) / 2));
    }
    const { stats } = t.vcpu.engine.compiler!;
    expect(stats.evictions).toBeGreaterThan(0);
    expect(stats.regions).toBeLessThanOrEqual(2);
  });

  it('keeps what is hot when the house is full, and gives up what is cold', () => {
    const t = new TestMachine(undefined, { ...EAGER_COMPILER, maxRegions: 8 });
    const { stats } = t.vcpu.engine.compiler!, page = (i: number): number => at + i * 0x1000, hot = page(0);
    // add rax, rcx; dec ecx; jnz back; hlt, on every page
    for (let i = 0; i <= 20; i++) t.phys.write(page(i), Uint8Array.of(0x48, 0x01, 0xc8, 0xff, 0xc9, 0x75, 0xf9, 0xf4, 0xeb, 0xfe));
    const newRegions = (rip: number, passes: number): number => {
      const before = stats.compiled;
      t.start(64, rip);
      t.vcpu.s.setGpr(RAX, 0n);
      t.vcpu.s.setGpr(RCX, BigInt(passes));
      expect(t.runToHalt(1_000_000).fault).toBe(-1);
      expect(t.vcpu.s.gpr(RAX)).toBe(BigInt((passes * (passes + 1)) / 2));
      return stats.compiled - before;
    };
    expect(newRegions(hot, 5000)).toBe(1);
    for (let i = 1; i <= 20; i++) {
      expect(newRegions(page(i), 3)).toBe(1);
      // Long enough for a look to find the guest there.
      expect(newRegions(hot, 5000)).toBe(0);
    }
    expect(stats.regions).toBeLessThanOrEqual(8);
    expect(stats.evictions).toBe(21 - stats.regions);
    expect([newRegions(page(20), 3), newRegions(page(1), 3)]).toEqual([0, 1]);
  });

  it('a store to the next instruction is seen by it', () => {
    const t = new TestMachine(undefined, EAGER_COMPILER);
    // mov byte [rbx], 5; mov ecx, 1 whose immediate is at rbx
    const code = [0xc6, 0x03, 0x05, 0xb9, 1, 0, 0, 0];
    t.execute(code, { [RBX]: BigInt(at + 4) });
    expect(t.vcpu.s.gpr(RCX)).toBe(5n);
  });

  it('a fault in a loop leaves the registers of its instruction', () => {
    const t = new TestMachine(undefined, EAGER_COMPILER);
    // loop: inc rax; mov rcx, [rbx]; add rbx, 0x100000; jmp loop: runs out of the mapped 8 MiB
    const { fault } = t.execute([0x48, 0xff, 0xc0, 0x48, 0x8b, 0x0b, 0x48, 0x81, 0xc3, 0, 0, 0x10, 0, 0xeb, 0xf1], { [RBX]: 0x30_0000n });
    expect([fault, t.vcpu.s.gpr(RAX), t.vcpu.s.gpr(RBX)]).toEqual([14, 6n, 0x80_0000n]);
  });

  it('what a region takes for granted is looked at again behind a helper', () => {
    const t = new TestMachine(undefined, EAGER_COMPILER);
    // loop: addsd xmm0, xmm0; inc rcx; mov cr0, rbx; mov rbx, rdx; jmp loop: sets CR0.TS the second time
    const { fault } = t.execute([0xf2, 0x0f, 0x58, 0xc0, 0x48, 0xff, 0xc1, 0x0f, 0x22, 0xc3, 0x48, 0x89, 0xd3, 0xeb, 0xf1], { [RBX]: 0x8000_0001n, [RDX]: 0x8000_0009n });
    expect([fault, t.vcpu.s.gpr(RCX)]).toEqual([7, 2n]);
    // And where a region is entered.
    t.phys.write(at, Uint8Array.of(0xf2, 0x0f, 0x58, 0xc0, 0xf4));
    t.start(64, at);
    t.runToHalt();
    t.start(64, at);
    t.vcpu.s.set64(S.cr0, 0x8000_0009n);
    t.vcpu.modeChanged();
    expect(t.runToHalt().fault).toBe(7);
  });

  it('forgets where a page was when the guest maps it elsewhere', () => {
    const t = new TestMachine(undefined, EAGER_COMPILER);
    t.phys.write(0x40_0000, Uint8Array.of(1, 0, 0, 0));
    t.phys.write(0x60_0000, Uint8Array.of(100, 0, 0, 0));
    // loop: mov eax, [0x400000]; add rsi, rax; mov [0x8010], rbx (its page-directory entry); invlpg [0x400000]; dec ecx; jnz loop
    const code = [0x8b, 0x04, 0x25, 0, 0, 0x40, 0, 0x48, 0x01, 0xc6, 0x48, 0x89, 0x1c, 0x25, 0x10, 0x80, 0, 0, 0x0f, 0x01, 0x3c, 0x25, 0, 0, 0x40, 0, 0xff, 0xc9, 0x75, 0xe2];
    t.execute(code, { [RBX]: 0x60_0087n, [RCX]: 3n });
    expect(t.vcpu.s.gpr(RSI)).toBe(201n);
  });

  it('an access that ends in a page that is known, and begins in another, takes both', () => {
    const t = new TestMachine(undefined, EAGER_COMPILER);
    t.phys.write(0x8010, Uint8Array.of(0x87, 0, 0x60, 0)); // the third 2-MByte page is not behind the second
    t.phys.write(0x3f_fffc, Uint8Array.of(1, 2, 3, 4));
    // loop: mov [rsp], rax; mov rbx, [rsp-4]; dec ecx; jnz loop
    t.execute([0x48, 0x89, 0x04, 0x24, 0x48, 0x8b, 0x5c, 0x24, 0xfc, 0xff, 0xc9, 0x75, 0xf3], { [RAX]: 0x0807_0605n, [RCX]: 4n, [RSP]: 0x40_0000n });
    expect(t.vcpu.s.gpr(RBX)).toBe(0x0807_0605_0403_0201n);
  });

  it('a loop over two pages stays compiled', () => {
    const t = new TestMachine(undefined, { ...DEFAULT_COMPILER, sample: 1000, threshold: 2000 });
    // At the page's end: loop: add rax, rcx; jmp to the next page; there: dec ecx; jnz back
    const first = at + 0x1000 - 8, second = at + 0x1000;
    t.phys.write(second, Uint8Array.of(0xff, 0xc9, 0x75, 0xf4, 0xf4, 0xeb, 0xfe)); // dec ecx; jnz first; hlt
    t.phys.write(first, Uint8Array.of(0x48, 0x01, 0xc8, 0x0f, 0x1f, 0x44, 0, 0)); // add rax, rcx; nop of five bytes: falls into the next page
    t.start(64, first);
    for (let i = 0; i < 16; i++) t.vcpu.s.setGpr(i, i === RCX ? 50_000n : 0n);
    expect(t.runToHalt(1_000_000).fault).toBe(-1);
    expect(t.vcpu.s.gpr(RAX)).toBe(1_250_025_000n);
    const { stats } = t.vcpu.engine.compiler!;
    expect(stats.compiled).toBe(1);
    expect(stats.hits / stats.samples).toBeGreaterThan(0.1);
  });
});

describe('cycle mode', () => {
  /** Cycles, and the timing core's tables, after `pieces` of code have run 20,000 times: each but the last, which loops to the first, jumps to the next. */
  function run(compiler: CompilerOptions | undefined, pieces: readonly { at: number; code: readonly number[] }[], registers: Readonly<Record<number, bigint>>): { cycles: number; tables: string; compiled: number; instructions: number } {
    const t = new TestMachine(undefined, compiler, { profile: 'nehalem-2008', cpus: 1 });
    const relative = (from: number, to: number): number[] => [...new Uint8Array(Int32Array.of(to - from).buffer)];
    // A second name for the first large page of data, in the set of the large-page TLB that the code's page is in.
    t.phys.write(0x8000 + 8 * 9, Uint8Array.of(0x87, 0, 0x40, 0, 0, 0, 0, 0));
    pieces.forEach((p, i) => {
      const end = p.at + p.code.length, last = i === pieces.length - 1;
      t.phys.write(p.at, Uint8Array.of(...p.code, ...(last ? [0xff, 0xc9, 0x0f, 0x85, ...relative(end + 8, pieces[0]!.at), 0xf4, 0xeb, 0xfe] : [0xe9, ...relative(end + 5, pieces[i + 1]!.at)])));
    });
    t.start(64, pieces[0]!.at);
    for (let i = 0; i < 16; i++) t.vcpu.s.setGpr(i, registers[i] ?? (i === RCX ? 20_000n : 0n));
    t.runToHalt(20_000_000);
    const stats = t.vcpu.engine.compiler?.stats;
    return { cycles: t.vcpu.elapsed, tables: Buffer.from(t.timingTables).toString('base64'), compiled: stats?.compiled ?? 0, instructions: stats?.instructions ?? 0 };
  }
  const nop = [0x90], load = [0x48, 0x8b, 0x03]; // mov rax, [rbx]
  it.each([
    ['lines of one set of the L1I', [{ at, code: nop }, { at: at + 0x2000, code: nop }, { at: at + 0x40, code: nop }], {}],
    ['data in the large-page TLB set of the code', [{ at, code: load }, { at: at + 0x80, code: nop }], { [RBX]: 0x120_0000n }],
    ['data in the large-page TLB set of the stack', [{ at, code: [0x50, ...load, 0x5a] }], { [RBX]: 0x120_0000n, [RSP]: 0x38_0000n }], // push rax, pop rdx
  ] as const)('%s: as the interpreter', (_name, pieces, registers) => {
    const interpreted = run(undefined, pieces, registers), compiled = run({ ...DEFAULT_COMPILER, sample: 1000, threshold: 2000 }, pieces, registers);
    expect(compiled.compiled).toBeGreaterThan(0);
    expect([compiled.cycles, compiled.tables === interpreted.tables]).toEqual([interpreted.cycles, true]);
  });
  it('what takes long is not hot if it is few instructions', () => {
    const options = { ...DEFAULT_COMPILER, threshold: 150_000, coveredThreshold: 150_000 };
    // mov esi, ecx; cpuid; mov ecx, esi
    const few = run(options, [{ at, code: [0x89, 0xce, 0x0f, 0xa2, 0x89, 0xf1] }], {}), many = run(options, [{ at, code: Array<number>(24).fill(0x90) }], {});
    expect([few.compiled, many.compiled]).toEqual([0, 1]);
    expect(few.cycles).toBeGreaterThan(many.cycles);
  });
  it.each([5, 6])('a call that pushes over the code it goes to goes to what is there then (pass %i from the end)', (pass) => {
    const f = at + 0x1000, sum = (compiler?: CompilerOptions): string => {
      const t = new TestMachine(undefined, compiler, { profile: 'nehalem-2008', cpus: 1 });
      // Two functions: mov rax, number; ret. At 0x300000 their addresses, and the ends of their numbers.
      for (const i of [0, 1]) t.phys.write(f + 64 * i, Uint8Array.of(0x48, 0xb8, 1 + i, 0, 0, 0, 0, 0, 0, 0, 0xc3));
      t.phys.write(0x30_0000, new Uint8Array(BigInt64Array.of(BigInt(f), BigInt(f + 64), BigInt(f + 10), BigInt(f + 74)).buffer));
      // again: cmp ecx, pass; cmove rsp, [rbp+8*rdx]; call [rbx+8*rdx]; add rdi, rax; xor edx, 1; dec ecx; jnz again
      t.execute([0x83, 0xf9, pass, 0x48, 0x0f, 0x44, 0x64, 0xd5, 0, 0xff, 0x14, 0xd3, 0x48, 0x01, 0xc7, 0x83, 0xf2, 1, 0xff, 0xc9, 0x75, 0xea],
        { [RBX]: 0x30_0000n, [RBP]: 0x30_0010n, [RCX]: 20_000n, [RSP]: 0x30_1800n });
      if (compiler !== undefined) expect(t.vcpu.engine.compiler!.stats.compiled).toBeGreaterThan(0);
      return `${t.vcpu.s.gpr(RDI)} after ${t.vcpu.elapsed}`;
    };
    expect(sum({ ...DEFAULT_COMPILER, sample: 1000, threshold: 2000 })).toBe(sum());
  });
  it('what is too long for one region goes on in another', () => {
    // 190 times: adc [rbx+n], rax: less than the instructions of a region, more than its bytes
    const code = Array.from({ length: 190 }, (_, i) => [0x48, 0x11, 0x83, (8 * i) & 255, (8 * i) >> 8, 0, 0]).flat();
    const pieces = [{ at: at + 0xc00, code }], registers = { [RAX]: 3n, [RBX]: 0x30_0000n, [RCX]: 8000n };
    const interpreted = run(undefined, pieces, registers), compiled = run({ ...DEFAULT_COMPILER, sample: 1000, threshold: 2000 }, pieces, registers);
    expect([compiled.cycles, compiled.tables === interpreted.tables]).toEqual([interpreted.cycles, true]);
    // A look never finds what the second begins with: it is where no branch leads.
    expect(compiled.compiled).toBeGreaterThan(1);
    expect(compiled.instructions).toBeGreaterThan(190);
  });
});
