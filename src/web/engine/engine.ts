/**
 * The engine as the page sees it: one machine, its stepper, what its serial port said and its timeline. Lives in the worker.
 *
 * Invariant: a move is carried out in pieces of bounded length, so that an interruption is heard and progress is shown.
 */

import type { Machine } from '../../machine/machine.js';
import { PROBE_NAMES } from '../../machine/probe.js';
import type { Position } from '../../debug/api.js';
import type { FromWorker, RequestName, Requests, Statistics } from '../protocol.js';
import { TimelineRecorder } from '../timeline/recorder.js';
import { accountName, assemble, ChoiceError } from './assemble.js';
import { ConsoleLog } from './console-log.js';
import { openStepper } from './open.js';
import type { Move, Stepper } from './stepper.js';

/** Host milliseconds between two progress notices. */
const PROGRESS_MS = 100;

/** Lets waiting messages in. */
const pause = (): Promise<void> =>
  new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(0);
  });

type Handlers = { [N in RequestName]: (args: Requests[N]['args']) => Requests[N]['result'] | Promise<Requests[N]['result']> };

export class Engine {
  private machine: Machine | undefined;
  private stepper: Stepper | undefined;
  private recorder: TimelineRecorder | undefined;
  private log = new ConsoleLog();
  private shown = new Uint8Array(0);
  private wanted = false;

  constructor(private readonly tell: (notice: FromWorker) => void) {}

  interrupt(): void {
    this.wanted = true;
  }

  readonly handlers: Handlers = {
    start: (a) => this.start(a),
    state: () => this.running.state(),
    step: ({ step, direction, count }) => this.move({ kind: 'step', step, direction, count }),
    continue: ({ direction }) => this.move({ kind: 'continue', direction }),
    goTo: (a) => this.move('position' in a ? { kind: 'position', position: a.position } : { kind: 'cycle', cycle: a.cycle }),
    walk: ({ linear }) => this.running.walk(linear),
    memory: ({ linear, bytes }) => this.running.memory(linear, bytes),
    disassemble: ({ linear, lines }) => this.running.disassemble(linear, lines),
    resolve: ({ text }) => this.running.resolve(text),
    stops: () => this.running.stops(),
    addStop: ({ condition }) => {
      this.running.addStop(condition);
      return this.running.stops();
    },
    removeStop: ({ id }) => {
      this.running.removeStop(id);
      return this.running.stops();
    },
    exits: ({ count }) => this.running.exits(count),
    timeline: ({ from, to, columns }) => this.recorder!.window(from, to, columns),
    statistics: () => this.statistics(),
    input: ({ bytes }) => {
      this.log.forget(this.machine!.cycles);
      this.recorder!.forget();
      this.running.input(bytes);
      return this.running.state();
    },
    save: () => this.running.save(),
  };

  private get running(): Stepper {
    if (this.stepper === undefined) throw new ChoiceError('no machine is running; choose an experiment or open an image');
    return this.stepper;
  }

  private async start({ spec, assets, files, position }: Requests['start']['args']): Promise<Requests['start']['result']> {
    const log = new ConsoleLog();
    const assembly = assemble(spec, assets, files, (byte) => log.add(byte, this.machine?.cycles ?? 0));
    const { machine, stepper } = openStepper(assembly, spec);
    this.machine = machine;
    this.stepper = stepper;
    this.log = log;
    this.recorder = new TimelineRecorder(machine, (kind, a, b, c) => `${PROBE_NAMES[kind]} 0x${a.toString(16)} 0x${b.toString(16)} 0x${c.toString(16)}`);
    this.showConsole();
    if (position !== undefined && (position.instructions > 0 || position.events > 0)) return this.move({ kind: 'position', position });
    return stepper.state();
  }

  private async move(move: Move): Promise<Requests['step']['result']> {
    const stepper = this.running, machine = this.machine!;
    this.wanted = false;
    stepper.begin(move);
    let told = performance.now();
    while (!stepper.piece()) {
      if (performance.now() - told > PROGRESS_MS) {
        told = performance.now();
        this.tell({ kind: 'progress', position: positionOf(machine), cycle: machine.cycles });
        this.showConsole();
        await pause();
      }
      if (this.wanted) stepper.interrupt();
    }
    this.log.rewound(machine.cycles);
    this.recorder!.settle();
    this.showConsole();
    return stepper.state();
  }

  /** Tells the page what its console lacks, or has too much. */
  private showConsole(): void {
    const now = this.log.upTo(this.machine!.cycles), { shown } = this;
    let keep = 0;
    const most = Math.min(shown.length, now.length);
    while (keep < most && shown[keep] === now[keep]) keep++;
    if (keep === shown.length && keep === now.length) return;
    this.tell({ kind: 'console', keep, bytes: now.slice(keep) });
    this.shown = now.slice();
  }

  private statistics(): Statistics {
    const machine = this.machine!;
    const exits = [...machine.exitCounts()].map(([reason, count]) => ({ reason, count })).sort((a, b) => b.count - a.count);
    const by = new Map<string, number>();
    for (const [account, cycles] of machine.attribution?.snapshot(machine.cycles) ?? []) by.set(accountName(account), (by.get(accountName(account)) ?? 0) + cycles);
    return {
      instructions: machine.instructions, cycles: machine.cycles, frequencyHz: machine.frequencyHz, exits,
      ...(machine.attribution === undefined ? {} : { cyclesBy: [...by].map(([name, cycles]) => ({ name, cycles })) }),
    };
  }
}

const positionOf = (machine: Machine): Position => ({ instructions: machine.instructions, events: 0 });
