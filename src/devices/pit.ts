/**
 * The 8254 interval timer, and port 0x61, which gates its channel 2 and shows that channel's output.
 *
 * Intel 8254 data sheet, "Programming the 8254", "Mode Definitions", "Read-Back Command". Ports 0x40-0x43 and 0x61.
 * Channel 0 drives IRQ 0. Counters are not stepped: their value is computed from the time when somebody looks.
 *
 * Deviations: a new count in modes 2 and 3 acts at once instead of at the end of the period; in mode 2 the low pulse before each
 * reload is given as an instantaneous one at the reload.
 */

import type { DeviceClock, InterruptLine, PortDevice, Scheduled } from './ports.js';
import { RateClock } from './rate-clock.js';

/** Input clock of the 8254 in a PC. */
export const PIT_HZ = 1193182;
/** Memory refresh toggles bit 4 of port 0x61 every 15.085 microseconds: 18 ticks of the timer's input. */
const REFRESH_TICKS = 18;

const toBcd = (n: number): number => (n % 10) | ((Math.floor(n / 10) % 10) << 4) | ((Math.floor(n / 100) % 10) << 8) | ((Math.floor(n / 1000) % 10) << 12);
const fromBcd = (b: number): number => (b & 15) + ((b >> 4) & 15) * 10 + ((b >> 8) & 15) * 100 + ((b >> 12) & 15) * 1000;

class Channel {
  mode = 3;
  gate = true;
  private bcd = false;
  /** 1 = low byte, 2 = high byte, 3 = low then high. */
  private access = 3;
  private reload = 0x10000;
  /** Tick at which counting of `reload` began; undefined while a count is awaited or the trigger has not come. */
  private start: number | undefined;
  private nullCount = true;
  private writeLow = 0;
  private writeHighNext = false;
  private readHighNext = false;
  private latched: number | undefined;
  private latchedStatus: number | undefined;
  /** Value kept while the gate holds modes 0, 2, 3 and 4 still. */
  private frozen = 0;

  constructor(
    private readonly rate: RateClock,
    private readonly changed: () => void,
  ) {}

  control(value: number): void {
    const access = (value >> 4) & 3;
    if (access === 0) return this.latchCount();
    this.access = access;
    const mode = (value >> 1) & 7;
    this.mode = mode > 5 ? mode - 4 : mode;
    this.bcd = (value & 1) !== 0;
    this.writeHighNext = this.readHighNext = false;
    this.latched = this.latchedStatus = undefined;
    this.start = undefined;
    this.nullCount = true;
    this.changed();
  }

  latchCount(): void {
    this.latched ??= this.encode(this.count);
  }

  latchStatus(): void {
    this.latchedStatus ??= (this.output ? 0x80 : 0) | (this.nullCount ? 0x40 : 0) | (this.access << 4) | (this.mode << 1) | (this.bcd ? 1 : 0);
  }

  write(value: number): void {
    if (this.access === 1) this.load(value);
    else if (this.access === 2) this.load(value << 8);
    else if (!this.writeHighNext) {
      this.writeLow = value;
      this.writeHighNext = true;
      if (this.mode === 0) this.start = undefined; // the first byte stops the count
    } else {
      this.writeHighNext = false;
      this.load((value << 8) | this.writeLow);
    }
  }

  private load(value: number): void {
    const full = this.bcd ? 10000 : 0x10000;
    this.reload = (this.bcd ? fromBcd(value) : value) || full;
    this.nullCount = false;
    this.frozen = this.reload;
    // Modes 1 and 5 wait for the gate's rising edge.
    if (this.mode !== 1 && this.mode !== 5) this.start = this.gate ? this.rate.ticks : undefined;
    this.changed();
  }

  read(): number {
    if (this.latchedStatus !== undefined) {
      const status = this.latchedStatus;
      this.latchedStatus = undefined;
      return status;
    }
    const value = this.latched ?? this.encode(this.count);
    const high = this.access === 2 || (this.access === 3 && this.readHighNext);
    if (this.access === 3) this.readHighNext = !this.readHighNext;
    if (this.access !== 3 || high) this.latched = undefined;
    return high ? (value >> 8) & 0xff : value & 0xff;
  }

