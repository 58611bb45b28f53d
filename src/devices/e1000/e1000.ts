/**
 * An Intel 82540EM gigabit Ethernet controller (PCI 8086:100e): registers, interrupts, and the flow between rings and wire.
 *
 * Intel "PCI/PCI-X Family of Gigabit Ethernet Controllers Software Developer's Manual", chapters 3, 4, 13, 14.
 *
 * Deviations: no VLAN stripping or filtering, no flow control, no wake-up; statistics cover the counters of good frames and missed
 * ones; the link is always up at 1000 Mbit/s.
 */

import type { DeviceClock, DmaPort, MmioDevice, PortDevice, Scheduled, Width } from '../ports.js';
import { PciFunction } from '../pci/function.js';
import type { Station, Wire } from '../net/wire.js';
import { Eeprom, Phy } from './eeprom.js';
import { accepts, descriptorsFor, storedBytes, storeFrame } from './receive.js';
import * as R from './registers.js';
import { type TxPacket, Transmitter } from './transmit.js';

export interface E1000Config {
  readonly clock: DeviceClock;
  readonly dma: DmaPort;
  readonly wire: Wire;
  readonly mac: readonly number[];
}

const VENDOR = 0x8086, DEVICE = 0x100e;
/** RDTR, RADV, TIDV count in 1.024 microseconds; ITR in 256 nanoseconds. */
const DELAY_UNIT = 1.024e-6, THROTTLE_UNIT = 256e-9;
/** Frames up to this go without long-packet enable. */
const LARGEST_FRAME = 1518;

export class E1000 implements MmioDevice, Station {
  readonly function = new PciFunction({ vendor: VENDOR, device: DEVICE, classCode: 0x020000, revision: 3, subsystemVendor: 0x1af4, subsystem: 0x1100, interruptPin: 1 });
  private readonly registers = new Uint32Array(0x6000 / 4);
  private readonly eeprom: Eeprom;
  private readonly phy = new Phy();
  private readonly transmitter: Transmitter;
  private causes = 0;
  private mask = 0;
  /** Cycle at which the throttle lets the next interrupt through. */
  private quietUntil = 0;
  private throttle: Scheduled | undefined;
  private sending: Scheduled | undefined;
  private txDelay: Scheduled | undefined;
  private rxDelay: Scheduled | undefined;
  private rxDelayLimit = 0;
  /** Frames in the packet buffer that wait for descriptors, and their bytes. */
  private waiting: { frame: Uint8Array; inexact: boolean }[] = [];
  private waitingBytes = 0;
  /** IOADDR: the register that IODATA shows. */
  private windowAddress = 0;

  constructor(private readonly c: E1000Config) {
    this.eeprom = new Eeprom(c.mac, VENDOR, DEVICE);
    this.transmitter = new Transmitter(c.dma);
    this.function.memoryBar(0, 0x20000, this);
    this.function.ioBar(1, 0x40, 4, (base) => this.ioWindow(base));
    this.reset();
  }

  reset(): void {
    const { clock } = this.c;
    for (const event of [this.throttle, this.sending, this.txDelay, this.rxDelay]) clock.cancel(event);
    this.sending = this.throttle = this.txDelay = this.rxDelay = undefined;
    this.registers.fill(0);
    this.set(R.CTRL, 0x0014_0240);
    this.set(R.PBA, 0x0010_0030);
    const { mac } = this.eeprom;
    this.set(R.RAL0, mac[0] | (mac[1] << 8) | (mac[2] << 16) | (mac[3] << 24));
    this.set(R.RAH0, mac[4] | (mac[5] << 8) | (1 << 31));
    this.phy.reset();
    this.transmitter.reset();
    this.causes = this.mask = this.quietUntil = this.waitingBytes = 0;
    this.waiting = [];
    this.function.setInterrupt(false);
  }

  private get(offset: number): number {
    return this.registers[offset >> 2];
  }
  private set(offset: number, value: number): void {
    this.registers[offset >> 2] = value;
  }
  private count(offset: number, by = 1): void {
    this.registers[offset >> 2] += by;
  }
  /** A 64-bit octet counter. */
  private countOctets(offset: number, by: number): void {
    const low = this.get(offset) + by;
    this.set(offset, low);
    this.count(offset + 4, Math.floor(low / 2 ** 32));
  }

  // --- interrupts -----------------------------------------------------------------------------------------------------------

  private cause(bits: number): void {
    this.causes |= bits;
    this.update();
  }

  private update(): void {
    const { clock } = this.c;
    if (!(this.causes & this.mask)) return this.function.setInterrupt(false);
    const now = clock.now();
    if (now < this.quietUntil) {
      if (this.throttle?.pending !== true) this.throttle = clock.schedule(this.quietUntil, () => this.update());
      return;
    }
    this.function.setInterrupt(true);
  }

