/** The text screen cut into stretches of one look, so that a row is a few elements instead of eighty. */

import { CODE_PAGE_437 } from '../../debug/screen-text.js';
import type { Screen } from '../../machine/screen.js';

/** Characters side by side with one attribute; the cursor's cell is always one by itself. */
export interface Run {
  readonly text: string;
  /** Style-sheet colours. */
  readonly ink: string;
  readonly back: string;
  readonly cursor: boolean;
}

const colourOf = (palette: Uint8Array, i: number): string => `rgb(${palette[3 * i]} ${palette[3 * i + 1]} ${palette[3 * i + 2]})`;

export function runsOf({ columns, cells, cursor, blink, palette }: Screen, row: number): Run[] {
  const out: Run[] = [], cursorAt = cursor.visible && cursor.row === row ? cursor.column : -1;
  for (let from = 0; from < columns; ) {
    const at = 2 * (row * columns + from), attribute = cells[at + 1]!;
    let text = '', column = from;
    do text += CODE_PAGE_437[cells[2 * (row * columns + column++)]!];
    while (column < columns && from !== cursorAt && column !== cursorAt && cells[2 * (row * columns + column) + 1] === attribute);
    out.push({ text, ink: colourOf(palette, attribute & 15), back: colourOf(palette, (attribute >> 4) & (blink ? 7 : 15)), cursor: from === cursorAt });
    from = column;
  }
  return out;
}
