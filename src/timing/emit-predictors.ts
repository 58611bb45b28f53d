/**
 * The emitted predictors of the timing core: `branch` and `jump` (emit.ts says what they are given). Compiled code has direct branches,
 * calls and returns inline (cpu/engine/regions/region-timing.ts): the same tables in the same order.
 */

import { FunctionEmitter } from '../wasm/function.js';
import type { ModuleBuilder } from '../wasm/module.js';
import { I32 } from '../wasm/opcodes.js';
import { BRANCH_ALWAYS, HINT_CALL, HINT_RETURN } from './emit-constants.js';
import { count, currentBlock } from './emit-pieces.js';
import { F, type TimingLayout } from './layout.js';
import type { TimingProfile } from './profile.js';

/** Adds both functions to the module. */
export function addPredictors(module: ModuleBuilder, p: TimingProfile, l: TimingLayout): void {
  const emitter = new Predictors(module, p, l);
  emitter.emitBranch();
  emitter.emitJump();
}

class Predictors {
  constructor(
    private readonly module: ModuleBuilder,
    private readonly p: TimingProfile,
    private readonly l: TimingLayout,
  ) {}

  /** Pushes the return address in local `next` when `hint` says that the instruction is a call. */
  private pushReturn(f: FunctionEmitter, block: number, next: number, hint: number): void {
    const top = f.local(I32), n = this.p.figures['predictor.returns'];
    f.get(hint).i32(HINT_CALL).op('i32.and').if();
    f.get(block).get(block).mem('i32.load', F.returnTop).i32(1).op('i32.add').i32(n).op('i32.rem_u').tee(top).mem('i32.store', F.returnTop);
    f.get(top).i32(4).op('i32.mul').get(block).op('i32.add').get(next).mem('i32.store', this.l.returns).end();
  }
  /** Mixes the value on the stack into the path history. */
  private addToPath(f: FunctionEmitter, block: number, push: () => void): void {
    f.get(block).get(block).mem('i32.load', F.path).i32(3).op('i32.shl');
    push();
    f.op('i32.xor').mem('i32.store', F.path);
  }
  private mispredicted(f: FunctionEmitter, block: number): void {
    count(f, block, 'mispredicts');
    f.i32(this.p.figures['core.mispredict']).op('return');
  }

  /** Direction: two-bit counters chosen by branch address and global history (gshare). */
  emitBranch(): void {
    const fig = this.p.figures;
    const f = new FunctionEmitter([I32, I32, I32, I32]), block = currentBlock(f), at = f.local(I32), counter = f.local(I32);
    f.get(1).i32(BRANCH_ALWAYS).op('i32.eq').if();
    this.pushReturn(f, block, 2, 3);
    f.get(3).i32(HINT_CALL).op('i32.and').if();
    this.addToPath(f, block, () => void f.get(2));
    f.end().i32(0).op('return').end();
    f.get(0).get(0).i32(6).op('i32.shr_u').op('i32.xor').get(block).mem('i32.load', F.history).op('i32.xor').i32(fig['predictor.counters'] - 1).op('i32.and').get(block).op('i32.add').tee(at);
    f.mem('i32.load8_u', this.l.counters).set(counter);
    f.get(block).get(block).mem('i32.load', F.history).i32(1).op('i32.shl').get(1).op('i32.or').i32(2 ** fig['predictor.history'] - 1).op('i32.and').mem('i32.store', F.history);
    // New counter: one up when taken, to 3; one down when not, to 0. Counters begin at 1.
    f.get(at).get(counter);
    f.get(1).get(counter).i32(3).op('i32.lt_u').op('i32.and').op('i32.add');
    f.get(1).op('i32.eqz').get(counter).i32(0).op('i32.gt_u').op('i32.and').op('i32.sub').mem('i32.store8', this.l.counters);
    f.get(counter).i32(1).op('i32.shr_u').get(1).op('i32.ne').if();
    this.mispredicted(f, block);
    f.end().i32(0);
    this.module.add(f, [I32], 'branch');
  }

  /** Targets: the return stack for returns, else a table indexed by branch address and path. */
  emitJump(): void {
    const fig = this.p.figures, n = fig['predictor.returns'];
    const f = new FunctionEmitter([I32, I32, I32, I32]), block = currentBlock(f), at = f.local(I32), guess = f.local(I32);
    f.get(3).i32(HINT_RETURN).op('i32.and').if();
    f.get(block).mem('i32.load', F.returnTop).tee(at).i32(4).op('i32.mul').get(block).op('i32.add').mem('i32.load', this.l.returns).set(guess);
    f.get(block).get(at).i32(n - 1).op('i32.add').i32(n).op('i32.rem_u').mem('i32.store', F.returnTop);
    f.op('else');
    this.pushReturn(f, block, 2, 3);
    f.get(0).get(0).i32(6).op('i32.shr_u').op('i32.xor').get(block).mem('i32.load', F.path).op('i32.xor').i32(fig['predictor.targets'] - 1).op('i32.and').i32(4).op('i32.mul').get(block).op('i32.add').tee(at);
    f.mem('i32.load', this.l.targets).set(guess);
    f.get(at).get(1).mem('i32.store', this.l.targets);
    this.addToPath(f, block, () => void f.get(1));
    f.end();
    f.get(guess).get(1).op('i32.ne').if();
    this.mispredicted(f, block);
    f.end().i32(0);
    this.module.add(f, [I32], 'jump');
  }
}
