/** Commands that look: registers, memory, code, source, page walks, exits, consoles. They change nothing. */

import { writeFileSync } from 'node:fs';
import type { RegisterGroupView } from '../../debug/api.js';
import { screenRows, UNTOUCHED } from '../../debug/screen-text.js';
import { writeSession } from '../../debug/session-file.js';
import { isUntouched } from '../../machine/screen.js';
import { reasonOf } from '../errors.js';
import { sha256 } from '../report/write.js';
import { type Command, CommandError, type Context, countOf, numberOf } from './command.js';
import { formatMemory, parseFormat } from './examine.js';
import { columns, cut, grouped } from './paint.js';
import { disassemblyText, exitDetails, exitText, groupText, placeText, pointText, sourceText, walkText, whenText } from './show.js';

const LIST_LINES = 10, DISASSEMBLE_LINES = 24;
/** Groups that `info registers` shows when no group is named. */
const USUAL_GROUPS = ['General', 'Flags', 'Segments', 'Control'];

function registers({ session, print, paint }: Context, argument: string): void {
  const all = session.registers(), wanted = argument.split(/[\s,]+/).filter((w) => w !== '').map((w) => w.replace(/^\$/, '').toLowerCase());
  if (wanted.length === 0) return print(...all.filter((g) => USUAL_GROUPS.includes(g.title)).flatMap((g) => groupText(g, paint)));
  if (wanted.includes('all')) return print(...all.flatMap((g) => groupText(g, paint)));
  for (const w of wanted) {
    const group = all.find((g) => g.title.toLowerCase().startsWith(w));
    const found = group ?? single(all, w);
    if (found === undefined) throw new CommandError(`there is no register or group "${w}"; groups are ${all.map((g) => g.title).join(', ')}`);
    print(...(group === undefined ? groupText(found, paint).slice(1) : groupText(found, paint)));
  }
}
function single(all: readonly RegisterGroupView[], name: string): RegisterGroupView | undefined {
  for (const g of all) {
    const r = g.registers.find((x) => x.name.toLowerCase() === name);
    if (r !== undefined) return { title: g.title, registers: [r] };
  }
  return undefined;
}

function exits({ session, print, paint }: Context, argument: string): void {
  const [what = '', n = ''] = argument.split(/\s+/);
  if (what === 'last') {
    const last = session.exits(-1, 1)[0];
    return last === undefined ? print('No VM exit yet.') : print(...exitDetails(last, paint));
  }
  if (what !== '' && what !== 'list') throw new CommandError(`"info exits ${what}" is not known; there are "info exits", "info exits last" and "info exits list N"`);
  if (session.exitCount === 0) return print('No VM exit yet.');
  if (what === 'list') {
    const count = n === '' ? 20 : countOf(n);
    return print(...session.exits(-count, count).flatMap((e) => [paint.in('dim', `cycle ${grouped(e.cycle)}, vCPU ${e.vcpu}`), ...exitText(e, paint).map((l) => `  ${l}`.slice(0, 80))]));
  }
  const spread = (s: { min: number; average: number; max: number } | undefined): string => (s === undefined ? '-' : grouped(s.average));
  print(`${grouped(session.exitCount)} VM exits and refused entries`, ...columns([['reason', 'count', 'handler', 'guest away (cycles, average)'],
    ...session.exitHistogram().map((r) => [r.reason, grouped(r.count), spread(r.handling), spread(r.away)])]));
  const last = session.exits(-1, 1)[0];
  if (last !== undefined) print('last:', ...exitText(last, paint).map((l) => `  ${l}`));
}

function controlBlock({ session, print, paint }: Context, argument: string): void {
  const { control } = session.state();
  if (control === undefined) throw new CommandError('there is no VMCS or VMCB in use');
  const wanted = argument.toLowerCase();
  print(paint.in('bold', `${control.kind} at ${control.address}`));
  let shown = 0;
  for (const g of control.groups) {
    const fields = g.fields.filter((f) => wanted === '' || (wanted === 'changed' ? f.changed : f.name.toLowerCase().includes(wanted) || g.title.toLowerCase().includes(wanted)));
    if (fields.length === 0) continue;
    shown += fields.length;
    print(paint.in('yellow', cut(g.title)), ...columns(fields.map((f) => [
      `  ${f.changed ? '*' : ' '} ${f.name}`, f.value, f.changed && f.before !== undefined ? `before ${f.before}` : (f.decoded ?? (f.bits ?? []).filter((b) => b.set).map((b) => b.name).join(', ')),
    ])));
  }
  if (shown === 0) throw new CommandError(wanted === 'changed' ? 'no field has changed' : `no field or group of the ${control.kind} has "${argument}" in its name`);
}

