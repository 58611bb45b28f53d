/**
 * The two 8259A interrupt controllers of a PC and the edge/level registers of the PIIX3.
 *
 * Intel 8259A data sheet, "Programming the 8259A": initialisation command words ICW1-ICW4, operation command words OCW1-OCW3,
 * priority rotation, special mask mode, poll command, automatic EOI, special fully nested mode. 82371SB data sheet, "ELCR1, ELCR2".
 *
 * Ports: 0x20-0x21 master, 0xa0-0xa1 slave, 0x4d0 and 0x4d1 edge/level. The slave's output is the master's input 2.
 * Deviations: an edge request stays pending when its line falls before the acknowledgement (a real part then gives IRQ 7);
 * 8080/8085 mode (ICW4.uPM = 0) is treated as 8086 mode.
 */

import type { InterruptLine, PortDevice } from './ports.js';

const OCW_NONSPECIFIC_EOI = 1, OCW_SPECIFIC_EOI = 3, OCW_ROTATE_AEOI_SET = 4, OCW_ROTATE_EOI = 5, OCW_SET_PRIORITY = 6, OCW_ROTATE_SPECIFIC = 7;

/** One 8259A. Bit n of each register is input n. */
class Chip {
  private irr = 0;
  private isr = 0;
  private imr = 0;
  private lines = 0;
  private elcr = 0;
  /** The input with the highest priority now. */
  private top = 0;
  private base = 0;
  /** Which ICW is expected next on the data port: 0 = none, else 2, 3 or 4. */
  private initStep = 0;
  private needsIcw4 = false;
  private single = false;
  private autoEoi = false;
  private rotateOnAutoEoi = false;
  private specialMask = false;
  private fullyNested = false;
  private poll = false;
  private readIsr = false;

  /** @param levelMask inputs whose ELCR bit may be set; @param cascade the input that the slave drives, or 0 */
  constructor(
    private readonly levelMask: number,
    private readonly cascade: number,
    private readonly output: () => void,
  ) {}

  reset(): void {
    this.clear();
    this.elcr = 0;
    this.base = 0;
    this.output();
  }

  private clear(): void {
    this.irr &= this.elcr & this.lines;
    this.isr = 0;
    this.imr = 0;
    this.top = 0;
    this.initStep = 0;
    this.autoEoi = this.rotateOnAutoEoi = this.specialMask = this.fullyNested = this.poll = this.readIsr = false;
  }

  setLine(input: number, asserted: boolean): void {
    const bit = 1 << input;
    if (this.elcr & bit) this.irr = asserted ? this.irr | bit : this.irr & ~bit;
    else if (asserted && !(this.lines & bit)) this.irr |= bit;
    this.lines = asserted ? this.lines | bit : this.lines & ~bit;
    this.output();
  }

  /** Drops a request whose source took it back: the cascade input only. */
  withdraw(input: number): void {
    this.irr &= ~(1 << input);
    this.lines &= ~(1 << input);
  }

  /** Distance of the highest-priority bit of `mask` from the top, or 8. */
  private rank(mask: number): number {
    for (let i = 0; i < 8; i++) if (mask & (1 << ((this.top + i) & 7))) return i;
    return 8;
  }

  /** The input to be served now, or -1. */
  get request(): number {
    const wanted = this.rank(this.irr & ~this.imr);
    if (wanted === 8) return -1;
    let busy = this.isr;
    if (this.specialMask) busy &= ~this.imr;
    if (this.fullyNested) busy &= ~this.cascade;
    return wanted < this.rank(busy) ? (this.top + wanted) & 7 : -1;
  }

  /** The vector of an input; of none (-1), the spurious one's. */
  vectorOf(input: number): number {
    return this.base + (input < 0 ? 7 : input);
  }

  /** The acknowledge cycle: the vector. Without a request it is the spurious input 7. */
  acknowledge(): number {
    const input = this.request;
    if (input < 0) return this.base + 7;
    this.take(input);
    return this.base + input;
  }

  private take(input: number): void {
    const bit = 1 << input;
    if (!(this.elcr & bit)) this.irr &= ~bit;
    if (!this.autoEoi) this.isr |= bit;
    else if (this.rotateOnAutoEoi) this.top = (input + 1) & 7;
    this.output();
  }

  writeCommand(value: number): void {
    if (value & 0x10) {
      this.clear();
      this.initStep = 2;
      this.needsIcw4 = (value & 1) !== 0;
      this.single = (value & 2) !== 0;
    } else if (value & 0x08) {
      if (value & 4) this.poll = true;
      if (value & 2) this.readIsr = (value & 1) !== 0;
      if (value & 0x40) this.specialMask = (value & 0x20) !== 0;
    } else this.endOfInterrupt(value >> 5, value & 7);
    this.output();
  }

