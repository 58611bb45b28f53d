/**
 * What regions call when a memory access misses the software TLB and they cannot leave for it: a function that every region shares, so
 * that a region's own code stays short. It makes flags and `left` exact in the state (the region has stored its registers), then does
 * what the interpreter does.
 */

import { FunctionEmitter } from '../../../wasm/function.js';
import type { FunctionType } from '../../../wasm/module.js';
import { I32, I64, type ValueType } from '../../../wasm/opcodes.js';
import { S } from '../../state.js';
import { IMPORT_INDEX } from '../host-imports.js';

/** (record, linear address or offset in the segment, size | kind << 8, segment's address or 0, left, flag kind, A, B, result). */
const ACCESS_PARAMS: readonly ValueType[] = [I32, I64, I32, I32, I32, I32, I64, I64, I64];

export const SLOW_IMPORTS = {
  /** S.flagsAux of a kind of flags: (kind, A, B, result). */
  flagsAux: { params: [I32, I64, I64, I64], results: [I64] },
  /** -> the address, or 0: return */
  slowAccess: { params: ACCESS_PARAMS, results: [I32] },
} as const satisfies Record<string, FunctionType>;
export type SlowImport = keyof typeof SLOW_IMPORTS;
const [RECORD, LINEAR, PACKED, SEGMENT, LEFT, KIND, A, B, RESULT] = [0, 1, 2, 3, 4, 5, 6, 7, 8];

/** @param flagsAux index of that function */
export function slowAccess(flagsAux: number): FunctionEmitter {
  const f = new FunctionEmitter(SLOW_IMPORTS.slowAccess.params);
  f.i32(0).get(RESULT).mem('i64.store', S.flagsRes);
  f.i32(0).get(KIND).get(A).get(B).get(RESULT).call(flagsAux).mem('i64.store', S.flagsAux);
  f.i32(0).get(LEFT).mem('i32.store', S.left);
  f.get(SEGMENT).if();
  f.get(RECORD).get(LINEAR).op('i32.wrap_i64').get(SEGMENT).get(PACKED).call(IMPORT_INDEX.segmentAccess).op('return').end();
  f.get(RECORD).get(LINEAR).op('i32.wrap_i64').get(LINEAR).i64(32n).op('i64.shr_u').op('i32.wrap_i64').get(PACKED).call(IMPORT_INDEX.access);
  return f;
}