const INFO: Readonly<Record<string, { help: string; run: (c: Context, argument: string) => void }>> = {
  registers: { help: 'registers: [all | GROUP | NAME ...]', run: registers },
  breakpoints: {
    help: 'what ends a continue',
    run: ({ session, print }) => print(...(session.points.length === 0 ? ['No breakpoints.'] : session.points.map(pointText))),
  },
  exits: { help: 'VM exits by reason; "exits last" with all facts; "exits list N"', run: exits },
  vmcs: { help: 'the VMCS in use: [changed | part of a name]', run: controlBlock },
  vmcb: { help: 'the VMCB in use: [changed | part of a name]', run: controlBlock },
  walk: {
    help: 'the page walk of an address (default: RIP)',
    run: ({ session, print, paint }, argument) => print(...walkText(session.walk(argument === '' ? session.look().linear : session.resolve(argument)), paint)),
  },
  domains: {
    help: 'programs that were started, and which one runs',
    run({ session, print }) {
      const here = session.look().level;
      print(...columns(session.programs.all.map((p) => [p.name === here ? '=>' : '  ', p.name, `${p.symbols.names('').length} symbols, ${p.symbols.files.length} source files`])));
    },
  },
  vcpus: { help: 'where each processor stands', run: ({ session, print }) => print(...session.state().vcpus.map((p) => cut(`${p.vcpu === session.vcpu ? '=>' : '  '} vCPU ${p.vcpu}  ${p.level}: ${placeText(p)}`))) },
  screen: {
    help: "the machine's text screen",
    run({ session, print }) {
      const screen = session.machine.screen();
      if ('reason' in screen) return print(`Nothing to be seen: ${screen.reason}.`);
      if (isUntouched(screen)) return print(UNTOUCHED);
      print(...screenRows(screen).map((r) => r.trimEnd()));
    },
  },
  history: {
    help: 'what going back costs: snapshots and their memory',
    run({ session, print }) {
      const { snapshots, bytes, limit } = session.state().history;
      print(`${snapshots} snapshots, ${(bytes / 2 ** 20).toFixed(1)} of ${(limit / 2 ** 20).toFixed(0)} MiB`, whenText({ position: session.position, cycle: session.cycle }));
    },
  },
};
const SHORT: Readonly<Record<string, string>> = { r: 'registers', reg: 'registers', b: 'breakpoints', break: 'breakpoints', e: 'exits', w: 'walk' };

const info: Command = {
  names: ['info', 'i'], arguments: 'WHAT ...', help: `show ${Object.keys(INFO).join(', ')}`, completes: Object.keys(INFO).map((n) => `${n} `),
  more: Object.entries(INFO).map(([name, { help }]) => `info ${name}: ${help}`),
  examples: ['info registers', 'info registers control', 'info exits', 'info vmcs changed', 'info walk $rsp'],
  run(context, argument) {
    const [first = '', ...rest] = argument.split(/\s+/), entry = INFO[SHORT[first] ?? first];
    if (entry === undefined) throw new CommandError(`${first === '' ? 'info of what?' : `there is no "info ${first}";`} there are ${Object.keys(INFO).join(', ')}`);
    entry.run(context, rest.join(' '));
  },
};

/** Lines listed last, so that `list` goes on behind them. */
interface Listed {
  file: string;
  next: number;
}

function list(): Command {
  let last: Listed | undefined;
  return {
    names: ['list', 'l'], arguments: '[ADDRESS]', help: 'source lines around an address (default: here; again: the lines after)', repeats: true, examples: ['list', 'list vmx.c:212', 'list handle_exit'],
    completes: 'address',
    run({ session, print, paint }, argument) {
      const look = session.look(), here = look.line;
      let at = here === undefined ? undefined : { file: here.file, line: here.line };
      if (argument !== '') at = look.lineAt(session.resolve(argument)) ?? sourceOf(session, argument);
      if (at === undefined) throw new CommandError(argument === '' ? 'no source line is known for this place' : `no source line is known for ${argument}`);
      const text = session.sourceText(at.file);
      if (text === undefined) throw new CommandError(`${at.file} is not at hand (line ${at.line})`);
      const goesOn = argument === '' && last?.file === at.file && last.next > at.line - LIST_LINES / 2;
      const from = goesOn ? last!.next : Math.max(1, at.line - LIST_LINES / 2);
      print(paint.in('yellow', at.file), ...sourceText(text, at.line, from, from + LIST_LINES - 1, paint));
      last = { file: at.file, next: from + LIST_LINES };
    },
  };
}
/** The line that an expression resolves to in its own program, which may not be mapped now. */
function sourceOf(session: Context['session'], argument: string): { file: string; line: number } | undefined {
  const linear = session.resolve(argument);
  for (const p of session.programs.all) {
    const l = p.symbols.line(BigInt.asUintN(64, linear - session.programs.biasOf(p)));
    if (l !== undefined) return { file: l.file, line: l.line };
  }
  return undefined;
}

