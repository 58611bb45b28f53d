/**
 * One WebAssembly function while it is being emitted: locals and code.
 *
 * Compiling starts when a guest is hot and this code is not: what every instruction calls is flat, one class serves handlers and regions,
 * and opcodes are found by name in a table that is made once.
 */

import { Bytes } from './bytes.js';
import { OP, OP_FC, OP_SIMD, V128, VOID_BLOCK, type OpName, type SimdOpName, type ValueType } from './opcodes.js';

/** Functions that are called through the module's table: the type index of the one at each place. */
export interface TableFunctions {
  readonly types: readonly number[];
}

/** Bytes that one call of a method below emits at most, `raw` aside. */
const LONGEST = 32;
const LOCAL_GET = OP['local.get'], LOCAL_SET = OP['local.set'], LOCAL_TEE = OP['local.tee'], I32_CONST = OP['i32.const'], I64_CONST = OP['i64.const'];

/** To take a bigint apart without making others. */
const LONG = new BigInt64Array(1), HALVES = new Int32Array(LONG.buffer);

export class FunctionEmitter {
  private buffer = new Uint8Array(512);
  private length = 0;
  /** Where the last instruction begins if it is a `local.set` of two bytes, else -1. */
  private lastSet = -1;
  private readonly locals: ValueType[] = [];
  /** Branches that usually go one way: place in the code, times 2, and 1 if they are usually taken. */
  private readonly hinted: number[] = [];
  private readonly parameters: number;
  /** By type: temporaries, and how many of them are taken. */
  private readonly temporaries: number[][] = [[], [], [], [], []];
  private readonly taken = [0, 0, 0, 0, 0];
  /** Blocks, loops and ifs that are open. */
  depth = 0;

  /** @param shared functions at the beginning of the module's table: then `call` and `returnCall` name these, not functions of the module */
  constructor(
    readonly params: readonly ValueType[],
    private readonly shared?: TableFunctions,
  ) {
    this.parameters = params.length;
  }

  /** A new local of the type that is never used for something else: its index. */
  fixed(type: ValueType): number {
    return this.parameters + this.locals.push(type) - 1;
  }
  /** A local of the type, for as long as `release` is not called: its index. */
  local(type: ValueType): number {
    const list = this.temporaries[type - V128]!, n = this.taken[type - V128]!++;
    return n < list.length ? list[n]! : (list[n] = this.fixed(type));
  }
  /** Gives all temporaries back, so that a long function has few. */
  release(): void {
    this.taken.fill(0);
  }

  // ---- bytes

  /** Bytes of code so far. */
  get size(): number {
    return this.length;
  }
  private grow(more: number): void {
    const grown = new Uint8Array(Math.max(2 * this.buffer.length, this.length + more));
    grown.set(this.buffer);
    this.buffer = grown;
  }
  /** One byte: an opcode, or an immediate such as a lane. */
  byte(v: number): this {
    if (this.length === this.buffer.length) this.grow(1);
    this.buffer[this.length++] = v;
    return this;
  }
  raw(bytes: ArrayLike<number>): this {
    if (this.length + bytes.length > this.buffer.length) this.grow(bytes.length);
    this.buffer.set(bytes, this.length);
    this.length += bytes.length;
    return this;
  }
  /** A byte, then an unsigned number below 2^32 in LEB128. */
  private with(opcode: number, v: number): this {
    let at = this.length;
    if (at + LONGEST > this.buffer.length) this.grow(LONGEST);
    const { buffer } = this;
    buffer[at++] = opcode;
    for (v >>>= 0; v > 0x7f; v >>>= 7) buffer[at++] = (v & 0x7f) | 0x80;
    buffer[at++] = v;
    this.length = at;
    return this;
  }

  // ---- instructions

