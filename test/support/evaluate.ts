/**
 * Runs an instruction's description directly: a builder whose values are BigInts and whose calls compute instead of emitting.
 *
 * A third reading of the descriptions beside interpreter and compiler, with nothing generated in between: when the recorded
 * vectors fail on an engine and not here, the engine is wrong; when they fail here, the description is.
 * Memory is flat RAM from address 0, without paging.
 */

import { Decoder, DecoderOptions, Instruction, OpCodeOperandKind, OpKind, Register, RegisterExt } from 'iced-x86';
import type { Builder, CarryOperation, ConditionCode, FlagName, Operand, Val, Variable, Width } from '../../src/cpu/builder.js';
import type { Cpu } from '../../src/cpu/cpu.js';
import { GUEST_EVENT } from '../../src/cpu/events.js';
import { insnFor, LEAVE, NEXT, opCodeInfo, type InsnHelper } from '../../src/cpu/insn.js';
import type { InsnView } from '../../src/cpu/insn-view.js';
import { formOf } from '../../src/cpu/engine/forms.js';
import { AF, CF, CpuState, MODE, OF, PF, RSP, S, SF, ZF, gprAddress } from '../../src/cpu/state.js';
import { LinearMemory } from '../../src/mem/linear-memory.js';
import { RAM_BASE, TLB_POOL_BASE, TLB_POOL_SIZE } from '../../src/mem/layout.js';
import { TLB_ENTRIES, TLB_ENTRY_BYTES } from '../../src/mmu/tlb.js';

/** A concrete value; `known` only where an engine's compiler would know it. */
interface Num extends Val {
  readonly v: bigint;
}
const FLAG_MASK: Record<FlagName, number> = { CF, PF, AF, ZF, SF, OF };
const num = (width: Width, v: bigint, known = false): Num => {
  const cut = BigInt.asUintN(width, v);
  return known ? { width, v: cut, known: cut } : { width, v: cut };
};
const val = (v: Val): bigint => (v as Num).v;
const signed = (v: Val): bigint => BigInt.asIntN(v.width, val(v));

class Raised {
  constructor(readonly vector: number) {}
}
class Ended {}

export class Evaluator {
  readonly m = new LinearMemory(0x40_0000);
  readonly s = new CpuState(this.m);
  /** RIP after the last instruction; vector of its fault, or -1; a repetition that gave the run loop its turn. */
  rip = 0n;
  fault = -1;
  again = false;

  constructor(
    private readonly bits: 32 | 64,
    /** Values of immediates are known while describing, as for the compiler. */
    private readonly constants: boolean,
    cachedPages: readonly number[] = [],
  ) {
    const { m, s } = this;
    s.set32(S.mode, bits === 64 ? MODE.bits64 : MODE.bits32);
    m.u8.fill(0xff, TLB_POOL_BASE, TLB_POOL_BASE + TLB_POOL_SIZE);
    s.set32(S.tlb, TLB_POOL_BASE);
    for (const page of cachedPages) {
      const entry = (TLB_POOL_BASE + (page >>> 12) * TLB_ENTRY_BYTES) >>> 2;
      for (const tag of [0, 2, 6]) m.u32.set([page, 0], entry + tag);
      m.u32[entry + 4] = RAM_BASE;
    }
    for (let i = 0; i < 6; i++) {
      const seg = S.seg + 32 * i;
      s.set32(seg + 8, 0xffff_ffff);
      s.set32(seg + 12, 0xc093);
      s.set32(seg + 20, 0xffff_ffff);
      s.set32(seg + 24, 0xffff_ffff);
    }
    s.set32(S.stackMask, 0xffff_ffff);
  }

  read(address: bigint, size: number): bigint {
    let v = 0n;
    for (let i = size - 1; i >= 0; i--) v = (v << 8n) | BigInt(this.m.u8[RAM_BASE + Number(address) + i]!);
    return v;
  }
  write(address: bigint, size: number, v: bigint): void {
    for (let i = 0; i < size; i++) this.m.u8[RAM_BASE + Number(address) + i] = Number((v >> BigInt(8 * i)) & 0xffn);
  }

