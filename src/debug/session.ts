/**
 * A debug session: one machine, its history, and everything that a stopped machine shows. The terminal stepper and the browser page are
 * two faces of this class.
 *
 * Whatever may take long is a promise, runs in slices and can be interrupted; one such command at a time. Everything else answers at once,
 * also between slices. Invariant: looking changes nothing, neither the run nor the cycles.
 */

import type { MachineConfig } from '../machine/config.js';
import { Machine } from '../machine/machine.js';
import type { Direction, DisassemblyLineView, ExitView, Position, RegisterGroupView, SourceView, StateView, StepKind, StopPoint, StopView, WalkView } from './api.js';
import { Consoles, type ConsoleView } from './consoles.js';
import { disassemble, disassembleAround, type Names } from './disassembly.js';
import { exitReasonNames, sameReason } from './exit-names.js';
import { breakpointAddress, resolveExpression } from './expressions.js';
import { ExitExplainer } from './exits/explainer.js';
import type { ReasonSummary } from './exits/log.js';
import { comparePositions, SessionError } from './history.js';
import { hostLine } from './host-line.js';
import { type Link, type Origin, writeLink } from './link.js';
import { Look } from './look.js';
import { type LoadedProgram, type Program, Programs } from './programs.js';
import { registerNames, registerViews } from './registers.js';
import { RunControl } from './run-control.js';
import { type NewPoint, StopPoints } from './stop-points.js';
import { Steps } from './steps.js';
import { StepsBack } from './steps-back.js';
import { checkConfiguration, configurationOf, recordOf, replaySession, type SessionRecord } from './session-file.js';
import { Timeline } from './timeline.js';
import { hex, walkView } from './walk.js';

export { SessionError } from './history.js';
export type { ConsoleView } from './consoles.js';
export type { NewPoint } from './stop-points.js';
export type { Program } from './programs.js';

/** What a session is made from. */
export interface SessionSource {
  /** `serial` receives COM1's bytes besides the session. */
  readonly config: MachineConfig;
  /** Programs that the machine starts, for symbols and levels. */
  readonly programs: readonly Program[];
  /** The text of a source file by its path relative to the repository; absent: no sources are at hand. */
  readonly sources?: ((file: string) => string | undefined) | undefined;
  /** What `link` says the session was made from. */
  readonly origin: Origin;
  /** Lines of COM1 are marked with who wrote them, as our hypervisor does. */
  readonly markedConsole?: boolean;
  /** Awaited between slices of a long run: lets the host do other work. */
  readonly pause?: (() => Promise<void>) | undefined;
  /** Bytes that snapshots may occupy. */
  readonly memoryLimit?: number | undefined;
}

/** Bytes of linear memory as a stopped machine has them. */
export interface MemoryView {
  readonly linear: string;
  /** Those that can be read: fewer than asked for where the rest is not mapped or belongs to a device. */
  readonly bytes: Uint8Array;
}

/** Lines of disassembly that a state shows before and after the current instruction. */
const BEFORE = 12, AFTER = 28;
const MOST_MEMORY = 1 << 20;

export class Session {
  readonly machine: Machine;
  readonly history: Timeline;
  readonly programs: Programs;
  private readonly consolesOf: Consoles;
  private readonly pointsOf: StopPoints;
  private readonly explainer: ExitExplainer;
  private readonly control: RunControl;
  private readonly forward: Steps;
  private readonly backward: StepsBack;
  private stop: StopView = { kind: 'start', sentence: 'Power on: nothing has run.' };
  private current: Look | undefined;
  private lookedAt: Position | undefined;
  /** Registers at the stop before this one. */
  private previous: Look | undefined;
  private running = false;

