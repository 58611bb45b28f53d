/** SSE by the host's arithmetic against the exact path: seeded operands near everything that makes a difference, PE clear and set. */

import { expect, it } from 'vitest';
import { Code, Decoder } from 'iced-x86';
import { END, TestMachine } from '../../../test/support/machine-with.js';
import { randomBits } from '../../../test/support/random-bits.js';
import { ModuleBuilder } from '../../wasm/module.js';
import { FunctionEmitter } from '../../wasm/function.js';
import { V128 } from '../../wasm/opcodes.js';
import { Wasm } from '../../wasm/host.js';
import type { Operand, Val, Width } from '../builder.js';
import { CodeBuilder } from '../engine/code-builder.js';
import { DOUBLE, SINGLE } from '../fp/format.js';
import { CHOP, type Environment } from '../fp/round.js';
import { binary, convert, convertToInteger, squareRoot } from '../fp/sse.js';
import { insnFor } from '../insn.js';
import { S } from '../state.js';

const { random, bits } = randomBits(11);
/** A float of `width` bits: few or all significant bits, exponents in the middle, at the ends, or alike. */
function operand(width: 32 | 64): bigint {
  const fraction = width === 32 ? 23 : 52, exponents = width === 32 ? 8 : 11, top = 2 ** exponents - 1, middle = (top - 1) / 2;
  const sign = BigInt(random(2)) << BigInt(width - 1);
  const kind = random(12);
  if (kind === 0) return sign;
  const exponent = kind < 6 ? middle - 3 + random(7) : kind < 8 ? middle - 70 + random(140) : kind < 9 ? random(4) : kind < 10 ? top - random(3) : random(top + 1);
  const kept = random(3) === 0 ? fraction : random(fraction / 2 + 2);
  const f = (bits(fraction) >> BigInt(fraction - kept)) << BigInt(fraction - kept);
  return sign | (BigInt(exponent) << BigInt(fraction)) | f;
}

const t = new TestMachine();
const { s } = t.vcpu;
const put128 = (at: number, v: bigint): void => {
  s.set64(at, BigInt.asUintN(64, v));
  s.set64(at + 8, v >> 64n);
};
const get128 = (at: number): bigint => s.get64(at) | (s.get64(at + 8) << 64n);
const X1 = S.xmm + 32, X2 = S.xmm + 64;

const MASKED = 0x1f80;
/** What a lane of the result is. */
type Lane = (env: Environment, a: bigint, b: bigint) => bigint;
const forms: [name: string, code: number[], lanes: number, from: 32 | 64, to: 32 | 64, lane: Lane, clear?: boolean][] = [];
for (const [op, byte] of [['add', 0x58], ['mul', 0x59], ['sub', 0x5c], ['min', 0x5d], ['div', 0x5e], ['max', 0x5f]] as const)
  for (const [suffix, prefix, width, lanes] of [['ss', [0xf3], 32, 1], ['sd', [0xf2], 64, 1], ['ps', [], 32, 4], ['pd', [0x66], 64, 2]] as const)
    forms.push([op + suffix, [...prefix, 0x0f, byte, 0xca], lanes, width, width, (env, a, b) => binary(op, width === 32 ? SINGLE : DOUBLE, env, a, b)]);
for (const [suffix, prefix, width, lanes] of [['ss', [0xf3], 32, 1], ['sd', [0xf2], 64, 1], ['ps', [], 32, 4], ['pd', [0x66], 64, 2]] as const)
  forms.push(['sqrt' + suffix, [...prefix, 0x0f, 0x51, 0xca], lanes, width, width, (env, _a, b) => squareRoot(width === 32 ? SINGLE : DOUBLE, env, b)]);
forms.push(['cvtps2pd', [0x0f, 0x5a, 0xca], 2, 32, 64, (env, _a, b) => convert(SINGLE, DOUBLE, env, b), true]);
forms.push(['cvtpd2ps', [0x66, 0x0f, 0x5a, 0xca], 2, 64, 32, (env, _a, b) => convert(DOUBLE, SINGLE, env, b), true]);
const integer = (from: 32 | 64, truncate: boolean): Lane => (env, _a, b) => convertToInteger(from === 32 ? SINGLE : DOUBLE, 32, env, b, truncate ? CHOP : env.rounding);
forms.push(['cvtps2dq', [0x66, 0x0f, 0x5b, 0xca], 4, 32, 32, integer(32, false), true], ['cvttps2dq', [0xf3, 0x0f, 0x5b, 0xca], 4, 32, 32, integer(32, true), true]);
forms.push(['cvtpd2dq', [0xf2, 0x0f, 0xe6, 0xca], 2, 64, 32, integer(64, false), true], ['cvttpd2dq', [0x66, 0x0f, 0xe6, 0xca], 2, 64, 32, integer(64, true), true]);

