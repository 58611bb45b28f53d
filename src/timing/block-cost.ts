/**
 * The static cost of a straight run of instructions: what the core needs for it when everything is in the first-level cache and
 * every branch is predicted.
 *
 * An idealised out-of-order core executes the run: `width` instructions enter a cycle, each starts when its registers, its flags
 * and a unit are ready, results come after the class's latency, and at most `width` leave in order a cycle; the window bounds
 * how far entering may run ahead of leaving. The cost of an instruction is how much later it leaves than the one before.
 *  - Instructions that a branch goes back over are a loop: it is executed until it has settled, so that dependences from one
 *    pass to the next count (a pointer chase costs the load latency, a sum of independent loads does not).
 *  - All others are executed once, and latencies that the window can hide behind the code that follows are not charged.
 *
 * Costs are whole cycles and 0 for all but one of instructions that leave together. Invariant: every branch that may go back
 * costs at least 1, so that no sequence of instructions runs forever in no time.
 *
 * Deviations: compare and branch are not fused; no limits of fetch and decode beyond `width`; partial registers are whole ones.
 */

import { FlowControl, InstructionInfoFactory, Mnemonic as M, OpAccess, OpKind, Register, RegisterExt, RflagsBits, type Instruction } from 'iced-x86';
import { PIPELINED, costClass, type PipelinedClass } from './cost-classes.js';
import { HINT_CALL, HINT_DEPENDENT, HINT_RETURN } from './emit.js';
import type { TimingProfile } from './profile.js';

const UNITS = ['alu', 'multiply', 'branch', 'fp_add', 'fp_multiply', 'vector', 'load', 'store'] as const;
type Unit = (typeof UNITS)[number];

/** One instruction, as the scheduler sees it. */
interface Step {
  /** -1 for a serial class. */
  readonly unit: number;
  readonly latency: number;
  readonly address: readonly number[];
  readonly sources: readonly number[];
  readonly results: readonly number[];
  readonly loads: boolean;
  readonly stores: boolean;
}

const NEXT = 0, CONDITIONAL = 1, ALWAYS = 2, OTHER = 3;

/** Of instructions that differ in displacements and extended immediates alone, what their price depends on. */
export interface TimedInstruction {
  readonly step: Step;
  /** Bytes. */
  readonly length: number;
  readonly flow: typeof NEXT | typeof CONDITIONAL | typeof ALWAYS | typeof OTHER;
  /** HINT_CALL or HINT_RETURN. */
  readonly hint: number;
  /** Near relative branches: bits that the target is cut to. Else 0. */
  readonly width: number;
}

/** Register numbers of the scheduler: iced's full registers, and one for all status flags. */
const FLAGS = 0;
const REGISTERS = 256;

const MOVES: ReadonlySet<number> = new Set([
  M.Mov, M.Movzx, M.Movsx, M.Movsxd, M.Movaps, M.Movups, M.Movapd, M.Movupd, M.Movdqa, M.Movdqu, M.Movq, M.Movd, M.Movss, M.Movsd, M.Push, M.Pop, M.Nop,
]);
const STACK: ReadonlySet<number> = new Set([M.Push, M.Pop, M.Call, M.Ret]);
const RING = 4096;

const LOOP_PASSES = 24, SETTLED = 8;

export class BlockCost {
  private readonly info = new InstructionInfoFactory();
  private readonly units: readonly number[];
  private readonly width: number;
  private readonly window: number;
  private readonly slack: number;
  private readonly loadLatency: number;

  // The core being executed.
  private readonly ready = new Int32Array(REGISTERS);
  /** The register's value came from a recent load. */
  private readonly loaded = new Uint8Array(REGISTERS);
  private readonly busy = new Uint8Array(UNITS.length * RING);
  private readonly busyCycle = new Int32Array(UNITS.length * RING).fill(-1);
  /** The latest cycle in `busyCycle` since it was emptied. */
  private lastTaken = 0;
  private readonly leaving: Int32Array;
  private entered = 0;
  private enterCycle = 0;
  private enterCount = 0;
  private leaveCycle = 0;
  private leaveCount = 0;

