/** Indirect calls whose target changes in every way: whoever runs them, and whatever they remember, the run is the same. */
import { describe, expect, it } from 'vitest';
import { TestMachine } from '../../../test/support/machine-with.js';
import { CS, RAX, RBX, RCX, RDX, RSP } from '../state.js';
import { setSegment } from '../system/segments.js';
import { type CompilerOptions, DEFAULT_COMPILER, EAGER_COMPILER } from './regions/compiler.js';

const CODE = 0x20_0000, TABLE = 0x30_0000, FAR = 0x60_0000, OTHER = 0x40_0000, ALIAS = FAR + 0x100_0000, PD = 0x8000;
const le32 = (v: number): number[] => [v & 255, (v >> 8) & 255, (v >> 16) & 255, (v >>> 24) & 255];
/** add ebx, n; ret */
const adder = (n: number): number[] => [0x83, 0xc3, n, 0xc3];
/** loop: mov eax, ecx; and eax, 3; call [TABLE + 8 * rax]; dec ecx; jnz loop; in 32-bit code, too. */
const loop = (...more: number[]): number[] => {
  const body = [0x89, 0xc8, 0x83, 0xe0, 0x03, 0xff, 0x14, 0xc5, ...le32(TABLE), ...more, 0xff, 0xc9];
  return [...body, 0x75, 256 - (body.length + 2)];
};
/** test cl, 7; jnz behind: what follows is done once in eight passes. */
const sometimes = (...code: number[]): number[] => [0xf6, 0xc1, 0x07, 0x75, code.length, ...code];
const invlpg = (at: number): number[] => [0x0f, 0x01, 0x3c, 0x25, ...le32(at)];
const mapFar = (t: TestMachine, entry: number): void => void t.phys.write(PD + 8 * 3, Uint8Array.of(...le32(entry)));

const engines: readonly (readonly [string, CompilerOptions | undefined])[] = [
  ['interpreter', undefined], ['eager', EAGER_COMPILER], ['hot', { ...DEFAULT_COMPILER, sample: 150, threshold: 1, coveredThreshold: 1 }],
];

interface Scenario {
  readonly code: readonly number[];
  readonly bits?: 32 | 64;
  /** Passes of the loop. */
  readonly times?: number;
  /** Offsets of the table's functions from FAR. */
  readonly targets?: readonly number[];
  /** Before a slice of about 100 cycles begins. */
  readonly between?: (t: TestMachine, slice: number) => void;
}

/** What each slice leaves, on each engine. */
function runs({ code, bits = 64, times = 1000, targets = [0, 16, 32, 48], between }: Scenario): string[][] {
  return engines.map(([, options]) => {
    const t = new TestMachine(undefined, options), { s } = t.vcpu;
    t.phys.write(CODE, Uint8Array.of(...code, 0xf4, 0xeb, 0xfe));
    for (const at of [FAR, OTHER]) targets.forEach((off, i) => t.phys.write(at + off, Uint8Array.of(...adder((at === FAR ? 1 : 60) + i))));
    targets.forEach((off, i) => t.phys.write(TABLE + 8 * i, Uint8Array.of(...le32(FAR + off), 0, 0, 0, 0)));
    t.start(bits, CODE);
    for (let i = 0; i < 16; i++) s.setGpr(i, 0n);
    s.setGpr(RSP, 0x38_0000n);
    s.setGpr(RCX, BigInt(times));
    const seen: string[] = [];
    let exit = '';
    for (let slice = 0, time = 0; exit !== 'halt' && slice < 300; slice++) {
      between?.(t, slice);
      exit = t.vcpu.run(time, 97);
      time += t.vcpu.elapsed;
      seen.push(`${exit} ${time} ${t.vcpu.instructions} ${[s.rip, ...[RAX, RBX, RCX, RDX, RSP].map((r) => s.gpr(r)), BigInt(s.rflags)].map((v) => v.toString(16)).join()}`);
    }
    expect(exit).toBe('halt');
    return seen;
  });
}

