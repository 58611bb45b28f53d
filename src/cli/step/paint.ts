/** Text for a terminal of 80 columns: colours where they are wanted, wrapping, columns. */

export const WIDTH = 80;

const CODES = { bold: 1, dim: 2, red: 31, green: 32, yellow: 33, blue: 34, magenta: 35, cyan: 36 } as const;
export type Colour = keyof typeof CODES;

/** Colours are for terminals, and NO_COLOR (https://no-color.org) turns them off. */
export const wantsColour = (stream: { isTTY?: boolean }, environment: NodeJS.ProcessEnv): boolean =>
  stream.isTTY === true && (environment['NO_COLOR'] ?? '') === '' && environment['TERM'] !== 'dumb';

export class Paint {
  constructor(readonly colours: boolean) {}

  readonly in = (colour: Colour, text: string): string => (this.colours && text !== '' ? `\x1b[${CODES[colour]}m${text}\x1b[0m` : text);
}

/** Breaks a text between words into lines of at most `width` columns; `indent` goes before all lines but the first. */
export function wrap(text: string, indent = '', width = WIDTH): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(/\s+/)) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line);
      line = indent + word;
    } else line = line === '' ? word : `${line} ${word}`;
  }
  if (line !== '') lines.push(line);
  return lines;
}

/** Cuts a line that is too long, with an ellipsis at its end. */
export const cut = (text: string, width = WIDTH): string => (text.length <= width ? text : `${text.slice(0, width - 1)}…`);

/** Columns as wide as their widest cell; the last one is cut at 80 columns. */
export function columns(rows: readonly (readonly string[])[], gap = 2): string[] {
  const widths: number[] = [];
  for (const row of rows) row.forEach((cell, i) => (widths[i] = Math.max(widths[i] ?? 0, cell.length)));
  return rows.map((row) => cut(row.map((cell, i) => (i === row.length - 1 ? cell : cell.padEnd(widths[i] + gap))).join('').trimEnd()));
}

/** 1234567 as `1,234,567`. */
export const grouped = (n: number): string => String(Math.round(n)).replace(/\B(?=(\d{3})+$)/g, ',');