export const looks = (): Command[] => [
  info, list(),
  {
    names: ['where', 'w'], help: 'show again where the machine stands',
    run: ({ showStop }) => showStop(),
  },
  {
    names: ['disassemble', 'disas'], arguments: '[ADDRESS [N]]', help: 'instructions around here, or from an address on', examples: ['disas', 'disas handle_exit 10'], completes: 'address',
    run({ session, print, paint }, argument) {
      if (argument === '') return print(...disassemblyText(session.state().disassembly, paint));
      const m = /^(.*?)(?:\s+(\d+))?$/.exec(argument)!;
      const lines = session.disassemble(session.resolve(m[1]), m[2] === undefined ? DISASSEMBLE_LINES : countOf(m[2]));
      if (lines.length === 0) throw new CommandError(`no instructions can be read at ${m[1]}`);
      print(...disassemblyText(lines, paint));
    },
  },
  {
    names: ['x'], arguments: '[/NFU] ADDRESS', help: 'examine memory', completes: 'address',
    more: ['N: how many; F: x hexadecimal, d and u decimal, c characters, s text, i instructions; U: b 1 byte, h 2, w 4, g 8.'],
    examples: ['x/16xb $rsp', 'x/4xg 0x1000', 'x/i $rip', 'x/s 0x2000'],
    run({ session, print, paint }, argument) {
      const { format, rest } = parseFormat(argument);
      if (rest === '') throw new CommandError('x needs an address');
      const linear = session.resolve(rest);
      if (format.letter === 'i') return print(...disassemblyText(session.disassemble(linear, format.count), paint));
      print(...formatMemory(linear, format, (at, n) => session.memory(at, n).bytes));
    },
  },
  {
    names: ['print', 'p'], arguments: 'ADDRESS', help: 'the value of a register, symbol or sum, and what lies there', examples: ['p $rip', 'p handle_exit', 'p main+0x10'], completes: 'address',
    run({ session, print }, argument) {
      const value = session.resolve(argument), place = session.describe(value);
      print(cut(`0x${value.toString(16)} (${value})${place.startsWith('0x') ? '' : ` ${place}`}`));
    },
  },
  {
    names: ['consoles', 'console', 'con'], arguments: '[NAME [LINES]]', help: 'what hypervisor and domains have printed', examples: ['con', 'con d1 5'],
    run({ session, print, paint }, argument) {
      const [name = '', n = ''] = argument.split(/\s+/), all = session.consoles(), lines = n === '' ? 12 : numberOf(n, 'a number of lines');
      const wanted = name === '' ? all : all.filter((c) => c.name === name);
      if (wanted.length === 0) throw new CommandError(`there is no console "${name}"; there are ${all.map((c) => c.name).join(', ')}`);
      for (const c of wanted) print(paint.in('bold', `${c.name}:`), ...c.text.replace(/\n$/, '').split('\n').slice(-lines).map((l) => `  ${printable(l)}`));
    },
  },
  {
    names: ['input'], arguments: 'TEXT', help: 'types a line on the machine\'s serial port', examples: ['input help'],
    run: ({ session }, argument) => session.input(new TextEncoder().encode(`${argument}\n`)),
  },
  {
    names: ['save'], arguments: 'FILE', help: 'saves the session: where it stands, input, breakpoints (xenolith step --session FILE)', examples: ['save lab1.json'],
    run({ session, print }, argument) {
      if (argument === '') throw new CommandError('the name of a file is missing');
      const text = writeSession(session.record(sha256));
      try {
        writeFileSync(argument, text);
      } catch (e) {
        throw new CommandError(`cannot write ${argument}: ${reasonOf(e)}`);
      }
      print(`Saved to ${argument}.`);
    },
  },
  {
    names: ['load'], arguments: 'FILE', help: 'goes on where a session was saved, of the same machine', examples: ['load lab1.json'],
    async run({ load, showStop }, argument) {
      if (argument === '') throw new CommandError('the name of a file is missing');
      await load(argument);
      showStop();
    },
  },
  { names: ['link'], help: 'a line of text that reproduces this state (xenolith step --link)', run: ({ session, print }) => print(session.link()) },
];

/** What a guest prints is text: it may not steer the terminal. */
const printable = (text: string): string => text.replace(/[\x00-\x08\x0b-\x1f\x7f-\x9f]/g, (c) => `\\x${c.charCodeAt(0).toString(16).padStart(2, '0')}`);
