/**
 * Commands of `monitor`: what the protocol has no packets for. gdb manual, E.4 "General Query Packets", qRcmd.
 *
 * gdb does not read registers again after a `monitor` command. The commands that move the machine say so.
 */

import { REASON_NAMES } from '../../vtx/controls.js';
import { allExitCodes, exitName } from '../../svm/intercepts.js';
import { CATCH_KINDS, type CatchKind } from './catchpoints.js';
import type { Client } from './client.js';
import { readPhysical } from './context.js';
import { bytesToHex, hexToBytes } from './hex.js';
import { SessionError } from '../history.js';
import { walkView } from '../walk.js';
import type { WalkStepView } from '../api.js';

interface Command {
  readonly usage: string;
  readonly help: string;
  run(client: Client, words: readonly string[]): string;
}

/** A command that was given something wrong: one line. */
class MonitorError extends Error {}

const MOST_BYTES = 4096;
const MOVED = 'gdb does not know that the machine has moved: type "maintenance flush register-cache", then "frame"';

function numberOf(word: string | undefined, what: string): bigint {
  if (word === undefined || !/^(0x[0-9a-f]+|\d+)$/i.test(word)) throw new MonitorError(`${what}: a number such as 0x1000 is needed${word === undefined ? '' : `, not "${word}"`}`);
  return BigInt(word);
}

const positionText = ({ history, machine }: Client['target']): string => {
  const { instructions, events } = history.position;
  return `instruction ${instructions}${events > 0 ? `, event ${events}` : ''}, cycle ${machine.cycles}`;
};

function hexDump(address: number, bytes: Uint8Array): string {
  const lines: string[] = [];
  for (let i = 0; i < bytes.length; i += 16) lines.push(`${(address + i).toString(16).padStart(12, '0')}  ${bytesToHex(bytes.subarray(i, i + 16)).replace(/(..)(?!$)/g, '$1 ')}`);
  return lines.join('\n');
}

/** Number of a VM exit's reason or exit code by its name in the manual. */
function reasonNumber(client: Client, name: string): number {
  const wanted = name.toUpperCase();
  if (client.target.machine.extension === 'vmx') {
    const found = Object.entries(REASON_NAMES).find(([, n]) => n === wanted);
    if (found !== undefined) return Number(found[0]);
  } else for (const code of allExitCodes()) if (exitName(code) === wanted || exitName(code) === `VMEXIT_${wanted}`) return code;
  throw new MonitorError(`"${name}" is no exit reason of this processor; "monitor exits" shows those that have happened`);
}

function parseCatch(client: Client, words: readonly string[]): { kind: CatchKind; number?: number; text: string } {
  const [kind, what] = words;
  if (kind === undefined || !(CATCH_KINDS as readonly string[]).includes(kind)) throw new MonitorError(`stop: one of ${CATCH_KINDS.join(', ')}, or "off", is needed`);
  const catchKind = kind as CatchKind, text = what === undefined ? kind : `${kind} ${what}`;
  if (what === undefined) return { kind: catchKind, text };
  if (/^(0x[0-9a-f]+|\d+)$/i.test(what)) return { kind: catchKind, number: Number(what), text };
  if (catchKind !== 'exit') throw new MonitorError(`stop ${kind}: a number is needed, not "${what}"`);
  return { kind: catchKind, number: reasonNumber(client, what), text };
}

function stepLines(steps: readonly WalkStepView[], indent: string): string[] {
  return steps.flatMap((s) => [...stepLines(s.nested ?? [], `${indent}  `), `${indent}${s.structure} ${s.index} at ${s.address}: ${s.entry} ${s.flags}`]);
}

