/**
 * Packets of a Perfetto trace: tracks, slices, instants and counters, in the protocol-buffers format.
 *
 * perfetto.dev, "Synthetic TrackEvent"; the messages are `Trace`, `TracePacket`, `TrackDescriptor`, `TrackEvent` and `InternedData`
 * of the published perfetto_trace.proto. Time stamps are nanoseconds since power-on; each event also has its cycle.
 *
 * Invariant: one packet is held at a time. Names are interned; their number is bounded by what they are made of.
 */

import { type ByteSink, ByteStream } from './byte-stream.js';
import { type Halves, lengthField, type ProtoWriter, varintField } from './protobuf.js';

const TRACE_PACKET = lengthField(1);
const PACKET = { timestamp: varintField(8), sequence: varintField(10), trackEvent: lengthField(11), interned: lengthField(12), sequenceFlags: varintField(13), trackDescriptor: lengthField(60) };
const DESCRIPTOR = { uuid: varintField(1), name: lengthField(2), process: lengthField(3), parent: varintField(5), counter: lengthField(8), childOrdering: varintField(11), rank: varintField(12) };
const PROCESS = { pid: varintField(1), name: lengthField(6) };
const COUNTER = { unitName: lengthField(6) };
const EVENT = { categories: varintField(3), annotation: lengthField(4), type: varintField(9), nameIid: varintField(10), track: varintField(11), counterValue: varintField(30) };
const INTERNED = { categories: lengthField(1), names: lengthField(2), annotationNames: lengthField(3) };
const ENTRY = { iid: varintField(1), name: lengthField(2) };
const ANNOTATION = { nameIid: varintField(1), unsigned: varintField(3), string: lengthField(6), pointer: varintField(7) };
const TYPE = { begin: 1, end: 2, instant: 3, counter: 4 };
const FIRST_OF_SEQUENCE = 1, NEEDS_STATE = 2, SEQUENCE = 1, EXPLICIT_ORDER = 3;

/** A value beside an event: text, a count, or an address, which is shown in hexadecimal. */
export type Argument = string | number | { readonly address: number | Halves };
export type Arguments = Readonly<Record<string, Argument | undefined>>;

/** Strings that packets name by number. */
class Interned {
  private readonly known = new Map<string, number>();
  private fresh: [number, string][] = [];

  constructor(private readonly field: number) {}

  id(name: string): number {
    let id = this.known.get(name);
    if (id === undefined) {
      id = this.known.size + 1;
      this.known.set(name, id);
      this.fresh.push([id, name]);
    }
    return id;
  }
  get waiting(): boolean {
    return this.fresh.length > 0;
  }
  write(w: ProtoWriter): void {
    for (const [id, name] of this.fresh) w.uint32(this.field).fork().uint32(ENTRY.iid).uint32(id).uint32(ENTRY.name).string(name).ldelim();
    this.fresh = [];
  }
}

export class TrackEvents {
  private readonly out: ByteStream;
  private readonly names = new Interned(INTERNED.names);
  private readonly categories = new Interned(INTERNED.categories);
  private readonly annotations = new Interned(INTERNED.annotationNames);
  private tracks = 0;
  private first = true;

  constructor(sink: ByteSink, private readonly writer: ProtoWriter, private readonly frequencyHz: number) {
    this.out = new ByteStream(sink);
  }

  private packet(cycle: number | undefined, fill: (w: ProtoWriter) => void): void {
    const w = this.writer;
    w.reset().uint32(TRACE_PACKET).fork();
    if (cycle !== undefined) w.uint32(PACKET.timestamp).uint64(Math.round((cycle * 1e9) / this.frequencyHz));
    w.uint32(PACKET.sequence).uint32(SEQUENCE).uint32(PACKET.sequenceFlags).uint32(this.first ? FIRST_OF_SEQUENCE | NEEDS_STATE : NEEDS_STATE);
    this.first = false;
    fill(w);
    if (this.names.waiting || this.categories.waiting || this.annotations.waiting) {
      w.uint32(PACKET.interned).fork();
      for (const table of [this.categories, this.names, this.annotations]) table.write(w);
      w.ldelim();
    }
    this.out.bytes(w.ldelim().finish());
  }

  /** A group of tracks, shown as a process. */
  group(pid: number, name: string): number {
    const uuid = ++this.tracks;
    this.packet(undefined, (w) => {
      w.uint32(PACKET.trackDescriptor).fork().uint32(DESCRIPTOR.uuid).uint32(uuid).uint32(DESCRIPTOR.childOrdering).uint32(EXPLICIT_ORDER);
      w.uint32(DESCRIPTOR.process).fork().uint32(PROCESS.pid).int32(pid).uint32(PROCESS.name).string(name).ldelim().ldelim();
    });
    return uuid;
  }
  /** A track of a group. @param rank its place among the group's @param unit for a counter's track: what it counts */
  track(group: number, name: string, rank: number, unit?: string): number {
    const uuid = ++this.tracks;
    this.packet(undefined, (w) => {
      w.uint32(PACKET.trackDescriptor).fork().uint32(DESCRIPTOR.uuid).uint32(uuid).uint32(DESCRIPTOR.parent).uint32(group).uint32(DESCRIPTOR.name).string(name).uint32(DESCRIPTOR.rank).int32(rank);
      if (unit !== undefined) w.uint32(DESCRIPTOR.counter).fork().uint32(COUNTER.unitName).string(unit).ldelim();
      w.ldelim();
    });
    return uuid;
  }

  private event(type: number, track: number, cycle: number, name?: string, category?: string, args: Arguments = {}): void {
    this.packet(cycle, (w) => {
      w.uint32(PACKET.trackEvent).fork().uint32(EVENT.type).uint32(type).uint32(EVENT.track).uint32(track);
      if (name !== undefined) w.uint32(EVENT.nameIid).uint32(this.names.id(name));
      if (category !== undefined) w.uint32(EVENT.categories).uint32(this.categories.id(category));
      for (const [key, value] of Object.entries(args)) if (value !== undefined) this.argument(w, key, value);
      w.ldelim();
    });
  }
  private argument(w: ProtoWriter, key: string, value: Argument): void {
    w.uint32(EVENT.annotation).fork().uint32(ANNOTATION.nameIid).uint32(this.annotations.id(key));
    if (typeof value === 'string') w.uint32(ANNOTATION.string).string(value);
    else if (typeof value === 'number') w.uint32(ANNOTATION.unsigned).uint64(value);
    else w.uint32(ANNOTATION.pointer).uint64(value.address);
    w.ldelim();
  }

  slice(track: number, from: number, to: number, name: string, category: string, args: Arguments): void {
    this.event(TYPE.begin, track, from, name, category, { ...args, cycle: from, cycles: to - from });
    this.event(TYPE.end, track, to);
  }
  instant(track: number, cycle: number, name: string, category: string, args: Arguments): void {
    this.event(TYPE.instant, track, cycle, name, category, { ...args, cycle });
  }
  counter(track: number, cycle: number, value: number): void {
    this.packet(cycle, (w) => {
      w.uint32(PACKET.trackEvent).fork().uint32(EVENT.type).uint32(TYPE.counter).uint32(EVENT.track).uint32(track).uint32(EVENT.counterValue).int64(value).ldelim();
    });
  }
  finish(): void {
    this.out.flush();
  }
}
