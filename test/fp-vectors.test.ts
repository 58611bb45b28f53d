/** Floating-point and vector instructions against what a real processor did (scripts/record-fp-vectors.mjs describes the format). */

import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { EAGER_COMPILER } from '../src/cpu/engine/regions/compiler.js';
import { tagOf } from '../src/cpu/isa/sse-state.js';
import { RDI, S } from '../src/cpu/state.js';
import { high32, low32 } from '../src/cpu/wide.js';
import { END, TestMachine } from './support/machine-with.js';

const CODE = 0x20_0000, MEM = 0x30_0100;
const EXTENDED_MASK = (1n << 80n) - 1n;
const STATUS = 0x8d5;
/** Results of these may differ from the processor's in the last bit, and so may C1 that says how they were rounded. */
const TRANSCENDENTAL = /^F(2xm1|yl2x|yl2xp1|ptan|patan|sin|cos|sincos)$/;
const C1 = 0x200;
/** Units in the last place that a transcendental result may be off: trigonometric reduction by another approximation of pi costs more. */
function tolerance(form: string, st0: bigint): bigint {
  const exponent = (Number(st0 >> 64n) & 0x7fff) - 0x3fff;
  return /^F(sin|cos|sincos|ptan)$/.test(form) && exponent > 0 ? 1n << BigInt(exponent) : 1n;
}
/** The manual leaves FYL2XP1 of -1 and less undefined. */
const isUndefined = (form: string, st0: bigint): boolean => form === 'Fyl2xp1' && st0 >> 79n === 1n && ((st0 >> 64n) & 0x7fffn) >= 0x3fffn;

type Fields = Map<string, string>;
const parse = (text: string): Fields => new Map(text.split(' ').filter(Boolean).map((f) => f.split('=') as [string, string]));
const number = (fields: Fields, name: string, otherwise: number): number => (fields.has(name) ? parseInt(fields.get(name)!, 16) : otherwise);
const big = (fields: Fields, name: string): bigint => BigInt('0x' + (fields.get(name) ?? '0'));

const ENGINES = { interpreter: new TestMachine(), compiler: new TestMachine(undefined, EAGER_COMPILER) };
let t = ENGINES.interpreter, { s } = t.vcpu;
let written = '';
const put128 = (at: number, v: bigint): void => {
  s.set64(at, BigInt.asUintN(64, v));
  s.set64(at + 8, v >> 64n);
};
const get128 = (at: number): bigint => s.get64(at) | (s.get64(at + 8) << 64n);
/** The abridged tag byte, one bit a physical register. */
const abridged = (): number => [0, 1, 2, 3, 4, 5, 6, 7].reduce((tags, i) => tags | (((s.get32(S.ftw) >> (2 * i)) & 3) === 3 ? 0 : 1 << i), 0);

