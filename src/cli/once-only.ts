/**
 * Serial output of a run that also goes back: what a replay writes again was written before, and is left out.
 *
 * A byte is known by the instruction that wrote it, and by the cycle: a repeated string instruction writes several, at a cycle each.
 */

import type { Machine } from '../machine/machine.js';

export class OnceOnly {
  private instructions = -1;
  private cycle = -1;

  constructor(private readonly machine: () => Machine, private readonly out: (byte: number) => void) {}

  /** The run takes another way from where it stands: what it writes now was not written before. */
  forget(): void {
    const { position: { instructions }, cycles } = this.machine();
    this.instructions = Math.min(this.instructions, instructions - 1);
    this.cycle = Math.min(this.cycle, cycles);
  }

  readonly sink = (byte: number): void => {
    const { position: { instructions }, cycles } = this.machine();
    if (instructions < this.instructions || (instructions === this.instructions && cycles <= this.cycle)) return;
    this.instructions = instructions;
    this.cycle = cycles;
    this.out(byte);
  };
}
