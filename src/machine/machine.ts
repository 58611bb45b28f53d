/**
 * The machine: memory, processors, devices and time, assembled from a configuration, and the run loop.
 *
 * The loop gives vCPUs slices that end at the next event. With several vCPUs they take turns of QUANTUM cycles on one clock. A
 * machine in which all vCPUs halt moves to the next event at once.
 *
 * Invariants: deterministic (the same configuration and limits give the same run; how a run is cut into calls of `run` does not
 * matter to the guest); nothing a guest does throws out of `run`.
 */

import type { Breakpoints } from '../cpu/engine/breakpoints.js';
import type { Watchpoints } from '../cpu/engine/watchpoints.js';
import { Engine } from '../cpu/engine/engine.js';
import { type CompilerOptions, type CompilerStats, CYCLE_COMPILER, DEFAULT_COMPILER, EAGER_COMPILER } from '../cpu/engine/regions/compiler.js';
import { encodingsOf } from '../cpu/isa/advertised.js';
import { CR0_ET, CR0_PE, CS, DS, ES, FS, GS, RAX, RBX, RSI, S, SS } from '../cpu/state.js';
import { setSegment } from '../cpu/system/segments.js';
import { TEXT_BASE, TEXT_BYTES } from '../devices/vga/vga.js';
import { LinearMemory } from '../mem/linear-memory.js';
import { RAM_BASE } from '../mem/layout.js';
import { PhysicalMemory } from '../mem/physical.js';
import { Attribution, TRANSITION } from './attribution.js';
import type { MachineConfig, Position, RunLimits, StopReason } from './config.js';
import { Dma } from './dma.js';
import { EventQueue } from './event-queue.js';
import { createExtension, type ExtensionKind, extensionOf, profileCpuid } from './extension.js';
import { configureDevices, firmwareTables, firmwareWindow, writeLowMemory } from './firmware/hand-over.js';
import { type CpuStart, FIRMWARE_BASE, FIRMWARE_END, GDT_BASE, ImageError, START_CODE_SELECTOR, START_DATA_SELECTOR } from './loaders/boot-memory.js';
import { loadImage, type LoadedImage } from './loaders/load.js';
import { Platform } from './platform.js';
import { Probe } from './probe.js';
import { Processor } from './processor.js';
import { platformFigures } from './profile.js';
import { type NoScreen, readScreen, type Screen } from './screen.js';
import { type Snapshot, Snapshots } from './snapshot.js';
import { createTiming, type Timing } from './timing.js';

/** Cycles that a vCPU runs before the next one gets its turn. */
const QUANTUM = 10_000;
/** Longest slice of a single vCPU. */
const LONGEST_SLICE = 10_000_000;
const ATTR_CODE = 0xc09b, ATTR_DATA = 0xc093;
const X2APIC_BIT = 1 << 21;
const FOUR_GIB = 0x1_0000_0000;

function compilerFor({ engine, mode, stopwatch, makingRegion }: MachineConfig): CompilerOptions | undefined {
  if (engine === 'interpreter') return undefined;
  const options = engine === 'compiler' ? EAGER_COMPILER : mode === 'cycle' ? CYCLE_COMPILER : DEFAULT_COMPILER;
  return { ...options, ...(stopwatch === undefined ? {} : { stopwatch }), ...(makingRegion === undefined ? {} : { making: makingRegion }) };
}

/** A configuration that cannot be built. The message is one line. */
export class ConfigError extends Error {}

export class Machine {
  readonly probe = new Probe();
  readonly queue: EventQueue;
  readonly memory: LinearMemory;
  readonly phys: PhysicalMemory;
  readonly platform: Platform;
  readonly processors: readonly Processor[];
  /** The virtualisation extension that is plugged in. */
  readonly extension: ExtensionKind;
  readonly frequencyHz: number;
  private readonly engine: Engine;
  private readonly timing: Timing | undefined;
  /** Present when the configuration classifies code and the mode is `cycle`. */
  readonly attribution: Attribution | undefined;
  private readonly image: LoadedImage | undefined;
  private readonly states: Snapshots;
  /** Linear-memory address of the ROM behind the firmware window. */
  private readonly romAt: number;
  private stop: StopReason | undefined;
  private resetWanted = false;
  private atBreakpoint: StopReason | undefined;
  /** Inside a vCPU's slice, as opposed to standing between two calls of `run` or between slices. */
  private executing = false;
  /**
   * The turn under way, in which each vCPU has a slice of `length` cycles from `begin` on: plain data, so that a snapshot can copy it. `at`:
   * whose slice is next, or (`inSlice`) runs or was interrupted at cycle `now`. `end`: the longest slice's so far. `idle`: none has run.
   */
  readonly turn = { active: false, at: 0, inSlice: false, begin: 0, length: 0, end: 0, idle: true, now: 0 };

