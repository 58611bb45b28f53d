/**
 * The log of VM exits: when each happened, and its four stamps: the guest leaves, the handler starts (the host's first instruction), the
 * handler ends (VMRESUME or VMRUN begins), the guest resumes. Cycles since power-on.
 *
 * A row is ROW doubles in one flat array, so that keeping an exit allocates nothing; the full facts of the latest ones lie beside it
 * (facts.ts). Both are rings: the oldest are overwritten.
 *
 * Rows are in the order of the run. When the run is travelled back and played again, what is known already is not added twice: a row
 * counts as soon as its position is before where the machine stands. `forget` drops what a changed future made wrong.
 */

import type { Position } from '../api.js';

/** Columns of a row. */
export const COLUMN = {
  instructions: 0, events: 1, vcpu: 2, kind: 3, code: 4, block: 5, ripHigh: 6, ripLow: 7, leaves: 8, starts: 9, ends: 10, resumes: 11,
  resumedInstructions: 12, resumedEvents: 13,
} as const;
const ROW = 14;
const MOST_REVIVED = 256;

export interface LogOptions {
  /** Exits kept. Default 65,536 (7 MiB, allocated as they come). */
  readonly rows?: number;
  /** Exits kept with all their facts. Default 8,192 (16 MiB, used as they come). */
  readonly facts?: number;
}

/**
 * Is `a` before `b`? The position of an exit, an entry or a VMWRITE is where it is next: the machine has it behind it when that position
 * is before the one where it stands.
 */
export const isBefore = (a: Position, b: Position): boolean =>
  a.instructions < b.instructions || (a.instructions === b.instructions && a.events < b.events);

export interface ExitRow {
  readonly number: number;
  readonly position: Position;
  readonly vcpu: number;
  readonly kind: number;
  readonly code: number;
  readonly rip: bigint;
  /** Cycles; a stamp that has not come yet is -1. */
  readonly leaves: number;
  readonly starts: number;
  readonly ends: number;
  readonly resumes: number;
}

/** Counts and cycles of one reason. `handling`: from the handler's start to its end; `away`: from leaving to resuming. */
export interface ReasonSummary {
  readonly reason: string;
  readonly count: number;
  readonly handling: Spread | undefined;
  readonly away: Spread | undefined;
}
export interface Spread {
  readonly min: number;
  readonly average: number;
  readonly max: number;
}

/** Sums of one reason: number of exits, number of completed ones, then sum, least and most of both durations. */
interface Tally {
  count: number;
  completed: number;
  handling: number;
  handlingMin: number;
  handlingMax: number;
  away: number;
  awayMin: number;
  awayMax: number;
}
const noTally = (): Tally => ({ count: 0, completed: 0, handling: 0, handlingMin: Infinity, handlingMax: 0, away: 0, awayMin: Infinity, awayMax: 0 });

function summaryOf(reason: string, t: Tally): ReasonSummary {
  const spread = (sum: number, min: number, max: number): Spread | undefined => (t.completed === 0 ? undefined : { min, average: sum / t.completed, max });
  return { reason, count: t.count, handling: spread(t.handling, t.handlingMin, t.handlingMax), away: spread(t.away, t.awayMin, t.awayMax) };
}

export class ExitLog {
  private rows: Float64Array;
  private readonly limit: number;
  private facts: Uint32Array | undefined;
  private readonly factsLimit: number;
  /** Rows ever added; row `n` lies at `n % capacity`. */
  private added = 0;
  /** Rows that were overwritten, by reason: they still count. */
  private readonly dropped = new Map<number, Tally>();
  /** By control block: the row of its last exit, which a later entry completes. */
  private readonly open = new Map<number, number>();
  private readonly handlerEnds: number[] = [];
  /** Facts of rows that were overwritten, and made again by playing their stretch again. */
  private readonly revived = new Map<number, Uint32Array>();

  constructor(
    private readonly recordWords: number,
    options: LogOptions = {},
  ) {
    this.limit = options.rows ?? 65_536;
    this.factsLimit = options.facts ?? 8192;
    this.rows = new Float64Array(Math.min(1024, this.limit) * ROW);
  }

  /** Number of the oldest row kept, and one more than that of the newest. */
  get first(): number {
    return Math.max(0, this.added - this.capacity);
  }
  get end(): number {
    return this.added;
  }
  private get capacity(): number {
    return this.rows.length / ROW;
  }