  /** Executes one instruction at an address. */
  run(code: Uint8Array, at: number): void {
    this.fault = -1;
    this.again = false;
    const decoder = new Decoder(this.bits, code, DecoderOptions.None);
    decoder.ip = BigInt(at);
    const i = decoder.decode();
    const spec = insnFor(i.code);
    if (spec === undefined) throw new Error(`nothing describes code ${i.code}`);
    this.rip = i.nextIP;
    this.s.set64(S.rip, BigInt(at));
    this.s.set64(S.nextRip, i.nextIP);
    const builder = new Evaluation(this, i, this.bits, this.constants);
    try {
      spec.body(builder, ...builder.operands);
    } catch (e) {
      if (e instanceof Raised) this.fault = e.vector;
      else if (!(e instanceof Ended)) throw e;
    }
  }

  /** What helpers get. Everything that they should not need here is missing. */
  readonly cpu = {
    m: this.m,
    s: this.s,
    timing: null,
    raise: (vector: number) => {
      throw new Raised(vector);
    },
    withheldTag: () => false,
    finish: () => LEAVE,
    readSegment: (_segment: number, offset: bigint, size: number) => this.read(offset, size),
    writeSegment: (_segment: number, offset: bigint, size: number, v: bigint) => this.write(offset, size, v),
  } as unknown as Cpu;
}

