/** Addresses and table indices that are others in each machine: a region's code has none of them, its module imports them as constants (templates.ts). */

import type { FunctionEmitter } from '../../../wasm/function.js';

/** A record, a page structure, or the table index of a record's handler in the interpreter. */
export interface Place {
  readonly kind: 'record' | 'handler' | 'page';
  /** Of the record or page structure. */
  readonly address: number;
}

/** The globals before: the one that says where a region is entered. */
const FIRST = 1;

export class Places {
  /** What the region's module imports, by number. */
  readonly list: Place[] = [];
  private readonly numbers = { record: new Map<number, number>(), handler: new Map<number, number>(), page: new Map<number, number>() };

  constructor(private readonly f: FunctionEmitter) {}

  /** Puts a place on the wasm stack. */
  get(kind: Place['kind'], address: number): FunctionEmitter {
    const numbers = this.numbers[kind];
    let n = numbers.get(address);
    if (n === undefined) numbers.set(address, (n = this.list.push({ kind, address }) - 1));
    return this.f.global(FIRST + n);
  }
}
