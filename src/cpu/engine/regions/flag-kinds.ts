/**
 * How a region holds the status flags: the result (as in `S.flagsRes`), a kind, and two operands, from which `S.flagsAux` follows.
 * Most flags are overwritten before anybody looks, so the operands are only remembered; comparisons are recognised by them.
 */

import { FunctionEmitter } from '../../../wasm/function.js';
import { I32, I64 } from '../../../wasm/opcodes.js';

/** Kinds: `generic`, or an operation with log2(width / 8) added. */
export const KIND = {
  generic: 0, // A = S.flagsAux
  add: 4, // A, B = operands of an addition, zero-extended
  sub: 8, // A, B = operands of a subtraction
  carries: 12, // A = vector of carries
  keep: 16, // A = vector of carries, B = CF from before (0 or 1)
} as const;
/** Which kind holds is not known while compiling: the kind's local says it. */
export const UNKNOWN = -1;
/** The kind is generic and A is known to be 0: after AND, OR, XOR, TEST. */
export const LOGIC = -2;

export const kindOf = (operation: 'add' | 'sub' | 'carries' | 'keep', width: number): number => KIND[operation] + { 8: 0, 16: 1, 32: 2, 64: 3 }[width]!;
export const operationOf = (kind: number): number => kind & ~3;
export const widthOf = (kind: number): 8 | 16 | 32 | 64 => (8 << (kind & 3)) as 8;

/** Puts S.flagsAux on the wasm stack. @param width of the operation @param a, b, r locals */
export function emitAux(f: FunctionEmitter, operation: number, width: number, a: number, b: number, r: number, scratch: number): void {
  if (operation === KIND.generic) {
    f.get(a);
    return;
  }
  if (operation === KIND.add) f.get(a).get(b).op('i64.and').get(a).get(b).op('i64.or').get(r).i64(-1n).op('i64.xor').op('i64.and').op('i64.or').set(scratch);
  else if (operation === KIND.sub) {
    f.get(a).i64(-1n).op('i64.xor').get(b).op('i64.and').get(a).i64(-1n).op('i64.xor').get(b).op('i64.or').get(r).op('i64.and').op('i64.or').set(scratch);
  } else f.get(a).set(scratch);
  if (width === 64) f.get(scratch).i64(-8n).op('i64.and');
  else f.get(scratch).i64(BigInt(64 - width)).op('i64.shl').get(scratch).i64(8n).op('i64.and').op('i64.or');
  if (operation !== KIND.keep) return;
  // CF is the old one; bit 62 turns with it, so that OF (their difference) stays the new one.
  f.set(scratch).get(scratch).get(scratch).i64(63n).op('i64.shr_u').get(b).op('i64.xor').i64(3n << 62n).op('i64.mul').op('i64.xor');
}

/** (kind, A, B, result) -> S.flagsAux, for kinds that are not known while compiling. */
export function flagsAuxFunction(): FunctionEmitter {
  const f = new FunctionEmitter([I32, I64, I64, I64]);
  const scratch = f.local(I64);
  for (const operation of [KIND.add, KIND.sub, KIND.carries, KIND.keep])
    for (const [log, width] of [8, 16, 32, 64].entries()) {
      f.get(0).i32(operation + log).op('i32.eq').if();
      emitAux(f, operation, width, 1, 2, 3, scratch);
      f.op('return').end();
    }
  f.get(1);
  return f;
}
