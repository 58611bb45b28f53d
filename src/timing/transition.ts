/**
 * What entering and leaving a guest costs: the sum of its parts.
 *
 * A transition drains the core, moves fields between registers and memory, loads segments, checks, handles MSR areas, may flush
 * translations and may inject an event. The extension counts those parts while it does them. The published figure is a minimal
 * round trip; the prices of the parts are smaller figures of the profile; what is left is the drain, found here, so that the
 * minimal transition costs exactly what was published and anything more costs more.
 */

import type { TransitionParts } from '../cpu/ports.js';
import { type TimingProfile, TimingProfileError } from './profile.js';

export type TransitionKind = 'vm-entry' | 'vm-exit';

/** Parts of the minimal transitions that the published round trips are made of: a guest that does nothing but exit. */
export interface MinimalTransitions {
  readonly entry: TransitionParts;
  readonly exit: TransitionParts;
}

export class TransitionCost {
  private readonly entryDrain: number;
  private readonly exitDrain: number;

  constructor(private readonly p: TimingProfile, minimal: MinimalTransitions) {
    const f = p.figures;
    this.entryDrain = this.drain('transition.entry', f['transition.entry'], minimal.entry);
    this.exitDrain = this.drain('transition.exit', f['transition.exit'], minimal.exit);
  }

  private drain(name: string, published: number, minimal: TransitionParts): number {
    const rest = published - this.parts(minimal);
    if (rest < 0) throw new TimingProfileError(`profile ${this.p.name}: figure "${name}" (${published}) is less than the parts of a minimal transition (${published - rest})`);
    return rest;
  }

  private parts(t: TransitionParts): number {
    const f = this.p.figures;
    return (
      (t.fieldsLoaded + t.fieldsSaved) * f['transition.field'] +
      t.segmentsLoaded * f['transition.segment'] +
      t.checks * f['transition.check'] +
      (t.msrsLoaded + t.msrsSaved) * f['transition.msr'] +
      (t.tlbFlushed ? f['transition.tlb_flush'] : 0) +
      (t.injected ? f['transition.injection'] : 0)
    );
  }

  /** Cycles. */
  cost(kind: TransitionKind, t: TransitionParts): number {
    return Math.round((kind === 'vm-entry' ? this.entryDrain : this.exitDrain) + this.parts(t));
  }
}
