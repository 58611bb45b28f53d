/**
 * A clock of a fixed rate, derived from the machine's cycles: the crystal of a timer chip.
 *
 * Invariant: `cycleOf(t)` is the first cycle at which `ticksAt` gives t, so an event scheduled for a tick finds that tick reached.
 */

import type { DeviceClock } from './ports.js';

export class RateClock {
  /** @param hz ticks a second, a positive number */
  constructor(
    private readonly clock: DeviceClock,
    readonly hz: number,
  ) {}

  /** Whole ticks since power-on at `cycle`. Whole seconds are split off first, which keeps the product exact for slow clocks. */
  ticksAt(cycle: number): number {
    const f = this.clock.frequencyHz, seconds = Math.floor(cycle / f);
    return Math.floor(seconds * this.hz) + Math.floor(((cycle - seconds * f) * this.hz) / f);
  }

  get ticks(): number {
    return this.ticksAt(this.clock.now());
  }

  /** The first cycle whose tick count is `tick`. */
  cycleOf(tick: number): number {
    const f = this.clock.frequencyHz, seconds = Math.floor(tick / this.hz);
    let cycle = Math.max(0, seconds * f + Math.ceil(((tick - seconds * this.hz) * f) / this.hz) - 1);
    while (this.ticksAt(cycle) < tick) cycle++;
    return cycle;
  }
}
