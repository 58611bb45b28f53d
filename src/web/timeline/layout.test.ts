import { describe, expect, it } from 'vitest';
import { ConsoleLog } from '../engine/console-log.js';
import { marks, markText, pan, reveal, SMALLEST, toCycle, toPixel, within, zoom } from './layout.js';
import { addShare, Records } from './recorder.js';

const r = { from: 1000, to: 2000 };

describe('the timeline', () => {
  it('maps cycles to pixels and back', () => {
    expect(toPixel(r, 500, 1500)).toBe(250);
    expect(toCycle(r, 500, toPixel(r, 500, 1234))).toBe(1234);
  });
  it('zooms around a cycle, which stays where it is', () => {
    const nearer = zoom(r, 0.5, 1250, 10_000);
    expect(toPixel(nearer, 100, 1250)).toBe(toPixel(r, 100, 1250));
    expect(nearer.to - nearer.from).toBe(500);
  });
  it('never leaves the recorded cycles, nor becomes narrower than it may', () => {
    expect(pan(r, -5000, 10_000)).toEqual({ from: 0, to: 1000 });
    expect(pan(r, 50_000, 10_000)).toEqual({ from: 9000, to: 10_000 });
    expect(zoom(r, 100, 1500, 10_000)).toEqual({ from: 0, to: 10_000 });
    expect(zoom(r, 1e-9, 1500, 10_000).to - zoom(r, 1e-9, 1500, 10_000).from).toBe(SMALLEST);
    expect(within({ from: 0, to: 5 }, 0)).toEqual({ from: 0, to: SMALLEST });
  });
  it('shows where the machine stands', () => {
    expect(reveal(r, 1500, 10_000)).toEqual(r);
    const moved = reveal(r, 5000, 10_000);
    expect(moved.from).toBeLessThan(5000);
    expect(moved.to).toBeGreaterThan(5000);
  });
  it('marks the axis at round cycles, not too many', () => {
    expect(marks(r, 6)).toEqual([1000, 1200, 1400, 1600, 1800, 2000]);
    expect(marks({ from: 3, to: 9 }, 100)).toEqual([3, 4, 5, 6, 7, 8, 9]);
  });
  it('names each mark so that neighbours differ', () => {
    expect([2_000_000, 12_500_000].map((c) => markText(c, 500_000))).toEqual(['2.0 M', '12.5 M']);
    expect([0, 20_000].map((c) => markText(c, 20_000))).toEqual(['0', '20 k']);
    expect([19_360_500, 19_361_000].map((c) => markText(c, 500))).toEqual(['19,360,500', '19,361,000']);
  });
  it('knows its records again in their cycle, and finds them by cycle', () => {
    const r = new Records(2);
    for (const [cycle, lane] of [[5, 1], [9, 2], [9, 3]] as const) r.add(cycle, lane);
    expect([r.has([9, 2]), r.has([9, 1]), r.has([5, 1])]).toEqual([true, false, false]);
    expect([r.from(0), r.from(6), r.from(10), r.last]).toEqual([0, 1, 3, 9]);
  });
  it('shares a stretch out among the columns it touches', () => {
    const columns = new Float32Array(4);
    addShare(columns, 0.5, 2.25);
    expect([...columns]).toEqual([0.5, 1, 0.25, 0]);
  });
});

describe('the console over time travel', () => {
  const text = (log: ConsoleLog, cycle: number): string => new TextDecoder().decode(log.upTo(cycle));
  const write = (log: ConsoleLog, from: number, what: string): void => [...what].forEach((c, i) => log.add(c.charCodeAt(0), from + i));

  it('shows less when the machine has gone back, and nothing twice when it goes forward again', () => {
    const log = new ConsoleLog();
    write(log, 10, 'hello');
    log.rewound(11);
    expect(text(log, 11)).toBe('he');
    write(log, 12, 'llo!');
    expect(text(log, 99)).toBe('hello!');
  });
  it('keeps bytes of one cycle apart from a replay of it', () => {
    const log = new ConsoleLog();
    for (const c of 'aaa') log.add(c.charCodeAt(0), 5);
    log.rewound(4);
    for (const c of 'aaa') log.add(c.charCodeAt(0), 5);
    expect(text(log, 5)).toBe('aaa');
  });
  it('notices a replay by itself', () => {
    const log = new ConsoleLog();
    write(log, 10, 'hello');
    write(log, 10, 'hello');
    expect(text(log, 99)).toBe('hello');
  });
  it('forgets another future', () => {
    const log = new ConsoleLog();
    write(log, 10, 'hello');
    log.forget(11);
    write(log, 12, 'y');
    expect(text(log, 99)).toBe('hey');
  });
});
