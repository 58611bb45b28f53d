/** What the page says: where the machine stopped, what runs, what went wrong. */

import { busy, complaint, remark, view } from './store.js';

export function Messages() {
  const { value: b } = busy;
  return (
    <div class="messages">
      <p class={`status ${b === undefined ? '' : 'busy'}`} role="status">
        {b === undefined ? (view.value?.stop.sentence ?? 'No machine is running.') : `${b.what} …`}
      </p>
      {remark.value === undefined ? null : <p class="remark" role="status">{remark.value} <button type="button" onClick={() => (remark.value = undefined)}>Dismiss</button></p>}
      {complaint.value === undefined ? null : <p class="complaint" role="alert"><strong>Not done:</strong> {complaint.value} <button type="button" onClick={() => (complaint.value = undefined)}>Dismiss</button></p>}
    </div>
  );
}
