/**
 * Copies and fills of stretches of the linear memory, as wasm code. Short ones are a few loads and stores; from CALL_WORTH bytes on
 * the host's memmove and memset are faster, which wasm engines call as functions.
 */

import type { FunctionEmitter } from '../../wasm/function.js';
import { I32 } from '../../wasm/opcodes.js';

const CALL_WORTH = 192;

type Bytes = 16 | 8 | 4 | 2 | 1;
const LOAD = { 8: 'i64.load', 4: 'i32.load', 2: 'i32.load16_u', 1: 'i32.load8_u' } as const;
const STORE = { 8: 'i64.store', 4: 'i32.store', 2: 'i32.store16', 1: 'i32.store8' } as const;
function load(f: FunctionEmitter, n: Bytes): void {
  if (n === 16) f.memV128('v128.load', 0);
  else f.mem(LOAD[n], 0);
}
function store(f: FunctionEmitter, n: Bytes): void {
  if (n === 16) f.memV128('v128.store', 0);
  else f.mem(STORE[n], 0);
}

/** Calls `piece` for sixteen bytes in a loop, then for 8, 4, 2 and 1 where the rest of local `left` has them; `piece` advances. */
function pieces(f: FunctionEmitter, left: number, piece: (n: Bytes) => void): void {
  f.block().loop().get(left).i32(16).op('i32.lt_u').brIf(1);
  piece(16);
  f.get(left).i32(16).op('i32.sub').set(left).br(0).end().end();
  f.get(left).if();
  for (const n of [8, 4, 2, 1] as const) {
    f.get(left).i32(n).op('i32.and').if();
    piece(n);
    f.end();
  }
  f.end();
}
const advance = (f: FunctionEmitter, local: number, n: number): FunctionEmitter => f.get(local).i32(n).op('i32.add').set(local);

/** Copies from low to high addresses; locals, of which `to` and `from` are changed. */
export function copyBytes(f: FunctionEmitter, to: number, from: number, bytes: number): void {
  const left = f.local(I32);
  f.get(bytes).i32(CALL_WORTH).op('i32.gt_u').if();
  f.get(to).get(from).get(bytes).fc('memory.copy').op('else');
  f.get(bytes).set(left);
  pieces(f, left, (n) => {
    f.get(to).get(from);
    load(f, n);
    store(f, n);
    advance(f, to, n);
    advance(f, from, n);
  });
  f.end();
}

/** Continues at `to` what lies in the `distance` (at least 1) bytes below it, over and over, for `bytes` (at least 1); locals, `to` is changed. */
export function repeatBytes(f: FunctionEmitter, to: number, distance: number, bytes: number): void {
  const from = f.local(I32), end = f.local(I32), n = f.local(I32), left = f.local(I32);
  f.get(to).get(bytes).op('i32.add').set(end).get(to).get(distance).op('i32.sub').set(from).loop();
  // Between `from` and `to` lies a whole number of periods: all of it may be copied at once, and then there is twice as much.
  f.get(to).get(from).op('i32.sub').tee(n).get(end).get(to).op('i32.sub').tee(left).get(n).get(left).op('i32.lt_u').op('select').set(n);
  f.get(to).get(from).get(n).fc('memory.copy');
  f.get(to).get(n).op('i32.add').tee(to).get(end).op('i32.lt_u').brIf(0).end();
}

/** Fills with the v128 in local `pattern`, from its low end on; `to` is changed. */
export function fillBytes(f: FunctionEmitter, to: number, pattern: number, bytes: number): void {
  const byte = f.local(I32), left = f.local(I32);
  f.get(pattern).simd('i8x16.extract_lane_u').byte(0);
  f.set(byte).get(bytes).i32(CALL_WORTH).op('i32.gt_u').get(pattern).get(byte).simd('i8x16.splat').simd('i8x16.eq').simd('i8x16.all_true').op('i32.and').if();
  f.get(to).get(byte).get(bytes).fc('memory.fill').op('else');
  f.get(bytes).set(left);
  pieces(f, left, (n) => {
    f.get(to).get(pattern);
    if (n !== 16) f.simd(n === 8 ? 'i64x2.extract_lane' : 'i32x4.extract_lane').byte(0);
    store(f, n);
    advance(f, to, n);
  });
  f.end();
}