it.each(forms)('%s as the exact path has it', (_name, code, lanes, from, to, lane, clear) => {
  const at = 0x20_0000;
  t.phys.write(at, Uint8Array.of(...code, ...END));
  for (let round = 0; round < 500; round++) {
    const vector = (): bigint => {
      let v = 0n;
      const same = operand(from);
      for (let i = 0; i < 128; i += from) v |= (random(4) === 0 ? operand(from) : same) << BigInt(i);
      return v;
    };
    const a = vector(), b = random(5) === 0 ? a : vector();
    const control = random(8) === 0 ? MASKED | (random(4) << 13) | (random(2) << 6) | (random(2) << 15) : MASKED, flags = random(2) << 5;
    put128(X1, a);
    put128(X2, b);
    t.start(64, at);
    s.set32(S.mxcsr, control | flags);
    expect(t.runToHalt().fault).toBe(-1);
    const env: Environment = { rounding: (control >> 13) & 3, masks: 0x3f, daz: (control & 0x40) !== 0, ftz: (control & 0x8000) !== 0, flags: 0, up: false };
    let wanted = clear === true ? 0n : a;
    for (let i = 0; i < lanes; i++) {
      const mask = (1n << BigInt(from)) - 1n, out = (1n << BigInt(to)) - 1n, shift = BigInt(i * to);
      const r = lane(env, (a >> BigInt(i * from)) & mask, (b >> BigInt(i * from)) & mask);
      wanted = (wanted & ~(out << shift)) | (r << shift);
    }
    const context = `${a.toString(16)} and ${b.toString(16)} with ${(control | flags).toString(16)}`;
    expect(get128(X1).toString(16), context).toBe(wanted.toString(16));
    expect(s.get32(S.mxcsr).toString(16), context).toBe((control | flags | env.flags).toString(16));
  }
});

/** A body over two vectors in locals, with an immediate that is known while it is emitted. */
class Known extends CodeBuilder {
  readonly operandWidth = 64;
  readonly codeSize = 64;
  readonly result: number;
  constructor(private readonly immediate: number) {
    super(new FunctionEmitter([]));
    this.result = this.f.local(V128);
    this.f.i32(0).memV128('v128.load', 0).set(this.result);
  }
  operands(): Operand[] {
    const vector = { width: 128, isMemory: false, isImmediate: false } as const, immediate = { width: 8, isMemory: false, isImmediate: true } as const;
    const none = (): never => {
      throw new Error('not a memory operand');
    };
    const rest = { ea: none, readAt: none, writeAt: none, write: none };
    const first = { ...vector, ...rest, read: () => (this.f.get(this.result), this.take(128)), write: (v: Val) => void this.get(v).f.set(this.result) };
    const second = { ...vector, ...rest, read: () => (this.f.i32(0).memV128('v128.load', 16), this.take(128)) };
    return [first, second, { ...immediate, ...rest, read: () => this.c(8, this.immediate) }];
  }
  /** Nothing traps, and nothing comes from the exact path. */
  override getState(_address: number, width: Width): Val {
    return this.c(width, 0);
  }
  raiseIf(): void {}
  again(): void {}
  call(): void {}
  private none(): never {
    throw new Error('not in these bodies');
  }
  load = this.none;
  store = this.none;
  nextRip = this.none;
  branchIf = this.none;
  branch = this.none;
  jump = this.none;
  helper = this.none;
  instructionRip = this.none;
  operandSelector = this.none;
  registerNumber = this.none;
  repeat = this.none;
  addressSize = this.none;
  ownSegment = this.none;
  chargeSpan = this.none;
  chargeString = this.none;
}

it.each([
  ['pshufd', [0x66, 0x0f, 0x70, 0xca]], ['pshuflw', [0xf2, 0x0f, 0x70, 0xca]], ['pshufhw', [0xf3, 0x0f, 0x70, 0xca]],
  ['shufps', [0x0f, 0xc6, 0xca]], ['shufpd', [0x66, 0x0f, 0xc6, 0xca]], ['pslldq', [0x66, 0x0f, 0x73, 0xf9]], ['psrldq', [0x66, 0x0f, 0x73, 0xd9]],
  ['psllw', [0x66, 0x0f, 0x71, 0xf1]], ['psrad', [0x66, 0x0f, 0x72, 0xe1]], ['psrlq', [0x66, 0x0f, 0x73, 0xd1]],
  ['cmpps', [0x0f, 0xc2, 0xca]], ['cmpsd', [0xf2, 0x0f, 0xc2, 0xca]],
])('%s does the same with an immediate that is known', (name, code) => {
  const spec = insnFor(new Decoder(64, Uint8Array.of(...code, 0), 0).decode().code)!;
  expect(spec, Code[new Decoder(64, Uint8Array.of(...code, 0), 0).decode().code]).toBeDefined();
  const module = new ModuleBuilder(1, 1);
  for (let i = 0; i < 256; i++) {
    const b = new Known(i), [dst, src, immediate] = b.operands();
    if (/^ps[lr]/.test(name)) spec.body(b, dst!, immediate!);
    else spec.body(b, dst!, src!, immediate!);
    b.f.i32(0).get(b.result).memV128('v128.store', 32);
    module.add(b.f, [], `k${i}`);
  }
  const memory = new Wasm.Memory({ initial: 1, maximum: 1 }), table = new Wasm.Table({ initial: 0, element: 'anyfunc' });
  const exports = new Wasm.Instance(new Wasm.Module(module.finish()), { env: { memory, table } }).exports as Record<string, () => void>;
  const words = new BigUint64Array(memory.buffer);
  const plain = name.startsWith('cmp') ? 0x3ff0_0000_4000_0000n : 0n;
  for (let i = 0; i < 256; i++) {
    const [a, b] = [bits(128) , bits(128)].map((v) => (plain === 0n ? v : (plain << 64n) | (plain + BigInt(random(2)))));
    put128(X1, a!);
    put128(X2, b!);
    const at = 0x20_0000 + 32 * i;
    t.phys.write(at, Uint8Array.of(...code, i, ...END));
    t.start(64, at);
    expect(t.runToHalt().fault).toBe(-1);
    words.set([a!, a! >> 64n, b!, b! >> 64n].map((v) => BigInt.asUintN(64, v)));
    exports[`k${i}`]!();
    expect((words[4]! | (words[5]! << 64n)).toString(16), `${name} ${i}`).toBe(get128(X1).toString(16));
  }
});