class Evaluation implements Builder {
  readonly operandWidth: 8 | 16 | 32 | 64;
  readonly operands: Operand[];
  readonly view: InsnView;
  constructor(private readonly e: Evaluator, private readonly i: Instruction, readonly codeSize: 16 | 32 | 64, private readonly constants: boolean) {
    const form = formOf(i.code);
    this.operandWidth = form.operandWidth;
    this.operands = form.operands.map((_, n) => new EvaluatedOperand(e, i, n, constants));
    this.view = viewOf(e, i, this.operands as EvaluatedOperand[]);
  }
  private f(mask: number): boolean {
    return (this.e.s.rflags & mask) !== 0;
  }
  c(width: Width, value: number | bigint): Val {
    return num(width, BigInt(value), true);
  }
  zext(v: Val, width: Width): Val {
    return num(width, val(v));
  }
  sext(v: Val, width: Width): Val {
    return num(width, signed(v));
  }
  trunc(v: Val, width: Width): Val {
    return num(width, val(v));
  }
  private binary(a: Val, b: Val, v: bigint): Val {
    if (a.width !== b.width) throw new Error(`widths ${a.width} and ${b.width} are mixed`);
    return num(a.width, v);
  }
  add(a: Val, b: Val): Val {
    return this.binary(a, b, val(a) + val(b));
  }
  sub(a: Val, b: Val): Val {
    return this.binary(a, b, val(a) - val(b));
  }
  mul(a: Val, b: Val): Val {
    return this.binary(a, b, val(a) * val(b));
  }
  carries(op: CarryOperation, x: Val, y: Val, result: Val): Val {
    const a = val(x), b = val(y), r = val(result);
    return num(x.width, op === 'add' || op === 'adc' ? (a & b) | ((a | b) & ~r) : (~a & b) | ((~a | b) & r));
  }
  mulWide(a: Val, b: Val, isSigned: boolean): [Val, Val] {
    const p = isSigned ? signed(a) * signed(b) : val(a) * val(b);
    return [num(64, p), num(64, p >> 64n)];
  }
  and(a: Val, b: Val): Val {
    return this.binary(a, b, val(a) & val(b));
  }
  or(a: Val, b: Val): Val {
    return this.binary(a, b, val(a) | val(b));
  }
  xor(a: Val, b: Val): Val {
    return this.binary(a, b, val(a) ^ val(b));
  }
  not(a: Val): Val {
    return num(a.width, ~val(a));
  }
  neg(a: Val): Val {
    return num(a.width, -val(a));
  }
  private count(a: Val, n: Val | number): bigint {
    const v = typeof n === 'number' ? BigInt(n) : val(n);
    if (v < 0n || v >= BigInt(a.width)) throw new Error(`a ${a.width}-bit value is shifted by ${v}`);
    return v;
  }
  shl(a: Val, n: Val | number): Val {
    return num(a.width, val(a) << this.count(a, n));
  }
  shr(a: Val, n: Val | number): Val {
    return num(a.width, val(a) >> this.count(a, n));
  }
  sar(a: Val, n: Val | number): Val {
    return num(a.width, signed(a) >> this.count(a, n));
  }
  rotl(a: Val, n: Val | number): Val {
    const c = this.count(a, n);
    return num(a.width, (val(a) << c) | (val(a) >> (BigInt(a.width) - c)));
  }
  rotr(a: Val, n: Val | number): Val {
    const c = this.count(a, n);
    return num(a.width, (val(a) >> c) | (val(a) << (BigInt(a.width) - c)));
  }
  clz(a: Val): Val {
    return num(a.width, BigInt(val(a) === 0n ? a.width : a.width - val(a).toString(2).length));
  }
  ctz(a: Val): Val {
    const bits = val(a).toString(2);
    return num(a.width, BigInt(val(a) === 0n ? a.width : bits.length - 1 - bits.lastIndexOf('1')));
  }
  popcnt(a: Val): Val {
    return num(a.width, BigInt(val(a).toString(2).replaceAll('0', '').length));
  }
  divU(a: Val, b: Val): Val {
    return this.binary(a, b, val(a) / val(b));
  }
  remU(a: Val, b: Val): Val {
    return this.binary(a, b, val(a) % val(b));
  }
  divS(a: Val, b: Val): Val {
    const q = signed(a) / signed(b);
    if (BigInt.asIntN(a.width, q) !== q) throw new Error('the division would trap');
    return this.binary(a, b, q);
  }
  remS(a: Val, b: Val): Val {
    return this.binary(a, b, signed(a) % signed(b));
  }
  private truth(v: boolean): Val {
    return num(1, v ? 1n : 0n);
  }
  private compare(a: Val, b: Val, v: boolean): Val {
    this.binary(a, b, 0n);
    return this.truth(v);
  }
  eq(a: Val, b: Val): Val {
    return this.compare(a, b, val(a) === val(b));
  }
  ne(a: Val, b: Val): Val {
    return this.compare(a, b, val(a) !== val(b));
  }
  ltU(a: Val, b: Val): Val {
    return this.compare(a, b, val(a) < val(b));
  }
  leU(a: Val, b: Val): Val {
    return this.compare(a, b, val(a) <= val(b));
  }
  ltS(a: Val, b: Val): Val {
    return this.compare(a, b, signed(a) < signed(b));
  }
  leS(a: Val, b: Val): Val {
    return this.compare(a, b, signed(a) <= signed(b));
  }
  isZero(a: Val): Val {
    return this.truth(val(a) === 0n);
  }
  msb(a: Val): Val {
    return this.truth(signed(a) < 0n);
  }
  bit(a: Val, i: number | Val): Val {
    return num(1, (val(a) >> this.count(a, i)) & 1n);
  }
  select(condition: Val, a: Val, b: Val): Val {
    return this.binary(a, b, val(condition) !== 0n ? val(a) : val(b));
  }
  variable(initial: Val): Variable {
    let now = initial;
    return { width: initial.width, get: () => now, set: (v) => void (now = v) };
  }
  if(condition: Val, then: () => void, otherwise?: () => void): void {
    if (condition.width !== 1) throw new Error('a condition is not a boolean');
    if (val(condition) !== 0n) then();
    else otherwise?.();
  }
  loop(body: () => Val): void {
    while (val(body()) !== 0n);
  }
  flag(name: FlagName): Val {
    return this.truth(this.f(FLAG_MASK[name]));
  }
  condition(cc: ConditionCode): Val {
    const less = this.f(SF) !== this.f(OF);
    const positive: Partial<Record<ConditionCode, boolean>> = {
      o: this.f(OF), b: this.f(CF), e: this.f(ZF), be: this.f(CF) || this.f(ZF), s: this.f(SF), p: this.f(PF), l: less, le: less || this.f(ZF),
    };
    const opposite: Partial<Record<ConditionCode, ConditionCode>> = { no: 'o', ae: 'b', ne: 'e', a: 'be', ns: 's', np: 'p', ge: 'l', g: 'le' };
    const other = opposite[cc];
    return this.truth(other === undefined ? positive[cc]! : !positive[other]!);
  }
  setArithmeticFlags(result: Val, carries: Val, options?: { keepCF?: boolean }): void {
    this.binary(result, carries, 0n);
    const c = val(carries);
    const top = BigInt(result.width - 1);
    const CFv = num(1, (c >> top) & 1n);
    this.setFlags(
      { ...(options?.keepCF === true ? {} : { CF: CFv }), AF: num(1, (c >> 3n) & 1n), OF: num(1, ((c >> top) ^ (c >> (top - 1n))) & 1n) },
      result,
    );
  }
  setFlags(flags: Partial<Record<FlagName, Val>>, result?: Val): void {
    let now = this.e.s.rflags;
    const put = (mask: number, on: boolean): void => void (now = on ? now | mask : now & ~mask);
    if (result !== undefined) {
      put(ZF, val(result) === 0n);
      put(SF, signed(result) < 0n);
      put(PF, (val(result) & 0xffn).toString(2).replaceAll('0', '').length % 2 === 0);
    }
    for (const [name, v] of Object.entries(flags)) {
      if (v!.width !== 1) throw new Error(`${name} is set to a value that is not a boolean`);
      put(FLAG_MASK[name as FlagName], val(v!) !== 0n);
    }
    this.e.s.rflags = now;
  }
  reg(index: number, width: 8 | 16 | 32 | 64): Val {
    return num(width, this.e.s.gpr(index));
  }
  setReg(index: number, v: Val): void {
    writeRegister(this.e.s, index, v.width, val(v), false);
  }
  getState(address: number, width: 8 | 16 | 32 | 64 | 128): Val {
    return num(width, width === 64 ? this.e.s.get64(address) : BigInt(this.e.s.get32(address)));
  }
  setState(address: number, v: Val): void {
    if (v.width === 64) this.e.s.set64(address, val(v));
    else this.e.s.set32(address, Number(val(v)));
  }
  load(_segment: number, offset: Val, width: Width): Val {
    return num(width, this.e.read(val(offset), width / 8));
  }
  store(_segment: number, offset: Val, v: Val): void {
    this.e.write(val(offset), v.width / 8, val(v));
  }
  push(v: Val): void {
    const top = BigInt.asUintN(this.codeSize, this.e.s.gpr(RSP) - BigInt(v.width / 8));
    this.e.write(top, v.width / 8, val(v));
    this.e.s.setGpr(RSP, top);
  }
  pop(width: 16 | 32 | 64): Val {
    const top = this.e.s.gpr(RSP);
    const v = num(width, this.e.read(top, width / 8));
    this.e.s.setGpr(RSP, BigInt.asUintN(this.codeSize, top + BigInt(width / 8)));
    return v;
  }
  again(condition: Val): void {
    if (val(condition) === 0n) return;
    this.e.again = true;
    throw new Ended();
  }
  instructionRip(): Val {
    return this.vectors();
  }
  operandSelector(): Val {
    return this.vectors();
  }
  registerNumber(): Val {
    return this.vectors();
  }
  repeat(): Val {
    return num(32, (this.i.hasRepPrefix ? 1n : 0n) | (this.i.hasRepnePrefix ? 2n : 0n), this.constants);
  }
  addressSize(): Val {
    return num(32, BigInt(addressWidth(this.i, this.e)), this.constants);
  }
  linear(_segment: number | undefined, offset: Val): Val {
    return offset;
  }
  plain(_segment: number | undefined, offset: Val, linear: Val, bytes: Val, write: boolean): Val {
    const { u32 } = this.e.m, at = Number(val(linear));
    const entry = (this.e.s.get32(S.tlb) >>> 2) + ((at >>> 12) & (TLB_ENTRIES - 1)) * (TLB_ENTRY_BYTES / 4);
    const last = val(offset) + val(bytes) - 1n, tag = entry + (write ? 2 : 0);
    return num(32, (last & ~4095n) === BigInt(u32[tag]!) + (BigInt(u32[tag + 1]!) << 32n) ? BigInt((at + u32[entry + 4]!) >>> 0) : 0n);
  }
  loadPlain(address: Val, width: Width): Val {
    return num(width, this.e.read(val(address) - BigInt(RAM_BASE), width / 8));
  }
  storePlain(address: Val, v: Val): void {
    this.e.write(val(address) - BigInt(RAM_BASE), v.width / 8, val(v));
  }
  copyPlain(to: Val, from: Val, bytes: Val): void {
    this.e.m.u8.copyWithin(Number(val(to)), Number(val(from)), Number(val(from) + val(bytes)));
  }
  repeatPlain(to: Val, distance: Val, bytes: Val): void {
    const { u8 } = this.e.m, d = Number(val(distance));
    for (let at = Number(val(to)), end = at + Number(val(bytes)); at < end; at++) u8[at] = u8[at - d]!;
  }
  fillPlain(to: Val, pattern: Val, bytes: Val): void {
    for (let i = 0n; i < val(bytes); i++) this.e.m.u8[Number(val(to) + i)] = Number((val(pattern) >> ((i % 16n) * 8n)) & 0xffn);
  }
  chargeSpan(): void {}
  chargeString(): void {}
  nextRip(): Val {
    return num(64, this.i.nextIP);
  }
  branchIf(condition: Val): void {
    if (val(condition) !== 0n) this.branch();
  }
  branch(): void {
    this.e.rip = this.i.nearBranchTarget;
    throw new Ended();
  }
  jump(rip: Val): void {
    this.e.rip = val(rip);
    throw new Ended();
  }
  raiseIf(condition: Val, vector: number): void {
    if (val(condition) !== 0n) throw new Raised(vector);
  }
  call(fn: InsnHelper): void {
    let result;
    try {
      result = fn(this.e.cpu, this.view);
    } catch (e) {
      if (e !== GUEST_EVENT) throw e;
    }
    if (result !== NEXT) {
      this.e.again = result === LEAVE;
      throw new Ended();
    }
  }
  compute(fn: InsnHelper): void {
    this.call(fn);
  }
  helper(fn: InsnHelper): void {
    this.call(fn);
    throw new Ended();
  }
  /** The operations that string instructions compare with. */
  simd(op: string, args: Val[]): Val {
    const [shape, name] = op.split('.') as [string, string];
    const bits = shape === 'v128' ? 128 : Number(/\d+/.exec(shape)![0]), lanes = 128 / bits;
    const lane = (v: Val, i: number): bigint => BigInt.asUintN(bits, val(v) >> BigInt(i * bits));
    const made = (f: (i: number) => bigint): Val => {
      let v = 0n;
      for (let i = 0; i < lanes; i++) v |= BigInt.asUintN(bits, f(i)) << BigInt(i * bits);
      return num(128, v);
    };
    if (name === 'splat') return made(() => val(args[0]!));
    if (name === 'eq') return made((i) => (lane(args[0]!, i) === lane(args[1]!, i) ? -1n : 0n));
    const set = Array.from({ length: lanes }, (_, i) => lane(args[0]!, i) !== 0n);
    if (name === 'all_true') return num(32, set.every(Boolean) ? 1n : 0n);
    if (name === 'any_true') return num(32, set.some(Boolean) ? 1n : 0n);
    return this.vectors();
  }
  private vectors(): never {
    throw new Error('vectors are not evaluated here');
  }
  shuffle(): never {
    return this.vectors();
  }
  float(): never {
    return this.vectors();
  }
  floatLane(): never {
    return this.vectors();
  }
  withFloatLane(): never {
    return this.vectors();
  }
  floatToInt(): never {
    return this.vectors();
  }
}

