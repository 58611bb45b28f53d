import { describe, expect, it } from 'vitest';
import { Cmos } from './cmos.js';
import { I8042 } from './i8042.js';
import { IoSpace } from './io-space.js';
import { TestClock } from './test-clock.js';
import { Uart } from './uart.js';

const quiet = { set: () => {} };

describe('16550A', () => {
  function port() {
    const clock = new TestClock(1e9), out: number[] = [];
    let irq = false;
    const uart = new Uart(0x3f8, clock, { set: (a) => (irq = a) }, (b) => out.push(b));
    return { clock, out, uart, irq: () => irq, w: (r: number, v: number) => uart.ioWrite(0x3f8 + r, 1, v), r: (r: number) => uart.ioRead(0x3f8 + r) };
  }

  it('transmits, and interrupts on an empty holding register until IIR is read', () => {
    const { out, irq, w, r } = port();
    w(4, 0x0b);
    w(1, 2);
    expect([irq(), r(2) & 0xf, irq()]).toEqual([true, 2, false]);
    w(0, 0x41);
    expect([out, irq()]).toEqual([[0x41], true]);
  });

  it('receives at the line rate; below the FIFO trigger the time-out interrupt comes', () => {
    const { clock, uart, irq, w, r } = port();
    w(2, 0x81);
    w(4, 0x0b);
    w(1, 1);
    uart.input(new Uint8Array([1, 2, 3]));
    clock.run(3.2e6); // three characters at 9600 baud
    expect([r(5) & 1, irq()]).toEqual([1, false]);
    clock.run(8e6);
    expect([irq(), r(2) & 0xf, r(0), r(0), r(0), r(5) & 1, irq()]).toEqual([true, 12, 1, 2, 3, 0, false]);
  });

  it('loops back what it sends, and its modem lines (how drivers detect it)', () => {
    const { out, w, r } = port();
    w(4, 0x1a);
    expect(r(6) & 0xf0).toBe(0x90);
    w(0, 0x5a);
    expect([r(0), out]).toEqual([0x5a, []]);
    w(7, 0xa5);
    expect(r(7)).toBe(0xa5);
  });
});

describe('RTC', () => {
  const at = Date.UTC(2020, 1, 28, 23, 59, 58) / 1000;
  const read = (c: Cmos, i: number): number => (c.ioWrite(0x70, 1, i), c.ioRead(0x71));
  const write = (c: Cmos, i: number, v: number): void => (c.ioWrite(0x70, 1, i), c.ioWrite(0x71, 1, v));

  it('tells the date in BCD and rolls over into a leap day', () => {
    const clock = new TestClock(1e6), c = new Cmos(clock, quiet, at);
    clock.run(3e6);
    expect([0x32, 9, 8, 7, 4, 2, 0].map((i) => read(c, i).toString(16))).toEqual(['20', '20', '2', '29', '0', '0', '1']);
  });

  it('UIP is up in the last two milliseconds of each second', () => {
    const clock = new TestClock(1e6), c = new Cmos(clock, quiet, at);
    clock.run(990_000);
    expect(read(c, 10) & 0x80).toBe(0);
    clock.run(998_500);
    expect(read(c, 10) & 0x80).toBe(0x80);
    clock.run(1_000_001);
    expect(read(c, 10) & 0x80).toBe(0);
  });

  it('periodic interrupts come at the rate of register A and stop until C is read', () => {
    let count = 0, level = false;
    const clock = new TestClock(1e6), c = new Cmos(clock, { set: (a) => ((count += a && !level ? 1 : 0), (level = a)) }, at);
    write(c, 11, 0x42);
    clock.run(100_000);
    expect(count).toBe(1);
    for (let t = 100_000; t <= 200_000; t += 100) {
      clock.run(t);
      if (level) read(c, 12);
    }
    expect(count).toBeGreaterThan(100);
    expect(count).toBeLessThan(105);
  });

  it('a date written under SET starts when SET is cleared', () => {
    const clock = new TestClock(1e6), c = new Cmos(clock, quiet, at);
    write(c, 11, 0x82);
    write(c, 4, 0x12);
    write(c, 0, 0x30);
    clock.run(5e6);
    expect(read(c, 0)).toBe(0x30);
    write(c, 11, 2);
    clock.run(6e6);
    expect([read(c, 4), read(c, 0)]).toEqual([0x12, 0x31]);
  });
});

describe('i8042', () => {
  it('passes its self-test, says that no keyboard answers, and resets', () => {
    let resets = 0;
    const k = new I8042(quiet, quiet, () => resets++);
    k.ioWrite(0x64, 1, 0xaa);
    expect([k.ioRead(0x64) & 1, k.ioRead(0x60), k.ioRead(0x64) & 1]).toEqual([1, 0x55, 0]);
    k.ioWrite(0x60, 1, 0xff);
    expect([k.ioRead(0x64) & 0x41, k.ioRead(0x60)]).toEqual([0x41, 0xfe]);
    k.ioWrite(0x64, 1, 0xfe);
    expect(resets).toBe(1);
  });
});

describe('I/O space', () => {
  it('splits wide accesses to byte devices and reads empty space as ones', () => {
    const io = new IoSpace(), seen: string[] = [];
    const release = io.claimPorts(0x10, 2, { ioRead: (p) => p, ioWrite: (p, s, v) => seen.push(`${p}/${s}=${v}`) });
    io.ioWrite(0x10, 2, 0x1234);
    expect(seen).toEqual(['16/1=52', '17/1=18']);
    expect(io.ioRead(0x10, 4)).toBe(0xffff1110);
    release();
    expect(io.ioRead(0x10, 1)).toBe(0xff);
    expect(io.mmioRead(0xf000_0000, 4)).toBe(0xffff_ffff);
  });
});