  /** Builds and starts the machine: power is on, nothing has run. Throws ConfigError, ProfileError or ImageError. */
  constructor(config: MachineConfig) {
    const { memoryBytes, profile } = config, cpus = config.cpus ?? 1;
    if (memoryBytes % 65536 !== 0 || memoryBytes < 1 << 20 || memoryBytes > 0xc000_0000)
      throw new ConfigError(`memory of ${memoryBytes} bytes is not a multiple of 64 KiB between 1 MiB and 3 GiB`);
    if (!Number.isInteger(cpus) || cpus < 1 || cpus > 8) throw new ConfigError(`${cpus} processors: 1 to 8 are possible`);
    const figures = platformFigures(profile);
    this.frequencyHz = config.frequencyHz ?? figures.frequencyHz;
    this.extension = extensionOf(profile);
    const cpuid = profileCpuid(profile, cpus, this.extension);

    this.queue = new EventQueue(this.frequencyHz);
    this.queue.onEarlier = (at) => {
      if (at < this.turn.begin + this.turn.length) this.running?.vcpu.kick();
    };
    this.queue.running = () => (this.executing ? this.engineNow() : this.turn.inSlice ? this.turn.now : -Infinity);
    this.memory = new LinearMemory(memoryBytes);
    this.phys = new PhysicalMemory(this.memory);
    this.timing = config.mode === 'cycle' ? createTiming(this.memory, this.phys, profile, cpus, this.extension) : undefined;
    this.engine = new Engine(this.memory, this.phys, this.timing?.core, encodingsOf((leaf) => cpuid.fixed(leaf)), compilerFor(config));

    if (config.classifyCode !== undefined && this.timing !== undefined) {
      const pageOf = (hpaPage: number, linear: number) => ({ bytes: this.phys.read(hpaPage * 4096, 4096), linear, hpaPage });
      const attribution = (this.attribution = new Attribution(pageOf, config.classifyCode));
      this.engine.cache.classify = (hpaPage, linear) => attribution.classify(hpaPage, linear);
      this.timing.core.onTransition = (cycles) => attribution.exclude(TRANSITION, cycles);
    }
    const processors: Processor[] = [];
    const hosts = Array.from({ length: cpus }, (_, id) => ({
      interruptChanged: () => processors[id]?.interruptChanged(),
      nmi: () => processors[id].nmi(),
      smi: () => processors[id].smi(),
      init: () => processors[id].init(),
      startUp: (vector: number) => processors[id].startUp(vector),
      tscOffset: () => processors[id].tscOffset(),
    }));
    this.platform = new Platform(config, figures, {
      clock: this.queue, dma: new Dma(this.phys), probe: this.probe, processors: hosts, x2apic: (cpuid.fixed(1).ecx & X2APIC_BIT) !== 0,
      exit: (value) => this.end({ kind: 'debug-exit', value }),
      powerOff: () => this.end({ kind: 'power-off' }),
      reset: () => {
        this.resetWanted = true;
        this.running?.vcpu.kick();
      },
      shadow: (base, size, readRam, writeRam) => this.shadow(base, size, readRam, writeRam),
    });
    for (let id = 0; id < cpus; id++)
      processors.push(new Processor({
        id, engine: this.engine, platform: this.platform, extension: createExtension(this.extension, profile, this.engine, cpuid),
        timing: this.timing?.core ?? null, probe: this.probe, attribution: this.attribution, cpuid, lapic: () => this.platform.lapics[id],
      }));
    this.processors = processors;
    for (const p of processors) this.timing?.attach(p.vcpu);

    this.states = new Snapshots(this, this.engine, () => this.timing?.core.tables);
    const tables = firmwareTables(memoryBytes, cpus);
    this.romAt = this.installFirmware(config.boot.kind === 'firmware' ? config.boot.firmware : undefined, firmwareWindow(tables));
    this.phys.addRegion(TEXT_BASE, TEXT_BYTES, true);
    if (config.boot.kind === 'image') {
      const { image, commandLine = '', modules = [] } = config.boot;
      this.image = loadImage(image, commandLine, modules, memoryBytes, { at: tables.rsdpAt, bytes: tables.rsdp });
    }
    this.start(true);
  }

