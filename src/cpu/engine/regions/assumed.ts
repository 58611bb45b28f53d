/**
 * What a region takes for granted of the state: it held when the region was compiled, and is looked at where the region is entered and
 * behind each helper that could change it. Where it does not hold, the interpreter does the work.
 */

import type { FunctionEmitter } from '../../../wasm/function.js';
import { S } from '../../state.js';

export interface Assumed {
  /** Outside 64-bit mode: segments (bits by number) that are flat; bit 6: the stack is 32 bits wide, too. */
  readonly flat: number;
  /** State fields of 32 bits that are zero. */
  readonly zero: ReadonlySet<number>;
}

/** Puts on the wasm stack: something that is assumed does not hold. False: nothing is assumed, and nothing put there. */
export function pushNotAssumed(f: FunctionEmitter, { flat, zero }: Assumed): boolean {
  let any = flat !== 0;
  if (any) f.i32(0).mem('i32.load', S.flatSegments).i32(flat).op('i32.and').i32(flat).op('i32.ne');
  for (const field of zero) {
    f.i32(0).mem('i32.load', field);
    if (any) f.op('i32.or');
    any = true;
  }
  return any;
}
