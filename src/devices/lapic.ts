/**
 * One processor's local APIC: xAPIC registers in memory, x2APIC registers as MSRs.
 *
 * SDM 3A chapter 10 "Advanced Programmable Interrupt Controller (APIC)": §10.4 "Local APIC", §10.5 "Handling Local Interrupts",
 * §10.6 "Issuing Interprocessor Interrupts", §10.8 "Handling Interrupts", §10.12 "Extended XAPIC (x2APIC)". AMD APM 2 chapter 16.
 *
 * Registers are named by their offset >> 4, which is also the x2APIC MSR index minus 0x800.
 * Invariant: `pendingVector` is right after every method, so that the run loop's question costs one comparison.
 */

import { DELIVERY, type ApicBus, type ApicMessage } from './apic-bus.js';
import { ApicTimer } from './lapic-timer.js';
import type { DeviceClock, MmioDevice } from './ports.js';

/** What the local APIC does to its processor. */
export interface ApicHost {
  /** Whether an interrupt can be taken may have changed. */
  interruptChanged(): void;
  nmi(): void;
  smi(): void;
  init(): void;
  /** Start-up IPI: execution begins at vector << 12. */
  startUp(vector: number): void;
  /** TSC minus machine cycles. */
  tscOffset(): bigint;
}

/** Register numbers (offset >> 4). */
export const APIC = {
  id: 0x02, version: 0x03, tpr: 0x08, apr: 0x09, ppr: 0x0a, eoi: 0x0b, rrd: 0x0c, ldr: 0x0d, dfr: 0x0e, svr: 0x0f,
  isr: 0x10, tmr: 0x18, irr: 0x20, esr: 0x28, icrLow: 0x30, icrHigh: 0x31,
  lvtTimer: 0x32, lvtThermal: 0x33, lvtPerf: 0x34, lvtLint0: 0x35, lvtLint1: 0x36, lvtError: 0x37,
  timerInitial: 0x38, timerCurrent: 0x39, timerDivide: 0x3e, selfIpi: 0x3f,
} as const;

/** Version 0x14, six LVT entries. */
const VERSION = 0x0005_0014;
const LVT_MASKED = 1 << 16;
const LVT_REMOTE_IRR = 1 << 14, LVT_SEND_PENDING = 1 << 12;
const SVR_ENABLE = 1 << 8;
const ESR_SEND_ILLEGAL = 1 << 5, ESR_RECEIVE_ILLEGAL = 1 << 6, ESR_ILLEGAL_REGISTER = 1 << 7;

/** Writable bits of each LVT register. */
const LVT_WRITABLE: Readonly<Record<number, number>> = {
  [APIC.lvtTimer]: 0x700ff, [APIC.lvtThermal]: 0x107ff, [APIC.lvtPerf]: 0x107ff,
  [APIC.lvtLint0]: 0x1a7ff, [APIC.lvtLint1]: 0x1a7ff, [APIC.lvtError]: 0x100ff,
};

export const APIC_BASE_BSP = 1 << 8, APIC_BASE_EXTD = 1 << 10, APIC_BASE_ENABLE = 1 << 11;
export const APIC_DEFAULT_BASE = 0xfee0_0000;

const highest = (bits: Uint32Array): number => {
  for (let i = 7; i >= 0; i--) if (bits[i] !== 0) return i * 32 + 31 - Math.clz32(bits[i]);
  return -1;
};

export class LocalApic implements MmioDevice {
  private readonly irr = new Uint32Array(8);
  private readonly isr = new Uint32Array(8);
  private readonly tmr = new Uint32Array(8);
  /** Plain registers: ID, LDR, DFR, SVR, ICR, LVT. */
  private readonly registers = new Uint32Array(0x40);
  private readonly timer: ApicTimer;
  private tpr = 0;
  private esrLatched = 0;
  private esrPending = 0;
  private extInt = false;
  private nextVector = -1;
  private baseAddress = APIC_DEFAULT_BASE;
  private enabledBit = true;
  private extended = false;

