/** Stops change nothing: a run that is cut, stepped and watched anywhere ends in the state of the run that is not. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { multibootImage } from '../../test/support/multiboot-image.js';
import type { Engine } from '../cpu/engine/engine.js';
import { PROBE } from '../cpu/ports.js';
import { S } from '../cpu/state.js';
import { RAM_BASE } from '../mem/layout.js';
import type { EngineChoice, TimeMode } from './config.js';
import { Machine } from './machine.js';
import { parseProfile } from './profile.js';

const profile = parseProfile(JSON.parse(readFileSync(new URL('../../profiles/barcelona-2007.json', import.meta.url), 'utf8')), 'barcelona-2007.json');

const CODE = 0x10_0020, SHARED = 0x9000, BUFFER = 0x20_0000, LOOP = 0x10_0f60, MEMORY = 4 << 20;
const le32 = (v: number): number[] => [v & 255, (v >>> 8) & 255, (v >>> 16) & 255, v >>> 24];
const outb = (port: number, v: number): number[] => [0x66, 0xba, port & 255, port >> 8, 0xb0, v, 0xee]; // mov dx, port; mov al, v; out dx, al
const store = (address: number, value: number): number[] => [0xc7, 0x05, ...le32(address), ...le32(value)]; // mov dword [address], value

/**
 * Timer interrupts, a second processor that counts, and a loop in which everything depends on when: it reads the timer and the
 * other's counter, has repeated strings of more than a turn, stores into its own code, and an instruction across pages.
 */
function guest(): { image: Uint8Array; function: number; handler: number } {
  const handler = 0x10_0a00, f = 0x10_0a40, pointer = 0x10_0a60;
  const setUp = [
    0xbf, ...le32(0x2_0100), 0xc7, 0x07, ...le32((0x10 << 16) | (handler & 0xffff)), 0xc7, 0x47, 0x04, ...le32((handler & 0xffff_0000) | 0x8e00), // gate of vector 0x20
    0x0f, 0x01, 0x1d, ...le32(pointer), 0xbc, ...le32(0x8_0000), // lidt [pointer]; mov esp, 0x80000
    ...store(0x8000, 0x9000_06ff), ...store(0x8004, 0xfaeb), // real mode: inc word [0x9000]; jmp $-4
    ...store(0xfee0_0310, 1 << 24), ...store(0xfee0_0300, 0x4500), ...store(0xfee0_0300, 0x4608), // INIT, SIPI
    ...outb(0x20, 0x11), ...outb(0x21, 0x20), ...outb(0x21, 4), ...outb(0x21, 1), ...outb(0x21, 0xfe), ...outb(0x43, 0x34), ...outb(0x40, 9), ...outb(0x40, 0),
    0x31, 0xdb, 0xfb, // xor ebx, ebx; sti
  ];
  const loop = [
    0xfc, 0xbf, ...le32(BUFFER), 0xb9, ...le32(3000), 0x89, 0xd8, 0xf3, 0xab, // cld; mov edi, BUFFER; mov ecx, 3000; mov eax, ebx; rep stosd
    0xbe, ...le32(BUFFER), 0xbf, ...le32(BUFFER + 0x4001), 0xb9, ...le32(9001), 0xf3, 0xa4, // mov esi; mov edi; mov ecx, 9001; rep movsb
    0xe4, 0x40, 0x0f, 0xb6, 0xc0, 0x01, 0xc3, // in al, 0x40; movzx eax, al; add ebx, eax
    0xfa, 0x03, 0x1d, ...le32(SHARED), 0xfb, // cli; add ebx, [SHARED]; sti
    0xb8, ...le32(f), 0xff, 0xd0, // mov eax, f; call eax
    0xb9, ...le32(40), 0x01, 0xcb, 0x49, 0x75, 0xfb, // mov ecx, 40; again: add ebx, ecx; dec ecx; jnz again
    0x9c, 0x9d, // pushf; popf
  ];
  const patched = 0x10_0ffd, filler = Array<number>(patched - LOOP - loop.length).fill(0x90);
  const tail = [0xba, ...le32(1), 0xff, 0x05, ...le32(patched + 1), 0x01, 0xd3]; // mov edx, 1 (across pages); inc dword [its immediate]; add ebx, edx
  const back = LOOP - (patched + tail.length + 5);
  const code = new Array<number>(patched - CODE).fill(0x90);
  const put = (at: number, bytes: readonly number[]): void => bytes.forEach((b, i) => (code[at - CODE + i] = b));
  put(CODE, [...setUp, 0xe9, ...le32(LOOP - (CODE + setUp.length + 5))]);
  put(handler, [0x50, 0xff, 0x05, ...le32(0x9100), 0xb0, 0x20, 0xe6, 0x20, 0x58, 0xcf]); // push eax; inc dword [0x9100]; mov al, 0x20; out 0x20, al; pop eax; iret
  put(f, [0x89, 0x1d, ...le32(BUFFER + 0x1_0000), 0xc3]); // mov [BUFFER + 0x10000], ebx; ret
  put(pointer, [0xff, 0x07, ...le32(0x2_0000)]);
  put(LOOP, [...loop, ...filler, ...tail, 0xe9, ...le32(back)]);
  return { image: multibootImage(code), function: f, handler };
}
const GUEST = guest();

