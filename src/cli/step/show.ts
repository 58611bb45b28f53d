/** What a stop, a walk, an exit and the like look like on a terminal. */

import type { DisassemblyLineView, ExitView, PlaceView, RegisterGroupView, RegisterView, StateView, StopPoint, WalkStepView, WalkView } from '../../debug/api.js';
import type { Session } from '../../debug/session.js';
import { columns, cut, grouped, type Paint, WIDTH, wrap } from './paint.js';

const BYTES_SHOWN = 8;

/** `name+offset at file:line`, as much of it as is known. */
export function placeText(p: PlaceView): string {
  const name = p.symbol === undefined ? p.linear : `${p.symbol}${p.offset === 0 || p.offset === undefined ? '' : `+${p.offset}`}`;
  return p.file === undefined ? name : `${name} at ${p.file}:${p.line}`;
}
const levelText = (p: PlaceView): string => `${p.level}${p.inGuest ? ' (guest mode)' : ''}, ring ${p.cpl}`;

export function disassemblyText(lines: readonly DisassemblyLineView[], paint: Paint): string[] {
  return lines.flatMap((d) => {
    const mark = d.current ? '=>' : d.breakpoint ? ' *' : '  ', bytes = d.bytes.split(' ');
    const shown = bytes.length > BYTES_SHOWN ? `${bytes.slice(0, BYTES_SHOWN - 1).join(' ')} ..` : d.bytes;
    const text = cut(`${mark} ${d.linear}  ${shown.padEnd(BYTES_SHOWN * 3 - 1)}  ${d.text}`);
    return [...(d.symbol === undefined ? [] : [paint.in('yellow', `${d.symbol}:`)]), d.current ? paint.in('bold', text) : text];
  });
}

/** Lines of a source file around one, with numbers; the line itself is marked. */
export function sourceText(text: string, line: number, from: number, to: number, paint: Paint): string[] {
  return text.split('\n').slice(from - 1, to).map((t, i) => {
    const n = from + i, row = cut(`${n === line ? '=>' : '  '} ${String(n).padStart(4)}  ${t.replaceAll('\t', '        ')}`);
    return n === line ? paint.in('bold', row) : row;
  });
}

/** The few lines that a stop shows. */
export function stopText(session: Session, paint: Paint, newExit: ExitView | undefined): string[] {
  const state = session.state(), { place, source, stop } = state, out: string[] = [];
  out.push(...wrap(stop.sentence).map((l) => paint.in('green', l)));
  if (newExit !== undefined) out.push(...exitText(newExit, paint));
  const several = state.vcpus.length > 1 ? `vCPU ${place.vcpu}, ` : '';
  out.push(cut(`${several}${levelText(place)}: ${placeText(place)}`));
  if (place.inlinedIn !== undefined) out.push(cut(`        inlined in ${place.inlinedIn.map((c) => `${c.file}:${c.line}`).join(', ')}`));
  const line = source?.text?.split('\n')[source.line - 1];
  if (source !== undefined && line !== undefined) out.push(cut(`${String(source.line).padStart(6)}  ${line.replaceAll('\t', '        ')}`));
  const now = state.disassembly.find((d) => d.current);
  if (now !== undefined) out.push(paint.in('bold', cut(`=> ${now.linear}  ${now.text}`)));
  out.push(paint.in('dim', whenText(state)));
  return out;
}
export const whenText = (s: Pick<StateView, 'position' | 'cycle'>): string =>
  `instruction ${grouped(s.position.instructions)}${s.position.events === 0 ? '' : ` (event ${s.position.events})`}, cycle ${grouped(s.cycle)}`;