describe('indirect jumps', () => {
  const scenarios: Readonly<Record<string, Scenario>> = {
    'go through a table': { code: loop() },
    'go through a table in 32-bit code': { code: loop(), bits: 32 },
    'go to functions in four pages': { code: loop(), targets: [0, 0x1000, 0x2ff0, 0x4000] },
    // xor byte [FAR + 2], 2 before the functions are called again
    'find code that the guest has changed': { times: 60, code: loop(0x80, 0x34, 0x25, ...le32(FAR + 2), 0x02) },
    'find code that a device has changed': { times: 300, code: loop(), between: (t, slice) => t.phys.write(FAR + 18, Uint8Array.of(slice & 63)) },
    'go where the table leads now': {
      code: loop(),
      between: (t, slice) => [0, 1, 2, 3].forEach((i) => t.phys.write(TABLE + 8 * i, Uint8Array.of(16 * ((i * slice) & 3)))),
    },
    // xor dword [PD entry of FAR], FAR ^ OTHER; invlpg [FAR]
    'follow a page that is mapped elsewhere': { code: loop(...sometimes(0x81, 0x34, 0x25, ...le32(PD + 8 * 3), ...le32(FAR ^ OTHER), ...invlpg(FAR))) },
    'use an old translation as long as the processor has it': { code: loop(...sometimes(...invlpg(FAR))), between: (t, slice) => mapFar(t, (slice & 1 ? OTHER : FAR) | 0x87) },
    // cmp ecx, 500; jne behind; mov byte [PD entry of FAR], 0; invlpg [FAR]; mov edx, [ALIAS]: the same host page, in the same place of the TLB
    'fault where nothing is mapped any more': {
      code: loop(0x81, 0xf9, ...le32(500), 0x75, 23, 0xc6, 0x04, 0x25, ...le32(PD + 8 * 3), 0, ...invlpg(FAR), 0x8b, 0x14, 0x25, ...le32(ALIAS)),
      between: (t) => t.phys.write(PD + 8 * (ALIAS >> 21), Uint8Array.of(...le32(FAR | 0x87))),
    },
    'find other instructions where records are made anew': {
      code: loop(),
      between: (t, slice) => {
        if (slice !== 50) return;
        t.phys.write(FAR, Uint8Array.of(0x90, 0x90, 0x90, ...adder(7)));
        t.vcpu.engine.cache.reset();
      },
    },
    'go by the code segment’s base': {
      code: loop(), bits: 32,
      between: (t, slice) => {
        if (slice !== 40) return;
        // Two functions further, and the loop is where it was.
        t.phys.write(CODE + 32, t.phys.read(CODE, 32));
        setSegment(t.vcpu.s, CS, t.vcpu.s.selector(CS), 32n, 0xffff_ffff, 0xc09b);
        t.phys.write(FAR + 64, Uint8Array.of(...adder(9)));
        t.phys.write(FAR + 80, Uint8Array.of(...adder(11)));
        t.vcpu.modeChanged();
      },
    },
  };
  it.each(Object.entries(scenarios))('%s', (_, scenario) => {
    const [interpreted, ...compiled] = runs(scenario);
    for (const c of compiled) expect(c).toEqual(interpreted);
  });

  it('stop at a breakpoint on a target that has been called before', () => {
    const [interpreted, ...compiled] = runs({
      code: loop(),
      between: (t, slice) => {
        const { breakpoints } = t.vcpu.engine;
        if (slice === 20) breakpoints.set(BigInt(FAR + 16));
        if (slice === 30) breakpoints.clear(BigInt(FAR + 16));
      },
    });
    expect(interpreted!.filter((x) => x.startsWith('breakpoint')).length).toBeGreaterThan(3);
    for (const c of compiled) expect(c).toEqual(interpreted);
  });
});
