/**
 * Steps backward. Events are looked for in replays (History.reverseTo); lines are found in a recorded stretch of positions before now,
 * which is doubled until the line begins in it.
 */

import { S } from '../cpu/state.js';
import { PROBE, type ProbeKind } from '../machine/probe.js';
import type { Position, StepKind, StopView } from './api.js';
import { comparePositions } from './history.js';
import type { Look } from './look.js';
import type { RunControl } from './run-control.js';
import { domainOf, entersOther, lineKey } from './steps.js';

const FIRST_STRETCH = 48, LONGEST_STRETCH = 400_000;

/** One position of a recorded stretch. */
interface Mark {
  readonly position: Position;
  readonly key: string;
  readonly statement: boolean;
  readonly level: string;
  readonly inGuest: boolean;
  readonly rsp: bigint;
}

const done = (sentence: string): StopView => ({ kind: 'step', sentence });
const BEGINNING: StopView = { kind: 'beginning', sentence: 'The beginning of the run.' };
const nothing = (what: string): StopView => ({ kind: 'beginning', sentence: `There is no ${what} before this point.` });

const markOf = (l: Look, position: Position): Mark => ({
  position, key: lineKey(l), statement: l.atStatement, level: l.level, inGuest: l.inGuest, rsp: l.rsp,
});

export class StepsBack {
  constructor(
    private readonly control: RunControl,
    private readonly look: () => Look,
  ) {}

  async step(kind: StepKind): Promise<StopView> {
    switch (kind) {
      case 'instruction': return this.control.history.back(1) ? done('One instruction back.') : BEGINNING;
      case 'line': return this.line(() => true);
      case 'over': {
        const { level, inGuest, rsp } = this.look();
        return this.line((m) => m.level === level && m.inGuest === inGuest && m.rsp >= rsp);
      }
      case 'out': return this.out();
      case 'exit': return this.afterEvent([PROBE.vmExit], 'VM exit');
      case 'entry': return this.afterEvent([PROBE.vmEntry], 'VM entry');
      case 'event': return this.afterEvent([PROBE.interrupt, PROBE.exception], 'interrupt or exception');
      case 'hypercall': return this.control.reverseTo([PROBE.systemCall], () => true) ? done('A hypercall is next.') : nothing('hypercall');
      case 'domain': return this.domain();
    }
  }

  /** To right after the last event before now; standing right after one, to the one before. */
  private async afterEvent(kinds: readonly ProbeKind[], what: string): Promise<StopView> {
    const { control } = this, { history } = control, now = history.position;
    for (let back = 0; ; back++) {
      if (!control.reverseTo(kinds, () => true)) {
        history.goTo(now);
        return nothing(what);
      }
      // There the instruction or event that makes it is next.
      const before = history.position;
      control.stepOne();
      if (comparePositions(history.position, now) < 0) return done(`After the last ${what}.`);
      history.goTo(before);
      await control.pause();
      if (control.takeInterrupt()) return control.interrupted;
      if (back > 2) return nothing(what);
    }
  }

  private async domain(): Promise<StopView> {
    const { control } = this, { history } = control, start = history.position, first = this.look();
    let last = domainOf(first), space = last === undefined ? undefined : first.state.get64(S.cr3);
    for (;;) {
      if (!control.reverseTo([PROBE.vmEntry, PROBE.privilege], entersOther(control.machine, space))) {
        history.goTo(start);
        return nothing('other domain');
      }
      const before = history.position;
      control.stepOne();
      const look = this.look(), now = domainOf(look);
      if (now !== undefined && last !== undefined && now !== last) return done(`${now} runs.`);
      if (now !== undefined) {
        last = now;
        space = look.state.get64(S.cr3);
      }
      history.goTo(before);
      await control.pause();
      if (control.takeInterrupt()) return control.interrupted;
    }
  }

  /** To the call of the running function. */
  private async out(): Promise<StopView> {
    const { control } = this, { history, points } = control, now = this.look(), start = now.functionStart, origin = history.position;
    if (start === undefined) return nothing('known function');
    // The stack pointer at the function's first instruction, when RBP has been set by it.
    const entered = now.linear === start ? now.rsp : now.linear === start + 1n ? now.rsp + 8n : now.rbp + 8n;
    if (now.linear === start) return history.back(1) ? done('The call is next.') : BEGINNING;
    points.hold(start);
    try {
      for (;;) {
        const stop = history.reverseContinue();
        if (stop.kind !== 'breakpoint') {
          history.goTo(origin);
          return nothing('call of this function');
        }
        const there = this.look();
        if (there.linear === start && there.level === now.level && there.rsp === entered) break;
        await control.pause();
        if (control.takeInterrupt()) return control.interrupted;
      }
    } finally {
      points.release(start);
    }
    return history.back(1) ? done('The call is next.') : BEGINNING;
  }

  /** To the beginning of the line that ran before this one, among the positions that count. */
  private async line(counts: (m: Mark) => boolean): Promise<StopView> {
    const { control } = this, { history } = control, origin = history.position, here = lineKey(this.look());
    for (let length = FIRST_STRETCH; ; length = Math.min(length * 4, LONGEST_STRETCH)) {
      const marks = await this.record(origin, length);
      if (marks === undefined) return control.interrupted;
      const complete = marks.length === 0 || (marks[0].position.instructions === 0 && marks[0].position.events === 0);
      const found = this.lineStart(marks.filter(counts), here, complete);
      if (found !== undefined) {
        history.goTo(found.position);
        return done('The line before.');
      }
      if (complete || length === LONGEST_STRETCH) {
        if (complete) history.goTo({ instructions: 0, events: 0 });
        else history.goTo(marks[0].position);
        return complete ? BEGINNING : done(`No other line in the ${LONGEST_STRETCH} instructions before.`);
      }
    }
  }

  /** The first position of the last stretch of another line than `here`; undefined when that may begin before the marks. */
  private lineStart(marks: readonly Mark[], here: string, complete: boolean): Mark | undefined {
    let i = marks.length - 1;
    // In the middle of a line the step goes to its beginning.
    let j = i;
    while (j >= 0 && marks[j].key === here) j--;
    if (j < 0) return complete ? undefined : undefined;
    if (j < i) {
      const first = marks[j + 1];
      if (first.statement) return first;
    }
    i = j;
    while (i >= 0 && marks[i].key === marks[j].key) i--;
    return i < 0 && !complete ? undefined : marks[i + 1];
  }

  /** Goes `length` instructions back and comes forward again, noting each position before `origin`. */
  private async record(origin: Position, length: number): Promise<Mark[] | undefined> {
    const { control } = this, { history } = control, marks: Mark[] = [];
    history.goTo({ instructions: Math.max(0, origin.instructions - length), events: 0 });
    while (comparePositions(history.position, origin) < 0) {
      marks.push(markOf(this.look(), history.position));
      history.stepOne();
      if (marks.length % 2000 === 0) {
        await control.pause();
        if (control.takeInterrupt()) return undefined;
      }
    }
    return marks;
  }
}
