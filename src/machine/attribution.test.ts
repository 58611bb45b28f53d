import { describe, expect, it } from 'vitest';
import { account, Attribution, IDLE, TRANSITION } from './attribution.js';

const make = () => new Attribution((hpaPage, linear) => ({ bytes: new Uint8Array(4096), linear, hpaPage }), () => 0);

describe('attribution', () => {
  it('gives the cycles between two arrivals to the first account', () => {
    const a = make();
    a.arrive(account(1, 1), 10);
    a.arrive(account(2, 1), 25);
    expect(a.snapshot(30)).toEqual(new Map([[0, 10], [account(1, 1), 15], [account(2, 1), 5]]));
  });

  it('lets a shared page count for the part that called it, but not across owners', () => {
    const a = make();
    a.arrive(account(1, 2), 0);
    a.arrive(account(1, 0), 10);
    a.arrive(account(2, 1), 20);
    a.arrive(account(1, 0), 30);
    expect(a.snapshot(40)).toEqual(new Map([[account(1, 2), 20], [account(2, 1), 10], [account(1, 0), 10]]));
  });

  it('adds up to the cycles with transitions and idling in between', () => {
    const a = make();
    a.arrive(account(1, 1), 0);
    a.exclude(TRANSITION, 7);
    a.idle(50, 90);
    const sums = a.snapshot(100);
    expect([...sums.values()].reduce((x, y) => x + y)).toBe(100);
    expect(sums.get(IDLE)).toBe(40);
    expect(sums.get(TRANSITION)).toBe(7);
  });
});
