import { expect, it } from 'vitest';
import { runsOf } from './screen-runs.js';

const palette = Uint8Array.from({ length: 48 }, (_, i) => Math.floor(i / 3));
const screen = (cells: number[], cursor = -1, blink = true) =>
  ({ columns: cells.length / 2, rows: 1, cells: Uint8Array.from(cells), cursor: { column: Math.max(cursor, 0), row: 0, visible: cursor >= 0 }, blink, palette });

it('joins cells of one attribute, and leaves the cursor by itself', () => {
  const cells = [0x41, 7, 0x42, 7, 0x43, 7, 0x3c, 0x1f, 0x62, 0x1f];
  expect(runsOf(screen(cells), 0).map((r) => [r.text, r.ink, r.back])).toEqual([['ABC', 'rgb(7 7 7)', 'rgb(0 0 0)'], ['<b', 'rgb(15 15 15)', 'rgb(1 1 1)']]);
  expect(runsOf(screen(cells, 1), 0).map((r) => [r.text, r.cursor])).toEqual([['A', false], ['B', true], ['C', false], ['<b', false]]);
});

it('bit 7 is a bright background only where nothing blinks', () => {
  expect([true, false].map((blink) => runsOf(screen([0x41, 0xf0], -1, blink), 0)[0]!.back)).toEqual(['rgb(7 7 7)', 'rgb(15 15 15)']);
});
