import { describe, expect, it } from 'vitest';
import { ApicBus } from './apic-bus.js';
import { IoApic } from './ioapic.js';
import { APIC, LocalApic } from './lapic.js';
import { TestClock } from './test-clock.js';

function platform(count = 1) {
  const clock = new TestClock(1e9), bus = new ApicBus(), log: string[] = [];
  const apics = Array.from({ length: count }, (_, id) => new LocalApic(id, id === 0, clock, bus, {
    interruptChanged: () => {}, nmi: () => log.push(`nmi ${id}`), smi: () => {}, init: () => log.push(`init ${id}`),
    startUp: (v) => log.push(`sipi ${id} ${v.toString(16)}`), tscOffset: () => 1000n,
  }, 10, true));
  const write = (reg: number, value: number, id = 0): void => apics[id].mmioWrite(reg << 4, 4, value);
  for (let i = 0; i < count; i++) write(APIC.svr, 0x1ff, i);
  return { clock, bus, apics, log, write, ioapic: new IoApic(bus), read: (reg: number) => apics[0].mmioRead(reg << 4, 4) };
}

describe('local APIC', () => {
  it('the periodic timer interrupts at its rate, divided', () => {
    const { clock, apics, write, read } = platform();
    write(APIC.timerDivide, 0); // by 2
    write(APIC.lvtTimer, 0x20040);
    write(APIC.timerInitial, 100);
    clock.run(1000);
    expect(read(APIC.timerCurrent)).toBe(50);
    expect(apics[0].pendingVector).toBe(-1);
    clock.run(2000);
    expect(apics[0].acknowledge()).toBe(0x40);
    write(APIC.eoi, 0);
    clock.run(3999);
    expect(apics[0].pendingVector).toBe(-1);
    clock.run(4000);
    expect(apics[0].pendingVector).toBe(0x40);
  });

  it('TSC-deadline mode fires when the TSC, not the cycle count, reaches the deadline', () => {
    const { clock, apics, write } = platform();
    write(APIC.lvtTimer, 0x40055);
    apics[0].tscDeadline = 6000n;
    clock.run(4999);
    expect(apics[0].pendingVector).toBe(-1);
    clock.run(5000);
    expect([apics[0].pendingVector, apics[0].tscDeadline]).toEqual([0x55, 0n]);
  });

  it('TPR and the interrupt in service hold back lower classes', () => {
    const { apics, write, read } = platform();
    write(APIC.tpr, 0x50);
    write(APIC.icrLow, 0x44051);
    expect(apics[0].pendingVector).toBe(-1);
    write(APIC.icrLow, 0x44061);
    expect(apics[0].acknowledge()).toBe(0x61);
    expect(read(APIC.ppr)).toBe(0x60);
    write(APIC.tpr, 0);
    expect(apics[0].pendingVector).toBe(-1);
    write(APIC.eoi, 0);
    expect(apics[0].pendingVector).toBe(0x51);
  });

  it('INIT, SIPI and NMI reach the other processor only', () => {
    const { write, log } = platform(2);
    write(APIC.icrHigh, 1 << 24);
    write(APIC.icrLow, 0x4500);
    write(APIC.icrLow, 0x8500); // de-assert: nothing
    write(APIC.icrLow, 0x4608);
    write(APIC.icrLow, 0xc4400); // all but self
    expect(log).toEqual(['init 1', 'sipi 1 8', 'nmi 1']);
  });

  it('vectors below 16 are errors; ESR latches on write', () => {
    const { write, read } = platform();
    write(APIC.icrLow, 0x44005);
    expect(read(APIC.esr)).toBe(0);
    write(APIC.esr, 0);
    expect(read(APIC.esr)).toBe(0x20);
  });

  it('x2APIC: legal transitions only, reserved bits fault, ICR is one register', () => {
    const { apics } = platform(2);
    const a = apics[0], base = 0xfee00000n;
    expect(a.writeBaseMsr(base | 0x400n, 36)).toBe(false);
    expect(a.writeBaseMsr(base | 0xd00n, 36)).toBe(true);
    expect(a.writeBaseMsr(base | 0x900n, 36)).toBe(false);
    expect(a.readMsr(APIC.ldr)).toBe(1n);
    expect(a.writeMsr(APIC.eoi, 1n)).toBe(false);
    expect(a.writeMsr(APIC.icrLow, (1n << 32n) | 0x4077n)).toBe(true);
    expect(apics[1].pendingVector).toBe(0x77);
    expect(a.readMsr(APIC.icrHigh)).toBe(undefined);
  });
});

describe('I/O APIC', () => {
  const program = (io: IoApic, pin: number, low: number): void => {
    io.mmioWrite(0, 4, 0x10 + 2 * pin);
    io.mmioWrite(0x10, 4, low);
  };

  it('a level request stays outstanding until EOI, and comes again while the line is high', () => {
    const { apics, ioapic, write } = platform();
    program(ioapic, 11, 0x8033);
    ioapic.setLine(11, true);
    expect(apics[0].acknowledge()).toBe(0x33);
    ioapic.setLine(11, true);
    expect(apics[0].pendingVector).toBe(-1);
    write(APIC.eoi, 0);
    expect(apics[0].pendingVector).toBe(0x33);
  });

  it('an edge interrupts once; masked entries do not', () => {
    const { apics, ioapic } = platform();
    program(ioapic, 4, 0x1_0034);
    ioapic.setLine(4, true);
    expect(apics[0].pendingVector).toBe(-1);
    program(ioapic, 4, 0x34);
    ioapic.setLine(4, false);
    ioapic.setLine(4, true);
    expect(apics[0].acknowledge()).toBe(0x34);
  });

  it('identifies itself as the 82093AA does', () => {
    const { ioapic } = platform();
    ioapic.mmioWrite(0, 4, 1);
    expect(ioapic.mmioRead(0x10, 4)).toBe(0x170011);
  });
});
