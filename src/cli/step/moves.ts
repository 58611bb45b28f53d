/** Commands that move: every kind of step, forward and back, and `continue`, `goto`. */

import type { Direction, StepKind } from '../../debug/api.js';
import { type Command, CommandError, type Context, countOf, numberOf } from './command.js';

interface Kind {
  readonly kind: StepKind;
  readonly names: readonly string[];
  /** gdb's short names of the same step backward. */
  readonly back: readonly string[];
  readonly help: string;
}

const KINDS: readonly Kind[] = [
  { kind: 'instruction', names: ['stepi', 'si'], back: ['rsi'], help: 'one instruction, or one event that comes instead' },
  { kind: 'line', names: ['step', 's'], back: ['rs'], help: 'to another source line, into calls, exits and interrupts' },
  { kind: 'over', names: ['next', 'n'], back: ['rn'], help: 'to another source line; calls, and the exits of a guest, run to their end' },
  { kind: 'out', names: ['finish', 'fin'], back: ['rfin'], help: 'until the running function returns' },
  { kind: 'exit', names: ['sexit', 'se'], back: ['rse'], help: 'until the next VM exit has happened' },
  { kind: 'entry', names: ['sentry', 'sn'], back: ['rsn'], help: 'until the next VM entry has happened' },
  { kind: 'hypercall', names: ['shypercall', 'sh'], back: ['rsh'], help: 'until the next hypercall: its instruction is next' },
  { kind: 'event', names: ['sevent', 'sv'], back: ['rsv'], help: 'until the next interrupt or exception is delivered' },
  { kind: 'domain', names: ['sdomain', 'sd'], back: ['rsd'], help: 'until code of another domain runs' },
];

const stepCommand = ({ kind, names, back, help }: Kind, direction: Direction): Command => ({
  names: direction === 'forward' ? names : [`reverse-${names[0]}`, ...names.map((n) => `-${n}`), ...back],
  arguments: '[N]',
  help: direction === 'forward' ? `go on: ${help}` : `go back: ${help.replace('the next', 'the last').replace(/^until the running function returns$/, 'to the call of the running function')}`,
  repeats: true,
  examples: direction === 'forward' ? [names[1], `${names[1]} 10`] : [`-${names[1]}`, `reverse-${names[0]} 10`],
  async run({ session, showStop }: Context, argument) {
    await session.step(kind, direction, countOf(argument));
    showStop();
  },
});

const continueCommand = (direction: Direction): Command => ({
  names: direction === 'forward' ? ['continue', 'c'] : ['reverse-continue', '-continue', '-c', 'rc'],
  help: `${direction === 'forward' ? 'go on' : 'go back'} to a breakpoint, watchpoint, caught exit or cycle, or to the ${direction === 'forward' ? 'end' : 'beginning'} of the run`,
  more: ['Ctrl-C interrupts it.'],
  repeats: true,
  async run({ session, showStop }) {
    await session.continue(direction);
    showStop();
  },
});

const goTo: Command = {
  names: ['goto', 'go'],
  arguments: 'cycle N | INSTRUCTIONS[.EVENTS]',
  help: 'to a cycle, or to a position, before or after now',
  more: ['A position is the number of instructions since power-on, and of events since the last of them.'],
  examples: ['goto cycle 24,000,000', 'goto 20812152', 'goto 20812152.1'],
  completes: ['cycle '],
  async run({ session, showStop }, argument) {
    const cycle = /^cycle\s+(\S+)$/.exec(argument), position = /^([\d,]+)(?:\.(\d{1,9}))?$/.exec(argument);
    if (cycle !== null) await session.goTo({ cycle: numberOf(cycle[1], 'a cycle') });
    else if (position !== null) await session.goTo({ instructions: numberOf(position[1], 'a number of instructions'), events: Number(position[2] ?? 0) });
    else throw new CommandError(argument === '' ? 'goto needs "cycle N" or a position' : `"${argument}" is neither "cycle N" nor a position such as 1000 or 1000.2`);
    showStop();
  },
};

export const MOVES: readonly Command[] = [
  ...KINDS.map((k) => stepCommand(k, 'forward')), continueCommand('forward'), goTo, ...KINDS.map((k) => stepCommand(k, 'back')), continueCommand('back'),
];
