/** The machine's text screen. What a guest writes is text in elements, never markup. */

import { UNTOUCHED } from '../../debug/screen-text.js';
import { isUntouched, type Screen as TextScreen } from '../../machine/screen.js';
import { Nothing } from '../Pane.js';
import { screen } from '../store.js';
import { runsOf } from './screen-runs.js';

/** Characters that a font makes wider or narrower do not move the others: each run has its width. */
function Row({ of, row }: { of: TextScreen; row: number }) {
  return <div class="screen-row">{runsOf(of, row).map((r, i) => <span key={i} class={r.cursor ? 'cursor' : ''} style={{ color: r.ink, background: r.back, width: `${r.text.length}ch` }}>{r.text}</span>)}</div>;
}

export function Screen() {
  const { value: s } = screen;
  if (s === undefined) return <Nothing>Nothing runs yet.</Nothing>;
  if ('reason' in s) return <Nothing>Nothing to be seen: {s.reason}.</Nothing>;
  if (isUntouched(s)) return <Nothing>{UNTOUCHED}</Nothing>;
  const { column, row, visible } = s.cursor;
  return (
    <div class="scroll screen" tabIndex={0} role="group" aria-label={`Text screen of ${s.columns} columns and ${s.rows} rows, ${visible ? `cursor at row ${row + 1}, column ${column + 1}` : 'no cursor'}`}>
      <div class="screen-rows" style={{ width: `${s.columns}ch` }}>{Array.from({ length: s.rows }, (_, r) => <Row key={r} of={s} row={r} />)}</div>
    </div>
  );
}
