/** Commands that set and remove what ends a `continue`. */

import type { StopPoint } from '../../debug/api.js';
import { type Command, CommandError, type Context, numberOf } from './command.js';
import { pointText } from './show.js';

const LARGEST_WATCH = 4096;

const said = ({ print, session }: Context, p: StopPoint): void =>
  print(p.kind === 'breakpoint' ? `Breakpoint ${p.id} at ${p.linear}: ${session.describe(BigInt(p.linear))}` : `Stop ${pointText(p).trim()}`);

const breakCommand = (names: readonly string[], temporary: boolean): Command => ({
  names, arguments: 'ADDRESS',
  help: temporary ? 'a breakpoint that goes when it is hit' : 'stop before the instruction at an address',
  more: ['ADDRESS is a function (behind its entry code), FILE:LINE, or *ADDRESS for exactly there. `program!symbol` names the program.'],
  examples: [`${names[1]} handle_exit`, `${names[1]} hvm/vmx.c:212`, `${names[1]} *0x101000`, `${names[1]} guest!main`],
  completes: 'address',
  run(context, argument) {
    if (argument === '') throw new CommandError(`${names[0]} needs an address: a function, FILE:LINE or *ADDRESS`);
    said(context, context.session.breakAt(argument, temporary));
  },
});

const watchCommand = (names: readonly string[], read: boolean, write: boolean, help: string): Command => ({
  names, arguments: 'ADDRESS [BYTES]', help, examples: [`${names[0]} 0x5000 4`, `${names[0]} dom0!guests`], completes: 'address',
  run(context, argument) {
    const m = /^(.*?)(?:\s+(\d+))?$/.exec(argument), where = m?.[1] ?? '';
    if (where === '') throw new CommandError(`${names[0]} needs an address`);
    const bytes = m?.[2] === undefined ? 8 : numberOf(m[2], 'a number of bytes');
    if (bytes < 1 || bytes > LARGEST_WATCH) throw new CommandError(`a watchpoint has 1 to ${LARGEST_WATCH} bytes, not ${bytes}`);
    const linear = `0x${context.session.resolve(where).toString(16)}`;
    said(context, context.session.addPoint({ kind: 'watchpoint', linear, bytes, read, write, where }));
  },
});

const catchCommand: Command = {
  names: ['catch'], arguments: 'exit [REASON] | cycle N',
  help: 'stop after a VM exit of a reason (or any), or at a cycle',
  more: ['REASON is the manual\'s name; spaces, hyphens and case do not matter.'],
  examples: ['catch exit', 'catch exit EPT violation', 'catch exit VMEXIT_IOIO', 'catch cycle 30,000,000'],
  completes: ['exit ', 'cycle '],
  run(context, argument) {
    const { session } = context, m = /^(exit|cycle)(?:\s+(.+))?$/.exec(argument);
    if (m === null) throw new CommandError('catch needs "exit", "exit REASON" or "cycle N"');
    if (m[1] === 'cycle') said(context, session.addPoint({ kind: 'cycle', cycle: numberOf(m[2] ?? '', 'a cycle') }));
    else said(context, session.addPoint({ kind: 'exit-reason', ...(m[2] === undefined ? {} : { reason: m[2] }) }));
  },
};

const numbered = (argument: string): number[] => argument.split(/\s+/).filter((t) => t !== '').map((t) => numberOf(t, 'the number of a breakpoint'));

export const POINTS: readonly Command[] = [
  breakCommand(['break', 'b'], false), breakCommand(['tbreak', 'tb'], true),
  watchCommand(['watch'], false, true, 'stop after memory has been written'), watchCommand(['rwatch'], true, false, 'stop after memory has been read'),
  watchCommand(['awatch'], true, true, 'stop after memory has been read or written'), catchCommand,
  {
    names: ['delete', 'd'], arguments: '[N ...]', help: 'remove breakpoints and the like, or all of them', examples: ['d 2', 'delete'],
    run({ session }, argument) {
      for (const id of argument === '' ? session.points.map((p) => p.id) : numbered(argument)) session.removePoint(id);
    },
  },
  {
    names: ['disable'], arguments: 'N ...', help: 'keep breakpoints without effect', examples: ['disable 1'],
    run({ session }, argument) {
      for (const id of numbered(argument)) session.enablePoint(id, false);
    },
  },
  {
    names: ['enable'], arguments: 'N ...', help: 'give disabled breakpoints their effect back', examples: ['enable 1'],
    run({ session }, argument) {
      for (const id of numbered(argument)) session.enablePoint(id, true);
    },
  },
];
