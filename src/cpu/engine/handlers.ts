/**
 * Handlers: one wasm function per (form, addressing, code size), made from the descriptions when such an instruction is decoded for the
 * first time, and put in the machine's function table. Those that a run of instructions needs for the first time are one module.
 *
 * Compiled modules are kept for the whole process: every machine instantiates the same ones over its own memory and table.
 * Invariant: a machine's table places follow from the order in which it has needed its handlers, and not from what others have made.
 */

import type { LinearMemory } from '../../mem/linear-memory.js';
import type { FunctionEmitter } from '../../wasm/function.js';
import { Wasm, type WasmGlobal, type WasmImports, type WasmInstance, type WasmModule, type WasmTable } from '../../wasm/host.js';
import type { InsnSpec } from '../insn.js';
import { baseModule, shared } from './base-handlers.js';
import { formOf } from './forms.js';
import { HANDLER_TYPE, type TimingImport } from './host-imports.js';
import type { Addressing, Variant } from './interpreter-builder.js';
import { FUNCTION_NAMES, newModule } from './shared-functions.js';
import { type Usage, emitHandler } from './usage.js';

/** Places of the table to begin with; it grows by doubling. Every instance has a copy, so it is small. */
const TABLE_SLOTS = 512;

const ADDRESSINGS: readonly Addressing[] = ['register', 'flat', 'full', 'segmented'];

/** What a handler was made from. There is one for each handler, whatever the number of machines. */
export interface HandlerInfo {
  /** All of it as one number: the same in every process of the same program. */
  readonly key: number;
  readonly spec: InsnSpec;
  readonly variant: Variant;
  readonly usage: Usage;
}

/** A handler as the process has it: every machine has it at a place of its own. */
class Kind implements HandlerInfo {
  private static count = 0;
  /** Kinds are numbered as they are made: each machine has its table places by this number. */
  readonly id = Kind.count++;
  readonly usage: Usage;
  /** Its code, until it is in a module. */
  code: FunctionEmitter | undefined;
  module: WasmModule | undefined;
  /** Name of the export. */
  name = '';

  constructor(readonly key: number, readonly spec: InsnSpec, readonly variant: Variant) {
    const made = emitHandler(spec, variant);
    this.usage = made.usage;
    this.code = made.code;
  }
}
/** By `HandlerInfo.key`. */
const kinds = new Map<number, Kind>();

function kindOf(spec: InsnSpec, code: number, addressing: Addressing, codeSize: 16 | 32 | 64, timing: boolean): Kind {
  // Code size 16 has handlers of its own only where the body looks at it.
  const size = codeSize === 16 && !spec.perMode ? 32 : codeSize;
  const key = ((code * 4 + ADDRESSINGS.indexOf(addressing)) * 4 + size / 16 - 1) * 2 + Number(timing);
  let kind = kinds.get(key);
  if (kind === undefined) kinds.set(key, (kind = new Kind(key, spec, { form: formOf(code), addressing, codeSize: size, timing })));
  return kind;
}

/** One module for all: a module and an instance of it cost the host more than a function does. */
function compile(list: readonly Kind[]): void {
  if (list.length === 0) return;
  const builder = newModule();
  list.forEach((kind, i) => builder.add(kind.code!, HANDLER_TYPE.results, (kind.name = `h${i}`)));
  const module = new Wasm.Module(builder.finish());
  for (const kind of list) {
    kind.module = module;
    kind.code = undefined;
  }
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
  /** The record of the region that was entered last, or, if that was left where it is too long to go on, of what comes there. */
  readonly entered: WasmGlobal;
  /** What regions import: `entered`; the functions that they call (shared-functions.ts) are in a table of their own. */
  readonly regionImports: WasmImports;
  private readonly imports: WasmImports;
  private readonly infos: (HandlerInfo | undefined)[] = [];
  private readonly free: number[] = [];
  /** Table places by `Kind.id`. */
  private readonly indices: (number | undefined)[] = [];
  private readonly missing: Kind[] = [];
  private readonly instances = new Map<WasmModule, WasmInstance>();
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

  /** The handler of an encoding. The same object in every machine. */
  kind(spec: InsnSpec, code: number, addressing: Addressing, codeSize: 16 | 32 | 64): HandlerInfo {
    return kindOf(spec, code, addressing, codeSize, this.timing);
  }
  /** Table index of a handler. It is there after the next `install`. */
  index(info: HandlerInfo): number {
    const kind = info as Kind, known = this.indices[kind.id];
    if (known !== undefined) return known;
    const index = this.put(null);
    this.indices[kind.id] = index;
    this.infos[index] = kind;
    this.missing.push(kind);
    return index;
  }
  /** Puts the handlers that `index` has promised in the table. Before the next instruction is executed. */
  install(): void {
    const { missing } = this;
    if (missing.length === 0) return;
    compile(missing.filter((k) => k.module === undefined));
    for (const kind of missing) {
      const module = kind.module!;
      let instance = this.instances.get(module);
      if (instance === undefined) this.instances.set(module, (instance = new Wasm.Instance(module, this.imports)));
      this.table.set(this.indices[kind.id]!, instance.exports[kind.name]);
    }
    missing.length = 0;
  }
}
