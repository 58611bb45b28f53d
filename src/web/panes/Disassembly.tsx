/** The instructions around the current one. A click or a key on a line sets or removes a breakpoint. */

import { useEffect, useRef } from 'preact/hooks';
import type { DisassemblyLineView, PlaceView } from '../../debug/api.js';
import { padded } from '../format.js';
import { Nothing, Pane } from '../Pane.js';
import { roving } from '../roving.js';
import { useRows } from '../rows.js';
import { stops, toggleBreakpoint, view } from '../store.js';

const placeText = (p: PlaceView): string =>
  `${p.level}${p.inGuest ? ' (in the guest)' : ''}, ring ${p.cpl}${p.symbol === undefined ? '' : `, ${p.symbol}${p.offset ? `+0x${p.offset.toString(16)}` : ''}`}`;

function Line({ line, broken }: { line: DisassemblyLineView; broken: boolean }) {
  const name = `${line.current ? 'next instruction, ' : ''}${broken ? 'breakpoint, ' : ''}${line.linear} ${line.text}`;
  const onKey = (e: KeyboardEvent): void => {
    if (e.key !== 'Enter' && e.key !== 'b' && e.key !== ' ') return;
    e.preventDefault();
    e.stopPropagation();
    void toggleBreakpoint(line.linear);
  };
  return (
    <>
      {line.symbol === undefined ? null : <div class="symbol" role="presentation">{line.symbol}:</div>}
      <div
        class={`insn ${line.current ? 'current' : ''}`} role="option" aria-selected={line.current} aria-label={name} tabIndex={line.current ? 0 : -1} data-focus={line.current ? '' : undefined}
        onKeyDown={onKey} onDblClick={() => void toggleBreakpoint(line.linear)} title={line.file === undefined ? undefined : `${line.file}:${line.line}`}
      >
        <button class="gutter" type="button" tabIndex={-1} aria-hidden="true" onClick={() => void toggleBreakpoint(line.linear)}>{broken ? '●' : ''}</button>
        <span class="arrow" aria-hidden="true">{line.current ? '▶' : ''}</span>
        <span class="addr">{padded(line.linear, 64)}</span>
        <span class="bytes">{line.bytes}</span>
        <span class="text">{line.text}</span>
      </div>
    </>
  );
}

export function Disassembly() {
  const { value: v } = view, list = useRef<HTMLDivElement>(null), row = useRows();
  const broken = new Set(stops.value.flatMap((s) => (s.kind === 'breakpoint' ? [s.linear] : [])));
  useEffect(() => {
    const body = list.current, current = body?.querySelector<HTMLElement>('.current');
    if (!body || !current) return;
    const top = current.offsetTop - body.offsetTop;
    if (top < body.scrollTop + 20 || top > body.scrollTop + body.clientHeight - 40) body.scrollTop = top - body.clientHeight / 3;
  }, [v]);
  return (
    <Pane id="disassembly" title="Disassembly" note={v === undefined ? '' : placeText(v.place)}>
      {v === undefined ? <Nothing>Nothing runs yet.</Nothing> : (
        <div class="insns mono" role="listbox" aria-label="Instructions" ref={list} onKeyDown={(e) => roving(e, list.current!, '.insn')}>
          {v.disassembly.map((l) => row(l.linear, `${l.bytes} ${l.text} ${l.current} ${broken.has(l.linear)} ${l.symbol} ${l.file} ${l.line}`, () => <Line key={l.linear} line={l} broken={broken.has(l.linear)} />))}
          {v.disassembly.length === 0 ? <Nothing>The code at {v.place.linear} cannot be read.</Nothing> : null}
        </div>
      )}
    </Pane>
  );
}
