/** A pane: a labelled region with a title bar and what it shows. */

import type { ComponentChildren } from 'preact';

interface PaneProps {
  readonly id: string;
  readonly title: string;
  readonly note?: ComponentChildren;
  readonly children: ComponentChildren;
}

export function Pane({ id, title, note, children }: PaneProps) {
  return (
    <section class={`pane pane-${id}`} id={`pane-${id}`} aria-labelledby={`title-${id}`} tabIndex={-1}>
      <header>
        <h2 id={`title-${id}`}>{title}</h2>
        <div class="note">{note}</div>
      </header>
      <div class="body">{children}</div>
    </section>
  );
}

export const Nothing = ({ children }: { children: ComponentChildren }) => <p class="nothing">{children}</p>;
