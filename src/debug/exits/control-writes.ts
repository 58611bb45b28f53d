/**
 * Who set a control of a VMCS: for each bit of each control field, the VMWRITEs that changed it.
 *
 * A field is often written for the sake of one bit (an interrupt window opens and closes a thousand times), so each bit has its own
 * history: the bit that made a guest exit was set where it changed last, whatever was written around it since.
 *
 * Invariant: entries are in the order of the run; what a replay passes again is not added twice. Knows nothing of the hypervisor.
 */

import type { Position } from '../api.js';
import { fieldOf } from '../../vtx/fields.js';
import { isBefore } from './log.js';

/** Changes kept of one bit: the latest. */
const MOST = 1024;
const BITS = 33; // the low 32, and one for anything above
const HIGH = 0x1_0000_0000;

interface Change {
  readonly position: Position;
  readonly rip: bigint;
  readonly value: number;
}
interface FieldHistory {
  /** Value after the last VMWRITE: low 32 bits, and the rest. */
  low: number;
  high: number;
  readonly bits: Change[][];
}

export class ControlWrites {
  private readonly histories = new Map<number, FieldHistory>();
  private last: Position = { instructions: -1, events: 0 };

  /** A VMWRITE happened. Fields other than controls are not followed. */
  wrote(position: Position, vmcs: number, encoding: number, value: number, rip: () => bigint): void {
    if (fieldOf(encoding)?.type !== 'control' || !isBefore(this.last, position)) return;
    this.last = position;
    const key = vmcs * 0x1_0000 + (encoding & ~1);
    const known = this.histories.get(key);
    const h: FieldHistory = known ?? { low: 0, high: 0, bits: Array.from({ length: BITS }, () => []) };
    this.histories.set(key, h);
    const low = value % HIGH >>> 0, high = Math.floor(value / HIGH);
    const changed = known === undefined ? 0xffff_ffff : (h.low ^ low) >>> 0;
    h.low = low;
    let at: bigint | undefined;
    for (let rest = changed; rest !== 0; ) {
      const bit = 31 - Math.clz32(rest);
      rest = (rest & ~(1 << bit)) >>> 0;
      push(h.bits[bit]!, { position, rip: (at ??= rip()), value: (low >>> bit) & 1 });
    }
    if (known === undefined || high !== h.high) push(h.bits[32]!, { position, rip: (at ??= rip()), value: high });
    h.high = high;
  }

  /** RIP of the VMWRITE that gave the bits of `mask` their value, as of `now`; undefined when none was seen. @param mask 0: the whole field */
  lastChange(vmcs: number, encoding: number, mask: number, now: Position): bigint | undefined {
    const h = this.histories.get(vmcs * 0x1_0000 + encoding);
    if (h === undefined) return undefined;
    let found: Change | undefined;
    for (let bit = 0; bit < BITS; bit++) {
      if (mask !== 0 && (bit === 32 || ((mask >>> bit) & 1) === 0)) continue;
      const list = h.bits[bit]!;
      for (let i = list.length - 1; i >= 0; i--) {
        if (!isBefore(list[i]!.position, now)) continue;
        if (found === undefined || isBefore(found.position, list[i]!.position)) found = list[i];
        break;
      }
    }
    return found?.rip;
  }

  /** Forgets what came after `p`: the run takes another way. */
  forget(p: Position): void {
    for (const h of this.histories.values()) {
      let low = 0;
      h.bits.forEach((list, bit) => {
        while (list.length > 0 && !isBefore(list[list.length - 1]!.position, p)) list.pop();
        const value = list[list.length - 1]?.value ?? 0;
        if (bit === 32) h.high = value;
        else low = (low | (value << bit)) >>> 0;
      });
      h.low = low;
    }
    if (!isBefore(this.last, p)) this.last = { instructions: p.instructions, events: p.events - 1 };
  }
}

function push(list: Change[], c: Change): void {
  list.push(c);
  if (list.length > 2 * MOST) list.splice(0, MOST);
}
