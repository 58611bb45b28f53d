/**
 * Who has each processor, and since when: spans of cycles at one level, with what began them.
 *
 * Where cycles are attributed (cycle mode, known images) a level is an account of `machine/attribution.ts`; elsewhere the entries to and
 * exits from guests tell two levels apart. Transitions and idle time are levels of their own. The price of the instruction that made an
 * exit is charged after the transition: the accounts give it to the guest, the spans to whom the transition led.
 *
 * Invariants: the spans of a vCPU do not overlap and have a length; a listener changes nothing in the machine.
 */

import { IDLE, TRANSITION } from '../../machine/attribution.js';
import type { Machine } from '../../machine/machine.js';
import { PROBE } from '../../machine/probe.js';
import { type MergedSubscription, subscribeMerged } from './merged-halts.js';
import { INSIDE, OUTSIDE } from './program-accounts.js';

export interface Span {
  readonly vcpu: number;
  readonly level: number;
  readonly from: number;
  readonly to: number;
  /** What led here: an exit reason, a call, an interrupt; empty at the beginning. */
  readonly cause: string;
}

interface Processor {
  level: number;
  since: number;
  cause: string;
  /** Levels to come back to, on the other side of a transition. */
  host: number;
  guest: number;
}

export class Levels {
  private readonly processors: Processor[];
  private readonly ends: (() => void)[];
  private readonly merged: MergedSubscription;
  /** What will have led to the next level. */
  private readonly causes: string[];

  /** @param onSpan hears of each span when it ends */
  constructor(private readonly machine: Machine, private readonly onSpan: (span: Span) => void) {
    const start = machine.attribution === undefined ? OUTSIDE : 0;
    this.processors = machine.processors.map(() => ({ level: start, since: machine.cycles, cause: '', host: start, guest: INSIDE }));
    this.causes = machine.processors.map(() => '');
    const { flush, end } = (this.merged = subscribeMerged(machine.probe, (kind, cycle, vcpu, a) => this.event(kind, cycle, vcpu, a),
      [PROBE.vmExit, PROBE.vmHandlerStart, PROBE.vmHandlerEnd, PROBE.vmEntry, PROBE.vmEntryFailed, PROBE.halt]));
    this.ends = [end];
    const { attribution } = machine;
    if (attribution !== undefined)
      this.ends.push(attribution.subscribe((account, cycle) => {
        flush();
        this.change(machine.platform.current, account, cycle);
      }));
  }

  /** The level of a vCPU now. */
  at(vcpu: number): number {
    return this.processors[vcpu]!.level;
  }
  /** Makes up for halts that are held back: before a listener of its own asks or says something. */
  settle(): void {
    this.merged.flush();
  }
  /** Says what leads to the level that comes next. */
  because(vcpu: number, cause: string): void {
    this.causes[vcpu] = cause;
  }
  /** Ends the last spans, and listening. */
  finish(): void {
    for (const end of this.ends) end();
    this.processors.forEach((_, vcpu) => this.change(vcpu, -1, this.machine.cycles));
  }

  private event(kind: number, cycle: number, vcpu: number, a: number): void {
    const p = this.processors[vcpu]!;
    switch (kind) {
      case PROBE.vmExit:
        p.guest = p.level;
        return this.change(vcpu, TRANSITION, cycle);
      case PROBE.vmHandlerEnd:
        p.host = p.level;
        return this.change(vcpu, TRANSITION, cycle);
      case PROBE.vmHandlerStart:
      case PROBE.vmEntryFailed:
        return this.change(vcpu, p.host, cycle);
      case PROBE.vmEntry:
        return this.change(vcpu, p.guest, cycle);
      case PROBE.halt: {
        const before = p.level;
        this.change(vcpu, IDLE, cycle - a);
        return this.change(vcpu, before, cycle);
      }
    }
  }

  private change(vcpu: number, level: number, cycle: number): void {
    const p = this.processors[vcpu]!;
    if (level === p.level) return;
    const next = this.causes[vcpu]!;
    if (cycle > p.since) {
      this.onSpan({ vcpu, level: p.level, from: p.since, to: cycle, cause: p.cause });
      p.since = cycle;
      p.cause = next;
    } else if (next !== '') p.cause = next; // what lasted no cycle was a guess, corrected
    p.level = level;
    // A transition is on the way to what the cause led to.
    if (level !== TRANSITION) this.causes[vcpu] = '';
  }
}
