/**
 * What a session asks of the run's history; Timeline (timeline.ts) is one, out of snapshots and replay.
 */

import type { RunLimits, StopReason } from '../machine/config.js';
import type { Machine } from '../machine/machine.js';
import type { Position } from './api.js';

/** A stop as the run loop reports it, or the beginning of the run when going back. */
export type Stop = StopReason | { readonly kind: 'beginning' };

export interface History {
  readonly position: Position;
  readonly bytes: number;
  readonly limit: number;
  readonly snapshots: number;
  run(limits: RunLimits): Stop;
  stepOne(): Stop;
  goTo(p: Position): void;
  back(n?: number): boolean;
  /** To the last moment before now at which `arm`'s listener calls `hit`; false when there is none, and nothing has moved. */
  reverseTo(arm: (machine: Machine, hit: (p: Position) => void) => () => void): boolean;
  reverseContinue(): Stop;
  input(bytes: Uint8Array): void;
}

/** Something that this session cannot do, in one line for the person who asked. */
export class SessionError extends Error {}

export const comparePositions = (a: Position, b: Position): number => a.instructions - b.instructions || a.events - b.events;
