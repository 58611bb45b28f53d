/**
 * Time travel: a run that can be gone through in both directions. Snapshots are taken along the way; to go back is to restore one and to
 * run forward again, which gives the same states (machine/snapshot.ts).
 *
 * Going back one instruction costs the way from the snapshot before it. So no two snapshots are further apart than INTERVAL of work, and
 * while somebody goes back, closer ones are left just before the present. When they occupy more than the limit, every other one
 * is given up and the interval doubles: memory stays bounded, and the way back gets longer evenly.
 *
 * What enters the run from outside (serial input, changes by hand) is remembered with its position and enters again in every replay.
 *
 * Invariants: listeners, breakpoints and consoles see replays, too: `replaying` says so. A position is reached when the machine arrives
 * there for the first time; where it then idles, position and cycle together say where something came from outside.
 */

import type { Position, RunLimits, StopReason } from '../machine/config.js';
import type { Machine } from '../machine/machine.js';
import type { Snapshot } from '../machine/snapshot.js';
import { comparePositions, type History, type Stop } from './history.js';

/** Work of the host between two snapshots, at first (Machine.hostWork). */
const INTERVAL = 8_000_000;
/** Instructions between two looks at how much work has been done. */
const STRETCH = 200_000;
/** Distances before the present at which going back leaves snapshots, and how many of these are kept. */
const NEAR = [1_000_000, 100_000, 10_000, 400] as const, MOST_NEAR = 24;
const DEFAULT_LIMIT = 1 << 30;

interface Mark {
  readonly snapshot: Snapshot;
  /** How many entries of the log had entered. */
  readonly entered: number;
  /** Left by going back, just before a present: given up first. */
  readonly near: boolean;
}

/** Something that came from outside. */
interface Entry {
  readonly position: Position;
  readonly cycle: number;
  readonly apply: (machine: Machine) => void;
  /** Serial input; absent for other changes. */
  readonly bytes?: Uint8Array;
}

/** Serial input, for session files. */
export interface InputRecord {
  readonly position: Position;
  readonly cycle: number;
  readonly bytes: Uint8Array;
}

const before = (a: Position, b: Position): boolean => comparePositions(a, b) < 0;
/** Is somebody asking for it, as opposed to the end of the run? */
const resumable = (stop: Stop): boolean => stop.kind === 'limit' || stop.kind === 'interrupted' || stop.kind === 'breakpoint' || stop.kind === 'watchpoint';

export class Timeline implements History {
  /** Bytes that snapshots may occupy. */
  readonly limit: number;
  private readonly marks: Mark[] = [];
  private readonly log: Entry[] = [];
  /** Entries of the log that have entered at this point of the run. */
  private entered = 0;
  private interval = INTERVAL;
  /** The snapshot that was taken, restored or passed last, and the work since. */
  private passed: Mark | undefined;
  private spent = 0;
  private replays = 0;
  private farthest: Position;

  /** Begins where the machine stands: no way leads further back. */
  constructor(private readonly machine: Machine, options: { memoryLimit?: number } = {}) {
    this.limit = options.memoryLimit ?? DEFAULT_LIMIT;
    this.farthest = machine.position;
    this.mark(false);
  }

  get position(): Position {
    return this.machine.position;
  }
  /** Bytes that snapshots occupy now. */
  get bytes(): number {
    return this.machine.snapshotBytes;
  }
  /** How many there are. */
  get snapshots(): number {
    return this.marks.length;
  }
  /** The beginning: nothing is before it. */
  get beginning(): Position {
    return this.marks[0]!.snapshot.position;
  }
  /** The last position that the run has ever come to. */
  get furthest(): Position {
    return this.farthest;
  }
  /** The machine is run on the way to somewhere else: what it prints or reports now has been printed or reported, or will be undone. */
  get replaying(): boolean {
    return this.replays > 0;
  }
  /** Serial input so far, up to the end of what is known of the run. */
  get inputs(): readonly InputRecord[] {
    return this.log.flatMap(({ position, cycle, bytes }) => (bytes === undefined ? [] : [{ position, cycle, bytes }]));
  }
  /** Something was changed by hand: the state does not follow from configuration and input alone. */
  get edited(): boolean {
    return this.log.some((e) => e.bytes === undefined);
  }

