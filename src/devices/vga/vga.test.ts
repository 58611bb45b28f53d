import { describe, expect, it } from 'vitest';
import { enterTextMode } from '../../machine/firmware/text-mode.js';
import { IoSpace } from '../io-space.js';
import { TestClock } from '../test-clock.js';
import { type TextLayout, Vga, VGA_PORTS } from './vga.js';

function card() {
  const clock = new TestClock(1e9), vga = new Vga(clock), io = new IoSpace();
  for (const [first, count] of VGA_PORTS) io.claimPorts(first, count, vga);
  const out = (port: number, value: number): void => io.ioWrite(port, 1, value), input = (port: number): number => io.ioRead(port, 1);
  const crtc = (index: number, value: number): void => io.ioWrite(0x3d4, 2, index | (value << 8));
  return { clock, vga, io, out, input, crtc, mode3: () => enterTextMode(out, input, () => {}), layout: () => vga.layout() as TextLayout };
}

describe('VGA', () => {
  it('is dark at power-on and after a reset; mode 3 is 80 by 25 in the 16 colours', () => {
    const { vga, mode3, layout } = card();
    expect(vga.layout()).toEqual({ reason: 'the display is off' });
    mode3();
    expect(layout()).toMatchObject({ columns: 80, rows: 25, start: 0, pitch: 80, cursor: 0, blink: true });
    const colour = (i: number): number[] => [...layout().palette.subarray(3 * i, 3 * i + 3)];
    expect([colour(0), colour(4), colour(6), colour(7), colour(15)]).toEqual([[0, 0, 0], [170, 0, 0], [170, 85, 0], [170, 170, 170], [255, 255, 255]]);
    vga.reset();
    expect(vga.layout()).toEqual({ reason: 'the display is off' });
  });

  it('takes index and data at 0x3c0 in turns, and a read of input status 1 begins with the index again', () => {
    const { out, input, mode3 } = card();
    mode3();
    input(0x3da);
    out(0x3c0, 0x32); // PAS and index 0x12
    out(0x3c0, 0x05);
    expect([input(0x3c0), input(0x3c1)]).toEqual([0x32, 0x05]);
    out(0x3c0, 0x33);
    input(0x3da);
    out(0x3c0, 0x32); // an index again, not data of 0x13
    expect(input(0x3c1)).toBe(0x05);
    out(0x3c0, 0x0a);
    expect(input(0x3c1)).toBe(0x0a);
    out(0x3c0, 0x21); // palette registers cannot be written while the display uses them
    out(0x3c0, 0x3f);
    expect(input(0x3c1)).toBe(1);
  });

  it('protects CRT controller registers 0 to 7, but for bit 8 of line compare', () => {
    const { out, input, crtc, mode3 } = card();
    mode3();
    crtc(0, 0x11);
    crtc(7, 0x00);
    out(0x3d4, 0);
    const total = input(0x3d5);
    out(0x3d4, 7);
    expect([total, input(0x3d5)]).toEqual([0x5f, 0x0f]);
    crtc(0x11, 0x0e);
    crtc(0, 0x11);
    out(0x3d4, 0);
    expect(input(0x3d5)).toBe(0x11);
  });

  it('start address, cursor and 40 columns come from the CRT controller', () => {
    const { crtc, layout, mode3 } = card();
    mode3();
    crtc(0x0c, 0x01);
    crtc(0x0d, 0x90);
    crtc(0x0e, 0x02);
    crtc(0x0f, 0x34);
    expect(layout()).toMatchObject({ start: 400, cursor: 0x234 });
    crtc(0x0a, 0x2d); // cursor off
    crtc(0x11, 0x0e);
    crtc(0x01, 39);
    crtc(0x13, 20);
    expect(layout()).toMatchObject({ columns: 40, pitch: 40, cursor: undefined });
  });

  it('the display that is not selected does not answer', () => {
    const { out, input, mode3 } = card();
    mode3();
    expect([input(0x3cc), input(0x3b4), input(0x3ba)]).toEqual([0x67, 0xff, 0xff]);
    out(0x3c2, 0x66);
    out(0x3b4, 0x0f);
    expect([input(0x3b4), input(0x3d4), input(0x3da)]).toEqual([0x0f, 0xff, 0xff]);
  });

  it('says why a picture is not shown', () => {
    const { io, vga, mode3 } = card();
    mode3();
    io.ioWrite(0x3ce, 2, 0x0506);
    expect(vga.layout()).toEqual({ reason: 'graphics mode: not shown' });
    io.ioWrite(0x3ce, 2, 0x0a06);
    expect(vga.layout()).toEqual({ reason: 'text outside 0xb8000: not shown' });
    io.ioWrite(0x3c4, 2, 0x2001);
    expect(vga.layout()).toEqual({ reason: 'the display is off' });
  });

  it('the DAC counts through three colours of six bits, for reading and writing apart', () => {
    const { out, input } = card();
    out(0x3c8, 5);
    for (const v of [1, 0xff, 3, 4]) out(0x3c9, v);
    expect(input(0x3c7)).toBe(0);
    out(0x3c7, 5);
    expect([input(0x3c7), input(0x3c9), input(0x3c9), input(0x3c9), input(0x3c9)]).toEqual([3, 1, 0x3f, 3, 4]);
  });

  it('input status 1 follows the beam: 70 frames a second, two lines of retrace in each', () => {
    const { clock, input, mode3 } = card();
    mode3();
    let frames = 0, inRetrace = 0, blank = 0, last = 0;
    const STEP = 5000, samples = 1e9 / STEP;
    for (let i = 0; i < samples; i++) {
      clock.run(i * STEP);
      const status = input(0x3da), retrace = status & 8;
      if (retrace > last) frames++;
      if (retrace > 0) inRetrace++;
      blank += status & 1;
      last = retrace;
    }
    expect(frames).toBe(70);
    expect(inRetrace / samples).toBeCloseTo(2 / 449, 3);
    expect(blank / samples).toBeCloseTo(1 - (80 * 400) / (100 * 449), 2);
  });
});
