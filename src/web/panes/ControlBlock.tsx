/** The VMCS or VMCB, grouped as the manual groups it. The field under the pointer or the focus is explained below the list. */

import { signal } from '@preact/signals';
import { useRef } from 'preact/hooks';
import type { ControlBlockView, FieldView } from '../../debug/api.js';
import { Nothing, Pane } from '../Pane.js';
import { roving } from '../roving.js';
import { view } from '../store.js';

const chosen = signal<string | undefined>(undefined);
const filter = signal('');
const changedOnly = signal(false);

function Row({ f, first }: { f: FieldView; first: boolean }) {
  const choose = (): void => void (chosen.value = f.name);
  const before = f.changed && f.before !== undefined ? `, was ${f.before}` : '';
  return (
    <div
      class={`field ${f.changed ? 'changed' : ''}`} role="option" aria-selected={chosen.value === f.name} tabIndex={first ? 0 : -1} data-field={f.name} data-changed={f.changed}
      aria-label={`${f.name} ${f.value}${f.changed ? `, changed${before}` : ''}. ${f.meaning}`} onMouseEnter={choose} onFocus={choose}
    >
      <span class="mark" aria-hidden="true">{f.changed ? '●' : ''}</span>
      <span class="name">{f.name}</span>
      <span class="value">{f.value}</span>
      <span class="before">{f.changed && f.before !== undefined ? `was ${f.before}` : ''}</span>
    </div>
  );
}

function Explanation({ block }: { block: ControlBlockView }) {
  const field = block.groups.flatMap((g) => g.fields).find((f) => f.name === chosen.value);
  if (field === undefined) return <div class="explanation"><p>Point at a field, or go to it with Tab and the arrows, to read what it is for.</p></div>;
  const set = field.bits?.filter((b) => b.set) ?? [];
  return (
    <div class="explanation">
      <p><strong class="mono">{field.name}</strong> {field.meaning} <cite>{field.section}</cite></p>
      {set.length === 0 ? null : <ul>{set.map((b) => <li key={b.bit}><span class="mono">bit {b.bit} {b.name}</span>: {b.meaning}</li>)}</ul>}
    </div>
  );
}

function Block({ block }: { block: ControlBlockView }) {
  const list = useRef<HTMLDivElement>(null);
  const wanted = filter.value.trim().toLowerCase();
  const groups = block.groups
    .map((g) => ({ ...g, fields: g.fields.filter((f) => (!changedOnly.value || f.changed) && (wanted === '' || `${f.name} ${f.meaning}`.toLowerCase().includes(wanted))) }))
    .filter((g) => g.fields.length > 0);
  let first = true;
  const isFirst = (): boolean => {
    const was = first;
    first = false;
    return was;
  };
  return (
    <div class="control">
      <div class="filters">
        <input type="search" placeholder="Filter fields" aria-label="Filter fields" value={filter.value} onInput={(e) => (filter.value = e.currentTarget.value)} />
        <label><input type="checkbox" checked={changedOnly.value} onChange={(e) => (changedOnly.value = e.currentTarget.checked)} /> changed only</label>
      </div>
      <div class="fields mono" role="listbox" aria-label={`${block.kind} fields`} ref={list} onKeyDown={(e) => roving(e, list.current!, '.field')}>
        {groups.map((g) => (
          <div key={g.title} role="group" aria-label={g.title}>
            <h3 title={g.section}>{g.title}</h3>
            {g.fields.map((f) => <Row key={f.name} f={f} first={isFirst()} />)}
          </div>
        ))}
        {groups.length === 0 ? <Nothing>{changedOnly.value && wanted === '' ? 'No field has changed.' : 'No field fits.'}</Nothing> : null}
      </div>
      <Explanation block={block} />
    </div>
  );
}

export function ControlBlock() {
  const block = view.value?.control;
  const changed = block?.groups.reduce((n, g) => n + g.fields.filter((f) => f.changed).length, 0) ?? 0;
  return (
    <Pane id="control" title={block?.kind ?? 'VMCS / VMCB'} note={block === undefined ? '' : <><span class="mono">{block.address}</span> · {changed} changed</>}>
      {block === undefined ? <Nothing>No VMCS or VMCB is in use yet. Step to a VM entry to see one.</Nothing> : <Block block={block} />}
    </Pane>
  );
}
