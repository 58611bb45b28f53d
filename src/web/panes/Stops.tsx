/** Breakpoints, watchpoints, exit reasons and cycles at which `Continue` stops. */

import { useState } from 'preact/hooks';
import type { StopPoint } from '../../debug/api.js';
import { count } from '../format.js';
import { Nothing } from '../Pane.js';
import { addStop, addStopAt, complaint, removeStop, stops } from '../store.js';

type Kind = StopPoint['kind'];
const KINDS: readonly (readonly [Kind, string, string])[] = [
  ['breakpoint', 'Breakpoint', 'address, symbol or file:line'],
  ['watchpoint', 'Watchpoint', 'address or symbol; writes of 8 bytes there'],
  ['exit-reason', 'VM exit', "the manual's name of a reason; nothing: any"],
  ['cycle', 'Cycle', 'a cycle since power-on'],
];

function describe(s: StopPoint): string {
  switch (s.kind) {
    case 'breakpoint': return `${s.linear}${s.where === undefined || s.where === s.linear ? '' : ` (${s.where})`}`;
    case 'watchpoint': return `${s.bytes} bytes at ${s.linear}${s.where === undefined || s.where === s.linear ? '' : ` (${s.where})`}, ${[s.read ? 'read' : '', s.write ? 'written' : ''].filter(Boolean).join(' or ')}`;
    case 'exit-reason': return s.reason ?? 'any reason';
    case 'cycle': return count(s.cycle);
  }
}

async function add(kind: Kind, text: string): Promise<boolean> {
  if (kind === 'breakpoint') return addStopAt(text);
  if (kind === 'exit-reason') return addStop({ kind, ...(text === '' ? {} : { reason: text }) });
  if (kind === 'cycle') {
    const cycle = Number(text.replaceAll(',', ''));
    if (!Number.isSafeInteger(cycle) || cycle < 0) {
      complaint.value = `"${text}" is not a cycle: a whole number is needed`;
      return false;
    }
    return addStop({ kind, cycle });
  }
  return addStopAt(text, { bytes: 8, read: false, write: true });
}

export function Stops() {
  const [kind, setKind] = useState<Kind>('breakpoint'), [text, setText] = useState('');
  const submit = (e: Event): void => {
    e.preventDefault();
    complaint.value = undefined;
    void add(kind, text.trim()).then((done) => done && setText(''));
  };
  return (
    <div class="scroll">
      <form class="line" onSubmit={submit}>
        <label><span class="sr">Kind of stop point</span><select value={kind} onChange={(e) => setKind(e.currentTarget.value as Kind)}>{KINDS.map(([k, name]) => <option key={k} value={k}>{name}</option>)}</select></label>
        <label class="grow"><span class="sr">Where</span><input type="text" class="mono" spellcheck={false} placeholder={KINDS.find(([k]) => k === kind)![2]} value={text} onInput={(e) => setText(e.currentTarget.value)} /></label>
        <button type="submit">Add</button>
      </form>
      {stops.value.length === 0 ? <Nothing>Continue runs to the end. A click beside an instruction sets a breakpoint.</Nothing> : (
        <table class="list">
          <thead><tr><th scope="col">Kind</th><th scope="col">Where</th><th scope="col"><span class="sr">Remove</span></th></tr></thead>
          <tbody>{stops.value.map((s) => <tr key={s.id}><td>{KINDS.find(([k]) => k === s.kind)![1]}</td><td class="mono">{describe(s)}</td><td><button type="button" onClick={() => void removeStop(s.id)} aria-label={`Remove ${describe(s)}`}>Remove</button></td></tr>)}</tbody>
        </table>
      )}
    </div>
  );
}
