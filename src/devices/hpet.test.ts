import { expect, it } from 'vitest';
import { Hpet } from './hpet.js';
import { TestClock } from './test-clock.js';

function hpet() {
  const clock = new TestClock(1e9), pins: string[] = [], isa: number[] = [], taken: boolean[] = [];
  const h = new Hpet(clock, (pin, a) => a && pins.push(`${pin}@${clock.now()}`), (irq, a) => a && isa.push(irq), (t) => taken.push(t));
  return { clock, pins, isa, taken, w: (o: number, v: number) => h.mmioWrite(o, 4, v), r: (o: number) => h.mmioRead(o, 4) };
}

it('the HPET counts 10-ns ticks while it is enabled, and is set while halted', () => {
  const { clock, w, r } = hpet();
  expect([r(0) >>> 16, r(4)]).toEqual([0x8086, 10_000_000]);
  w(0xf0, 500);
  clock.run(1000);
  expect(r(0xf0)).toBe(500);
  w(0x10, 1);
  clock.run(2000);
  expect(r(0xf0)).toBe(600);
});

it('a comparator fires once, or at each period, on its I/O APIC input', () => {
  const { clock, w, pins } = hpet();
  w(0x10, 1);
  w(0x100, (20 << 9) | 4);
  w(0x108, 100);
  w(0x120, (21 << 9) | 0x4c); // periodic, value set
  w(0x128, 300);
  clock.run(9500);
  expect(pins).toEqual(['20@1000', '21@3000', '21@6000', '21@9000']);
});

it('legacy replacement takes IRQ 0 from the 8254', () => {
  const { clock, w, isa, taken } = hpet();
  w(0x10, 3);
  w(0x100, 4);
  w(0x108, 10);
  clock.run(200);
  expect([isa, taken]).toEqual([[0], [true]]);
});