export function exitText(e: ExitView, paint: Paint): string[] {
  return wrap(`${e.reason}: ${e.sentence}`, '  ').map((l, i) => (i === 0 ? l.replace(e.reason, paint.in('magenta', e.reason)) : l));
}
export function exitDetails(e: ExitView, paint: Paint): string[] {
  const rows = e.details.map((d) => ['  ' + d.name, d.value]);
  if (e.section !== undefined) rows.push(['  manual', e.section]);
  const s = e.stamps;
  if (s !== undefined) {
    rows.push(['  guest leaves', `cycle ${grouped(s.guestLeaves)}`], ['  handler starts', `cycle ${grouped(s.handlerStarts)}`]);
    if (s.handlerEnds >= 0) rows.push(['  handler ends', `cycle ${grouped(s.handlerEnds)}`], ['  guest resumes', `cycle ${grouped(s.guestResumes)}`]);
  }
  return [...exitText(e, paint), ...columns(rows), ...(e.askedBy === undefined ? [] : [`  asked for in ${e.askedBy.file}:${e.askedBy.line}`])];
}

function registerText(r: RegisterView, width: number, paint: Paint): string {
  const digits = r.value.slice(2).padStart(Math.ceil(r.bits / 4), '0'), value = `${r.name.padEnd(width)} ${digits}`;
  return (r.changed ? paint.in('cyan', value) : value) + (r.decoded === undefined || r.decoded === '' ? '' : `  ${cut(r.decoded, Math.max(10, WIDTH - value.length - 2))}`);
}
/** Registers of a group: as many to a row as fit, one where they are decoded. */
export function groupText(g: RegisterGroupView, paint: Paint): string[] {
  const width = Math.max(...g.registers.map((r) => r.name.length)), plain = g.registers.every((r) => r.decoded === undefined);
  const cell = width + 1 + Math.ceil(Math.max(...g.registers.map((r) => r.bits)) / 4) + 2, across = plain ? Math.max(1, Math.floor((WIDTH + 2) / cell)) : 1;
  const out = [paint.in('bold', g.title)];
  for (let i = 0; i < g.registers.length; i += across) out.push(g.registers.slice(i, i + across).map((r) => registerText(r, width, paint)).join('  '));
  return out;
}

function walkSteps(steps: readonly WalkStepView[], indent: string): string[][] {
  return steps.flatMap((s) => [
    ...(s.nested === undefined ? [] : walkSteps(s.nested, `${indent}  `)),
    [`${indent}${s.structure}`, `[${s.index}]`, `at ${s.address}`, s.entry, s.flags],
  ]);
}
export function walkText(w: WalkView, paint: Paint): string[] {
  const rows = [...walkSteps(w.steps, '  '), ...(w.final === undefined ? [] : walkSteps(w.final, '    '))];
  const size = w.pageBytes === undefined ? '' : w.pageBytes >= 1 << 30 ? ' in a 1-GByte page' : w.pageBytes >= 1 << 20 ? ` in a ${w.pageBytes >> 20}-MByte page` : ' in a 4-KByte page';
  const to = [...(w.guestPhysical === undefined ? [] : [`guest-physical ${w.guestPhysical}`]), ...(w.hostPhysical === undefined ? [] : [`physical ${w.hostPhysical}`])].join(', ');
  return [
    paint.in('bold', `linear ${w.linear}`), ...columns(rows),
    ...(to === '' ? [] : [cut(`=> ${to}${size}`)]), ...(w.fault === undefined ? [] : wrap(`not mapped: ${w.fault}`, '  ').map((l) => paint.in('red', l))),
  ];
}

export function pointText(p: StopPoint): string {
  const what = p.kind === 'breakpoint' ? `${p.linear}${p.where === undefined ? '' : ` (${p.where})`}`
    : p.kind === 'watchpoint' ? `${p.bytes} bytes at ${p.linear}${p.where === undefined ? '' : ` (${p.where})`}, ${[...(p.read ? ['read'] : []), ...(p.write ? ['write'] : [])].join(' and ')}`
      : p.kind === 'exit-reason' ? (p.reason ?? 'any VM exit') : grouped(p.cycle);
  return cut(`${String(p.id).padStart(3)}  ${p.kind.padEnd(11)}  ${p.enabled ? '' : 'off  '}${what}`);
}
