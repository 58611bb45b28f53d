/**
 * Making the machine go on, forwards and back, and finding out why it stopped.
 *
 * vCPUs take turns on one clock, so none can run alone: a step of one lets the others have their turns until it has done an instruction. A VM exit is no
 * border: guest and host are the same vCPU.
 *
 * Forward runs are cut into pieces by the caller (`work`), so that it can listen in between. How they are cut does not change what happens.
 */

import type { Machine } from '../../machine/machine.js';
import type { Catch, Catchpoints } from './catchpoints.js';
import { VcpuContext } from './context.js';
import { comparePositions, type History, type Stop } from '../history.js';

export type Action =
  | { readonly kind: 'continue' }
  | { readonly kind: 'step'; readonly vcpu: number }
  /** Steps while the address is within [from, to). */
  | { readonly kind: 'range'; readonly vcpu: number; readonly from: bigint; readonly to: bigint }
  | { readonly kind: 'back'; readonly vcpu: number }
  | { readonly kind: 'reverse' };

/** Why the machine stands still. */
export type Halt =
  | { readonly kind: 'step' | 'interrupted' | 'beginning'; readonly vcpu: number }
  | { readonly kind: 'catch'; readonly vcpu: number; readonly caught: Catch }
  | { readonly kind: 'breakpoint'; readonly vcpu: number; readonly linear: bigint }
  | { readonly kind: 'watchpoint'; readonly vcpu: number; readonly id: number; readonly linear: bigint }
  /** The run has come to its end; `reason` is of a kind that `Machine.run` gives again and again. */
  | { readonly kind: 'ended'; readonly vcpu: number; readonly reason: Stop };

/** Steps in one call of `work`: bounds the time until a client is heard. */
const STEPS_A_PIECE = 20_000;

export class Resumer {
  private caught: { c: Catch; vcpu: number } | undefined;
  private ended: Stop | undefined;

  constructor(
    private readonly machine: Machine,
    private readonly history: History,
    private readonly catches: Catchpoints,
    /** Do stops at breakpoints and watchpoints not count where this vCPU is? */
    private readonly ignored: (vcpu: number) => boolean,
  ) {}

  /** Set when the run has come to its end and time has not gone back since. */
  get end(): Stop | undefined {
    return this.ended;
  }

  /**
   * Does a piece of an action.
   * @param cycles length of a piece of a long run
   * @returns why it is over, or undefined when there is more of it to do
   */
  work(action: Action, cycles: number): Halt | undefined {
    switch (action.kind) {
      case 'continue': return this.forward(cycles);
      case 'step': return this.steps(action.vcpu, () => false);
      case 'range': return this.steps(action.vcpu, () => {
        const pc = new VcpuContext(this.machine, action.vcpu).state.rip;
        return pc >= action.from && pc < action.to;
      });
      case 'back': return this.back(action.vcpu);
      case 'reverse': return this.reverse();
    }
  }

  // --- forwards -------------------------------------------------------------------------------------------------------------

  private forward(cycles: number): Halt | undefined {
    const { machine } = this;
    this.caught = undefined;
    const disarm = this.catches.arm(machine, (c, vcpu) => {
      this.caught ??= { c, vcpu };
      machine.requestStop();
    });
    try {
      return this.halt(this.history.run({ cycle: machine.cycles + cycles }));
    } finally {
      disarm();
    }
  }

  private steps(vcpu: number, again: () => boolean): Halt | undefined {
    for (let n = 0; n < STEPS_A_PIECE; n++) {
      const turn = this.machine.current;
      const halt = this.halt(this.history.stepOne());
      if (halt !== undefined) return halt;
      if (turn === vcpu && !again()) return { kind: 'step', vcpu };
    }
    return undefined;
  }

  /** What a return of `run` means; undefined: it may go on. */
  private halt(stop: Stop): Halt | undefined {
    const vcpu = this.machine.current;
    switch (stop.kind) {
      case 'limit': return undefined;
      case 'interrupted': {
        const { caught } = this;
        return caught === undefined ? undefined : { kind: 'catch', vcpu: caught.vcpu, caught: caught.c };
      }
      case 'beginning': return { kind: 'beginning', vcpu };
      case 'breakpoint': return this.ignored(stop.vcpu) ? undefined : { kind: 'breakpoint', vcpu: stop.vcpu, linear: stop.linear };
      case 'watchpoint': return this.ignored(stop.vcpu) ? undefined : { kind: 'watchpoint', vcpu: stop.vcpu, id: stop.id, linear: stop.linear };
      default:
        this.ended = stop;
        return { kind: 'ended', vcpu, reason: stop };
    }
  }

  // --- back -----------------------------------------------------------------------------------------------------------------

  private back(vcpu: number): Halt {
    this.ended = undefined;
    const { history, machine } = this;
    if (!history.back(1)) return { kind: 'beginning', vcpu: machine.current };
    if (machine.current !== vcpu) this.lastOf(vcpu);
    return { kind: 'step', vcpu: machine.current };
  }

  /** Goes back to where `vcpu` did its last instruction before now; stays where it is when it never did one. */
  private lastOf(vcpu: number): void {
    const { history, machine } = this, here = history.position;
    for (let jump = 1; machine.current !== vcpu; jump *= 2) {
      if (history.back(jump)) continue;
      if (machine.current === vcpu) break;
      history.goTo(here);
      return;
    }
    let last = history.position;
    while (machine.current === vcpu && comparePositions(history.position, here) < 0) {
      last = history.position;
      history.stepOne();
    }
    history.goTo(last);
  }

  /** The instruction right before now made a watched access: going back undoes it, and stands before it. */
  private undoAccess(): Halt | undefined {
    const { history, machine } = this;
    if (machine.watchpoints.all().length === 0 || !history.back(1)) return undefined;
    const halt = this.halt(history.stepOne());
    if (halt?.kind !== 'watchpoint') return undefined;
    history.back(1);
    return halt;
  }

  private reverse(): Halt {
    this.ended = undefined;
    const { history } = this;
    const undone = this.undoAccess();
    if (undone !== undefined) return undone;
    const from = history.position;
    let found = this.halt(history.reverseContinue());
    while (found === undefined) found = this.halt(history.reverseContinue());
    // gdb wants to stand before the access, where the old value is.
    if (found.kind === 'watchpoint') history.back(1);
    if (this.catches.all.length === 0) return found;
    const point = history.position;
    history.goTo(from);
    this.caught = undefined;
    let last: { c: Catch; vcpu: number } | undefined;
    const any = history.reverseTo((m, hit) => this.catches.arm(m, (c, vcpu) => {
      last = { c, vcpu };
      hit(m.position);
    }));
    if (any && last !== undefined && (found.kind === 'beginning' || comparePositions(history.position, point) >= 0)) return { kind: 'catch', vcpu: last.vcpu, caught: last.c };
    history.goTo(point);
    return found;
  }
}