  op(name: OpName): this {
    if (this.length === this.buffer.length) this.grow(1);
    this.buffer[this.length++] = OP[name];
    return this;
  }
  fc(name: keyof typeof OP_FC): this {
    this.with(0xfc, OP_FC[name]);
    if (name === 'memory.copy') this.byte(0).byte(0);
    if (name === 'memory.fill') this.byte(0);
    return this;
  }
  simd(name: SimdOpName): this {
    return this.with(0xfd, OP_SIMD[name]);
  }
  get(local: number): this {
    const last = this.lastSet;
    // Right behind a `local.set` of the same: one instruction does both.
    if (last >= 0 && last + 2 === this.length && this.buffer[last + 1] === local) {
      this.buffer[last] = LOCAL_TEE;
      this.lastSet = -1;
      return this;
    }
    return this.with(LOCAL_GET, local);
  }
  set(local: number): this {
    if (local < 0x80) this.lastSet = this.length;
    return this.with(LOCAL_SET, local);
  }
  /** Takes the wasm stack's top into a local of the type: its index. */
  take(type: ValueType): number {
    const local = this.local(type);
    this.set(local);
    return local;
  }
  tee(local: number): this {
    return this.with(LOCAL_TEE, local);
  }
  /** Sets a global. */
  setGlobal(index: number): this {
    return this.with(OP['global.set'], index);
  }
  /** An imported constant (`ModuleBuilder.importConstants`). */
  global(index: number): this {
    return this.with(OP['global.get'], index);
  }
  i32(value: number): this {
    return this.signed(I32_CONST, value | 0);
  }
  /** @param value modulo 2^64; a number must be a safe integer */
  i64(value: bigint | number): this {
    let lo: number, hi: number;
    if (typeof value === 'number') {
      lo = value | 0;
      hi = Math.floor(value / 0x1_0000_0000) | 0;
    } else {
      LONG[0] = value;
      lo = HALVES[0]!;
      hi = HALVES[1]!;
    }
    return hi === lo >> 31 ? this.signed(I64_CONST, lo) : this.long(lo, hi);
  }
  /** A byte, then a signed 32-bit integer in LEB128. */
  private signed(opcode: number, v: number): this {
    let at = this.length;
    if (at + LONGEST > this.buffer.length) this.grow(LONGEST);
    const { buffer } = this;
    buffer[at++] = opcode;
    for (; v < -0x40 || v > 0x3f; v >>= 7) buffer[at++] = (v & 0x7f) | 0x80;
    buffer[at++] = v & 0x7f;
    this.length = at;
    return this;
  }
  /** A 64-bit constant of two halves. */
  private long(lo: number, hi: number): this {
    this.byte(I64_CONST);
    while (hi !== lo >> 31 || lo < -0x40 || lo > 0x3f) {
      this.byte((lo & 0x7f) | 0x80);
      lo = (lo >>> 7) | (hi << 25);
      hi >>= 7;
    }
    return this.byte(lo & 0x7f);
  }
  /** A load or store; the address (and value) are on the stack. Alignment is given as 1 byte: guest data has none. */
  mem(name: OpName, offset: number): this {
    return this.byte(OP[name]).with(0, offset);
  }
  memV128(name: 'v128.load' | 'v128.store', offset: number): this {
    return this.with(0xfd, OP_SIMD[name]).with(0, offset);
  }
  private open(opcode: number, type: number): this {
    this.depth++;
    return this.byte(opcode).byte(type);
  }
  /** Tells the host how the `if` or `br_if` that follows usually goes: code that is not usual is kept apart, and pays for its calls itself. */
  usually(taken: boolean): this {
    this.hinted.push(this.length * 2 + Number(taken));
    return this;
  }
  if(): this {
    return this.open(OP.if, VOID_BLOCK);
  }
  ifResult(type: ValueType): this {
    return this.open(OP.if, type);
  }
  block(): this {
    return this.open(OP.block, VOID_BLOCK);
  }
  loop(): this {
    return this.open(OP.loop, VOID_BLOCK);
  }
  br(depth: number): this {
    return this.with(OP.br, depth);
  }
  brIf(depth: number): this {
    return this.with(OP.br_if, depth);
  }
  /** Branches to the block or loop that was begun when `depth` had this value. */
  brTo(depth: number): this {
    return this.with(OP.br, this.depth - depth);
  }
  end(): this {
    this.depth--;
    return this.byte(OP.end);
  }
  call(index: number): this {
    if (this.shared === undefined) return this.with(OP.call, index);
    return this.i32(index).with(OP.call_indirect, this.shared.types[index]!).byte(0);
  }
  returnCall(index: number): this {
    if (this.shared === undefined) return this.with(OP.return_call, index);
    return this.i32(index).with(OP.return_call_indirect, this.shared.types[index]!).byte(0);
  }
  returnCallIndirect(type: number): this {
    return this.with(OP.return_call_indirect, type).byte(0);
  }

  /** Appends the body as the code section wants it: its length, locals in runs, code, end. @returns as `hinted`, with places in the body */
  body(out: Bytes): number[] {
    const { locals } = this, runs = new Bytes(64);
    let count = 0;
    for (let i = 0, from = 0; i < locals.length; i++) {
      if (locals[i + 1] === locals[i]) continue;
      runs.u32(i + 1 - from).u8(locals[i]!);
      from = i + 1;
      count++;
    }
    const head = new Bytes(8).u32(count);
    out.u32(head.length + runs.length + this.length + 1).append(head).append(runs);
    out.raw(this.buffer.subarray(0, this.length)).u8(OP.end);
    return this.hinted.map((h) => h + 2 * (head.length + runs.length));
  }
}
