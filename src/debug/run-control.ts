/**
 * Letting the machine run, in slices, until something ends it: the part of a session under its steps.
 *
 * Between slices the caller's `pause` is awaited, so that a terminal or a page stays alive and can interrupt. How a run is cut does not
 * change it.
 */

import type { RunLimits } from '../machine/config.js';
import type { Machine } from '../machine/machine.js';
import { PROBE, type ProbeKind } from '../machine/probe.js';
import type { StopView } from './api.js';
import { exitReasonName, sameReason } from './exit-names.js';
import { type History, type Stop } from './history.js';
import type { StopPoints } from './stop-points.js';

/** Instructions between two pauses. */
const SLICE = 400_000;
/** Single steps between two pauses. */
export const STEPS_A_PAUSE = 500;

/** Why a run of the control ended. */
export type Ended =
  | { readonly kind: 'stop'; readonly view: StopView } // a point of the user's, the user, or the end of the run
  | { readonly kind: 'event' } // what was waited for
  | { readonly kind: 'held' } // a breakpoint of the step's own
  | { readonly kind: 'limit' };

/** Looks at an event and says whether it is the one. */
export type Accept = (kind: ProbeKind, cycle: number, vcpu: number, a: number, b: number, c: number, d: number) => boolean;

const stopped = (view: StopView): Ended => ({ kind: 'stop', view });

export class RunControl {
  private interruptWanted = false;
  /** Set by a listener during the run: what it waited for has happened. */
  private seen = false;
  private reasonHit: { id: number; reason: string } | undefined;

  constructor(
    readonly machine: Machine,
    readonly history: History,
    readonly points: StopPoints,
    private readonly pauseHost: (() => Promise<void>) | undefined,
    private readonly describe: (linear: bigint) => string,
  ) {}

  interrupt(): void {
    this.interruptWanted = true;
  }
  /** To be called when a command begins: interrupts of the past do not count. */
  begin(): void {
    this.interruptWanted = false;
  }
  async pause(): Promise<void> {
    await this.pauseHost?.();
  }
  /** True once after `interrupt`. */
  takeInterrupt(): boolean {
    const wanted = this.interruptWanted;
    this.interruptWanted = false;
    return wanted;
  }
  get interrupted(): StopView {
    return { kind: 'interrupted', sentence: 'Interrupted.' };
  }

  /**
   * Runs until a point, an end, `limits`, or an event that `accept` takes; with `held`, until one of these breakpoints.
   * @param accept called for events of `kinds` while they happen; must only look at its arguments
   */
  async run(options: { limits?: RunLimits; kinds?: readonly ProbeKind[]; accept?: Accept; held?: readonly bigint[] } = {}): Promise<Ended> {
    const { limits = {}, kinds, accept, held = [] } = options, { machine, points } = this;
    this.seen = false;
    this.reasonHit = undefined;
    const endings: (() => void)[] = [];
    if (kinds !== undefined && accept !== undefined)
      endings.push(machine.probe.subscribe((...a) => {
        if (this.seen || !accept(...a)) return;
        this.seen = true;
        machine.requestStop();
      }, kinds));
    const reasons = points.of('exit-reason');
    if (reasons.length > 0)
      endings.push(machine.probe.subscribe((_kind, _cycle, _vcpu, a) => {
        const name = exitReasonName(machine.extension, a), hit = reasons.find((p) => p.reason === undefined || sameReason(p.reason, name));
        if (hit === undefined || this.reasonHit !== undefined) return;
        this.reasonHit = { id: hit.id, reason: name };
        machine.requestStop();
      }, [PROBE.vmExit]));
    for (const linear of held) points.hold(linear);
    try {
      return await this.slices(limits, held);
    } finally {
      for (const linear of held) points.release(linear);
      for (const end of endings) end();
    }
  }