  constructor(private readonly p: TimingProfile) {
    const f = p.figures;
    this.units = UNITS.map((u) => f[`core.units.${u}`]);
    this.width = f['core.width'];
    this.window = f['core.window'];
    this.slack = Math.floor(this.window / this.width);
    this.loadLatency = f['cache.l1d.latency'];
    this.leaving = new Int32Array(this.window);
  }

  /** Names the figures that costs depend on. */
  get prices(): string {
    return (this.name ??= JSON.stringify([this.units, this.width, this.window, this.loadLatency, this.p.costs]));
  }
  private name: string | undefined;

  /** What is priced of an instruction, wherever it lies. */
  timed(i: Instruction): TimedInstruction {
    const { flowControl: flow, op0Kind } = i;
    const width = op0Kind === OpKind.NearBranch16 ? 16 : op0Kind === OpKind.NearBranch32 ? 32 : op0Kind === OpKind.NearBranch64 ? 64 : 0;
    return {
      step: this.step(i), length: i.length, hint: flowHint(i, flow), width,
      flow: flow === FlowControl.Next ? NEXT : flow === FlowControl.ConditionalBranch ? CONDITIONAL : flow === FlowControl.UnconditionalBranch ? ALWAYS : OTHER,
    };
  }

  /**
   * Prices a straight run, in the order of execution.
   * @param at offset of each instruction in its page, @param ways of near relative branches, from the next instruction to the target
   * @param costs receives cycles, @param hints HINT_* bits, one element an instruction
   */
  schedule(run: readonly TimedInstruction[], at: readonly number[], ways: readonly number[], costs: Uint16Array, hints: Uint8Array): void {
    for (let n = 0; n < run.length; n++) hints[n] = run[n]!.hint;
    let from = 0;
    for (const [first, last] of loops(run, at, ways)) {
      this.straight(run, from, first, costs, hints);
      this.loop(run, first, last, costs, hints);
      from = last + 1;
    }
    this.straight(run, from, run.length, costs, hints);
    for (let n = 0, block = 0; n < run.length; n++) {
      const i = run[n]!;
      if (i.flow === NEXT) continue;
      if (costs[n] === 0 && (i.flow !== CONDITIONAL || targetOf(i, at[n]!, ways[n]!) <= at[n]!)) anchor(run, block, n, costs);
      block = n + 1;
    }
  }

  private straight(run: readonly TimedInstruction[], from: number, to: number, costs: Uint16Array, hints: Uint8Array): void {
    this.reset();
    let before = 0;
    for (let n = from; n < to; n++) {
      const left = this.execute(run[n]!.step, hints, n);
      const { step } = run[n]!;
      if (step.unit < 0) {
        // What comes before is complete, what follows begins anew.
        costs[n] = Math.min(step.latency, 0xffff);
        this.reset();
        before = 0;
        continue;
      }
      // What the window hides is left out, entering is not.
      const at = Math.max(before, this.enterCycle + 1, left - this.slack);
      costs[n] = Math.min(at - before, 0xffff);
      before = at;
    }
  }

  private loop(run: readonly TimedInstruction[], from: number, last: number, costs: Uint16Array, hints: Uint8Array): void {
    this.reset();
    let settledAt = 0;
    for (let pass = 0; pass < LOOP_PASSES; pass++) {
      let before = this.leaveCycle, sum = 0;
      if (pass === LOOP_PASSES - SETTLED) settledAt = before;
      for (let n = from; n <= last; n++) {
        const left = this.execute(run[n]!.step, hints, n);
        sum += costs[n] = Math.min(left - before, 0xffff);
        before = left;
      }
      // A pass may take a fraction of a cycle more or less than another: the last instruction takes the difference.
      if (pass === LOOP_PASSES - 1) {
        const mean = Math.max(1, Math.round((this.leaveCycle - settledAt) / SETTLED));
        for (let n = last, over = sum - mean; n >= from && over !== 0; n--) {
          const c = Math.max(0, costs[n]! - over);
          over -= costs[n]! - c;
          costs[n] = c;
        }
      }
    }
  }

