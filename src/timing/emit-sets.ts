/**
 * The sets of the timing core's tables in WebAssembly: each is ordered by recency, so a use moves an entry to the front.
 *
 * Sets of 4 to 32 ways of caches are moved as vectors, all of a set at once whatever way it is: a loop over the ways costs several cycles
 * each, and its end is not predicted.
 */

import { FunctionEmitter } from '../wasm/function.js';
import type { ModuleBuilder } from '../wasm/module.js';
import { I32, I64, V128 } from '../wasm/opcodes.js';

export const LANES = 4;
/** Bytes 12-27 of two vectors in a row: the second one moved up by a lane, with the first one's last lane in front. */
const MOVED = [12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27];
/** Bytes 4-19: the first one moved down by a lane, with the second one's first lane behind. */
const MOVED_BACK = [4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19];

export class SetFunctions {
  private readonly made = new Map<string, number>();

  constructor(private readonly module: ModuleBuilder) {}

  private once(name: string, ways: number, make: (ways: number) => FunctionEmitter): number {
    const key = `${name} ${ways}`;
    let index = this.made.get(key);
    if (index === undefined) this.made.set(key, (index = this.module.add(make(ways), [I32])));
    return index;
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

/** How sets are gone through: lines at random, or lines one after the other, which usually are in the same way of their sets. */
export type Order = 'random' | 'in order';

/**
 * Makes a line the first of its set. Locals `set` and `line`; `victim` gets the line that falls out, and what `missed` emits is done when the
 * line was not there. Inline: a call costs as much as the work.
 */
export function touch(f: FunctionEmitter, ways: number, set: number, line: number, victim: number, missed: () => void, order: Order = 'random'): void {
  if (inVectors(ways)) touchVectors(f, ways, set, line, victim, missed, order);
  else touchWays(f, ways, set, line, victim, missed);
}

function touchWays(f: FunctionEmitter, ways: number, set: number, line: number, victim: number, missed: () => void): void {
  const at = f.local(I32), old = f.local(I32);
  if (ways <= 4) {
    f.get(line).set(victim).block();
    for (let way = 0; way < ways; way++) {
      f.get(set).mem('i32.load', 4 * way).set(old).get(set).get(victim).mem('i32.store', 4 * way);
      f.get(old).set(victim).get(old).get(line).op('i32.eq').brIf(0);
    }
    missed();
    f.end();
    return;
  }
  f.get(set).set(at).get(line).set(victim).block().loop();
  f.get(at).mem('i32.load', 0).set(old);
  f.get(at).get(victim).mem('i32.store', 0);
  f.get(old).set(victim).get(old).get(line).op('i32.eq').brIf(1);
  f.get(at).i32(4).op('i32.add').tee(at).get(set).i32(ways * 4).op('i32.add').op('i32.lt_u').brIf(0).end();
  missed();
  f.end();
}

function touchVectors(f: FunctionEmitter, ways: number, set: number, line: number, victim: number, missed: () => void, order: Order): void {
  const lines = f.local(V128), found = f.local(I32), old = loadSet(f, ways, set);
  f.get(line).simd('i32x4.splat').set(lines);
  equalLanes(f, old, lines);
  f.tee(found).op('i32.eqz').if();
  moveAll(f, set, lines, old);
  f.get(old.at(-1)!).simd('i32x4.extract_lane').byte(LANES - 1);
  f.set(victim);
  missed();
  f.op('else');
  moveSome(f, set, lines, old, found, order);
  f.end();
}

/** Pushes the vector `j` of a set moved by one way; `front` has the line that comes to the front, in all lanes. */
export const moved = (f: FunctionEmitter, front: number, old: readonly number[], j: number): void => void f.get(j === 0 ? front : old[j - 1]!).get(old[j]!).simd('i8x16.shuffle').raw(MOVED);

/** Moves all ways of a set by one. @param old locals with what is in them */
export function moveAll(f: FunctionEmitter, set: number, front: number, old: readonly number[], vectors = old.length): void {
  for (let j = 0; j < vectors; j++) {
    f.get(set);
    moved(f, front, old, j);
    f.memV128('v128.store', 16 * j);
  }
}
/** Moves the ways up to the first one with a bit in local `found`, at least one, by one; those behind it stay. */
function moveSome(f: FunctionEmitter, set: number, front: number, old: readonly number[], found: number, order: Order): void {
  const last = f.local(V128);
  f.get(found).op('i32.ctz').simd('i32x4.splat').set(last);
  const some = (j: number): void => {
    f.get(set).get(old[j]!);
    moved(f, front, old, j);
    lanesOf(f, j);
    f.get(last).simd('i32x4.gt_s').simd('v128.bitselect').memV128('v128.store', 16 * j);
  };
  if (order === 'random') {
    old.forEach((_, j) => some(j));
    return;
  }
  f.block();
  old.forEach((_, j) => {
    const behind = j + 1 < old.length;
    if (behind) f.get(found).i32(bitsOf(j)).op('i32.and').if();
    moveAll(f, set, front, old, j);
    some(j);
    if (behind) f.br(1).end();
  });
  f.end();
}
/** The bits of `equalLanes` for vector `j`. */
const bitsOf = (j: number): number => ((1 << LANES) - 1) << (j * LANES);

/** Sets of so many ways are moved as vectors. */
export const inVectors = (ways: number): boolean => ways % LANES === 0 && ways <= 32;
/** The ways of a set, four in each of the locals. */
export function loadSet(f: FunctionEmitter, ways: number, set: number): number[] {
  const vectors = Array.from({ length: ways / LANES }, () => f.local(V128));
  vectors.forEach((v, j) => f.get(set).memV128('v128.load', 16 * j).set(v));
  return vectors;
}
/** Puts the numbers of the ways in a set's vector `j` on the wasm stack. */
export const lanesOf = (f: FunctionEmitter, j: number): void => void f.simd('v128.const').raw(new Uint8Array(Uint32Array.from({ length: LANES }, (_, i) => j * LANES + i).buffer));

/** Puts a number on the wasm stack with a bit for each of the 32-bit lanes of some vectors (at most 8) that is equal to the one in `wanted`. */
export function equalLanes(f: FunctionEmitter, vectors: readonly number[], wanted: number): void {
  for (let j = 0; j < vectors.length; ) {
    const group = vectors.length - j >= 4 ? 4 : vectors.length - j >= 2 ? 2 : 1;
    for (let i = 0; i < group; i++) {
      f.get(vectors[j + i]!).get(wanted).simd('i32x4.eq');
      if (i % 2 === 1) f.simd('i16x8.narrow_i32x4_s');
    }
    if (group === 4) f.simd('i8x16.narrow_i16x8_s');
    f.simd(group === 4 ? 'i8x16.bitmask' : group === 2 ? 'i16x8.bitmask' : 'i32x4.bitmask');
    if (j > 0) f.i32(j * LANES).op('i32.shl').op('i32.or');
    j += group;
  }
}

/** Takes a line out of a set. Locals `set` and `line`; `hit` gets whether it was there. */
export function remove(f: FunctionEmitter, ways: number, set: number, line: number, hit: number, order: Order = 'random'): void {
  if (inVectors(ways)) removeVectors(f, ways, set, line, hit, order);
  else removeWays(f, ways, set, line, hit);
}
/**
 * Takes a line out of a set and makes another one, `entering`, its first (unless it is 0): `hit` gets whether the line was there, `victim` the
 * one that falls out, or 0. All are locals. What both do to the set is done at once, where the other one was not there.
 * @param enterFirst the line, which is another one, is taken out after `entering` has entered: that makes a difference if the set is full
 */
export function exchange(f: FunctionEmitter, ways: number, set: number, line: number, entering: number, hit: number, victim: number, order: Order, enterFirst = false): void {
  const simply = (): void => {
    const fallen = f.local(I32), enter = (): void => {
      f.get(entering).if();
      touch(f, ways, set, entering, fallen, () => void f.get(fallen).set(victim), order);
      f.end();
    };
    f.i32(0).set(victim);
    if (enterFirst) enter();
    remove(f, ways, set, line, hit, order);
    if (!enterFirst) enter();
  };
  if (!inVectors(ways)) return simply();
  const lines = f.local(V128), front = f.local(V128), old = loadSet(f, ways, set), last = old.at(-1)!;
  const any = (...wanted: number[]): void => {
    old.forEach((v, j) => wanted.forEach((w, i) => {
      f.get(v).get(w).simd('i32x4.eq');
      if (j + i > 0) f.simd('v128.or');
    }));
    f.simd('i32x4.bitmask');
  };
  const gone = (): void => void f.get(last).simd('i32x4.extract_lane').byte(LANES - 1);
  f.get(line).simd('i32x4.splat').set(lines).get(entering).simd('i32x4.splat').set(front).block();
  const none = (): void => {
    gone();
    f.set(victim).i32(0).set(hit);
    moveAll(f, set, front, old);
  };
  f.get(entering).if();
  if (!enterFirst) {
    // Mostly none of the two is there. With `enterFirst` the line mostly is, and comparisons made early would be kept in memory.
    any(lines, front);
    f.op('i32.eqz').if();
    none();
    f.br(2).end();
  }
  any(front);
  if (enterFirst) {
    gone();
    f.op('i32.or');
  }
  f.op('i32.eqz').if();
  equalLanes(f, old, lines);
  f.tee(hit).op('i32.eqz').if();
  none();
  f.op('else').i32(0).set(victim);
  moveSome(f, set, front, old, hit, order);
  f.end().br(2).end().end();
  simply();
  f.end();
}

function removeWays(f: FunctionEmitter, ways: number, set: number, line: number, hit: number): void {
  const at = f.local(I32), last = f.local(I32);
  f.get(set).tee(at).i32(ways * 4 - 4).op('i32.add').set(last).i32(0).set(hit).block().loop();
  f.get(at).mem('i32.load', 0).get(line).op('i32.eq').if().i32(1).set(hit).br(2).end();
  f.get(at).i32(4).op('i32.add').tee(at).get(last).op('i32.le_u').brIf(0).end().end();
  f.get(hit).if().block().loop().get(at).get(last).op('i32.ge_u').brIf(1);
  f.get(at).get(at).mem('i32.load', 4).mem('i32.store', 0).get(at).i32(4).op('i32.add').set(at).br(0).end().end();
  f.get(last).i32(0).mem('i32.store', 0).end();
}

/** Pushes the vector `j` of a set without its first way: the others moved up, and what is behind them. */
export function movedUp(f: FunctionEmitter, old: readonly number[], j: number): void {
  f.get(old[j]!);
  if (j + 1 < old.length) f.get(old[j + 1]!);
  else f.simd('v128.const').raw(new Uint8Array(16));
  f.simd('i8x16.shuffle').raw(MOVED_BACK);
}

function removeVectors(f: FunctionEmitter, ways: number, set: number, line: number, hit: number, order: Order): void {
  const wanted = f.local(V128), first = f.local(V128), old = loadSet(f, ways, set);
  f.get(line).simd('i32x4.splat').set(wanted);
  equalLanes(f, old, wanted);
  // The ways behind it are moved up, those before it stay.
  const some = (j: number): void => {
    f.get(set).get(old[j]!);
    movedUp(f, old, j);
    f.get(first);
    lanesOf(f, j);
    f.simd('i32x4.gt_s').simd('v128.bitselect').memV128('v128.store', 16 * j);
  };
  f.tee(hit).if().get(hit).op('i32.ctz').simd('i32x4.splat').set(first);
  if (order === 'random') old.forEach((_, j) => some(j));
  else {
    // Behind the end of each block the next vector is moved as a whole.
    old.forEach(() => f.block());
    old.forEach((_, j) => {
      f.get(hit).i32(bitsOf(j)).op('i32.and').if();
      some(j);
      f.br(j + 1).end();
    });
    moveRest(f, set, old);
  }
  f.end();
}
/** Ends a block for each vector of a set; behind the end of each the next vector is moved up as a whole. */
export function moveRest(f: FunctionEmitter, set: number, old: readonly number[]): void {
  old.forEach((_, j) => {
    if (j > 0) {
      f.get(set);
      movedUp(f, old, j);
      f.memV128('v128.store', 16 * j);
    }
    f.end();
  });
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
