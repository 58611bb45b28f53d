/** The `x` command's formats, as gdb has them: count, letter, size of unit. */

import { CommandError } from './command.js';

export interface ExamineFormat {
  readonly count: number;
  readonly letter: string;
  /** Bytes of a unit. */
  readonly size: number;
}

const SIZES: Readonly<Record<string, number>> = { b: 1, h: 2, w: 4, g: 8 };
const MOST = 4096, ROW_BYTES = 16, LONGEST_TEXT = 256;
let remembered: ExamineFormat = { count: 1, letter: 'x', size: 4 };

/** `/16xb ADDRESS`. What is not given is as last time, the count 1. */
export function parseFormat(argument: string): { format: ExamineFormat; rest: string } {
  const m = /^\/(\d*)([a-z]*)\s*(.*)$/.exec(argument);
  let { letter, size } = remembered, count = 1;
  if (m !== null) {
    if (m[1] !== '') count = Number(m[1]);
    for (const c of m[2]) {
      if (c in SIZES) size = SIZES[c];
      else if ('xducsi'.includes(c)) letter = c;
      else throw new CommandError(`x has no format or size "${c}": formats are x d u c s i, sizes b h w g`);
    }
    if (letter === 'c' && !/[bhwg]/.test(m[2])) size = 1;
  }
  if (count < 1 || count > MOST) throw new CommandError(`x shows 1 to ${MOST} units, not ${count}`);
  const format = { count, letter, size };
  if (letter !== 'i' && letter !== 's') remembered = { ...format, count: 1 };
  return { format, rest: m === null ? argument : m[3].trim() };
}

function unitText(bytes: Uint8Array, letter: string): string {
  let v = 0n;
  for (let i = bytes.length - 1; i >= 0; i--) v = (v << 8n) | BigInt(bytes[i]);
  const bits = bytes.length * 8;
  if (letter === 'd') return String(BigInt.asIntN(bits, v));
  if (letter === 'u') return String(v);
  if (letter === 'c') return v >= 32n && v < 127n ? `'${String.fromCharCode(Number(v))}'` : `\\x${v.toString(16).padStart(2, '0')}`;
  return `0x${v.toString(16).padStart(bits / 4, '0')}`;
}

/** Lines `ADDRESS: unit unit ...`. @param read may give fewer bytes than asked for */
export function formatMemory(linear: bigint, { count, letter, size }: ExamineFormat, read: (linear: bigint, bytes: number) => Uint8Array): string[] {
  if (letter === 's') return [text(linear, read(linear, LONGEST_TEXT))];
  const bytes = read(linear, count * size), units = Math.floor(bytes.length / size), across = Math.max(1, ROW_BYTES / Math.max(size, 2));
  const out: string[] = [];
  for (let i = 0; i < units; i += across) {
    const row = Array.from({ length: Math.min(across, units - i) }, (_, k) => unitText(bytes.subarray((i + k) * size, (i + k + 1) * size), letter));
    out.push(`0x${(linear + BigInt(i * size)).toString(16)}:  ${row.join('  ')}`);
  }
  if (units < count) out.push(`0x${(linear + BigInt(units * size)).toString(16)}:  cannot be read: not mapped, or a device`);
  return out;
}

function text(linear: bigint, bytes: Uint8Array): string {
  if (bytes.length === 0) return `0x${linear.toString(16)}:  cannot be read: not mapped, or a device`;
  const zero = bytes.indexOf(0), shown = [...bytes.subarray(0, zero < 0 ? bytes.length : zero)].map((b) => (b >= 32 && b < 127 && b !== 34 && b !== 92 ? String.fromCharCode(b) : `\\x${b.toString(16).padStart(2, '0')}`)).join('');
  return `0x${linear.toString(16)}:  "${shown}"${zero < 0 ? '...' : ''}`;
}
