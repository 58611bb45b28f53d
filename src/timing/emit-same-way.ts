/** Sets in a row that mostly have their lines in the same way: that way is looked at first, and how to move such a set is known. */

import type { FunctionEmitter } from '../wasm/function.js';
import { I32, V128 } from '../wasm/opcodes.js';
import { LANES, equalLanes, lanesOf, loadSet, moveAll, moved, moveRest, movedUp } from './emit-sets.js';

export class SameWay {
  /** Place of that way in its set, in bytes. */
  private readonly way: number;
  /** Lanes of its vector that stay. */
  private readonly stays: number;

  /** Begins with the first way. @param does what is done to all the sets */
  constructor(
    private readonly f: FunctionEmitter,
    private readonly ways: number,
    private readonly does: 'touch' | 'remove',
  ) {
    this.way = f.local(I32);
    this.stays = f.local(V128);
    f.i32(0).set(this.way);
    this.keep();
  }
  private keep(): void {
    const { f } = this;
    lanesOf(f, 0);
    f.get(this.way).i32(2).op('i32.shr_u').i32(LANES - 1).op('i32.and').simd('i32x4.splat').simd(this.does === 'touch' ? 'i32x4.gt_s' : 'i32x4.lt_s').set(this.stays);
  }
  /** In a block: leaves it, after `absent`, if the set has not the line; else the way is the one that it is in. `hit` gets whether it has. */
  private find(set: number, line: number, hit: number, absent: (old: readonly number[], lines: number) => void): void {
    const { f, way } = this, found = f.local(I32), lines = f.local(V128);
    f.i32(1).set(hit).get(set).get(way).op('i32.add').mem('i32.load', 0).get(line).op('i32.ne').if();
    const old = loadSet(f, this.ways, set);
    f.get(line).simd('i32x4.splat').set(lines);
    equalLanes(f, old, lines);
    f.tee(found).op('i32.eqz').if().i32(0).set(hit);
    absent(old, lines);
    f.br(2).end();
    f.get(found).op('i32.ctz').i32(2).op('i32.shl').set(way);
    this.keep();
    f.end();
  }

  /** Makes a line the first of its set. All are locals: `lines` has the line in all lanes, `hit` gets whether it was there. */
  touch(set: number, line: number, lines: number, hit: number): void {
    const { f, way, ways } = this, vectors = ways / LANES;
    f.block();
    this.find(set, line, hit, (old) => moveAll(f, set, lines, old));
    for (let last = 0; last < vectors; last++) {
      const old = loadSet(f, (last + 1) * LANES, set);
      if (last + 1 < vectors) f.get(way).i32(16 * (last + 1)).op('i32.lt_u').if();
      moveAll(f, set, lines, old, last);
      f.get(set).get(old[last]!);
      moved(f, lines, old, last);
      f.get(this.stays).simd('v128.bitselect').memV128('v128.store', 16 * last);
      if (last + 1 < vectors) f.br(1).end();
    }
    f.end();
  }

  /** Takes a line out of its set. All are locals; `hit` gets whether it was there. */
  remove(set: number, line: number, hit: number): void {
    const { f, way, ways } = this, vectors = ways / LANES, half = vectors >> 1;
    f.block();
    this.find(set, line, hit, () => undefined);
    const old = loadSet(f, ways, set);
    // Behind the end of each block the next vector is moved as a whole.
    for (let j = 0; j < vectors; j++) f.block();
    const first = (j: number, depth: number): void => {
      f.get(way).i32(16 * (j + 1)).op('i32.lt_u').if();
      f.get(set).get(old[j]!);
      movedUp(f, old, j);
      f.get(this.stays).simd('v128.bitselect').memV128('v128.store', 16 * j);
      f.br(j + 1 + depth).end();
    };
    f.get(way).i32(16 * half).op('i32.lt_u').if();
    for (let j = 0; j < half; j++) first(j, 1);
    f.end();
    for (let j = half; j < vectors; j++) first(j, 0);
    moveRest(f, set, old);
    f.end();
  }
}