  /** Maps firmware at the top of 4 GiB and its last 128 KiB below 1 MiB, or our own window. Returns the window's memory. */
  private installFirmware(firmware: { name: string; bytes: Uint8Array } | undefined, own: Uint8Array): number {
    const window = FIRMWARE_END - FIRMWARE_BASE, bytes = firmware?.bytes ?? own;
    if (firmware !== undefined && (bytes.length < 65536 || bytes.length % 65536 !== 0 || bytes.length > 16 << 20))
      throw new ImageError(`${firmware.name}: a firmware image of ${bytes.length} bytes; it must be a multiple of 64 KiB up to 16 MiB`);
    const padded = Math.max(bytes.length, window), at = this.phys.addRegion(FOUR_GIB - padded, padded, false);
    this.memory.u8.set(bytes, at + padded - bytes.length);
    this.memory.dirty.fill(1, at >>> 12, (at + padded) >>> 12);
    this.phys.mapRegion(FIRMWARE_BASE, window, at + padded - window, false);
    return at + padded - window;
  }

  private shadow(base: number, size: number, readRam: boolean, writeRam: boolean): void {
    if (readRam) this.phys.mapRegion(base, size, RAM_BASE + base, writeRam);
    else if (base >= FIRMWARE_BASE) this.phys.mapRegion(base, size, this.romAt + base - FIRMWARE_BASE, false);
    else return;
    this.phys.onWrite?.(base, size);
    for (const p of this.processors) this.engine.tlb.flushAll(p.vcpu.id);
  }

  // --- start and reset ------------------------------------------------------------------------------------------------------

  private start(fresh: boolean): void {
    this.resetWanted = false;
    if (!fresh) this.platform.reset();
    for (const p of [...this.processors].reverse()) p.reset();
    if (this.image === undefined) return;
    const write = (hpa: number, bytes: Uint8Array): void => this.phys.write(hpa, bytes);
    writeLowMemory(write);
    configureDevices(this.platform, write);
    this.image.memory.apply(write, fresh);
    this.enterImage(this.image.start);
  }

  /** Registers of the boot processor for an image started directly. */
  private enterImage(start: CpuStart): void {
    const { vcpu } = this.processors[0], { s } = vcpu;
    vcpu.activate();
    s.set64(S.cr0, BigInt(CR0_PE | CR0_ET));
    setSegment(s, CS, START_CODE_SELECTOR, 0n, 0xffff_ffff, ATTR_CODE);
    for (const segment of [DS, ES, FS, GS, SS]) setSegment(s, segment, START_DATA_SELECTOR, 0n, 0xffff_ffff, ATTR_DATA);
    s.set64(S.gdtrBase, BigInt(GDT_BASE));
    s.set32(S.gdtrLimit, 4 * 8 - 1);
    for (let r = 0; r < 16; r++) s.setGpr(r, 0n);
    s.setGpr(RAX, BigInt(start.eax ?? 0));
    s.setGpr(RBX, BigInt(start.ebx ?? 0));
    s.setGpr(RSI, BigInt(start.esi ?? 0));
    s.rip = BigInt(start.eip);
    vcpu.modeChanged();
  }

  // --- what others ask ------------------------------------------------------------------------------------------------------

