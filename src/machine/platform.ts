/**
 * The PC around the processors: creates the devices, wires their interrupts, and answers the processors' port and memory accesses.
 *
 * Addresses and interrupts are those of QEMU's pc machine (i440FX, PIIX3, PIIX4 power management), so that a driver developed
 * there meets the same hardware:
 *
 *     slot 0     i440FX host bridge             IRQ 0   8254 channel 0 (I/O APIC input 2)    IRQ 9      ACPI (SCI)
 *     slot 1.0   PIIX3 ISA bridge, PIRQ router  IRQ 1   i8042, no keyboard                   IRQ 10,11  PCI INTA-INTD
 *     slot 1.1   PIIX3 IDE, IRQ 14 and 15       IRQ 4   COM1                                 IRQ 12     i8042, no mouse
 *     slot 1.3   PIIX4 power management         IRQ 8   RTC                                  IRQ 14,15  IDE channels
 *     slot 3     e1000
 *
 * and, on the ISA bus alone, a VGA in text mode without an interrupt.
 *
 * Invariant: nothing here knows what software runs. An interrupt change of the running processor ends its slice (`kick`), so it is
 * seen at the next block end.
 */

import type { Cpu } from '../cpu/cpu.js';
import type { PlatformPort, ProbePort } from '../cpu/ports.js';
import { PROBE } from '../cpu/ports.js';
import { AcpiPm, AcpiPmFunction, GPE_BASE, GPE_LENGTH, SMI_COMMAND_PORT } from '../devices/acpi-pm.js';
import { ApicBus } from '../devices/apic-bus.js';
import { IdeController } from '../devices/ata/ide-controller.js';
import { Cmos } from '../devices/cmos.js';
import { DebugConsole, DebugExit } from '../devices/debug-ports.js';
import { E1000 } from '../devices/e1000/e1000.js';
import { FW_CFG_PORT, FwCfg } from '../devices/fw-cfg.js';
import { Hpet, HPET_BASE, HPET_SIZE } from '../devices/hpet.js';
import { I8042 } from '../devices/i8042.js';
import { IoSpace } from '../devices/io-space.js';
import { IoApic, IOAPIC_BASE } from '../devices/ioapic.js';
import { type ApicHost, LocalApic } from '../devices/lapic.js';
import { Peer } from '../devices/net/peer.js';
import { Wire } from '../devices/net/wire.js';
import { PciBus } from '../devices/pci/bus.js';
import { PCI_INTERRUPT_PIN, type PciFunction } from '../devices/pci/function.js';
import { HostBridge, IsaBridge } from '../devices/pci/i440fx.js';
import { Pic } from '../devices/pic.js';
import { Pit } from '../devices/pit.js';
import type { DeviceClock, DmaPort, Width } from '../devices/ports.js';
import { Uart } from '../devices/uart.js';
import { Vga, VGA_PORTS } from '../devices/vga/vga.js';
import type { MachineConfig } from './config.js';
import { firmwareFiles } from './firmware/firmware-files.js';
import type { PlatformFigures } from './profile.js';

/**
 * Undivided ticks a second of the local APIC timer in functional mode, whatever the profile says: 1 GHz, as on other machines of that
 * kind, so that software that polls the count down gets through several times sooner.
 */
const FUNCTIONAL_APIC_TIMER_HZ = 1e9;
/** Bochs' console port, and the one that SeaBIOS writes its log to. */
const DEBUG_CONSOLES = [0xe9, 0x402];
const DEFAULT_START_TIME = Date.UTC(2020, 0, 1) / 1000;
const DEFAULT_MAC = [0x52, 0x54, 0x00, 0x12, 0x34, 0x56];

/** What the platform asks of the machine. */
export interface PlatformHost {
  readonly clock: DeviceClock;
  readonly dma: DmaPort;
  readonly probe: ProbePort;
  /** One for each processor, index = APIC ID. */
  readonly processors: readonly ApicHost[];
  readonly x2apic: boolean;
  exit(value: number): void;
  powerOff(): void;
  reset(): void;
  /** Steers the firmware window between RAM and ROM. */
  shadow(base: number, size: number, readRam: boolean, writeRam: boolean): void;
}