function boot(mode: TimeMode, cpus: number, engine: EngineChoice = 'auto'): Machine {
  return new Machine({ memoryBytes: MEMORY, profile, mode, cpus, engine, boot: { kind: 'image', image: { name: 'stops', bytes: GUEST.image } } });
}

/** All that a run leaves: memory, registers, devices, the run loop of each vCPU, time, and in cycle mode what happened in the modelled caches. */
function stateOf(m: Machine): unknown {
  const loops = m.processors.map(({ vcpu }) => {
    vcpu.activate();
    return [vcpu.instructions, ...[S.midBlock, S.left, S.sliceBudget, S.account].map((field) => vcpu.s.get32(field))];
  });
  return { position: m.position, cycles: m.cycles, loops, turn: { ...m.turn }, next: m.queue.next, timing: m.timingCounts(), hash: m.hash() };
}

function randomFrom(seed: number): (below: number) => number {
  return (below) => {
    seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
    return Math.floor(((seed >>> 8) / 0x100_0000) * below);
  };
}

/** Instructions at which the runs end. The second processor's are most of them where there is one. */
const endOf = (mode: TimeMode, cpus: number): number => (mode === 'functional' ? 50_000 : 40_000) * cpus;
const kinds = (['functional', 'cycle'] as const).flatMap((mode) => [1, 2].map((cpus) => [mode, cpus] as const));
const whole = new Map<string, unknown>();
/** The state at the end of the run without any stop. */
function uncut(mode: TimeMode, cpus: number): unknown {
  const key = `${mode} ${cpus}`;
  if (!whole.has(key)) {
    const m = boot(mode, cpus);
    expect(m.run({ instructions: endOf(mode, cpus), exact: true })).toEqual({ kind: 'limit' });
    whole.set(key, stateOf(m));
  }
  return whole.get(key);
}

describe.each(kinds)('%s mode, %i processors', (mode, cpus) => {
  const end = endOf(mode, cpus);

  it('cut and stepped at random, the run is the same', () => {
    const random = randomFrom(cpus), m = boot(mode, cpus);
    for (let at = 0; at < end; at = m.position.instructions) {
      const way = random(5);
      if (way === 0) for (let i = random(800); i > 0 && m.position.instructions < end; i--) m.stepOne();
      else if (way === 1) m.run({ instructions: Math.min(end, at + 1 + random(end / 15)), exact: true });
      else if (way === 2) m.run({ position: { instructions: Math.min(end - 1, at + 1 + random(end / 30)), events: random(3) } });
      else if (way === 3) m.run({ cycle: m.cycles + random(40_000), instructions: end, exact: true });
      else if (at < end - 15_000) m.run({ cycle: m.cycles + random(5000) });
    }
    expect(stateOf(m)).toEqual(uncut(mode, cpus));
  });

  it('breakpoints stop before their instruction, each time, and watchpoints behind the access', () => {
    const m = boot(mode, cpus), rip = (): number => (m.processors[0].vcpu.activate(), Number(m.processors[0].vcpu.s.rip));
    m.breakpoints.set(BigInt(GUEST.function));
    const stored = m.watchpoints.set({ linear: BigInt(BUFFER + 0x1_0000), bytes: 4, read: false, write: true });
    const bulk = m.watchpoints.set({ linear: BigInt(BUFFER + 0x4ff0), bytes: 2, read: false, write: true });
    const stops: string[] = [];
    for (let n = 0; n < 12; n++) {
      const stop = m.run({ instructions: end, exact: true });
      if (stop.kind === 'breakpoint') expect([stop.vcpu, stop.linear, rip()]).toEqual([0, BigInt(GUEST.function), GUEST.function]);
      if (stop.kind === 'watchpoint' && stop.id === stored) expect([stop.linear, stop.bytes, stop.write, rip()]).toEqual([BigInt(BUFFER + 0x1_0000), 4, true, GUEST.function + 6]);
      stops.push(stop.kind === 'watchpoint' ? `watch ${stop.id === stored ? 'stored' : stop.id === bulk ? 'bulk' : '?'}` : stop.kind);
    }
    // REP MOVSB gives up its turn after 4096 elements: the watched bytes lie in its first turn.
    expect(stops).toEqual([...Array(4)].flatMap(() => ['watch bulk', 'breakpoint', 'watch stored']));
    m.breakpoints.clear(BigInt(GUEST.function));
    m.watchpoints.clear(stored);
    m.watchpoints.clear(bulk);
    expect(m.run({ instructions: end, exact: true })).toEqual({ kind: 'limit' });
    expect(stateOf(m)).toEqual(uncut(mode, cpus));
  });
});

