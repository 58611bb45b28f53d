/**
 * The builder: what an instruction's description is written in.
 *
 * A description (`Body`) is a function of a builder and the instruction's operands. It runs once per form and engine, and
 * each call of the builder emits code; nothing here computes guest values. The interpreter gives operands that are looked up
 * in the decoded record at run time, the compiler gives constant ones: the description cannot tell.
 *
 * Rules for bodies:
 *  - Memory reads and writes may fault, and then the instruction must not have changed anything: do all `read`, `load`,
 *    `write` to memory before any change of registers or flags. A memory destination that is read and written uses
 *    `read()` then `write()`: the read checks for write permission too.
 *  - `if` takes TypeScript callbacks that emit the two arms. Do not let values built inside an arm escape; use `variable`.
 *  - Widths never mix silently: convert with zext, sext, trunc.
 */

import type { InsnHelper } from './insn.js';

export type Width = 1 | 8 | 16 | 32 | 64 | 128;

/** A run-time value. 1 (boolean), 8, 16 and 32 bits live in a wasm i32, always zero-extended; 64 in an i64; 128 in a v128. */
export interface Val {
  readonly width: Width;
  /** The value when the builder knows it while emitting. */
  readonly known?: bigint;
}

/** A float held as wasm f32 or f64. Only arithmetic that is exact on every host may use it: see isa/sse-float.ts. */
export interface FloatVal {
  readonly float: 32 | 64;
}

/** A mutable run-time variable. */
export interface Variable {
  readonly width: Width;
  get(): Val;
  set(v: Val): void;
}

export interface Operand {
  readonly width: Width;
  /** True when this form's operand is in memory. Bodies seldom need it (LEA, BT, XCHG, MOV to memory of a segment register). */
  readonly isMemory: boolean;
  /** True for immediates. */
  readonly isImmediate: boolean;
  /** The operand's value. An immediate comes sign- or zero-extended to the width, as the manual says. */
  read(): Val;
  /** Stores to the register or memory. A 32-bit register write clears the upper half. */
  write(v: Val): void;
  /** Memory operands: the effective address (offset in the segment), at address-size width zero-extended to 64 bits. */
  ea(): Val;
  /** Memory operands: reads or writes `width` bits at effective address + `displacement` (64-bit value or number). */
  readAt(displacement: Val | number, width: Width): Val;
  writeAt(displacement: Val | number, v: Val): void;
}

/** An addition or subtraction, without or with the carry coming in. */
export type CarryOperation = 'add' | 'adc' | 'sub' | 'sbb';
export type FlagName = 'CF' | 'PF' | 'AF' | 'ZF' | 'SF' | 'OF';
export type ConditionCode = 'o' | 'no' | 'b' | 'ae' | 'e' | 'ne' | 'be' | 'a' | 's' | 'ns' | 'p' | 'np' | 'l' | 'ge' | 'le' | 'g';

export interface Builder {
  /** Operand size in bits that the form has (16, 32, 64; 8 for byte forms): the size of stack pushes and such is in `stackWidth`. */
  readonly operandWidth: 8 | 16 | 32 | 64;
  /** 64, 32 or 16: code size the form is decoded for. Forms are specialised by it only where `InsnSpec.perMode` is set. */
  readonly codeSize: 16 | 32 | 64;

  // ---- constants and conversions
  c(width: Width, value: number | bigint): Val;
  zext(v: Val, width: Width): Val;
  sext(v: Val, width: Width): Val;
  trunc(v: Val, width: Width): Val;

