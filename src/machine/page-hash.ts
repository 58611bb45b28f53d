/**
 * The hash of states: four 32-bit lanes, each with its own odd multiplier and a rotation, mixed at the end (the scheme of MurmurHash3's
 * and xxHash's inner loops). Not cryptographic: it tells states of one run apart.
 */

export const HASH_WORDS = 4;
const M0 = 0x9e37_79b1, M1 = 0x85eb_ca77, M2 = 0xc2b2_ae3d, M3 = 0x27d4_eb2f;

const rotate = (x: number, n: number): number => (x << n) | (x >>> (32 - n));
const finish = (x: number): number => {
  x = Math.imul(x ^ (x >>> 16), 0x7feb_352d);
  x = Math.imul(x ^ (x >>> 15), 0x846c_a68b);
  return x ^ (x >>> 16);
};

/** Hashes the 4096 bytes at word `at` into `out`. */
export function hashPage(words: Int32Array, at: number, out: Int32Array): Int32Array {
  let a = M0, b = M1, c = M2, d = M3;
  for (let i = at; i < at + 1024; i += 4) {
    a = Math.imul(rotate(a ^ words[i]!, 13), M0);
    b = Math.imul(rotate(b ^ words[i + 1]!, 15), M1);
    c = Math.imul(rotate(c ^ words[i + 2]!, 17), M2);
    d = Math.imul(rotate(d ^ words[i + 3]!, 19), M3);
  }
  return mix(a, b, c, d, out);
}

function mix(a: number, b: number, c: number, d: number, out: Int32Array): Int32Array {
  out[0] = finish(a + rotate(b, 7) + rotate(c, 12) + rotate(d, 18));
  out[1] = finish(b + rotate(c, 5) + rotate(d, 11) + rotate(a, 21));
  out[2] = finish(c + rotate(d, 9) + rotate(a, 14) + rotate(b, 25));
  out[3] = finish(d + rotate(a, 3) + rotate(b, 16) + rotate(c, 27));
  return out;
}

/** A hash that is fed values one after another. */
export class Hasher {
  private a = M0;
  private b = M1;
  private c = M2;
  private d = M3;
  private readonly number = new Float64Array(1);
  private readonly halves = new Int32Array(this.number.buffer);

  word(v: number): void {
    const a = Math.imul(rotate(this.a ^ v, 13), M0);
    this.a = this.b;
    this.b = this.c;
    this.c = (this.d + a) | 0;
    this.d = a;
  }
  f64(v: number): void {
    this.number[0] = v === 0 ? 0 : v; // one zero
    this.word(this.halves[0]!);
    this.word(this.halves[1]!);
  }
  text(v: string): void {
    this.word(v.length);
    for (let i = 0; i < v.length; i++) this.word(v.charCodeAt(i));
  }
  bigint(v: bigint): void {
    this.text(v.toString(16));
  }
  bytes(v: ArrayLike<number>): void {
    this.word(v.length);
    for (let i = 0; i < v.length; i++) this.word(v[i]!);
  }
  words(v: Int32Array): void {
    for (const w of v) this.word(w);
  }
  /** 128 bits in hexadecimal. */
  get hex(): string {
    const out = mix(this.a, this.b, this.c, this.d, new Int32Array(HASH_WORDS));
    return [...out].map((w) => (w >>> 0).toString(16).padStart(8, '0')).join('');
  }
}
