/** A page walk drawn level by level: each entry a box with its address, value and flags; under nested paging how its address was found. */

import { useEffect, useState } from 'preact/hooks';
import type { WalkStepView } from '../../debug/api.js';
import { bytes } from '../format.js';
import { Nothing } from '../Pane.js';
import { complaint, showWalk, view, walk } from '../store.js';

function Step({ s }: { s: WalkStepView }) {
  return (
    <li class="walk-step">
      <div class="box">
        <div class="structure">{s.structure} <span class="index">[{s.index}]</span></div>
        <div class="mono"><span class="addr">{s.address}</span> → {s.entry}</div>
        <div class="flags mono">{s.flags === '' ? 'no flag set' : s.flags}</div>
      </div>
      {s.nested === undefined || s.nested.length === 0 ? null : (
        <details>
          <summary>its address through {s.nested.length} nested entries</summary>
          <ol class="walk nested">{s.nested.map((n, i) => <Step key={i} s={n} />)}</ol>
        </details>
      )}
    </li>
  );
}

export function Walk() {
  const [text, setText] = useState('$rip'), { value: v } = view, { value: w } = walk;
  useEffect(() => void showWalk(text), [v]);
  const submit = (e: Event): void => {
    e.preventDefault();
    complaint.value = undefined;
    void showWalk(text);
  };
  return (
    <div class="scroll">
      <form class="line" onSubmit={submit}>
        <label class="grow"><span class="sr">Linear address</span><input type="text" class="mono" spellcheck={false} value={text} placeholder="0x address, $register, symbol or file:line" onInput={(e) => setText(e.currentTarget.value)} /></label>
        <button type="submit">Walk</button>
      </form>
      {w === undefined ? <Nothing>Name a linear address of the level that runs.</Nothing> : (
        <div class="walks">
          <p>Linear <span class="mono">{w.linear}</span>{w.steps.length === 0 ? ': paging is off, linear is physical' : ''}</p>
          <ol class="walk">{w.steps.map((s, i) => <Step key={i} s={s} />)}</ol>
          {w.guestPhysical === undefined ? null : <p>Guest-physical <span class="mono">{w.guestPhysical}</span></p>}
          {w.final === undefined ? null : <ol class="walk nested">{w.final.map((s, i) => <Step key={i} s={s} />)}</ol>}
          {w.hostPhysical === undefined ? null : <p>{w.guestPhysical === undefined ? 'Physical' : 'Host-physical'} <span class="mono">{w.hostPhysical}</span>{w.pageBytes === undefined ? '' : `, page of ${bytes(w.pageBytes)}`}</p>}
          {w.fault === undefined ? null : <p class="fault" role="note">{w.fault}</p>}
        </div>
      )}
    </div>
  );
}