  // --- forward ------------------------------------------------------------------------------------------------------------------

  /** Runs on, as `Machine.run` does, taking snapshots along the way. */
  run(limits: RunLimits = {}): Stop {
    const from = this.position;
    let stop = this.advance(limits);
    // A limit that ends right before a breakpoint: the next run would pass it.
    if (stop.kind === 'limit' && limits.position === undefined && limits.exact !== true && before(from, this.position)) stop = this.breakpointHere() ?? stop;
    return stop;
  }

  /** One instruction or event of the vCPU whose turn it is. */
  stepOne(): Stop {
    const { instructions, events } = this.position;
    return this.advance({ position: { instructions, events: events + 1 } });
  }

  /** Runs in stretches, so that snapshots can be taken and what comes from outside enters where it did. */
  private advance(limits: RunLimits): StopReason {
    const { machine } = this, goal = limits.position ?? { instructions: limits.instructions ?? Infinity, events: 0 };
    for (;;) {
      this.enter();
      const entry = this.log[this.entered], here = this.position;
      const stretch = { instructions: here.instructions + STRETCH, events: 0 };
      const work = machine.hostWork;
      let stop: StopReason;
      if (entry !== undefined && before(entry.position, goal) && !before(stretch, entry.position)) stop = this.towards(entry, limits.cycle);
      else if (before(stretch, goal)) stop = machine.run({ instructions: stretch.instructions, ...(limits.cycle === undefined ? {} : { cycle: limits.cycle }), ...(limits.exact === true && limits.cycle !== undefined ? { exact: true } : {}) });
      else stop = machine.run(limits);
      this.spent += machine.hostWork - work;
      const now = this.position;
      if (before(this.farthest, now)) this.farthest = now;
      if (stop.kind !== 'limit') return stop;
      this.enter();
      if (!before(now, goal) || (limits.cycle !== undefined && machine.cycles >= limits.cycle)) return stop;
      const found = before(here, now) ? this.breakpointHere() : undefined;
      if (found !== undefined && (entry === undefined || before(now, entry.position))) return found;
      this.consider();
    }
  }

  /** Runs to where something came from outside: its position, and then its cycle if the machine idled there. */
  private towards(entry: Entry, cycle: number | undefined): StopReason {
    const { machine } = this, within = (limits: RunLimits): RunLimits => (cycle === undefined ? limits : { ...limits, cycle: Math.min(cycle, limits.cycle ?? Infinity) });
    if (before(this.position, entry.position)) return machine.run(within({ position: entry.position }));
    return machine.run(within({ cycle: entry.cycle, exact: true }));
  }
  /** Lets enter what comes at this very point. */
  private enter(): void {
    for (let e = this.log[this.entered]; e !== undefined; e = this.log[this.entered]) {
      const order = comparePositions(e.position, this.position);
      if (order > 0 || (order === 0 && this.machine.cycles < e.cycle)) return;
      this.entered++;
      e.apply(this.machine);
    }
  }

  private breakpointHere(): StopReason | undefined {
    const { machine } = this, points = machine.breakpoints.all();
    if (points.length === 0) return undefined;
    const vcpu = machine.current, linear = machine.processors[vcpu]!.vcpu.linear;
    return points.includes(linear) ? { kind: 'breakpoint', vcpu, linear } : undefined;
  }

  // --- what comes from outside ----------------------------------------------------------------------------------------------------

