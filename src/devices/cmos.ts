/**
 * The real-time clock and CMOS memory, ports 0x70 and 0x71.
 *
 * Motorola MC146818A data sheet, "Time, Calendar, and Alarm Locations", "Registers A-D", "Update Cycle". Byte 0x32 is the century.
 * The date comes from the configuration and runs with the machine's time; nothing is stepped while nobody looks.
 *
 * Deviations: SET (register B) halts the date that is read, and the new one starts at the written second when SET is cleared.
 */

import type { DeviceClock, InterruptLine, PortDevice, Scheduled } from './ports.js';
import { RateClock } from './rate-clock.js';

const REG_A = 10, REG_B = 11, REG_C = 12, REG_D = 13, CENTURY = 0x32;
const B_SET = 0x80, B_PIE = 0x40, B_AIE = 0x20, B_UIE = 0x10, B_BINARY = 4, B_24H = 2;
const C_IRQF = 0x80, C_PF = 0x40, C_AF = 0x20, C_UF = 0x10;
/** UIP rises 244 microseconds before the update, which takes 1984 microseconds with a 32.768-kHz crystal. In ticks of that crystal. */
const UPDATE_TICKS = 8 + 65;
const CRYSTAL = 32768;

export class Cmos implements PortDevice {
  readonly memory = new Uint8Array(128);
  private readonly crystal: RateClock;
  private index = 0;
  /** Second of the date minus second of the machine. */
  private offset: number;
  private frozen: number | undefined;
  private flags = 0;
  /** Crystal tick up to which periodic, update and alarm flags are accounted for. */
  private seen = 0;
  private event: Scheduled | undefined;

  /** @param startTime the date at power-on, seconds since 1970-01-01 UTC */
  constructor(
    private readonly clock: DeviceClock,
    private readonly irq: InterruptLine,
    startTime: number,
  ) {
    this.crystal = new RateClock(clock, CRYSTAL);
    this.offset = startTime;
    this.memory[REG_A] = 0x26;
    this.memory[REG_B] = B_24H;
  }

  /** Puts the memory sizes where firmware and old systems look for them. `bytes`: RAM below 4 GiB. */
  describeMemory(bytes: number): void {
    const put16 = (at: number, v: number): void => {
      this.memory[at] = v & 0xff;
      this.memory[at + 1] = v >> 8;
    };
    put16(0x15, 640);
    const above1M = Math.min(Math.max(bytes / 1024 - 1024, 0), 0xffff);
    put16(0x17, above1M);
    put16(0x30, above1M);
    put16(0x34, Math.min(Math.max(bytes / 65536 - 256, 0), 0xffff));
  }

  private get second(): number {
    return this.frozen ?? this.offset + Math.floor(this.crystal.ticks / CRYSTAL);
  }

  private get updating(): boolean {
    return (this.memory[REG_B] & B_SET) === 0 && this.crystal.ticks % CRYSTAL >= CRYSTAL - UPDATE_TICKS;
  }

  private encode(value: number): number {
    return this.memory[REG_B] & B_BINARY ? value : (Math.floor(value / 10) << 4) | value % 10;
  }
  private decode(value: number): number {
    return this.memory[REG_B] & B_BINARY ? value : (value >> 4) * 10 + (value & 15);
  }

  private encodeHour(hour: number): number {
    if (this.memory[REG_B] & B_24H) return this.encode(hour);
    return this.encode(hour % 12 || 12) | (hour >= 12 ? 0x80 : 0);
  }
  private decodeHour(value: number): number {
    if (this.memory[REG_B] & B_24H) return this.decode(value);
    return (this.decode(value & 0x7f) % 12) + (value & 0x80 ? 12 : 0);
  }

  /** The date registers' values at `second`, by register number. */
  private fields(second: number): Readonly<Record<number, number>> {
    const d = new Date(second * 1000), year = d.getUTCFullYear();
    return {
      0: this.encode(d.getUTCSeconds()), 2: this.encode(d.getUTCMinutes()), 4: this.encodeHour(d.getUTCHours()),
      6: this.encode(d.getUTCDay() + 1), 7: this.encode(d.getUTCDate()), 8: this.encode(d.getUTCMonth() + 1),
      9: this.encode(year % 100), [CENTURY]: this.encode(Math.floor(year / 100)),
    };
  }

