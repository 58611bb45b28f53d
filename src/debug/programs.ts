/**
 * Which program's code stands at a place, and what its symbols say of it.
 *
 * A page of code is recognised by its contents (experiments/code-owners.ts). The page also says how far the program lies from its link
 * addresses, so that symbols fit where an image runs relocated, or is seen at two addresses while it boots. A page that no image has as
 * a whole (code and data share it, and the data changed) is recognised by the bytes at the place, at their link address.
 */

import { ownerOf } from '../machine/attribution.js';
import type { NamedBytes } from '../machine/config.js';
import { Elf, isElf } from '../machine/loaders/elf.js';
import { CodeOwners } from '../experiments/code-owners.js';
import { ElfSections } from './elf-sections.js';
import type { LinearReader } from './linear-reader.js';
import { Symbols } from './symbols.js';

/** A program that the machine starts. */
export interface Program {
  /** What places call it: `hypervisor`, `dom0`, `guest`, or the image's name. */
  readonly name: string;
  readonly image: NamedBytes;
  /** Where its symbols are, when the image has none: an ELF file, or lines `address size name`. */
  readonly symbols?: NamedBytes | undefined;
}

/** A program at a place: linear address = link address + bias. */
export interface Located {
  readonly program: LoadedProgram;
  readonly bias: bigint;
}

/** Bytes compared where a page as a whole is not known. */
const WINDOW = 32;
/** ELF header: e_type of an image that may be loaded anywhere. */
const E_TYPE = 16, ET_DYN = 3;
const PAGE = 4096, PT_LOAD = 1;

/** Sections that hold code; of an image without section headers what is loaded. */
function codeOf(image: NamedBytes): readonly { address: bigint; size: number; bytes: Uint8Array }[] {
  const sections = new ElfSections(image).code();
  if (sections.length > 0) return sections;
  const loaded = new Elf(image.name, image.bytes).segments.filter((s) => s.type === PT_LOAD && s.fileSize > 0);
  return loaded.map((s) => ({ address: s.vaddr, size: s.fileSize, bytes: image.bytes.subarray(s.offset, s.offset + s.fileSize) }));
}

export class LoadedProgram {
  readonly name: string;
  private read: Symbols | undefined;
  /** The image may be loaded anywhere: its link addresses are no addresses that it runs at. */
  readonly relocatable: boolean;
  private readonly code: readonly { address: bigint; size: number; bytes: Uint8Array }[];

  constructor(private readonly program: Program) {
    const { name, image, symbols } = program;
    this.name = name;
    if (symbols !== undefined) this.read = new Symbols(image, symbols); // a wrong file of the user's is found at once
    this.relocatable = isElf(image.bytes) && image.bytes[E_TYPE] === ET_DYN;
    this.code = isElf(image.bytes) ? codeOf(image) : [];
  }

  /** Read when first asked for: line tables are large, and many programs are never stopped in. */
  get symbols(): Symbols {
    return (this.read ??= new Symbols(this.program.image, this.program.symbols));
  }
  /** Bytes of the image's code from a link address on; undefined where it has none. */
  codeAt(link: bigint, length: number): Uint8Array | undefined {
    for (const { address, size, bytes } of this.code)
      if (link >= address && link < address + BigInt(size)) return bytes.subarray(Number(link - address), Number(link - address) + length);
    return undefined;
  }
  /** Link addresses of the pages that hold code. */
  *codePages(): IterableIterator<bigint> {
    for (const { address, size } of this.code) for (let at = address & ~4095n; at < address + BigInt(size); at += 4096n) yield at;
  }
}

export class Programs {
  readonly all: readonly LoadedProgram[];
  private readonly owners = new CodeOwners();
  /** Where each was seen last: for symbols that are asked for by name. */
  private readonly bias = new Map<LoadedProgram, bigint>();
  /** Which one was seen last in an address space. */
  private readonly spaces = new Map<string, Located>();

  constructor(programs: readonly Program[]) {
    this.all = programs.map((p) => new LoadedProgram(p));
    for (const [i, p] of programs.entries()) if (isElf(p.image.bytes)) this.owners.add(i + 1, p.image);
  }

  /**
   * The program whose code is at a linear address.
   * @param space the address space, where it belongs to one program: code that is made at run time (a hypercall page) is that program's
   */
  locate(reader: LinearReader, linear: bigint, space?: string): Located | undefined {
    const found = this.byPage(reader, linear);
    if (found === undefined) return space === undefined ? undefined : this.bySpace(reader, linear, space);
    this.bias.set(found.program, found.bias);
    if (space !== undefined) this.spaces.set(space, found);
    return found;
  }
  private byPage(reader: LinearReader, linear: bigint): Located | undefined {
    const page = linear & ~4095n, hpa = reader.physical(page);
    if (hpa < 0) return undefined;
    const { bytes, readable } = reader.read(page, PAGE);
    if (readable < PAGE) return undefined;
    const match = this.owners.match(bytes, hpa / PAGE);
    return match === undefined ? this.byWindow(bytes, linear) : { program: this.all[ownerOf(match.account) - 1], bias: page - match.link };
  }
  /** The program that the address space was seen to have, or whose other pages it has. */
  private bySpace(reader: LinearReader, linear: bigint, space: string): Located | undefined {
    const known = this.spaces.get(space);
    if (known !== undefined) return known.program.codeAt(BigInt.asUintN(64, linear - known.bias), 1) === undefined ? undefined : known;
    for (const program of this.all) {
      const bias = this.biasOf(program);
      if (program.codeAt(BigInt.asUintN(64, linear - bias), 1) === undefined) continue;
      for (const page of program.codePages()) {
        const found = this.byPage(reader, page + bias);
        if (found?.program !== program) continue;
        this.spaces.set(space, found);
        return found;
      }
    }
    return undefined;
  }

  /** The only program that has these bytes at this link address. */
  private byWindow(page: Uint8Array, linear: bigint): Located | undefined {
    const offset = Number(linear & 4095n), here = page.subarray(offset, offset + WINDOW);
    const same = this.all.filter((p) => {
      const code = p.codeAt(linear, here.length);
      return code !== undefined && code.length > 0 && code.every((b, i) => b === here[i]);
    });
    return same.length === 1 ? { program: same[0], bias: 0n } : undefined;
  }

  /**
   * How far the names of a program lie from its link addresses. An image that was linked for one address is there, except for its first
   * instructions at a physical one; another is where it was seen last.
   */
  biasOf(program: LoadedProgram): bigint {
    return program.relocatable ? (this.bias.get(program) ?? 0n) : 0n;
  }
  /** The only program that has code at a link address: for addresses that are not mapped now. */
  owning(linear: bigint): Located | undefined {
    const all = this.all.filter((p) => p.codeAt(BigInt.asUintN(64, linear - this.biasOf(p)), 1) !== undefined);
    return all.length === 1 ? { program: all[0], bias: this.biasOf(all[0]) } : undefined;
  }
  named(name: string): LoadedProgram | undefined {
    return this.all.find((p) => p.name === name);
  }
}
