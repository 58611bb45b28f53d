/**
 * Copies of the control block at each VM entry and VM exit: what the view compares with.
 *
 * The processor numbers its transitions, and that number is machine state: it goes back when the run is travelled back. A copy belongs to
 * a number, so the copies stay right in both directions; playing a stretch again makes the same copies.
 *
 * Invariant: a copy is only used when no transition between it and where the machine stands is missing. What is not known is not shown
 * as unchanged from something older.
 */

import type { Machine } from '../../machine/machine.js';
import { PROBE } from '../../machine/probe.js';
import { BLOCK_BYTES, blockOf } from './block.js';

/** A transition: the control block as it was afterwards. */
export interface BlockImage {
  readonly kind: 'entry' | 'exit';
  readonly address: number;
  readonly bytes: Uint8Array;
}
interface Slot {
  kind: 'entry' | 'exit';
  number: number;
  address: number;
  readonly bytes: Uint8Array;
}

export class BlockHistory {
  private readonly slots: (Slot | undefined)[][] = [];
  private machine: Machine | undefined;
  private detach: (() => void) | undefined;

  /** @param kept copies for each vCPU, 2 KiB each */
  constructor(private readonly kept = 256) {}

  /** Starts listening. @returns the function that ends it */
  attach(machine: Machine): () => void {
    this.detach?.();
    this.machine = machine;
    this.detach = machine.probe.subscribe((kind, _cycle, vcpu) => this.keep(vcpu, kind === PROBE.vmEntry ? 'entry' : 'exit'), [PROBE.vmEntry, PROBE.vmExit]);
    return () => this.detach?.();
  }

  private keep(vcpu: number, kind: 'entry' | 'exit'): void {
    const block = blockOf(this.machine!, vcpu);
    if (block === undefined) return;
    const slots = (this.slots[vcpu] ??= new Array<Slot | undefined>(this.kept).fill(undefined));
    const slot = (slots[block.transitions % this.kept] ??= { kind, number: 0, address: 0, bytes: new Uint8Array(BLOCK_BYTES) });
    slot.kind = kind;
    slot.number = block.transitions;
    slot.address = block.address;
    slot.bytes.set(this.machine!.memory.u8.subarray(block.at, block.at + block.bytes));
  }

  /** The last two transitions of the block in use, latest first; fewer where they are not known without a gap. */
  latest(vcpu: number): readonly BlockImage[] {
    const block = this.machine === undefined ? undefined : blockOf(this.machine, vcpu);
    const out: BlockImage[] = [];
    if (block === undefined) return out;
    for (let n = block.transitions; n > 0 && n > block.transitions - this.kept && out.length < 2; n--) {
      const slot = this.slots[vcpu]?.[n % this.kept];
      if (slot === undefined || slot.number !== n) break;
      if (slot.address === block.address) out.push(slot);
    }
    return out;
  }
}
