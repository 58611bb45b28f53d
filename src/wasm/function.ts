/** One WebAssembly function while it is being emitted: locals and code. */

import { Bytes } from './bytes.js';
import { OP, OP_FC, OP_SIMD, VOID_BLOCK, type OpName, type SimdOpName, type ValueType } from './opcodes.js';

/** Functions that are called through the module's table: the type index of the one at each place. */
export interface TableFunctions {
  readonly types: readonly number[];
}

export class FunctionEmitter {
  readonly code = new Bytes(512);
  private readonly locals: ValueType[] = [];

  /** @param shared functions at the beginning of the module's table: then `call` and `returnCall` name these, not functions of the module */
  constructor(
    readonly params: readonly ValueType[],
    private readonly shared?: TableFunctions,
  ) {}

  /** A new local of the type: its index. */
  local(type: ValueType): number {
    this.locals.push(type);
    return this.params.length + this.locals.length - 1;
  }
  op(name: OpName): this {
    this.code.u8(OP[name]);
    return this;
  }
  fc(name: keyof typeof OP_FC): this {
    this.code.u8(0xfc).u32(OP_FC[name]);
    if (name === 'memory.copy') this.code.u8(0).u8(0);
    if (name === 'memory.fill') this.code.u8(0);
    return this;
  }
  simd(name: SimdOpName): this {
    this.code.u8(0xfd).u32(OP_SIMD[name]);
    return this;
  }
  get(local: number): this {
    this.code.u8(OP['local.get']).u32(local);
    return this;
  }
  set(local: number): this {
    this.code.u8(OP['local.set']).u32(local);
    return this;
  }
  tee(local: number): this {
    this.code.u8(OP['local.tee']).u32(local);
    return this;
  }
  i32(value: number): this {
    this.code.u8(OP['i32.const']).s32(value);
    return this;
  }
  i64(value: bigint): this {
    this.code.u8(OP['i64.const']).s64(BigInt.asIntN(64, value));
    return this;
  }
  /** A load or store; the address (and value) are on the stack. Alignment is given as 1 byte: guest data has none. */
  mem(name: OpName, offset: number): this {
    this.code.u8(OP[name]).u32(0).u32(offset);
    return this;
  }
  memV128(name: 'v128.load' | 'v128.store', offset: number): this {
    this.code.u8(0xfd).u32(OP_SIMD[name]).u32(0).u32(offset);
    return this;
  }
  if(): this {
    this.code.u8(OP.if).u8(VOID_BLOCK);
    return this;
  }
  ifResult(type: ValueType): this {
    this.code.u8(OP.if).u8(type);
    return this;
  }
  block(): this {
    this.code.u8(OP.block).u8(VOID_BLOCK);
    return this;
  }
  loop(): this {
    this.code.u8(OP.loop).u8(VOID_BLOCK);
    return this;
  }
  br(depth: number): this {
    this.code.u8(OP.br).u32(depth);
    return this;
  }
  brIf(depth: number): this {
    this.code.u8(OP.br_if).u32(depth);
    return this;
  }
  end(): this {
    return this.op('end');
  }
  call(index: number): this {
    if (this.shared === undefined) this.code.u8(OP.call).u32(index);
    else this.i32(index).code.u8(OP.call_indirect).u32(this.shared.types[index]!).u8(0);
    return this;
  }
  returnCall(index: number): this {
    if (this.shared === undefined) this.code.u8(OP.return_call).u32(index);
    else this.i32(index).code.u8(OP.return_call_indirect).u32(this.shared.types[index]!).u8(0);
    return this;
  }
  returnCallIndirect(type: number): this {
    this.code.u8(OP.return_call_indirect).u32(type).u8(0);
    return this;
  }

  /** The body as the code section wants it: locals in runs, code, end. */
  body(): Bytes {
    const runs: [number, ValueType][] = [];
    for (const t of this.locals) {
      const last = runs[runs.length - 1];
      if (last !== undefined && last[1] === t) last[0]++;
      else runs.push([1, t]);
    }
    const out = new Bytes(this.code.length + 16);
    out.u32(runs.length);
    for (const [n, t] of runs) out.u32(n).u8(t);
    return out.append(this.code).u8(OP.end);
  }
}
