import { describe, expect, it } from 'vitest';
import { randomBits } from '../../test/support/random-bits.js';
import { FunctionEmitter } from '../wasm/function.js';
import { Wasm, type WasmMemory } from '../wasm/host.js';
import { ModuleBuilder } from '../wasm/module.js';
import { I32 } from '../wasm/opcodes.js';
import { exchange, remove, touch, type Order } from './emit-sets.js';

const SET = 64;
/** What a function returns has this bit if the line was there. */
const THERE = 0x8000_0000;
type Functions = Record<'touch' | 'remove' | 'exchange' | 'enterFirst', (line: number, entering: number) => number>;

/** All for a set at SET what falls out, or 0, and THERE. */
function emit(ways: number, order: Order, memory: WasmMemory): Functions {
  const module = new ModuleBuilder(1, 1);
  const add = (name: keyof Functions, piece: (f: FunctionEmitter, set: number, hit: number, victim: number) => void): void => {
    const f = new FunctionEmitter([I32, I32]), set = f.local(I32), hit = f.local(I32), victim = f.local(I32);
    f.i32(SET).set(set);
    piece(f, set, hit, victim);
    f.get(victim).i32(THERE).i32(0).get(hit).op('select').op('i32.or');
    module.add(f, [I32], name);
  };
  add('touch', (f, set, hit, victim) => {
    const fallen = f.local(I32);
    f.i32(1).set(hit);
    touch(f, ways, set, 0, fallen, () => void f.i32(0).set(hit).get(fallen).set(victim), order);
  });
  add('remove', (f, set, hit) => remove(f, ways, set, 0, hit, order));
  add('exchange', (f, set, hit, victim) => exchange(f, ways, set, 0, 1, hit, victim, order));
  add('enterFirst', (f, set, hit, victim) => exchange(f, ways, set, 0, 1, hit, victim, order, true));
  const table = new Wasm.Table({ initial: 0, element: 'anyfunc' });
  return new Wasm.Instance(new Wasm.Module(module.finish()), { env: { memory, table } }).exports as unknown as Functions;
}

describe.each<Order>(['random', 'in order'])('a set, lines %s', (order) => {
  it.each([2, 4, 6, 8, 16, 32])('of %i ways is what a list is', (ways) => {
    const memory = new Wasm.Memory({ initial: 1, maximum: 1 }), set = new Uint32Array(memory.buffer, SET, ways);
    const functions = emit(ways, order, memory), { random } = randomBits(ways);
    let list = new Array<number>(ways).fill(0);
    const removed = (line: number): number => {
      const at = list.indexOf(line);
      if (at >= 0) list = [...list.slice(0, at), ...list.slice(at + 1), 0];
      return at >= 0 ? THERE : 0;
    };
    const touched = (line: number): number => {
      const at = list.indexOf(line), out = list.at(-1)!;
      list = [line, ...list.filter((_, i) => (at >= 0 ? i !== at : i !== ways - 1))];
      return at >= 0 ? THERE : out;
    };
    for (let i = 0; i < 3000; i++) {
      const line = 1 + random(2 * ways), other = random(2 * ways + 1), name = (['touch', 'touch', 'remove', 'exchange', 'enterFirst', 'enterFirst'] as const)[random(6)]!;
      const entering = name === 'enterFirst' && other === line ? 0 : other;
      let expected = 0;
      if (name === 'touch') expected = touched(line);
      if (name === 'remove' || name === 'exchange') expected = removed(line);
      if (entering !== 0 && (name === 'exchange' || name === 'enterFirst')) {
        const out = touched(entering);
        if (out < THERE) expected += out;
      }
      if (name === 'enterFirst') expected += removed(line);
      expect([name, functions[name](line, entering) >>> 0, ...set]).toEqual([name, expected, ...list]);
    }
  });
});
