/**
 * The High Precision Event Timer: main counter and three comparators.
 *
 * IA-PC HPET Specification 1.0a, §2.3 "Register Definitions", §2.4 "Theory of Operation" (legacy replacement routing).
 * The counter is 64 bits at 100 MHz (a tick is 10 ns, 10^7 femtoseconds), kept as a number: exact for the first three years of guest time.
 */

import type { DeviceClock, MmioDevice, Scheduled } from './ports.js';
import { RateClock } from './rate-clock.js';

export const HPET_BASE = 0xfed0_0000, HPET_SIZE = 0x400;
const TIMERS = 3;
const PERIOD_FEMTOSECONDS = 10_000_000;
/** Vendor 8086, legacy replacement capable, 64-bit counter, three timers, revision 1. */
export const HPET_ID = (0x8086_a001 | ((TIMERS - 1) << 8)) >>> 0;

const ENABLE = 1, LEGACY = 2;
const T_LEVEL = 1 << 1, T_ENABLE = 1 << 2, T_PERIODIC = 1 << 3, T_VALUE_SET = 1 << 6, T_32BIT = 1 << 8;
const T_CAPABILITIES = (1 << 4) | (1 << 5), T_WRITABLE = T_LEVEL | T_ENABLE | T_PERIODIC | T_VALUE_SET | T_32BIT | (0x1f << 9);
/** I/O APIC inputs that a comparator may use: 2, 8, and 16 to 23. */
const ROUTES = 0x00ff_0104;
const LEGACY_IRQ = [0, 8];

class Comparator {
  config = 0;
  value = 0;
  period = 0;
  event: Scheduled | undefined;
}

export class Hpet implements MmioDevice {
  private readonly rate: RateClock;
  private readonly timers = Array.from({ length: TIMERS }, () => new Comparator());
  private config = 0;
  private status = 0;
  /** Counter minus ticks while enabled; the counter itself while halted. */
  private offset = 0;

  /**
   * @param setPin drives an I/O APIC input; @param setIsa drives an ISA interrupt (legacy replacement)
   * @param legacyChanged told when legacy replacement takes IRQ 0 and 8 away from 8254 and RTC, or gives them back
   */
  constructor(
    private readonly clock: DeviceClock,
    private readonly setPin: (pin: number, asserted: boolean) => void,
    private readonly setIsa: (irq: number, asserted: boolean) => void,
    private readonly legacyChanged: (taken: boolean) => void,
  ) {
    this.rate = new RateClock(clock, 1e15 / PERIOD_FEMTOSECONDS);
  }

  reset(): void {
    for (const t of this.timers) {
      this.clock.cancel(t.event);
      Object.assign(t, new Comparator());
    }
    if (this.config & LEGACY) this.legacyChanged(false);
    this.config = this.status = this.offset = 0;
  }

  private get counter(): number {
    return this.config & ENABLE ? this.rate.ticks + this.offset : this.offset;
  }

  private arm(t: Comparator): void {
    this.clock.cancel(t.event);
    t.event = undefined;
    if (!(this.config & ENABLE) || !(t.config & T_ENABLE)) return;
    const now = this.counter, span = t.config & T_32BIT ? 2 ** 32 : 2 ** 64;
    // No sum with the span before it is needed: a number has 53 bits.
    let wait = t.value >= now ? t.value - now : t.value - now + span;
    if (t.config & T_32BIT) wait %= span;
    if (wait === 0) wait = t.config & T_PERIODIC && t.period > 0 ? t.period : span;
    if (wait < 2 ** 50) t.event = this.clock.schedule(this.rate.cycleOf(now - this.offset + wait), () => this.fire(t));
  }

  private fire(t: Comparator): void {
    if (t.config & T_PERIODIC && t.period > 0) {
      const span = t.config & T_32BIT ? 2 ** 32 : 2 ** 64;
      t.value = (t.value + t.period) % span;
    }
    const n = this.timers.indexOf(t);
    if (t.config & T_LEVEL) {
      this.status |= 1 << n;
      this.drive(n, true);
    } else {
      this.drive(n, false);
      this.drive(n, true);
      this.drive(n, false);
    }
    this.arm(t);
  }

  private drive(n: number, asserted: boolean): void {
    if (this.config & LEGACY && n < LEGACY_IRQ.length) this.setIsa(LEGACY_IRQ[n], asserted);
    else this.setPin((this.timers[n].config >> 9) & 0x1f, asserted);
  }

  private read32(offset: number): number {
    const high = (offset & 4) !== 0;
    const half = (v: number): number => (high ? Math.floor(v / 2 ** 32) : v) >>> 0;
    if (offset >= 0x100) {
      const t = this.timers[(offset - 0x100) >> 5];
      if (t === undefined) return 0;
      switch (offset & 0x18) {
        case 0x00: return high ? ROUTES : t.config | T_CAPABILITIES;
        case 0x08: return half(t.value);
        default: return 0;
      }
    }
    switch (offset & ~7) {
      case 0x000: return high ? PERIOD_FEMTOSECONDS : HPET_ID;
      case 0x010: return high ? 0 : this.config;
      case 0x020: return high ? 0 : this.status;
      case 0x0f0: return half(this.counter);
      default: return 0;
    }
  }

  mmioRead(offset: number, size: number): number {
    const value = this.read32(offset & ~3) >>> (8 * (offset & 3));
    return size === 4 ? value : value & ((1 << (8 * size)) - 1);
  }

  mmioWrite(offset: number, size: number, value: number): void {
    if (size !== 4 || offset & 3) return;
    const high = (offset & 4) !== 0;
    const replace = (old: number): number => (high ? (old % 2 ** 32) + value * 2 ** 32 : Math.floor(old / 2 ** 32) * 2 ** 32 + value);
    if (offset >= 0x100) {
      const t = this.timers[(offset - 0x100) >> 5];
      if (t !== undefined) this.writeTimer(t, offset & 0x18, high, value, replace);
    } else if (offset === 0x010) this.writeConfig(value);
    else if (offset === 0x020) {
      for (let n = 0; n < TIMERS; n++) if (value & this.status & (1 << n)) this.drive(n, false);
      this.status &= ~value;
    } else if ((offset & ~7) === 0x0f0) {
      const counter = replace(this.counter);
      this.offset = this.config & ENABLE ? counter - this.rate.ticks : counter;
      this.timers.forEach((t) => this.arm(t));
    }
  }

  private writeConfig(value: number): void {
    const counter = this.counter, changed = this.config ^ value;
    this.config = value & (ENABLE | LEGACY);
    this.offset = this.config & ENABLE ? counter - this.rate.ticks : counter;
    if (changed & LEGACY) this.legacyChanged((value & LEGACY) !== 0);
    this.timers.forEach((t) => this.arm(t));
  }

  private writeTimer(t: Comparator, register: number, high: boolean, value: number, replace: (old: number) => number): void {
    if (register === 0x00) {
      if (!high) t.config = value & T_WRITABLE;
    } else if (register === 0x08) {
      // In periodic mode a write sets the period; with VALUE_SET it sets the comparator, too.
      if (!(t.config & T_PERIODIC) || t.config & T_VALUE_SET) t.value = t.config & T_32BIT && high ? t.value : replace(t.value);
      if (t.config & T_PERIODIC) t.period = t.config & T_32BIT && high ? t.period : replace(t.config & T_VALUE_SET ? 0 : t.period);
      if (!high || !(t.config & T_32BIT)) t.config &= ~T_VALUE_SET;
    }
    this.arm(t);
  }
}