const COMMANDS: Readonly<Record<string, Command>> = {
  help: {
    usage: 'help', help: 'this list',
    run: () => Object.values(COMMANDS).map((c) => `${c.usage.padEnd(34)} ${c.help}`).join('\n'),
  },
  position: { usage: 'position', help: 'where the run stands: instructions retired, events since, cycle', run: ({ target }) => positionText(target) },
  where: {
    usage: 'where', help: 'what each vCPU executes',
    run: ({ target }) => Array.from({ length: target.vcpus }, (_, v) => `${target.describe(v)}, linear address 0x${target.context(v).linearPc.toString(16)}`).join('\n'),
  },
  exits: {
    usage: 'exits', help: 'VM exits since power-on, by reason',
    run({ target }) {
      const counts = [...target.machine.exitCounts()].sort(([a, x], [b, y]) => y - x || (a < b ? -1 : 1));
      return counts.length === 0 ? 'no VM exit yet' : counts.map(([name, n]) => `${String(n).padStart(10)} ${name}`).join('\n');
    },
  },
  explain: { usage: 'explain', help: 'why the last VM exit happened', run: ({ target }) => target.explain() ?? 'no VM exit before this point' },
  phys: {
    usage: 'phys ADDRESS [BYTES]', help: 'physical memory',
    run({ target }, [address, bytes]) {
      const at = Number(numberOf(address, 'phys')), n = bytes === undefined ? 64 : Number(numberOf(bytes, 'phys'));
      if (n < 1 || n > MOST_BYTES) throw new MonitorError(`phys: 1 to ${MOST_BYTES} bytes are possible`);
      const data = readPhysical(target.machine, at, n);
      return data.length === 0 ? `0x${at.toString(16)} is not memory` : hexDump(at, data);
    },
  },
  walk: {
    usage: 'walk ADDRESS', help: 'page walk of a linear address, entry by entry',
    run({ target, generalThread }, [address]) {
      const c = target.context(generalThread), nested = c.inGuest ? (c.vcpu.virt?.nested ?? null) : null;
      const w = walkView(target.machine.phys, c.state, nested, numberOf(address, 'walk'));
      const end = w.fault ?? `${w.guestPhysical === undefined ? '' : `guest-physical ${w.guestPhysical}, `}physical ${w.hostPhysical}, page of ${w.pageBytes} bytes`;
      return [...stepLines(w.steps, ''), ...stepLines(w.final ?? [], ''), end].join('\n');
    },
  },
  stop: {
    usage: 'stop KIND [REASON|VECTOR] | off', help: `continue stops also at: ${CATCH_KINDS.join(', ')}`,
    run(client, words) {
      const { catches } = client.target;
      if (words[0] === 'off') catches.clear();
      else if (words.length > 0) catches.add(parseCatch(client, words));
      return catches.all.length === 0 ? 'continue stops at nothing of its own' : `continue stops at: ${catches.all.map((c) => c.text).join('; ')}`;
    },
  },
  ignore: {
    usage: 'ignore PROGRAM | nothing', help: 'breakpoints and watchpoints do not hold in its code',
    run({ target: { ignored, programs } }, [name]) {
      if (name === 'nothing') ignored.clear();
      else if (name !== undefined && !programs.includes(name)) throw new MonitorError(`ignore: "${name}" does not run here; there are ${programs.join(', ')}`);
      else if (name !== undefined) ignored.add(name);
      return ignored.size === 0 ? 'breakpoints hold everywhere' : `breakpoints do not hold in: ${[...ignored].join(', ')}`;
    },
  },
  goto: {
    usage: 'goto INSTRUCTION [EVENT]', help: 'to another position of the run, either way',
    run({ target }, [instructions, events]) {
      target.history.goTo({ instructions: Number(numberOf(instructions, 'goto')), events: events === undefined ? 0 : Number(numberOf(events, 'goto')) });
      return `${positionText(target)}\n${MOVED}`;
    },
  },
  history: {
    usage: 'history', help: 'snapshots that stepping back uses, and what they occupy',
    run: ({ target: { history } }) => `${history.snapshots} snapshots, ${(history.bytes / 1048576).toFixed(1)} MiB`,
  },
};

/** `qRcmd` with the command in hexadecimal: the output, in hexadecimal. */
export function runMonitor(client: Client, hex: string): string {
  const bytes = hexToBytes(hex);
  if (bytes === undefined) return 'E01';
  const words = String.fromCharCode(...bytes).trim().split(/\s+/), [name = ''] = words;
  const found = Object.keys(COMMANDS).filter((n) => n.startsWith(name));
  const exact = Object.hasOwn(COMMANDS, name) ? name : found.length === 1 ? found[0] : undefined;
  const say = (text: string): string => {
    client.console(`${text}\n`);
    return 'OK';
  };
  if (exact === undefined || name === '') return say(`no monitor command "${name}"; "monitor help" lists them`);
  try {
    return say(COMMANDS[exact]!.run(client, words.slice(1)));
  } catch (e) {
    if (e instanceof MonitorError || e instanceof SessionError) return say(e.message);
    throw e;
  }
}
