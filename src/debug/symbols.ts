/**
 * Symbols and source lines of one program, at its link addresses.
 *
 * The symbols may stand in the image itself, in another ELF file (the image was stripped), or in a list of lines `address size name` as
 * the hypervisor's build writes it. A file without any gives a program without names, not an error.
 */

import type { NamedBytes } from '../machine/config.js';
import { ImageError } from '../machine/loaders/boot-memory.js';
import { isElf } from '../machine/loaders/elf.js';
import { type InlinedCall, inlinedCalls } from './dwarf-inlines.js';
import { END_SEQUENCE, IS_STATEMENT, type LineTable, PROLOGUE_END, readLines } from './dwarf-lines.js';
import { unitFolders } from './dwarf-units.js';
import { ElfSections, type ElfSymbol } from './elf-sections.js';

export type { ElfSymbol } from './elf-sections.js';

export interface SourceLine {
  readonly file: string;
  readonly line: number;
  /** The address begins a statement of that line. */
  readonly statement: boolean;
  /** First address of the row. */
  readonly begin: bigint;
}

const NO_LINES: LineTable = { files: [], addresses: new BigUint64Array(), file: new Uint32Array(), line: new Uint32Array(), flags: new Uint8Array(), programs: new Map() };

interface Lines {
  readonly lines: LineTable;
  readonly inlinedBy: ReadonlyMap<bigint, readonly InlinedCall[]>;
}
const NOTHING: Lines = { lines: NO_LINES, inlinedBy: new Map() };
const BLOCK_SHIFT = 8n;
/** No function is as long: such a range comes from a damaged file. */
const LARGEST_CALL = 1n << 20n;

/** One character a byte. */
function latin1(bytes: Uint8Array): string {
  let out = '';
  for (let at = 0; at < bytes.length; at += 4096) out += String.fromCharCode(...bytes.subarray(at, at + 4096));
  return out;
}

/** Lines `address size name`, hexadecimal. @throws ImageError naming the first line that is none */
export function parseSymbolList(file: NamedBytes): ElfSymbol[] {
  const out: ElfSymbol[] = [];
  for (const [i, text] of latin1(file.bytes).split('\n').entries()) {
    if (text.trim() === '') continue;
    const m = /^([0-9a-f]+)\s+([0-9a-f]+)\s+(\S+)$/i.exec(text.trim());
    if (m === null) throw new ImageError(`${file.name}: line ${i + 1} is not "address size name", and the file is no ELF file`);
    out.push({ address: BigInt(`0x${m[1]}`), size: parseInt(m[2], 16), name: m[3], code: true });
  }
  return out;
}

export class Symbols {
  /** In order of address; those without a size reach to the next. */
  private readonly list: readonly ElfSymbol[];
  private readonly named = new Map<string, ElfSymbol>();
  private readonly lines: LineTable;
  /** Inlined calls by the block of 256 bytes, in the order of inlinedCalls. */
  private readonly inlinedBy: ReadonlyMap<bigint, readonly InlinedCall[]>;

  /** @param separate where the symbols are, when not in the image. @throws ImageError when a file is damaged */
  constructor(image: NamedBytes, separate?: NamedBytes) {
    const from = separate ?? image;
    if (separate !== undefined && !isElf(separate.bytes)) {
      this.list = parseSymbolList(separate).sort((a, b) => (a.address < b.address ? -1 : 1));
      ({ lines: this.lines, inlinedBy: this.inlinedBy } = isElf(image.bytes) ? linesOf(new ElfSections(image), image.name) : NOTHING);
    } else if (isElf(from.bytes)) {
      const elf = new ElfSections(from);
      this.list = elf.symbols();
      ({ lines: this.lines, inlinedBy: this.inlinedBy } = linesOf(elf, from.name));
    } else {
      this.list = [];
      ({ lines: this.lines, inlinedBy: this.inlinedBy } = NOTHING);
    }
    for (const s of this.list) if (!this.named.has(s.name)) this.named.set(s.name, s);
  }

