import { describe, expect, it } from 'vitest';
import { TestClock } from './test-clock.js';
import { Pic } from './pic.js';
import { Pit, PIT_HZ } from './pit.js';

/** The initialisation every PC operating system does. */
function initialised(): Pic {
  const pic = new Pic({ set: () => {} });
  for (const [port, v] of [[0x20, 0x11], [0xa0, 0x11], [0x21, 0x20], [0xa1, 0x28], [0x21, 4], [0xa1, 2], [0x21, 1], [0xa1, 1], [0x21, 0], [0xa1, 0]] as const) pic.ioWrite(port, 1, v);
  return pic;
}

describe('8259A', () => {
  it('serves by priority, cascades, and holds lower requests until EOI', () => {
    const pic = initialised();
    pic.setLine(14, true);
    pic.setLine(5, true);
    expect(pic.acknowledge()).toBe(0x2e); // the slave hangs on input 2, above 5
    expect(pic.pending).toBe(false);
    pic.ioWrite(0xa0, 1, 0x20);
    pic.ioWrite(0x20, 1, 0x20);
    expect(pic.pending).toBe(true);
    expect(pic.acknowledge()).toBe(0x25);
    pic.ioWrite(0x20, 1, 0x0b);
    expect(pic.ioRead(0x20)).toBe(1 << 5);
  });

  it('masks by OCW1 and reports the spurious input 7', () => {
    const pic = initialised();
    pic.ioWrite(0x21, 1, 0x10);
    pic.setLine(4, true);
    expect(pic.pending).toBe(false);
    expect(pic.acknowledge()).toBe(0x27);
    pic.ioWrite(0x21, 1, 0);
    expect(pic.acknowledge()).toBe(0x24);
  });

  it('a level input requests again after EOI while its line is high', () => {
    const pic = initialised();
    pic.ioWrite(0x4d1, 1, 1 << 3); // IRQ 11
    pic.setLine(11, true);
    expect(pic.acknowledge()).toBe(0x2b);
    pic.ioWrite(0xa0, 1, 0x20);
    pic.ioWrite(0x20, 1, 0x20);
    expect(pic.acknowledge()).toBe(0x2b);
    pic.setLine(11, false);
    pic.ioWrite(0xa0, 1, 0x20);
    pic.ioWrite(0x20, 1, 0x20);
    expect(pic.pending).toBe(false);
  });
});

describe('8254', () => {
  it('channel 0 in mode 2 interrupts at its rate', () => {
    const clock = new TestClock(1e9);
    let edges = 0, level = false;
    const pit = new Pit(clock, { set: (a) => ((edges += a && !level ? 1 : 0), (level = a)) });
    pit.ioWrite(0x43, 1, 0x34);
    const divisor = Math.round(PIT_HZ / 1000);
    pit.ioWrite(0x40, 1, divisor & 0xff);
    pit.ioWrite(0x40, 1, divisor >> 8);
    clock.run(1e9);
    expect(edges).toBe(1000);
  });

  it('channel 2 in mode 0 shows its end in port 0x61 after the counted time (TSC calibration)', () => {
    const clock = new TestClock(1e9);
    const pit = new Pit(clock, { set: () => {} });
    pit.ioWrite(0x61, 1, 1);
    pit.ioWrite(0x43, 1, 0xb0);
    pit.ioWrite(0x42, 1, 11932 & 0xff);
    pit.ioWrite(0x42, 1, 11932 >> 8); // 10 ms
    let t = 0;
    while (!(pit.ioRead(0x61) & 0x20)) clock.run((t += 1000));
    expect(t).toBe(10_001_000);
  });

  it('latches a count of 16 bits and reads it back low byte first', () => {
    const clock = new TestClock(PIT_HZ);
    const pit = new Pit(clock, { set: () => {} });
    pit.ioWrite(0x43, 1, 0x30);
    pit.ioWrite(0x40, 1, 0x00);
    pit.ioWrite(0x40, 1, 0x10);
    clock.run(0x123);
    pit.ioWrite(0x43, 1, 0x00);
    clock.run(0x400);
    expect(pit.ioRead(0x40) | (pit.ioRead(0x40) << 8)).toBe(0x1000 - 0x123);
    pit.ioWrite(0x43, 1, 0xe2); // read-back: status of channel 0
    expect(pit.ioRead(0x40)).toBe(0x30);
  });
});
