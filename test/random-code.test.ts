/**
 * Whatever bytes a guest runs, in whatever state: the run loop returns. It never throws, and never hangs beyond its budget; and the
 * engine that runs them makes no difference.
 */

import { expect, it } from 'vitest';
import { DEFAULT_COMPILER, EAGER_COMPILER } from '../src/cpu/engine/regions/compiler.js';
import { RSP, S, XMM_STRIDE } from '../src/cpu/state.js';
import { END, TestMachine } from './support/machine-with.js';

/** Escapes, prefixes and opcodes with many forms, so that more than the one-byte instructions come up. */
const FREQUENT = [0x0f, 0x66, 0xf3, 0xf2, 0x48, 0x67, 0x65, 0x36, 0xc4, 0xf0, 0xd9, 0xdd];
const RUNS = 200, CYCLES = 300;

/** Interpreter, and a compiler that leaves nothing to it: after every run both have the same state. */
const compiled = (): TestMachine => new TestMachine(undefined, EAGER_COMPILER);
const stateOf = (t: TestMachine): string => {
  const { s, m } = t.vcpu;
  const words = [...Array(16).keys()].map((i) => s.gpr(i).toString(16));
  const registers = Buffer.from(m.u8.slice(S.st, S.xmm + 16 * XMM_STRIDE)).toString('base64');
  return `${words.join()} rip ${s.rip.toString(16)} flags ${s.rflags.toString(16)} mxcsr ${s.get32(S.mxcsr).toString(16)} fsw ${s.get32(S.fsw).toString(16)} after ${t.vcpu.elapsed} ${t.vcpu.instructions} ${registers}`;
};

/** Regions are made while the programs run, a step every 16 cycles. */
const IN_STEPS = { ...DEFAULT_COMPILER, sample: 64, threshold: 1, coveredThreshold: 1 };
const MODES = [
  [2, 'functional mode', 80, undefined, EAGER_COMPILER],
  [4, 'cycle mode', 30, { profile: 'nehalem-2008', cpus: 1 }, EAGER_COMPILER],
  [5, 'cycle mode, several vCPUs', 30, { profile: 'barcelona-2007', cpus: 2 }, EAGER_COMPILER],
  [6, 'functional mode, compiled in steps', 30, undefined, IN_STEPS],
  [7, 'cycle mode, compiled in steps', 15, { profile: 'nehalem-2008', cpus: 1 }, IN_STEPS],
] as const;
it.each(MODES)('random programs with loops and calls do the same on both engines (seed %i, %s)', (first, _mode, programs, cycleMode, options) => {
  let seed: number = first;
  const random = (below: number): number => {
    seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
    return (seed >>> 16) % below;
  };
  const machines = [new TestMachine(undefined, undefined, cycleMode), new TestMachine(undefined, options, cycleMode)];
  for (let run = 0; run < programs; run++) {
    const bits = random(2) === 0 ? 64 : 32;
    const at = 0x20_0000 + random(0xf00), code = program(random, bits, at);
    const registers = Array.from({ length: 16 }, () => BigInt(0x30_0000 + random(65536) * 8)), flags = (random(65536) & 0x8d5) | 2;
    const states = machines.map((t) => {
      t.vcpu.reset();
      t.buildTables();
      t.phys.write(at, Uint8Array.from(code));
      t.phys.write(0x30_0000, new Uint8Array(0x8_0000).fill(run));
      t.start(bits, at);
      registers.forEach((v, i) => t.vcpu.s.setGpr(i, v));
      t.vcpu.s.setGpr(RSP, 0x38_0000n);
      t.vcpu.s.rflags = flags;
      t.vcpu.run(0, 3000);
      t.vcpu.stopReason = undefined;
      return { state: stateOf(t), memory: Buffer.from(t.phys.read(0x30_0000, 0x8_0000)), timing: Buffer.from(t.timingTables) };
    });
    const before = `run ${run}: ${bits}-bit ${Buffer.from(code).toString('hex')}`;
    expect(states[1]!.state, before).toBe(states[0]!.state);
    expect(states[1]!.memory.equals(states[0]!.memory), before).toBe(true);
    expect(states[1]!.timing.equals(states[0]!.timing), before).toBe(true);
  }
  expect(machines[1]!.vcpu.engine.compiler!.stats.compiled).toBeGreaterThan(programs / 4);
});

