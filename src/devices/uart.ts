/**
 * A 16550A serial port.
 *
 * National Semiconductor PC16550D data sheet, "Registers", "FIFO Interrupt Mode Operation". COM1 is at 0x3f8 with IRQ 4.
 *
 * Deviations: a character leaves at once, whatever the divisor says, so polling drivers do not burn the researcher's time;
 * received characters arrive with the spacing that the divisor gives. Parity, framing and break errors never happen.
 */

import type { ByteSink, DeviceClock, InterruptLine, PortDevice, Scheduled } from './ports.js';

const IER_RECEIVED = 1, IER_TRANSMIT = 2, IER_LINE = 4, IER_MODEM = 8;
const IIR_NONE = 1, IIR_TRANSMIT = 2, IIR_RECEIVED = 4, IIR_LINE = 6, IIR_TIMEOUT = 12, IIR_MODEM = 0, IIR_FIFO = 0xc0;
const LCR_DLAB = 0x80;
const LSR_DATA = 1, LSR_OVERRUN = 2, LSR_THR_EMPTY = 0x20, LSR_EMPTY = 0x40;
const MCR_OUT2 = 8, MCR_LOOP = 0x10;
const UART_HZ = 1843200;
const FIFO_DEPTH = 16;
const TRIGGER = [1, 4, 8, 14];

export class Uart implements PortDevice {
  private ier = 0;
  private lcr = 3;
  private mcr = MCR_OUT2;
  private scratch = 0;
  private divisor = 12;
  private fifoControl = 0;
  private overrun = false;
  /** The transmit-empty interrupt is latched by emptying and dropped by reading IIR. */
  private transmitPending = false;
  private modemDelta = 0;
  private timeout = false;
  private received: number[] = [];
  /** Bytes from outside that have not arrived yet. */
  private incoming: number[] = [];
  private arrival: Scheduled | undefined;
  private timeoutEvent: Scheduled | undefined;

  constructor(
    private readonly base: number,
    private readonly clock: DeviceClock,
    private readonly irq: InterruptLine,
    private readonly sink: ByteSink,
  ) {}

  /** Sends bytes to the guest: they arrive one after the other at the line's rate. */
  input(bytes: Uint8Array): void {
    this.incoming.push(...bytes);
    if (this.arrival === undefined) this.scheduleArrival();
  }

  /** Cycles of one character: start bit, 8 data bits, stop bit. */
  private get characterCycles(): number {
    return Math.ceil((this.clock.frequencyHz * 10 * 16 * Math.max(this.divisor, 1)) / UART_HZ);
  }

  private scheduleArrival(): void {
    this.arrival = this.clock.schedule(this.clock.now() + this.characterCycles, () => {
      this.arrival = undefined;
      // The line's other side watches RTS: nothing overruns while the guest is slow.
      if (this.received.length < this.depth && !(this.mcr & MCR_LOOP)) this.receive(this.incoming.shift()!);
      if (this.incoming.length > 0) this.scheduleArrival();
    });
  }

  private get depth(): number {
    return this.fifoControl & 1 ? FIFO_DEPTH : 1;
  }

  private receive(byte: number): void {
    if (this.received.length >= this.depth) this.overrun = true;
    else this.received.push(byte);
    this.clock.cancel(this.timeoutEvent);
    this.timeout = false;
    if (this.fifoControl & 1)
      this.timeoutEvent = this.clock.schedule(this.clock.now() + 4 * this.characterCycles, () => {
        this.timeout = this.received.length > 0;
        this.update();
      });
    this.update();
  }

  /** The interrupt with the highest priority, as IIR bits 3:0. */
  private get cause(): number {
    if (this.ier & IER_LINE && this.overrun) return IIR_LINE;
    const trigger = this.fifoControl & 1 ? TRIGGER[this.fifoControl >> 6] : 1;
    if (this.ier & IER_RECEIVED && this.received.length >= trigger) return IIR_RECEIVED;
    if (this.ier & IER_RECEIVED && this.timeout) return IIR_TIMEOUT;
    if (this.ier & IER_TRANSMIT && this.transmitPending) return IIR_TRANSMIT;
    if (this.ier & IER_MODEM && this.modemDelta !== 0) return IIR_MODEM;
    return IIR_NONE;
  }

  private update(): void {
    this.irq.set(this.cause !== IIR_NONE && (this.mcr & (MCR_OUT2 | MCR_LOOP)) === MCR_OUT2);
  }

  /** CTS, DSR, RI, DCD: a terminal that is always ready, or MCR's own outputs in loopback. */
  private get modemStatus(): number {
    const { mcr } = this;
    if (!(mcr & MCR_LOOP)) return 0xb0;
    return ((mcr & 2) << 3) | ((mcr & 1) << 5) | ((mcr & 4) << 4) | ((mcr & 8) << 4);
  }

  ioRead(port: number): number {
    const value = this.readRegister(port - this.base);
    this.update();
    return value;
  }

  private readRegister(register: number): number {
    switch (register) {
      case 0: {
        if (this.lcr & LCR_DLAB) return this.divisor & 0xff;
        this.timeout = false;
        return this.received.shift() ?? 0;
      }
      case 1: return this.lcr & LCR_DLAB ? this.divisor >> 8 : this.ier;
      case 2: {
        const cause = this.cause;
        if (cause === IIR_TRANSMIT) this.transmitPending = false;
        return cause | (this.fifoControl & 1 ? IIR_FIFO : 0);
      }
      case 3: return this.lcr;
      case 4: return this.mcr;
      case 5: {
        const status = LSR_THR_EMPTY | LSR_EMPTY | (this.received.length > 0 ? LSR_DATA : 0) | (this.overrun ? LSR_OVERRUN : 0);
        this.overrun = false;
        return status;
      }
      case 6: {
        const status = this.modemStatus | this.modemDelta;
        this.modemDelta = 0;
        return status;
      }
      default: return this.scratch;
    }
  }

  ioWrite(port: number, _size: number, value: number): void {
    this.writeRegister(port - this.base, value);
    this.update();
  }

  private writeRegister(register: number, value: number): void {
    const dlab = (this.lcr & LCR_DLAB) !== 0;
    switch (register) {
      case 0:
        if (dlab) this.divisor = (this.divisor & 0xff00) | value;
        else this.transmit(value);
        return;
      case 1:
        if (dlab) this.divisor = (this.divisor & 0xff) | (value << 8);
        else {
          // Enabling the interrupt with an empty holding register raises it.
          if (value & ~this.ier & IER_TRANSMIT) this.transmitPending = true;
          this.ier = value & 0xf;
        }
        return;
      case 2:
        if ((value ^ this.fifoControl) & 1 || value & 2) {
          this.received = [];
          this.timeout = false;
        }
        this.fifoControl = value & 1 ? value & 0xc9 : 0;
        return;
      case 3:
        this.lcr = value;
        return;
      case 4: {
        const before = this.modemStatus;
        this.mcr = value & 0x1f;
        const changed = (before ^ this.modemStatus) >> 4;
        // RI reports only its trailing edge.
        this.modemDelta |= (changed & 0xb) | (changed & 4 && !(this.modemStatus & 0x40) ? 4 : 0);
        return;
      }
      case 7:
        this.scratch = value;
        return;
    }
  }

  private transmit(value: number): void {
    if (this.mcr & MCR_LOOP) this.receive(value);
    else this.sink(value);
    this.transmitPending = true;
  }
}
