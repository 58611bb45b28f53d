/**
 * One run of the comparison: a machine boots one path with all its workloads, and what happens between each workload's two
 * markers is counted.
 *
 * Everything comes from the machine's events and from its cycle accounts; the guest only says where an operation begins and
 * ends, and prints checksums.
 */

import { IDLE, TRANSITION, ownerOf, partOf } from '../machine/attribution.js';
import type { FrameTap, StopReason } from '../machine/config.js';
import { Machine } from '../machine/machine.js';
import { PROBE } from '../machine/probe.js';
import { BACK_END, DEVICE_MODEL, DOM0, GUEST, HYPERVISOR } from './code-owners.js';
import { experimentMachine, type ExperimentRequest } from './experiment-machine.js';
import type { Workload } from './workloads.js';

/** Cycles by what they went to; the parts add up to the measured cycles. */
export interface CycleParts {
  readonly guest: number;
  readonly transitions: number;
  readonly hypervisor: number;
  readonly dom0BackEnd: number;
  readonly dom0DeviceModel: number;
  /** dom0's kernel and drivers where neither back end nor device model called them. */
  readonly dom0Other: number;
  readonly idle: number;
  /** Code that belongs to no image, before anybody else ran. */
  readonly unknown: number;
}

export interface Counts {
  readonly exits: number;
  readonly hypercalls: number;
  readonly notifications: number;
  readonly domainSwitches: number;
  readonly interrupts: number;
  readonly exceptions: number;
}

export interface Measurement {
  readonly workload: string;
  /** `ok`; `skipped`: the path has no such operation; `failed`: the guest or a check says so. */
  readonly status: 'ok' | 'skipped' | 'failed';
  readonly reason: string;
  readonly operations: number;
  readonly bytes: number;
  readonly cycles: number;
  readonly parts: CycleParts;
  readonly counts: Counts;
  /** VM exits by reason. */
  readonly exitsByReason: Readonly<Record<string, number>>;
  /** 16 hexadecimal digits, as the guest computed it; empty when the workload has none. */
  readonly checksum: string;
}

export interface PathResult {
  readonly measurements: readonly Measurement[];
  readonly frequencyHz: number;
  /** The whole run, boot included. */
  readonly cycles: number;
  readonly instructions: number;
  /** What the serial port said. */
  readonly console: string;
  /** Frames and bytes at the far end of the wire. */
  readonly peer: { readonly received: number; readonly sent: number; readonly echoed: number };
}

export interface RunRequest extends ExperimentRequest {
  readonly tap?: FrameTap | undefined;
  /** Called with the machine before it runs: who watches it begins here. */
  readonly observe?: (machine: Machine) => Sampling | undefined;
  /** Called when a workload begins. */
  readonly progress?: (workload: string) => void;
  /** Called for each workload, in order, as soon as its result is complete: when a later one begins, or at the end of the run. */
  readonly finished?: (w: Workload, m: Measurement, soFar: PathResult) => void;
}

/** Somebody who looks at the machine at certain cycles: `take` is called at the first end of a slice at or after `next`. */
export interface Sampling {
  readonly next: number;
  take(): void;
}

/** The run did not come to its end. */
export class RunError extends Error {}

const MARKER_BEGIN = 1, MARKER_END = 2;
const HYPERVISOR_EVENT_CHANNEL_OP = 32, EVTCHNOP_SEND = 4;
/** No run of the default comparison needs a tenth of this. */
const MOST_INSTRUCTIONS = 20_000_000_000;

interface Tally {
  exits: number;
  hypercalls: number;
  notifications: number;
  domainSwitches: number;
  interrupts: number;
  exceptions: number;
}
const noTally = (): Tally => ({ exits: 0, hypercalls: 0, notifications: 0, domainSwitches: 0, interrupts: 0, exceptions: 0 });

function partsOf(before: Map<number, number>, after: Map<number, number>): CycleParts {
  const parts = { guest: 0, transitions: 0, hypervisor: 0, dom0BackEnd: 0, dom0DeviceModel: 0, dom0Other: 0, idle: 0, unknown: 0 };
  for (const [a, sum] of after) {
    const cycles = sum - (before.get(a) ?? 0);
    const owner = ownerOf(a), part = partOf(a);
    if (a === TRANSITION) parts.transitions += cycles;
    else if (a === IDLE) parts.idle += cycles;
    else if (owner === GUEST) parts.guest += cycles;
    else if (owner === HYPERVISOR) parts.hypervisor += cycles;
    else if (owner !== DOM0) parts.unknown += cycles;
    else if (part === BACK_END) parts.dom0BackEnd += cycles;
    else if (part === DEVICE_MODEL) parts.dom0DeviceModel += cycles;
    else parts.dom0Other += cycles;
  }
  return parts;
}

/** Follows the markers and counts what happens between them. */
class Recorder {
  readonly finished = new Map<number, Omit<Measurement, 'workload' | 'status' | 'reason' | 'checksum'>>();
  private tally = noTally();
  private lastDomain = 0;
  private begun: { id: number; cycle: number; accounts: Map<number, number>; exits: Map<string, number> } | undefined;

  constructor(
    private readonly machine: Machine,
    private readonly progress: (id: number) => void,
  ) {
    machine.probe.subscribe((kind, cycle, _vcpu, a, b, c, d) => this.event(kind, cycle, a, b, c, d), [PROBE.vmExit, PROBE.systemCall, PROBE.interrupt, PROBE.exception, PROBE.marker]);
    machine.attribution?.subscribe((to) => this.arrived(ownerOf(to)));
  }

  /** A domain switch: guest code of another domain than the last runs. */
  private arrived(owner: number): void {
    if (owner !== DOM0 && owner !== GUEST) return;
    if (this.lastDomain !== 0 && owner !== this.lastDomain) this.tally.domainSwitches++;
    this.lastDomain = owner;
  }

