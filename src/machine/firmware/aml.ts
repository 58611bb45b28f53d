/**
 * A writer for the few ACPI Machine Language objects that the DSDT needs.
 *
 * ACPI Specification 2.0, chapter 17 "ACPI Machine Language (AML) Specification"; resource descriptors: §6.4 "Resource Data Types
 * for ACPI".
 */

const bytesOf = (value: number, count: number): number[] => Array.from({ length: count }, (_, i) => Math.floor(value / 2 ** (8 * i)) & 0xff);

/** PkgLength, which counts itself. */
function withLength(body: readonly number[]): number[] {
  if (body.length + 1 < 64) return [body.length + 1, ...body];
  const total = body.length + (body.length + 2 < 4096 ? 2 : 3), extra = total === body.length + 2 ? 1 : 2;
  return [(extra << 6) | (total & 15), ...bytesOf(total >> 4, extra), ...body];
}

/** A name path: an optional root prefix and one to two segments of up to four characters, separated by dots. */
function name(path: string): number[] {
  const rooted = path.startsWith('\\'), segments = (rooted ? path.slice(1) : path).split('.');
  const chars = segments.flatMap((s) => [...s.padEnd(4, '_')].map((c) => c.charCodeAt(0)));
  return [...(rooted ? [0x5c] : []), ...(segments.length === 2 ? [0x2e] : []), ...chars];
}

export type Aml = readonly number[];

export const integer = (v: number): Aml => (v === 0 ? [0] : v === 1 ? [1] : v < 0x100 ? [0x0a, v] : v < 0x10000 ? [0x0b, ...bytesOf(v, 2)] : [0x0c, ...bytesOf(v, 4)]);
export const named = (path: string, value: Aml): Aml => [0x08, ...name(path), ...value];
export const scope = (path: string, ...terms: Aml[]): Aml => [0x10, ...withLength([...name(path), ...terms.flat()])];
export const device = (path: string, ...terms: Aml[]): Aml => [0x5b, 0x82, ...withLength([...name(path), ...terms.flat()])];
export const packageOf = (...elements: Aml[]): Aml => [0x12, ...withLength([elements.length, ...elements.flat()])];

/** A compressed EISA identifier such as "PNP0A03". */
export function eisaId(id: string): Aml {
  const letter = (i: number): number => id.charCodeAt(i) - 0x40;
  const product = parseInt(id.slice(3), 16);
  const code = (letter(0) << 10) | (letter(1) << 5) | letter(2);
  return [0x0c, code >> 8, code & 0xff, product >> 8, product & 0xff];
}

/** A resource template: the descriptors and their end tag in a buffer. */
export function resources(...descriptors: Aml[]): Aml {
  const body = [...descriptors.flat(), 0x79, 0x00];
  return [0x11, ...withLength([...integer(body.length), ...body])];
}
/** Fixed I/O ports, 16-bit decode. */
export const ioPorts = (base: number, length: number): Aml => [0x47, 1, ...bytesOf(base, 2), ...bytesOf(base, 2), 1, length];
/** An edge-triggered, active-high interrupt. */
export const irq = (n: number): Aml => [0x22, ...bytesOf(1 << n, 2)];

/** A range that a bridge passes on. `kind`: 0 memory, 1 I/O, 2 bus numbers. Words for I/O and buses, double words for memory. */
export function window(kind: 0 | 1 | 2, min: number, max: number): Aml {
  const width = kind === 0 ? 4 : 2, fields = [0, min, max, 0, max - min + 1];
  const specific = kind === 1 ? 3 : kind === 0 ? 1 : 0; // entire range; read-write, not cacheable
  return [kind === 0 ? 0x87 : 0x88, ...bytesOf(3 + 5 * width, 2), kind, 0x0c, specific, ...fields.flatMap((f) => bytesOf(f, width))];
}