  setGate(gate: boolean): void {
    if (gate === this.gate) return;
    if (!gate && (this.mode === 0 || this.mode === 4)) this.frozen = this.count;
    this.gate = gate;
    if (this.nullCount) return;
    if (gate) {
      const elapsed = this.mode === 0 || this.mode === 4 ? this.reload - this.frozen : 0;
      this.start = this.rate.ticks - elapsed;
    } else if (this.mode !== 1 && this.mode !== 5) this.start = undefined;
    this.changed();
  }

  private get elapsed(): number {
    return this.start === undefined ? 0 : this.rate.ticks - this.start;
  }

  private encode(count: number): number {
    return this.bcd ? toBcd(count % 10000) : count & 0xffff;
  }

  /** The counting element's value, 0 to reload. */
  get count(): number {
    if (this.start === undefined) return this.frozen;
    const { elapsed, reload } = this;
    switch (this.mode) {
      case 2: return reload - (elapsed % reload);
      case 3: return reload - ((2 * elapsed) % reload); // counts by two, twice a period
      default: { // wraps around after the end
        const full = this.bcd ? 10000 : 0x10000;
        return (((reload - elapsed) % full) + full) % full;
      }
    }
  }

  get output(): boolean {
    const { elapsed, reload } = this, running = this.start !== undefined;
    switch (this.mode) {
      case 0: return running && elapsed >= reload;
      case 1: return !running || elapsed >= reload;
      case 2: return !running || elapsed % reload !== reload - 1;
      case 3: return !running || elapsed % reload < (reload + 1) >> 1;
      default: return !running || elapsed !== reload;
    }
  }

  /** The next rising edge of the output after tick `after`, or undefined when there is none. */
  nextRise(after: number): number | undefined {
    if (this.start === undefined) return undefined;
    const { start, reload } = this;
    if (this.mode === 2 || this.mode === 3) return start + (Math.floor((after - start) / reload) + 1) * reload;
    const end = start + reload + (this.mode === 4 || this.mode === 5 ? 1 : 0);
    return end > after ? end : undefined;
  }
}

export class Pit implements PortDevice {
  private readonly rate: RateClock;
  private readonly channels: readonly Channel[];
  private event: Scheduled | undefined;
  private speaker = 0;

  /** @param irq0 wire of channel 0's output */
  constructor(
    private readonly clock: DeviceClock,
    private readonly irq0: InterruptLine,
  ) {
    this.rate = new RateClock(clock, PIT_HZ);
    this.channels = [0, 1, 2].map((i) => new Channel(this.rate, () => i === 0 && this.rearm()));
    this.channels[2].gate = false;
  }

  private rearm(): void {
    this.clock.cancel(this.event);
    // Modes other than 0 idle high; a control word alone gives no edge.
    if (this.channels[0].mode === 0) this.irq0.set(this.channels[0].output);
    this.scheduleRise(this.rate.ticks);
  }

  private scheduleRise(after: number): void {
    const tick = this.channels[0].nextRise(after);
    this.event = tick === undefined ? undefined : this.clock.schedule(this.rate.cycleOf(tick), () => {
      this.irq0.set(false);
      this.irq0.set(true);
      this.scheduleRise(tick);
    });
  }

  ioRead(port: number): number {
    if (port === 0x61) {
      const refresh = Math.floor(this.rate.ticks / REFRESH_TICKS) & 1;
      return this.speaker | (refresh << 4) | (this.channels[2].output ? 0x20 : 0);
    }
    return port < 0x43 ? this.channels[port - 0x40].read() : 0xff;
  }

  ioWrite(port: number, _size: number, value: number): void {
    if (port === 0x61) {
      this.speaker = value & 3;
      this.channels[2].setGate((value & 1) !== 0);
    } else if (port < 0x43) this.channels[port - 0x40].write(value);
    else if (value >> 6 < 3) this.channels[value >> 6].control(value);
    else this.readBack(value);
  }

  private readBack(value: number): void {
    this.channels.forEach((channel, i) => {
      if (!(value & (2 << i))) return;
      if (!(value & 0x20)) channel.latchCount();
      if (!(value & 0x10)) channel.latchStatus();
    });
  }
}
