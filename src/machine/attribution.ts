/**
 * Whose cycles they are. Every cycle belongs to one account: the code page that executes, a VM transition, or idling.
 *
 * Nothing in a guest helps: pages are told apart by their contents and addresses when their first instruction is decoded
 * (`CodeClassifier`), and the engine reports when execution arrives on a page of another account. A page may leave the part
 * open (a library that several parts of one program call): it then counts for the part that called.
 *
 * Invariant: the accounts' sums add up to the machine's cycles exactly.
 */

import type { AttributionPort } from '../cpu/ports.js';

/** A code page when its first instruction is decoded. */
export interface CodePage {
  /** Its 4096 bytes; not to be kept. */
  readonly bytes: Uint8Array;
  /** Linear address as a number (bits above 2^53 are rounded; the low 48 bits of canonical addresses are exact). */
  readonly linear: number;
  readonly hpaPage: number;
}

/** Says whose a code page is: `account(owner, part)`; 0 when it cannot tell. */
export type CodeClassifier = (page: CodePage) => number;

/** Accounts that are not code. */
export const TRANSITION = 1, IDLE = 2;
/** @param owner 1 to 255: a program @param part 1 to 255: a part of it, 0: whichever part called */
export const account = (owner: number, part: number): number => (owner << 8) | part;
export const ownerOf = (a: number): number => a >>> 8;
export const partOf = (a: number): number => a & 0xff;

/** Hears of each arrival on a page of another account, with the account that counts from then on: the part is resolved. */
export type ArrivalListener = (account: number, cycle: number) => void;

export class Attribution implements AttributionPort {
  private listeners: readonly ArrivalListener[] = [];
  private current = 0;
  private since = 0;
  private readonly sums = new Map<number, number>();

  constructor(private readonly pageOf: (hpaPage: number, linear: number) => CodePage, private readonly classifier: CodeClassifier) {}

  classify(hpaPage: number, linear: number): number {
    return this.classifier(this.pageOf(hpaPage, linear));
  }
  arrive(to: number, cycle: number): void {
    this.settle(cycle);
    const owner = ownerOf(to);
    this.current = partOf(to) === 0 && owner === ownerOf(this.current) ? this.current : to;
    for (const listener of this.listeners) listener(this.current, cycle);
  }
  /** Starts telling `listener`; returns the function that ends it. */
  subscribe(listener: ArrivalListener): () => void {
    this.listeners = [...this.listeners, listener];
    return () => {
      this.listeners = this.listeners.filter((l) => l !== listener);
    };
  }
  /** Cycles that the running code is charged but that belong to another account: a VM transition. */
  exclude(to: number, cycles: number): void {
    this.add(to, cycles);
    this.since += cycles;
  }
  /** Nobody ran between the two cycles. */
  idle(from: number, to: number): void {
    this.settle(from);
    this.add(IDLE, to - from);
    this.since = to;
  }
  /** Sums by account up to a cycle. */
  snapshot(cycle: number): Map<number, number> {
    this.settle(cycle);
    return new Map(this.sums);
  }
  private settle(cycle: number): void {
    if (cycle !== this.since) this.add(this.current, cycle - this.since);
    this.since = cycle;
  }
  private add(to: number, cycles: number): void {
    this.sums.set(to, (this.sums.get(to) ?? 0) + cycles);
  }
}