  /** Reading ICR clears it; the throttle's interval begins. */
  private readCauses(): number {
    const causes = this.causes;
    if (causes & this.mask) {
      const interval = (this.get(R.ITR) & 0xffff) * THROTTLE_UNIT * this.c.clock.frequencyHz;
      this.quietUntil = interval > 0 ? this.c.clock.now() + interval : 0;
    }
    this.causes = 0;
    this.update();
    return causes & this.mask ? causes | (1 << 31) : causes;
  }

  private after(units: number, action: () => void): Scheduled {
    const { clock } = this.c;
    return clock.schedule(clock.now() + units * DELAY_UNIT * clock.frequencyHz, action);
  }

  // --- registers ------------------------------------------------------------------------------------------------------------

  mmioRead(offset: number, size: Width): number {
    const value = this.readRegister(offset & 0x1fffc);
    return size === 4 ? value : (value >>> (8 * (offset & 3))) & ((1 << (8 * size)) - 1);
  }

  mmioWrite(offset: number, size: Width, value: number): void {
    if (size === 4 && (offset & 3) === 0) this.writeRegister(offset, value); // "all registers are 32 bits wide and accessed so"
  }

  private readRegister(offset: number): number {
    switch (offset) {
      case R.STATUS: return R.STATUS_VALUE;
      case R.EECD: return this.eeprom.pins;
      case R.EERD: return this.eeprom.read;
      case R.MDIC: return this.phy.command;
      case R.ICR: return this.readCauses();
      case R.IMS: return this.mask;
      case R.ICS: case R.IMC: return 0;
    }
    if (offset >= 0x6000) return 0;
    const value = this.get(offset);
    if (offset >= R.STATISTICS && offset < R.STATISTICS_END) this.set(offset, 0);
    return value;
  }

  private writeRegister(offset: number, value: number): void {
    switch (offset) {
      case R.CTRL:
        if (value & R.CTRL_RST) return this.reset();
        if (value & R.CTRL_PHY_RST) this.phy.reset();
        return this.set(R.CTRL, value & ~R.CTRL_PHY_RST);
      case R.EECD: this.eeprom.pins = value; return;
      case R.EERD: this.eeprom.read = value; return;
      case R.MDIC: {
        const { interrupt, relinked } = this.phy.execute(value);
        return this.cause((interrupt ? R.INT_MDAC : 0) | (relinked ? R.INT_LSC : 0));
      }
      case R.ICR: // writing ones clears
        this.causes &= ~value;
        return this.update();
      case R.ITR: return this.set(R.ITR, value & 0xffff);
      case R.ICS: return this.cause(value & 0x1ffff);
      case R.IMS:
        this.mask |= value & 0x1ffff;
        return this.update();
      case R.IMC:
        this.mask &= ~value;
        return this.update();
      case R.RCTL:
        this.set(R.RCTL, value);
        return this.drain();
      case R.RDH: case R.TDH: return this.set(offset, value & 0xffff);
      case R.RDT:
        this.set(R.RDT, value & 0xffff);
        return this.drain();
      case R.TDT:
        this.set(R.TDT, value & 0xffff);
        return this.transmit();
    }
    const array = (offset >= R.MTA && offset < R.MTA + 0x200) || (offset >= R.RAL0 && offset < R.RAL0 + 0x80) || (offset >= R.VFTA && offset < R.VFTA + 0x200);
    if (array || R.PLAIN.includes(offset)) this.set(offset, value);
    if (offset === R.TCTL) this.transmit();
  }

  /** BAR 1: IOADDR and IODATA give access to the same registers. */
  private ioWindow(base: number): PortDevice {
    return {
      ioRead: (port) => (port - base === 0 ? this.windowAddress : port - base === 4 ? this.mmioRead(this.windowAddress, 4) : 0),
      ioWrite: (port, size, value) => {
        if (size !== 4) return;
        if (port - base === 0) this.windowAddress = value & 0x1fffc;
        else if (port - base === 4) this.mmioWrite(this.windowAddress, 4, value);
      },
    };
  }

  private ring(low: number): number {
    return this.get(low + 4) * 2 ** 32 + ((this.get(low) & ~15) >>> 0);
  }

  // --- transmission ---------------------------------------------------------------------------------------------------------

  private transmit(): void {
    const count = (this.get(R.TDLEN) & 0xfff80) >> 4;
    while (this.sending === undefined && this.get(R.TCTL) & R.TCTL_EN && this.function.busMaster && count > 0) {
      const head = this.get(R.TDH), tail = this.get(R.TDT);
      if (head === tail || head >= count || tail >= count) return;
      const packet = this.transmitter.collect(this.ring(R.TDBAL), count, head, tail);
      if (packet === undefined) return;
      let end = 0;
      for (const frame of packet.frames) end = this.sendFrame(frame);
      if (packet.frames.length === 0) this.sent(packet, count);
      else this.sending = this.c.clock.schedule(end, () => {
        this.sending = undefined;
        this.sent(packet, count);
        this.transmit();
      });
    }
  }

