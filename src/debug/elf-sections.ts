/**
 * Sections of an ELF file by name, and its symbols: what a debugger reads and a loader does not.
 *
 * System V ABI, chapters "Section Header" and "Symbol Table". Offsets are checked before use: a damaged file has no symbols, and says
 * so by an ImageError.
 */

import type { NamedBytes } from '../machine/config.js';
import { isElf } from '../machine/loaders/elf.js';
import { ImageError } from '../machine/loaders/boot-memory.js';

const SHT_SYMTAB = 2, SHT_NOBITS = 8, SHF_EXECINSTR = 4, SHF_COMPRESSED = 0x800;
const STT_OBJECT = 1, STT_FUNC = 2, STT_NOTYPE = 0, SHN_ABS = 0xfff1;

export interface ElfSymbol {
  readonly name: string;
  readonly address: bigint;
  /** 0 where the assembler was not told. */
  readonly size: number;
  /** Lies in code. */
  readonly code: boolean;
}

interface Section {
  readonly name: string;
  readonly type: number;
  readonly flags: number;
  readonly address: bigint;
  readonly offset: number;
  readonly size: number;
  readonly link: number;
}

export class ElfSections {
  private readonly view: DataView;
  private readonly wide: boolean;
  private readonly sections: readonly Section[];

  /** @throws ImageError when it is not an ELF file, or is cut short */
  constructor(private readonly file: NamedBytes) {
    const { bytes } = file;
    if (!isElf(bytes) || bytes.length < 52) throw new ImageError(`${file.name}: not an ELF file`);
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.wide = bytes[4] === 2;
    this.sections = this.read();
  }

  private need(offset: number, length: number, what: string): void {
    if (offset + length > this.file.bytes.length) throw new ImageError(`${this.file.name}: truncated: the ${what} ends at byte ${offset + length}, the file at ${this.file.bytes.length}`);
  }
  private word(at32: number, at64: number): bigint {
    return this.wide ? this.view.getBigUint64(at64, true) : BigInt(this.view.getUint32(at32, true));
  }
  private text(at: number): string {
    const { bytes } = this.file;
    let end = at;
    while (end < bytes.length && bytes[end] !== 0) end++;
    return String.fromCharCode(...bytes.subarray(at, end));
  }

  private read(): Section[] {
    const { view, wide } = this;
    if (wide) this.need(0, 64, 'ELF header');
    const table = Number(this.word(32, 40)), each = view.getUint16(wide ? 58 : 46, true), count = view.getUint16(wide ? 60 : 48, true);
    if (table === 0 || count === 0) return [];
    this.need(table, each * count, 'ELF section header table');
    const raw = Array.from({ length: count }, (_, i) => {
      const h = table + i * each;
      return {
        nameAt: view.getUint32(h, true), type: view.getUint32(h + 4, true), flags: Number(this.word(h + 8, h + 8)), address: this.word(h + 12, h + 16),
        offset: Number(this.word(h + 16, h + 24)), size: Number(this.word(h + 20, h + 32)), link: view.getUint32(h + (wide ? 40 : 24), true),
      };
    });
    for (const [i, s] of raw.entries()) if (s.type !== SHT_NOBITS && s.type !== 0) this.need(s.offset, s.size, `section ${i}`);
    const names = raw[view.getUint16(wide ? 62 : 50, true)]?.offset ?? 0;
    return raw.map((s) => ({ ...s, name: this.text(names + s.nameAt) }));
  }

  /** Contents of a section; undefined when there is none, or it is compressed. */
  bytes(name: string): Uint8Array | undefined {
    const s = this.sections.find((x) => x.name === name);
    return s === undefined || s.type === SHT_NOBITS || (s.flags & SHF_COMPRESSED) !== 0 ? undefined : this.file.bytes.subarray(s.offset, s.offset + s.size);
  }

  /** Sections that hold code: address range, and where the bytes are in the file. */
  code(): { address: bigint; size: number; bytes: Uint8Array }[] {
    return this.sections
      .filter((s) => (s.flags & SHF_EXECINSTR) !== 0 && s.size > 0 && s.type !== SHT_NOBITS)
      .map((s) => ({ address: s.address, size: s.size, bytes: this.file.bytes.subarray(s.offset, s.offset + s.size) }));
  }

  /** Functions, objects and labels, in order of address. */
  symbols(): ElfSymbol[] {
    const { view, wide } = this, out: ElfSymbol[] = [];
    for (const table of this.sections) {
      if (table.type !== SHT_SYMTAB) continue;
      const strings = this.sections[table.link]?.offset ?? 0, each = wide ? 24 : 16;
      for (let at = table.offset; at + each <= table.offset + table.size; at += each) {
        const info = view.getUint8(at + (wide ? 4 : 12)), section = view.getUint16(at + (wide ? 6 : 14), true), type = info & 15;
        if (section === 0 || section === SHN_ABS || (type !== STT_FUNC && type !== STT_OBJECT && type !== STT_NOTYPE)) continue;
        const name = this.text(strings + view.getUint32(at, true));
        if (name === '' || name.startsWith('.L')) continue;
        const code = ((this.sections[section]?.flags ?? 0) & SHF_EXECINSTR) !== 0;
        out.push({ name, address: this.word(at + 4, at + 8), size: Number(wide ? view.getBigUint64(at + 16, true) : view.getUint32(at + 8, true)), code });
      }
    }
    return out.sort((a, b) => (a.address < b.address ? -1 : a.address > b.address ? 1 : 0));
  }
}
