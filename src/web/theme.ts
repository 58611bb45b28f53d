/** Light and dark: as the system has it, until somebody chooses. */

import { signal } from '@preact/signals';

export type Theme = 'system' | 'light' | 'dark';
const KEY = 'xenolith-theme';
const query = matchMedia('(prefers-color-scheme: dark)');

function remembered(): Theme {
  try {
    const t = localStorage.getItem(KEY);
    return t === 'light' || t === 'dark' ? t : 'system';
  } catch {
    return 'system'; // storage may be forbidden
  }
}

export const theme = signal<Theme>(remembered());
const isDark = (): boolean => theme.value === 'dark' || (theme.value === 'system' && query.matches);
/** What is in force; canvases and terminals, which know no style sheet, follow it. */
export const dark = signal(isDark());

export function applyTheme(): void {
  dark.value = isDark();
  document.documentElement.dataset.theme = dark.value ? 'dark' : 'light';
}
query.addEventListener('change', applyTheme);

export function chooseTheme(next: Theme): void {
  theme.value = next;
  try {
    if (next === 'system') localStorage.removeItem(KEY);
    else localStorage.setItem(KEY, next);
  } catch {
    // then it holds for this page only
  }
  applyTheme();
}

/** A colour of the style sheet, for a canvas. */
export const colour = (name: string): string => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
