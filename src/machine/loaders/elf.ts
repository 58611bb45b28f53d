/**
 * ELF executables for x86, 32 and 64 bits: loadable segments, entry point, notes.
 *
 * System V ABI, chapters "ELF Header", "Program Header", "Note Section". Every offset is checked before it is used: a truncated
 * file gives a message, not a half-loaded kernel.
 */

import { type BootMemory, ImageError } from './boot-memory.js';

export interface ElfSegment {
  readonly type: number;
  readonly offset: number;
  /** Virtual addresses are BigInt: kernels live where a number is no longer exact. */
  readonly vaddr: bigint;
  readonly paddr: number;
  readonly fileSize: number;
  readonly memorySize: number;
}

export interface ElfSection {
  readonly name: string;
  readonly address: bigint;
  readonly size: number;
  /** SHF_ALLOC and SHF_EXECINSTR. */
  readonly executable: boolean;
}

export interface ElfNote {
  readonly name: string;
  readonly type: number;
  readonly description: Uint8Array;
}

const SHF_ALLOC = 2, SHF_EXECINSTR = 4;
const PT_LOAD = 1, PT_NOTE = 4, EM_386 = 3, EM_X86_64 = 62;

export const isElf = (b: Uint8Array): boolean => b.length >= 4 && b[0] === 0x7f && b[1] === 0x45 && b[2] === 0x4c && b[3] === 0x46;

export class Elf {
  readonly is64: boolean;
  readonly entry: bigint;
  readonly segments: readonly ElfSegment[];
  private readonly view: DataView;

  constructor(
    readonly file: string,
    readonly bytes: Uint8Array,
  ) {
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.need(0, 52, 'ELF header');
    if (!isElf(bytes)) throw new ImageError(`${file}: not an ELF file`);
    this.is64 = bytes[4] === 2;
    if (this.is64) this.need(0, 64, 'ELF header');
    const machine = this.view.getUint16(18, true);
    if (machine !== EM_386 && machine !== EM_X86_64) throw new ImageError(`${file}: an ELF file for machine ${machine}, not for x86 (3 or 62)`);
    this.entry = this.address(24, 24);
    this.segments = this.readSegments();
  }

  private need(offset: number, length: number, what: string): void {
    if (offset + length > this.bytes.length) throw new ImageError(`${this.file}: truncated: the ${what} ends at byte ${offset + length}, the file at ${this.bytes.length}`);
  }

  /** A 32-bit word at `at32`, or a 64-bit word at `at64` in a 64-bit file. */
  private address(at32: number, at64: number): bigint {
    return this.is64 ? this.view.getBigUint64(at64, true) : BigInt(this.view.getUint32(at32, true));
  }
  private word(at32: number, at64: number): number {
    return Number(this.address(at32, at64));
  }

  private readSegments(): ElfSegment[] {
    const { view, is64 } = this;
    const table = this.word(28, 32), size = view.getUint16(is64 ? 54 : 42, true), count = view.getUint16(is64 ? 56 : 44, true);
    if (count > 0 && size < (is64 ? 56 : 32)) throw new ImageError(`${this.file}: the ELF program headers have ${size} bytes each, too few`);
    this.need(table, size * count, 'ELF program header table');
    const out: ElfSegment[] = [];
    for (let i = 0; i < count; i++) {
      const p = table + i * size;
      const s = {
        type: view.getUint32(p, true), offset: this.word(p + 4, p + 8), vaddr: this.address(p + 8, p + 16), paddr: this.word(p + 12, p + 24),
        fileSize: this.word(p + 16, p + 32), memorySize: this.word(p + 20, p + 40),
      };
      if (s.type === PT_LOAD || s.type === PT_NOTE) this.need(s.offset, s.fileSize, `segment ${i}`);
      out.push(s);
    }
    return out;
  }

  /** The sections that occupy memory; none in a stripped file. System V ABI, "Section Header". */
  sections(): ElfSection[] {
    const { view, is64 } = this;
    const table = this.word(32, 40), size = view.getUint16(is64 ? 58 : 46, true), count = view.getUint16(is64 ? 60 : 48, true);
    if (table === 0 || count === 0) return [];
    this.need(table, size * count, 'ELF section header table');
    const header = (i: number): number => table + i * size;
    const names = this.word(header(view.getUint16(is64 ? 62 : 50, true)) + 16, header(view.getUint16(is64 ? 62 : 50, true)) + 24);
    const out: ElfSection[] = [];
    for (let i = 0; i < count; i++) {
      const h = header(i), flags = this.word(h + 8, h + 8);
      if ((flags & SHF_ALLOC) === 0) continue;
      const from = names + view.getUint32(h, true);
      let end = from;
      while (end < this.bytes.length && this.bytes[end] !== 0) end++;
      out.push({
        name: String.fromCharCode(...this.bytes.subarray(from, end)), address: this.address(h + 12, h + 16),
        size: this.word(h + 20, h + 32), executable: (flags & SHF_EXECINSTR) !== 0,
      });
    }
    return out;
  }

  /** Places the loadable segments at their physical addresses. */
  load(memory: BootMemory): void {
    const loadable = this.segments.filter((s) => s.type === PT_LOAD && s.memorySize > 0);
    if (loadable.length === 0) memory.fail('an ELF file without loadable segments');
    for (const s of loadable) memory.place(s.paddr, this.bytes.subarray(s.offset, s.offset + Math.min(s.fileSize, s.memorySize)), 'the image', s.memorySize);
  }

  /** The entry point as a physical address: kernels linked high give a virtual one. */
  get physicalEntry(): number {
    const s = this.segments.find((x) => x.type === PT_LOAD && this.entry >= x.vaddr && this.entry < x.vaddr + BigInt(x.memorySize));
    return s === undefined ? Number(this.entry) : Number(this.entry - s.vaddr) + s.paddr;
  }

  *notes(): IterableIterator<ElfNote> {
    for (const s of this.segments) {
      if (s.type !== PT_NOTE) continue;
      const end = s.offset + s.fileSize;
      for (let at = s.offset; at + 12 <= end; ) {
        const nameSize = this.view.getUint32(at, true), size = this.view.getUint32(at + 4, true), type = this.view.getUint32(at + 8, true);
        const nameAt = at + 12, dataAt = nameAt + ((nameSize + 3) & ~3);
        if (dataAt + size > end) return;
        yield {
          name: String.fromCharCode(...this.bytes.subarray(nameAt, nameAt + Math.max(nameSize - 1, 0))),
          type,
          description: this.bytes.subarray(dataAt, dataAt + size),
        };
        at = dataAt + ((size + 3) & ~3);
      }
    }
  }
}
