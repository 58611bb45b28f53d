/** Tabs, of which one panel is shown (WAI-ARIA Authoring Practices, "Tabs Pattern"). */

import type { Signal } from '@preact/signals';
import type { ComponentType } from 'preact';
import { useRef } from 'preact/hooks';

export interface Tab {
  readonly id: string;
  readonly title: string;
  readonly Panel: ComponentType;
}

export function Tabs({ tabs, chosen, label }: { tabs: readonly Tab[]; chosen: Signal<string>; label: string }) {
  const bar = useRef<HTMLDivElement>(null);
  const current = tabs.find((t) => t.id === chosen.value) ?? tabs[0]!;
  const onKeyDown = (e: KeyboardEvent): void => {
    const by = ({ ArrowRight: 1, ArrowLeft: -1 } as Readonly<Record<string, number>>)[e.key];
    const at = tabs.indexOf(current);
    const to = e.key === 'Home' ? 0 : e.key === 'End' ? tabs.length - 1 : by === undefined ? -1 : (at + by + tabs.length) % tabs.length;
    if (to < 0) return;
    e.preventDefault();
    chosen.value = tabs[to]!.id;
    bar.current!.querySelectorAll<HTMLElement>('[role=tab]')[to]!.focus();
  };
  const { Panel } = current;
  return (
    <>
      <div class="tabs" role="tablist" aria-label={label} ref={bar} onKeyDown={onKeyDown}>
        {tabs.map((t) => (
          <button key={t.id} type="button" role="tab" id={`tab-${t.id}`} aria-selected={t === current} aria-controls={`panel-${t.id}`} tabIndex={t === current ? 0 : -1} onClick={() => (chosen.value = t.id)}>{t.title}</button>
        ))}
      </div>
      <div class="tabpanel" role="tabpanel" id={`panel-${current.id}`} aria-labelledby={`tab-${current.id}`} key={current.id}><Panel /></div>
    </>
  );
}