  /**
   * @param id APIC ID, 0 to 254
   * @param cyclesPerTick cycles of one undivided timer tick
   * @param x2apic the profile advertises x2APIC
   */
  constructor(
    readonly id: number,
    private readonly bootProcessor: boolean,
    clock: DeviceClock,
    private readonly bus: ApicBus,
    private readonly host: ApicHost,
    cyclesPerTick: number,
    private readonly x2apic: boolean,
  ) {
    this.timer = new ApicTimer(clock, cyclesPerTick, () => host.tscOffset(), () => this.localInterrupt(APIC.lvtTimer));
    bus.attach(this);
    this.reset();
  }

  /** Power-up or RESET. */
  reset(): void {
    this.baseAddress = APIC_DEFAULT_BASE;
    this.enabledBit = true;
    this.extended = false;
    this.init();
    this.registers[APIC.id] = this.id << 24;
  }

  /** INIT: everything but the APIC ID and IA32_APIC_BASE. SDM 3A §10.4.7.3 "Local APIC State After an INIT Reset". */
  init(): void {
    for (const bits of [this.irr, this.isr, this.tmr]) bits.fill(0);
    const { registers } = this, id = registers[APIC.id];
    registers.fill(0);
    registers[APIC.id] = id;
    registers[APIC.dfr] = 0xffff_ffff;
    registers[APIC.svr] = 0xff;
    for (let r: number = APIC.lvtTimer; r <= APIC.lvtError; r++) registers[r] = LVT_MASKED;
    this.tpr = this.esrLatched = this.esrPending = 0;
    this.timer.reset();
    this.update();
  }

  /** The state in which firmware leaves the boot processor's APIC: enabled, the 8259 through LINT0, NMI on LINT1 ("virtual wire mode"). */
  enableVirtualWire(): void {
    this.registers[APIC.svr] = SVR_ENABLE | 0xff;
    this.registers[APIC.lvtLint0] = 0x8700;
    this.registers[APIC.lvtLint1] = 0x8400;
    this.update();
  }

  // --- IA32_APIC_BASE -------------------------------------------------------------------------------------------------------

  /** Globally enabled (CPUID.1:EDX.APIC follows it). */
  get enabled(): boolean {
    return this.enabledBit;
  }
  get x2apicMode(): boolean {
    return this.extended;
  }
  /** Physical address of the register page. */
  get base(): number {
    return this.baseAddress;
  }
  get baseMsr(): bigint {
    const bits = (this.bootProcessor ? APIC_BASE_BSP : 0) | (this.extended ? APIC_BASE_EXTD : 0) | (this.enabledBit ? APIC_BASE_ENABLE : 0);
    return BigInt(this.baseAddress + bits);
  }

  /** WRMSR IA32_APIC_BASE; false = #GP(0). SDM 3A §10.12.5 "x2APIC State Transitions" has the legal ones. */
  writeBaseMsr(value: bigint, physicalAddressBits: number): boolean {
    const low = Number(value & 0xfffn);
    if (low & ~(APIC_BASE_BSP | APIC_BASE_EXTD | APIC_BASE_ENABLE) || value >> BigInt(physicalAddressBits) !== 0n) return false;
    const enable = (low & APIC_BASE_ENABLE) !== 0, extended = (low & APIC_BASE_EXTD) !== 0;
    if (extended && (!this.x2apic || !enable)) return false;
    if (this.extended && enable && !extended) return false; // x2APIC to xAPIC only through disabled
    if (!this.enabledBit && extended) return false; // disabled to x2APIC only through xAPIC
    this.baseAddress = Number(value & ~0xfffn);
    if (extended && !this.extended) {
      this.registers[APIC.id] = this.id;
      this.registers[APIC.ldr] = ((this.id >> 4) << 16) | (1 << (this.id & 15));
      this.registers[APIC.icrHigh] = 0;
    }
    if (!enable && this.enabledBit) {
      this.init();
      this.registers[APIC.id] = this.id << 24;
    }
    this.enabledBit = enable;
    this.extended = extended;
    this.update();
    return true;
  }

  // --- what the processor asks ----------------------------------------------------------------------------------------------

  private get softwareEnabled(): boolean {
    return this.enabledBit && (this.registers[APIC.svr] & SVR_ENABLE) !== 0;
  }

  /** The 8259's wire (LINT0 of the boot processor; straight to the processor when the APIC is off). */
  setExtInt(asserted: boolean): void {
    this.extInt = asserted;
    if (asserted && this.softwareEnabled && (this.registers[APIC.lvtLint0] & 0x700) >> 8 !== DELIVERY.extInt) this.localInterrupt(APIC.lvtLint0);
    this.host.interruptChanged();
  }

