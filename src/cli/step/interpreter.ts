/** Commands by name: looks one up in a line, runs it, explains and completes it. */

import { readFileSync } from 'node:fs';
import { SessionError } from '../../debug/session.js';
import { reasonOf } from '../errors.js';
import { type Command, CommandError, type Context } from './command.js';
import { looks } from './looks.js';
import { MOVES } from './moves.js';
import { columns, wrap } from './paint.js';
import { POINTS } from './points.js';

/** Wrong input: shown as one line, and the machine stands where it stood. */
export const isWrongInput = (error: unknown): error is Error => error instanceof CommandError || error instanceof SessionError;

export class Interpreter {
  private readonly commands: readonly Command[];
  private readonly byName = new Map<string, Command>();
  /** The line that an empty one repeats. */
  private again = '';

  constructor(private readonly context: Context) {
    this.commands = [...MOVES, ...POINTS, ...looks(), ...this.own()];
    for (const c of this.commands) for (const name of c.names) this.byName.set(name, c);
  }

  /** Runs one line. @throws CommandError, SessionError for wrong input */
  async run(line: string): Promise<void> {
    const text = line.trim();
    if (text.startsWith('#')) return;
    const wanted = text === '' ? this.again : text;
    if (wanted === '') return;
    const m = /^(-?[a-z][\w-]*|x(?=\/))(.*)$/i.exec(wanted);
    if (m === null) throw new CommandError(`"${wanted}" is not a command (help lists them)`);
    const command = this.find(m[1].toLowerCase());
    this.again = command.repeats === true ? wanted : '';
    await command.run(this.context, m[2].trim());
  }

  /** By name, or by an unambiguous beginning of a full name. */
  private find(name: string): Command {
    const exact = this.byName.get(name);
    if (exact !== undefined) return exact;
    const fitting = this.commands.filter((c) => c.names[0].startsWith(name));
    if (fitting.length === 1) return fitting[0];
    throw new CommandError(fitting.length === 0 ? `"${name}" is not a command (help lists them)` : `"${name}" is ambiguous: ${fitting.map((c) => c.names[0]).join(', ')}`);
  }

  /** What a line could go on with: [candidates, the part they replace]. */
  complete(line: string): [string[], string] {
    const m = /^\s*(-?[\w-]+)\s+(.*)$/.exec(line);
    if (m === null) {
      const part = line.trimStart();
      return [this.commands.flatMap((c) => c.names).filter((n) => n.startsWith(part)).map((n) => `${n} `).sort(), part];
    }
    let command: Command;
    try {
      command = this.find(m[1].toLowerCase());
    } catch {
      return [[], line];
    }
    if (Array.isArray(command.completes)) return [command.completes.filter((w: string) => w.startsWith(m[2])), m[2]];
    if (command.completes !== 'address') return [[], m[2]];
    const part = /[^\s+*/-]*$/.exec(m[2])![0];
    return [this.context.session.symbols(part), part];
  }

  private own(): Command[] {
    return [
      {
        names: ['help', 'h'], arguments: '[COMMAND]', help: 'this list, or what a command does', examples: ['help break'],
        run: ({ print }, argument) => print(...(argument === '' ? this.list() : this.explain(this.find(argument.toLowerCase())))),
      },
      {
        names: ['source'], arguments: 'FILE', help: 'run the commands of a file', examples: ['source boot.xs'],
        async run({ script }, argument) {
          if (argument === '') throw new CommandError('source needs the name of a file');
          await script(argument);
        },
      },
      { names: ['quit', 'q'], help: 'end', run: ({ quit }) => quit() },
    ];
  }

  private list(): string[] {
    const rows = this.commands.map((c) => [`${c.names.slice(0, 2).join(', ')}${c.arguments === undefined ? '' : ` ${c.arguments}`}`, c.help]);
    return [
      ...columns(rows), '',
      ...wrap('ADDRESS is a number (0x for hexadecimal), $register, symbol, program!symbol, FILE:LINE, or a sum. An empty line repeats a step. "help COMMAND" has examples.'),
    ];
  }
  private explain(c: Command): string[] {
    return [
      `${c.names[0]}${c.arguments === undefined ? '' : ` ${c.arguments}`}`, ...wrap(`${c.help[0].toUpperCase()}${c.help.slice(1)}.`),
      ...(c.more ?? []).flatMap((l) => wrap(l, '  ')), ...(c.names.length > 1 ? [`Also: ${c.names.slice(1).join(', ')}`] : []),
      ...(c.examples === undefined ? [] : ['Examples:', ...c.examples.map((e) => `  ${e}`)]),
    ];
  }
}

/** The lines of a script. @throws CommandError when it cannot be read */
export const scriptLines = (file: string): string[] => textOf(file).split(/\r?\n/);

/** @throws CommandError when the file cannot be read */
export function textOf(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (e) {
    throw new CommandError(`cannot read ${file}: ${reasonOf(e)}`);
  }
}
