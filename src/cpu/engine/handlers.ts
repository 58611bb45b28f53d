/**
 * Handlers: one wasm function per (form, addressing, code size), made from the descriptions when an instruction of their
 * family is decoded for the first time, and put in the machine's function table.
 *
 * Compiled modules are kept for the whole process: every machine instantiates the same ones over its own memory and table.
 */

import type { LinearMemory } from '../../mem/linear-memory.js';
import { Wasm, type WasmGlobal, type WasmImports, type WasmModule, type WasmTable } from '../../wasm/host.js';
import { type InsnSpec, opCodeInfo } from '../insn.js';
import { baseModule, shared } from './base-handlers.js';
import { type Form, formOf } from './forms.js';
import { HANDLER_TYPE, type TimingImport } from './host-imports.js';
import { type Addressing, InterpreterBuilder, type Variant } from './interpreter-builder.js';
import { FUNCTION_NAMES, newModule } from './shared-functions.js';
import { type Usage, usageOf } from './usage.js';

const ADDRESSINGS: readonly Addressing[] = ['register', 'flat', 'full', 'segmented'];
/** Places of the table to begin with; it grows by doubling. Every instance has a copy, so it is small. */
const TABLE_SLOTS = 2048;

const variantKey = (code: number, addressing: Addressing, codeSize: number): string => `${code}.${addressing}.${codeSize}`;

/** What a handler was made from. */
export interface HandlerInfo {
  readonly spec: InsnSpec;
  readonly variant: Variant;
  readonly usage: Usage;
}

function variantsOf(form: Form, codeSize: 16 | 32 | 64): Addressing[] {
  const onlyMemory = form.hasMem && !form.hasRm;
  return ADDRESSINGS.filter((a) => {
    if (a === 'register') return !onlyMemory;
    if (!form.hasMem) return false;
    return (a === 'segmented') === (codeSize !== 64);
  });
}

interface Family {
  readonly module: WasmModule;
  /** Keys of the exports h0, h1, ... and what each was made from. */
  readonly keys: readonly string[];
  readonly infos: readonly HandlerInfo[];
}
const families = new Map<string, Family>();

/** All handlers of one description for one code size. */
function family(spec: InsnSpec, codeSize: 16 | 32 | 64, timing: boolean): Family {
  const name = `${spec.forms[0]}.${codeSize}.${timing}`;
  let f = families.get(name);
  if (f !== undefined) return f;
  const module = newModule();
  const keys: string[] = [], infos: HandlerInfo[] = [];
  for (const code of spec.forms) {
    const info = opCodeInfo(code);
    if (!(codeSize === 64 ? info.mode64 : codeSize === 32 ? info.mode32 : info.mode16)) continue;
    const form = formOf(code);
    for (const addressing of variantsOf(form, codeSize)) {
      const variant = { form, addressing, codeSize, timing }, usage = usageOf(spec, variant);
      infos.push({ spec, variant, usage });
      // Reads of operands that the body also writes ask for write permission.
      const b = new InterpreterBuilder(variant, usage.written);
      spec.body(b, ...b.operands());
      module.add(b.finishBody(), HANDLER_TYPE.results, `h${keys.length}`);
      keys.push(variantKey(code, addressing, codeSize));
    }
  }
  f = { module: new Wasm.Module(module.finish()), keys, infos };
  families.set(name, f);
  return f;
}

const BASE = ['marker', 'stop', 'refetch', 'pageEnd', 'goto', 'line', 'straddle', 'invalid', 'unknown', 'breakpoint'] as const;

export type Enter = (record: number, left: number) => void;

/** The function table of one machine. */
export class Handlers {
  readonly table: WasmTable;
  /** Runs from a record until something leaves. */
  readonly enter: Enter;
  /** The same from a record that was arrived at before: its fetch has been charged. */
  readonly resume: Enter;
  /** Cycle mode: cycles of fetching the instruction at a record of the current page. */
  readonly fetchAt: ((record: number) => number) | undefined;
  /** Table indices of the base handlers. */
  readonly base: Readonly<Record<(typeof BASE)[number], number>>;
  /** The record of the region that was entered last. */
  readonly entered: WasmGlobal;
  /** What regions import: `entered`; the functions that they call (shared-functions.ts) are in a table of their own. */
  readonly regionImports: WasmImports;
  private readonly imports: WasmImports;
  private readonly infos: (HandlerInfo | undefined)[] = [];
  private readonly free: number[] = [];
  private readonly indices = new Map<string, number>();
  private used = 0;

  private readonly timing: boolean;

  /**
   * @param host the TypeScript functions of `IMPORTS`, without the wasm ones
   * @param timing the timing core's functions, for cycle mode
   */
  constructor(m: LinearMemory, host: Record<string, unknown>, timing?: Record<TimingImport, unknown>) {
    this.timing = timing !== undefined;
    this.table = new Wasm.Table({ initial: TABLE_SLOTS, element: 'anyfunc' });
    const { memory } = m, { table } = this;
    const exports = new Wasm.Instance(baseModule(this.timing), { env: { memory, table, ...host, ...timing } }).exports;
    this.imports = { env: { memory, table } };
    const functions = new Wasm.Table({ initial: FUNCTION_NAMES.length, element: 'anyfunc' });
    this.entered = new Wasm.Global({ value: 'i32', mutable: true }, 0);
    this.regionImports = { env: { memory, table: functions, entered: this.entered } };
    FUNCTION_NAMES.forEach((name, i) => {
      // Without timing there are no functions of the timing core.
      const f = exports[shared(name)] ?? null;
      if (this.put(f) !== i) throw new Error('shared functions are the first of the table');
      functions.set(i, f);
    });
    this.enter = exports['enter'] as Enter;
    this.resume = exports['resume'] as Enter;
    this.fetchAt = exports[shared('fetchAt')] as Handlers['fetchAt'];
    const base: Record<string, number> = {};
    for (const name of BASE) base[name] = this.put(exports[name]);
    this.base = base as Handlers['base'];
  }

  /** Puts a function in a free slot: its index. */
  put(f: unknown): number {
    const index = this.free.pop() ?? this.used++;
    if (index >= this.table.length) this.table.grow(this.table.length);
    this.table.set(index, f);
    return index;
  }
  /** Gives a slot of `put` back; nothing may refer to it any more. */
  remove(index: number): void {
    this.table.set(index, null);
    this.free.push(index);
  }
  /** What the handler at a table index was made from; undefined for base handlers. */
  info(index: number): HandlerInfo | undefined {
    return this.infos[index];
  }

  /** Table index of the handler for a decoded instruction. */
  index(spec: InsnSpec, code: number, addressing: Addressing, codeSize: 16 | 32 | 64): number {
    // Code size 16 has handlers of its own only where the body looks at it.
    const size = codeSize === 16 && !spec.perMode ? 32 : codeSize;
    const key = variantKey(code, addressing, size);
    const known = this.indices.get(key);
    if (known !== undefined) return known;
    const f = family(spec, size, this.timing);
    const exports = new Wasm.Instance(f.module, this.imports).exports;
    f.keys.forEach((k, i) => {
      const at = this.put(exports[`h${i}`]);
      this.indices.set(k, at);
      this.infos[at] = f.infos[i];
    });
    const index = this.indices.get(key);
    if (index === undefined) throw new Error(`no handler ${key} of ${spec.name}`);
    return index;
  }
}