  /** Does the 8259 get through? */
  get extIntPending(): boolean {
    if (!this.extInt || !this.bootProcessor) return false;
    if (!this.enabledBit) return true;
    const lint0 = this.registers[APIC.lvtLint0];
    return (lint0 & LVT_MASKED) === 0 && (lint0 & 0x700) >> 8 === DELIVERY.extInt;
  }

  /** The vector that could be delivered now, priority considered, or -1. */
  get pendingVector(): number {
    return this.nextVector;
  }

  /** Takes `pendingVector` into service. Without one the spurious vector. */
  acknowledge(): number {
    const vector = this.nextVector;
    if (vector < 0) return this.registers[APIC.svr] & 0xff;
    this.irr[vector >> 5] &= ~(1 << (vector & 31));
    this.isr[vector >> 5] |= 1 << (vector & 31);
    this.update();
    return vector;
  }

  get taskPriority(): number {
    return this.tpr;
  }
  set taskPriority(value: number) {
    this.tpr = value & 0xff;
    this.update();
  }

  get processorPriority(): number {
    const served = Math.max(highest(this.isr), 0);
    return this.tpr >> 4 >= served >> 4 ? this.tpr : served & 0xf0;
  }

  private update(): void {
    const vector = highest(this.irr);
    const next = vector >= 0 && this.softwareEnabled && vector >> 4 > this.processorPriority >> 4 ? vector : -1;
    this.nextVector = next;
    this.host.interruptChanged();
  }

  // --- receiving ------------------------------------------------------------------------------------------------------------

  get acceptsFixed(): boolean {
    return this.softwareEnabled;
  }

  matches(destination: number, logical: boolean, wide: boolean): boolean {
    if (!this.enabledBit) return false;
    if (!logical) return destination === (wide ? 0xffff_ffff : 0xff) || destination === this.id;
    if (this.extended) {
      if (!wide) return (destination & 0xff) === 0xff || (this.id < 16 && (destination & (1 << (this.id & 15))) !== 0);
      const ldr = this.registers[APIC.ldr];
      return destination === 0xffff_ffff || (destination >>> 16 === ldr >>> 16 && (destination & ldr & 0xffff) !== 0);
    }
    const ldr = this.registers[APIC.ldr] >>> 24, to = destination & 0xff;
    if (to === 0xff && wide) return true;
    if (this.registers[APIC.dfr] >>> 28 === 0xf) return (to & ldr) !== 0; // flat model
    return to >> 4 === ldr >> 4 && (to & ldr & 15) !== 0; // cluster model
  }

  receive(message: ApicMessage): void {
    switch (message.delivery) {
      case DELIVERY.fixed:
      case DELIVERY.lowestPriority:
        return this.accept(message.vector, message.level);
      case DELIVERY.smi: return this.host.smi();
      case DELIVERY.nmi: return this.host.nmi();
      case DELIVERY.init:
        this.init();
        return this.host.init();
      case DELIVERY.startUp: return this.host.startUp(message.vector);
      case DELIVERY.extInt: return this.setExtInt(true);
    }
  }

  private accept(vector: number, level: boolean): void {
    if (!this.softwareEnabled) return;
    if (vector < 16) return this.error(ESR_RECEIVE_ILLEGAL);
    const word = vector >> 5, bit = 1 << (vector & 31);
    this.irr[word] |= bit;
    if (level) this.tmr[word] |= bit;
    else this.tmr[word] &= ~bit;
    this.update();
  }

  /** Raises the local interrupt of an LVT entry, if it is not masked. */
  private localInterrupt(register: number): void {
    const lvt = this.registers[register];
    if (lvt & LVT_MASKED || !this.enabledBit) return;
    // The timer's and the error's entries have no delivery mode: always fixed.
    const fixedOnly = register === APIC.lvtTimer || register === APIC.lvtError;
    const delivery = fixedOnly ? DELIVERY.fixed : (lvt >> 8) & 7;
    if (delivery === DELIVERY.extInt) return this.host.interruptChanged();
    this.receive({ vector: lvt & 0xff, delivery, level: false, logical: false, destination: this.id, wide: true });
  }

