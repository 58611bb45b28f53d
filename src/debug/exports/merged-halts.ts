/**
 * The probe's events with stretches of halting in one piece. A run is cut where its caller likes, and a halt with it; a trace must not
 * show that. What follows a halt at once is the same halt.
 */

import { PROBE, type Probe, type ProbeKind, type ProbeListener } from '../../machine/probe.js';

interface Halt {
  from: number;
  to: number;
}

export interface MergedSubscription {
  /** Tells the halts that are held back: before somebody acts who hears of the machine in another way. */
  flush(): void;
  /** Ends the subscription, with what is held back. */
  end(): void;
}

/** As `probe.subscribe`; a halt is told when something else happens. @param kinds with `PROBE.halt` among them; absent: all */
export function subscribeMerged(probe: Probe, listener: ProbeListener, kinds?: readonly ProbeKind[]): MergedSubscription {
  const held: (Halt | undefined)[] = [];
  let any = false;
  const tell = (vcpu: number): void => {
    const halt = held[vcpu];
    held[vcpu] = undefined;
    if (halt !== undefined) listener(PROBE.halt, halt.to, vcpu, halt.to - halt.from, 0, 0, 0);
  };
  const flush = (): void => {
    if (any) for (let vcpu = 0; vcpu < held.length; vcpu++) tell(vcpu);
    any = false;
  };
  const end = probe.subscribe((kind, cycle, vcpu, a, b, c, d) => {
    if (kind !== PROBE.halt) {
      flush();
      return listener(kind, cycle, vcpu, a, b, c, d);
    }
    const halt = held[vcpu];
    if (halt !== undefined && halt.to === cycle - a) halt.to = cycle;
    else {
      tell(vcpu);
      held[vcpu] = { from: cycle - a, to: cycle };
      any = true;
    }
  }, kinds);
  return { flush, end: () => (flush(), end()) };
}
