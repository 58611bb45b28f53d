/** What a command of the stepper is, and what it is given. */

import type { Session } from '../../debug/session.js';
import type { Paint } from './paint.js';

/** Wrong input at the prompt: one line, and the stepper goes on. */
export class CommandError extends Error {}

export interface Context {
  readonly session: Session;
  readonly paint: Paint;
  print(...lines: string[]): void;
  /** Runs the commands of a file. */
  script(file: string): Promise<void>;
  /** Goes on where a session file says, on a machine of its own; the one before is given up when that works. */
  load(file: string): Promise<void>;
  quit(): void;
  /** Shows where the machine stands after a move. */
  showStop(): void;
}

export interface Command {
  /** First the full name, then others. */
  readonly names: readonly string[];
  readonly arguments?: string;
  /** One line. */
  readonly help: string;
  /** More lines for `help NAME`. */
  readonly more?: readonly string[];
  readonly examples?: readonly string[];
  /** An empty line repeats it. */
  readonly repeats?: boolean;
  /** What its argument completes to: words, or addresses. */
  readonly completes?: readonly string[] | 'address';
  run(context: Context, argument: string): void | Promise<void>;
}

/** A count from 1 on; 1 when the text is empty. */
export function countOf(text: string, what = 'a count'): number {
  if (text === '') return 1;
  if (!/^\d{1,9}$/.test(text) || Number(text) === 0) throw new CommandError(`"${text}" is not ${what}: a whole number from 1 on is needed`);
  return Number(text);
}

/** A number, decimal (commas allowed) or hexadecimal with 0x. */
export function numberOf(text: string, what: string): number {
  const plain = text.replaceAll(',', '');
  if (!/^(\d{1,15}|0x[0-9a-f]{1,13})$/i.test(plain)) throw new CommandError(text === '' ? `${what} is missing` : `"${text}" is not ${what}`);
  return Number(plain);
}