  /** LINT1, wired to the platform's NMI source. */
  lint1(): void {
    this.localInterrupt(APIC.lvtLint1);
  }
  /** A performance counter overflowed. The entry becomes masked, as after each of its interrupts. */
  performanceInterrupt(): void {
    this.localInterrupt(APIC.lvtPerf);
    this.registers[APIC.lvtPerf] |= LVT_MASKED;
  }

  private error(bits: number): void {
    const first = (this.esrPending & bits) === 0;
    this.esrPending |= bits;
    if (first) this.localInterrupt(APIC.lvtError);
  }

  // --- registers ------------------------------------------------------------------------------------------------------------

  private read(register: number): number {
    const { registers } = this;
    if (register >= APIC.isr && register < APIC.tmr) return this.isr[register & 7];
    if (register >= APIC.tmr && register < APIC.irr) return this.tmr[register & 7];
    if (register >= APIC.irr && register < APIC.esr) return this.irr[register & 7];
    if (register >= APIC.lvtTimer && register <= APIC.lvtError) return registers[register];
    switch (register) {
      case APIC.id: case APIC.ldr: case APIC.svr: case APIC.icrLow: case APIC.icrHigh: case APIC.dfr: return registers[register];
      case APIC.version: return VERSION;
      case APIC.tpr: return this.tpr;
      case APIC.apr: case APIC.rrd: case APIC.eoi: return 0;
      case APIC.ppr: return this.processorPriority;
      case APIC.esr: return this.esrLatched;
      case APIC.timerInitial: return this.timer.initialCount;
      case APIC.timerCurrent: return this.timer.current;
      case APIC.timerDivide: return this.timer.divide;
      default:
        this.error(ESR_ILLEGAL_REGISTER);
        return 0;
    }
  }

  private write(register: number, value: number): void {
    const { registers } = this;
    if (register in LVT_WRITABLE) return this.writeLvt(register, value);
    switch (register) {
      case APIC.id: registers[APIC.id] = value & 0xff00_0000; return;
      case APIC.tpr: this.taskPriority = value; return;
      case APIC.eoi: return this.endOfInterrupt();
      case APIC.ldr: registers[APIC.ldr] = value & 0xff00_0000; return;
      case APIC.dfr: registers[APIC.dfr] = value | 0x0fff_ffff; return;
      case APIC.svr: return this.writeSvr(value);
      case APIC.esr:
        this.esrLatched = this.esrPending;
        this.esrPending = 0;
        return;
      case APIC.icrLow:
        registers[APIC.icrLow] = value & 0x000c_cfff;
        return this.sendIpi(value, registers[APIC.icrHigh] >>> 24, false);
      case APIC.icrHigh: registers[APIC.icrHigh] = value & 0xff00_0000; return;
      case APIC.timerInitial: this.timer.initialCount = value; return;
      case APIC.timerDivide: this.timer.divide = value; return;
      case APIC.version: case APIC.apr: case APIC.ppr: case APIC.rrd: case APIC.timerCurrent: return; // read-only
      default:
        if (register < APIC.isr || register >= APIC.esr) this.error(ESR_ILLEGAL_REGISTER);
    }
  }

  private writeLvt(register: number, value: number): void {
    const keep = this.registers[register] & (LVT_REMOTE_IRR | LVT_SEND_PENDING);
    let lvt = (value & LVT_WRITABLE[register]) | keep;
    if (!this.softwareEnabled) lvt |= LVT_MASKED;
    this.registers[register] = lvt;
    if (register === APIC.lvtTimer) this.timer.setMode((lvt >> 17) & 3);
    if (register === APIC.lvtLint0) this.host.interruptChanged();
  }

  private writeSvr(value: number): void {
    this.registers[APIC.svr] = value & 0x1ff;
    // "The mask bits for all the LVT entries are set" while software-disabled: SDM 3A §10.4.7.2.
    if (!(value & SVR_ENABLE)) for (let r: number = APIC.lvtTimer; r <= APIC.lvtError; r++) this.registers[r] |= LVT_MASKED;
    this.update();
  }

  private endOfInterrupt(): void {
    const vector = highest(this.isr);
    if (vector < 0) return;
    const word = vector >> 5, bit = 1 << (vector & 31);
    this.isr[word] &= ~bit;
    if (this.tmr[word] & bit) this.bus.broadcastEoi(vector);
    this.update();
  }

