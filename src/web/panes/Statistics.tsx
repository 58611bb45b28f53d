/** Exits by reason and cycles by owner, since power-on; each chart with its table for those who do not see it. */

import { useEffect, useRef } from 'preact/hooks';
import { count } from '../format.js';
import { Nothing } from '../Pane.js';
import { showStatistics, statistics, view } from '../store.js';
import { colour, dark } from '../theme.js';
import type { Bars } from './bars.js';

interface Row {
  readonly name: string;
  readonly value: number;
}

function Chart({ title, rows, unit }: { title: string; rows: readonly Row[]; unit: string }) {
  const canvas = useRef<HTMLCanvasElement>(null), bars = useRef<Bars | undefined>(undefined);
  const draw = (): void => bars.current?.show(rows, colour('ink'), colour('line'), colour('accent'));
  useEffect(() => {
    let gone = false;
    void import('./bars.js').then(({ openBars }) => {
      if (gone || canvas.current === null) return;
      bars.current = openBars(canvas.current, unit);
      draw();
    });
    return () => {
      gone = true;
      bars.current?.close();
      bars.current = undefined;
    };
  }, []);
  useEffect(draw, [rows, dark.value]);
  const all = rows.reduce((n, r) => n + r.value, 0);
  return (
    <figure>
      <figcaption>{title}</figcaption>
      <div class="canvas"><canvas ref={canvas} role="img" aria-label={`${title}; the table beside has the figures`} /></div>
      <table class="list"><tbody>{rows.map((r) => <tr key={r.name}><th scope="row" class="mono">{r.name}</th><td class="number mono">{count(r.value)}</td><td class="number mono">{all === 0 ? '' : `${((100 * r.value) / all).toFixed(1)} %`}</td></tr>)}</tbody></table>
    </figure>
  );
}

export function Statistics() {
  const { value: v } = view, { value: s } = statistics;
  useEffect(() => void showStatistics(), [v]);
  if (s === undefined) return <Nothing>Nothing runs yet.</Nothing>;
  return (
    <div class="scroll charts" tabIndex={0} role="group" aria-label="Charts">
      {s.exits.length === 0 ? <Nothing>No VM exit has happened yet.</Nothing> : <Chart title="VM exits by reason" unit="exits" rows={s.exits.map((e) => ({ name: e.reason, value: e.count }))} />}
      {s.cyclesBy === undefined ? <Nothing>Cycles are attributed in cycle mode only.</Nothing> : <Chart title="Cycles by owner" unit="cycles" rows={s.cyclesBy.filter((c) => c.cycles > 0).map((c) => ({ name: c.name, value: c.cycles }))} />}
    </div>
  );
}
