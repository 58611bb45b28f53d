/**
 * Stops that gdb has no packet for: the next VM exit, VM entry, hypercall, interrupt or exception. `monitor stop` sets them; `continue` and
 * `reverse-continue` obey them.
 *
 * They listen to the machine's events. A listener that sees what it waits for asks the machine to stop, which it does after the instruction at hand.
 */

import { PROBE, type ProbeKind } from '../../machine/probe.js';
import type { Machine } from '../../machine/machine.js';

export const CATCH_KINDS = ['exit', 'entry', 'hypercall', 'interrupt', 'exception'] as const;
export type CatchKind = (typeof CATCH_KINDS)[number];

const EVENT: Readonly<Record<CatchKind, ProbeKind>> = {
  exit: PROBE.vmExit, entry: PROBE.vmEntry, hypercall: PROBE.systemCall, interrupt: PROBE.interrupt, exception: PROBE.exception,
};

export interface Catch {
  readonly kind: CatchKind;
  /** Only this reason, exit code or vector. */
  readonly number?: number;
  /** For people. */
  readonly text: string;
}

export class Catchpoints {
  private readonly list: Catch[] = [];

  get all(): readonly Catch[] {
    return this.list;
  }
  add(c: Catch): void {
    this.list.push(c);
  }
  clear(): void {
    this.list.length = 0;
  }

  /** Listens until the returned function is called. Costs nothing while there is nothing to wait for. */
  arm(machine: Machine, hit: (c: Catch, vcpu: number) => void): () => void {
    if (this.list.length === 0) return () => undefined;
    return machine.probe.subscribe((kind, _cycle, vcpu, a) => {
      const found = this.list.find((c) => EVENT[c.kind] === kind && (c.number === undefined || c.number === a));
      if (found !== undefined) hit(found, vcpu);
    }, [...new Set(this.list.map((c) => EVENT[c.kind]))]);
  }
}