  private sendFrame(frame: Uint8Array): number {
    const length = Math.max(frame.length, 60) + 4;
    this.count(R.GPTC);
    this.count(R.TPT);
    if (frame[0] === 0xff) this.count(R.BPTC);
    else if (frame[0] & 1) this.count(R.MPTC);
    this.countOctets(R.GOTCL, length);
    this.countOctets(R.TOTL, length);
    return this.c.wire.send('card', frame);
  }

  private sent(packet: TxPacket, count: number): void {
    this.transmitter.writeBack(packet);
    const head = (this.get(R.TDH) + packet.descriptors) % count;
    this.set(R.TDH, head);
    let causes = head === this.get(R.TDT) ? R.INT_TXQE : 0;
    if (packet.report.length > 0) {
      const delay = packet.delayInterrupt ? this.get(R.TIDV) & 0xffff : 0;
      this.c.clock.cancel(this.txDelay);
      if (delay === 0) causes |= R.INT_TXDW;
      else this.txDelay = this.after(delay, () => this.cause(R.INT_TXDW));
    }
    this.cause(causes);
  }

  // --- reception ------------------------------------------------------------------------------------------------------------

  receive(frame: Uint8Array): void {
    const rctl = this.get(R.RCTL);
    if (!(rctl & R.RCTL_EN) || (frame.length + 4 > LARGEST_FRAME && !(rctl & R.RCTL_LPE))) return;
    const match = accepts(frame, { rctl, addresses: this.registers.subarray(R.RAL0 >> 2, (R.RAL0 >> 2) + 32), multicast: this.registers.subarray(R.MTA >> 2, (R.MTA >> 2) + 128) });
    this.count(R.TPR);
    this.countOctets(R.TORL, frame.length + 4);
    if (match === 'no') return;
    // The receive part of the packet buffer, in KiB.
    if (this.waitingBytes + frame.length > (this.get(R.PBA) & 0xffff) * 1024) {
      this.count(R.MPC);
      return this.cause(R.INT_RXO);
    }
    this.waiting.push({ frame, inexact: match === 'inexact' });
    this.waitingBytes += frame.length;
    this.drain();
  }

  /** Moves frames from the packet buffer to memory as far as there are descriptors. */
  private drain(): void {
    const count = (this.get(R.RDLEN) & 0xfff80) >> 4, rctl = this.get(R.RCTL);
    if (!(rctl & R.RCTL_EN) || !this.function.busMaster || count === 0 || this.waiting.length === 0) return;
    let stored = 0;
    while (this.waiting.length > 0) {
      const { frame, inexact } = this.waiting[0], head = this.get(R.RDH), tail = this.get(R.RDT);
      if (head >= count || tail >= count) return;
      const free = (tail - head + count) % count;
      if (free < descriptorsFor(storedBytes(frame, rctl), rctl)) {
        this.count(R.RNBC);
        break;
      }
      this.set(R.RDH, storeFrame(this.c.dma, frame, inexact, rctl, this.get(R.RXCSUM), this.ring(R.RDBAL), count, head));
      this.waiting.shift();
      this.waitingBytes -= frame.length;
      this.countReceived(frame);
      stored++;
    }
    if (stored > 0) this.receivedInterrupt(count, rctl);
  }

  private countReceived(frame: Uint8Array): void {
    this.count(R.GPRC);
    if (frame[0] === 0xff) this.count(R.BPRC);
    else if (frame[0] & 1) this.count(R.MPRC);
    this.countOctets(R.GORCL, frame.length + 4);
  }

  private receivedInterrupt(count: number, rctl: number): void {
    const { clock } = this.c, left = (this.get(R.RDT) - this.get(R.RDH) + count) % count;
    const low = left <= count >> (1 + ((rctl >> 8) & 3)) ? R.INT_RXDMT0 : 0;
    const delay = this.get(R.RDTR) & 0xffff;
    if (delay === 0) return this.cause(R.INT_RXT0 | low);
    // Each frame starts RDTR anew; RADV bounds the wait since the first of them.
    const limit = this.get(R.RADV) & 0xffff, now = clock.now();
    if (this.rxDelay?.pending !== true) this.rxDelayLimit = limit === 0 ? Infinity : now + limit * DELAY_UNIT * clock.frequencyHz;
    clock.cancel(this.rxDelay);
    this.rxDelay = clock.schedule(Math.min(now + delay * DELAY_UNIT * clock.frequencyHz, this.rxDelayLimit), () => this.cause(R.INT_RXT0));
    if (low) this.cause(low);
  }
}
