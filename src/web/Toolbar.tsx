/** Steps of every kind in both directions, running, and where the machine stands. */

import { useRef } from 'preact/hooks';
import { bytes, count } from './format.js';
import { roving } from './roving.js';
import { STEP_BUTTONS, type StepButton } from './steps.js';
import { busy, interrupt, run, step, view } from './store.js';

function StepGroup({ button, first }: { button: StepButton; first: boolean }) {
  const off = view.value === undefined || busy.value !== undefined;
  const { kind, label, key, help } = button;
  return (
    <div class="step" role="group" aria-label={label}>
      <button type="button" class="back" aria-disabled={off} tabIndex={-1} onClick={() => void step(kind, 'back')} title={`Back ${help} (Shift+${key.toUpperCase()})`} aria-label={`${label}, back`}>
        <span aria-hidden="true">◂</span>
      </button>
      <button type="button" class="forth" aria-disabled={off} tabIndex={first ? 0 : -1} onClick={() => void step(kind, 'forward')} title={`Forward ${help} (${key.toUpperCase()})`} aria-label={`${label}, forward`} data-step={kind}>
        {label} <span aria-hidden="true">▸</span>
      </button>
    </div>
  );
}

function Running() {
  const off = view.value === undefined || busy.value !== undefined;
  return (
    <div class="step run" role="group" aria-label="Continue">
      <button type="button" class="back" aria-disabled={off} tabIndex={-1} onClick={() => void run('back')} title="Continue backwards (Shift+C)" aria-label="Continue backwards"><span aria-hidden="true">◂◂</span></button>
      <button type="button" class="forth" aria-disabled={off} tabIndex={-1} onClick={() => void run('forward')} title="Continue to the next stop point (C)">Continue <span aria-hidden="true">▸▸</span></button>
      <button type="button" class="stop" aria-disabled={busy.value === undefined} tabIndex={-1} onClick={interrupt} title="Interrupt (Esc)">Interrupt</button>
    </div>
  );
}

function Standing() {
  const v = view.value, b = busy.value;
  const at = b?.position ?? v?.position, cycle = b?.cycle ?? v?.cycle;
  return (
    <dl class="standing" aria-live="off">
      <div><dt>Instruction</dt><dd>{at === undefined ? '–' : count(at.instructions)}{at !== undefined && at.events > 0 ? ` +${at.events}` : ''}</dd></div>
      <div><dt>Cycle</dt><dd>{cycle === undefined ? '–' : count(cycle)}</dd></div>
      <div title="Memory of snapshots, and its limit"><dt>History</dt><dd>{v === undefined ? '–' : `${bytes(v.history.bytes)} of ${bytes(v.history.limit)}`}</dd></div>
    </dl>
  );
}

export function Toolbar() {
  const bar = useRef<HTMLDivElement>(null);
  return (
    <div class="toolbar-row">
      <div class="toolbar" role="toolbar" aria-label="Steps" ref={bar} onKeyDown={(e) => roving(e, bar.current!, 'button')}>
        {STEP_BUTTONS.map((b, i) => <StepGroup key={b.kind} button={b} first={i === 0} />)}
        <Running />
      </div>
      <Standing />
    </div>
  );
}
