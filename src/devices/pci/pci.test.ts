import { describe, expect, it } from 'vitest';
import { AcpiPm, AcpiPmFunction } from '../acpi-pm.js';
import { IoSpace } from '../io-space.js';
import { TestClock } from '../test-clock.js';
import { PciBus } from './bus.js';
import { PciFunction } from './function.js';
import { HostBridge, IsaBridge } from './i440fx.js';

function machine() {
  const io = new IoSpace(), irqs: string[] = [], resets: number[] = [], shadow: string[] = [];
  const bus = new PciBus(() => resets.push(1));
  io.claimPorts(0xcf8, 8, bus, 4);
  const isa = new IsaBridge((irq, a) => irqs.push(`${irq}${a ? '+' : '-'}`));
  const card = new PciFunction({ vendor: 0x8086, device: 0x100e, classCode: 0x020000, revision: 3, interruptPin: 1 });
  card.memoryBar(0, 0x20000, { mmioRead: (o) => o, mmioWrite: () => {} });
  card.ioBar(1, 0x40, 4, (base) => ({ ioRead: (p) => p - base, ioWrite: () => {} }));
  card.connect(io, { set: (a) => isa.setIntx(3, 0, a) });
  bus.add(0, 0, new HostBridge((b, s, r, w) => shadow.push(`${b.toString(16)}+${s.toString(16)} ${r}/${w}`)));
  bus.add(1, 0, isa);
  bus.add(3, 0, card);
  const at = (slot: number, reg: number): void => io.ioWrite(0xcf8, 4, 0x8000_0000 + (slot << 11) + (reg & 0xfc));
  return {
    io, irqs, resets, card, shadow,
    read: (slot: number, reg: number, size: 1 | 2 | 4 = 4) => (at(slot, reg), io.ioRead(0xcfc + (reg & 3), size)),
    write: (slot: number, reg: number, v: number, size: 1 | 2 | 4 = 4) => (at(slot, reg), io.ioWrite(0xcfc + (reg & 3), size, v)),
  };
}

describe('PCI configuration mechanism 1', () => {
  it('finds devices, and nothing elsewhere', () => {
    const m = machine();
    expect([m.read(0, 0), m.read(1, 0), m.read(3, 0), m.read(4, 0)]).toEqual([0x12378086, 0x70008086, 0x100e8086, 0xffffffff]);
    expect(m.read(3, 2, 2)).toBe(0x100e);
  });

  it('sizes a BAR by writing ones, maps it when enabled, and moves it', () => {
    const m = machine();
    m.write(3, 0x10, 0xffffffff);
    m.write(3, 0x14, 0xffffffff);
    expect([m.read(3, 0x10), m.read(3, 0x14)]).toEqual([0xfffe0000, 0xffffffc1]);
    m.write(3, 0x10, 0xfebc0000);
    m.write(3, 0x14, 0xc000);
    expect(m.io.mmioRead(0xfebc0010, 4)).toBe(0xffffffff);
    m.write(3, 4, 3, 2);
    expect([m.io.mmioRead(0xfebc0010, 4), m.io.ioRead(0xc004, 4)]).toEqual([0x10, 4]);
    m.write(3, 0x10, 0xfeb00000);
    expect([m.io.mmioRead(0xfebc0010, 4), m.io.mmioRead(0xfeb00020, 4)]).toEqual([0xffffffff, 0x20]);
  });

  it('routes INTA of slot 3 through PIRQC, and follows INTx disable', () => {
    const m = machine();
    m.card.setInterrupt(true);
    expect(m.irqs).toEqual([]);
    m.write(1, 0x60, 0x0b0b0a0a);
    expect(m.irqs).toEqual(['11+']);
    m.write(3, 4, 0x400, 2);
    expect(m.irqs).toEqual(['11+', '11-']);
    expect(m.read(3, 6, 2) & 8).toBe(8);
  });

  it('resets through port 0xcf9 on the rising bit only; PAM steers the firmware window', () => {
    const m = machine();
    m.io.ioWrite(0xcf9, 1, 2);
    m.io.ioWrite(0xcf9, 1, 6);
    expect(m.resets.length).toBe(1);
    m.write(0, 0x59, 0x30, 1);
    expect(m.shadow).toEqual(['f0000+10000 true/true']);
  });
});

describe('ACPI power management', () => {
  it('counts at 3.579545 MHz, interrupts when bit 23 changes, and powers off by SLP_EN', () => {
    const clock = new TestClock(1e9), io = new IoSpace(), events: string[] = [];
    const pm = new AcpiPm(clock, { set: (a) => events.push(`sci${a ? '+' : '-'}`) }, () => events.push('off'));
    const fn = new AcpiPmFunction(io, pm);
    expect(io.ioRead(0x608, 4)).toBe(0xffffffff);
    fn.writeConfig(0x40, 4, 0x601);
    fn.writeConfig(0x80, 1, 1);
    clock.run(1e9);
    expect(io.ioRead(0x608, 4)).toBe(3579545);
    pm.enableAcpi();
    io.ioWrite(0x602, 2, 1);
    clock.run(2.4e9);
    expect(io.ioRead(0x600, 2) & 1).toBe(1);
    expect(events.at(-1)).toBe('sci+');
    io.ioWrite(0x604, 2, 0x2001);
    expect(events).toContain('off');
  });
});
