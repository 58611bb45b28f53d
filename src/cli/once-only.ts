/**
 * Serial output of a run that also goes back: what a replay writes again was written before, and is left out.
 *
 * A byte is known by the cycle it was written at, and by how many were written at that cycle before it.
 */

import { comparePositions, type History } from '../debug/history.js';

export class OnceOnly {
  /** The latest byte that was let through, and the latest of the pass that the run is in. */
  private furthest = { cycle: -1, count: 0 };
  private latest = { cycle: -1, count: 0 };
  private silent = false;

  /** @param now the machine's cycle */
  constructor(private readonly now: () => number, private readonly out: (byte: number) => void) {}

  readonly sink = (byte: number): void => {
    if (this.silent) return;
    const cycle = this.now(), { furthest, latest } = this;
    this.latest = { cycle, count: cycle === latest.cycle ? latest.count + 1 : 1 };
    if (cycle < furthest.cycle || (cycle === furthest.cycle && this.latest.count <= furthest.count)) return;
    this.furthest = this.latest;
    this.out(byte);
  };

  /** The same history; what it replays on its way back is not heard. */
  around(history: History): History {
    const back = <T>(action: () => T): T => {
      this.silent = true;
      try {
        return action();
      } finally {
        this.silent = false;
        this.latest = { cycle: -1, count: 0 };
      }
    };
    return {
      get position() {
        return history.position;
      },
      get bytes() {
        return history.bytes;
      },
      get limit() {
        return history.limit;
      },
      get snapshots() {
        return history.snapshots;
      },
      run: (limits) => history.run(limits),
      stepOne: () => history.stepOne(),
      goTo: (p) => (comparePositions(p, history.position) < 0 ? back(() => history.goTo(p)) : history.goTo(p)),
      back: (n) => back(() => history.back(n)),
      reverseTo: (arm) => back(() => history.reverseTo(arm)),
      reverseContinue: () => back(() => history.reverseContinue()),
      input: (bytes) => history.input(bytes),
    };
  }
}