  // ---- integer arithmetic; both operands have one width, the result has it too
  add(a: Val, b: Val): Val;
  sub(a: Val, b: Val): Val;
  mul(a: Val, b: Val): Val;
  /** Full product of two 64-bit values: [low, high]. */
  mulWide(a: Val, b: Val, signed: boolean): [Val, Val];
  and(a: Val, b: Val): Val;
  or(a: Val, b: Val): Val;
  xor(a: Val, b: Val): Val;
  not(a: Val): Val;
  neg(a: Val): Val;
  /** Shifts and rotates: `n` has any integer width; the caller has masked it to be less than the width of `a`. */
  shl(a: Val, n: Val | number): Val;
  shr(a: Val, n: Val | number): Val;
  sar(a: Val, n: Val | number): Val;
  rotl(a: Val, n: Val | number): Val;
  rotr(a: Val, n: Val | number): Val;
  clz(a: Val): Val;
  ctz(a: Val): Val;
  popcnt(a: Val): Val;
  /** Unsigned or signed division of 32- or 64-bit values; the caller has excluded a zero divisor and overflow. */
  divU(a: Val, b: Val): Val;
  remU(a: Val, b: Val): Val;
  divS(a: Val, b: Val): Val;
  remS(a: Val, b: Val): Val;

  /**
   * The carries out of each bit of `result` = x + y, or borrows of x - y. An engine may compute them only where a flag is wanted, and
   * knows a comparison by them.
   */
  carries(op: CarryOperation, x: Val, y: Val, result: Val): Val;

  // ---- comparisons: width-1 results
  eq(a: Val, b: Val): Val;
  ne(a: Val, b: Val): Val;
  ltU(a: Val, b: Val): Val;
  leU(a: Val, b: Val): Val;
  ltS(a: Val, b: Val): Val;
  leS(a: Val, b: Val): Val;
  isZero(a: Val): Val;
  /** The most significant bit, and bit `i` (a number or a value already below the width), as width-1 values. */
  msb(a: Val): Val;
  bit(a: Val, i: number | Val): Val;
  select(condition: Val, ifTrue: Val, ifFalse: Val): Val;

  // ---- control
  variable(initial: Val): Variable;
  if(condition: Val, then: () => void, otherwise?: () => void): void;
  /** Repeats `body` while the condition that it returns is true (checked after each pass). */
  loop(body: () => Val): void;

  // ---- flags
  flag(name: FlagName): Val;
  /** The condition of Jcc, SETcc and CMOVcc. */
  condition(cc: ConditionCode): Val;
  /**
   * All six status flags from a result and the vector of carries out of each bit (bit i = carry out of bit i):
   * ZF, SF and PF from the result, CF = msb, AF = bit 3, OF = msb ^ next lower bit. The cheap path: use it for
   * add, subtract, compare, neg, inc, dec; logic has carries = constant 0.
   */
  setArithmeticFlags(result: Val, carries: Val, options?: { keepCF?: boolean }): void;
  /** Sets just the flags that are named, to width-1 values; the others keep their values. ZF/SF/PF may come from `result`. */
  setFlags(flags: Partial<Record<FlagName, Val>>, result?: Val): void;

  // ---- state
  reg(index: number, width: 8 | 16 | 32 | 64): Val;
  setReg(index: number, v: Val): void;
  /** Any field of the state window by address (`S.x`). */
  getState(address: number, width: 8 | 16 | 32 | 64 | 128): Val;
  setState(address: number, v: Val): void;

  // ---- memory. `segment` is a segment register number; `offset` a 64-bit value (zero-extended offset in the segment)
  load(segment: number, offset: Val, width: Width): Val;
  store(segment: number, offset: Val, v: Val): void;
  /** Pushes or pops with the stack size of the mode. `pop` returns the value; RSP moves only when no fault can follow. */
  push(v: Val): void;
  pop(width: 16 | 32 | 64): Val;

  // ---- x87 instructions: what they note about themselves
  /** RIP of this instruction, 64 bits. */
  instructionRip(): Val;
  /** Selector of the memory operand's segment, as a 32-bit value. */
  operandSelector(): Val;
  /** Number of the register that operand `i` is, 32 bits. */
  registerNumber(i: number): Val;

