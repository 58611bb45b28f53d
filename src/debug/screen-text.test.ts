import { expect, it } from 'vitest';
import { CODE_PAGE_437, screenRows } from './screen-text.js';

it('has a character for each byte of code page 437, at its place', () => {
  expect(CODE_PAGE_437.length).toBe(256);
  expect(CODE_PAGE_437.every((c) => c.length === 1)).toBe(true);
  const at = (code: number): string => CODE_PAGE_437[code]!;
  expect([at(0x01), at(0x1f), at(0x41), at(0x7f), at(0x80), at(0xb0), at(0xc4), at(0xcd), at(0xdb), at(0xe1), at(0xf8), at(0xfe)].join('')).toBe('☺▼A⌂Ç░─═█ß°■');
});

it('rows are as wide as the screen', () => {
  const cells = Uint8Array.of(0x48, 7, 0x69, 7, 0, 0, 0xc9, 7);
  const screen = { columns: 2, rows: 2, cells, cursor: { column: 0, row: 0, visible: false }, blink: false, palette: new Uint8Array(48) };
  expect(screenRows(screen)).toEqual(['Hi', ' ╔']);
});