  /** Executes one instruction: the cycle in which it leaves. */
  private execute(s: Step, hints: Uint8Array, n: number): number {
    if (s.unit < 0) {
      const done = Math.max(this.leaveCycle, this.enterCycle) + s.latency;
      this.ready.fill(done);
      this.loaded.fill(0);
      this.enterCycle = this.leaveCycle = done;
      this.enterCount = this.leaveCount = this.width; // nothing shares its cycle
      this.entered = 0;
      this.leaving.fill(done);
      return done;
    }
    let start = this.enter();
    let fromLoad = 0;
    if (s.loads || s.stores) {
      let at = start;
      for (const r of s.address) {
        at = Math.max(at, this.ready[r]!);
        if (s.loads) fromLoad |= this.loaded[r]!;
      }
      if (s.loads) {
        if (fromLoad !== 0) hints[n]! |= HINT_DEPENDENT;
        start = this.take(6, at) + this.loadLatency;
      }
    }
    fromLoad = s.loads ? 1 : 0;
    for (const r of s.sources) {
      start = Math.max(start, this.ready[r]!);
      fromLoad |= this.loaded[r]!;
    }
    let done = s.latency === 0 ? start : this.take(s.unit, start) + s.latency;
    for (const r of s.results) {
      this.ready[r] = done;
      this.loaded[r] = r === FLAGS ? 0 : fromLoad;
    }
    if (s.stores) done = Math.max(done, this.take(7, done));
    return this.leave(done);
  }

  private enter(): number {
    const room = this.leaving[this.entered % this.window]!; // when the one `window` before left
    if (this.enterCount === this.width || room > this.enterCycle) {
      this.enterCycle = Math.max(this.enterCycle + (this.enterCount === this.width ? 1 : 0), room);
      this.enterCount = 0;
    }
    this.enterCount++;
    return this.enterCycle;
  }

  private leave(done: number): number {
    if (done > this.leaveCycle) {
      this.leaveCycle = done;
      this.leaveCount = 1;
    } else if (this.leaveCount++ === this.width) {
      this.leaveCycle++;
      this.leaveCount = 1;
    }
    this.leaving[this.entered++ % this.window] = this.leaveCycle;
    return this.leaveCycle;
  }

  /** First cycle from `at` on with a free unit; takes it. */
  private take(unit: number, at: number): number {
    for (let c = at; ; c++) {
      const slot = unit * RING + (c & (RING - 1));
      if (this.busyCycle[slot] !== c) {
        this.busyCycle[slot] = c;
        if (c > this.lastTaken) this.lastTaken = c;
        this.busy[slot] = 0;
      }
      if (this.busy[slot]! < this.units[unit]!) {
        this.busy[slot]!++;
        return c;
      }
    }
  }

  private reset(): void {
    this.ready.fill(0);
    this.loaded.fill(0);
    // Only what has been taken since the last time: a run takes some cycles of thousands.
    const taken = Math.min(this.lastTaken + 1, RING);
    for (let u = 0; u < UNITS.length; u++) this.busyCycle.fill(-1, u * RING, u * RING + taken);
    this.lastTaken = 0;
    this.leaving.fill(0);
    this.entered = this.enterCycle = this.enterCount = this.leaveCycle = this.leaveCount = 0;
  }

