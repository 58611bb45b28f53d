/**
 * A run as a Perfetto trace: for each vCPU a track for each level that had it, a track for the exits of each guest, one for devices, and
 * a counter of exits.
 *
 * A slice of a level is the time that it ran; its name at the hypervisor's level is what led there. A slice of an exit reaches from the
 * guest's last instruction to its next one, whoever ran in between. The same access to a device again and again (a driver that polls) is
 * one slice with a count.
 */

import type { Machine } from '../../machine/machine.js';
import { PROBE } from '../../machine/probe.js';
import type { ByteSink } from './byte-stream.js';
import { callName } from './call-names.js';
import { type ExitFacts, exitFacts, hex } from './exit-facts.js';
import { guestEcx, guestRip } from './guest-state.js';
import { Levels, type Span } from './levels.js';
import type { ProgramAccounts } from './program-accounts.js';
import { halvesOf, type ProtoWriter } from './protobuf.js';
import { type Arguments, TrackEvents } from './track-events.js';

interface OpenExit {
  readonly cycle: number;
  readonly facts: ExitFacts;
  readonly rip: bigint;
}
/** Accesses to a device that are the same but for the value. */
interface Accesses {
  readonly kind: number;
  readonly address: number;
  readonly from: number;
  to: number;
  times: number;
  value: number;
  readonly bytes: number;
}
/** A guest's virtual processor, known by its VMCS or VMCB. */
interface GuestCpu {
  readonly track: number;
  open: OpenExit | undefined;
}

const EXITS_RANK = 0, COUNTER_RANK = 1, DEVICES_RANK = 2, LEVELS_RANK = 10;
const ACCESS_NAMES: Readonly<Record<number, string>> = { [PROBE.ioRead]: 'IN', [PROBE.ioWrite]: 'OUT', [PROBE.mmioRead]: 'read', [PROBE.mmioWrite]: 'write' };

export class PerfettoTrace {
  private readonly events: TrackEvents;
  private readonly levels: Levels;
  private readonly end: () => void;
  private readonly groups: number[];
  private readonly levelTracks: Map<string, number>[];
  private readonly devices: (number | undefined)[] = [];
  private readonly accesses: (Accesses | undefined)[] = [];
  private readonly counters: (number | undefined)[] = [];
  private readonly guests = new Map<number, GuestCpu>();
  /** VMCS or VMCB that each vCPU entered last, and the exits of each. */
  private readonly entered: number[] = [];
  private readonly exits: number[];

  /** Starts writing the machine's events to `sink`. */
  constructor(private readonly machine: Machine, private readonly programs: ProgramAccounts, sink: ByteSink, writer: ProtoWriter) {
    this.events = new TrackEvents(sink, writer, machine.frequencyHz);
    this.groups = machine.processors.map((_, i) => this.events.group(i + 1, `vCPU ${i}`));
    this.levelTracks = machine.processors.map(() => new Map());
    this.exits = machine.processors.map(() => 0);
    // Before the levels: a listener that comes first can say what led to the next one.
    this.end = machine.probe.subscribe((kind, cycle, vcpu, a, b, c, d) => this.event(kind, cycle, vcpu, a, b, c, d));
    this.levels = new Levels(machine, (span) => this.span(span));
  }

  /** Writes what is open, and the rest. */
  finish(): void {
    this.end();
    this.levels.finish();
    this.accesses.forEach((_, vcpu) => this.writeAccesses(vcpu));
    for (const guest of this.guests.values()) this.close(guest, this.machine.cycles);
    this.events.finish();
  }

  private levelTrack(vcpu: number, level: number): number {
    const known = this.levelTracks[vcpu]!, name = this.programs.nameOf(level);
    let track = known.get(name);
    if (track === undefined) known.set(name, (track = this.events.track(this.groups[vcpu]!, name, LEVELS_RANK + known.size)));
    return track;
  }
  private span({ vcpu, level, from, to, cause }: Span): void {
    this.events.slice(this.levelTrack(vcpu, level), from, to, cause === '' ? this.programs.nameOf(level) : cause, 'level', {});
  }

