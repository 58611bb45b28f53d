/**
 * The sets of the timing core's tables as WebAssembly functions: each is ordered by recency, so a use moves an entry to the front.
 *
 * Functions are made for a number of ways when they are asked for. Sets of 4 to 32 ways of caches are moved as vectors, all of a set at
 * once whatever way it is: a loop over the ways costs several cycles each, and its end is not predicted.
 */

import { FunctionEmitter } from '../wasm/function.js';
import type { ModuleBuilder } from '../wasm/module.js';
import { I32, I64, V128 } from '../wasm/opcodes.js';
import { VICTIM } from './layout.js';

const LANES = 4;
/** Bytes 12-27 of two vectors in a row: the second one moved up by a lane, with the first one's last lane in front. */
const MOVED = [12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27];

export class SetFunctions {
  private readonly made = new Map<string, number>();

  constructor(private readonly module: ModuleBuilder) {}

  private once(name: string, ways: number, make: (ways: number) => FunctionEmitter): number {
    const key = `${name} ${ways}`;
    let index = this.made.get(key);
    if (index === undefined) this.made.set(key, (index = this.module.add(make(ways), [I32])));
    return index;
  }
  /** touch(set, line): makes the line the set's first; 1 if it was there, else 0 with the line that fell out in VICTIM. */
  touch(ways: number): number {
    return this.once('touch', ways, ways % LANES === 0 && ways <= 32 ? touchVectors : touchWays);
  }
  /** remove(set, line): takes the line out of the set; 1 if it was there. */
  remove(ways: number): number {
    return this.once('remove', ways, removeLine);
  }
  /** find(set, key): 1 if the TLB key is in the set, and then it becomes the first. */
  find(ways: number): number {
    return this.once('find', ways, ways <= 4 ? findInFew : findInMany);
  }
  /** insert(set, key): makes the key the set's first, the last falls out; 0. */
  insert(ways: number): number {
    return this.once('insert', ways, insertKey);
  }
}

function touchWays(ways: number): FunctionEmitter {
  const f = new FunctionEmitter([I32, I32]), end = f.local(I32), old = f.local(I32), carry = f.local(I32);
  f.get(0).i32(ways * 4).op('i32.add').set(end).get(1).set(carry).loop();
  f.get(0).mem('i32.load', 0).set(old);
  f.get(0).get(carry).mem('i32.store', 0);
  f.get(old).get(1).op('i32.eq').if().i32(1).op('return').end();
  f.get(old).set(carry);
  f.get(0).i32(4).op('i32.add').tee(0).get(end).op('i32.lt_u').brIf(0).end();
  return f.i32(VICTIM).get(carry).mem('i32.store', 0).i32(0);
}

function touchVectors(ways: number): FunctionEmitter {
  const f = new FunctionEmitter([I32, I32]), n = ways / LANES;
  const line = f.local(V128), behind = f.local(V128), found = f.local(I32);
  const old = Array.from({ length: n }, () => f.local(V128));
  f.get(1).simd('i32x4.splat').set(line);
  old.forEach((v, j) => f.get(0).memV128('v128.load', 16 * j).set(v));
  // One bit a way: the ways that have the line.
  const equal = (j: number): void => void f.get(old[j]!).get(line).simd('i32x4.eq');
  for (let j = 0; j < n; ) {
    const group = n - j >= 4 ? 4 : n - j >= 2 ? 2 : 1;
    for (let i = 0; i < group; i++) {
      equal(j + i);
      if (i % 2 === 1) f.simd('i16x8.narrow_i32x4_s');
    }
    if (group === 4) f.simd('i8x16.narrow_i16x8_s');
    f.simd(group === 4 ? 'i8x16.bitmask' : group === 2 ? 'i16x8.bitmask' : 'i32x4.bitmask');
    if (j > 0) f.i32(j * LANES).op('i32.shl').op('i32.or');
    j += group;
  }
  f.tee(found);
  // The ways up to that one, or all, are moved by one.
  f.i32(1 << (ways - 1)).op('i32.or').op('i32.ctz').simd('i32x4.splat').set(behind);
  for (let j = 0; j < n; j++) {
    f.get(0).get(j === 0 ? line : old[j - 1]!).get(old[j]!).simd('i8x16.shuffle').code.raw(MOVED);
    f.get(old[j]!);
    f.simd('v128.const').code.raw(new Uint8Array(Uint32Array.from({ length: LANES }, (_, i) => j * LANES + i).buffer));
    f.get(behind).simd('i32x4.gt_s').simd('v128.not').simd('v128.bitselect').memV128('v128.store', 16 * j);
  }
  f.get(found).if().i32(1).op('return').end();
  f.i32(VICTIM).get(old[n - 1]!).simd('i32x4.extract_lane').code.u8(LANES - 1);
  return f.mem('i32.store', 0).i32(0);
}

function removeLine(ways: number): FunctionEmitter {
  const f = new FunctionEmitter([I32, I32]), last = f.local(I32);
  f.get(0).i32(ways * 4 - 4).op('i32.add').set(last).block().loop();
  f.get(0).mem('i32.load', 0).get(1).op('i32.eq').brIf(1);
  f.get(0).i32(4).op('i32.add').tee(0).get(last).op('i32.le_u').brIf(0).i32(0).op('return').end().end();
  f.block().loop().get(0).get(last).op('i32.ge_u').brIf(1);
  f.get(0).get(0).mem('i32.load', 4).mem('i32.store', 0).get(0).i32(4).op('i32.add').set(0).br(0).end().end();
  return f.get(last).i32(0).mem('i32.store', 0).i32(1);
}

function findInFew(ways: number): FunctionEmitter {
  const f = new FunctionEmitter([I32, I64]);
  for (let way = 0; way < ways; way++) {
    f.get(0).mem('i64.load', 8 * way).get(1).op('i64.eq').if();
    for (let to = way; to > 0; to--) f.get(0).get(0).mem('i64.load', 8 * to - 8).mem('i64.store', 8 * to);
    if (way > 0) f.get(0).get(1).mem('i64.store', 0);
    f.i32(1).op('return').end();
  }
  return f.i32(0);
}
function findInMany(ways: number): FunctionEmitter {
  const f = new FunctionEmitter([I32, I64]), at = f.local(I32), end = f.local(I32);
  f.get(0).i32(ways * 8).op('i32.add').set(end).get(0).set(at).block().loop();
  f.get(at).mem('i64.load', 0).get(1).op('i64.eq').brIf(1);
  f.get(at).i32(8).op('i32.add').tee(at).get(end).op('i32.lt_u').brIf(0).i32(0).op('return').end().end();
  f.block().loop().get(at).get(0).op('i32.le_u').brIf(1);
  f.get(at).get(at).i32(8).op('i32.sub').tee(at).mem('i64.load', 0).mem('i64.store', 0).br(0).end().end();
  return f.get(0).get(1).mem('i64.store', 0).i32(1);
}

function insertKey(ways: number): FunctionEmitter {
  const f = new FunctionEmitter([I32, I64]), at = f.local(I32);
  f.get(0).i32(ways * 8 - 8).op('i32.add').set(at).block().loop().get(at).get(0).op('i32.le_u').brIf(1);
  f.get(at).get(at).i32(8).op('i32.sub').tee(at).mem('i64.load', 0).mem('i64.store', 0).br(0).end().end();
  return f.get(0).get(1).mem('i64.store', 0).i32(0);
}