  // ---- string instructions: their prefixes, and plain memory a stretch at a time
  /** The repeat prefix, 32 bits: 0 none, 1 REP or REPE, 2 REPNE. */
  repeat(): Val;
  /** Address size in bits: 16, 32 or 64, as a 32-bit value. */
  addressSize(): Val;
  /**
   * Linear address (64 bits) of `offset` in a segment: a number, or undefined for the one that the instruction's string operand is in
   * (DS or what a prefix says; ES where that is the only one).
   */
  linear(segment: number | undefined, offset: Val): Val;
  /**
   * Address (32 bits) of `bytes` bytes (32 bits, 1 to 4096) of plain memory at `offset`, whose linear address is `linear`; 0 when they are
   * not all in one page that the software TLB knows for the access, or not inside the segment. Never faults, charges nothing.
   */
  plain(segment: number | undefined, offset: Val, linear: Val, bytes: Val, write: boolean): Val;
  loadPlain(address: Val, width: Width): Val;
  storePlain(address: Val, v: Val): void;
  /** Copies bytes from low to high addresses. Right for bytes that overlap when `to` is below `from` or behind its last byte. */
  copyPlain(to: Val, from: Val, bytes: Val): void;
  /** As copyPlain for `to` above `from`, at any distance (32 bits, at least 1): what has been written is read again. */
  repeatPlain(to: Val, distance: Val, bytes: Val): void;
  /** Fills `bytes` bytes with a 128-bit pattern, from its low end on. */
  fillPlain(to: Val, pattern: Val, bytes: Val): void;
  /** Cycle mode: what caches and TLBs add for a stretch of bytes. */
  chargeSpan(address: Val, linear: Val, bytes: Val, write: boolean): void;
  /** Cycle mode: what moving so many bytes takes at the least. */
  chargeString(bytes: Val): void;

  // ---- control transfer; these end the body. RIP values have width 64 and are already cut to the operand size.
  /** RIP of the next instruction, 64 bits (cut to 16 or 32 in those code sizes). */
  nextRip(): Val;
  /** Relative branch taken if the condition holds: the target is in the record. */
  branchIf(condition: Val): void;
  /** Unconditional relative branch. */
  branch(): void;
  /** Near transfer to a computed RIP. Checks the canonical form or the code-segment limit; #GP(0) leaves RIP at this instruction. */
  jump(rip: Val): void;

  // ---- exceptions and helpers
  /** Raises exception `vector` when the condition holds; nothing after it happens. */
  raiseIf(condition: Val, vector: number, errorCode?: number): void;
  /**
   * When the condition holds, gives the run loop its turn and begins the instruction again, as a helper does that leaves RIP where it is:
   * it is charged, and interrupts come in if it is time for them. Nothing of the body follows then.
   */
  again(condition: Val): void;
  /** Calls a TypeScript helper. It sees exact state. Its result says whether to go on with the next instruction. Ends the body. */
  helper(fn: InsnHelper): void;
  /** As `helper`, but the body goes on after it unless the helper leaves. Values go both ways through `S.scratch`. */
  call(fn: InsnHelper): void;
  /**
   * As `call`, for a helper that reads and writes no memory and changes only `S.scratch` and the state of x87, MMX and MXCSR, or raises an
   * exception: registers and flags are after it what they were.
   */
  compute(fn: InsnHelper): void;

  // ---- vectors and floats (SSE): operations named as in the WebAssembly text format, on v128, i32, i64, f32, f64
  simd(op: string, args: Val[], lane?: number): Val;
  shuffle(a: Val, b: Val, lanes: readonly number[]): Val;
  float(op: string, args: (Val | FloatVal)[]): FloatVal;
  /** The lowest lane of a vector as a float; a vector with its lowest lane replaced. */
  floatLane(v: Val, float: 32 | 64): FloatVal;
  withFloatLane(v: Val, x: FloatVal): Val;
  /** Operations on floats with an integer result (comparisons, reinterpretations, truncations): width as given. */
  floatToInt(op: string, args: FloatVal[], width: Width): Val;
}

export type Body = (s: Builder, ...operands: Operand[]) => void;