  /** Serial input at this point of the run. What was known of the run after it is forgotten. */
  input(bytes: Uint8Array): void {
    const copy = bytes.slice();
    this.append({ position: this.position, cycle: this.machine.cycles, apply: (m) => m.serialInput(copy), bytes: copy });
  }
  /** A change of the state by hand at this point: `change` is called again in every replay and must do the same. The future is forgotten. */
  edit(change: (machine: Machine) => void): void {
    this.append({ position: this.position, cycle: this.machine.cycles, apply: change });
  }
  private append(entry: Entry): void {
    this.enter();
    this.log.length = this.entered;
    this.drop((m) => !before(m.snapshot.position, entry.position) && m !== this.marks[0]);
    this.farthest = entry.position;
    this.log.push(entry);
    this.enter();
  }
  /** Input of a session file, before the run begins. @param inputs in the order of their positions */
  expect(inputs: readonly InputRecord[]): void {
    for (const { position, cycle, bytes } of inputs) this.log.push({ position, cycle, bytes, apply: (m) => m.serialInput(bytes) });
  }

  // --- anywhere -----------------------------------------------------------------------------------------------------------------

  /** Goes to a position, exactly; when the run ends before it, to its end; when there is none such, to the next one that there is. */
  goTo(p: Position): void {
    this.quietly(() => this.travel(p));
  }

  /** Goes `n` positions back. False, and to the beginning, when there are not so many. */
  back(n = 1): boolean {
    if (n <= 0) return true;
    return this.quietly(() => {
      const now = this.position, { beginning } = this;
      if (!before(beginning, now)) return false;
      // How many positions lie between two counts of instructions only the run knows: it is gone through once.
      for (let distance = n; ; distance *= 2) {
        const from = now.instructions - distance > beginning.instructions ? { instructions: now.instructions - distance, events: 0 } : beginning;
        this.travel(from);
        const seen: Position[] = [];
        for (let p = this.position; before(p, now); p = this.position) {
          seen.push(p);
          const stop = this.stepOne();
          if (!resumable(stop) || !before(p, this.position)) break;
        }
        const found = seen[seen.length - n];
        if (found === undefined && before(beginning, from)) continue;
        this.travel(found ?? beginning);
        return found !== undefined;
      }
    });
  }

  private travel(p: Position): void {
    const now = this.position;
    if (comparePositions(p, now) === 0) return;
    const base = this.lastMarkBefore(p);
    if (!before(now, p) || before(now, base.snapshot.position)) this.restore(base);
    if (!before(this.position, p)) return;
    // Going back leaves snapshots just before the goal, so that the next step back is short.
    if (before(p, this.farthest))
      for (const distance of NEAR) {
        const at = p.instructions - distance;
        if (at <= this.position.instructions) continue;
        this.runTo({ instructions: at, events: 0 });
        if (this.position.instructions < p.instructions) this.mark(true);
      }
    this.runTo(p);
  }
  /** Runs to a position whatever breakpoints are on the way. */
  private runTo(p: Position): void {
    while (before(this.position, p)) {
      const stop = this.advance({ position: p });
      if (!resumable(stop)) return;
    }
  }

  // --- backwards in search of something -------------------------------------------------------------------------------------------

  /**
   * Goes to the last moment before now that a listener finds.
   * @param arm subscribes to what is looked for, calls `hit` with the position of each find, and returns the function that ends it
   * @returns false, without having moved, when there is none
   */
  reverseTo(arm: (machine: Machine, hit: (p: Position) => void) => () => void): boolean {
    const found = this.searchBack((until) => {
      let last: Position | undefined;
      const disarm = arm(this.machine, (p) => {
        if (before(p, until)) last = p;
      });
      try {
        this.runTo(until);
      } finally {
        disarm();
      }
      return last;
    });
    if (found !== undefined) this.goTo(found);
    return found !== undefined;
  }

