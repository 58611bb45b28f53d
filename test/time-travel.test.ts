/**
 * Time travel: the state after N positions forward and M back is the state after N-M forward, and snapshots change nothing.
 * Truth is a machine of the same configuration that only ever goes forward.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { PROBE } from '../src/cpu/ports.js';
import { Timeline } from '../src/debug/timeline.js';
import { EXTENSIONS } from '../src/experiments/paths.js';
import { WORKLOADS } from '../src/experiments/workloads.js';
import type { MachineConfig, Position } from '../src/machine/config.js';
import { Machine } from '../src/machine/machine.js';
import type { Snapshot } from '../src/machine/snapshot.js';
import { multibootImage } from './support/multiboot-image.js';
import { loadProfile, pathMachine } from './support/path-machine.js';

const named = (...names: string[]) => WORKLOADS.filter((w) => names.includes(w.name));

/** Integers from a seed: xorshift32. */
function random(seed: number) {
  let x = seed;
  return (below: number): number => {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    return (x >>> 0) % below;
  };
}

/** Instructions before the first VM exit. */
function firstExit(machine: Machine, timeline: Timeline): number {
  let at = 0;
  const end = machine.probe.subscribe(() => {
    at ||= machine.position.instructions;
    machine.requestStop();
  }, [PROBE.vmExit]);
  timeline.run({ instructions: 60_000_000 });
  end();
  return at;
}

/** Where a machine stands, and what it is there. */
const state = (m: Machine) => ({ position: m.position, cycle: m.cycles, hash: m.hash() });

/** @param make a fresh machine @param from instructions before the first case @param spread how many the cases are spread over */
function property(make: () => Machine, from: (m: Machine, t: Timeline) => number, spread: number, cases: number, seed: number): void {
  const pick = random(seed), machine = make(), timeline = new Timeline(machine), truth = make(), middle = from(machine, timeline);
  const apart = Math.floor(spread / cases), starts = Array.from({ length: cases }, (_, i) => middle + i * apart + pick(apart - 300));
  for (const start of starts) {
    const forward = 20 + pick(200), back = 1 + pick(forward);
    truth.run({ position: { instructions: start, events: 0 } });
    timeline.goTo({ instructions: start, events: 0 });
    expect(state(machine)).toEqual(state(truth));
    for (let i = 0; i < forward; i++) timeline.stepOne();
    for (let i = 0; i < forward - back; i++) truth.stepOne();
    // In one go, or position by position.
    if (pick(2) === 0) timeline.back(back);
    else for (let i = 0; i < back; i++) timeline.back();
    expect({ start, forward, back, ...state(machine) }).toEqual({ start, forward, back, ...state(truth) });
  }
}

/** Two processors that write to each other's memory. */
function twoProcessors(mode: 'cycle' | 'functional'): Machine {
  const le32 = (v: number): number[] => [v & 255, (v >>> 8) & 255, (v >>> 16) & 255, v >>> 24];
  const store = (address: number, value: number): number[] => [0xc7, 0x05, ...le32(address), ...le32(value)]; // mov dword [address], value
  const config: MachineConfig = {
    memoryBytes: 16 << 20, profile: loadProfile('nehalem-2008'), mode, cpus: 2,
    boot: { kind: 'image', image: { name: 'two', bytes: multibootImage([
      ...store(0x8000, 0x9000_06ff), ...store(0x8004, 0x0406_fef0), ...store(0x8008, 0x00f5_eb90), // loop: inc word [0x9000]; lock inc byte [0x9004]; jmp loop
      ...store(0xfee0_0310, 1 << 24), ...store(0xfee0_0300, 0x4500), ...store(0xfee0_0300, 0x4608),
      0xa1, ...le32(0x9000), 0x01, 0x05, ...le32(0x9010), 0xff, 0x05, ...le32(0x9004), 0xeb, 0xed, // loop: mov eax, [0x9000]; add [0x9010], eax; inc dword [0x9004]; jmp loop
    ]) } },
  };
  return new Machine(config);
}

// The machines of these tests are whole ones; on a busy host that takes its time.
vi.setConfig({ testTimeout: 180_000 });