describe('a stop that a listener asks for', () => {
  it('comes behind the very instruction, or the very event, and changes nothing', () => {
    const m = boot('cycle', 1), stops: unknown[] = [];
    m.probe.subscribe((kind, _cycle, _vcpu, a) => {
      if (kind === PROBE.interrupt || (kind === PROBE.ioRead && a === 0x40)) m.requestStop();
    });
    for (;;) {
      const before = m.position;
      if (m.run({ instructions: endOf('cycle', 1), exact: true }).kind === 'limit') break;
      const { vcpu } = m.processors[0], rip = Number(vcpu.s.rip), { events } = m.position;
      expect(m.position).not.toEqual(before);
      expect([rip === GUEST.handler, events]).toEqual(events === 0 ? [false, 0] : [true, 1]);
      if (events === 0) expect(m.memory.u8.subarray(RAM_BASE + rip - 2, RAM_BASE + rip)).toEqual(Uint8Array.of(0xe4, 0x40));
      stops.push(m.position);
    }
    expect(stops.length).toBeGreaterThan(20);
    expect(stateOf(m)).toEqual(uncut('cycle', 1));
  });
});

it.each(['functional', 'cycle'] as const)('compiled code stops at the same places: %s mode', (mode) => {
  const interpreted = boot(mode, 1, 'interpreter'), compiled = boot(mode, 1, 'compiler'), random = randomFrom(7);
  for (const m of [interpreted, compiled]) {
    m.breakpoints.set(BigInt(GUEST.function));
    m.watchpoints.set({ linear: BigInt(SHARED), bytes: 4, read: true, write: false });
    m.probe.subscribe(() => m.requestStop(), [PROBE.ioRead]);
  }
  for (let to = 4096; to < 12_000; to += 1 + random(900)) {
    const stops = [interpreted, compiled].map((m) => [m.run({ instructions: to, exact: true }), m.position, m.cycles]);
    expect(stops[1]).toEqual(stops[0]);
  }
  expect(stateOf(compiled)).toEqual(stateOf(interpreted));
});

it('breakpoints and watchpoints stay out of snapshots, and hold in a restored machine', () => {
  const m = boot('cycle', 1);
  m.run({ instructions: 20_000, exact: true });
  m.breakpoints.set(BigInt(GUEST.function));
  m.watchpoints.set({ linear: BigInt(BUFFER + 0x1_0000), bytes: 4, read: false, write: true });
  const to = (): string[] => {
    for (const stops: string[] = []; ; ) {
      const stop = m.run({ instructions: endOf('cycle', 1), exact: true });
      if (stop.kind === 'limit') return stops;
      stops.push(`${stop.kind} ${m.position.instructions}`);
    }
  };
  const before = m.snapshot(), first = to();
  expect(first.length).toBeGreaterThan(4);
  expect(stateOf(m)).toEqual(uncut('cycle', 1));
  m.restore(before);
  expect(to()).toEqual(first);
  for (const b of m.breakpoints.all()) m.breakpoints.clear(b);
  for (const [id] of m.watchpoints.all()) m.watchpoints.clear(id);
  m.restore(before);
  expect(to()).toEqual([]);
  expect(stateOf(m)).toEqual(uncut('cycle', 1));
});

