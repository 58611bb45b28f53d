/** Time travel through a machine that mostly waits: events between instructions, jumps of time, and what comes from outside meanwhile. */
import { describe, expect, it } from 'vitest';
import { Timeline } from '../src/debug/timeline.js';
import { Machine } from '../src/machine/machine.js';
import { multibootImage } from './support/multiboot-image.js';
import { loadProfile } from './support/path-machine.js';

const CODE_BASE = 0x10_0020;
const le32 = (v: number): number[] => [v & 255, (v >>> 8) & 255, (v >>> 16) & 255, v >>> 24];
const outb = (port: number, v: number): number[] => [0x66, 0xba, port & 255, port >> 8, 0xb0, v, 0xee]; // mov dx; mov al; out dx, al

/** Sets up 8259 and 8254 (1193 Hz), halts until 16 ticks have come, and exits with 7. The IDT is at 0x20000. */
function ticks(): number[] {
  const body = (handler: number, pointer: number): number[] => [
    0xbf, ...le32(0x2_0100), // mov edi, 0x20100: the gate of vector 0x20
    0xc7, 0x07, ...le32((0x10 << 16) | (handler & 0xffff)), // mov dword [edi], selector and low offset
    0xc7, 0x47, 0x04, ...le32((handler & 0xffff_0000) | 0x8e00), // mov dword [edi+4], high offset and type
    0x0f, 0x01, 0x1d, ...le32(pointer), 0xbc, ...le32(0x8_0000), // lidt [pointer]; mov esp, 0x80000
    ...outb(0x20, 0x11), ...outb(0x21, 0x20), ...outb(0x21, 4), ...outb(0x21, 1), ...outb(0x21, 0xfe),
    ...outb(0x43, 0x34), ...outb(0x40, 0xe8), ...outb(0x40, 0x03),
    0x31, 0xc9, 0xfb, 0xf4, 0x83, 0xf9, 0x10, 0x75, 0xfa, 0xb0, 7, 0xe6, 0xf4, // xor ecx, ecx; sti; wait: hlt; cmp ecx, 16; jne wait; exit
  ];
  const handler = CODE_BASE + body(0, 0).length, routine = [0x41, 0xb0, 0x20, 0xe6, 0x20, 0xcf]; // inc ecx; mov al, 0x20; out 0x20, al; iret
  return [...body(handler, handler + routine.length), ...routine, 0xff, 0x07, ...le32(0x2_0000)];
}
function make() {
  const machine = new Machine({ memoryBytes: 16 << 20, profile: loadProfile('barcelona-2007'), mode: 'cycle', boot: { kind: 'image', image: { name: 'ticks', bytes: multibootImage(ticks()) } } });
  return { machine, timeline: new Timeline(machine), state: () => ({ position: machine.position, cycle: machine.cycles, hash: machine.hash() }) };
}

describe('a machine that waits for its timer', () => {
  it('goes back from its end through every instruction and interrupt, and comes to the same end again', () => {
    const { machine, timeline, state } = make(), seen: ReturnType<typeof state>[] = [];
    let stop;
    do {
      seen.push(state());
      stop = timeline.stepOne();
    } while (stop.kind === 'limit');
    expect(stop).toEqual({ kind: 'debug-exit', value: 7 });
    expect(seen.filter((s) => s.position.events > 0).length).toBe(16);
    const end = machine.position;
    for (const there of seen.slice(-60).reverse()) {
      expect(timeline.back()).toBe(true);
      expect(state()).toEqual(there);
    }
    timeline.goTo(end);
    expect(timeline.run()).toEqual(stop);
  });

  it('lets input and changes by hand enter again where time passed without an instruction', () => {
    const { machine, timeline, state } = make();
    timeline.goTo({ instructions: 100, events: 0 });
    timeline.run({ cycle: machine.cycles + 5_000_000, exact: true });
    timeline.edit((m) => m.phys.write(0x9000, Uint8Array.of(1)));
    timeline.input(Uint8Array.of(65));
    timeline.run({ cycle: machine.cycles + 1_000_000, exact: true });
    const there = state();
    timeline.goTo({ instructions: 50, events: 0 });
    expect(machine.phys.read(0x9000, 1)).toEqual(Uint8Array.of(0));
    timeline.run({ cycle: there.cycle, exact: true });
    expect([state(), machine.phys.read(0x9000, 1)]).toEqual([there, Uint8Array.of(1)]);
  });
});
