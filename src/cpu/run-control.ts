/**
 * Where a run is, and where it is to stop: shared by the vCPUs of one machine, which take turns.
 *
 * A position is the number of instructions retired by all vCPUs, then the number of events since the last of them. An event is
 * something that changes the state and retires no instruction: an exception or interrupt delivered, a trap that becomes pending, a VM
 * exit. Both are the same in every replay of a run (docs/adr/0011).
 *
 * Invariant: goals change nothing but where a run is interrupted.
 */

/**
 * Instructions that a chain of records may retire after its budget is used up: a block ends with its page at the latest, and the
 * step before it may begin in the page before.
 */
const LONGEST_BLOCK = 4200;
/** The same in cycles of cycle mode, by far: a block that takes longer makes an exact stop at a cycle late, by the rest of that block. */
const LONGEST_BLOCK_CYCLES = 30_000;
/** No profile retires more instructions in a cycle. */
const MOST_PER_CYCLE = 16;

export class RunControl {
  private readonly perCycle: number;
  private readonly blockCycles: number;

  /** @param timed cycle mode: an instruction is not a cycle */
  constructor(timed: boolean) {
    this.perCycle = timed ? MOST_PER_CYCLE : 1;
    this.blockCycles = timed ? LONGEST_BLOCK_CYCLES : LONGEST_BLOCK;
  }

  /** Instructions retired by all vCPUs, up to the last return of `Vcpu.go`. */
  retired = 0;
  /** Events that have been counted since `eventsSince` instructions had retired. */
  eventCount = 0;
  eventsSince = 0;

  // Goals of the run under way. Infinity: none.
  instructions = Infinity;
  events = 0;
  cycle = Infinity;
  /** Stop at the very instruction, not at the end of its block. */
  exact = false;
  /** There is any goal. */
  bounded = false;
  /** The position at which the run began: a breakpoint there is passed. */
  private began = 0;
  private beganEvents = 0;
  /** A vCPU runs, as opposed to somebody looking at it. */
  running = false;
  /** Stop before the next instruction or event, wherever that is. */
  stopWanted = false;

  /** Sets the goals of a run. */
  aim(instructions: number, events: number, cycle: number, exact: boolean): void {
    this.instructions = instructions;
    this.events = events;
    this.cycle = cycle;
    this.exact = exact;
    this.began = this.retired;
    this.beganEvents = this.eventsAt(this.retired);
    this.bounded = instructions !== Infinity || cycle !== Infinity;
  }

  /** Counts an event. @param retired instructions retired so far by all vCPUs */
  event(retired: number): void {
    if (this.eventsSince !== retired) {
      this.eventsSince = retired;
      this.eventCount = 0;
    }
    this.eventCount++;
  }
  /** Events since the last retired instruction. */
  eventsAt(retired: number): number {
    return this.eventsSince === retired ? this.eventCount : 0;
  }

  /** Has the run come to its goal? @param now cycles since power-on */
  reached(retired: number, now: number): boolean {
    if (this.stopWanted) return true;
    if (!this.bounded) return false;
    return retired > this.instructions || (retired === this.instructions && this.eventsAt(retired) >= this.events) || now >= this.cycle;
  }
  /** Has nothing happened yet since the run began? */
  fresh(retired: number): boolean {
    return retired === this.began && this.eventsAt(retired) === this.beganEvents;
  }
  /** Is an exact goal so near that a chain of records could pass it? */
  near(retired: number, now: number): boolean {
    return this.exact && (this.instructions - retired <= LONGEST_BLOCK || this.cycle - now <= this.blockCycles);
  }
  /** Cycles that a chain may run before its block must end. */
  room(retired: number, now: number): number {
    const instructions = this.instructions - retired - (this.exact ? LONGEST_BLOCK : 0), cycles = this.cycle - now - (this.exact ? this.blockCycles : 0);
    return Math.max(1, Math.ceil(Math.min(instructions / this.perCycle, cycles)));
  }
}
