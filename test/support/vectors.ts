/**
 * The recorded vectors (test/vectors/*.txt, made by scripts/record-vectors.mjs, which describes the format) as cases:
 * what registers and memory hold before and after one instruction.
 */

import { readFileSync } from 'node:fs';

export const CODE = 0x200000, TAKEN = CODE + 0x40;
export const DATA = 0x300000, DATA_BYTES = 0x2000;
const MEM = DATA + 0x100, STACK = DATA + 0x17c0, RSP_VALUE = DATA + 0x1800;
const FILLER = 0x5a;
const NAMES = ['ax', 'cx', 'dx', 'bx', 'sp', 'bp', 'si', 'di', 'r8', 'r9', 'r10', 'r11', 'r12', 'r13', 'r14', 'r15'];
const SP = 4, SI = 6, DI = 7;

/** What a program sees: registers, RFLAGS, and the data pages. */
export interface Visible {
  gpr: bigint[];
  rflags: number;
  data: Uint8Array;
}

export interface VectorCase {
  readonly bits: 64 | 32;
  readonly name: string;
  readonly code: Uint8Array;
  /** The line of the file, for messages. */
  readonly text: string;
  before(): Visible;
  /** After `before`: null when the instruction faults. */
  after(): Visible | null;
  /** Vector of the fault, or -1. */
  readonly fault: number;
  /** The branch went to TAKEN. */
  readonly taken: boolean;
}

function defaults(bits: number): bigint[] {
  return NAMES.map((_, i) => {
    const v = i === SP ? BigInt(RSP_VALUE) : i === SI || i === DI ? BigInt(MEM) : i === 8 ? 0x10n : 0x1111111111111111n * BigInt(i);
    return bits === 64 ? v : BigInt.asUintN(32, v);
  });
}

/** Applies fields such as `ax=1`, `f=202`, `m20=5a5b` to a state. */
function apply(fields: readonly string[], v: Visible): Visible {
  for (const field of fields) {
    const [name, value] = field.split('=') as [string, string];
    const register = NAMES.indexOf(name);
    if (register >= 0) v.gpr[register] = BigInt('0x' + value);
    else if (name === 'f') v.rflags = parseInt(value, 16);
    else {
      const at = (name[0] === 'm' ? MEM : STACK) - DATA + parseInt(name.slice(1), 16);
      for (let i = 0; i < value.length; i += 2) v.data[at + i / 2] = parseInt(value.slice(i, i + 2), 16);
    }
  }
  return v;
}

const bytesOf = (hex: string): Uint8Array => Uint8Array.from(hex.match(/../g)!, (b) => parseInt(b, 16));

/** All cases of test/vectors/`name`.txt. */
export function readVectors(name: string): VectorCase[] {
  const cases: VectorCase[] = [];
  let form: Pick<VectorCase, 'bits' | 'name' | 'code'> | undefined;
  for (const line of readFileSync(new URL(`../vectors/${name}.txt`, import.meta.url), 'utf8').split('\n')) {
    if (line === '' || line.startsWith('#')) continue;
    if (line.startsWith('form ')) {
      const [, bits, formName, hex] = line.split(' ') as [string, string, string, string];
      form = { bits: bits === '64' ? 64 : 32, name: formName, code: bytesOf(hex) };
      continue;
    }
    const { bits, name: formName, code } = form!;
    const [left, right] = line.split(' > ') as [string, string];
    const results = right.split(' ');
    const before = (): Visible =>
      apply(left.split(' '), { gpr: defaults(bits), rflags: 2, data: new Uint8Array(DATA_BYTES).fill(FILLER) });
    const fault = results[0]!.startsWith('fault=') ? Number(results[0]!.slice(6)) : -1;
    cases.push({
      bits,
      name: formName,
      code,
      text: line,
      before,
      after: () => (fault >= 0 ? null : apply(results.filter((f) => f.includes('=')), before())),
      fault,
      taken: results.includes('taken'),
    });
  }
  return cases;
}
