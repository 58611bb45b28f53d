/**
 * What regions call where their own code has no place for it: functions that every region shares.
 *
 * slowAccess: a memory access misses the software TLB, and the region cannot leave for it. It makes flags and `left` exact in the state
 * (the region has stored its registers), then does what the interpreter does.
 */

import { FunctionEmitter } from '../../../wasm/function.js';
import type { FunctionType } from '../../../wasm/module.js';
import { I32, I64, type ValueType } from '../../../wasm/opcodes.js';
import { S } from '../../state.js';
import { FETCH_LINE_TYPE, IMPORT_INDEX } from '../host-imports.js';

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

/** FETCH_LINE. @param fetch, settled functions of the timing core @param locate puts address and linear address of a record in locals */
export function fetchLine(fetch: number, settled: number, locate: (f: FunctionEmitter, record: number, address: number, linear: number) => void): FunctionEmitter {
  const f = new FunctionEmitter(FETCH_LINE_TYPE.params);
  const address = f.local(I32), linear = f.local(I64), state = f.local(I32);
  locate(f, 2, address, linear);
  f.get(0).get(address).get(linear).call(fetch).op('i32.sub');
  // 2: by the large-page TLB. Bit 31 says that of some line.
  f.get(1).get(3).op('i32.or').get(1).get(3).i32(-1).op('i32.xor').op('i32.and').get(address).get(linear).call(settled).tee(state).op('select');
  f.get(state).i32(1).op('i32.shr_u').i32(31).op('i32.shl').op('i32.or');
  return f;
}
