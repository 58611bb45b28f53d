/**
 * The machine: memory, processors, devices and time, assembled from a configuration, and the run loop.
 *
 * The loop gives vCPUs slices that end at the next event. With several vCPUs they take turns of QUANTUM cycles on one clock. A
 * machine in which all vCPUs halt moves to the next event at once.
 *
 * Invariants: deterministic (the same configuration and limits give the same run; how a run is cut into calls of `run` does not
 * matter to the guest); nothing a guest does throws out of `run`.
 */

import { Engine } from '../cpu/engine/engine.js';
import { encodingsOf } from '../cpu/isa/advertised.js';
import { CR0_ET, CR0_PE, CS, DS, ES, FS, GS, RAX, RBX, RSI, S, SS } from '../cpu/state.js';
import { setSegment } from '../cpu/system/segments.js';
import { LinearMemory } from '../mem/linear-memory.js';
import { RAM_BASE } from '../mem/layout.js';
import { PhysicalMemory } from '../mem/physical.js';
import { Attribution, TRANSITION } from './attribution.js';
import type { MachineConfig, RunLimits, StopReason } from './config.js';
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
import { createTiming, type Timing } from './timing.js';

/** Cycles that a vCPU runs before the next one gets its turn. */
const QUANTUM = 10_000;
/** Longest slice of a single vCPU: bounds the time until `requestStop` of a listener is seen. */
const LONGEST_SLICE = 10_000_000;
/** No profile retires more instructions in a cycle. */
const MOST_PER_CYCLE = 16;
const ATTR_CODE = 0xc09b, ATTR_DATA = 0xc093;
const X2APIC_BIT = 1 << 21;
const FOUR_GIB = 0x1_0000_0000;

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
  /** Linear-memory address of the ROM behind the firmware window. */
  private readonly romAt: number;
  private stop: StopReason | undefined;
  private resetWanted = false;
  /** The vCPU that runs now, and the cycle at which its slice should end. */
  private running: Processor | undefined;
  private sliceEnd = 0;

  /** Builds and starts the machine: power is on, nothing has run. Throws ConfigError, ProfileError or ImageError. */
  constructor(config: MachineConfig) {
    const { memoryBytes, profile } = config, cpus = config.cpus ?? 1;
    if (memoryBytes % 65536 !== 0 || memoryBytes < 1 << 20 || memoryBytes > 0xc000_0000)
      throw new ConfigError(`memory of ${memoryBytes} bytes is not a multiple of 64 KiB between 1 MiB and 3 GiB`);
    if (!Number.isInteger(cpus) || cpus < 1 || cpus > 8) throw new ConfigError(`${cpus} processors: 1 to 8 are possible`);
    if (config.engine === 'compiler') throw new ConfigError('the engine "compiler" is not part of this version; use "auto" or "interpreter"');
    const figures = platformFigures(profile);
    this.frequencyHz = config.frequencyHz ?? figures.frequencyHz;
    this.extension = extensionOf(profile);
    const cpuid = profileCpuid(profile, cpus, this.extension);

    this.queue = new EventQueue(this.frequencyHz);
    this.queue.onEarlier = (at) => {
      if (this.running !== undefined && at < this.sliceEnd) this.running.vcpu.kick();
    };
    this.memory = new LinearMemory(memoryBytes);
    this.phys = new PhysicalMemory(this.memory);
    this.timing = config.mode === 'cycle' ? createTiming(this.memory, this.phys, profile, cpus, this.extension) : undefined;
    this.engine = new Engine(this.memory, this.phys, this.timing?.core, encodingsOf((leaf) => cpuid.fixed(leaf)));

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

    const tables = firmwareTables(memoryBytes, cpus);
    this.romAt = this.installFirmware(config.boot.kind === 'firmware' ? config.boot.firmware : undefined, firmwareWindow(tables));
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
    configureDevices(this.platform);
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
  /** Events of the timing core since power-on by name (timing/layout.ts: COUNTERS), of all vCPUs; undefined in functional mode. */
  timingCounts(): Readonly<Record<string, number>> | undefined {
    if (this.timing === undefined) return undefined;
    const out: Record<string, number> = {};
    for (const { vcpu } of this.processors)
      for (const [name, n] of Object.entries(this.timing.core.counters(vcpu.id))) out[name] = (out[name] ?? 0) + n;
    return out;
  }
  /** Bytes for COM1's receiver. */
  serialInput(bytes: Uint8Array): void {
    this.platform.uart.input(bytes);
  }
  /** Ends `run` at the next block end, from a probe listener or a serial sink. */
  requestStop(): void {
    this.end({ kind: 'interrupted' });
  }

  private end(reason: StopReason): void {
    this.stop ??= reason;
    this.running?.vcpu.kick();
  }

  // --- the run loop ---------------------------------------------------------------------------------------------------------

  /** Runs until something ends it. After `limit` and `interrupted` it may be called again; after others it returns the same reason at once. */
  run(limits: RunLimits = {}): StopReason {
    const lastInstruction = limits.instructions ?? Infinity, lastCycle = limits.cycle ?? Infinity;
    for (;;) {
      const { queue } = this;
      queue.runDue(queue.now());
      if (this.stop !== undefined) return this.takeStop();
      if (this.resetWanted) this.start(false);
      const left = lastInstruction - this.instructions;
      if (left <= 0 || queue.now() >= lastCycle) return { kind: 'limit' };
      const most = this.timing === undefined ? left : Math.ceil(left / MOST_PER_CYCLE);
      this.turn(Math.min(LONGEST_SLICE, most, Math.max(1, this.nextWake - queue.now()), Math.max(1, lastCycle - queue.now())), lastCycle);
    }
  }

  private takeStop(): StopReason {
    const reason = this.stop!;
    if (reason.kind === 'interrupted') this.stop = undefined;
    return reason;
  }

  /** The cycle of the next event, or of the next deadline of a guest that halts. */
  private get nextWake(): number {
    const now = this.queue.now();
    let next = this.queue.next;
    for (const { wakeAt } of this.processors) if (wakeAt > now && wakeAt < next) next = wakeAt;
    return next;
  }

  /** One slice of every vCPU that can run, of up to `budget` cycles; or a jump to the next event. */
  private turn(budget: number, lastCycle: number): void {
    const { processors, queue } = this;
    const length = processors.length === 1 ? budget : Math.min(budget, QUANTUM);
    const begin = queue.now();
    let end = begin, idle = true;
    for (const p of processors) {
      const ran = this.slice(p, begin, length);
      if (ran < 0) continue;
      idle = false;
      end = Math.max(end, begin + ran);
      if (this.stop !== undefined || this.resetWanted) break;
    }
    queue.advanceTo(end);
    if (idle && this.stop === undefined && !this.resetWanted) this.skip(lastCycle);
  }

  /** Runs one vCPU; returns the cycles it took, or -1 when it had nothing to do. */
  private slice(p: Processor, begin: number, length: number): number {
    const { vcpu } = p, { queue, platform } = this;
    this.running = p;
    this.sliceEnd = begin + length;
    platform.current = vcpu.id;
    vcpu.activate();
    queue.running = () => vcpu.now();
    const exit = vcpu.run(begin, length), elapsed = vcpu.elapsed;
    queue.running = undefined;
    this.running = undefined;
    p.remember();
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
    for (const p of this.processors) p.vcpu.skipped(next - from);
  }
}

