/** The VMCS or VMCB, grouped as the manual groups it. The field under the pointer or the focus is explained below the list. */

import { signal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import type { ControlBlockView, FieldView } from '../../debug/api.js';
import { Nothing, Pane } from '../Pane.js';
import { roving } from '../roving.js';
import { useRows } from '../rows.js';
import { view } from '../store.js';

const chosen = signal<string | undefined>(undefined);
const filter = signal('');
const changedOnly = signal(false);

/** Who changed a field, as a mark and in words. */
const CHANGERS = { transition: ['●', 'by the processor in the last transition'], hypervisor: ['◆', 'by the hypervisor since the last transition'] } as const;
const changer = (f: FieldView): readonly [mark: string, words: string] => CHANGERS[f.changedBy ?? 'transition'];
const beforeText = (f: FieldView): string => (f.changed && f.before !== undefined ? `was ${f.before}` : '');

function Row({ f, first, selected }: { f: FieldView; first: boolean; selected: boolean }) {
  const choose = (): void => void (chosen.value = f.name);
  return (
    <div
      class={`field ${f.changed ? 'changed' : ''}`} role="option" aria-selected={selected} tabIndex={first ? 0 : -1} data-focus={first ? '' : undefined} data-field={f.name} data-changed={f.changed}
      title={f.decoded} aria-label={`${f.name} ${f.value}${f.decoded ? ` (${f.decoded})` : ''}${f.changed ? `, changed ${changer(f)[1]}, ${beforeText(f)}` : ''}. ${f.meaning}`} onMouseEnter={choose} onFocus={choose}
    >
      <span class="mark" aria-hidden="true">{f.changed ? changer(f)[0] : ''}</span>
      <span class="name">{f.name}</span>
      <span class="before">{beforeText(f)}</span>
      <span class="value">{f.value}</span>
    </div>
  );
}

function Explanation({ block }: { block: ControlBlockView }) {
  const field = block.groups.flatMap((g) => g.fields).find((f) => f.name === chosen.value);
  if (field === undefined) return <div class="explanation"><p>Point at a field, or go to it with Tab and the arrows, to read what it is for.</p></div>;
  const set = field.bits?.filter((b) => b.set) ?? [];
  return (
    <div class="explanation">
      <p><strong class="mono">{field.name}</strong>: {field.meaning}{field.decoded ? `; now ${field.decoded}` : ''}. <cite>{field.section}.</cite>{field.decoded === undefined ? '' : ` It holds ${field.value}: ${field.decoded}.`}{field.changed ? ` Changed ${changer(field)[1]}.` : ''}</p>
      {set.length === 0 ? null : <ul>{set.map((b) => <li key={b.bit}><span class="mono">bit {b.bit} {b.name}</span>: {b.meaning}</li>)}</ul>}
    </div>
  );
}

function Block({ block }: { block: ControlBlockView }) {
  const list = useRef<HTMLDivElement>(null), row = useRows();
  // What has changed is shown: when none of it is in sight, the list moves to the first of it.
  useEffect(() => {
    const box = list.current!, marked = [...box.querySelectorAll<HTMLElement>('.changed')];
    const inSight = (e: HTMLElement): boolean => e.offsetTop >= box.scrollTop && e.offsetTop + e.offsetHeight <= box.scrollTop + box.clientHeight;
    if (marked.length > 0 && !box.contains(document.activeElement) && !marked.some(inSight)) box.scrollTop = marked[0]!.offsetTop - 40;
  }, [block]);
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
            {g.fields.map((f) => {
              const isFirstNow = isFirst(), selected = chosen.value === f.name;
              return row(f.name, `${f.value} ${f.changed} ${f.before} ${f.changedBy} ${isFirstNow} ${selected} ${f.decoded}`, () => <Row key={f.name} f={f} first={isFirstNow} selected={selected} />);
            })}
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
    <Pane id="control" title={block?.kind ?? 'VMCS / VMCB'} note={block === undefined ? '' : <><span class="mono">{block.address}</span> · {changed} {changed === 1 ? 'field' : 'fields'} changed</>}>
      {block === undefined ? <Nothing>No VMCS or VMCB is in use yet. Step to a VM entry to see one.</Nothing> : <Block block={block} />}
    </Pane>
  );
}
