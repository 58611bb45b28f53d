/**
 * Pages that a region's accesses have found in the software TLB already: their tags and addends stay in locals, so that an access to
 * the page of the one before needs no load to find its address. That pays where the next access is likely in the same page: on the
 * stack, and in tables and variables at fixed addresses. Elsewhere a second comparison would only cost.
 *
 * Invariant: software-TLB entries change in calls only, and behind each of them all is forgotten.
 */

import type { LinearMemory } from '../../../mem/linear-memory.js';
import type { FunctionEmitter } from '../../../wasm/function.js';
import { ZERO_SLOT } from '../../../mem/layout.js';
import { I32, I64 } from '../../../wasm/opcodes.js';
import { RSP, S, gprAddress } from '../../state.js';
import type { HandlerInfo } from '../handlers.js';
import { R } from '../record.js';
import type { Block } from './region.js';

/** Fixed addresses that a region remembers the page of: each takes two locals, and code behind each call. */
const MAX_TABLES = 6;

export interface KnownPage {
  /** 0, 1, ... */
  readonly index: number;
  /** Local (64 bits): linear address of the page; of no page: -1. */
  readonly tag: number;
  /** Local (32 bits): what is added to a linear address for the linear-memory address. */
  readonly addend: number;
  /** The page may be written, too. */
  readonly writable: boolean;
}

export class KnownPages {
  private readonly stack: KnownPage | undefined;
  private readonly tables = new Map<number, KnownPage>();

  constructor(private readonly f: FunctionEmitter, private readonly m: LinearMemory, used: number, blocks: readonly Block[]) {
    let index = 0;
    const page = (writable: boolean): KnownPage => ({ index: index++, tag: f.fixed(I64), addend: f.fixed(I32), writable });
    if (used & (1 << RSP)) this.stack = page(true);
    for (const b of blocks)
      for (const { record, info } of b.steps)
        if (info !== undefined && this.tables.size < MAX_TABLES && this.isFixed(record, info)) this.tables.set(record, page(info.usage.stores));
    this.forget();
  }
  private isFixed(record: number, info: HandlerInfo): boolean {
    if (info.variant.addressing === 'register' || this.tables.has(record)) return false;
    const base = this.m.i32[(record + R.base) >>> 2]!;
    return base === ZERO_SLOT || base === S.codeBase;
  }
  /** The page that an operand's access is likely in, if any is known for it. */
  ofOperand(record: number): KnownPage | undefined {
    return this.m.i32[(record + R.base) >>> 2] === gprAddress(RSP) ? this.stack : this.tables.get(record);
  }
  get ofStack(): KnownPage | undefined {
    return this.stack;
  }
  /** Emits: no page is known. */
  forget(): void {
    for (const page of [this.stack, ...this.tables.values()]) if (page !== undefined) this.f.i64(-1n).set(page.tag);
  }
}