function writeRegister(s: CpuState, index: number, width: number, v: bigint, high: boolean): void {
  const keep = width < 32 ? s.gpr(index) : 0n;
  const shift = high ? 8n : 0n;
  const mask = ((1n << BigInt(width)) - 1n) << shift;
  s.setGpr(index, (keep & ~mask) | ((v << shift) & mask));
}

class EvaluatedOperand implements Operand {
  readonly width: Width;
  readonly isMemory: boolean;
  readonly isImmediate: boolean;
  readonly kind: number;
  constructor(private readonly e: Evaluator, private readonly i: Instruction, readonly index: number, private readonly constants: boolean) {
    const k = formOf(i.code).operands[index]!;
    this.width = k.width;
    this.kind = i.opKind(index);
    this.isMemory = this.kind === OpKind.Memory;
    this.isImmediate = this.kind >= OpKind.Immediate8 && this.kind <= OpKind.Immediate32to64;
  }
  read(): Val {
    if (this.isMemory) return this.readAt(0, this.width);
    if (this.isImmediate) return num(this.width, this.i.immediate(this.index), this.constants || opCodeInfo(this.i.code).opKind(this.index) === OpCodeOperandKind.imm8_const_1);
    const r = this.i.opRegister(this.index);
    const high = r >= Register.AH && r <= Register.BH;
    return num(this.width, this.e.s.gpr(RegisterExt.number(RegisterExt.fullRegister(r))) >> (high ? 8n : 0n));
  }
  write(v: Val): void {
    if (v.width !== this.width) throw new Error(`a ${v.width}-bit value for a ${this.width}-bit operand`);
    if (this.isMemory) return this.writeAt(0, v);
    const r = this.i.opRegister(this.index);
    writeRegister(this.e.s, RegisterExt.number(RegisterExt.fullRegister(r)), this.width, val(v), r >= Register.AH && r <= Register.BH);
  }
  register(): number {
    return RegisterExt.number(RegisterExt.fullRegister(this.i.opRegister(this.index)));
  }
  ea(): Val {
    const part = (r: Register) => (r === Register.None || r === Register.RIP ? 0n : this.e.s.gpr(RegisterExt.number(RegisterExt.fullRegister(r))));
    const { i } = this;
    const bits = addressWidth(i, this.e);
    const raw = part(i.memoryBase) + part(i.memoryIndex) * BigInt(i.memoryIndexScale) + i.memoryDisplacement;
    return num(64, BigInt.asUintN(bits, raw));
  }
  readAt(displacement: Val | number, width: Width): Val {
    const d = typeof displacement === 'number' ? BigInt(displacement) : val(displacement);
    return num(width, this.e.read(BigInt.asUintN(32, val(this.ea()) + d), width / 8));
  }
  writeAt(displacement: Val | number, v: Val): void {
    const d = typeof displacement === 'number' ? BigInt(displacement) : val(displacement);
    this.e.write(BigInt.asUintN(32, val(this.ea()) + d), v.width / 8, val(v));
  }
}

