/** What the page says: why the machine stands and where, what runs, what went wrong. */

import { bytes, count } from './format.js';
import { busy, complaint, remark, slow, view } from './store.js';

function Standing() {
  const v = view.value, b = slow.value ? busy.value : undefined;
  const at = b?.position ?? v?.position, cycle = b?.cycle ?? v?.cycle;
  return (
    <dl class="standing" aria-live="off">
      <div><dt>Instruction</dt><dd>{at === undefined ? '–' : count(at.instructions)}{at !== undefined && at.events > 0 ? ` +${at.events}` : ''}</dd></div>
      <div><dt>Cycle</dt><dd>{cycle === undefined ? '–' : count(cycle)}</dd></div>
      <div title="Memory of snapshots, and its limit"><dt>History</dt><dd>{v === undefined ? '–' : `${bytes(v.history.bytes)} of ${bytes(v.history.limit)}`}</dd></div>
    </dl>
  );
}

export function Messages() {
  const b = slow.value ? busy.value : undefined;
  return (
    <div class="messages" data-busy={busy.value !== undefined}>
      <div class="where">
      <p class={`status ${b === undefined ? '' : 'busy'}`} role="status">
        {b === undefined ? (view.value?.stop.sentence ?? 'No machine is running.') : `${b.what} …`}
      </p>
      <Standing />
      </div>
      {remark.value === undefined ? null : <p class="remark" role="status">{remark.value} <button type="button" onClick={() => (remark.value = undefined)}>Dismiss</button></p>}
      {complaint.value === undefined ? null : <p class="complaint" role="alert"><strong>Not done:</strong> {complaint.value} <button type="button" onClick={() => (complaint.value = undefined)}>Dismiss</button></p>}
    </div>
  );
}