  private endOfInterrupt(command: number, input: number): void {
    switch (command) {
      case 0:
      case OCW_ROTATE_AEOI_SET:
        this.rotateOnAutoEoi = command !== 0;
        break;
      case OCW_NONSPECIFIC_EOI:
      case OCW_ROTATE_EOI: {
        const rank = this.rank(this.isr);
        if (rank === 8) break;
        const served = (this.top + rank) & 7;
        this.isr &= ~(1 << served);
        if (command === OCW_ROTATE_EOI) this.top = (served + 1) & 7;
        break;
      }
      case OCW_SPECIFIC_EOI:
      case OCW_ROTATE_SPECIFIC:
        this.isr &= ~(1 << input);
        if (command === OCW_ROTATE_SPECIFIC) this.top = (input + 1) & 7;
        break;
      case OCW_SET_PRIORITY:
        this.top = (input + 1) & 7;
        break;
    }
  }

  writeData(value: number): void {
    switch (this.initStep) {
      case 2:
        this.base = value & 0xf8;
        this.initStep = !this.single ? 3 : this.needsIcw4 ? 4 : 0;
        break;
      case 3: // the wiring is fixed
        this.initStep = this.needsIcw4 ? 4 : 0;
        break;
      case 4:
        this.autoEoi = (value & 2) !== 0;
        this.fullyNested = (value & 0x10) !== 0;
        this.initStep = 0;
        break;
      default:
        this.imr = value;
    }
    this.output();
  }

  read(data: boolean): number {
    if (this.poll) {
      this.poll = false;
      const input = this.request;
      if (input < 0) return 0;
      this.take(input);
      return 0x80 | input;
    }
    return data ? this.imr : this.readIsr ? this.isr : this.irr;
  }

  get edgeLevel(): number {
    return this.elcr;
  }
  set edgeLevel(value: number) {
    this.elcr = value & this.levelMask;
  }
}

export class Pic implements PortDevice {
  private readonly master: Chip;
  private readonly slave: Chip;
  private asserted = false;

  /** @param intr the wire to the processor */
  constructor(private readonly intr: InterruptLine) {
    this.master = new Chip(0xf8, 1 << 2, () => this.update());
    this.slave = new Chip(0xde, 0, () => this.cascade());
  }

  reset(): void {
    this.slave.reset();
    this.master.reset();
  }

  /** Drives input 0-15 of the pair. */
  setLine(irq: number, asserted: boolean): void {
    if (irq < 8) this.master.setLine(irq, asserted);
    else this.slave.setLine(irq - 8, asserted);
  }

  /** Is the processor's INTR wire high? */
  get pending(): boolean {
    return this.asserted;
  }

  /** The vector that `acknowledge` would give now, or -1; nothing changes. */
  get pendingVector(): number {
    if (!this.asserted) return -1;
    const { request } = this.master;
    return request !== 2 ? this.master.vectorOf(request) : this.slave.vectorOf(this.slave.request);
  }

  /** The two INTA cycles: the vector. */
  acknowledge(): number {
    if (this.master.request !== 2) return this.master.acknowledge();
    this.master.acknowledge();
    return this.slave.acknowledge();
  }

  private cascade(): void {
    if (this.slave.request >= 0) {
      // A further request must be a new edge for the master even when the slave's output never fell.
      this.master.setLine(2, false);
      this.master.setLine(2, true);
    } else {
      this.master.withdraw(2);
      this.update();
    }
  }

  private update(): void {
    const asserted = this.master.request >= 0;
    if (asserted === this.asserted) return;
    this.asserted = asserted;
    this.intr.set(asserted);
  }

  ioRead(port: number): number {
    switch (port) {
      case 0x20: return this.master.read(false);
      case 0x21: return this.master.read(true);
      case 0xa0: return this.slave.read(false);
      case 0xa1: return this.slave.read(true);
      case 0x4d0: return this.master.edgeLevel;
      case 0x4d1: return this.slave.edgeLevel;
      default: return 0xff;
    }
  }

  ioWrite(port: number, _size: number, value: number): void {
    switch (port) {
      case 0x20: return this.master.writeCommand(value);
      case 0x21: return this.master.writeData(value);
      case 0xa0: return this.slave.writeCommand(value);
      case 0xa1: return this.slave.writeData(value);
      case 0x4d0: this.master.edgeLevel = value; return;
      case 0x4d1: this.slave.edgeLevel = value; return;
    }
  }
}
