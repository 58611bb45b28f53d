/**
 * A WebAssembly module while it is being assembled: imports (one memory, one table, functions, globals), functions, exports.
 * WebAssembly Core Specification 2.0 §5.5 "Modules"; the Branch Hinting proposal's custom section, which hosts are free to ignore.
 */

import { Bytes } from './bytes.js';
import type { FunctionEmitter } from './function.js';
import { FUNCREF, I32, type ValueType } from './opcodes.js';

export interface FunctionType {
  readonly params: readonly ValueType[];
  readonly results: readonly ValueType[];
}

const sameList = (a: readonly number[], b: readonly number[]): boolean => a.length === b.length && a.every((x, i) => x === b[i]);
export const sameType = (a: FunctionType, b: FunctionType): boolean => sameList(a.params, b.params) && sameList(a.results, b.results);

export class ModuleBuilder {
  private readonly types: FunctionType[];
  private readonly imports: { name: string; type: number }[] = [];
  private readonly functions: { emitter: FunctionEmitter; type: number }[] = [];
  private readonly exports: { name: string; index: number }[] = [];
  private constants = 0;

  /** Name of an imported variable, an i32: global 0. */
  importGlobal: string | undefined;

  /** @param memoryPages pages that the imported memory has at least; @param maxPages its maximum @param types that it begins with */
  constructor(private readonly memoryPages: number, private readonly maxPages: number, types: readonly FunctionType[] = []) {
    this.types = types.slice();
  }

  /** Index of a function type, added when new. */
  type(t: FunctionType): number {
    const found = this.types.findIndex((x) => sameType(x, t));
    return found >= 0 ? found : this.types.push(t) - 1;
  }
  /** Imports a function of module `env`; all imports come before the first `add`. Returns its function index. */
  importFunction(name: string, t: FunctionType): number {
    if (this.functions.length > 0) throw new Error('imports come before functions');
    return this.imports.push({ name, type: this.type(t) }) - 1;
  }
  /** Imports constants of 32 bits: `0`, `1`, ... of module `constant`. They are the globals behind `importGlobal`. */
  importConstants(count: number): void {
    this.constants = count;
  }
  /** Adds a function; returns its function index. */
  add(emitter: FunctionEmitter, results: readonly ValueType[], exportName?: string): number {
    const type = this.type({ params: emitter.params, results });
    const index = this.imports.length + this.functions.push({ emitter, type }) - 1;
    if (exportName !== undefined) this.export(index, exportName);
    return index;
  }
  /** Exports a function by its index; imports, too. */
  export(index: number, name: string): void {
    this.exports.push({ name, index });
  }

  finish(): Uint8Array {
    const out = new Bytes(4096).raw([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0]);
    const section = (id: number, fill: (b: Bytes) => void): void => {
      const b = new Bytes(1024);
      fill(b);
      out.u8(id).u32(b.length).append(b);
    };
    section(1, (b) => {
      b.u32(this.types.length);
      for (const t of this.types) b.u8(0x60).u32(t.params.length).raw(t.params).u32(t.results.length).raw(t.results);
    });
    section(2, (b) => {
      b.u32(this.imports.length + (this.importGlobal === undefined ? 2 : 3) + this.constants);
      b.name('env').name('memory').u8(2).u8(1).u32(this.memoryPages).u32(this.maxPages);
      b.name('env').name('table').u8(1).u8(FUNCREF).u8(0).u32(0);
      for (const i of this.imports) b.name('env').name(i.name).u8(0).u32(i.type);
      if (this.importGlobal !== undefined) b.name('env').name(this.importGlobal).u8(3).u8(I32).u8(1);
      for (let i = 0; i < this.constants; i++) b.name('constant').name(`${i}`).u8(3).u8(I32).u8(0);
    });
    section(3, (b) => {
      b.u32(this.functions.length);
      for (const f of this.functions) b.u32(f.type);
    });
    section(7, (b) => {
      b.u32(this.exports.length);
      for (const { name, index } of this.exports) b.name(name).u8(0).u32(index);
    });
    const code = new Bytes(4096).u32(this.functions.length);
    const hints = this.functions.map((f) => f.emitter.body(code));
    const hinted = [...hints.keys()].filter((i) => hints[i]!.length > 0);
    if (hinted.length > 0)
      section(0, (b) => {
        b.name('metadata.code.branch_hint').u32(hinted.length);
        for (const i of hinted) {
          b.u32(this.imports.length + i).u32(hints[i]!.length);
          for (const h of hints[i]!) b.u32(h >>> 1).u8(1).u8(h & 1);
        }
      });
    out.u8(10).u32(code.length).append(code);
    return out.view();
  }
}
