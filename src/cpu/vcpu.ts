/**
 * One virtual processor: the run loop.
 *
 * The loop delivers what is pending, looks at events (pending-events.ts), then lets a chain of records run until something leaves: a
 * helper, a fault, an instruction that is not decoded, or the end of the slice. Interrupts are looked at where blocks end. How a run
 * stops in the middle of a block: exact-run.ts.
 *
 * Invariant: every pass of the loop takes at least one cycle, so that no guest can stop time.
 */

import { STEP_RECORD } from './engine/code-cache.js';
import { R, RECORD_BYTES, RF_SAME_PAGE } from './engine/record.js';
import { GUEST_EVENT } from './events.js';
import { ExactRun } from './exact-run.js';
import { handleEvents } from './pending-events.js';
import { PROBE } from './ports.js';
import { ACTIVITY, S, STATE_BASE_WORD, STATE_BYTES, TF } from './state.js';
import { afterInstruction, beginInstruction, debugStepNeeded } from './system/debug.js';
import { deliverPending } from './system/delivery.js';
import { resetState } from './system/reset.js';

/** Why `run` returned. `limit`, `breakpoint`: the goal of the run is reached, or the next instruction has a breakpoint; the slice can go on. `stopped`: something is not implemented; `stopReason` says what and where. */
export type VcpuExit = 'slice' | 'limit' | 'breakpoint' | 'halt' | 'shutdown' | 'wait-for-sipi' | 'stopped';

export class Vcpu extends ExactRun {
  /** Instructions retired since power-on, up to the last return of `run`. */
  instructions = 0;

  private readonly store = new Uint8Array(STATE_BYTES);

  // ---- being the current one

  /** Brings this vCPU's state into the window. */
  activate(): void {
    const { engine } = this;
    if (engine.current === this) return;
    (engine.current as Vcpu | undefined)?.s.save((engine.current as Vcpu).store);
    this.s.restore(this.store);
    engine.current = this;
    this.modeChanged();
  }
  /** A copy of the state's window (STATE_BYTES), whichever vCPU is in it; changes nothing. `CpuState.copyOf` reads it. */
  copyState(): Uint8Array {
    const out = new Uint8Array(STATE_BYTES);
    if (this.engine.current === this) this.s.save(out);
    else out.set(this.store);
    return out;
  }
  /** This vCPU's state, in the window or not, as 32-bit words from STATE_BASE on. Only to look at. */
  stateWords(): Int32Array {
    if (this.engine.current === this) return this.m.i32.subarray(STATE_BASE_WORD, STATE_BASE_WORD + STATE_BYTES / 4);
    return new Int32Array(this.store.buffer, 0, STATE_BYTES / 4);
  }
  /** Power-on or RESET# state; `bootstrap` processors start at the reset vector, others wait for a SIPI. */
  reset(bootstrap = this.id === 0): void {
    this.activate();
    this.addressSpaceTag = 0;
    this.nmiPending = this.initPending = false;
    this.sipiVector = -1;
    this.virt?.reset?.(this);
    resetState(this, bootstrap);
    this.s.set32(S.activity, bootstrap ? ACTIVITY.active : ACTIVITY.waitForSipi);
    this.modeChanged();
  }

  // ---- the run loop

  /**
   * Runs a slice: until `maxCycles` have passed (or a few more: a block is not cut), or something else ends it.
   * @param start cycles since power-on at which the slice begins
   */
  run(start: number, maxCycles: number): VcpuExit {
    this.begin(start, maxCycles);
    return this.go();
  }
  /** Begins a slice, without running. */
  begin(start: number, maxCycles: number): void {
    this.activate();
    const { m } = this;
    m.view.setFloat64(S.sliceStart, start, true);
    m.i32[S.sliceBudget >>> 2] = m.i32[S.left >>> 2] = maxCycles;
  }
  /** Goes on with the slice until it ends, or until the goal is reached (`limit`): then it may be called again. */
  go(): VcpuExit {
    this.activate();
    const { m } = this, { control } = this.engine;
    m.u32[S.retired >>> 2] = 0;
    this.counted = this.elapsed;
    this.charged = 0;
    control.running = true;
    this.awaitLook();
    const exit = this.loop();
    this.noteLook();
    control.running = false;
    const retired = this.live;
    this.instructions += retired;
    control.retired += retired;
    m.u32[S.retired >>> 2] = 0;
    this.counted = this.elapsed;
    this.charged = 0;
    return exit;
  }
  override kick(): void {
    this.activate();
    super.kick();
  }

