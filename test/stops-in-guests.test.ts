/** Stops while hypervisor, dom0 and an HVM guest run: through VM exits and entries, nested paging and interrupts, in cycle mode. */
import { expect, it } from 'vitest';
import { S } from '../src/cpu/state.js';
import type { Machine } from '../src/machine/machine.js';
import { pathMachine } from './support/path-machine.js';
import { WORKLOADS } from '../src/experiments/workloads.js';

/** The guest's firmware-less start and its first exits. */
const BEGIN = 10_500_000, END = 10_900_000;

const stateOf = (m: Machine) => ({ position: m.position, cycles: m.cycles, exits: [...m.exitCounts()], timing: m.timingCounts(), hash: m.hash() });
const bounded = (m: Machine): void => expect(m.run({ instructions: END, exact: true })).toEqual({ kind: 'limit' });

it.each(['vtx', 'svm'] as const)('%s: cut, stepped and with breakpoints and watchpoints, the run is the same', (extension) => {
  const { machine: m } = pathMachine(extension, 'hvm', 'cycle', WORKLOADS);
  let seed = 1;
  const random = (below: number): number => Math.floor((((seed = (Math.imul(seed, 1103515245) + 12345) >>> 0) >>> 8) / 0x100_0000) * below);
  m.run({ instructions: BEGIN, exact: true });
  const exitsBefore = [...m.exitCounts().values()].reduce((a, b) => a + b, 0), begin = m.snapshot();
  bounded(m);
  const whole = stateOf(m);
  expect([...m.exitCounts().values()].reduce((a, b) => a + b, 0)).toBeGreaterThan(exitsBefore + 50);

  m.restore(begin);
  for (let at = BEGIN; at < END - 1; at = m.position.instructions) {
    if (random(3) === 0) for (let i = random(3000); i > 0 && m.position.instructions < END - 1; i--) m.stepOne();
    else m.run({ position: { instructions: Math.min(END - 1, at + 1 + random(60_000)), events: random(2) } });
  }
  bounded(m);
  expect(stateOf(m)).toEqual(whole);

  // Breakpoints where execution comes by, and watchpoints on the stack, in whatever address space that happens to be.
  m.restore(begin);
  const { vcpu } = m.processors[0];
  for (let i = 0; i < 6; i++) {
    for (let n = random(2000); n > 0; n--) m.stepOne();
    m.breakpoints.set(vcpu.linear);
    if (i % 2 === 0) m.watchpoints.set({ linear: vcpu.s.get64(S.gpr + 32), bytes: 8, read: i === 2, write: true });
  }
  let breaks = 0, watches = 0;
  const stops: ReturnType<typeof stateOf>[] = [];
  for (;;) {
    const stop = m.run({ instructions: END, exact: true });
    if (stop.kind === 'limit') break;
    if (stop.kind === 'breakpoint') {
      breaks++;
      expect([stop.linear, m.breakpoints.all().includes(stop.linear)]).toEqual([vcpu.linear, true]);
    } else watches++;
    if ((breaks + watches) % 40 === 1 && stops.length < 3) stops.push(stateOf(m));
  }
  expect(Math.min(breaks, watches)).toBeGreaterThan(0);
  for (const b of m.breakpoints.all()) m.breakpoints.clear(b);
  for (const [id] of m.watchpoints.all()) m.watchpoints.clear(id);
  expect(stateOf(m)).toEqual(whole);

  // Whoever goes to the position of a stop comes to the state of that stop.
  m.restore(begin);
  for (const stop of stops) {
    m.run({ position: stop.position });
    expect(stateOf(m)).toEqual(stop);
  }
});
