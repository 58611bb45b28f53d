import { describe, expect, it } from 'vitest';
import { PROBE } from '../cpu/ports.js';
import { EventQueue } from './event-queue.js';
import { Probe, ProbeRing } from './probe.js';

describe('event queue', () => {
  it('fires by cycle, and by order of scheduling within a cycle', () => {
    const q = new EventQueue(1e9), seen: string[] = [];
    for (const [at, name] of [[30, 'd'], [10, 'a'], [20, 'b'], [20, 'c']] as const) q.schedule(at, () => seen.push(`${name}@${q.now()}`));
    q.runDue(25);
    expect(seen).toEqual(['a@10', 'b@20', 'c@20']);
    expect([q.now(), q.next]).toEqual([25, 30]);
  });

  it('keeps the order over many random cancellations', () => {
    const q = new EventQueue(1e9), fired: number[] = [];
    let x = 12345;
    const random = (): number => (x = (Math.imul(x, 1103515245) + 12345) >>> 0) % 1000;
    const all = Array.from({ length: 500 }, () => {
      const at = random();
      return q.schedule(at, () => fired.push(at));
    });
    all.filter((_, i) => i % 3 === 0).forEach((e) => q.cancel(e));
    q.runDue(1000);
    expect(fired).toEqual(all.filter((_, i) => i % 3 !== 0).map((e) => e.at).sort((a, b) => a - b));
  });

  it('an event may schedule the next one inside the same run', () => {
    const q = new EventQueue(1e9), times: number[] = [];
    const tick = (): void => {
      times.push(q.now());
      q.schedule(q.now() + 10, tick);
    };
    q.schedule(10, tick);
    q.runDue(35);
    expect(times).toEqual([10, 20, 30]);
  });
});

describe('probe', () => {
  it('is inactive without listeners, filters by kind, and the ring keeps the last records', () => {
    const p = new Probe(), ring = new ProbeRing(2);
    expect(p.active).toBe(false);
    const end = p.subscribe(ring.listener, [PROBE.halt]);
    for (let i = 0; i < 3; i++) p.emit(PROBE.halt, i, 0, i, 0, 0, 0);
    p.emit(PROBE.marker, 9, 0, 0, 0, 0, 0);
    expect([...ring.records()].map((r) => r[1])).toEqual([1, 2]);
    expect(ring.total).toBe(3);
    end();
    expect(p.active).toBe(false);
  });
});