  /** The symbol that an address lies in or behind, preferring functions and those with a size. */
  at(address: bigint): ElfSymbol | undefined {
    let low = 0, high = this.list.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.list[middle].address <= address) low = middle + 1;
      else high = middle;
    }
    let open: ElfSymbol | undefined;
    // Several symbols may begin at one address; a sized one further up may enclose a label that has no size.
    for (let i = low - 1; i >= 0 && i > low - 64; i--) {
      const s = this.list[i];
      if (s.size > 0 && address < s.address + BigInt(s.size)) return s;
      if (s.size === 0 && open === undefined) open = s;
      if (s.size > 0) break;
    }
    return open;
  }
  find(name: string): ElfSymbol | undefined {
    return this.named.get(name);
  }
  /** Names that begin with `prefix`, in order of name. */
  names(prefix: string): string[] {
    return [...this.named.keys()].filter((n) => n.startsWith(prefix)).sort();
  }

  private row(address: bigint): number {
    const { addresses, flags } = this.lines;
    let low = 0, high = addresses.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (addresses[middle] <= address) low = middle + 1;
      else high = middle;
    }
    const i = low - 1;
    return i < 0 || (flags[i] & END_SEQUENCE) !== 0 ? -1 : i;
  }
  /** The source line of an address; line 0 (code that belongs to none) gives the last line before it in the function's rows. */
  line(address: bigint): SourceLine | undefined {
    const { files, file, line, flags, addresses } = this.lines;
    const found = this.row(address);
    let i = found;
    while (i > 0 && line[i] === 0 && (flags[i - 1] & END_SEQUENCE) === 0) i--;
    if (i < 0 || line[i] === 0) return undefined;
    // Rows at one address: the last one counts, and it is a statement when any of them is.
    let statement = false;
    for (let r = found; r >= 0 && addresses[r] === address; r--) if ((flags[r] & IS_STATEMENT) !== 0 && line[r] === line[i]) statement = true;
    return { file: files[file[i]], line: line[i], statement, begin: addresses[found] };
  }

  /** The line of an address, then, where its function stands in a caller's place, the lines of the calls, innermost first. */
  lineChain(address: bigint): { file: string; line: number }[] {
    const own = this.line(address), calls = (this.inlinedBy.get(address >> BLOCK_SHIFT) ?? []).filter((c) => c.begin <= address && address < c.end);
    return [...(own === undefined ? [] : [own]), ...calls.reverse()].map(({ file, line }) => ({ file, line }));
  }

  /** Does an inlined call begin here? */
  callBegins(address: bigint): boolean {
    return (this.inlinedBy.get(address >> BLOCK_SHIFT) ?? []).some((c) => c.begin === address);
  }

  /**
   * Where a line's code begins: the lowest address of each stretch that the compiler marked as a statement. When the line has no code, the
   * next line of the file that has some.
   * @param name a path, or its end (`vmx.c`, `hvm/vmx.c`)
   */
  addresses(name: string, wanted: number): { line: number; addresses: bigint[] } | undefined {
    const { file, line, flags, addresses } = this.lines, matching = this.filesNamed(name);
    let best = Infinity;
    for (let i = 0; i < line.length; i++)
      if ((flags[i] & IS_STATEMENT) !== 0 && line[i] >= wanted && line[i] < best && matching.has(file[i])) best = line[i];
    if (best === Infinity) return undefined;
    const out: bigint[] = [];
    for (let i = 0; i < line.length; i++) {
      if (line[i] !== best || !matching.has(file[i]) || (flags[i] & IS_STATEMENT) === 0) continue;
      const goesOn = i > 0 && line[i - 1] === best && file[i - 1] === file[i] && (flags[i - 1] & END_SEQUENCE) === 0;
      if (!goesOn) out.push(addresses[i]);
    }
    return { line: best, addresses: out };
  }
  private filesNamed(name: string): Set<number> {
    const out = new Set<number>();
    for (const [i, f] of this.lines.files.entries()) if (f === name || f.endsWith(`/${name}`)) out.add(i);
    return out;
  }
  /** Source files with code, in order of name. */
  get files(): readonly string[] {
    return [...this.lines.files].sort();
  }

  /** The address behind a function's entry code, where its arguments stand in place; the function's own address when it is not known. */
  afterPrologue(symbol: ElfSymbol): bigint {
    const { addresses, flags } = this.lines, end = symbol.address + BigInt(symbol.size);
    for (let i = this.row(symbol.address); i >= 0 && i < addresses.length && addresses[i] < end; i++)
      if ((flags[i] & PROLOGUE_END) !== 0 && addresses[i] > symbol.address) return addresses[i];
    return symbol.address;
  }
}

/** Calls whose line is known, by the blocks that they reach into. */
function byBlock(calls: readonly InlinedCall[]): Map<bigint, InlinedCall[]> {
  const out = new Map<bigint, InlinedCall[]>();
  for (const c of calls) {
    if (c.line === 0 || c.end - c.begin > LARGEST_CALL) continue;
    for (let block = c.begin >> BLOCK_SHIFT; block <= (c.end - 1n) >> BLOCK_SHIFT; block++) {
      const list = out.get(block);
      if (list === undefined) out.set(block, [c]);
      else list.push(c);
    }
  }
  return out;
}

function linesOf(elf: ElfSections, name: string): Lines {
  const line = elf.bytes('.debug_line'), info = elf.bytes('.debug_info'), abbreviations = elf.bytes('.debug_abbrev');
  if (line === undefined) return NOTHING;
  const strings = elf.bytes('.debug_str'), lineStrings = elf.bytes('.debug_line_str');
  try {
    if (info === undefined || abbreviations === undefined) return { lines: readLines({ line, strings, lineStrings }, () => undefined), inlinedBy: new Map() };
    const units = { info, abbreviations, strings, lineStrings, ranges: elf.bytes('.debug_ranges'), rangeLists: elf.bytes('.debug_rnglists') };
    const folders = unitFolders(units), lines = readLines({ line, strings, lineStrings }, (offset) => folders.get(offset));
    return { lines, inlinedBy: byBlock(inlinedCalls(units, (program) => lines.programs.get(program))) };
  } catch (e) {
    if (e instanceof RangeError) throw new ImageError(`${name}: the debug information is damaged: ${e.message}`);
    throw e;
  }
}

/** `file:line`, with the line as a number; undefined when the text has another form. */
export function parseFileLine(text: string): { file: string; line: number } | undefined {
  const m = /^(.+):(\d+)$/.exec(text);
  return m === null ? undefined : { file: m[1], line: Number(m[2]) };
}
