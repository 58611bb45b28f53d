import { describe, expect, it } from 'vitest';
import { IoSpace } from '../io-space.js';
import { TestClock } from '../test-clock.js';
import { IdeController } from './ide-controller.js';
import { SeededDisk } from './seeded-disk.js';

const DATA = 0x1f0, COUNT = 0x1f2, LOW = 0x1f3, MID = 0x1f4, HIGH = 0x1f5, DEVICE = 0x1f6, STATUS = 0x1f7, CONTROL = 0x3f6, BM = 0xc000;

/** A machine with one 1-MiB disk; 100 microseconds and 51.2 MB/s, so a sector takes 10 microseconds. */
function machine() {
  const clock = new TestClock(1e9), io = new IoSpace(), ram = new Uint8Array(1 << 20), disk = new SeededDisk(2048, 7);
  let irq = false;
  const ide = new IdeController({
    io, clock, latency: 100e-6, bytesPerSecond: 51.2e6, disks: [disk], seen: () => {},
    irqs: [{ set: (a) => (irq = a) }, { set: () => {} }],
    dma: { read: (a, n) => ram.slice(a, a + n), write: (a, b) => ram.set(b, a) },
  });
  ide.function.connect(io, { set: () => {} });
  ide.function.writeConfig(0x20, 4, BM);
  ide.function.writeConfig(4, 2, 5);
  const out = (port: number, v: number): void => io.ioWrite(port, 1, v), inb = (port: number): number => io.ioRead(port, 1);
  const command = (code: number, lba: number, count: number): void => {
    [[DEVICE, 0xe0 | (lba >> 24)], [COUNT, count], [LOW, lba & 255], [MID, (lba >> 8) & 255], [HIGH, (lba >> 16) & 255], [STATUS, code]].forEach(([p, v]) => out(p, v));
  };
  const waitIrq = (): number => (clock.runUntil(() => irq), inb(STATUS));
  const sector = (lba: number): Uint8Array => {
    const b = new Uint8Array(512);
    disk.read(lba, b);
    return b;
  };
  const readWords = (n: number): Uint8Array => new Uint8Array(Uint16Array.from({ length: n }, () => io.ioRead(DATA, 2)).buffer);
  return { clock, io, ram, out, inb, command, waitIrq, sector, readWords, irq: () => irq };
}

describe('ATA over the PIIX3', () => {
  it('identifies itself with size, LBA48 and text in ATA byte order', () => {
    const m = machine();
    m.command(0xec, 0, 0);
    expect(m.waitIrq()).toBe(0x58);
    const b = m.readWords(256), w = new Uint16Array(b.buffer);
    expect([w[60], w[100], w[83] & 0x400]).toEqual([2048, 2048, 0x400]);
    expect(String.fromCharCode(b[55], b[54], b[57], b[56])).toBe('XENO');
    expect(m.inb(STATUS)).toBe(0x50);
  });

  it('reads by PIO, one interrupt a sector, at latency plus rate', () => {
    const m = machine();
    m.command(0x20, 5, 2);
    expect(m.inb(CONTROL) & 0x80).toBe(0x80);
    expect(m.waitIrq()).toBe(0x58);
    expect(m.clock.now()).toBe(110_000);
    expect(m.irq()).toBe(false); // reading status took the interrupt away
    expect(m.readWords(256)).toEqual(m.sector(5));
    m.waitIrq();
    expect(m.clock.now()).toBe(120_000);
    expect(m.readWords(256)).toEqual(m.sector(6));
    expect(m.inb(STATUS)).toBe(0x50);
  });

  it('writes by WRITE MULTIPLE with 32-bit data, and reads it back with a 48-bit command', () => {
    const m = machine();
    m.command(0xc6, 0, 4);
    expect(m.waitIrq()).toBe(0x50);
    m.command(0xc5, 100, 4);
    for (let i = 0; i < 512; i++) m.io.ioWrite(DATA, 4, i * 0x01010101);
    expect(m.waitIrq()).toBe(0x50);
    for (const [p, v] of [[DEVICE, 0x40], [COUNT, 0], [LOW, 0], [MID, 0], [HIGH, 0], [COUNT, 1], [LOW, 103], [MID, 0], [HIGH, 0], [STATUS, 0x24]]) m.out(p, v);
    expect(m.waitIrq()).toBe(0x58);
    expect(m.io.ioRead(DATA, 4)).toBe((384 * 0x01010101) >>> 0);
  });

  it('scatters a DMA read over two regions and reports interrupt without active', () => {
    const m = machine(), view = new DataView(m.ram.buffer);
    [[0x1000, 0x2000], [0x1004, 512], [0x1008, 0x9000], [0x100c, 0x8000_0000 + 1024]].forEach(([a, v]) => view.setUint32(a, v, true));
    m.io.ioWrite(BM + 4, 4, 0x1000);
    m.out(BM + 2, 6);
    m.out(BM, 8);
    m.command(0xc8, 10, 3);
    m.out(BM, 9);
    expect(m.inb(BM + 2) & 7).toBe(1);
    expect(m.waitIrq()).toBe(0x50);
    expect(m.clock.now()).toBe(130_000);
    expect(m.inb(BM + 2) & 7).toBe(4);
    expect(m.ram.slice(0x2000, 0x2200)).toEqual(m.sector(10));
    expect(m.ram.slice(0x9200, 0x9400)).toEqual(m.sector(12));
  });

  it('writes by DMA', () => {
    const m = machine(), view = new DataView(m.ram.buffer);
    m.ram.fill(0x5a, 0x3000, 0x3200);
    view.setUint32(0x1000, 0x3000, true);
    view.setUint32(0x1004, 0x8000_0200, true);
    m.io.ioWrite(BM + 4, 4, 0x1000);
    m.command(0xca, 2047, 1);
    m.out(BM, 1);
    m.waitIrq();
    expect(m.sector(2047).every((b) => b === 0x5a)).toBe(true);
  });

  it('fails beyond the last sector, aborts unknown commands, and an absent slave answers zero', () => {
    const m = machine();
    m.command(0x20, 2047, 2);
    expect([m.waitIrq() & 1, m.inb(0x1f1)]).toEqual([1, 0x10]);
    m.command(0xb0, 0, 0);
    expect([m.waitIrq() & 1, m.inb(0x1f1)]).toEqual([1, 0x04]);
    m.out(DEVICE, 0xb0);
    expect(m.inb(STATUS)).toBe(0);
  });

  it('nIEN keeps the interrupt inside; SRST leaves the signature of a disk', () => {
    const m = machine();
    m.out(CONTROL, 2);
    m.command(0xec, 0, 0);
    expect([m.irq(), m.inb(CONTROL) & 8]).toEqual([false, 8]);
    m.out(CONTROL, 6);
    m.out(CONTROL, 0);
    expect([COUNT, LOW, MID, HIGH, STATUS].map(m.inb)).toEqual([1, 1, 0, 0, 0x50]);
  });
});