  /** Builds the machine; nothing has run. @throws ConfigError, ProfileError, ImageError for what cannot start */
  constructor(private readonly source: SessionSource) {
    const { config } = source;
    let consoles: Consoles | undefined;
    this.machine = new Machine({ ...config, serial: (byte) => {
      consoles?.sink(byte);
      config.serial?.(byte);
    } });
    this.consolesOf = consoles = new Consoles(source.markedConsole ?? false, () => this.machine.position);
    this.history = new Timeline(this.machine, source.memoryLimit === undefined ? {} : { memoryLimit: source.memoryLimit });
    this.programs = new Programs(source.programs);
    this.explainer = new ExitExplainer({ place: (linear, stack) => hostLine(this.programs, linear, stack) });
    this.explainer.attach(this.machine);
    this.pointsOf = new StopPoints(this.machine);
    this.control = new RunControl(this.machine, this.history, this.pointsOf, source.pause, (linear) => this.describe(linear));
    this.forward = new Steps(this.control, () => this.look());
    this.backward = new StepsBack(this.control, () => this.look());
  }

  // --- where it stands

  get position(): Position {
    return this.history.position;
  }
  get cycle(): number {
    return this.machine.cycles;
  }
  /** Why it stands where it stands. */
  get stopView(): StopView {
    return this.stop;
  }
  /** A command is running. */
  get busy(): boolean {
    return this.running;
  }
  /** Number of the vCPU whose turn it is. */
  get vcpu(): number {
    return this.machine.current;
  }

  /** The running vCPU as it stands now, or another one. */
  look(vcpu = this.vcpu): Look {
    const now = this.history.position;
    if (vcpu !== this.vcpu) return new Look(this.machine, this.programs, vcpu);
    if (this.current === undefined || this.lookedAt === undefined || comparePositions(now, this.lookedAt) !== 0 || this.current.vcpu !== vcpu) {
      this.current = new Look(this.machine, this.programs, vcpu);
      this.lookedAt = now;
    }
    return this.current;
  }

  /** Everything that a stop shows. @param vcpu whose registers and code; default: the one whose turn it is */
  state(vcpu = this.vcpu): StateView {
    const look = this.look(vcpu), { history } = this, source = this.sourceOf(look), lastExit = this.explainer.last();
    const control = this.explainer.controlBlock(vcpu);
    return {
      position: history.position, cycle: this.cycle, stop: this.stop, place: look.place,
      vcpus: this.machine.processors.map((_, i) => this.look(i).place),
      registers: this.registers(vcpu),
      disassembly: disassembleAround(look.reader, look.linear, look.bits, look.codeBase, BEFORE, AFTER, this.names(look)),
      ...(source === undefined ? {} : { source }),
      ...(control === undefined ? {} : { control }),
      ...(lastExit === undefined ? {} : { lastExit }),
      history: { bytes: history.bytes, limit: history.limit, snapshots: history.snapshots },
    };
  }
  registers(vcpu = this.vcpu): RegisterGroupView[] {
    return registerViews(this.look(vcpu).state, this.previous?.vcpu === vcpu ? this.previous.state : undefined);
  }
  private sourceOf(look: Look): SourceView | undefined {
    const line = look.line;
    if (line === undefined) return undefined;
    const text = this.source.sources?.(line.file);
    return { file: line.file, line: line.line, ...(text === undefined ? {} : { text }) };
  }
  /** The text of a source file, when it is at hand. */
  sourceText(file: string): string | undefined {
    return this.source.sources?.(file);
  }
  private names(look: Look): Names {
    return {
      symbol: (linear) => look.symbolAt(linear), line: (linear) => look.lineAt(linear), breakpoint: (linear) => this.pointsOf.breakpointAt(linear) !== undefined,
    };
  }
  /** `symbol+offset (file:line)`, or the address alone. */
  describe(linear: bigint): string {
    const look = this.look(), s = look.symbolAt(linear), line = look.lineAt(linear);
    const name = s === undefined ? hex(linear) : s.offset === 0 ? s.name : `${s.name}+${s.offset}`;
    return line === undefined ? name : `${name} (${line.file}:${line.line})`;
  }

  // --- moving

  /** `count` steps of a kind; ends early at a point, an end, or `interrupt`. */
  async step(kind: StepKind, direction: Direction = 'forward', count = 1): Promise<StopView> {
    return this.command(async () => {
      let view: StopView = this.stop;
      for (let i = 0; i < count; i++) {
        view = direction === 'forward' ? await this.forward.step(kind) : await this.backwards(() => this.backward.step(kind));
        if (view.kind !== 'step') break;
        if (this.control.takeInterrupt()) return this.control.interrupted;
      }
      if (kind === 'instruction' && count > 1 && view.kind === 'step') return { ...view, sentence: `${count} instructions${direction === 'back' ? ' back' : ''}.` };
      return view;
    });
  }

