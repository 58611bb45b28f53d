/** What the emitter writes, as the host reads it: constants of both halves, a set and get in one, temporaries that are used again. */
import { expect, it } from 'vitest';
import { FunctionEmitter } from './function.js';
import { Wasm } from './host.js';
import { ModuleBuilder } from './module.js';
import { I32, I64, type ValueType } from './opcodes.js';

function run<T>(result: ValueType, emit: (f: FunctionEmitter) => void): T {
  const f = new FunctionEmitter([]), module = new ModuleBuilder(1, 1);
  emit(f);
  module.add(f, [result], 'run');
  const env = { memory: new Wasm.Memory({ initial: 1, maximum: 1 }), table: new Wasm.Table({ initial: 0, element: 'anyfunc' }) };
  return (new Wasm.Instance(new Wasm.Module(module.finish()), { env }).exports['run'] as () => T)();
}

it('constants of 64 bits, as numbers and as bigints', () => {
  const edges = [0, 1, 63, 64, 127, 128, 8191, 8192, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 53 - 1];
  for (const n of edges.flatMap((e) => [e, -e, -e - 1].filter(Number.isSafeInteger))) {
    expect(run<bigint>(I64, (f) => f.i64(n))).toBe(BigInt(n));
    expect(run<bigint>(I64, (f) => f.i64(BigInt(n)))).toBe(BigInt(n));
  }
  for (const n of [2n ** 63n - 1n, -(2n ** 63n), 2n ** 62n, 0x8000_0000_0000_0040n, 2n ** 64n - 1n]) expect(run<bigint>(I64, (f) => f.i64(n))).toBe(BigInt.asIntN(64, n));
  for (const n of [0, -1, 64, -65, 2 ** 31 - 1, -(2 ** 31)]) expect(run<number>(I32, (f) => f.i32(n))).toBe(n);
});

it('a get behind a set of the same local, of another one, and behind a block between them', () => {
  const sum = run<number>(I32, (f) => {
    const a = f.local(I32), b = f.local(I32);
    f.i32(7).set(a).get(a).i32(1).op('i32.add').set(b);
    f.block().get(a).get(b).op('i32.add').set(a).end().get(a);
  });
  expect(sum).toBe(15);
});

it('temporaries are used again when they have been given back, fixed locals are not', () => {
  const f = new FunctionEmitter([I32]);
  const kept = f.fixed(I64), first = f.local(I64), other = f.local(I32);
  f.release();
  expect([f.local(I64), f.local(I32)]).toEqual([first, other]);
  expect(new Set([kept, first, other, f.local(I64), f.fixed(I64)]).size).toBe(5);
});