/** Instructions that need no set-up, in encodings that 32- and 64-bit code share; registers and memory at them vary. */
function program(random: (below: number) => number, bits: 32 | 64, at: number): number[] {
  const modrm = (): number[] => {
    // Registers, or memory: at a register with a displacement, on the stack, at a fixed address, at one with an index; never into RSP.
    const reg = [0, 1, 2, 3, 5, 6, 7][random(7)]!, rm = [0, 1, 2, 3, 6, 7][random(6)]!;
    if (random(2) === 0) return [0xc0 | (reg << 3) | rm];
    const kind = random(10);
    if (kind < 7) return [0x40 | (reg << 3) | rm, random(128)];
    if (kind === 7) return [0x44 | (reg << 3), 0x24, random(256)];
    const fixed = kind === 8, offset = random(4) === 0 ? 0xff8 + random(16) : random(0x2000);
    return [0x04 | (reg << 3), fixed ? 0x25 : (rm << 3) | 5, offset & 255, offset >> 8, fixed ? 0x30 : 0, 0];
  };
  const wide = (): number[] => (bits === 64 && random(2) === 0 ? [0x48] : random(8) === 0 ? [0x66] : []);
  const one = (): number[] => {
    switch (random(14)) {
      case 0: case 1: case 2:
        return [...wide(), 8 * random(8) + [1, 3][random(2)]!, ...modrm()]; // ADD OR ADC SBB AND SUB XOR CMP
      case 3:
        return [8 * random(8) + [0, 2][random(2)]!, ...modrm()];
      case 4:
        return [...wide(), 0x83, 0xc0 | (random(8) << 3) | random(4), random(256)];
      case 5:
        return [...wide(), [0x89, 0x8b][random(2)]!, ...modrm()];
      case 6:
        return [...wide(), 0xc1, 0xc0 | ([0, 1, 4, 5, 7][random(5)]! << 3) | random(4), random(32)];
      case 7:
        return [...wide(), 0xd3, 0xc0 | ([0, 1, 4, 5, 7][random(5)]! << 3) | random(4)];
      case 8:
        return [...wide(), 0xff, 0xc0 | (random(2) << 3) | random(4)]; // INC DEC
      case 9:
        return [0x0f, 0x40 + random(16), ...modrm()]; // CMOVcc
      case 10:
        return [0x0f, 0x90 + random(16), 0xc0 | random(4)]; // SETcc
      case 11:
        return [...wide(), 0x0f, [0xaf, 0xb6, 0xb7, 0xbe, 0xbf, 0xa3, 0xbc][random(7)]!, ...modrm()];
      case 12:
        return [0x50 + random(4), 0x58 + random(4)]; // PUSH, POP
      default:
        return [[0xf2, 0xf3, 0x66][random(3)]!, 0x0f, [0x58, 0x59, 0x5c, 0x10, 0x11, 0x5a][random(6)]!, ...modrm()]; // SSE
    }
  };
  const blocks = Array.from({ length: 3 + random(6) }, () => Array.from({ length: 1 + random(6) }, one).flat());
  const bytes: number[] = [];
  const starts: number[] = [];
  const jumps: { at: number; to: number; absolute?: boolean }[] = [];
  /** mov r32, address of a block; EAX or EDX */
  const address = (r: 0 | 2, to: number): void => {
    bytes.push(0xb8 | r, 0, 0, 0, 0);
    jumps.push({ at: bytes.length - 4, to, absolute: true });
  };
  blocks.forEach((b, i) => {
    starts.push(bytes.length);
    bytes.push(...b);
    const to = random(blocks.length);
    if (random(6) === 0) {
      // One of two places, by a flag; CALL and JMP through EAX.
      address(0, random(blocks.length));
      address(2, random(blocks.length));
      bytes.push(0x0f, 0x40 + random(16), 0xc2, 0xff, random(3) === 0 ? 0xe0 : 0xd0);
    }
    if (random(4) === 0 && i + 1 < blocks.length) bytes.push(0xe8, 0, 0, 0, 0); // CALL: most end in a RET
    else bytes.push(0x0f, 0x80 + random(16), 0, 0, 0, 0); // Jcc
    jumps.push({ at: bytes.length - 4, to });
    if (random(5) === 0) bytes.push(0xc3);
  });
  bytes.push(...END);
  for (const j of jumps) put32(bytes, j.at, starts[j.to]! + (j.absolute === true ? at : -(j.at + 4)));
  return bytes;
}
const put32 = (bytes: number[], at: number, v: number): void => {
  for (let i = 0; i < 4; i++) bytes[at + i] = (v >> (8 * i)) & 255;
};

it.each([[1, 'interpreter'], [3, 'compiler']] as const)('random code ends in a fault, a halt or the end of the slice (seed %i, %s)', (first, engine) => {
  let seed: number = first;
  const random = (below: number): number => {
    seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
    return (seed >>> 16) % below;
  };
  const t = engine === 'compiler' ? compiled() : new TestMachine();
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
