/** Registers in groups; those that changed since the previous stop carry a dot and a bar. */

import type { RegisterView } from '../../debug/api.js';
import { padded } from '../format.js';
import { Nothing, Pane } from '../Pane.js';
import { useRows } from '../rows.js';
import { view } from '../store.js';

function Register({ r }: { r: RegisterView }) {
  return (
    <div class={`reg ${r.changed ? 'changed' : ''}`}>
      <span class="mark" aria-hidden="true">{r.changed ? '●' : ''}</span>
      <span class="name">{r.name}</span>
      <span class="value">{padded(r.value, r.bits)}</span>
      {r.changed ? <span class="sr">changed</span> : null}
      {r.decoded === undefined || r.decoded === '' ? null : <span class="decoded">{r.decoded}</span>}
    </div>
  );
}

export function Registers() {
  const { value: v } = view, row = useRows();
  return (
    <Pane id="registers" title="Registers" note={v === undefined || v.vcpus.length < 2 ? '' : `vCPU ${v.place.vcpu} of ${v.vcpus.length}`}>
      {v === undefined ? <Nothing>Nothing runs yet.</Nothing> : (
        <div class="regs mono" tabIndex={0} role="group" aria-label="Registers">
          {v.registers.map((g) => (
            <section key={g.title} aria-label={g.title}>
              <h3>{g.title}</h3>
              <div class={`reg-grid ${g.registers.some((r) => r.decoded) ? 'wide' : ''}`}>{g.registers.map((r) => row(r.name, `${r.value} ${r.changed} ${r.decoded}`, () => <Register key={r.name} r={r} />))}</div>
            </section>
          ))}
        </div>
      )}
    </Pane>
  );
}
