/** One tab stop for a group: the arrows move inside it (WAI-ARIA Authoring Practices, "Developing a Keyboard Interface"). */

const KEYS: Readonly<Record<string, number>> = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };

/** Handles a key in `group`, whose members match `selector`. The one that gets the focus becomes the tab stop. */
export function roving(e: KeyboardEvent, group: HTMLElement, selector: string): void {
  const members = [...group.querySelectorAll<HTMLElement>(selector)].filter((m) => !m.hasAttribute('disabled'));
  const at = members.findIndex((m) => m === document.activeElement);
  const to = e.key === 'Home' ? 0 : e.key === 'End' ? members.length - 1 : KEYS[e.key] === undefined ? -1 : Math.min(members.length - 1, Math.max(0, at + KEYS[e.key]!));
  if (to < 0 || members.length === 0) return;
  e.preventDefault();
  for (const m of members) m.tabIndex = -1;
  members[to]!.tabIndex = 0;
  members[to]!.focus();
}
