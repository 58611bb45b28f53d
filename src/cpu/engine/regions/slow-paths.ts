/**
 * What regions call when a memory access misses the software TLB: functions that every region shares, so that a region's own code
 * stays short. They make flags and `left` exact in the state (the region has stored its registers), then do what the interpreter does.
 */

import { FunctionEmitter } from '../../../wasm/function.js';
import type { FunctionType } from '../../../wasm/module.js';
import { I32, I64, type ValueType } from '../../../wasm/opcodes.js';
import { S, SCRATCH_DATA } from '../../state.js';
import { IMPORT_INDEX } from '../host-imports.js';

/** (record, linear address or offset in the segment, size | kind << 8, segment's address or 0, left, flag kind, A, B, result). */
const ACCESS_PARAMS: readonly ValueType[] = [I32, I64, I32, I32, I32, I32, I64, I64, I64];

export const SLOW_IMPORTS = {
  /** S.flagsAux of a kind of flags: (kind, A, B, result). */
  flagsAux: { params: [I32, I64, I64, I64], results: [I64] },
  /** -> the address, or 0: return */
  slowAccess: { params: ACCESS_PARAMS, results: [I32] },
  /** (as slowAccess, value) -> STORED, STORED_LEAVE, or 0: return */
  slowStore: { params: [...ACCESS_PARAMS, I64], results: [I32] },
} as const satisfies Record<string, FunctionType>;
export type SlowImport = keyof typeof SLOW_IMPORTS;
/** The value is stored; and the region is to be left behind the instruction. */
export const STORED = 1, STORED_LEAVE = 2;

const [RECORD, LINEAR, PACKED, SEGMENT, LEFT, KIND, A, B, RESULT, VALUE] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9];

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

/** @param access index of `slowAccess` */
export function slowStore(access: number): FunctionEmitter {
  const f = new FunctionEmitter(SLOW_IMPORTS.slowStore.params);
  const address = f.local(I32);
  for (let p = RECORD; p <= RESULT; p++) f.get(p);
  f.call(access).tee(address).op('i32.eqz').if().i32(0).op('return').end();
  for (const [bytes, op] of [[1, 'i64.store8'], [2, 'i64.store16'], [4, 'i64.store32'], [8, 'i64.store']] as const) {
    f.get(PACKED).i32(0xff).op('i32.and').i32(bytes).op('i32.eq').if();
    f.get(address).get(VALUE).mem(op, 0).end();
  }
  f.get(address).i32(SCRATCH_DATA).op('i32.eq').if().get(RECORD).call(IMPORT_INDEX.commit).op('drop').end();
  f.i32(STORED_LEAVE).i32(STORED).i32(0).mem('i32.load', S.leaveRegion).op('select');
  return f;
}
