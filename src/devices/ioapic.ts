/**
 * The I/O APIC: 24 inputs, each with a redirection entry.
 *
 * Intel 82093AA data sheet, "Register Description": IOREGSEL and IOWIN in memory, IOAPICID, IOAPICVER, IOAPICARB, IOREDTBL.
 * Input 0 is not connected, input 2 takes the 8254; other ISA interrupts keep their number (the ACPI MADT says so).
 */

import type { ApicBus } from './apic-bus.js';
import type { MmioDevice } from './ports.js';

export const IOAPIC_BASE = 0xfec0_0000;
export const IOAPIC_PINS = 24;
const VERSION = 0x11;

const LOW_WRITABLE = 0x1_afff, LEVEL = 1 << 15, MASKED = 1 << 16, REMOTE_IRR = 1 << 14, LOGICAL = 1 << 11;

export class IoApic implements MmioDevice {
  private readonly low = new Uint32Array(IOAPIC_PINS).fill(MASKED);
  private readonly high = new Uint32Array(IOAPIC_PINS);
  private lines = 0;
  /** Edges that came while the entry was masked are lost; level requests are taken from `lines`. */
  private select = 0;
  private idRegister = 0;

  constructor(private readonly bus: ApicBus) {
    bus.onEoi(this);
  }

  reset(): void {
    this.low.fill(MASKED);
    this.high.fill(0);
    this.select = this.idRegister = 0;
  }

  setLine(pin: number, asserted: boolean): void {
    const bit = 1 << pin, rising = asserted && !(this.lines & bit);
    this.lines = asserted ? this.lines | bit : this.lines & ~bit;
    if (this.low[pin] & LEVEL) this.service(pin);
    else if (rising && !(this.low[pin] & MASKED)) this.send(pin);
  }

  /** Sends a level-triggered request unless one is outstanding. */
  private service(pin: number): void {
    const entry = this.low[pin];
    if (!(this.lines & (1 << pin)) || entry & (MASKED | REMOTE_IRR) || !(entry & LEVEL)) return;
    this.low[pin] |= REMOTE_IRR;
    this.send(pin);
  }

  private send(pin: number): void {
    const entry = this.low[pin];
    this.bus.send({
      vector: entry & 0xff,
      delivery: (entry >> 8) & 7,
      level: (entry & LEVEL) !== 0,
      logical: (entry & LOGICAL) !== 0,
      destination: this.high[pin] >>> 24,
      wide: false,
    });
  }

  /** A processor's EOI message of a level-triggered vector. */
  endOfInterrupt(vector: number): void {
    for (let pin = 0; pin < IOAPIC_PINS; pin++)
      if (this.low[pin] & REMOTE_IRR && (this.low[pin] & 0xff) === vector) {
        this.low[pin] &= ~REMOTE_IRR;
        this.service(pin);
      }
  }

  private readRegister(): number {
    const { select } = this;
    if (select === 0 || select === 2) return this.idRegister;
    if (select === 1) return VERSION | ((IOAPIC_PINS - 1) << 16);
    const pin = (select - 0x10) >> 1;
    if (select < 0x10 || pin >= IOAPIC_PINS) return 0;
    return select & 1 ? this.high[pin] : this.low[pin];
  }

  private writeRegister(value: number): void {
    const { select } = this, pin = (select - 0x10) >> 1;
    if (select === 0) this.idRegister = value & 0x0f00_0000;
    if (select < 0x10 || pin >= IOAPIC_PINS) return;
    if (select & 1) {
      this.high[pin] = value & 0xff00_0000;
      return;
    }
    const keep = value & LEVEL ? this.low[pin] & REMOTE_IRR : 0; // an entry made edge-triggered forgets its request
    this.low[pin] = (value & LOW_WRITABLE) | keep;
    this.service(pin);
  }

  mmioRead(offset: number, size: number): number {
    const value = offset === 0 ? this.select : (offset & ~3) === 0x10 ? this.readRegister() : 0;
    return size === 4 ? value : (value >>> (8 * (offset & 3))) & ((1 << (8 * size)) - 1);
  }

  mmioWrite(offset: number, size: number, value: number): void {
    if (offset === 0) this.select = value & 0xff;
    else if (offset === 0x10 && size === 4) this.writeRegister(value);
  }
}
