/**
 * The local APIC's timer: one-shot, periodic and TSC-deadline.
 *
 * SDM 3A §10.5.4 "APIC Timer" and §10.5.4.1 "TSC-Deadline Mode". The count is computed from the time when read, never stepped.
 */

import type { DeviceClock, Scheduled } from './ports.js';

export const TIMER_ONE_SHOT = 0, TIMER_PERIODIC = 1, TIMER_TSC_DEADLINE = 2;

export class ApicTimer {
  private mode = TIMER_ONE_SHOT;
  private initial = 0;
  private divideConfig = 0;
  /** Cycle at which the running count began. */
  private start = 0;
  private deadline = 0n;
  private event: Scheduled | undefined;

  /**
   * @param cyclesPerTick cycles of one undivided timer tick, an integer
   * @param tscOffset TSC minus machine cycles, of the processor
   * @param expired called at each expiry
   */
  constructor(
    private readonly clock: DeviceClock,
    private readonly cyclesPerTick: number,
    private readonly tscOffset: () => bigint,
    private readonly expired: () => void,
  ) {}

  reset(): void {
    this.stop();
    this.mode = TIMER_ONE_SHOT;
    this.initial = this.divideConfig = 0;
    this.deadline = 0n;
  }

  private stop(): void {
    this.clock.cancel(this.event);
    this.event = undefined;
  }

  /** Cycles of one divided tick. Divide configuration 0b1011 is by one, else 2 << bits {3,1,0}. */
  private get tick(): number {
    const code = (this.divideConfig & 3) | ((this.divideConfig >> 1) & 4);
    return this.cyclesPerTick * (code === 7 ? 1 : 2 << code);
  }

  /** LVT timer mode, bits 18:17. A change between counting and deadline disarms the timer. */
  setMode(mode: number): void {
    if (mode === this.mode) return;
    const wasDeadline = this.mode === TIMER_TSC_DEADLINE;
    this.mode = mode;
    // Between one-shot and periodic the count goes on; one that has run out stays at zero until the initial count is written.
    if (wasDeadline || mode === TIMER_TSC_DEADLINE) {
      this.stop();
      this.initial = 0;
      this.deadline = 0n;
    }
  }

  get divide(): number {
    return this.divideConfig;
  }
  set divide(value: number) {
    const left = this.current;
    this.divideConfig = value & 0xb;
    if (this.event === undefined || this.mode === TIMER_TSC_DEADLINE) return;
    // The count goes on from where it is, at the new rate.
    this.startAt(this.clock.now() - (this.initial - left) * this.tick);
  }

  get initialCount(): number {
    return this.initial;
  }
  set initialCount(value: number) {
    if (this.mode === TIMER_TSC_DEADLINE) return; // ignored in this mode
    this.initial = value >>> 0;
    this.stop();
    if (this.initial !== 0) this.startAt(this.clock.now());
  }

  get current(): number {
    if (this.event === undefined || this.mode === TIMER_TSC_DEADLINE) return 0;
    return Math.max(0, this.initial - Math.floor((this.clock.now() - this.start) / this.tick));
  }

  private startAt(cycle: number): void {
    this.stop();
    this.start = cycle;
    this.event = this.clock.schedule(cycle + this.initial * this.tick, () => this.fire());
  }

  private fire(): void {
    const { event } = this;
    this.event = undefined;
    if (this.mode === TIMER_PERIODIC) this.startAt(event!.at);
    this.deadline = 0n;
    this.expired();
  }

  /** IA32_TSC_DEADLINE: zero when disarmed. */
  get tscDeadline(): bigint {
    return this.mode === TIMER_TSC_DEADLINE ? this.deadline : 0n;
  }
  set tscDeadline(value: bigint) {
    if (this.mode !== TIMER_TSC_DEADLINE) return;
    this.deadline = value;
    this.rearmDeadline();
  }

  /** To be called when the TSC was written: the deadline is a value of the TSC, not a time. */
  rearmDeadline(): void {
    if (this.mode !== TIMER_TSC_DEADLINE) return;
    this.stop();
    if (this.deadline === 0n) return;
    const at = Number(BigInt.asIntN(64, this.deadline - this.tscOffset()));
    if (at < Number.MAX_SAFE_INTEGER) this.event = this.clock.schedule(Math.max(at, this.clock.now()), () => this.fire());
  }
}