  /** Runs until a point, an end or `interrupt`. */
  async continue(direction: Direction = 'forward'): Promise<StopView> {
    return this.command(async () => {
      if (direction === 'back') return this.backwards(() => this.continueBack());
      const ended = await this.control.run();
      return ended.kind === 'stop' ? ended.view : { kind: 'step', sentence: 'Stopped.' };
    });
  }

  /** To a position, or to the first instruction at or after a cycle, before or after now. */
  async goTo(target: Position | { readonly cycle: number }): Promise<StopView> {
    return this.command(async () => {
      const { history } = this;
      if ('cycle' in target) {
        if (target.cycle < this.cycle) await this.backwards(async () => this.goBeforeCycle(target.cycle));
        if (target.cycle > this.cycle) {
          const ended = await this.control.run({ limits: { cycle: target.cycle, exact: true } });
          if (ended.kind === 'stop') return ended.view;
        }
        return { kind: 'cycle', sentence: `Cycle ${this.cycle}.` };
      }
      if (comparePositions(target, history.position) < 0) await this.backwards(async () => history.goTo(target));
      else if (comparePositions(target, history.position) > 0) {
        const ended = await this.control.run({ limits: { position: target, exact: true } });
        if (ended.kind === 'stop') return ended.view;
      }
      return { kind: 'step', sentence: `Instruction ${history.position.instructions}.` };
    });
  }

  /** Ends the command that runs, soon; its promise says `interrupted`. */
  interrupt(): void {
    this.control.interrupt();
  }

  private async command(action: () => Promise<StopView>): Promise<StopView> {
    if (this.running) throw new SessionError('a command is running already');
    this.running = true;
    this.control.begin();
    const before = this.look();
    try {
      this.stop = await action();
      if (this.explainer.canLearn) await this.backwards(async () => this.learn());
    } finally {
      this.running = false;
      this.current = undefined;
      this.previous = before;
    }
    return this.stop;
  }
  /** Plays the run up to the first VM entries once more, to know which lines of the hypervisor asked for what exits; then back to here. */
  private learn(): void {
    this.explainer.learnFrom(this.history);
  }
  private async backwards<T>(action: () => Promise<T>): Promise<T> {
    return this.consolesOf.during(action);
  }
  private async continueBack(): Promise<StopView> {
    const ended = this.control.ended(this.history.reverseContinue());
    return ended?.kind === 'stop' ? ended.view : { kind: 'beginning', sentence: 'The beginning of the run.' };
  }
  /** To a position whose cycle is not after `cycle`. */
  private goBeforeCycle(cycle: number): void {
    const { history } = this;
    for (let back = 1; ; back *= 4) {
      const to = Math.max(0, history.position.instructions - back * 1000);
      history.goTo({ instructions: to, events: 0 });
      if (this.cycle <= cycle || to === 0) return;
    }
  }

  // --- points

  get points(): readonly StopPoint[] {
    return this.pointsOf.all;
  }
  /** @throws SessionError for an exit reason that there is not */
  addPoint(point: NewPoint): StopPoint {
    if (point.kind === 'exit-reason' && point.reason !== undefined) this.checkReason(point.reason);
    return this.pointsOf.add(point);
  }
  private checkReason(wanted: string): void {
    const names = exitReasonNames(this.machine.extension);
    if (names.some((n) => sameReason(wanted, n))) return;
    const like = names.filter((n) => n.toLowerCase().includes(wanted.toLowerCase().slice(0, 4))).slice(0, 8);
    throw new SessionError(`no VM exit is called "${wanted}"${like.length === 0 ? '' : `; similar are ${like.join(', ')}`}`);
  }
  removePoint(id: number): void {
    this.pointsOf.remove(id);
  }
  enablePoint(id: number, enabled: boolean): StopPoint {
    return this.pointsOf.enable(id, enabled);
  }
  /** A breakpoint where an expression says: behind the entry code of a function, or at `*ADDRESS` exactly. */
  breakAt(expression: string, temporary = false): StopPoint {
    const { linear } = breakpointAddress(expression, this.look(), this.programs);
    return this.pointsOf.add({ kind: 'breakpoint', linear: hex(linear), where: expression.trim(), temporary });
  }