describe('N positions forward and M back are N-M forward', () => {
  it.each([['vtx', 'cycle'], ['svm', 'cycle']] as const)('%s, %s mode, around the first exits of a domain', (extension, mode) => {
    property(() => pathMachine(extension, 'hvm', mode, named('cpuid-exit')).machine, (m, t) => firstExit(m, t) - 2000, 12_000, 3, 77);
  });

  it.each(['cycle', 'functional'] as const)('two processors that take turns, %s mode', (mode) => {
    const make = () => twoProcessors(mode), ran = make();
    ran.run({ instructions: 100_000 });
    expect(ran.processors[1]!.vcpu.instructions).toBeGreaterThan(5000);
    property(make, () => 3000, 120_000, 6, 5);
  });
});

describe('snapshots', () => {
  const workloads = named('disk-random-read', 'net-request');
  const make = () => pathMachine('vtx', 'hvm', 'cycle', workloads);
  const results = ({ machine, console }: ReturnType<typeof make>) => ({
    console: console(), cycles: machine.cycles, exits: machine.exitCounts(), timing: machine.timingCounts(), accounts: machine.attribution!.snapshot(machine.cycles),
    received: machine.platform.peer!.sink.frames, hash: machine.hash(),
  });

  it('change nothing: cycles, exits, caches, accounts, disk and wire are as without, and going back and on gives the same end', () => {
    const without = make(), pick = random(9);
    expect(without.machine.run().kind).toBe('debug-exit');
    const end = results(without);
    const withThem = make(), { machine } = withThem, taken: Snapshot[] = [], hashes: string[] = [];
    const go = (): string => {
      for (;;) {
        taken.push(machine.snapshot());
        hashes.push(machine.hash());
        const stop = machine.run({ instructions: machine.instructions + 1_000_000 + pick(500_000) });
        if (taken.length % 4 === 0) expect(machine.unmarkedPages()).toEqual([]);
        if (stop.kind !== 'limit') return stop.kind;
      }
    };
    expect(go()).toBe('debug-exit');
    expect(results(withThem)).toEqual(end);
    // Back and forth, then from somewhere in the middle to the end once more.
    for (let i = 0; i < 6; i++) {
      const at = pick(taken.length - 1);
      machine.restore(taken[at]!);
      expect([at, machine.hash()]).toEqual([at, hashes[at]]);
    }
    machine.restore(taken[Math.floor(taken.length * 0.7)]!);
    machine.run();
    expect({ ...results(withThem), console: end.console }).toEqual(end);
  });

  it('bring back every field of every object, and those given up can no longer be restored', () => {
    const { machine } = make();
    machine.run({ instructions: 2_000_000 });
    const first = machine.snapshot() as Snapshot & { objects: { contents: Saved[] } };
    machine.run({ instructions: 6_000_000 });
    machine.restore(first);
    const again = machine.snapshot() as typeof first, of = new Map(again.objects.contents.map((c) => [c.object, c]));
    expect(first.objects.contents.length).toBeGreaterThan(200);
    const differ: unknown[] = [];
    for (const c of first.objects.contents) {
      const other = of.get(c.object)!;
      if (c.kind === 'typed') c.copy!.forEach((v, i) => Object.is(v, other.copy![i]) || differ.push([c.object.constructor.name, i]));
      else if (c.kind !== 'own') c.values!.forEach((v, i) => Object.is(v, other.values![i]) || differ.push([c.object.constructor.name, c.keys?.[i] ?? i]));
    }
    expect(differ).toEqual([]);
    machine.release(again);
    expect(() => machine.restore(again)).toThrow('the snapshot has been released');
    expect(() => make().machine.restore(first)).toThrow('the snapshot belongs to another machine');
  });

  it('can reach all state: no class has fields that only it can see', () => {
    const root = join(import.meta.dirname, '..', 'src');
    const files = ['cpu', 'devices', 'machine', 'mem', 'mmu', 'svm', 'timing', 'vtx'].flatMap((f) =>
      readdirSync(join(root, f), { recursive: true, encoding: 'utf8' }).filter((n) => n.endsWith('.ts')).map((n) => join(root, f, n)));
    expect(files.length).toBeGreaterThan(150);
    expect(files.filter((f) => /this\.#|^\s+(readonly )?#\w+/m.test(readFileSync(f, 'utf8')))).toEqual([]);
  });
});

interface Saved {
  readonly kind: string;
  readonly object: object;
  readonly keys?: readonly unknown[];
  readonly values?: readonly unknown[];
  readonly copy?: number[];
}

describe('timeline', () => {
  it('stays within its memory, and still goes anywhere', () => {
    const { machine } = pathMachine('svm', 'hvm', 'cycle', named('cpuid-exit')), limit = 14 << 20, timeline = new Timeline(machine, { memoryLimit: limit });
    timeline['interval'] = 200_000;
    timeline.run({ instructions: 5_000_000 });
    expect(timeline.bytes).toBeLessThanOrEqual(limit);
    expect(timeline.snapshots).toBeGreaterThan(2);
    const there = state(machine);
    timeline.goTo({ instructions: 1_234_567, events: 0 });
    expect(machine.position).toEqual({ instructions: 1_234_567, events: 0 });
    timeline.goTo(there.position);
    expect(state(machine)).toEqual(there);
    expect(timeline.bytes).toBeLessThanOrEqual(limit);
  });

  it('finds the last exit before now, breakpoints behind it, and the beginning when there is nothing', () => {
    const { machine } = pathMachine('vtx', 'hvm', 'cycle', named('cpuid-exit')), timeline = new Timeline(machine), exits: Position[] = [];
    const end = machine.probe.subscribe(() => exits.push(machine.position), [PROBE.vmExit]);
    timeline.run({ instructions: 10_360_000 });
    end();
    expect(exits.length).toBeGreaterThan(3);
    const arm = (m: Machine, hit: (p: Position) => void) => m.probe.subscribe(() => hit(m.position), [PROBE.vmExit]);
    for (const at of exits.slice(-3).reverse()) {
      expect(timeline.reverseTo(arm)).toBe(true);
      expect(machine.position).toEqual(at);
    }
    const here = state(machine), linear = machine.processors[0]!.vcpu.linear;
    timeline.goTo(exits.at(-1)!);
    machine.breakpoints.set(linear);
    const hits: Position[] = [];
    for (let i = 0; i < 10; i++) {
      expect(timeline.reverseContinue()).toEqual({ kind: 'breakpoint', vcpu: 0, linear });
      hits.push(machine.position);
      if (machine.position.instructions <= here.position.instructions) break;
    }
    expect(state(machine)).toEqual(here);
    machine.breakpoints.clear(linear);
    expect(timeline.reverseTo((m, hit) => m.probe.subscribe(() => hit(m.position), [PROBE.frameSent]))).toBe(false);
    expect(state(machine)).toEqual(here);
    expect(timeline.reverseContinue()).toEqual({ kind: 'beginning' });
    expect([machine.position, timeline.back()]).toEqual([{ instructions: 0, events: 0 }, false]);
  });

  it('lets input enter again where it did, until other input makes another future', () => {
    // loop: mov dx, 0x3fd; in al, dx; test al, 1; jz loop; mov dl, 0xf8; in al, dx; mov [0x9000+ecx], al; inc ecx; jmp loop
    const code = [0x66, 0xba, 0xfd, 0x03, 0xec, 0xa8, 0x01, 0x74, 0xf7, 0xb2, 0xf8, 0xec, 0x88, 0x81, 0x00, 0x90, 0x00, 0x00, 0x41, 0xeb, 0xeb];
    const machine = new Machine({ memoryBytes: 16 << 20, profile: loadProfile(EXTENSIONS.svm), boot: { kind: 'image', image: { name: 'echo', bytes: multibootImage(code) } } });
    const timeline = new Timeline(machine), text = () => String.fromCharCode(...machine.phys.read(0x9000, 8)).replaceAll('\0', '');
    timeline.run({ instructions: 1000 });
    timeline.input(new TextEncoder().encode('a'));
    timeline.run({ instructions: 3_000_000 });
    const there = state(machine);
    expect(text()).toBe('a');
    timeline.goTo({ instructions: 500, events: 0 });
    expect(text()).toBe('');
    timeline.goTo(there.position);
    expect([text(), state(machine)]).toEqual(['a', there]);
    timeline.goTo({ instructions: 900, events: 0 });
    timeline.input(new TextEncoder().encode('c'));
    timeline.run({ instructions: 3_000_000 });
    expect([text(), timeline.inputs.map((i) => String.fromCharCode(...i.bytes))]).toEqual(['c', ['c']]);
  });
});
