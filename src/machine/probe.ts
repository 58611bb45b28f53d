/**
 * The event bus: whoever wants to know what the machine does subscribes here, and nowhere else.
 *
 * Invariants: `active` is false when nobody listens, so an emitter that tests it costs nothing; listeners are called in order of
 * subscription, in the machine's thread, and must not change the machine. A ring keeps the last records in one flat array of
 * RECORD_WORDS doubles each (kind, cycle, vCPU, a, b, c, d), so that a trace or the stepper can look back without allocation.
 */

import { PROBE, type ProbeKind, type ProbePort } from '../cpu/ports.js';

export { PROBE, type ProbeKind } from '../cpu/ports.js';

/** Name of each event kind, by number. */
export const PROBE_NAMES: Readonly<Record<number, string>> = Object.fromEntries(Object.entries(PROBE).map(([name, kind]) => [kind, name]));

export type ProbeListener = (kind: ProbeKind, cycle: number, vcpu: number, a: number, b: number, c: number, d: number) => void;

/** Doubles in one record of the ring: kind, cycle, vCPU, a, b, c, d. */
export const RECORD_WORDS = 7;

/** The last events, oldest overwritten first. */
export class ProbeRing {
  private readonly words: Float64Array;
  private written = 0;

  /** @param capacity records kept */
  constructor(readonly capacity: number) {
    this.words = new Float64Array(capacity * RECORD_WORDS);
  }

  readonly listener: ProbeListener = (kind, cycle, vcpu, a, b, c, d) => {
    const w = this.words;
    let at = (this.written % this.capacity) * RECORD_WORDS;
    w[at++] = kind;
    w[at++] = cycle;
    w[at++] = vcpu;
    w[at++] = a;
    w[at++] = b;
    w[at++] = c;
    w[at] = d;
    this.written++;
  };

  /** Events seen since the start, also those overwritten. */
  get total(): number {
    return this.written;
  }

  /** The records kept, oldest first, each RECORD_WORDS long. */
  *records(): IterableIterator<Float64Array> {
    const first = Math.max(0, this.written - this.capacity);
    for (let i = first; i < this.written; i++) {
      const at = (i % this.capacity) * RECORD_WORDS;
      yield this.words.subarray(at, at + RECORD_WORDS);
    }
  }
}

export class Probe implements ProbePort {
  active = false;
  private listeners: { kinds: ReadonlySet<ProbeKind> | undefined; listener: ProbeListener }[] = [];

  /**
   * Starts delivering events to `listener`; returns the function that ends it.
   * @param kinds only these kinds; absent: all
   */
  subscribe(listener: ProbeListener, kinds?: readonly ProbeKind[]): () => void {
    const entry = { kinds: kinds === undefined ? undefined : new Set(kinds), listener };
    this.listeners = [...this.listeners, entry];
    this.active = true;
    return () => {
      this.listeners = this.listeners.filter((e) => e !== entry);
      this.active = this.listeners.length > 0;
    };
  }

  emit(kind: ProbeKind, cycle: number, vcpu: number, a: number, b: number, c: number, d: number): void {
    for (const { kinds, listener } of this.listeners) if (kinds === undefined || kinds.has(kind)) listener(kind, cycle, vcpu, a, b, c, d);
  }
}
