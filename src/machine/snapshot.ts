/**
 * Snapshots of the whole machine.
 *
 * A snapshot is exact: running on after `restore` gives the run that running on without would have given, cycle for cycle. So it has
 * not only what the architecture defines but also what history left in the engine (docs/adr/0012): software TLBs, decoded code, timing
 * tables, and the run loop's own counters. Linear memory: memory-image.ts. Objects: object-state.ts.
 *
 * Invariants: taking one does not change the run. Snapshots stay valid whatever is restored in between, in any order, until they are
 * released; they are of the machine that took them and of no other. Host-side observers (probe listeners, breakpoints, consoles)
 * are not part of one.
 */

import { InstructionDecoder } from '../cpu/engine/decoder.js';
import { Engine } from '../cpu/engine/engine.js';
import { Handlers } from '../cpu/engine/handlers.js';
import { Compiler } from '../cpu/engine/regions/compiler.js';
import { MsrTable } from '../cpu/registers.js';
import { STATE_BYTES } from '../cpu/state.js';
import { ProfileCpuid } from '../cpu/system/cpuid.js';
import { Wire } from '../devices/net/wire.js';
import { LinearMemory } from '../mem/linear-memory.js';
import { STATE_BASE } from '../mem/layout.js';
import { Attribution } from './attribution.js';
import type { Position } from './config.js';
import { type Image, MemoryImages, type Range } from './memory-image.js';
import { type ObjectState, ObjectStates } from './object-state.js';
import { Probe } from './probe.js';
import { type HashedMachine, stateHash } from './state-hash.js';

/** Reachable from the machine, but not its state. */
const OUTSIDE: readonly (readonly [new (...args: never[]) => object, why: string])[] = [
  [LinearMemory, 'its contents are saved as pages'],
  [Probe, 'who listens is no part of the machine'],
  [Handlers, 'compiled once, the same for good'],
  [Compiler, 'regions change nothing; it gives them up where records change'],
  [InstructionDecoder, 'keeps nothing from one run of instructions to the next'],
  [MsrTable, 'definitions; values are in the state or with their owners'],
  [ProfileCpuid, 'read from the profile'],
];

/** Fields that hold observers or tools, in classes that are state otherwise. */
const OUTSIDE_FIELDS: readonly (readonly [new (...args: never[]) => object, ...fields: string[]])[] = [
  [Attribution, 'listeners'],
  [Wire, 'taps', 'observer'],
  [Engine, 'snapshotHooks', 'slowCalls'],
];
const NO_FIELDS: ReadonlySet<string> = new Set();
const outsideFields = (o: object): ReadonlySet<string> => {
  const entry = OUTSIDE_FIELDS.find(([type]) => o instanceof type);
  return entry === undefined ? NO_FIELDS : new Set(entry.slice(1) as string[]);
};

const outside = (o: object): boolean => OUTSIDE.some(([type]) => o instanceof type);

/** A moment of a machine's run. */
export interface Snapshot {
  readonly position: Position;
  /** Cycles since power-on. */
  readonly cycle: number;
  /** Bytes that it occupies beside what it shares with the snapshot before it. */
  readonly bytes: number;
}

interface Taken extends Snapshot {
  readonly owner: Snapshots;
  readonly image: Image;
  readonly compared: readonly Range[];
  readonly objects: ObjectState;
  released: boolean;
}

/** What snapshots need of their machine. */
export interface SnapshotHost extends HashedMachine {
  readonly memory: LinearMemory;
}

export class Snapshots {
  /** Not state of the machine: see ObjectStates. */
  readonly outsideSnapshots = true;
  private readonly images: MemoryImages;
  private readonly states: ObjectStates;
  /** Bytes of what is not pages, of all snapshots that are held. */
  private objectBytes = 0;

  /**
   * @param host the machine: everything that it reaches is saved
   * @param timingTables where the timing core keeps its tables; undefined in functional mode
   */
  constructor(
    private readonly host: SnapshotHost,
    private readonly engine: Engine,
    private readonly timingTables: () => Range | undefined,
  ) {
    this.images = new MemoryImages(host.memory);
    this.states = new ObjectStates(host.memory.memory.buffer, outside, outsideFields);
  }

  /** Bytes that all snapshots occupy together. */
  get bytes(): number {
    return this.images.bytes + this.objectBytes;
  }

  take(): Snapshot {
    const { host, engine } = this;
    for (const h of engine.snapshotHooks) h.beforeSnapshot?.();
    engine.tlb.withholdWrites();
    const compared = this.compared(), image = this.images.save(compared), objects = this.states.save(this.host);
    for (const h of engine.snapshotHooks) h.afterSnapshot?.();
    this.objectBytes += objects.bytes;
    const taken: Taken = { position: host.position, cycle: host.cycles, bytes: image.bytes + objects.bytes, owner: this, image, compared, objects, released: false };
    return taken;
  }

  /** @throws Error when the snapshot is another machine's or has been released */
  restore(snapshot: Snapshot): void {
    const s = this.own(snapshot), { engine } = this;
    for (const h of engine.snapshotHooks) h.beforeRestore?.();
    this.images.restore(s.image, s.compared);
    this.states.restore(s.objects);
    for (const h of engine.snapshotHooks) h.afterRestore?.();
  }

  /** Gives a snapshot up: its memory is free, as far as no other shares it. */
  release(snapshot: Snapshot): void {
    const s = this.own(snapshot);
    s.released = true;
    this.images.release(s.image);
    this.objectBytes -= s.objects.bytes;
  }

  /** A hash of the whole state (state-hash.ts). */
  hash(): string {
    const { buffer } = this.host.memory.memory;
    return stateHash(this.host, this.images.hash(), (o) => outside(o) || (ArrayBuffer.isView(o) && o.buffer === buffer));
  }
  /** For tests: guest pages that were written but not marked as such. */
  unmarkedPages(): number[] {
    return this.images.unmarked();
  }

  private own(snapshot: Snapshot): Taken {
    const s = snapshot as Taken;
    if (s.owner !== this) throw new Error('the snapshot belongs to another machine');
    if (s.released) throw new Error('the snapshot has been released');
    return s;
  }
  private compared(): Range[] {
    const tables = this.timingTables();
    return [{ from: STATE_BASE, to: STATE_BASE + STATE_BYTES }, this.engine.cache.used, ...(tables === undefined ? [] : [tables])];
  }
}