  /** May an event at this position be new? False while the run plays again what is known. */
  isNew(p: Position): boolean {
    return this.added === 0 || isBefore(this.positionOf(this.added - 1), p);
  }

  /** Adds an exit; the returned array is for its facts. */
  add(p: Position, vcpu: number, kind: number, code: number, cycle: number): Uint32Array {
    if (this.added === this.capacity && this.capacity < this.limit) this.grow();
    if (this.added >= this.capacity) this.drop(this.added - this.capacity);
    const n = this.added++, at = (n % this.capacity) * ROW, r = this.rows;
    r[at + COLUMN.instructions] = p.instructions;
    r[at + COLUMN.events] = p.events;
    r[at + COLUMN.vcpu] = vcpu;
    r[at + COLUMN.kind] = kind;
    r[at + COLUMN.code] = code;
    r[at + COLUMN.leaves] = cycle;
    r[at + COLUMN.starts] = r[at + COLUMN.ends] = r[at + COLUMN.resumes] = -1;
    this.facts ??= new Uint32Array(this.factsLimit * this.recordWords);
    const from = (n % this.factsLimit) * this.recordWords;
    return this.facts.subarray(from, from + this.recordWords);
  }
  /** While the run plays again what is known: room for facts of the exit at a position if they have been overwritten. */
  revive(p: Position): Uint32Array | undefined {
    const n = this.endAt(p);
    if (n >= this.added || isBefore(p, this.positionOf(n)) || this.factsOf(n) !== undefined) return undefined;
    const oldest = this.revived.keys().next();
    if (this.revived.size >= MOST_REVIVED && oldest.done !== true) this.revived.delete(oldest.value);
    const words = new Uint32Array(this.recordWords);
    this.revived.set(n, words);
    return words;
  }

  /** What became known of the newest row from its facts. @param left the guest was left: an entry completes the row */
  describe(block: number, rip: bigint, left: boolean): void {
    const n = this.added - 1, at = (n % this.capacity) * ROW;
    this.rows[at + COLUMN.block] = block;
    this.rows[at + COLUMN.ripHigh] = Number(rip >> 32n);
    this.rows[at + COLUMN.ripLow] = Number(rip & 0xffff_ffffn);
    if (left) this.open.set(block, n);
  }

  // --- stamps. The newest row of a vCPU gets the handler's start; a later entry of the same control block completes a row.

  handlerStarts(vcpu: number, cycle: number): void {
    const n = this.added - 1;
    if (n < this.first) return;
    const at = (n % this.capacity) * ROW;
    if (this.rows[at + COLUMN.vcpu] === vcpu && this.rows[at + COLUMN.starts] === -1) this.rows[at + COLUMN.starts] = cycle;
  }
  handlerEnded(vcpu: number, cycle: number): void {
    this.handlerEnds[vcpu] = cycle;
  }
  resumed(p: Position, vcpu: number, block: number, cycle: number): void {
    const n = this.open.get(block);
    // A replay passes entries that are known already.
    if (n === undefined || !isBefore(this.positionOf(n), p)) return;
    this.open.delete(block);
    if (n < this.first) return;
    const at = (n % this.capacity) * ROW;
    this.rows[at + COLUMN.resumedInstructions] = p.instructions;
    this.rows[at + COLUMN.resumedEvents] = p.events;
    this.rows[at + COLUMN.ends] = this.handlerEnds[vcpu] ?? cycle;
    this.rows[at + COLUMN.resumes] = cycle;
  }

  // --- reading