it('a breakpoint is met in code that is decoded later, and at the start of a run it is passed', () => {
  const m = boot('functional', 1);
  m.breakpoints.set(BigInt(LOOP));
  expect(m.run({ instructions: 1000 })).toEqual({ kind: 'breakpoint', vcpu: 0, linear: BigInt(LOOP) });
  const first = m.position.instructions;
  expect(m.run()).toEqual({ kind: 'breakpoint', vcpu: 0, linear: BigInt(LOOP) });
  expect(m.position.instructions).toBeGreaterThan(first + 50);
  expect(m.breakpoints.all()).toEqual([BigInt(LOOP)]);
});

it('says which processor did it, and a run that is stepped ends as the whole run does', () => {
  const m = boot('functional', 2);
  m.watchpoints.set({ linear: BigInt(SHARED), bytes: 2, read: false, write: true });
  expect(m.run({ instructions: 50_000 })).toEqual({ kind: 'watchpoint', id: 1, vcpu: 1, linear: BigInt(SHARED), bytes: 2, write: true });
  expect([m.current, m.processors[1].vcpu.linear]).toEqual([1, 0x8004n]);

  // mov al, 3; out 0xf4, al; nop; nop; jmp $
  const ending = (): Machine => new Machine({ memoryBytes: MEMORY, profile, boot: { kind: 'image', image: { name: 'ending', bytes: multibootImage([0xb0, 3, 0xe6, 0xf4, 0x90, 0x90, 0xeb, 0xfe]) } } });
  const run = ending(), stepped = ending(), steps: string[] = [];
  while (steps.at(-1) !== 'debug-exit') steps.push(stepped.stepOne().kind);
  expect(run.run()).toEqual({ kind: 'debug-exit', value: 3 });
  expect(steps).toEqual(['limit', 'debug-exit']);
  expect([stepped.position, stepped.cycles]).toEqual([run.position, run.cycles]);
});

it('a watchpoint of nothing is refused', () => {
  const m = boot('functional', 1);
  expect(() => m.watchpoints.set({ linear: 0n, bytes: 0, read: true, write: true })).toThrow('a watchpoint of 0 bytes');
  expect(() => m.watchpoints.set({ linear: 0n, bytes: 4, read: false, write: false })).toThrow('watches reads, writes or both');
});

it('a region that is half compiled is in no snapshot and in no restored machine', () => {
  // mov ecx, 60000; again: add eax, ecx; xor ebx, eax; dec ecx; jnz again; mov [SHARED], ebx; jmp $
  const code = [0xb9, ...le32(60_000), 0x01, 0xc8, 0x31, 0xc3, 0x49, 0x75, 0xf9, 0x89, 0x1d, ...le32(SHARED), 0xeb, 0xfe];
  const run = (engine: EngineChoice): Machine =>
    new Machine({ memoryBytes: MEMORY, profile, mode: 'functional', engine, boot: { kind: 'image', image: { name: 'loop', bytes: multibootImage(code) } } });
  const to = { cycle: 300_000 }, interpreted = run('interpreter'), m = run('auto');
  interpreted.run(to);
  const compiler = (m as unknown as { engine: Engine }).engine.compiler!, snapshots = [m.snapshot()];
  const untilBusy = (): void => {
    while (!compiler.busy) m.run({ cycle: m.cycles + 1000 });
  };
  for (let steps = 0; steps < 6; steps++) {
    untilBusy();
    m.run({ cycle: m.cycles + 2700 * steps });
    expect(compiler.busy).toBe(true);
    m.restore(snapshots[0]!);
    expect(compiler.busy).toBe(false);
  }
  for (untilBusy(); compiler.busy; m.run({ cycle: m.cycles + 2700 })) snapshots.push(m.snapshot());
  expect([snapshots.length > 5, compiler.stats.regions]).toEqual([true, 1]);
  for (const snapshot of [undefined, ...snapshots]) {
    if (snapshot !== undefined) m.restore(snapshot);
    m.run(to);
    expect(stateOf(m)).toEqual(stateOf(interpreted));
  }
});
