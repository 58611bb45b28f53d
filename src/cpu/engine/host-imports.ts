/**
 * What emitted code calls in TypeScript, and the base functions of wasm it shares. Every module imports these under `env`.
 * The addresses that `access` returns are linear-memory addresses of the data; 0 means: leave (an event is pending).
 */

import { I32, I64 } from '../../wasm/opcodes.js';
import type { FunctionType } from '../../wasm/module.js';

/** A handler: (record, cycles left in the slice). Leaves by returning, with S.left stored and S.rip exact. */
export const HANDLER_TYPE: FunctionType = { params: [I32, I32], results: [] };

const call = (params: number): FunctionType => ({ params: Array<typeof I32>(params).fill(I32), results: [I32] });

export const IMPORTS = {
  /** (record, linear low, linear high, size | kind << 8 | segment << 16) -> address or 0. Software-TLB miss, device, code page, page crossing. */
  access: call(4),
  /** (record, offset, segment entry address or segment number, size | kind << 8) -> address or 0: outside 64-bit mode, when the fast limit check fails. */
  segmentAccess: call(4),
  /** (record) -> 0: writes back what a store left in the scratch slot (device, code page, page crossing). */
  commit: call(1),
  /** (record, helper id) -> NEXT or LEAVE */
  helper: call(2),
  /** (record, vector, error code or -1) -> 0 */
  raise: call(3),
  /** (account, left) -> 0: execution has come to a page of another account. */
  arrive: call(2),
  /** (record) -> table index of the record's own handler, or -1: the run is to stop here. */
  breakpoint: call(1),
  /** (record, left) tail call: branch whose target record is not linked, out of the page, or at the end of the slice. */
  branchSlow: HANDLER_TYPE,
  /** (record of an indirect jump that is to remember where it went, or 0; left) tail call: continue at S.rip. */
  dispatch: HANDLER_TYPE,
} as const satisfies Record<string, FunctionType>;

export type ImportName = keyof typeof IMPORTS;
export const IMPORT_INDEX = Object.fromEntries(Object.keys(IMPORTS).map((k, i) => [k, i])) as Record<ImportName, number>;

/**
 * Functions of the timing core that cycle-mode code calls; they follow the imports above and return cycles.
 * timing/emit.ts says what they do: data(address, linear, flags), fetch(address, linear), branch and jump(pc, kind or target, next, hint),
 * span(address, linear, bytes, flags), string(bytes).
 */
export const TIMING_IMPORTS = {
  data: { params: [I32, I64, I32], results: [I32] },
  fetch: { params: [I32, I64], results: [I32] },
  branch: call(4),
  jump: call(4),
  span: { params: [I32, I64, I32, I32], results: [I32] },
  string: call(1),
  /** For regions. `left` and `known` (region-timing.ts: lines that fetching changes nothing of) go in and come out: (left, known, address, linear, flags). */
  dataLine: { params: [I32, I32, I32, I64, I32], results: [I32, I32] },
  /** (address, linear) -> whether fetching the line again changes nothing: 1, or 2 because of a large page; else 0. */
  settled: { params: [I32, I64], results: [I32] },
} as const satisfies Record<string, FunctionType>;

export type TimingImport = keyof typeof TIMING_IMPORTS;
const FIRST_TIMING = Object.keys(IMPORTS).length;
/** (record) -> cycles: fetch of the instruction at a record of the current page; made by base-handlers.ts in cycle mode. */
export const FETCH_AT = FIRST_TIMING + Object.keys(TIMING_IMPORTS).length;
/** (left, known, record, bit) -> left, known: charges the fetch of a record of the current page, for whose line the bit stands. */
export const FETCH_LINE = FETCH_AT + 1, FETCH_LINE_TYPE: FunctionType = { params: [I32, I32, I32, I32], results: [I32, I32] };
export const TIMING_INDEX = Object.fromEntries(Object.keys(TIMING_IMPORTS).map((k, i) => [k, FIRST_TIMING + i])) as Record<TimingImport, number>;

/** Flags of `data`, kinds of `branch`: the numbers of timing/emit.ts. */
export const DATA_WRITE = 1, DATA_DEPENDENT = 2, BRANCH_NOT_TAKEN = 0, BRANCH_TAKEN = 1, BRANCH_ALWAYS = 2;

/** What compiled code knows of the timing core's tables is bits: these are lines of code, those above are pages of data, or say what lines are known by. */
export const KNOWN_LINES = 0xff_ffff;
/** Hints about branches in a record's flags: the same. */
export const HINT_CALL = 1, HINT_RETURN = 4;

/** Kinds of access, as the mmu's flags. */
export const ACCESS_READ = 1, ACCESS_WRITE = 2, ACCESS_RMW = 3;

/** Where `access` puts data that is not plain memory: reads come from here, stores go here and are committed. */
export { SCRATCH_DATA } from '../state.js';