  private event(kind: number, cycle: number, a: number, b: number, c: number, d: number): void {
    const { tally } = this;
    switch (kind) {
      case PROBE.vmExit:
        tally.exits++;
        break;
      case PROBE.systemCall:
        tally.hypercalls++;
        if (a === HYPERVISOR_EVENT_CHANNEL_OP && b === EVTCHNOP_SEND) tally.notifications++;
        break;
      case PROBE.interrupt:
        tally.interrupts++;
        break;
      case PROBE.exception:
        tally.exceptions++;
        break;
      case PROBE.marker:
        if (a === MARKER_BEGIN) this.begin(b, cycle);
        else if (a === MARKER_END) this.end(b, cycle, c, d);
    }
  }

  private begin(id: number, cycle: number): void {
    this.progress(id);
    this.tally = noTally();
    this.begun = { id, cycle, accounts: this.machine.attribution?.snapshot(cycle) ?? new Map(), exits: this.machine.exitCounts() };
  }

  private end(id: number, cycle: number, operations: number, bytes: number): void {
    const { begun } = this;
    if (begun === undefined || begun.id !== id) throw new RunError(`workload ${id} ended without having begun`);
    this.begun = undefined;
    const exitsByReason: Record<string, number> = {};
    for (const [reason, n] of this.machine.exitCounts()) {
      const more = n - (begun.exits.get(reason) ?? 0);
      if (more > 0) exitsByReason[reason] = more;
    }
    this.finished.set(id, {
      operations,
      bytes,
      cycles: cycle - begun.cycle,
      parts: partsOf(begun.accounts, this.machine.attribution?.snapshot(cycle) ?? new Map()),
      counts: { ...this.tally },
      exitsByReason,
    });
  }
}

/** What the guest printed about a workload. */
function printed(console: string, w: Workload): { checksum: string; skipped: string | undefined; failed: string | undefined } {
  const line = (rest: string): string | undefined => new RegExp(`workload ${w.guestName} id=${w.id} ${rest}`, 'm').exec(console)?.[1]?.trim();
  return { checksum: line('checksum=0x([0-9a-f]{16})') ?? '', skipped: line('skipped: (.*)$'), failed: line('failed: (.*)$') };
}

/**
 * Runs one path with its workloads on a machine of its own.
 * @throws RunError when the machine stops for another reason than the guest's end, ConfigError and ImageError for what cannot start
 */
export function runPath(request: RunRequest): PathResult {
  const { path, profile, workloads } = request;
  const out: number[] = [];
  const machine = new Machine({
    ...experimentMachine(request),
    ...(request.tap === undefined ? {} : { nic: { model: 'e1000', tap: request.tap } }),
    serial: (byte) => out.push(byte),
  });
  const { peer } = machine.platform;
  const soFar = (): PathResult => {
    const text = out.map((b) => String.fromCharCode(b)).join('');
    return {
      measurements: workloads.map((w) => measurementOf(w, recorder, text)),
      frequencyHz: machine.frequencyHz,
      cycles: machine.cycles,
      instructions: machine.instructions,
      console: text,
      peer: { received: peer?.sink.frames ?? 0, sent: peer?.source.frames ?? 0, echoed: peer?.echoed.frames ?? 0 },
    };
  };
  let reported = 0;
  const report = (upTo: number, result: PathResult): void => {
    for (; reported < upTo; reported++) request.finished?.(workloads[reported]!, result.measurements[reported]!, result);
  };
  const recorder: Recorder = new Recorder(machine, (id) => {
    const at = workloads.findIndex((w) => w.id === id);
    if (at > reported) report(at, soFar());
    request.progress?.(workloads[at]?.name ?? `workload ${id}`);
  });
  const stop = runWatched(machine, request.observe?.(machine));
  const result = soFar();
  if (stop.kind !== 'debug-exit') {
    const why = stop.kind === 'not-implemented' || stop.kind === 'shutdown' ? `${stop.what} at ${stop.address}` : stop.kind;
    throw new RunError(`${path} on ${profile.name}: the machine stopped: ${why}. It had printed:\n${result.console.split('\n').slice(-12).join('\n')}`);
  }
  report(workloads.length, result);
  return result;
}

/** Runs to the end, in pieces where somebody samples: how a run is cut does not change it. */
function runWatched(machine: Machine, sampling: Sampling | undefined): StopReason {
  for (;;) {
    const stop = machine.run({ instructions: MOST_INSTRUCTIONS, ...(sampling === undefined ? {} : { cycle: sampling.next }) });
    sampling?.take();
    if (stop.kind !== 'limit' || sampling === undefined || machine.instructions >= MOST_INSTRUCTIONS) return stop;
  }
}

const NOTHING: CycleParts = { guest: 0, transitions: 0, hypervisor: 0, dom0BackEnd: 0, dom0DeviceModel: 0, dom0Other: 0, idle: 0, unknown: 0 };

function measurementOf(w: Workload, recorder: Recorder, text: string): Measurement {
  const { checksum, skipped, failed } = printed(text, w);
  const found = recorder.finished.get(w.id);
  const empty = { operations: 0, bytes: 0, cycles: 0, parts: NOTHING, counts: noTally(), exitsByReason: {} };
  if (skipped !== undefined) return { workload: w.name, status: 'skipped', reason: skipped, checksum, ...empty };
  if (failed !== undefined) return { workload: w.name, status: 'failed', reason: failed, checksum, ...(found ?? empty) };
  if (found === undefined) return { workload: w.name, status: 'failed', reason: 'the guest did not run it', checksum, ...empty };
  return { workload: w.name, status: 'ok', reason: '', checksum, ...found };
}
