/**
 * Addresses, table indices and numbers of helpers that are others in each machine or process: a region's code has none of them, its module
 * imports them as constants (templates.ts).
 */

import type { FunctionEmitter } from '../../../wasm/function.js';
import type { InsnHelper } from '../../insn.js';
import { helperId } from '../helpers.js';

/** A record, a page structure, the table index of a record's handler in the interpreter, or the number of a helper that a record's instruction calls. */
export interface Place {
  readonly kind: 'record' | 'handler' | 'page' | 'helper';
  /** Of the record or page structure. */
  readonly address: number;
  readonly helper?: InsnHelper;
}

/** What a module imports for a place of its own machine. @param interpreter the handler of a record in the interpreter */
export function valueOf({ kind, address, helper }: Place, interpreter: (record: number) => number): number {
  return kind === 'handler' ? interpreter(address) : helper !== undefined ? helperId(helper) : address;
}

/** The globals before: the one that says where a region is entered. */
const FIRST = 1;

export class Places {
  /** What the region's module imports, by number. */
  readonly list: Place[] = [];
  private readonly numbers = { record: new Map<number, number>(), handler: new Map<number, number>(), page: new Map<number, number>() };
  private readonly helpers = new Map<InsnHelper, number>();

  constructor(private readonly f: FunctionEmitter) {}

  /** Puts a place on the wasm stack. */
  get(kind: 'record' | 'handler' | 'page', address: number): FunctionEmitter {
    const numbers = this.numbers[kind];
    let n = numbers.get(address);
    if (n === undefined) numbers.set(address, (n = this.list.push({ kind, address }) - 1));
    return this.f.global(FIRST + n);
  }
  /** Puts a helper's number on the wasm stack. @param record an instruction that calls it */
  helper(record: number, helper: InsnHelper): FunctionEmitter {
    let n = this.helpers.get(helper);
    if (n === undefined) this.helpers.set(helper, (n = this.list.push({ kind: 'helper', address: record, helper }) - 1));
    return this.f.global(FIRST + n);
  }
}