  private loop(): VcpuExit {
    const { m, s } = this, { control, breakpoints } = this.engine;
    for (;;) {
      const mid = m.u32[S.midBlock >>> 2] !== 0;
      if (!mid && this.left <= 0) break;
      if (this.stopReason !== undefined) return 'stopped';
      if (breakpoints.any && this.onBreakpoint() && this.m.u32[S.activity >>> 2] === ACTIVITY.active && this.m.u32[S.pending >>> 2] === 0) return 'breakpoint';
      if ((control.bounded || control.stopWanted) && (mid || this.acts()) && control.reached(this.total, this.now())) return 'limit';
      try {
        if (mid) this.resume();
        else if (s.get32(S.pending) !== 0) {
          this.exited = true;
          this.charge(1);
          deliverPending(this);
        } else if (handleEvents(this)) this.exited = true;
        else {
          const activity = m.u32[S.activity >>> 2]!;
          if (activity !== ACTIVITY.active) return activity === ACTIVITY.hlt ? 'halt' : activity === ACTIVITY.shutdown ? 'shutdown' : 'wait-for-sipi';
          const shadow = m.u32[S.interruptShadow >>> 2]!;
          if (shadow !== 0 || debugStepNeeded(this) || (this.inGuest && this.virt?.singleStep === true)) this.step();
          else {
            if (this.inGuest) this.cutToDeadline();
            const record = this.fetch();
            if (record !== 0) this.chain(record, true);
          }
        }
      } catch (e) {
        if (e !== GUEST_EVENT) throw e;
        if (s.get32(S.pending) === 0) this.exited = true;
      }
      if (this.exited) {
        this.exited = false;
        control.event(this.total);
      }
    }
    return this.stopReason === undefined ? 'slice' : 'stopped';
  }
  /** Is there an instruction or an event that would be next? False while the processor halts and nothing could wake it now. */
  private acts(): boolean {
    const activity = this.m.u32[S.activity >>> 2]!;
    if (activity === ACTIVITY.active || this.m.u32[S.pending >>> 2] !== 0 || this.m.u32[S.pendingDebug >>> 2] !== 0) return true;
    if (this.nmiPending || this.initPending || this.sipiVector >= 0 || this.inGuest) return true;
    return activity === ACTIVITY.hlt && this.platform.interruptPending(this);
  }

  /** Ends the slice at the extension's deadline (VMX-preemption timer) if that comes first. */
  private cutToDeadline(): void {
    const deadline = this.virt?.deadline ?? Infinity;
    if (deadline === Infinity) return;
    const spare = this.left - Math.max(1, Math.ceil(deadline - this.now()));
    if (spare <= 0) return;
    const { i32 } = this.m;
    i32[S.sliceBudget >>> 2]! -= spare;
    i32[S.left >>> 2]! -= spare;
  }

  /** Executes exactly one instruction, then takes the traps that follow it. */
  private step(): void {
    const { m } = this;
    const single = this.inGuest && this.virt?.singleStep === true;
    if (beginInstruction(this)) return;
    const record = this.fetch();
    if (record === 0) return;
    m.u32[S.shadowArmed >>> 2] = 0;
    const stepped = (this.s.get32(S.rflagsRest) & TF) !== 0;
    const guest = m.u32[S.guest >>> 2]!;
    m.u8.copyWithin(STEP_RECORD, record, record + RECORD_BYTES);
    m.u32[STEP_RECORD >>> 2] = this.engine.handlerOf(record);
    if ((m.u8[record + R.flags]! & RF_SAME_PAGE) !== 0) {
      // The copy must not link itself: records link to targets in their own page.
      m.u8[STEP_RECORD + R.flags]! &= ~RF_SAME_PAGE;
      m.u32[(STEP_RECORD + R.target) >>> 2] = 0;
    }
    // A branch that costs nothing would not end the step.
    if (m.u16[(STEP_RECORD + R.cost) >>> 1] === 0) m.u16[(STEP_RECORD + R.cost) >>> 1] = 1;
    this.stopAfter(m.u16[(record + R.off) >>> 1]! + m.u8[record + R.len]!);
    this.enterOne();
    // A fault or VM exit is not the end of an instruction, and a VM entry belongs to the other side's flags.
    if (m.u32[S.pending >>> 2] !== 0 || m.u32[S.guest >>> 2] !== guest) return;
    if (single) this.virt?.stepped?.(this);
    afterInstruction(this, stepped);
    if (m.u32[S.shadowArmed >>> 2] === 0) m.u32[S.interruptShadow >>> 2] = 0;
  }
  /** Runs the step record with a budget of one cycle, so that a taken branch leaves too; time stays right. */
  private enterOne(): void {
    const { i32 } = this.m;
    const spare = this.left - 1;
    i32[S.sliceBudget >>> 2]! -= spare;
    i32[S.left >>> 2] = 1;
    this.engine.handlers.enter(STEP_RECORD, 1);
    i32[S.sliceBudget >>> 2]! += spare;
    i32[S.left >>> 2]! += spare;
    i32[S.leftBy >>> 2] = 0;
  }

  /** Reports the skipped time of HLT to the probe. */
  skipped(now: number, cycles: number): void {
    if (this.probe.active) this.probe.emit(PROBE.halt, now, this.id, cycles, 0, 0, 0);
  }
}
