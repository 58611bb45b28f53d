/** The machine's text screen as it would be seen now. Reading it changes nothing. */

import { TEXT_BASE, TEXT_BYTES, type Vga } from '../devices/vga/vga.js';
import type { PhysicalMemory } from '../mem/physical.js';

export interface Screen {
  readonly columns: number;
  readonly rows: number;
  /** Pairs of character (code page 437) and attribute, row by row. */
  readonly cells: Uint8Array;
  readonly cursor: { readonly column: number; readonly row: number; readonly visible: boolean };
  /** Bit 7 of an attribute blinks; otherwise it makes the background bright. */
  readonly blink: boolean;
  /** Red, green and blue of 16 colours, 8 bits each. */
  readonly palette: Uint8Array;
}
/** Why there is nothing to be shown, in a few words. */
export interface NoScreen {
  readonly reason: string;
}

/** Characters that the memory holds; addresses wrap there. */
const CHARACTERS = TEXT_BYTES / 2;

export function readScreen(vga: Vga, phys: PhysicalMemory): Screen | NoScreen {
  const layout = vga.layout();
  if ('reason' in layout) return layout;
  const { columns, rows, start, pitch, blink, palette } = layout, memory = phys.read(TEXT_BASE, TEXT_BYTES), cells = new Uint8Array(2 * columns * rows);
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++) {
      const from = 2 * ((start + row * pitch + column) % CHARACTERS), to = 2 * (row * columns + column);
      cells[to] = memory[from]!;
      cells[to + 1] = memory[from + 1]!;
    }
  const at = (layout.cursor ?? start) - start, row = pitch > 0 ? Math.floor(at / pitch) : 0, column = at - row * pitch;
  const visible = layout.cursor !== undefined && row >= 0 && row < rows && column < columns;
  return { columns, rows, cells, cursor: visible ? { column, row, visible } : { column: 0, row: 0, visible }, blink, palette };
}

/** As it is before anybody writes: blanks, grey on black or of zeros, and the cursor in its corner. */
export function isUntouched({ cells, cursor }: Screen): boolean {
  if (cursor.column !== 0 || cursor.row !== 0) return false;
  for (let i = 0; i < cells.length; i += 2) if ((cells[i] !== 0x20 || cells[i + 1] !== 0x07) && (cells[i] !== 0 || cells[i + 1] !== 0)) return false;
  return true;
}

const sameBytes = (a: Uint8Array, b: Uint8Array): boolean => a.length === b.length && a.every((v, i) => v === b[i]);

/** Would a person see the same? */
export function sameScreen(a: Screen | NoScreen, b: Screen | NoScreen): boolean {
  if ('reason' in a || 'reason' in b) return 'reason' in a && 'reason' in b && a.reason === b.reason;
  const c = a.cursor, d = b.cursor;
  return a.columns === b.columns && a.rows === b.rows && a.blink === b.blink && c.column === d.column && c.row === d.row && c.visible === d.visible &&
    sameBytes(a.palette, b.palette) && sameBytes(a.cells, b.cells);
}