export class Platform implements PlatformPort {
  readonly io = new IoSpace();
  readonly apicBus = new ApicBus();
  readonly ioApic = new IoApic(this.apicBus);
  readonly lapics: readonly LocalApic[];
  readonly pic: Pic;
  readonly pci: PciBus;
  readonly isaBridge: IsaBridge;
  readonly pmFunction: AcpiPmFunction;
  readonly uart: Uart;
  readonly vga: Vga;
  readonly cmos: Cmos;
  readonly ide: IdeController;
  readonly nic: E1000 | undefined;
  readonly wire: Wire | undefined;
  readonly peer: Peer | undefined;
  private readonly pm: AcpiPm;
  private readonly hpet: Hpet;
  /** While the HPET replaces 8254 and RTC, theirs do not reach the interrupt controllers. */
  private legacyTaken = false;
  /** The processor that runs now: it sees its own local APIC at the APIC page. The run loop sets it. */
  current = 0;

  constructor(config: MachineConfig, figures: PlatformFigures, host: PlatformHost) {
    const { clock } = host, { io } = this;
    const cyclesPerTick = Math.max(1, Math.round(clock.frequencyHz / (config.mode === 'cycle' ? figures.apicTimerHz : FUNCTIONAL_APIC_TIMER_HZ)));
    this.lapics = host.processors.map((p, id) => new LocalApic(id, id === 0, clock, this.apicBus, p, cyclesPerTick, host.x2apic));
    this.pic = new Pic({ set: (a) => this.lapics[0].setExtInt(a) });
    io.claimMmio(IOAPIC_BASE, 0x1000, this.ioApic);
    for (const port of [0x20, 0xa0]) io.claimPorts(port, 2, this.pic);
    io.claimPorts(0x4d0, 2, this.pic);

    const pit = new Pit(clock, { set: (a) => !this.legacyTaken && this.setIsa(0, a) });
    io.claimPorts(0x40, 4, pit);
    io.claimPorts(0x61, 1, pit);
    this.cmos = new Cmos(clock, { set: (a) => !this.legacyTaken && this.setIsa(8, a) }, config.startTime ?? DEFAULT_START_TIME);
    this.cmos.describeMemory(config.memoryBytes);
    io.claimPorts(0x70, 2, this.cmos);
    this.hpet = new Hpet(clock, (pin, a) => this.ioApic.setLine(pin, a), (irq, a) => this.setIsa(irq, a), (taken) => (this.legacyTaken = taken));
    io.claimMmio(HPET_BASE, HPET_SIZE, this.hpet);

    const keyboard = new I8042(this.isa(1), this.isa(12), () => host.reset());
    for (const port of [0x60, 0x64, 0x92]) io.claimPorts(port, 1, keyboard);
    this.uart = new Uart(0x3f8, clock, this.isa(4), config.serial ?? (() => {}));
    io.claimPorts(0x3f8, 8, this.uart);
    this.vga = new Vga(clock);
    for (const [first, count] of VGA_PORTS) io.claimPorts(first, count, this.vga);
    io.claimPorts(0xf4, 4, new DebugExit((v) => host.exit(v)), 4);
    const debugConsole = new DebugConsole(config.debugConsole ?? (() => {}));
    for (const port of DEBUG_CONSOLES) io.claimPorts(port, 1, debugConsole);
    // Images that are started directly ask here, too: kvm-unit-tests for the number of processors.
    io.claimPorts(FW_CFG_PORT, 2, new FwCfg(config.memoryBytes, config.cpus ?? 1, firmwareFiles(config.memoryBytes)), 2);

    this.pci = new PciBus(() => host.reset());
    io.claimPorts(0xcf8, 8, this.pci, 4);
    this.isaBridge = new IsaBridge((irq, a) => this.setIsa(irq, a));
    this.pm = new AcpiPm(clock, this.isa(9), () => host.powerOff());
    this.pmFunction = new AcpiPmFunction(io, this.pm);
    io.claimPorts(SMI_COMMAND_PORT, 2, this.pm.smiPorts);
    io.claimPorts(GPE_BASE, GPE_LENGTH, this.pm.gpePorts);
    this.ide = new IdeController({
      io, clock, dma: host.dma, latency: figures.diskLatency, bytesPerSecond: figures.diskBytesPerSecond, irqs: [this.isa(14), this.isa(15)],
      disks: diskPositions(config), seen: (lba, sectors, write) => host.probe.active && host.probe.emit(PROBE.diskRequest, clock.now(), this.current, lba, sectors, write ? 1 : 0, 0),
    });
    this.plug(0, 0, new HostBridge((base, size, r, w) => host.shadow(base, size, r, w)));
    this.plug(1, 0, this.isaBridge);
    this.plug(1, 1, this.ide.function);
    this.plug(1, 3, this.pmFunction);
    if (config.nic?.model === 'e1000') {
      const { tap } = config.nic;
      this.wire = new Wire(clock, figures.wireBitsPerSecond, figures.wireLatency, tap === undefined ? [] : [tap]);
      this.nic = new E1000({ clock, dma: host.dma, wire: this.wire, mac: config.nic.mac ?? DEFAULT_MAC });
      this.peer = new Peer(clock, this.wire);
      this.wire.connect(this.nic, this.peer);
      this.wire.observe((length, fromCard) => host.probe.active && host.probe.emit(fromCard ? PROBE.frameSent : PROBE.frameReceived, clock.now(), this.current, length, 0, 0, 0));
      this.plug(3, 0, this.nic.function);
    }
  }

