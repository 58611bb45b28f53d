/** The keyboard: one table of shortcuts, which the help shows and the page obeys. */

import { signal } from '@preact/signals';
import { interrupt, run, step } from './store.js';
import { STEP_BUTTONS } from './steps.js';

export interface Shortcut {
  /** As `KeyboardEvent.key`; letters in lower case, `Shift+` before them where it counts. */
  readonly key: string;
  readonly help: string;
  readonly act: () => void;
}

export const helpOpen = signal(false);
export const chooserOpen = signal(false);
/** Single letters can be turned off, for speech input and the like. */
export const lettersOn = signal(true);

const PANES = ['disassembly', 'source', 'registers', 'control', 'bottom', 'timeline'];

/** Moves the focus to the next pane or the one before. */
function movePane(by: number): void {
  const panes = PANES.map((id) => document.getElementById(`pane-${id}`)).filter((p) => p !== null);
  const at = panes.findIndex((p) => p.contains(document.activeElement));
  const pane = panes[(at + by + panes.length) % panes.length] ?? panes[0];
  (pane?.querySelector<HTMLElement>('[data-focus], [tabindex="0"]') ?? pane)?.focus();
}

export const SHORTCUTS: readonly Shortcut[] = [
  ...STEP_BUTTONS.flatMap(({ kind, key, help, back }): Shortcut[] => [
    { key, help: `Forward ${help}`, act: () => void step(kind, 'forward') },
    { key: `Shift+${key}`, help: `Back ${back}`, act: () => void step(kind, 'back') },
  ]),
  { key: 'c', help: 'Continue to the next stop point or the end', act: () => void run('forward') },
  { key: 'Shift+c', help: 'Back to the stop point before, or the beginning', act: () => void run('back') },
  { key: 'Escape', help: 'Interrupt what runs', act: interrupt },
  { key: 'n', help: 'Choose what runs', act: () => (chooserOpen.value = true) },
  { key: 'F6', help: 'To the next pane', act: () => movePane(1) },
  { key: 'Shift+F6', help: 'To the pane before', act: () => movePane(-1) },
  { key: '?', help: 'This help', act: () => (helpOpen.value = !helpOpen.value) },
];

const isTyping = (target: EventTarget | null): boolean =>
  target instanceof HTMLElement && (target.matches('input, textarea, select') || target.isContentEditable || target.closest('.xterm') !== null);

export function onKey(e: KeyboardEvent): void {
  if (e.ctrlKey || e.metaKey || e.altKey || e.defaultPrevented) return;
  const named = e.key.length > 1;
  if (!named && (!lettersOn.value || isTyping(e.target))) return;
  if (named && e.key !== 'F6' && isTyping(e.target)) return;
  if (document.querySelector('dialog[open]') !== null && e.key !== '?') return;
  const key = e.key === '?' ? '?' : `${e.shiftKey ? 'Shift+' : ''}${named ? e.key : e.key.toLowerCase()}`;
  const found = SHORTCUTS.find((s) => s.key === key);
  if (found === undefined) return;
  e.preventDefault();
  found.act();
}
