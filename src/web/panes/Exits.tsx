/** The last exits, newest first; each leads to its place in the run. */

import { useEffect } from 'preact/hooks';
import { count } from '../format.js';
import { Nothing } from '../Pane.js';
import { exits, goTo, showExits, view } from '../store.js';

const SHOWN = 200;

export function Exits() {
  const { value: v } = view;
  useEffect(() => void showExits(SHOWN), [v]);
  if (exits.value.length === 0) return <Nothing>No VM exit has happened yet.</Nothing>;
  return (
    <div class="scroll">
      <table class="list">
        <thead><tr><th scope="col" class="number">Cycle</th><th scope="col">Reason</th><th scope="col">Why</th></tr></thead>
        <tbody>
          {exits.value.map((x) => (
            <tr key={`${x.position.instructions}.${x.position.events}`}>
              <td class="number mono"><button type="button" class="link" onClick={() => void goTo({ position: x.position })} title="Go to just before it">{count(x.cycle)}</button></td>
              <td class="mono">{x.reason}</td>
              <td>{x.sentence}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