  /** Puts a function into a slot and wires its interrupt pin. */
  private plug(slot: number, fn: number, device: PciFunction): void {
    this.pci.add(slot, fn, device);
    const pin = device.config[PCI_INTERRUPT_PIN];
    device.connect(this.io, { set: (a) => pin > 0 && this.isaBridge.setIntx(slot, pin - 1, a) });
  }

  private isa(irq: number): { set: (asserted: boolean) => void } {
    return { set: (asserted) => this.setIsa(irq, asserted) };
  }

  /** Drives an ISA interrupt, which goes to the 8259 pair and to the I/O APIC. */
  private setIsa(irq: number, asserted: boolean): void {
    this.pic.setLine(irq, asserted);
    this.ioApic.setLine(irq === 0 ? 2 : irq, asserted);
  }

  /** RST#: every device but the clock's date and the disks' contents. */
  reset(): void {
    for (const device of [...this.lapics, this.ioApic, this.pic, this.pci, this.pm, this.hpet, this.ide, this.vga]) device.reset();
    this.nic?.reset();
  }

  ioRead(port: number, size: Width): number {
    return this.io.ioRead(port, size);
  }
  ioWrite(port: number, size: Width, value: number): void {
    this.io.ioWrite(port, size, value);
  }

  mmioRead(hpa: number, size: Width): number {
    const apic = this.lapics[this.current], offset = hpa - apic.base;
    return offset >= 0 && offset < 0x1000 && apic.enabled ? apic.mmioRead(offset, size) : this.io.mmioRead(hpa, size);
  }
  mmioWrite(hpa: number, size: Width, value: number): void {
    const apic = this.lapics[this.current], offset = hpa - apic.base;
    if (offset >= 0 && offset < 0x1000 && apic.enabled) apic.mmioWrite(offset, size, value);
    else this.io.mmioWrite(hpa, size, value);
  }

  interruptPending(cpu: Cpu): boolean {
    const apic = this.lapics[cpu.id];
    return apic.pendingVector >= 0 || apic.extIntPending;
  }
  /** The vector of the external interrupt that waits for a processor, or -1; nothing is acknowledged. */
  pendingVector(processor: number): number {
    const apic = this.lapics[processor];
    return apic.pendingVector >= 0 ? apic.pendingVector : apic.extIntPending ? this.pic.pendingVector : -1;
  }
  acknowledgeInterrupt(cpu: Cpu): number {
    const apic = this.lapics[cpu.id];
    return apic.pendingVector >= 0 || !apic.extIntPending ? apic.acknowledge() : this.pic.acknowledge();
  }
  readTpr(cpu: Cpu): number {
    return this.lapics[cpu.id].taskPriority >> 4;
  }
  writeTpr(cpu: Cpu, value: number): void {
    this.lapics[cpu.id].taskPriority = (value & 15) << 4;
  }
  tscChanged(cpu: Cpu): void {
    this.lapics[cpu.id].tscChanged();
  }
}

/** The disks by their place on the IDE function; those without a place take the first free ones. */
function diskPositions(config: MachineConfig) {
  const places = [undefined, undefined, undefined, undefined] as (NonNullable<MachineConfig['disks']>[number]['backend'] | undefined)[];
  const disks = config.disks ?? [];
  for (const d of disks) if (d.position !== undefined) places[d.position] = d.backend;
  for (const d of disks) if (d.position === undefined) places[places.indexOf(undefined)] = d.backend;
  return places;
}
