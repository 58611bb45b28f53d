/**
 * Binary floating-point formats and their values taken apart: single, double and double extended precision.
 *
 * SDM 1 §4.2.2 "Floating-Point Data Types", §4.8 "Real Numbers and Floating-Point Formats". Encodings are BigInts of the format's
 * length. A finite value is (-1)^sign * m * 2^e with an integer m of any length; nothing is rounded here.
 */

export interface Format {
  /** Bits of the significand, the integer bit among them. */
  readonly precision: number;
  readonly exponentBits: number;
  /** The integer bit is stored (double extended precision). */
  readonly explicit: boolean;
  readonly bias: number;
  /** Exponents of the smallest normal and the largest number (of their first bit). */
  readonly emin: number;
  readonly emax: number;
}

function format(precision: number, exponentBits: number, explicit: boolean): Format {
  const bias = 2 ** (exponentBits - 1) - 1;
  return { precision, exponentBits, explicit, bias, emin: 1 - bias, emax: bias };
}
export const SINGLE = format(24, 8, false);
export const DOUBLE = format(53, 11, false);
export const EXTENDED = format(64, 15, true);

export const ZERO = 0, FINITE = 1, INFINITE = 2, NAN = 3, UNSUPPORTED = 4;

export interface Unpacked {
  kind: typeof ZERO | typeof FINITE | typeof INFINITE | typeof NAN | typeof UNSUPPORTED;
  sign: boolean;
  /** Finite values: significand and exponent of its last bit. */
  m: bigint;
  e: number;
  denormal: boolean;
  /** NaNs: the quiet bit is clear. */
  signalling: boolean;
  /** The encoding. */
  readonly bits: bigint;
}

const fractionBits = (f: Format): number => (f.explicit ? f.precision : f.precision - 1);
const ones = (n: number): bigint => (1n << BigInt(n)) - 1n;
/** Number of bits of a positive integer. */
export const bitLength = (v: bigint): number => v.toString(16).length * 4 - Math.clz32(parseInt(v.toString(16)[0]!, 16)) + 28;

export function unpack(f: Format, bits: bigint): Unpacked {
  const n = fractionBits(f);
  const fraction = bits & ones(n);
  const exponent = Number((bits >> BigInt(n)) & ones(f.exponentBits));
  const sign = ((bits >> BigInt(n + f.exponentBits)) & 1n) !== 0n;
  const max = 2 ** f.exponentBits - 1;
  const u: Unpacked = { kind: FINITE, sign, m: fraction, e: 0, denormal: false, signalling: false, bits };
  if (f.explicit && exponent !== 0 && fraction >> 63n === 0n) u.kind = UNSUPPORTED;
  else if (exponent === max) {
    const payload = fraction & ones(f.precision - 1);
    u.kind = payload === 0n ? INFINITE : NAN;
    u.signalling = payload !== 0n && ((payload >> BigInt(f.precision - 2)) & 1n) === 0n;
  } else if (exponent === 0) {
    u.kind = fraction === 0n ? ZERO : FINITE;
    u.denormal = fraction !== 0n;
    u.e = f.emin - (f.precision - 1);
  } else {
    if (!f.explicit) u.m |= 1n << BigInt(n);
    u.e = exponent - f.bias - (f.precision - 1);
  }
  return u;
}

/** An encoding from the exponent field and the significand field as stored. */
const assemble = (f: Format, sign: boolean, exponent: number, fraction: bigint): bigint =>
  (((sign ? 1n : 0n) << BigInt(f.exponentBits)) | BigInt(exponent)) << BigInt(fractionBits(f)) | fraction;

export const zero = (f: Format, sign: boolean): bigint => assemble(f, sign, 0, 0n);
export const infinity = (f: Format, sign: boolean): bigint => assemble(f, sign, 2 ** f.exponentBits - 1, f.explicit ? 1n << 63n : 0n);
/** The largest finite number of a precision that may be less than the format's. */
export const largest = (f: Format, sign: boolean, precision = f.precision): bigint =>
  assemble(f, sign, 2 ** f.exponentBits - 2, (ones(precision) << BigInt(f.precision - precision)) & ones(fractionBits(f)));
/** The QNaN real indefinite: what invalid operations give. */
export const indefinite = (f: Format): bigint => assemble(f, true, 2 ** f.exponentBits - 1, 3n << BigInt(f.precision - 2) & ones(fractionBits(f)));
/** A NaN with its quiet bit set. */
export const quiet = (f: Format, bits: bigint): bigint => bits | (1n << BigInt(f.precision - 2));

/** A finite number whose significand `m` of at most `precision` bits counts units of 2^e; `e` is at least the format's least. */
export function packFinite(f: Format, sign: boolean, m: bigint, e: number): bigint {
  const full = 1n << BigInt(f.precision - 1);
  if (m < full) {
    // A denormal has the least exponent; others are brought up to the integer bit.
    const room = m === 0n ? 0 : f.precision - bitLength(m);
    const down = Math.min(room, e - (f.emin - (f.precision - 1)));
    m <<= BigInt(down);
    e -= down;
    if (m < full) return assemble(f, sign, 0, m);
  }
  return assemble(f, sign, e + f.precision - 1 + f.bias, f.explicit ? m : m & (full - 1n));
}

/** A NaN of one format in another: sign and the payload's first bits, quiet. */
export function convertNan(from: Format, to: Format, u: Unpacked): bigint {
  const payload = u.bits & ones(from.precision - 1);
  const d = to.precision - from.precision;
  const moved = d >= 0 ? payload << BigInt(d) : payload >> BigInt(-d);
  return quiet(to, assemble(to, u.sign, 2 ** to.exponentBits - 1, moved | (to.explicit ? 1n << 63n : 0n)));
}