  private event(kind: number, cycle: number, vcpu: number, a: number, b: number, c: number, d: number): void {
    if (kind === PROBE.halt) return; // the levels' affair
    this.levels.settle();
    if (kind in ACCESS_NAMES) return this.access(kind, cycle, vcpu, a, b, c);
    switch (kind) {
      case PROBE.diskRequest: return this.device(vcpu, cycle, c === 1 ? 'disk write' : 'disk read', { lba: a, sectors: b });
      case PROBE.frameSent: return this.device(vcpu, cycle, 'frame sent', { bytes: a });
      case PROBE.frameReceived: return this.device(vcpu, cycle, 'frame received', { bytes: a });
      case PROBE.vmEntry: return this.entry(cycle, vcpu, c);
      case PROBE.vmExit: return this.exit(cycle, vcpu, a, c, d);
      case PROBE.systemCall: return this.moment(vcpu, cycle, d === 1 ? `VMCALL ${a}` : callName(a), 'call', { rax: { address: a }, rdi: { address: b } }, true);
      case PROBE.interrupt: return this.moment(vcpu, cycle, `interrupt ${a}`, 'interrupt', { vector: a }, true);
      case PROBE.exception: return this.moment(vcpu, cycle, `exception ${a}`, 'exception', { vector: a, error: c, ...(a === 14 ? { cr2: { address: d } } : {}) }, true);
      case PROBE.vmEntryFailed: return this.moment(vcpu, cycle, 'VM entry failed', 'transition', {}, false);
      case PROBE.marker: return this.moment(vcpu, cycle, `marker ${a}`, 'marker', { id: b }, false);
    }
  }

  private moment(vcpu: number, cycle: number, name: string, category: string, args: Arguments, leads: boolean): void {
    if (leads) this.levels.because(vcpu, name);
    const rip = halvesOf(this.machine.processors[vcpu]!.vcpu.s.rip);
    this.events.instant(this.levelTrack(vcpu, this.levels.at(vcpu)), cycle, name, category, { ...args, rip: { address: rip } });
  }
  private deviceTrack(vcpu: number): number {
    return (this.devices[vcpu] ??= this.events.track(this.groups[vcpu]!, 'devices', DEVICES_RANK));
  }
  private device(vcpu: number, cycle: number, name: string, args: Arguments): void {
    this.events.instant(this.deviceTrack(vcpu), cycle, name, 'device', args);
  }
  private access(kind: number, cycle: number, vcpu: number, address: number, bytes: number, value: number): void {
    const last = this.accesses[vcpu];
    if (last !== undefined && last.kind === kind && last.address === address && last.bytes === bytes) {
      last.to = cycle;
      last.value = value;
      last.times++;
      return;
    }
    this.writeAccesses(vcpu);
    this.accesses[vcpu] = { kind, address, bytes, value, from: cycle, to: cycle, times: 1 };
  }
  private writeAccesses(vcpu: number): void {
    const a = this.accesses[vcpu];
    if (a === undefined) return;
    const name = `${ACCESS_NAMES[a.kind]} ${hex(a.address)}`, args = { address: { address: a.address }, bytes: a.bytes, value: { address: a.value } };
    if (a.times === 1) this.device(vcpu, a.from, name, args);
    else this.events.slice(this.deviceTrack(vcpu), a.from, a.to, name, 'device', { ...args, times: a.times });
  }

  private exit(cycle: number, vcpu: number, code: number, c: number, d: number): void {
    const processor = this.machine.processors[vcpu]!;
    const facts = exitFacts(this.machine.extension, code, c, d, guestEcx(processor));
    const counter = (this.counters[vcpu] ??= this.events.track(this.groups[vcpu]!, 'VM exits', COUNTER_RANK, 'exits'));
    this.events.counter(counter, cycle, ++this.exits[vcpu]!);
    this.levels.because(vcpu, facts.reason);
    const guest = this.guests.get(this.entered[vcpu] ?? -1);
    if (guest !== undefined) guest.open = { cycle, facts, rip: guestRip(processor) };
  }
  private entry(cycle: number, vcpu: number, block: number): void {
    this.entered[vcpu] = block;
    let guest = this.guests.get(block);
    if (guest === undefined) {
      const kind = this.machine.extension === 'svm' ? 'VMCB' : 'VMCS';
      this.guests.set(block, (guest = { track: this.events.track(this.groups[vcpu]!, `exits (${kind} ${hex(block)})`, EXITS_RANK), open: undefined }));
    }
    this.close(guest, cycle);
  }
  /** Writes the exit that is open, as far as it got. */
  private close(guest: GuestCpu, cycle: number): void {
    const { open } = guest;
    guest.open = undefined;
    if (open === undefined) return;
    const { reason, sentence, port, bytes, gpa, msr, vector, register } = open.facts;
    const address = (value: number | undefined): { address: number } | undefined => (value === undefined ? undefined : { address: value });
    this.events.slice(guest.track, open.cycle, cycle, reason, 'exit', {
      sentence, rip: { address: halvesOf(open.rip) }, port: address(port), bytes, gpa: address(gpa), msr: address(msr), vector, register,
    });
  }
}
