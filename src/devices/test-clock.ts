/** A clock for the devices' unit tests: time moves when the test says so. */

import type { DeviceClock, Scheduled } from './ports.js';

interface TestEvent extends Scheduled {
  pending: boolean;
  action: () => void;
}

export class TestClock implements DeviceClock {
  private time = 0;
  private events: TestEvent[] = [];
  constructor(readonly frequencyHz: number) {}

  now(): number {
    return this.time;
  }
  schedule(at: number, action: () => void): Scheduled {
    const event: TestEvent = { at: Math.max(at, this.time), pending: true, action };
    this.events.push(event);
    return event;
  }
  cancel(event: Scheduled | undefined): void {
    this.events = this.events.filter((e) => e !== event);
  }
  /** Runs events in order until nothing is due before or at `cycle`. */
  run(cycle: number): void {
    for (;;) {
      let first: TestEvent | undefined;
      for (const e of this.events) if (e.at <= cycle && (first === undefined || e.at < first.at)) first = e;
      if (first === undefined) break;
      this.cancel(first);
      first.pending = false;
      this.time = Math.max(this.time, first.at);
      first.action();
    }
    this.time = Math.max(this.time, cycle);
  }
  /** Runs until `done` or nothing is left to happen. */
  runUntil(done: () => boolean): void {
    while (!done() && this.events.length > 0) this.run(Math.min(...this.events.map((e) => e.at)));
  }
}