  private async slices(limits: RunLimits, held: readonly bigint[]): Promise<Ended> {
    const { history, machine, points } = this;
    for (;;) {
      const now = machine.cycles, cycles = points.of('cycle').map((p) => p.cycle).filter((c) => c > now);
      const nextCycle = Math.min(limits.cycle ?? Infinity, ...cycles), nextInstruction = Math.min(limits.instructions ?? Infinity, history.position.instructions + SLICE);
      const exact = limits.exact === true || nextCycle !== Infinity;
      const stop = history.run({
        instructions: nextInstruction, ...(nextCycle === Infinity ? {} : { cycle: nextCycle }), ...(limits.position === undefined ? {} : { position: limits.position }), ...(exact ? { exact } : {}),
      });
      const ended = this.ended(stop, held);
      if (ended !== undefined) return ended;
      const at = points.of('cycle').find((p) => p.cycle > now && machine.cycles >= p.cycle);
      if (at !== undefined) {
        points.hit(at.id);
        return stopped({ kind: 'cycle', point: at.id, sentence: `Cycle ${machine.cycles}.` });
      }
      if (this.limitReached(limits)) return { kind: 'limit' };
      await this.pause();
      if (this.takeInterrupt()) return stopped(this.interrupted);
    }
  }

  private limitReached({ instructions, cycle, position }: RunLimits): boolean {
    const at = this.history.position;
    if (instructions !== undefined && at.instructions >= instructions) return true;
    if (position !== undefined && (at.instructions > position.instructions || (at.instructions === position.instructions && at.events >= position.events))) return true;
    return cycle !== undefined && this.machine.cycles >= cycle;
  }

  /** What a stop of the machine means; undefined for the end of a slice. */
  ended(stop: Stop, held: readonly bigint[] = []): Ended | undefined {
    const { points } = this;
    switch (stop.kind) {
      case 'limit': return undefined;
      case 'interrupted': {
        if (this.reasonHit !== undefined) {
          const { id, reason } = this.reasonHit;
          points.hit(id);
          return stopped({ kind: 'exit-reason', point: id, sentence: `VM exit: ${reason}.` });
        }
        return this.seen ? { kind: 'event' } : undefined;
      }
      case 'breakpoint': {
        const point = points.breakpointAt(stop.linear);
        if (point !== undefined) {
          points.hit(point.id);
          return stopped({ kind: 'breakpoint', point: point.id, sentence: `Breakpoint ${point.id} at ${this.describe(stop.linear)}.` });
        }
        return held.includes(stop.linear) ? { kind: 'held' } : undefined;
      }
      case 'watchpoint': {
        const point = points.byWatch(stop.id);
        if (point === undefined) return undefined;
        points.hit(point.id);
        return stopped({
          kind: 'watchpoint', point: point.id,
          sentence: `Watchpoint ${point.id}: ${stop.bytes} ${stop.bytes === 1 ? 'byte' : 'bytes'} at 0x${stop.linear.toString(16)} ${stop.write ? 'written' : 'read'}.`,
        });
      }
      case 'beginning': return stopped({ kind: 'beginning', sentence: 'The beginning of the run.' });
      default: return stopped({ kind: 'ended', sentence: endSentence(stop) });
    }
  }

  /** One instruction or event; undefined when nothing ended the run. */
  stepOne(): StopView | undefined {
    const ended = this.ended(this.history.stepOne());
    return ended?.kind === 'stop' ? ended.view : undefined;
  }

  /** @throws SessionError when the history is the machine's alone */
  reverseTo(kinds: readonly ProbeKind[], accept: Accept): boolean {
    return this.history.reverseTo((machine, hit) => machine.probe.subscribe((...a) => {
      if (accept(...a)) hit(machine.position);
    }, kinds));
  }
}

/** The end of a run, for people. */
export function endSentence(stop: Stop): string {
  switch (stop.kind) {
    case 'debug-exit': return `The run has ended: the software wrote ${stop.value} to the debug-exit port.`;
    case 'power-off': return 'The run has ended: power off.';
    case 'shutdown': return `The run has ended: ${stop.what} at ${stop.address}.`;
    case 'not-implemented': return `The run has ended: not implemented: ${stop.what} at ${stop.address}.`;
    default: return `The run has ended: ${stop.kind}.`;
  }
}