  private sendIpi(low: number, destination: number, wide: boolean): void {
    const message: ApicMessage = {
      vector: low & 0xff, delivery: (low >> 8) & 7, level: false, logical: (low & 0x800) !== 0, destination, wide,
    };
    const shorthand = (low >> 18) & 3;
    if (message.delivery === DELIVERY.init && (low & 0xc000) === 0x8000) return; // INIT level de-assert: no effect on these parts
    if ((message.delivery === DELIVERY.fixed || message.delivery === DELIVERY.lowestPriority) && message.vector < 16) return this.error(ESR_SEND_ILLEGAL);
    if (shorthand === 0) this.bus.send(message);
    // With "self" the manuals define only Fixed and leave the rest open; system software sends itself NMIs this way.
    else if (shorthand === 1) this.receive(message.delivery === DELIVERY.nmi ? message : { ...message, delivery: DELIVERY.fixed });
    else this.bus.sendShorthand(this, shorthand === 2, message);
  }

  mmioRead(offset: number, size: number): number {
    if (this.extended || offset & 0xc || (offset & 3) + size > 4) return 0;
    const value = this.read(offset >> 4) >>> (8 * (offset & 3));
    return size === 4 ? value >>> 0 : value & ((1 << (8 * size)) - 1);
  }

  mmioWrite(offset: number, size: number, value: number): void {
    if (!this.extended && size === 4 && (offset & 0xf) === 0) this.write(offset >> 4, value);
  }

  // --- x2APIC ---------------------------------------------------------------------------------------------------------------

  /** RDMSR of 0x800 + register; undefined = #GP(0). SDM 3A §10.12.1.2 "x2APIC Register Address Space". */
  readMsr(register: number): bigint | undefined {
    if (!this.extended) return undefined;
    switch (register) {
      case APIC.icrLow: return (BigInt(this.registers[APIC.icrHigh]) << 32n) | BigInt(this.registers[APIC.icrLow]);
      case APIC.id: return BigInt(this.id);
      case APIC.eoi: case APIC.icrHigh: case APIC.dfr: case APIC.apr: case APIC.rrd: case APIC.selfIpi: return undefined;
    }
    const known = register in LVT_WRITABLE || (register >= APIC.isr && register <= APIC.esr)
      || [APIC.version, APIC.tpr, APIC.ppr, APIC.ldr, APIC.svr, APIC.timerInitial, APIC.timerCurrent, APIC.timerDivide].includes(register as never);
    return known ? BigInt(this.read(register) >>> 0) : undefined;
  }

  /** WRMSR of 0x800 + register; false = #GP(0). */
  writeMsr(register: number, value: bigint): boolean {
    if (!this.extended) return false;
    const low = Number(value & 0xffff_ffffn);
    if (register === APIC.icrLow) {
      if (low & ~0x000c_cfff) return false;
      this.registers[APIC.icrLow] = low;
      this.registers[APIC.icrHigh] = Number(value >> 32n);
      this.sendIpi(low, Number(value >> 32n), true);
      return true;
    }
    const writable = register in LVT_WRITABLE ? LVT_WRITABLE[register] : X2APIC_WRITABLE[register];
    if (writable === undefined || value >> 32n !== 0n || (low & ~writable) !== 0) return false;
    if (register === APIC.selfIpi) this.sendIpi(0x40000 | low, 0, true);
    else this.write(register, low);
    return true;
  }

  get tscDeadline(): bigint {
    return this.timer.tscDeadline;
  }
  set tscDeadline(value: bigint) {
    this.timer.tscDeadline = value;
  }
  /** To be called when the processor's TSC was written. */
  tscChanged(): void {
    this.timer.rearmDeadline();
  }
}

/** Bits that x2APIC registers take; others make #GP(0). EOI and ESR take zero only. */
const X2APIC_WRITABLE: Readonly<Record<number, number>> = {
  [APIC.tpr]: 0xff, [APIC.eoi]: 0, [APIC.svr]: 0x1ff, [APIC.esr]: 0,
  [APIC.timerInitial]: -1, [APIC.timerDivide]: 0xb, [APIC.selfIpi]: 0xff,
};
