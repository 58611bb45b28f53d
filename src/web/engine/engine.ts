/**
 * The engine as the page sees it: one debug session, what its serial port said and its timeline. Lives in the worker.
 *
 * Invariant: a move pauses again and again, so that an interruption is heard and progress is shown.
 */

import type { Position, StateView } from '../../debug/api.js';
import { Session, SessionError } from '../../debug/session.js';
import { checkConfiguration, parseSession, recordOf, replaySession, type SessionConfiguration, writeSession } from '../../debug/session-file.js';
import { type NoScreen, type Screen, sameScreen } from '../../machine/screen.js';
import type { FileText, FromWorker, RequestName, Requests, Statistics } from '../protocol.js';
import { configurationOf } from '../session-spec.js';
import { TimelineRecorder } from '../timeline/recorder.js';
import { accountName, assemble } from './assemble.js';
import { ConsoleLog } from './console-log.js';

/** Host milliseconds between two progress notices. */
const PROGRESS_MS = 100;

/** Lets waiting messages in. */
const letMessagesIn = (): Promise<void> =>
  new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(0);
  });

type Handlers = { [N in RequestName]: (args: Requests[N]['args']) => Requests[N]['result'] | Promise<Requests[N]['result']> };

/** What belongs to one machine. */
interface Running {
  readonly session: Session;
  readonly log: ConsoleLog;
  readonly recorder: TimelineRecorder;
  readonly configuration: SessionConfiguration;
}

/** Runs a fresh machine to where a session file was saved. @throws SessionFileError, and then the machine is of no use */
async function resume({ session, recorder, configuration }: Running, file: FileText): Promise<void> {
  const record = parseSession(file.text, file.name);
  checkConfiguration(record, configuration);
  replaySession(record, session.machine, session.history);
  for (const linear of record.breakpoints) session.addPoint({ kind: 'breakpoint', linear: `0x${linear.toString(16)}` });
  await session.goTo(record.position);
  recorder.settle();
}

const atBeginning = ({ instructions, events }: Position): boolean => instructions === 0 && events === 0;

export class Engine {
  private current: Running | undefined;
  /** COM1 as the page has it. */
  private shown: Uint8Array = new Uint8Array(0);
  /** The screen as the page has it. */
  private shownScreen: Screen | NoScreen | undefined;
  private told = 0;

  constructor(private readonly tell: (notice: FromWorker) => void) {}

  interrupt(): void {
    this.current?.session.interrupt();
  }

  readonly handlers: Handlers = {
    start: (a) => this.start(a),
    step: ({ step, direction, count }) => this.move((s) => s.step(step, direction, count)),
    continue: ({ direction }) => this.move((s) => s.continue(direction)),
    goTo: (a) => this.move((s) => s.goTo('position' in a ? a.position : { cycle: a.cycle })),
    walk: ({ text }) => this.session.walk(this.session.resolve(text)),
    memory: ({ text, bytes }) => this.session.memory(this.session.resolve(text), bytes),
    stops: () => this.session.points,
    addStop: ({ condition }) => {
      this.session.addPoint(condition);
      return this.session.points;
    },
    addStopAt: ({ text, watch }) => {
      if (watch === undefined) this.session.breakAt(text);
      else this.session.addPoint({ kind: 'watchpoint', linear: `0x${this.session.resolve(text).toString(16)}`, where: text, ...watch });
      return this.session.points;
    },
    removeStop: ({ id }) => {
      this.session.removePoint(id);
      return this.session.points;
    },
    exits: ({ count }) => this.session.exits(-count, count).reverse(),
    timeline: ({ from, to, columns }) => this.running.recorder.window(from, to, columns),
    statistics: () => this.statistics(),
    input: ({ bytes }) => this.input(bytes),
    save: () => {
      const { session, configuration } = this.running, breakpoints = session.points.flatMap((p) => (p.kind === 'breakpoint' ? [BigInt(p.linear)] : []));
      return writeSession(recordOf(session.machine, session.history, configuration, session.link(), breakpoints));
    },
  };

  private get running(): Running {
    if (this.current === undefined) throw new SessionError('no machine is running; choose an experiment or open an image');
    return this.current;
  }
  private get session(): Session {
    return this.running.session;
  }

  private async start({ spec, assets, files, position, session: saved }: Requests['start']['args']): Promise<StateView> {
    const log = new ConsoleLog(), source = assemble(spec, assets, files);
    const session: Session = new Session({ ...source, config: { ...source.config, serial: (byte) => log.add(byte, session.cycle) }, pause: () => this.pause() });
    const hashOf = (name: string): string => [...files, ...Object.values(assets.images)].find((f) => f.name === name)?.sha256 ?? '';
    const running = { session, log, recorder: new TimelineRecorder(session.machine), configuration: configurationOf(source.config, spec, hashOf) };
    if (saved !== undefined) await resume(running, saved);
    // Only now: when anything above fails, the machine that was there before stays.
    this.current = running;
    this.showOutput();
    return position === undefined || atBeginning(position) ? this.state() : this.move((s) => s.goTo(position));
  }

  private state(): StateView {
    return this.session.state();
  }

  /** Between two slices of a long move. */
  private async pause(): Promise<void> {
    const now = performance.now();
    if (now - this.told > PROGRESS_MS) {
      this.told = now;
      this.tell({ kind: 'progress', position: this.session.position, cycle: this.session.cycle });
      this.showOutput();
    }
    await letMessagesIn();
  }

  private async move(act: (session: Session) => Promise<unknown>): Promise<StateView> {
    const { session, log, recorder } = this.running;
    this.told = performance.now();
    try {
      await act(session);
    } finally {
      log.rewound(session.cycle);
      recorder.settle();
      this.showOutput();
    }
    return this.state();
  }

  private input(bytes: Uint8Array): StateView {
    const { session, log, recorder } = this.running;
    session.input(bytes);
    log.forget(session.cycle);
    recorder.forget();
    return this.state();
  }

  /** What the machine shows of itself: its serial port and its screen. */
  private showOutput(): void {
    this.showConsole();
    const screen = this.session.machine.screen();
    if (this.shownScreen !== undefined && sameScreen(screen, this.shownScreen)) return;
    this.tell({ kind: 'screen', screen });
    this.shownScreen = screen;
  }

  /** Tells the page what its console lacks, or has too much. */
  private showConsole(): void {
    const { log, session } = this.running, now = log.upTo(session.cycle), { shown } = this;
    let keep = 0;
    const most = Math.min(shown.length, now.length);
    while (keep < most && shown[keep] === now[keep]) keep++;
    if (keep === shown.length && keep === now.length) return;
    this.tell({ kind: 'console', keep, bytes: now.slice(keep) });
    this.shown = now.slice();
  }

  private statistics(): Statistics {
    const { machine } = this.session;
    const exits = [...machine.exitCounts()].map(([reason, count]) => ({ reason, count })).sort((a, b) => b.count - a.count);
    const by = new Map<string, number>();
    for (const [account, cycles] of machine.attribution?.snapshot(machine.cycles) ?? []) by.set(accountName(account), (by.get(accountName(account)) ?? 0) + cycles);
    return {
      instructions: machine.instructions, cycles: machine.cycles, frequencyHz: machine.frequencyHz, exits,
      ...(machine.attribution === undefined ? {} : { cyclesBy: [...by].map(([name, cycles]) => ({ name, cycles })) }),
    };
  }
}
