/**
 * Where the cycles go, by samples: the run is cut every so many cycles, and what each vCPU stands at is given the cycles since the cut
 * before. A cut comes where a run of instructions ends, so it falls a little late; how a run is cut does not change the run, so the
 * samples are the same every time.
 *
 * A stack has a few frames: the processor (where there are several), the program, its part (where it has parts), and the function, or the
 * page where no symbol is known.
 */

import type { Machine } from '../../machine/machine.js';
import type { Processor } from '../../machine/processor.js';
import { ACTIVITY, CpuState, CS, MODE, S } from '../../cpu/state.js';
import { IDLE } from '../../machine/attribution.js';
import { LinearReader } from '../linear-reader.js';
import { Symbols } from '../symbols.js';
import { INSIDE, OUTSIDE, type ProgramAccounts } from './program-accounts.js';

export interface Stack {
  /** Outermost first. */
  readonly frames: readonly string[];
  readonly cycles: number;
}

export class Samples {
  /** Cycle at which the next sample is due: run the machine up to it, then `take`. */
  next: number;
  private last: number;
  private readonly sums = new Map<string, { frames: readonly string[]; cycles: number }>();
  private readonly symbols = new Map<string, Symbols>();

  /** @param every cycles between samples */
  constructor(private readonly machine: Machine, private readonly programs: ProgramAccounts, readonly every: number) {
    this.last = machine.cycles;
    this.next = this.last + every;
  }

  /** Takes a sample of every vCPU, if it is time. */
  take(): void {
    const now = this.machine.cycles, cycles = now - this.last;
    if (cycles <= 0 || now < this.next) return;
    this.charge(cycles, now);
  }
  /** The rest of the run, and the stacks, in the order in which they were first seen. */
  finish(): Stack[] {
    const now = this.machine.cycles;
    if (now > this.last) this.charge(now - this.last, now);
    return [...this.sums.values()];
  }

  private charge(cycles: number, now: number): void {
    const { processors } = this.machine;
    processors.forEach((p, i) => {
      const frames = [...(processors.length > 1 ? [`vCPU ${i}`] : []), ...this.where(p)];
      const key = frames.join(';'), sum = this.sums.get(key);
      if (sum === undefined) this.sums.set(key, { frames, cycles });
      else sum.cycles += cycles;
    });
    this.last = now;
    while (this.next <= now) this.next += this.every;
  }

  private where({ vcpu }: Processor): string[] {
    const state = CpuState.copyOf(vcpu.copyState()), inGuest = state.get32(S.guest) !== 0;
    if (state.get32(S.activity) !== ACTIVITY.active) return [this.programs.nameOf(IDLE)];
    const linear = state.get32(S.mode) === MODE.bits64 ? state.rip : BigInt.asUintN(32, state.segBase(CS) + state.rip), page = linear & ~4095n;
    const reader = new LinearReader(this.machine.phys, state, inGuest ? (vcpu.virt?.nested ?? null) : null);
    const { bytes, readable } = reader.read(page, 4096);
    const owned = readable < 4096 ? undefined : this.programs.match(bytes, Math.floor(reader.physical(page) / 4096));
    const level = owned?.account ?? (inGuest ? INSIDE : OUTSIDE);
    const name = owned === undefined ? undefined : this.nameAt(level, linear - page + owned.link);
    return [...this.programs.frames(level), name ?? `0x${page.toString(16)}`];
  }
  /** The function at a link address. */
  private nameAt(level: number, link: bigint): string | undefined {
    const program = this.programs.program(level);
    if (program === undefined) return undefined;
    let symbols = this.symbols.get(program.name);
    if (symbols === undefined) this.symbols.set(program.name, (symbols = new Symbols(program.image)));
    return symbols.at(link)?.name;
  }
}