  positionOf(n: number): Position {
    const at = (n % this.capacity) * ROW;
    return { instructions: this.rows[at + COLUMN.instructions]!, events: this.rows[at + COLUMN.events]! };
  }
  /** @param now stamps that lie behind it are not shown */
  row(n: number, now: Position): ExitRow | undefined {
    if (n < this.first || n >= this.added) return undefined;
    const at = (n % this.capacity) * ROW, r = this.rows;
    const resumed = r[at + COLUMN.ends]! >= 0 && isBefore(resumedAt(r, at), now);
    return {
      number: n,
      position: this.positionOf(n),
      vcpu: r[at + COLUMN.vcpu]!,
      kind: r[at + COLUMN.kind]!,
      code: r[at + COLUMN.code]!,
      rip: (BigInt(r[at + COLUMN.ripHigh]!) << 32n) | BigInt(r[at + COLUMN.ripLow]!),
      leaves: r[at + COLUMN.leaves]!,
      starts: r[at + COLUMN.starts]!,
      ends: resumed ? r[at + COLUMN.ends]! : -1,
      resumes: resumed ? r[at + COLUMN.resumes]! : -1,
    };
  }
  /** The facts of a row, or undefined when they were overwritten. A view: copy what is to be kept. */
  factsOf(n: number): Uint32Array | undefined {
    if (this.facts === undefined || n < this.first || n >= this.added) return undefined;
    if (n < this.added - this.factsLimit) return this.revived.get(n);
    const from = (n % this.factsLimit) * this.recordWords;
    return this.facts.subarray(from, from + this.recordWords);
  }
  /** One more than the number of the last row before `p`. */
  endAt(p: Position): number {
    let low = this.first, high = this.added;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (isBefore(this.positionOf(middle), p)) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** By reason, most frequent first, of the rows up to `now`. Rows that were overwritten count as long as `now` is not before them. */
  histogram(now: Position, nameOf: (kind: number, code: number) => string): ReasonSummary[] {
    const tallies = new Map<string, Tally>();
    const end = this.endAt(now);
    if (end > this.first) for (const [key, t] of this.dropped) tallies.set(nameOf(Math.floor(key / KEY), (key % KEY) - 1), { ...t });
    for (let n = this.first; n < end; n++) {
      const at = (n % this.capacity) * ROW, name = nameOf(this.rows[at + COLUMN.kind]!, this.rows[at + COLUMN.code]!);
      const t = tallies.get(name) ?? noTally();
      tallies.set(name, t);
      count(t, this.rows, at, now);
    }
    return [...tallies].map(([reason, t]) => summaryOf(reason, t)).sort((a, b) => b.count - a.count || (a.reason < b.reason ? -1 : 1));
  }

  // --- room, and time travel

  private grow(): void {
    const larger = new Float64Array(Math.min(this.limit, this.capacity * 4) * ROW);
    larger.set(this.rows);
    this.rows = larger;
  }
  private drop(n: number): void {
    const at = (n % this.capacity) * ROW;
    const key = this.rows[at + COLUMN.kind]! * KEY + this.rows[at + COLUMN.code]! + 1;
    const t = this.dropped.get(key) ?? noTally();
    this.dropped.set(key, t);
    count(t, this.rows, at, undefined);
  }
  /** Forgets rows from `p` on: the run takes another way from there (input was given). */
  forget(p: Position): void {
    this.added = Math.max(this.first, this.endAt(p));
    this.revived.clear();
    this.open.clear();
    for (let n = this.first; n < this.added; n++) {
      const at = (n % this.capacity) * ROW, r = this.rows, block = r[at + COLUMN.block]!;
      if (r[at + COLUMN.ends]! >= 0 && isBefore(resumedAt(r, at), p)) this.open.delete(block);
      else {
        r[at + COLUMN.ends] = r[at + COLUMN.resumes] = -1;
        this.open.set(block, n);
      }
    }
  }
  clear(): void {
    this.added = 0;
    this.dropped.clear();
    this.open.clear();
  }
}

/** Kind and code in one number; codes are below 2^16, VMEXIT_INVALID is -1. */
const KEY = 65_536;

function count(t: Tally, rows: Float64Array, at: number, now: Position | undefined): void {
  t.count++;
  const ends = rows[at + COLUMN.ends]!;
  if (ends < 0 || (now !== undefined && !isBefore(resumedAt(rows, at), now))) return;
  const handling = ends - rows[at + COLUMN.starts]!, away = rows[at + COLUMN.resumes]! - rows[at + COLUMN.leaves]!;
  t.completed++;
  t.handling += handling;
  t.handlingMin = Math.min(t.handlingMin, handling);
  t.handlingMax = Math.max(t.handlingMax, handling);
  t.away += away;
  t.awayMin = Math.min(t.awayMin, away);
  t.awayMax = Math.max(t.awayMax, away);
}
const resumedAt = (rows: Float64Array, at: number): Position => ({
  instructions: rows[at + COLUMN.resumedInstructions]!,
  events: rows[at + COLUMN.resumedEvents]!,
});
