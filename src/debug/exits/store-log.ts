/**
 * Who set a bit of a page of memory: for each byte, the stores that changed it.
 *
 * The page's stores are heard of (Machine.watchpoints.listen) before they are made or right after, so what a store changed is looked at when
 * the next one is heard of, against a copy of the page.
 *
 * Invariant: changes are in the order of the run. A stretch that is played again adds nothing; after it the copy is taken anew, so that
 * nothing is put down to the wrong instruction.
 */

import type { Position } from '../api.js';
import { isBefore } from './log.js';

/** Changes of one byte kept in full: the latest. Of older ones, the last that changed each bit. */
const MOST = 1024;

/** Who stored: the instruction, and the words on top of its stack, among which a small function such as memset has where it returns to. */
export interface Storer {
  readonly rip: bigint;
  readonly stack: readonly bigint[];
}
interface Change {
  readonly position: Position;
  readonly by: Storer;
  /** Bits that it changed. */
  readonly bits: number;
}
interface Store {
  readonly from: number;
  readonly bytes: number;
  readonly position: Position;
  readonly by: Storer;
}

export class StoreLog {
  private readonly shadow: Uint8Array;
  private readonly changes = new Map<number, Change[]>();
  private waiting: Store[] = [];
  private last: Position;
  /** The last store that was heard of is known already: the copy is old. */
  private stale = false;

  /** @param page the page's bytes in the linear memory, as they change @param from stores before it are not this log's @param until nor are those from here on */
  constructor(
    private readonly page: Uint8Array,
    from: Position,
    private readonly until: Position = { instructions: Infinity, events: 0 },
  ) {
    this.shadow = page.slice();
    this.last = { instructions: from.instructions, events: from.events - 1 };
  }

  /** @param from offset in the page */
  heard(from: number, bytes: number, position: Position, by: () => Storer): void {
    if (!isBefore(position, this.until)) return;
    if (isBefore(position, this.last)) {
      this.stale = true;
      return;
    }
    if (this.stale) {
      this.shadow.set(this.page);
      this.waiting = [];
      this.stale = false;
    } else this.settle();
    this.last = position;
    this.waiting.push({ from, bytes, position, by: by() });
  }

  /** Looks at what the stores heard of have changed: they have been made. */
  settle(): void {
    for (const s of this.waiting) {
      const end = Math.min(s.from + s.bytes, this.page.length);
      for (let i = Math.max(0, s.from); i < end; i++) {
        const value = this.page[i]!;
        const bits = value ^ this.shadow[i]!;
        if (bits === 0) continue;
        this.shadow[i] = value;
        const list = this.changes.get(i) ?? [];
        list.push({ position: s.position, by: s.by, bits });
        this.changes.set(i, list.length > 2 * MOST ? shortened(list) : list);
      }
    }
    this.waiting = [];
  }

  /** The store that gave the bits of `mask` in a byte the value they have at `now`; undefined when none was heard of. */
  lastChange(offset: number, mask: number, now: Position): Storer | undefined {
    if (!this.stale) this.settle();
    const list = this.changes.get(offset) ?? [];
    for (let i = list.length - 1; i >= 0; i--) if ((list[i]!.bits & mask) !== 0 && isBefore(list[i]!.position, now)) return list[i]!.by;
    return undefined;
  }

  /** Forgets what came from `p` on: the run takes another way. */
  forget(p: Position): void {
    for (const list of this.changes.values()) while (list.length > 0 && !isBefore(list[list.length - 1]!.position, p)) list.pop();
    this.shadow.set(this.page);
    this.waiting = [];
    if (!isBefore(this.last, p)) this.last = { instructions: p.instructions, events: p.events - 1 };
  }
}

function shortened(list: readonly Change[]): Change[] {
  const recent = list.slice(-MOST), older: Change[] = [];
  let seen = 0;
  for (let i = list.length - MOST - 1; i >= 0 && seen !== 0xff; i--) {
    if ((list[i]!.bits & ~seen) === 0) continue;
    seen |= list[i]!.bits;
    older.unshift(list[i]!);
  }
  return [...older, ...recent];
}
