/** The log of exits holds for where the machine stands, in both directions, and playing a stretch again adds nothing. */
import { describe, expect, it } from 'vitest';
import { ControlWrites } from './control-writes.js';
import { ExitLog } from './log.js';
import { StoreLog } from './store-log.js';

const at = (instructions: number, events = 0) => ({ instructions, events });
const nameOf = (_kind: number, code: number): string => `R${code}`;

/** Exits at 10, 20, 30 ... of one block, each handled in 5 cycles and left again at +7. */
function filled(n: number, options = {}): ExitLog {
  const log = new ExitLog(4, options);
  for (let i = 1; i <= n; i++) {
    log.add(at(10 * i), 0, 1, i % 2, 1000 * i).fill(i);
    log.describe(0x6000, BigInt(i), true);
    log.handlerStarts(0, 1000 * i + 2);
    log.handlerEnded(0, 1000 * i + 7);
    log.resumed(at(10 * i + 5), 0, 0x6000, 1000 * i + 10);
  }
  return log;
}

describe('exits', () => {
  it('an exit is behind the machine one step after its position', () => {
    const log = filled(3);
    expect([at(9), at(10), at(10, 1), at(11), at(30), at(31)].map((p) => log.endAt(p))).toEqual([0, 0, 1, 1, 2, 3]);
  });
  it('shows no stamp that is still to come', () => {
    const log = filled(2);
    expect(log.row(1, at(22))).toMatchObject({ leaves: 2000, starts: 2002, ends: -1, resumes: -1 });
    expect(log.row(1, at(26))).toMatchObject({ ends: 2007, resumes: 2010 });
  });
  it('counts up to where the machine stands', () => {
    const log = filled(5);
    expect(log.histogram(at(26), nameOf)).toEqual([
      { reason: 'R0', count: 1, handling: { min: 5, average: 5, max: 5 }, away: { min: 10, average: 10, max: 10 } },
      { reason: 'R1', count: 1, handling: { min: 5, average: 5, max: 5 }, away: { min: 10, average: 10, max: 10 } },
    ]);
  });
  it('counts rows that were overwritten, too', () => {
    const log = filled(100, { rows: 8 });
    expect([log.first, log.end]).toEqual([92, 100]);
    expect(log.histogram(at(10_000), nameOf).map((r) => [r.reason, r.count])).toEqual([['R0', 50], ['R1', 50]]);
  });
  it('knows what is new', () => {
    const log = filled(3);
    expect([at(20), at(30), at(30, 1), at(31)].map((p) => log.isNew(p))).toEqual([false, false, true, true]);
  });
  it('makes facts again that were overwritten', () => {
    const log = filled(5, { facts: 2 });
    expect([log.factsOf(0), log.factsOf(4)?.[0]]).toEqual([undefined, 5]);
    expect(log.revive(at(15))).toBeUndefined(); // no exit there
    expect(log.revive(at(50))).toBeUndefined(); // its facts are there
    log.revive(at(10))!.fill(1);
    expect(log.factsOf(0)?.[0]).toBe(1);
  });
  it('another future replaces the one that was known', () => {
    const log = filled(3);
    log.forget(at(22));
    expect(log.end).toBe(2);
    log.resumed(at(23), 0, 0x6000, 2500);
    expect(log.row(1, at(24))).toMatchObject({ leaves: 2000, resumes: 2500 });
  });
});

describe('VMWRITEs', () => {
  it('finds who changed a bit last, not who wrote the field last, as of any position', () => {
    const w = new ControlWrites(), HLT = 1 << 7, WINDOW = 1 << 2;
    const write = (p: number, value: number, rip: bigint): void => w.wrote(at(p), 0x6000, 0x4002, value, () => rip);
    write(1, HLT, 0xan);
    for (let i = 0; i < 5000; i++) write(10 + 2 * i, HLT | (i % 2 === 0 ? WINDOW : 0), i % 2 === 0 ? 0xbn : 0xcn);
    const who = (mask: number, now: number): bigint | undefined => w.lastChange(0x6000, 0x4002, mask, at(now));
    expect([who(HLT, 20_000), who(WINDOW, 20_000), who(HLT, 1), who(HLT, 2)]).toEqual([0xan, 0xcn, undefined, 0xan]);
    w.forget(at(5));
    write(6, 0, 0xdn);
    // Of a bit that changes all the time only the latest changes are kept: what is not known is not guessed.
    expect([who(HLT, 7), who(WINDOW, 7)]).toEqual([0xdn, undefined]);
  });
  it('keeps blocks apart, and ignores fields that are no controls', () => {
    const w = new ControlWrites();
    w.wrote(at(1), 0x6000, 0x681e, 0x1000, () => 1n); // guest RIP
    w.wrote(at(2), 0x6000, 0x4000, 1, () => 2n);
    expect([w.lastChange(0x6000, 0x681e, 0, at(9)), w.lastChange(0x7000, 0x4000, 1, at(9)), w.lastChange(0x6000, 0x4000, 1, at(9))]).toEqual([undefined, undefined, 2n]);
  });
});

describe('stores', () => {
  it('finds the store that changed a bit, whether it is told before or after it is made', () => {
    const page = new Uint8Array(16), log = new StoreLog(page, at(0));
    const by = (rip: bigint) => () => ({ rip, stack: [] });
    log.heard(0, 8, at(1), by(1n));
    page.fill(0xff, 0, 8);
    page.fill(0xff, 8, 16);
    log.heard(8, 8, at(2), by(2n));
    log.heard(0, 4, at(3), by(3n));
    page[0] = 0xfe;
    log.heard(0, 4, at(4), by(4n)); // stores what is there
    const who = (offset: number, mask: number, now = 9): bigint | undefined => log.lastChange(offset, mask, at(now))?.rip;
    expect([who(0, 1), who(0, 2), who(0, 1, 3), who(1, 0xff), who(9, 1)]).toEqual([3n, 1n, 1n, 1n, 2n]);
  });
  it('adds nothing when a stretch is played again', () => {
    const page = new Uint8Array(4), log = new StoreLog(page, at(0));
    const store = (p: number, value: number, rip: bigint): void => {
      log.heard(0, 1, at(p), () => ({ rip, stack: [] }));
      page[0] = value;
    };
    store(1, 1, 0xan);
    store(2, 3, 0xbn);
    log.settle();
    page[0] = 0; // back to the beginning
    store(1, 1, 0xan);
    store(2, 3, 0xbn);
    store(3, 7, 0xcn);
    expect([1, 2, 4].map((mask) => log.lastChange(0, mask, at(9))?.rip)).toEqual([0xan, 0xbn, 0xcn]);
    expect(log.lastChange(0, 4, at(3))).toBeUndefined();
  });
});