  /** Cycles since power-on. */
  get cycles(): number {
    return this.queue.now();
  }
  /** Instructions retired by all vCPUs since power-on, up to the last slice. */
  get instructions(): number {
    return this.processors.reduce((n, p) => n + p.vcpu.instructions, 0);
  }
  /** VM exits since power-on by reason, of all vCPUs. */
  exitCounts(): Map<string, number> {
    const out = new Map<string, number>();
    for (const p of this.processors) for (const [reason, n] of p.extension?.exitCounts() ?? []) out.set(reason, (out.get(reason) ?? 0) + n);
    return out;
  }
  /**
   * What the run has cost the host so far, replays included, in instructions' worth: a helper or slow access takes about as long as 40
   * instructions, a VM exit as 1000. Grows with time; no part of the machine's state.
   */
  get hostWork(): number {
    let exits = 0;
    for (const n of this.exitCounts().values()) exits += n;
    return this.instructions + 40 * this.engine.slowCalls + 1000 * exits;
  }
  /** What has been compiled (cpu/engine/regions/compiler.ts); undefined with the engine `interpreter`. */
  compilerStats(): Readonly<CompilerStats> | undefined {
    return this.engine.compiler?.stats;
  }
  /** Events of the timing core since power-on by name (timing/layout.ts: COUNTERS), of all vCPUs; undefined in functional mode. */
  timingCounts(): Readonly<Record<string, number>> | undefined {
    if (this.timing === undefined) return undefined;
    const out: Record<string, number> = {};
    for (const { vcpu } of this.processors)
      for (const [name, n] of Object.entries(this.timing.core.counters(vcpu.id))) out[name] = (out[name] ?? 0) + n;
    return out;
  }
  /** What the text screen shows, or why it shows nothing. */
  screen(): Screen | NoScreen {
    return readScreen(this.platform.vga, this.phys);
  }
  /** Bytes for COM1's receiver. */
  serialInput(bytes: Uint8Array): void {
    // Who looked at another vCPU has left that one in the window; an interrupt is to find the one that was interrupted.
    this.running?.vcpu.activate();
    this.platform.uart.input(bytes);
  }
  /** Where the run is, exact also inside a probe listener: there the instruction or event under way is not counted yet. */
  get position(): Position {
    const { control } = this.engine, instructions = control.retired + (this.executing ? this.processors[this.turn.at].vcpu.live : 0);
    return { instructions, events: control.eventsAt(instructions) };
  }
  /** The vCPU whose turn it is. */
  get current(): number {
    return this.turn.active ? Math.min(this.turn.at, this.processors.length - 1) : 0;
  }
  /** Linear addresses, in any address space, before whose instruction `run` stops. They change nothing else. */
  get breakpoints(): Pick<Breakpoints, 'set' | 'clear' | 'all'> {
    return this.engine.breakpoints;
  }
  /** Ranges of linear memory, in any address space, after whose accesses `run` stops (engine/watchpoints.ts says which count). They change nothing else. */
  get watchpoints(): Pick<Watchpoints, 'set' | 'clear' | 'all' | 'listen'> {
    return this.engine.watchpoints;
  }
  /** From a probe listener or a sink: ends `run` behind the instruction or event that is under way, and changes nothing else. */
  requestStop(): void {
    this.engine.control.stopWanted = true;
    if (this.executing) this.processors[this.turn.at].vcpu.leaveAfterInstruction();
  }

  private end(reason: StopReason): void {
    this.stop ??= reason;
    this.running?.vcpu.kick();
  }
  /** The vCPU whose slice it is. */
  private get running(): Processor | undefined {
    return this.turn.inSlice ? this.processors[this.turn.at] : undefined;
  }
  private engineNow(): number {
    return this.processors[this.turn.at].vcpu.now();
  }

  // --- snapshots (snapshot.ts) ----------------------------------------------------------------------------------------------

  /** Everything that the rest of the run depends on. Not from inside a run. The run goes on as if none had been taken. */
  snapshot(): Snapshot {
    return this.states.take();
  }
  /** Makes the machine what it was. Not from inside a run. */
  restore(snapshot: Snapshot): void {
    this.states.restore(snapshot);
  }
  /** Gives a snapshot's memory back. */
  release(snapshot: Snapshot): void {
    this.states.release(snapshot);
  }
  /** Bytes that snapshots occupy, those given up not counted. */
  get snapshotBytes(): number {
    return this.states.bytes;
  }
  /** A hash of the state that architecture and devices define, 128 bits in hexadecimal: the same in every replay of the run. */
  hash(): string {
    return this.states.hash();
  }
  /** For tests: guest pages that differ from the last snapshot and are not marked as written. Must be none. */
  unmarkedPages(): number[] {
    return this.states.unmarkedPages();
  }

  // --- the run loop ---------------------------------------------------------------------------------------------------------

