/** A history that can only go on: for machines whose state cannot be taken back. */

import type { RunLimits } from '../machine/config.js';
import type { Machine } from '../machine/machine.js';
import type { Position } from './api.js';
import { comparePositions, type History, SessionError, type Stop } from './history.js';

const refuse = (): never => {
  throw new SessionError('this session keeps no snapshots: it can only go forward');
};

export class ForwardHistory implements History {
  readonly bytes = 0;
  readonly limit = 0;
  readonly snapshots = 0;

  constructor(private readonly machine: Machine) {}

  get position(): Position {
    return this.machine.position;
  }
  run(limits: RunLimits): Stop {
    return this.machine.run(limits);
  }
  stepOne(): Stop {
    return this.machine.stepOne();
  }
  goTo(p: Position): void {
    if (comparePositions(p, this.position) < 0) refuse();
    this.run({ position: p });
  }
  back(): boolean {
    return refuse();
  }
  reverseTo(): boolean {
    return refuse();
  }
  reverseContinue(): Stop {
    return refuse();
  }
  input(bytes: Uint8Array): void {
    this.machine.serialInput(bytes);
  }
}