function addressWidth(i: Instruction, e: Evaluator): 16 | 32 | 64 {
  for (let n = 0; n < i.opCount; n++) {
    const kind = i.opKind(n);
    if (kind === OpKind.MemorySegESI || kind === OpKind.MemoryESEDI) return 32;
    if (kind === OpKind.MemorySegSI || kind === OpKind.MemoryESDI) return 16;
    if (kind === OpKind.Memory && i.memoryBase !== Register.None) return (RegisterExt.size(i.memoryBase) * 8) as 16 | 32 | 64;
  }
  return e.s.mode64 ? 64 : 32;
}

function viewOf(e: Evaluator, i: Instruction, operands: readonly EvaluatedOperand[]): InsnView {
  return {
    code: i.code,
    length: i.length,
    operandWidth: formOf(i.code).operandWidth,
    addressWidth: addressWidth(i, e),
    opCount: i.opCount,
    isMemory: (n) => operands[n]!.isMemory,
    register: (n) => operands[n]!.register(),
    immediate: (n) => BigInt.asUintN(operands[n]!.width, i.immediate(n)),
    ea: () => val(operands.find((o) => o.isMemory)!.ea()),
    segment: RegisterExt.number(i.memorySegment),
    hasRep: i.hasRepPrefix,
    hasRepne: i.hasRepnePrefix,
    hasLock: i.hasLockPrefix,
    farSelector: 0,
    farOffset: 0,
    read: (n) => val(operands[n]!.read()),
    write: (n, v) => operands[n]!.write(num(operands[n]!.width, v)),
    registerAddress: (n) => (operands[n]!.isMemory ? 0 : gprAddress(operands[n]!.register())),
    width: (n) => operands[n]!.width,
  };
}
