// Random numbers of the recorders: mulberry32, the same sequence for a seed on every computer.

/** @param {number} seed 32 bits */
export function seededRandom(seed) {
  let state = seed;
  const random32 = () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return (t ^ (t >>> 14)) >>> 0;
  };
  return {
    random32,
    random64: () => (BigInt(random32()) << 32n) | BigInt(random32()),
    pick: (list) => list[random32() % list.length],
  };
}
