/**
 * Addresses as people write them: a number, `$register`, `symbol`, `program!symbol`, `file:line`, and sums of those with numbers.
 *
 * A symbol that several programs have is the one of the program that runs; a hexadecimal number needs 0x.
 */

import { SessionError } from './history.js';
import type { Look } from './look.js';
import type { LoadedProgram, Programs } from './programs.js';
import { registerValue } from './registers.js';
import { parseFileLine } from './symbols.js';

const TERM = /^(?:0x[0-9a-f]+|\d+|\$\w+|\*[^+\-]+|[^\s+\-]+:\d+|[\w.$@]+(?:![\w.$@]+)?)/i;

/** An address, and what it was written as. */
export interface Resolved {
  readonly linear: bigint;
  /** Set where the text names a place in a program (symbol or line), not only a number. */
  readonly program?: LoadedProgram;
}

/** Programs in the order in which names are looked up: the one that runs first. */
function inOrder(look: Look, programs: Programs): LoadedProgram[] {
  const running = look.program?.program;
  return running === undefined ? [...programs.all] : [running, ...programs.all.filter((p) => p !== running)];
}

function symbolOf(name: string, look: Look, programs: Programs): Resolved | undefined {
  const [left, right] = name.split('!') as [string, string | undefined];
  const within = right === undefined ? inOrder(look, programs) : programs.all.filter((p) => p.name === left);
  if (right !== undefined && within.length === 0) throw new SessionError(`there is no program "${left}"; there are ${programs.all.map((p) => p.name).join(', ')}`);
  for (const program of within) {
    const s = program.symbols.find(right ?? left);
    if (s !== undefined) return { linear: BigInt.asUintN(64, s.address + programs.biasOf(program)), program };
  }
  return undefined;
}

function lineOf(text: string, look: Look, programs: Programs): Resolved | undefined {
  const [left, right] = text.split('!') as [string, string | undefined], parsed = parseFileLine(right ?? left);
  if (parsed === undefined) return undefined;
  for (const program of right === undefined ? inOrder(look, programs) : programs.all.filter((p) => p.name === left)) {
    const found = program.symbols.addresses(parsed.file, parsed.line);
    if (found !== undefined) return { linear: BigInt.asUintN(64, found.addresses[0] + programs.biasOf(program)), program };
  }
  throw new SessionError(`no code of line ${parsed.line} of a file "${parsed.file}"`);
}

function term(text: string, look: Look, programs: Programs): Resolved {
  if (/^0x/i.test(text) || /^\d+$/.test(text)) return { linear: BigInt(text) };
  if (text.startsWith('*')) return term(text.slice(1).trim(), look, programs);
  if (text.startsWith('$')) {
    const value = registerValue(look.state, text.slice(1));
    if (value === undefined) throw new SessionError(`there is no register "${text.slice(1)}"`);
    return { linear: value };
  }
  const found = lineOf(text, look, programs) ?? symbolOf(text, look, programs);
  if (found === undefined) throw new SessionError(`no symbol "${text}" in ${programs.all.map((p) => p.name).join(', ')}`);
  return found;
}

/** @throws SessionError with one line that says what is not understood or not known */
export function resolveExpression(text: string, look: Look, programs: Programs): Resolved {
  let rest = text.trim(), sum: Resolved | undefined, sign = 1n;
  if (rest === '') throw new SessionError('an address is missing: a number, $register, symbol, symbol+offset or file:line');
  while (rest !== '') {
    const m = TERM.exec(rest);
    if (m === null) throw new SessionError(`"${text.trim()}" is not an address: write a number, $register, symbol, symbol+offset or file:line`);
    const value = term(m[0], look, programs);
    sum = sum === undefined ? value : { ...sum, linear: BigInt.asUintN(64, sum.linear + sign * value.linear) };
    rest = rest.slice(m[0].length).trim();
    if (rest === '') break;
    const operator = rest[0];
    if ((operator !== '+' && operator !== '-') || rest.length === 1) throw new SessionError(`"${text.trim()}" is not an address: write a number, $register, symbol, symbol+offset or file:line`);
    sign = operator === '+' ? 1n : -1n;
    rest = rest.slice(1).trim();
  }
  return sum!;
}

/** The addresses that a breakpoint at the text means: behind a function's entry code unless an address is asked for with `*`. */
export function breakpointAddress(text: string, look: Look, programs: Programs): Resolved {
  const resolved = resolveExpression(text, look, programs), { program } = resolved;
  if (program === undefined || text.includes('*') || /[+:]/.test(text)) return resolved;
  const bias = programs.biasOf(program), symbol = program.symbols.at(BigInt.asUintN(64, resolved.linear - bias));
  return symbol === undefined || !symbol.code ? resolved : { ...resolved, linear: BigInt.asUintN(64, program.symbols.afterPrologue(symbol) + bias) };
}
