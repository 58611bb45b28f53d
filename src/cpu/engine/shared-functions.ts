/**
 * What emitted code calls, as places of a function table: handlers find it at the beginning of the machine's table, regions in a small
 * table of their own. So no module of handlers or of a region imports a function.
 *
 * The reason is the host. V8 compiles a wrapper for every type of an imported function, for each module again, whether it is needed or
 * not: a millisecond for a module of one small function. And each instance copies the tables that it imports: another millisecond
 * for one of tens of thousands of places.
 */

import { RAM_BASE } from '../../mem/layout.js';
import type { TableFunctions } from '../../wasm/function.js';
import { type FunctionType, ModuleBuilder, sameType } from '../../wasm/module.js';
import { I32 } from '../../wasm/opcodes.js';
import { FETCH_AT, FETCH_LINE_TYPE, HANDLER_TYPE, IMPORTS, TIMING_IMPORTS } from './host-imports.js';
import { SLOW_IMPORTS, type SlowImport } from './regions/slow-paths.js';

/** (record, left, table index) tail call: goes on with a record by a handler of the machine's table. */
const CHAIN_TYPE: FunctionType = { params: [I32, I32, I32], results: [] };

/** Every function at its place. Those of the timing core, and what prices a fetch, are there in cycle mode only. */
const PLACES: readonly (readonly [string, FunctionType])[] = [
  ...Object.entries(IMPORTS),
  ...Object.entries(TIMING_IMPORTS),
  ['fetchAt', { params: [I32], results: [I32] }],
  ['fetchLine', FETCH_LINE_TYPE],
  ...Object.entries(SLOW_IMPORTS),
  ['chain', CHAIN_TYPE],
];
if (PLACES[FETCH_AT]![0] !== 'fetchAt') throw new Error('FETCH_AT is not where it is');

export const FUNCTION_NAMES: readonly string[] = PLACES.map(([name]) => name);
const placeOf = (name: string): number => FUNCTION_NAMES.indexOf(name);
export const CHAIN = placeOf('chain');
export const SLOW_INDEX = Object.fromEntries(Object.keys(SLOW_IMPORTS).map((n) => [n, placeOf(n)])) as Record<SlowImport, number>;

/** Types of every module, HANDLER_TYPE first. */
const TYPES: FunctionType[] = [HANDLER_TYPE];
for (const [, t] of PLACES) if (!TYPES.some((x) => sameType(x, t))) TYPES.push(t);

/** For emitters of modules that `newModule` makes. */
export const SHARED_FUNCTIONS: TableFunctions = { types: PLACES.map(([, t]) => TYPES.findIndex((x) => sameType(x, t))) };

const MAX_PAGES = 65536;
/** A module that imports the memory and a table that begins with the functions above. */
export function newModule(): ModuleBuilder {
  return new ModuleBuilder(RAM_BASE / 65536, MAX_PAGES, TYPES);
}
