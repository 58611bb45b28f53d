/** Why did it exit? The last VM exit or failed entry before this point: one sentence, and the facts. */

import { count } from '../format.js';
import { goTo, view } from '../store.js';

const STAMPS = [['guestLeaves', 'guest leaves'], ['handlerStarts', 'handler starts'], ['handlerEnds', 'handler ends'], ['guestResumes', 'guest resumes']] as const;

export function LastExit() {
  const exit = view.value?.lastExit, stamps = exit?.stamps;
  return (
    <section class="last-exit" id="pane-exit" aria-labelledby="title-exit">
      <h2 id="title-exit">Why did it exit?</h2>
      {exit === undefined ? <p class="sentence none">No VM exit has happened yet.</p> : (
        <>
          <p class="sentence"><span class="reason mono">{exit.reason}</span> <span data-sentence>{exit.sentence}</span></p>
          <details>
            <summary>Details</summary>
            <dl class="mono">
              {exit.details.map((d) => <div key={d.name}><dt>{d.name}</dt><dd>{d.value}</dd></div>)}
              {stamps === undefined ? null : STAMPS.map(([key, name]) => <div key={key}><dt>{name}</dt><dd>{stamps[key] < 0 ? 'not yet' : `cycle ${count(stamps[key])}`}</dd></div>)}
              {exit.section === undefined ? null : <div><dt>manual</dt><dd>{exit.section}</dd></div>}
              {exit.askedBy === undefined ? null : <div><dt>asked for in</dt><dd>{exit.askedBy.file}:{exit.askedBy.line}</dd></div>}
            </dl>
            <button type="button" onClick={() => void goTo({ position: exit.position })}>Go to this exit</button>
          </details>
        </>
      )}
    </section>
  );
}