  /** Runs until something ends it. After `limit` and `interrupted` it may be called again; after others it returns the same reason at once. */
  run(limits: RunLimits = {}): StopReason {
    const { position = { instructions: limits.instructions ?? Infinity, events: 0 } } = limits;
    this.engine.control.aim(position.instructions, position.events, limits.cycle ?? Infinity, limits.exact === true || limits.position !== undefined);
    for (;;) {
      const { queue, turn } = this;
      if (!turn.active) {
        queue.runDue(queue.now());
        if (this.stop !== undefined) return this.stop;
        if (this.resetWanted) this.start(false);
        const begin = queue.now(), wait = Math.max(1, this.nextWake - begin);
        Object.assign(turn, { active: true, at: 0, begin, length: Math.min(this.processors.length === 1 ? LONGEST_SLICE : QUANTUM, wait), end: begin, idle: true });
      }
      if (!this.takeTurn()) return this.interruption();
    }
  }
  /** One instruction of the vCPU whose turn it is, or one event instead; `limit` when nothing ended the run. */
  stepOne(): StopReason {
    const { instructions, events } = this.position;
    return this.run({ position: { instructions, events: events + 1 } });
  }

  /** A goal is reached, a stop was asked for, or there is a breakpoint. */
  private interruption(): StopReason {
    const { control, watchpoints } = this.engine, { atBreakpoint } = this, { hit } = watchpoints, wanted = control.stopWanted;
    this.atBreakpoint = watchpoints.hit = undefined;
    control.stopWanted = false;
    if (hit !== undefined) return { kind: 'watchpoint', ...hit };
    return atBreakpoint ?? (wanted ? { kind: 'interrupted' } : { kind: 'limit' });
  }

  /** The cycle of the next event, or of the next deadline of a guest that halts. */
  private get nextWake(): number {
    const now = this.queue.now();
    let next = this.queue.next;
    for (const { wakeAt } of this.processors) if (wakeAt > now && wakeAt < next) next = wakeAt;
    return next;
  }

  /**
   * One slice of every vCPU that can run, or a jump to the next event. False when the goal of the run interrupted it: the next call goes
   * on. How long a turn is depends on the machine alone, so that interruptions change nothing.
   */
  private takeTurn(): boolean {
    const { processors, queue, turn, engine: { control } } = this;
    while (turn.at < processors.length) {
      const ran = this.slice(processors[turn.at]);
      if (turn.inSlice) return false;
      turn.at++;
      if (ran >= 0) {
        turn.idle = false;
        turn.end = Math.max(turn.end, turn.begin + ran);
      }
      if (this.stop !== undefined || this.resetWanted) break;
    }
    const idle = turn.idle && this.stop === undefined && !this.resetWanted;
    // Where nobody acts, there may never be a next instruction to stop before.
    if (idle && control.reached(control.retired, queue.now())) return false;
    queue.advanceTo(turn.end);
    turn.active = false;
    if (idle) this.skip(control.cycle);
    return true;
  }

  /** Runs one vCPU, from where its slice was interrupted; returns the cycles it took, or -1 when it had nothing to do. */
  private slice(p: Processor): number {
    const { vcpu } = p, { turn } = this;
    this.platform.current = vcpu.id;
    if (!turn.inSlice) vcpu.begin(turn.begin, turn.length);
    turn.inSlice = this.executing = true;
    const exit = vcpu.go(), { elapsed } = vcpu;
    this.executing = false;
    turn.now = vcpu.now();
    p.remember();
    if (exit === 'breakpoint') this.atBreakpoint = { kind: 'breakpoint', vcpu: vcpu.id, linear: vcpu.linear };
    if (exit === 'limit' || exit === 'breakpoint') return elapsed;
    turn.inSlice = false;
    if (exit === 'stopped') {
      const { what, address } = vcpu.stopReason!;
      this.end({ kind: 'not-implemented', what, address });
    } else if (exit === 'shutdown') this.end({ kind: 'shutdown', what: 'triple fault', address: p.address });
    else if (exit === 'halt' || exit === 'wait-for-sipi') return elapsed > 0 ? elapsed : -1;
    return elapsed;
  }

  /** All vCPUs halt: on to the next event, unless none could wake them. */
  private skip(lastCycle: number): void {
    const { queue } = this, next = Math.min(Math.ceil(this.nextWake), lastCycle);
    const final = this.processors.every((p) => p.haltedForGood);
    if (final || next === Infinity) {
      this.end({ kind: 'shutdown', what: final ? 'halted with interrupts off' : 'halted, and nothing is left that could wake it', address: this.processors[0].address });
      return;
    }
    const from = queue.now();
    queue.advanceTo(next);
    this.attribution?.idle(from, next);
    for (const p of this.processors) p.vcpu.skipped(next, next - from);
  }
}

