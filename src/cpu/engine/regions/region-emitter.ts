/**
 * The emitter of a region's function: it counts what is open, so that a branch can name a block by its depth, and temporaries are used
 * again by every instruction, so that a long region has few locals.
 */

import { FunctionEmitter } from '../../../wasm/function.js';
import type { ValueType } from '../../../wasm/opcodes.js';
import { HANDLER_TYPE } from '../host-imports.js';
import { CHAIN, SHARED_FUNCTIONS } from '../shared-functions.js';

export class RegionEmitter extends FunctionEmitter {
  /** Blocks, loops and ifs that are open. */
  depth = 0;
  private readonly pools = new Map<ValueType, { locals: number[]; used: number }>();

  constructor() {
    super(HANDLER_TYPE.params, SHARED_FUNCTIONS);
  }
  fixed(type: ValueType): number {
    return super.local(type);
  }
  override local(type: ValueType): number {
    let pool = this.pools.get(type);
    if (pool === undefined) this.pools.set(type, (pool = { locals: [], used: 0 }));
    if (pool.used === pool.locals.length) pool.locals.push(super.local(type));
    return pool.locals[pool.used++]!;
  }
  override if(): this {
    this.depth++;
    return super.if();
  }
  override block(): this {
    this.depth++;
    return super.block();
  }
  override loop(): this {
    this.depth++;
    return super.loop();
  }
  override end(): this {
    this.depth--;
    return super.end();
  }
  /** Goes on with a record by a handler of the machine's table, which regions do not have: record, left and index are on the wasm stack. */
  goOn(): this {
    return this.returnCall(CHAIN);
  }
  /** Branches to the block or loop that was begun at a depth. */
  brTo(depth: number): this {
    return this.br(this.depth - depth);
  }
  release(): void {
    for (const pool of this.pools.values()) pool.used = 0;
  }
}