  /** Goes to the last stop at a breakpoint or watchpoint before now; to the beginning when there is none. */
  reverseContinue(): Stop {
    let stop: StopReason | undefined;
    const now = this.position;
    const found = this.searchBack((until) => {
      let last: Position | undefined;
      const note = (s: StopReason | undefined): void => {
        if (s === undefined || (s.kind !== 'breakpoint' && s.kind !== 'watchpoint') || !before(this.position, now)) return;
        stop = s;
        last = this.position;
      };
      if (comparePositions(this.position, this.beginning) === 0) note(this.breakpointHere());
      while (before(this.position, until)) {
        const s = this.advance({ position: until });
        note(s);
        if (!resumable(s)) break;
      }
      // What is right at the end is the beginning of the stretch after it, which passed it.
      note(this.breakpointHere());
      return last;
    });
    this.goTo(found ?? this.beginning);
    return stop ?? { kind: 'beginning' };
  }

  /** Looks through the past, stretch by stretch from the present: `look` runs the machine up to `until` and returns what it found last. */
  private searchBack(look: (until: Position) => Position | undefined): Position | undefined {
    return this.quietly(() => {
      const now = this.position, cycle = this.machine.cycles;
      let until = now;
      while (before(this.beginning, until)) {
        const base = this.lastMarkBefore(until), from = base.snapshot.position;
        this.restore(base);
        const found = look(until);
        if (found !== undefined) return found;
        until = from;
      }
      if (comparePositions(this.position, now) === 0) return undefined;
      this.travel(now);
      if (this.machine.cycles < cycle) this.advance({ cycle, exact: true });
      return undefined;
    });
  }

  // --- snapshots ----------------------------------------------------------------------------------------------------------------

  private quietly<T>(action: () => T): T {
    this.replays++;
    try {
      return action();
    } finally {
      this.replays--;
    }
  }

  private lastMarkBefore(p: Position): Mark {
    for (let i = this.marks.length - 1; i > 0; i--) if (before(this.marks[i]!.snapshot.position, p)) return this.marks[i]!;
    return this.marks[0]!;
  }

  private restore(mark: Mark): void {
    this.machine.restore(mark.snapshot);
    this.entered = mark.entered;
    this.passed = mark;
    this.spent = 0;
  }

  /** Takes a snapshot when the last one is far enough away. */
  private consider(): void {
    const last = this.lastMarkBefore({ instructions: this.position.instructions, events: Infinity });
    if (last !== this.passed) {
      this.passed = last;
      this.spent = 0;
    }
    if (this.spent >= this.interval) this.mark(false);
  }

  private mark(near: boolean): void {
    const { position } = this, at = this.marks.findIndex((m) => !before(m.snapshot.position, position));
    if (at >= 0 && comparePositions(this.marks[at]!.snapshot.position, position) === 0) return;
    const mark: Mark = { snapshot: this.machine.snapshot(), entered: this.entered, near };
    this.marks.splice(at < 0 ? this.marks.length : at, 0, mark);
    this.passed = mark;
    this.spent = 0;
    if (near) this.dropFarNear(position);
    while (this.bytes > this.limit && this.marks.length > 2) this.thin(mark);
  }
  /** Of the snapshots that going back has left, those nearest to the present stay. */
  private dropFarNear(position: Position): void {
    const all = this.marks.filter((m) => m.near);
    if (all.length <= MOST_NEAR) return;
    const distance = (m: Mark): number => Math.abs(m.snapshot.position.instructions - position.instructions);
    const gone = all.reduce((a, b) => (distance(b) > distance(a) ? b : a));
    this.drop((m) => m === gone);
  }
  /** Makes room: snapshots that going back has left, then every other one. The first and `keep` stay. */
  private thin(keep: Mark): void {
    const n = this.marks.length, first = this.marks[0];
    this.drop((m) => m.near && m !== keep);
    if (this.marks.length < n) return;
    this.interval *= 2;
    let odd = false;
    this.drop((m) => m !== first && m !== keep && (odd = !odd));
  }
  private drop(unwanted: (m: Mark) => boolean): void {
    for (let i = this.marks.length - 1; i >= 0; i--) {
      const m = this.marks[i]!;
      if (!unwanted(m)) continue;
      this.marks.splice(i, 1);
      this.machine.release(m.snapshot);
    }
  }
}
