/**
 * What a loader puts into memory, and how the first processor is to start.
 *
 * Invariants: pieces lie in RAM and do not overlap, so no loader can destroy what another part placed; nothing is written
 * before the whole image has been understood. Memory as a PC's firmware leaves it:
 *
 *     0x00000 - 0x004ff   interrupt vectors, BIOS data
 *     0x00500 - 0x9efff   free; boot information is placed at its upper end
 *     0x9f000 - 0x9ffff   start-up descriptor table, extended BIOS data
 *     0xe0000 - 0xfffff   ACPI tables and firmware stubs (read-only)
 *     0x100000 - top      free
 */

/** An image that cannot be started. The message is one line that names the file and what is wrong with it. */
export class ImageError extends Error {}

/** Registers at the first instruction: flat 32-bit protected mode, paging off, interrupts off. */
export interface CpuStart {
  readonly eip: number;
  readonly eax?: number;
  readonly ebx?: number;
  readonly esi?: number;
}

export const LOW_MEMORY_END = 0x9_f000;
/** The start-up GDT: null, code at 0x08 and 0x10, data at 0x18 (Multiboot wants no numbers; Linux wants 0x10 and 0x18). */
export const GDT_BASE = 0x9_f000;
export const START_CODE_SELECTOR = 0x10, START_DATA_SELECTOR = 0x18;
export const EBDA_BASE = 0x9_fc00;
export const FIRMWARE_BASE = 0xe_0000, FIRMWARE_END = 0x10_0000;
export const HIGH_MEMORY = 0x10_0000;

const RAM = 1, RESERVED = 2;
export interface MemoryRange {
  readonly base: number;
  readonly length: number;
  readonly type: number;
}

/** The E820 map of a machine with `ramBytes` of RAM. */
export function memoryMap(ramBytes: number): MemoryRange[] {
  return [
    { base: 0, length: EBDA_BASE, type: RAM },
    { base: EBDA_BASE, length: 0xa_0000 - EBDA_BASE, type: RESERVED },
    { base: FIRMWARE_BASE, length: FIRMWARE_END - FIRMWARE_BASE, type: RESERVED },
    { base: HIGH_MEMORY, length: ramBytes - HIGH_MEMORY, type: RAM },
  ];
}

interface Piece {
  readonly hpa: number;
  readonly length: number;
  /** Undefined: zeros. */
  readonly bytes: Uint8Array | undefined;
  readonly what: string;
}

const hex = (n: number): string => `0x${n.toString(16)}`;
export const pageUp = (n: number): number => Math.ceil(n / 4096) * 4096;

export class BootMemory {
  private readonly pieces: Piece[] = [];

  /** @param file what messages call the image; @param rsdp physical address of the ACPI root pointer, and its 20 bytes */
  constructor(
    readonly file: string,
    readonly ramBytes: number,
    readonly rsdp: number,
    readonly rsdpCopy: Uint8Array,
  ) {}

  fail(message: string): never {
    throw new ImageError(`${this.file}: ${message}`);
  }

  /** Puts `bytes` at `hpa`, followed by zeros up to `length`. */
  place(hpa: number, bytes: Uint8Array, what: string, length = bytes.length): void {
    if (length === 0) return;
    const end = hpa + Math.max(length, bytes.length);
    const low = hpa >= 0x500 && end <= LOW_MEMORY_END, high = hpa >= HIGH_MEMORY && end <= this.ramBytes;
    if (!low && !high) this.fail(`${what} needs memory ${hex(hpa)}-${hex(end)}, but RAM is ${hex(0x500)}-${hex(LOW_MEMORY_END)} and 0x100000-${hex(this.ramBytes)} (--memory)`);
    const other = this.pieces.find((p) => hpa < p.hpa + p.length && p.hpa < end);
    if (other !== undefined) this.fail(`${what} at ${hex(hpa)}-${hex(end)} overlaps ${other.what} at ${hex(other.hpa)}`);
    if (bytes.length > 0) this.pieces.push({ hpa, length: bytes.length, bytes, what });
    if (length > bytes.length) this.pieces.push({ hpa: hpa + bytes.length, length: length - bytes.length, bytes: undefined, what });
  }

  /** End of the highest piece above 1 MiB, page-aligned: where modules can go. */
  get highEnd(): number {
    return pageUp(this.pieces.reduce((end, p) => Math.max(end, p.hpa + p.length), HIGH_MEMORY));
  }

  /** Places `bytes` page-aligned after everything else above 1 MiB. */
  placeHigh(bytes: Uint8Array, what: string): number {
    const at = this.highEnd;
    this.place(at, bytes, what);
    return at;
  }

  /** Places boot information at the upper end of low memory; `build` gets the address that it will have. */
  placeLow(build: (base: number) => Uint8Array, what: string): number {
    const length = build(0).length;
    const top = this.pieces.reduce((at, p) => (p.hpa < HIGH_MEMORY && p.hpa >= 0x8_0000 ? Math.min(at, p.hpa) : at), LOW_MEMORY_END);
    const base = Math.floor((top - length) / 4096) * 4096;
    this.place(base, build(base), what);
    return base;
  }

  /** Writes everything. `fresh`: RAM is still as after power-on, so zeros need not be written. */
  apply(write: (hpa: number, bytes: Uint8Array) => void, fresh: boolean): void {
    for (const { hpa, length, bytes } of this.pieces)
      if (bytes !== undefined) write(hpa, bytes);
      else if (!fresh) for (let at = 0; at < length; at += 65536) write(hpa + at, new Uint8Array(Math.min(65536, length - at)));
  }
}

/** Little-endian bytes with labels: for boot-information structures. */
export class Bytes {
  private readonly out: number[] = [];
  get length(): number {
    return this.out.length;
  }
  u8(...values: number[]): this {
    this.out.push(...values.map((v) => v & 0xff));
    return this;
  }
  u16(v: number): this {
    return this.u8(v, v >>> 8);
  }
  u32(...values: number[]): this {
    for (const v of values) this.u8(v, v >>> 8, v >>> 16, v >>> 24);
    return this;
  }
  u64(v: number): this {
    return this.u32(v >>> 0, Math.floor(v / 0x1_0000_0000));
  }
  /** Text, one byte a character, with a terminating zero. */
  text(s: string): this {
    for (let i = 0; i < s.length; i++) this.out.push(s.charCodeAt(i) & 0xff);
    return this.u8(0);
  }
  align(to: number): this {
    while (this.out.length % to !== 0) this.out.push(0);
    return this;
  }
  toArray(): Uint8Array {
    return Uint8Array.from(this.out);
  }
}