  // --- looking closer

  walk(linear: bigint, vcpu = this.vcpu): WalkView {
    const look = this.look(vcpu);
    return walkView(this.machine.phys, look.state, look.nested, linear);
  }
  /** @param bytes up to 1 MiB */
  memory(linear: bigint, bytes: number, vcpu = this.vcpu): MemoryView {
    const { bytes: all, readable } = this.look(vcpu).reader.read(BigInt.asUintN(64, linear), Math.min(bytes, MOST_MEMORY));
    return { linear: hex(linear), bytes: all.slice(0, readable) };
  }
  disassemble(linear: bigint, count: number, vcpu = this.vcpu): DisassemblyLineView[] {
    const look = this.look(vcpu);
    return disassemble(look.reader, linear, look.bits, look.codeBase, count, this.names(look), look.linear);
  }
  /** Names that begin with `prefix`: of symbols (`program!` in front of those that others have too), and of registers after `$`. */
  symbols(prefix: string, most = 200): string[] {
    if (prefix.startsWith('$')) return registerNames(this.look().state).map((n) => `$${n.toLowerCase()}`).filter((n) => n.startsWith(prefix.toLowerCase())).slice(0, most);
    const bang = prefix.indexOf('!');
    if (bang >= 0) {
      const program = this.programs.named(prefix.slice(0, bang));
      return (program?.symbols.names(prefix.slice(bang + 1)) ?? []).slice(0, most).map((n) => `${program!.name}!${n}`);
    }
    return [...new Set(this.programs.all.flatMap((p: LoadedProgram) => p.symbols.names(prefix)))].sort().slice(0, most);
  }
  /** The linear address that a text means. @throws SessionError */
  resolve(expression: string): bigint {
    return resolveExpression(expression, this.look(), this.programs).linear;
  }

  // --- VM exits

  /**
   * VM exits and refused entries up to now, oldest first.
   * @param from number of the first, counted from power-on; below 0: counted from the end @param n how many at most
   */
  exits(from = -20, n = 20): ExitView[] {
    return this.explainer.list(from, n);
  }
  /** How many exits there were up to now. */
  get exitCount(): number {
    return this.explainer.count;
  }
  /** By reason, most frequent first. */
  exitHistogram(): ReasonSummary[] {
    return this.explainer.histogram();
  }
  // --- consoles and links

  /** Bytes for COM1's receiver, at this position. */
  input(bytes: Uint8Array): void {
    this.history.input(bytes);
    this.explainer.forgetFuture();
  }
  consoles(): ConsoleView[] {
    return this.consolesOf.views();
  }
  /** What a session file holds (session-file.ts). @param sha256 of a file, 64 hexadecimal digits @throws SessionFileError */
  record(sha256: (bytes: Uint8Array) => string): SessionRecord {
    const { config, origin } = this.source, points = this.points.flatMap((p) => (p.kind === 'breakpoint' ? [BigInt(p.linear)] : []));
    return recordOf(this.machine, this.history, configurationOf(config, origin.seed, sha256), this.link(), points);
  }
  /** Goes to where a session file was saved, from power-on, and sets its breakpoints. @throws SessionFileError when it is another machine's, or the run comes to another state */
  async resume(record: SessionRecord, sha256: (bytes: Uint8Array) => string): Promise<void> {
    checkConfiguration(record, configurationOf(this.source.config, this.source.origin.seed, sha256));
    await this.command(async () => {
      replaySession(record, this.machine, this.history);
      return { kind: 'step', sentence: 'The session as it was saved.' };
    });
    for (const linear of record.breakpoints) this.addPoint({ kind: 'breakpoint', linear: hex(linear) });
  }
  /** Text that reproduces this state: see link.ts. */
  link(): string {
    return writeLink({ origin: this.source.origin, position: this.history.position } satisfies Link);
  }
}
