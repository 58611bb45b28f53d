/** A modal dialog on the platform's own element: Escape closes it, the focus goes back where it was. */

import type { Signal } from '@preact/signals';
import type { ComponentChildren } from 'preact';
import { useEffect, useRef } from 'preact/hooks';

export function Dialog({ open, title, children }: { open: Signal<boolean>; title: string; children: ComponentChildren }) {
  const ref = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const dialog = ref.current!;
    if (open.value && !dialog.open) dialog.showModal();
    else if (!open.value && dialog.open) dialog.close();
  }, [open.value]);
  return (
    <dialog ref={ref} onClose={() => (open.value = false)} aria-label={title} onClick={(e) => e.target === ref.current && (open.value = false)}>
      {open.value ? (
        <div class="dialog">
          <header><h2>{title}</h2><button type="button" onClick={() => (open.value = false)}>Close</button></header>
          {children}
        </div>
      ) : null}
    </dialog>
  );
}