  private writeDate(register: number, value: number): void {
    const f = { ...this.fields(this.second), [register]: value };
    const year = this.decode(f[CENTURY]) * 100 + this.decode(f[9]);
    const second = Date.UTC(year, this.decode(f[8]) - 1, this.decode(f[7]), this.decodeHour(f[4]), this.decode(f[2]), this.decode(f[0])) / 1000;
    if (this.frozen !== undefined) this.frozen = second;
    else this.offset += second - this.second;
  }

  /** Ticks between periodic interrupts, or 0. Rates 1 and 2 are those of 8 and 9. */
  private get period(): number {
    const rate = this.memory[REG_A] & 15;
    return rate === 0 ? 0 : rate < 3 ? 1 << (rate + 6) : 1 << (rate - 1);
  }

  private alarmMatches(second: number): boolean {
    const f = this.fields(second);
    return [1, 3, 5].every((r) => this.memory[r] >= 0xc0 || this.memory[r] === f[r - 1]);
  }

  /** Sets the flags of everything that happened since last time. */
  private catchUp(): void {
    const now = this.crystal.ticks, { period, seen } = this;
    this.seen = now;
    if (period > 0 && Math.floor(now / period) > Math.floor(seen / period)) this.flags |= C_PF;
    if (!(this.memory[REG_B] & B_SET)) {
      const first = Math.floor(seen / CRYSTAL) + 1, last = Math.floor(now / CRYSTAL);
      if (last >= first) this.flags |= C_UF;
      // An alarm repeats within a day at the latest: no need to look further back.
      for (let s = Math.max(first, last - 86400); s <= last && !(this.flags & C_AF); s++) if (this.alarmMatches(this.offset + s)) this.flags |= C_AF;
    }
    const raised = (this.flags & this.memory[REG_B] & (C_PF | C_AF | C_UF)) !== 0;
    this.flags = raised ? this.flags | C_IRQF : this.flags & ~C_IRQF;
    this.irq.set(raised);
  }

  /** Schedules the next moment at which an enabled interrupt may come. */
  private rearm(): void {
    this.clock.cancel(this.event);
    this.event = undefined;
    const enabled = this.memory[REG_B] & (B_PIE | B_AIE | B_UIE);
    if (enabled === 0 || this.flags & C_IRQF) return;
    const now = this.crystal.ticks;
    let next = Infinity;
    if (enabled & B_PIE && this.period > 0) next = (Math.floor(now / this.period) + 1) * this.period;
    if (enabled & (B_AIE | B_UIE)) next = Math.min(next, (Math.floor(now / CRYSTAL) + 1) * CRYSTAL);
    if (next !== Infinity)
      this.event = this.clock.schedule(this.crystal.cycleOf(next), () => {
        this.catchUp();
        this.rearm();
      });
  }

  ioRead(port: number): number {
    if (port === 0x70) return 0xff;
    const { index } = this;
    if (index === REG_A) return (this.memory[REG_A] & 0x7f) | (this.updating ? 0x80 : 0);
    if (index === REG_C) {
      this.catchUp();
      const flags = this.flags;
      this.flags = 0;
      this.irq.set(false);
      this.rearm();
      return flags;
    }
    if (index === REG_D) return 0x80; // the battery is good
    return this.fields(this.second)[index] ?? this.memory[index];
  }

  ioWrite(port: number, _size: number, value: number): void {
    if (port === 0x70) {
      this.index = value & 0x7f; // bit 7 masks the NMI, of which there is no source here
      return;
    }
    const { index } = this;
    if (index === REG_C || index === REG_D) return;
    if (index in this.fields(0)) return this.writeDate(index, value);
    this.catchUp();
    if (index === REG_B) this.writeB(value);
    else this.memory[index] = index === REG_A ? value & 0x7f : value;
    this.catchUp();
    this.rearm();
  }

  private writeB(value: number): void {
    if (value & B_SET) {
      this.frozen ??= this.second;
      value &= ~B_UIE; // "SET ... clears UIE"
    } else if (this.frozen !== undefined) {
      this.offset = this.frozen - Math.floor(this.crystal.ticks / CRYSTAL);
      this.frozen = undefined;
    }
    this.memory[REG_B] = value;
  }
}
