/** A pane: a labelled region with a title bar and what it shows. */

import type { ComponentChildren } from 'preact';

interface PaneProps {
  readonly id: string;
  readonly title: string;
  readonly note?: ComponentChildren;
  /** Buttons at the end of the title bar. */
  readonly tools?: ComponentChildren;
  readonly children: ComponentChildren;
}

export function Pane({ id, title, note, tools, children }: PaneProps) {
  return (
    <section class={`pane pane-${id}`} id={`pane-${id}`} aria-labelledby={`title-${id}`} tabIndex={-1}>
      <header>
        <h2 id={`title-${id}`}>{title}</h2>
        <div class="note">{note}</div>
        {tools === undefined ? null : <div class="tools">{tools}</div>}
      </header>
      <div class="body">{children}</div>
    </section>
  );
}

export const Nothing = ({ children }: { children: ComponentChildren }) => <p class="nothing">{children}</p>;
