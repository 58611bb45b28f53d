/** The integer instructions against what a real processor did (test/vectors), on each reading of the descriptions. */

import { describe, expect, it } from 'vitest';
import '../src/cpu/isa/index.js';
import { type CompilerOptions, EAGER_COMPILER } from '../src/cpu/engine/regions/compiler.js';
import { RAM_BASE } from '../src/mem/layout.js';
import { STATUS_FLAGS, DF } from '../src/cpu/state.js';
import { END, TestMachine } from './support/machine-with.js';
import { Evaluator } from './support/evaluate.js';
import { undefinedFlags } from './support/undefined-flags.js';
import { CODE, DATA, DATA_BYTES, readVectors, TAKEN, type VectorCase, type Visible } from './support/vectors.js';

/** Something that executes one instruction from a visible state. */
interface Machine {
  run(c: VectorCase, before: Visible): { state: Visible; fault: number; taken: boolean };
}

function evaluating(constants: boolean, cached: boolean): Machine {
  const pages = [DATA, DATA + 0x1000];
  const machines = { 32: new Evaluator(32, constants, cached ? pages : []), 64: new Evaluator(64, constants, cached ? pages : []) };
  return {
    run(c, before) {
      const e = machines[c.bits];
      before.gpr.forEach((v, i) => e.s.setGpr(i, v));
      e.s.rflags = before.rflags;
      e.m.u8.set(before.data, RAM_BASE + DATA);
      e.run(c.code, CODE);
      return {
        state: {
          gpr: before.gpr.map((_, i) => e.s.gpr(i)),
          rflags: e.s.rflags,
          data: e.m.u8.slice(RAM_BASE + DATA, RAM_BASE + DATA + DATA_BYTES),
        },
        fault: e.fault,
        taken: e.rip === BigInt(TAKEN),
      };
    },
  };
}

/** The vCPU itself; each encoding is followed by HLT, and so is the place that branches go to. */
function engine(compiler?: CompilerOptions): Machine {
  const t = new TestMachine(undefined, compiler);
  let last: Uint8Array | undefined;
  return {
    run(c, before) {
      const { s } = t.vcpu;
      if (c.code !== last) {
        t.phys.write(CODE, Uint8Array.of(...c.code, ...END));
        t.phys.write(TAKEN, Uint8Array.from(END));
        last = c.code;
      }
      t.phys.write(DATA, before.data);
      t.start(c.bits, CODE);
      before.gpr.forEach((v, i) => s.setGpr(i, v));
      s.rflags = before.rflags;
      const { rip, fault } = t.runToHalt();
      if (fault < 0 && rip !== TAKEN && rip !== CODE + c.code.length) throw new Error(`halted at ${hex(rip)}`);
      const state = { gpr: before.gpr.map((_, i) => s.gpr(i)), rflags: s.rflags, data: t.phys.read(DATA, DATA_BYTES) };
      return { state, fault, taken: rip === TAKEN };
    },
  };
}

/** Flags of the case that the manuals define, and the instruction may change. */
function definedFlags(c: VectorCase): number {
  const width = /_r[m]?8/.test(c.name) ? 8 : /_r[m]?16/.test(c.name) ? 16 : /_r[m]?32/.test(c.name) ? 32 : 64;
  const raw = /_1$/.test(c.name) ? 1 : /_CL$/.test(c.name) ? Number(c.before().gpr[1]! & 0xffn) : c.code[c.code.length - 1]!;
  return (STATUS_FLAGS | DF) & ~undefinedFlags(c.name, raw & (width === 64 ? 63 : 31), width);
}

const hex = (v: bigint | number): string => v.toString(16);

/** What differs between the recorded and the computed outcome, or ''. */
function difference(m: Machine, c: VectorCase, strict: boolean): string {
  const want = c.after();
  const got = m.run(c, c.before());
  if (got.fault !== c.fault) return `fault ${got.fault}, not ${c.fault}`;
  const expected = want ?? c.before();
  for (let i = 0; i < 16; i++) if (got.state.gpr[i] !== expected.gpr[i]) return `register ${i} is ${hex(got.state.gpr[i]!)}, not ${hex(expected.gpr[i]!)}`;
  if (Buffer.compare(got.state.data, expected.data) !== 0) {
    const at = got.state.data.findIndex((b, i) => b !== expected.data[i]);
    return `byte ${hex(DATA + at)} is ${hex(got.state.data[at]!)}, not ${hex(expected.data[at]!)}`;
  }
  if (got.fault >= 0) return '';
  if (got.taken !== c.taken) return c.taken ? 'not taken' : 'taken';
  const mask = strict ? STATUS_FLAGS | DF : definedFlags(c);
  const wrong = (got.state.rflags ^ expected.rflags) & mask;
  return wrong === 0 ? '' : `flags ${hex(got.state.rflags & mask)}, not ${hex(expected.rflags & mask)}`;
}

function failures(m: Machine, cases: readonly VectorCase[], strict = false): string[] {
  const out: string[] = [];
  for (const c of cases) {
    let wrong: string;
    try {
      wrong = difference(m, c, strict);
    } catch (e) {
      wrong = String(e);
    }
    if (wrong !== '') out.push(`${c.name} ${[...c.code].map((b) => b.toString(16).padStart(2, '0')).join('')}: ${wrong} | ${c.text}`);
  }
  return out;
}

describe.each(['integer64', 'integer32', 'strings'])('%s vectors', (name) => {
  const cases = readVectors(name);
  it('hold for the descriptions as the interpreter reads them', () => expect(failures(evaluating(false, false), cases)).toEqual([]));
  it('hold on the interpreter', () => expect(failures(engine(), cases)).toEqual([]));
  // Each form is compiled: a sixth of them unless all are asked for.
  const every = process.env['ALL_VECTORS'] === undefined ? 6 : 1;
  const forms = new Set([...new Set(cases.map((c) => c.code))].filter((_, i) => i % every === 0));
  it('hold on the compiler', () => expect(failures(engine(EAGER_COMPILER), cases.filter((c) => forms.has(c.code)))).toEqual([]), 300_000);
  it('hold for the descriptions as the compiler reads them', () => expect(failures(evaluating(true, true), cases)).toEqual([]));
});

if (process.env['STRICT'] !== undefined)
  it('undefined flags', () => {
    const by = new Map<string, number>();
    for (const f of ['integer64', 'integer32', 'strings'])
      for (const t of failures(evaluating(false, false), readVectors(f), true)) by.set(t.split(' ')[0]!, (by.get(t.split(' ')[0]!) ?? 0) + 1);
    console.log([...by].map(([k, n]) => `${k}:${n}`).join(' '));
  });
