/**
 * A stretch of the timeline as the page draws it: how much of each column's cycles each lane had the processor, and how many moments of
 * each kind fell into it. Reduced to columns in the worker, so that a run of any length costs the page the same.
 */

/** The lanes, top to bottom. `devices` shows accesses, the others who ran. */
export const LANES = ['guest', 'hypervisor', 'dom0', 'devices'] as const;
export type Lane = (typeof LANES)[number];

export type MomentKind = 'exit' | 'entry' | 'hypercall' | 'interrupt' | 'exception' | 'device';

export interface Moment {
  readonly cycle: number;
  readonly kind: MomentKind;
  readonly text: string;
}

export interface TimelineWindow {
  readonly from: number;
  readonly to: number;
  /** The last cycle that is recorded. */
  readonly end: number;
  /** Per lane, one number from 0 to 1 a column: its share of the column's cycles (devices: 1 where there was an access). */
  readonly shares: Readonly<Record<Lane, Float32Array>>;
  /** Exits in each column. */
  readonly exits: Uint32Array;
  /** Single moments, when there are few enough to draw each. */
  readonly moments: readonly Moment[];
}
