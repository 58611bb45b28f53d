/** Steps of every kind in both directions, and running. */

import { useRef } from 'preact/hooks';
import { roving } from './roving.js';
import { STEP_BUTTONS, type StepButton } from './steps.js';
import { interrupt, run, slow, step, view } from './store.js';

function StepGroup({ button, first }: { button: StepButton; first: boolean }) {
  const off = view.value === undefined || slow.value;
  const { kind, label, key, help, back } = button;
  return (
    <div class="step" role="group" aria-label={label}>
      <button type="button" class="back" aria-disabled={off} tabIndex={-1} onClick={() => void step(kind, 'back')} title={`Back ${back} (Shift+${key.toUpperCase()})`} aria-label={`${label}, back`}>
        <span aria-hidden="true">◂</span>
      </button>
      <button type="button" class="forth" aria-disabled={off} tabIndex={first ? 0 : -1} onClick={() => void step(kind, 'forward')} title={`Forward ${help} (${key.toUpperCase()})`} aria-label={`${label}, forward`} data-step={kind}>
        {label} <span aria-hidden="true">▸</span>
      </button>
    </div>
  );
}

function Running() {
  const off = view.value === undefined || slow.value;
  return (
    <div class="step run" role="group" aria-label="Continue">
      <button type="button" class="back" aria-disabled={off} tabIndex={-1} onClick={() => void run('back')} title="Continue backwards (Shift+C)" aria-label="Continue backwards"><span aria-hidden="true">◂◂</span></button>
      <button type="button" class="forth" aria-disabled={off} tabIndex={-1} onClick={() => void run('forward')} title="Continue to the next stop point (C)">Continue <span aria-hidden="true">▸▸</span></button>
      <button type="button" class="stop" aria-disabled={!slow.value} tabIndex={-1} onClick={interrupt} title="Interrupt (Esc)">Interrupt</button>
    </div>
  );
}

export function Toolbar() {
  const bar = useRef<HTMLDivElement>(null);
  return (
    <div class="toolbar" role="toolbar" aria-label="Steps" ref={bar} onKeyDown={(e) => roving(e, bar.current!, 'button')}>
      {STEP_BUTTONS.map((b, i) => <StepGroup key={b.kind} button={b} first={i === 0} />)}
      <Running />
    </div>
  );
}
