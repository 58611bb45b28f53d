/**
 * Power management of the PIIX4: ACPI PM1a registers, the PM timer, soft-off, and the SMI command port.
 *
 * Intel 82371AB (PIIX4) data sheet, function 3; ACPI Specification 2.0 §4.7.3 "Power Management Event Grouping"/"PM1", §4.7.2.1
 * "Power Management Timer". PMBASE is 0x600 after firmware, as in QEMU; ports +0 PM1_STS, +2 PM1_EN, +4 PM1_CNT, +8 PM_TMR.
 *
 * Deviation: ACPI_ENABLE and ACPI_DISABLE through the SMI command port act at once, without system-management mode.
 */

import type { IoSpace, Release } from './io-space.js';
import type { DeviceClock, InterruptLine, PortDevice, Scheduled, Width } from './ports.js';
import { PciFunction } from './pci/function.js';
import { RateClock } from './rate-clock.js';

export const PM_TIMER_HZ = 3579545;
export const PM_DEFAULT_BASE = 0x600;
export const SMI_COMMAND_PORT = 0xb2, ACPI_ENABLE = 0xf1, ACPI_DISABLE = 0xf0;
export const GPE_BASE = 0xafe0, GPE_LENGTH = 4;
/** SLP_TYP of soft-off, which the DSDT's _S5 names. */
export const S5_TYPE = 0;

const TMR_STS = 1, WAK_STS = 1 << 15, SCI_EN = 1, SLP_EN = 1 << 13;
const PMBASE = 0x40, PMREGMISC = 0x80;
/** DEVACTB bit 25: SMIs by port 0xb2 are set up already. Firmware then does not wait for a system-management mode that is not there. */
const DEVACTB_HIGH = 0x5b, APMC_EN = 2;
/** The timer has 24 bits and reports each change of bit 23. */
const TIMER_HALF = 1 << 23;

export class AcpiPm implements PortDevice {
  private readonly timer: RateClock;
  private status = 0;
  private enable = 0;
  private control = 0;
  /** Tick at which TMR_STS was last brought up to date. */
  private seen = 0;
  private event: Scheduled | undefined;
  private readonly smi = [0, 0];
  private gpeStatus = 0;
  private gpeEnable = 0;

  /** @param sci the system control interrupt, IRQ 9; @param powerOff called on entry to S5 */
  constructor(
    private readonly clock: DeviceClock,
    private readonly sci: InterruptLine,
    private readonly powerOff: () => void,
  ) {
    this.timer = new RateClock(clock, PM_TIMER_HZ);
  }

  reset(): void {
    this.status = this.enable = this.control = 0;
    this.gpeStatus = this.gpeEnable = 0;
    this.update();
  }

  /** What firmware does before it hands over: SCI_EN. */
  enableAcpi(): void {
    this.control |= SCI_EN;
  }

  private catchUp(): void {
    const now = this.timer.ticks;
    if (Math.floor(now / TIMER_HALF) !== Math.floor(this.seen / TIMER_HALF)) this.status |= TMR_STS;
    this.seen = now;
  }

  private update(): void {
    this.catchUp();
    this.sci.set((this.control & SCI_EN) !== 0 && (this.status & this.enable) !== 0);
    this.clock.cancel(this.event);
    this.event = undefined;
    if (!(this.enable & TMR_STS) || this.status & TMR_STS) return;
    const next = (Math.floor(this.timer.ticks / TIMER_HALF) + 1) * TIMER_HALF;
    this.event = this.clock.schedule(this.timer.cycleOf(next), () => this.update());
  }

  /** `port` is relative to PMBASE. */
  ioRead(port: number, size: Width): number {
    if (port === 8 || port === 10) return port === 8 ? this.timer.ticks & 0xff_ffff : (this.timer.ticks & 0xff_ffff) >>> 16;
    this.catchUp();
    const words = this.status | (this.enable << 16);
    const value = port < 4 ? words >>> (8 * port) : port < 8 ? this.control >>> (8 * (port - 4)) : 0;
    return size === 4 ? value : value & ((1 << (8 * size)) - 1);
  }

  ioWrite(port: number, size: Width, value: number): void {
    if (size === 4) {
      this.ioWrite(port, 2, value & 0xffff);
      this.ioWrite(port + 2, 2, value >>> 16);
      return;
    }
    this.catchUp();
    const shift = 8 * (port & 1), mask = (size === 2 ? 0xffff : 0xff) << shift, bits = (value << shift) & mask;
    switch (port & ~1) {
      case 0: this.status &= ~bits; break;
      case 2: this.enable = (this.enable & ~mask) | bits; break;
      case 4: this.writeControl((this.control & ~mask) | bits); break;
    }
    this.update();
  }

  private writeControl(value: number): void {
    this.control = value & ~SLP_EN;
    if (!(value & SLP_EN)) return;
    if (((value >> 10) & 7) === S5_TYPE) this.powerOff();
    else this.status |= WAK_STS; // no other sleeping state exists: awake at once
  }

  /** The SMI command and status ports 0xb2 and 0xb3. */
  readonly smiPorts: PortDevice = {
    ioRead: (port) => this.smi[port - SMI_COMMAND_PORT],
    ioWrite: (port, _size, value) => {
      this.smi[port - SMI_COMMAND_PORT] = value;
      if (port !== SMI_COMMAND_PORT) return;
      if (value === ACPI_ENABLE) this.control |= SCI_EN;
      else if (value === ACPI_DISABLE) this.control &= ~SCI_EN;
      this.update();
    },
  };

  /** General-purpose event block 0: no event sources, but registers that keep what is written. */
  readonly gpePorts: PortDevice = {
    ioRead: (port) => ((port - GPE_BASE < 2 ? this.gpeStatus : this.gpeEnable) >> (8 * (port & 1))) & 0xff,
    ioWrite: (port, _size, value) => {
      const shift = 8 * (port & 1);
      if (port - GPE_BASE < 2) this.gpeStatus &= ~(value << shift);
      else this.gpeEnable = (this.gpeEnable & ~(0xff << shift)) | (value << shift);
    },
  };
}

/** PIIX4 function 3 in configuration space: it places the ports above. */
export class AcpiPmFunction extends PciFunction {
  private release: Release | undefined;
  private at = -1;

  constructor(
    private readonly io: IoSpace,
    private readonly pm: AcpiPm,
  ) {
    super({ vendor: 0x8086, device: 0x7113, classCode: 0x068000, revision: 3, subsystemVendor: 0x1af4, subsystem: 0x1100, interruptPin: 1 });
    this.config[PMBASE] = 1;
    this.config[DEVACTB_HIGH] = APMC_EN;
    this.allowWrites(PMBASE, [0xc0, 0xff]);
    this.allowWrites(PMREGMISC, [1]);
    this.onConfigWrite = () => this.place();
  }

  override resetConfig(): void {
    super.resetConfig();
    this.put16(PMBASE, 1);
    this.config[PMREGMISC] = 0;
    this.place();
  }

  private place(): void {
    const base = this.config[PMREGMISC] & 1 ? this.get16(PMBASE) & 0xffc0 : -1;
    if (base === this.at) return;
    this.release?.();
    this.at = base;
    const { pm } = this;
    this.release = base < 0 ? undefined : this.io.claimPorts(base, 64, {
      ioRead: (port, size) => pm.ioRead(port - base, size),
      ioWrite: (port, size, value) => pm.ioWrite(port - base, size, value),
    }, 4);
  }
}
