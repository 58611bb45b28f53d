/**
 * The machine's time: events in cycles, fired in order of their cycle and, within one cycle, in order of scheduling.
 *
 * A binary heap. Invariants: deterministic (the tie-break is a sequence number, never a host address or time), `now` never goes
 * back, and an event never fires before its cycle. `now()` is the running vCPU's exact time while one runs, else the queue's.
 */

import type { DeviceClock, Scheduled } from '../devices/ports.js';

class Event implements Scheduled {
  /** Place in the heap, or -1 when it is not in it. */
  index = -1;
  constructor(
    readonly at: number,
    readonly sequence: number,
    readonly action: () => void,
  ) {}
  get pending(): boolean {
    return this.index >= 0;
  }
}

const before = (a: Event, b: Event): boolean => a.at < b.at || (a.at === b.at && a.sequence < b.sequence);

export class EventQueue implements DeviceClock {
  private readonly heap: Event[] = [];
  private sequence = 0;
  private time = 0;

  /** Exact time of the vCPU that runs, or undefined between slices. The run loop sets it. */
  running: (() => number) | undefined;
  /** Called when a new event is due before all others: the run loop may have to end the slice early. */
  onEarlier: ((at: number) => void) | undefined;

  /** @param frequencyHz cycles in a second of machine time */
  constructor(readonly frequencyHz: number) {}

  now(): number {
    return this.running === undefined ? this.time : Math.max(this.time, this.running());
  }

  /** Moves the queue's own time forward; firing events is `runDue`'s. */
  advanceTo(cycle: number): void {
    if (cycle > this.time) this.time = cycle;
  }

  /** The cycle of the first event, or Infinity. */
  get next(): number {
    return this.heap.length > 0 ? this.heap[0]!.at : Infinity;
  }

  /** Time and order of all events that wait, in the order in which they will fire. */
  waiting(): readonly { readonly at: number; readonly sequence: number }[] {
    return [...this.heap].sort((a, b) => (before(a, b) ? -1 : 1));
  }

  schedule(at: number, action: () => void): Scheduled {
    if (!Number.isFinite(at)) throw new RangeError(`an event cannot be due at cycle ${at}`);
    const event = new Event(Math.max(Math.ceil(at), this.time), this.sequence++, action);
    event.index = this.heap.length;
    this.heap.push(event);
    this.up(event);
    if (event.index === 0) this.onEarlier?.(event.at);
    return event;
  }

  cancel(event: Scheduled | undefined): void {
    if (event instanceof Event && event.index >= 0) this.remove(event);
  }

  /** Fires everything due up to and including `cycle`, each at its own time; then time is `cycle`. */
  runDue(cycle: number): void {
    while (this.heap.length > 0 && this.heap[0]!.at <= cycle) {
      const event = this.heap[0]!;
      this.remove(event);
      this.advanceTo(event.at);
      event.action();
    }
    this.advanceTo(cycle);
  }

  private remove(event: Event): void {
    const last = this.heap.pop()!;
    const at = event.index;
    event.index = -1;
    if (last === event) return;
    this.heap[at] = last;
    last.index = at;
    this.up(last);
    this.down(last);
  }

  private up(event: Event): void {
    const { heap } = this;
    for (let i = event.index; i > 0; ) {
      const parent = (i - 1) >> 1;
      if (!before(event, heap[parent]!)) return;
      this.swap(i, parent);
      i = parent;
    }
  }

  private down(event: Event): void {
    const { heap } = this;
    for (let i = event.index; ; ) {
      let least = i;
      for (const child of [2 * i + 1, 2 * i + 2]) if (child < heap.length && before(heap[child]!, heap[least]!)) least = child;
      if (least === i) return;
      this.swap(i, least);
      i = least;
    }
  }

  private swap(i: number, j: number): void {
    const a = this.heap[i]!, b = this.heap[j]!;
    this.heap[i] = b;
    this.heap[j] = a;
    b.index = i;
    a.index = j;
  }
}