/** Runs a case; returns what is wrong with the outcome, or ''. */
function run(form: string, code: Uint8Array, before: Fields, after: Fields): string {
  // Only what changes: writing code makes the compiler begin anew.
  if (written !== String(code)) t.phys.write(CODE, Uint8Array.of(...code, ...END));
  written = String(code);
  t.phys.write(MEM, Uint8Array.from({ length: 128 }));
  if (before.has('m')) t.phys.write(MEM, Uint8Array.from(before.get('m')!.match(/../g)!, (b) => parseInt(b, 16)));
  t.start(64, CODE);
  for (let i = 0; i < 16; i++) s.setGpr(i, 0n);
  s.setGpr(RDI, BigInt(MEM));
  s.setGpr(4, 0x30_1800n);
  s.setGpr(0, big(before, 'a'));
  s.rflags = number(before, 'f', 0) | 2;
  s.set32(S.mxcsr, number(before, 'c', 0x1f80));
  s.set32(S.fcw, number(before, 'fcw', 0x37f));
  s.set32(S.fsw, number(before, 'fsw', 0));
  const tags = number(before, 'tag', 0);
  let full = 0;
  for (let r = 0; r < 8; r++) {
    const v = big(before, `p${r}`) | big(before, `q${r}`);
    put128(S.st + 16 * r, v);
    full |= (tags & (1 << r) ? tagOf(low32(v), high32(BigInt.asUintN(64, v)), Number(v >> 64n)) : 3) << (2 * r);
  }
  s.set32(S.ftw, full);
  for (let r = 0; r < 16; r++) put128(S.xmm + 32 * r, big(before, `x${r}`));
  const loose = TRANSCENDENTAL.test(form), st0 = big(before, `p${(number(before, 'fsw', 0) >> 11) & 7}`);
  if (isUndefined(form, st0)) return '';
  const { fault } = t.runToHalt();
  const wanted = (name: string, otherwise = '0'): string => after.get(name) ?? before.get(name) ?? otherwise;
  const wrong: string[] = [];
  const check = (name: string, got: bigint | number, otherwise?: string): void => {
    if (BigInt(got) !== BigInt('0x' + wanted(name, otherwise))) wrong.push(`${name} is ${got.toString(16)}, not ${wanted(name, otherwise)}`);
  };
  const expectedFault = after.has('fault') ? Number(after.get('fault')) : -1;
  if (fault !== expectedFault) wrong.push(`fault ${fault}, not ${expectedFault}`);
  check('c', s.get32(S.mxcsr), '1f80');
  if (expectedFault < 0) check('f', s.rflags & STATUS);
  check('a', s.gpr(0));
  for (const r of [1, 2]) check(`x${r}`, get128(S.xmm + 32 * r));
  const bytes = Buffer.from(t.phys.read(MEM, 16)).toString('hex');
  if (bytes !== wanted('m', '0'.repeat(32))) wrong.push(`memory is ${bytes}, not ${wanted('m')}`);
  if (before.has('q1') || before.has('q2') || before.has('fsw') || before.has('p1')) {
    if (loose) {
      if ((s.get32(S.fsw) ^ parseInt(wanted('fsw'), 16)) & ~C1) wrong.push(`fsw is ${s.get32(S.fsw).toString(16)}, not ${wanted('fsw')}`);
    } else check('fsw', s.get32(S.fsw));
    check('tag', abridged());
    for (const r of [1, 2]) if (before.has(`q${r}`) || after.has(`q${r}`)) check(`q${r}`, get128(S.st + 16 * r) & EXTENDED_MASK);
    for (let r = 0; r < 8; r++) {
      if (!before.has(`p${r}`) && !after.has(`p${r}`)) continue;
      const off = (get128(S.st + 16 * r) & EXTENDED_MASK) - BigInt('0x' + wanted(`p${r}`));
      if (loose && (off < 0n ? -off : off) <= tolerance(form, st0)) continue;
      check(`p${r}`, get128(S.st + 16 * r) & EXTENDED_MASK);
    }
  }
  return wrong.join('; ');
}

describe.each(['sse', 'mmx', 'x87'])('%s vectors', (file) => {
  it.each(['interpreter', 'compiler'] as const)('hold on the %s', (engine) => {
    t = ENGINES[engine];
    s = t.vcpu.s;
    written = '';
    const failures: string[] = [];
    let form = '', code = new Uint8Array();
    for (const line of readFileSync(new URL(`vectors/${file}.txt`, import.meta.url), 'utf8').split('\n')) {
      if (line.startsWith('form ')) {
        const [, name, bytes] = line.split(' ') as [string, string, string];
        form = name;
        code = Uint8Array.from(bytes.match(/../g)!, (b) => parseInt(b, 16));
      } else if (line.includes('>')) {
        const [before, after] = line.split('>') as [string, string];
        let wrong: string;
        try {
          wrong = run(form, code, parse(before), parse(after));
        } catch (e) {
          wrong = String(e);
        }
        if (wrong !== '') failures.push(`${form}: ${wrong} | ${line}`);
      }
    }
    expect(failures).toEqual([]);
  }, 60_000);
});