  private step(i: Instruction): Step {
    const c = costClass(i);
    if (!(c in PIPELINED)) return { unit: -1, latency: Math.round(this.p.costs[c]), address: [], sources: [], results: [], loads: false, stores: false };
    const info = this.info.info(i);
    const sources: number[] = [], results: number[] = [], address: number[] = [];
    let loads = false, stores = false;
    for (const m of info.usedMemory()) {
      const a = m.access;
      if (a === OpAccess.Read || a === OpAccess.CondRead || a === OpAccess.ReadWrite || a === OpAccess.ReadCondWrite) loads = true;
      if (a === OpAccess.Write || a === OpAccess.CondWrite || a === OpAccess.ReadWrite || a === OpAccess.ReadCondWrite) stores = true;
      for (const r of [m.base, m.index]) if (r !== Register.None && r !== Register.RIP) address.push(RegisterExt.fullRegister(r));
      m.free();
    }
    const stack = STACK.has(i.mnemonic);
    for (const u of info.usedRegisters()) {
      const r = RegisterExt.fullRegister(u.register), a = u.access;
      u.free();
      if (stack && r === Register.RSP) continue; // the stack engine keeps it ready
      if (a !== OpAccess.Write && !(address.includes(r) && !readsAsOperand(i, r))) sources.push(r);
      if (a !== OpAccess.Read && a !== OpAccess.CondRead) results.push(r);
    }
    info.free();
    if ((i.rflagsRead & STATUS) !== 0) sources.push(FLAGS);
    if ((i.rflagsModified & STATUS) !== 0) results.push(FLAGS);
    const moveOnly = MOVES.has(i.mnemonic) && (loads || stores);
    const unit = UNITS.indexOf(PIPELINED[c as PipelinedClass] as Unit);
    return { unit, latency: moveOnly ? 0 : Math.round(this.p.costs[c]), address, sources, results, loads, stores };
  }
}

const STATUS = RflagsBits.CF | RflagsBits.PF | RflagsBits.AF | RflagsBits.ZF | RflagsBits.SF | RflagsBits.OF;

/** Is the register (or a part of it) an operand of its own, besides being part of an address? */
function readsAsOperand(i: Instruction, full: number): boolean {
  for (let n = 0; n < i.opCount; n++) if (i.opKind(n) === OpKind.Register && RegisterExt.fullRegister(i.opRegister(n)) === full) return true;
  return false;
}

/** Where a near branch at an offset goes, as the 64-bit number that its mode cuts it to; 0 for other instructions. */
function targetOf({ width, length }: TimedInstruction, at: number, way: number): number {
  if (width === 0) return 0;
  const target = at + length + way;
  return width === 16 ? target & 0xffff : width === 32 ? target >>> 0 : target < 0 ? 2 ** 64 + target : target;
}

/** Gives the branch at `n` a cycle of its block, which begins at `from`; one of its own when the block has none to give. */
function anchor(run: readonly TimedInstruction[], from: number, n: number, costs: Uint16Array): void {
  costs[n] = 1;
  for (let k = n - 1; k >= from; k--)
    if (costs[k]! > 0 && run[k]!.step.unit >= 0) {
      costs[k]!--;
      return;
    }
}

/** The innermost loops of a run, in order: first and last instruction of each. They do not overlap. */
function loops(run: readonly TimedInstruction[], at: readonly number[], ways: readonly number[]): [number, number][] {
  const out: [number, number][] = [];
  for (let n = 0, from = 0; n < run.length; n++) {
    const i = run[n]!;
    if (i.flow !== CONDITIONAL && i.flow !== ALWAYS) continue;
    const target = targetOf(i, at[n]!, ways[n]!);
    if (target > at[n]!) continue;
    const first = at.indexOf(target);
    if (first < from) continue; // outside the run, or around a loop that has been found
    out.push([first, n]);
    from = n + 1;
  }
  return out;
}

function flowHint(i: Instruction, f: number): number {
  if (f === FlowControl.Return) return HINT_RETURN;
  return i.mnemonic === M.Call && (f === FlowControl.Call || f === FlowControl.IndirectCall) ? HINT_CALL : 0;
}
