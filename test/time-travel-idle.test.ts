/** Time travel through a machine that mostly waits: events between instructions, jumps of time, and what comes from outside meanwhile. */
import { describe, expect, it } from 'vitest';
import { Timeline } from '../src/debug/timeline.js';
import { Machine } from '../src/machine/machine.js';
import { multibootImage } from './support/multiboot-image.js';
import { loadProfile } from './support/path-machine.js';
import { tickProgram } from './support/tick-program.js';

function make() {
  const machine = new Machine({ memoryBytes: 16 << 20, profile: loadProfile('barcelona-2007'), mode: 'cycle', boot: { kind: 'image', image: { name: 'ticks', bytes: multibootImage(tickProgram(16)) } } });
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
