/**
 * The line table: which source line an address belongs to.
 *
 * DWARF 5 §6.2 "Line Number Information" (the state machine, header and opcodes), §7.5 "Format of Debugging Information" for the
 * forms; versions 2 to 5. Of .debug_info only the compilation units' DW_AT_comp_dir and DW_AT_stmt_list are needed (dwarf-units.ts),
 * because before version 5 directory 0 stands there.
 *
 * Invariant: rows are in order of address, those of one sequence together; an end of sequence has line 0 and ends the row before it.
 */

import { ByteCursor } from './byte-cursor.js';
import { FORM, readForm, skipForm } from './dwarf-forms.js';

export interface LineTable {
  /** File names as the compiler wrote them, joined with their directories. */
  readonly files: readonly string[];
  readonly addresses: BigUint64Array;
  /** Index into `files`. */
  readonly file: Uint32Array;
  /** 0: no line. */
  readonly line: Uint32Array;
  readonly flags: Uint8Array;
  /** Offset of a line program in .debug_line -> the names of its files by number, for references from .debug_info. */
  readonly programs: ReadonlyMap<number, readonly (string | undefined)[]>;
}

/** Flags of a row. */
export const IS_STATEMENT = 1, END_SEQUENCE = 2, PROLOGUE_END = 4;

interface Row {
  readonly address: bigint;
  readonly file: number;
  readonly line: number;
  readonly flags: number;
}

const DW_LNS = { copy: 1, advancePc: 2, advanceLine: 3, setFile: 4, setColumn: 5, negateStatement: 6, basicBlock: 7, constAddPc: 8, fixedAdvancePc: 9, prologueEnd: 10 } as const;
const DW_LNE = { endSequence: 1, setAddress: 2 } as const;
const DW_LNCT = { path: 1, directory: 2 } as const;

interface Header {
  readonly version: number;
  readonly wide: boolean;
  readonly addressBytes: number;
  readonly minimumInstruction: number;
  readonly defaultStatement: boolean;
  readonly lineBase: number;
  readonly lineRange: number;
  readonly opcodeBase: number;
  readonly operands: readonly number[];
  /** File number of the state machine -> joined name. */
  readonly files: readonly (string | undefined)[];
}

export interface LineSections {
  readonly line: Uint8Array;
  readonly strings?: Uint8Array | undefined;
  readonly lineStrings?: Uint8Array | undefined;
}

/** `./a/../b.c` as `b.c`: the compiler was told relative folders. */
export function normalisePath(path: string): string {
  const out: string[] = [];
  for (const part of path.split('/')) {
    if (part === '.' || (part === '' && out.length > 0)) continue;
    if (part === '..' && out.length > 0 && out[out.length - 1] !== '..' && out[out.length - 1] !== '') out.pop();
    else out.push(part);
  }
  return out.join('/');
}

const join = (folder: string | undefined, name: string): string =>
  folder === undefined || folder === '' || name.startsWith('/') ? name : `${folder}/${name}`;

/**
 * Reads all line programs of a file.
 * @param folderOf working directory of the unit whose program begins at an offset of .debug_line
 * @throws RangeError when a program runs over its end: the file is damaged
 */
export function readLines(sections: LineSections, folderOf: (offset: number) => string | undefined): LineTable {
  const files: string[] = [], known = new Map<string, number>(), sequences: Row[][] = [], programs = new Map<number, readonly (string | undefined)[]>();
  const written = new Map<string, number>(); // as the compiler wrote it: every row asks
  const fileIndex = (name: string): number => {
    const before = written.get(name);
    if (before !== undefined) return before;
    const path = normalisePath(name), index = known.get(path) ?? files.push(path) - 1;
    known.set(path, index);
    written.set(name, index);
    return index;
  };
  const c = new ByteCursor(sections.line);
  while (c.at + 4 <= sections.line.length) {
    const begin = c.at;
    let length = c.u32(), wide = false;
    if (length === 0xffff_ffff) {
      wide = true;
      length = Number(c.u64());
    }
    if (length === 0) continue;
    const end = c.at + length;
    if (end > sections.line.length) throw new RangeError('a line program runs over the end of .debug_line');
    const header = readHeader(c, wide, sections, folderOf(begin));
    if (header !== undefined) {
      programs.set(begin, header.files.map((f) => (f === undefined ? f : normalisePath(f))));
      runProgram(c, end, header, fileIndex, sequences);
    }
    c.at = end;
  }
  sequences.sort((a, b) => (a[0].address < b[0].address ? -1 : a[0].address > b[0].address ? 1 : 0));
  const rows = sequences.flat();
  return {
    files, addresses: BigUint64Array.from(rows, (r) => r.address), file: Uint32Array.from(rows, (r) => r.file),
    line: Uint32Array.from(rows, (r) => r.line), flags: Uint8Array.from(rows, (r) => r.flags), programs,
  };
}

/** Leaves the cursor at the program; undefined: a version that is not known. */
function readHeader(c: ByteCursor, wide: boolean, sections: LineSections, folder: string | undefined): Header | undefined {
  const version = c.u16();
  if (version < 2 || version > 5) return undefined;
  let addressBytes = 8;
  if (version >= 5) {
    addressBytes = c.u8();
    c.u8(); // segment selector size
  }
  const headerLength = c.offset(wide), program = c.at + headerLength;
  const minimumInstruction = c.u8();
  if (version >= 4) c.u8(); // maximum operations per instruction: 1 on x86
  const defaultStatement = c.u8() !== 0, lineBase = c.i8(), lineRange = c.u8(), opcodeBase = c.u8();
  const operands = Array.from({ length: opcodeBase - 1 }, () => c.u8());
  const files = version >= 5 ? fileTable5(c, wide, sections) : fileTable2(c, folder);
  c.at = program;
  return { version, wide, addressBytes, minimumInstruction, defaultStatement, lineBase, lineRange, opcodeBase, operands, files };
}

/** §6.2.4 of DWARF 4: directories and files as strings; numbers begin at 1. */
function fileTable2(c: ByteCursor, folder: string | undefined): (string | undefined)[] {
  const folders: (string | undefined)[] = [folder];
  for (let name = c.text(); name !== ''; name = c.text()) folders.push(join(folder, name));
  const files: (string | undefined)[] = [undefined];
  for (let name = c.text(); name !== ''; name = c.text()) {
    const directory = c.uleb();
    c.uleb(); // time
    c.uleb(); // size
    files.push(join(folders[directory], name));
  }
  return files;
}

/** §6.2.4.1 "Standard Content Descriptions": tables that describe themselves; numbers begin at 0. */
function fileTable5(c: ByteCursor, wide: boolean, sections: LineSections): string[] {
  const entries = (): { path: string; directory: number }[] => {
    const formats = Array.from({ length: c.u8() }, () => ({ content: c.uleb(), form: c.uleb() }));
    return Array.from({ length: c.uleb() }, () => {
      let path = '', directory = 0;
      for (const { content, form } of formats) {
        if (content === DW_LNCT.path) path = pathOf(c, form, wide, sections);
        else if (content === DW_LNCT.directory) directory = Number(readForm(c, form, wide, 8));
        else skipForm(c, form, wide, 8, 5);
      }
      return { path, directory };
    });
  };
  const folders = entries().map((e) => e.path);
  return entries().map((e) => {
    const folder = folders[e.directory];
    return join(e.directory === 0 || folder === undefined || folder.startsWith('/') ? folder : join(folders[0], folder), e.path);
  });
}

function pathOf(c: ByteCursor, form: number, wide: boolean, sections: LineSections): string {
  if (form === FORM.string) return c.text();
  const offset = c.offset(wide), from = form === FORM.lineStrp ? sections.lineStrings : sections.strings;
  return from === undefined ? '' : new ByteCursor(from, offset).text();
}

/** §6.2.2 "State Machine Registers", §6.2.5 "The Line Number Program". */
function runProgram(c: ByteCursor, end: number, h: Header, fileIndex: (name: string) => number, sequences: Row[][]): void {
  let address = 0n, file = 1, line = 1, statement = h.defaultStatement, prologueEnd = false, rows: Row[] = [];
  const reset = (): void => {
    address = 0n;
    file = 1;
    line = 1;
    statement = h.defaultStatement;
    prologueEnd = false;
    rows = [];
  };
  const advance = (operations: number): void => {
    address += BigInt(operations * h.minimumInstruction);
  };
  const emit = (): void => {
    const name = h.files[file];
    rows.push({ address, file: fileIndex(name ?? '?'), line, flags: (statement ? IS_STATEMENT : 0) | (prologueEnd ? PROLOGUE_END : 0) });
    prologueEnd = false;
  };
  while (c.at < end) {
    const opcode = c.u8();
    if (opcode >= h.opcodeBase) {
      const adjusted = opcode - h.opcodeBase;
      advance(Math.floor(adjusted / h.lineRange));
      line += h.lineBase + (adjusted % h.lineRange);
      emit();
      continue;
    }
    switch (opcode) {
      case 0: {
        const length = c.uleb(), next = c.at + length, extended = c.u8();
        if (extended === DW_LNE.endSequence) {
          rows.push({ address, file: 0, line: 0, flags: END_SEQUENCE });
          // Address 0: a function that the linker dropped.
          if (rows.length > 1 && rows[0].address !== 0n) sequences.push(rows);
          reset();
        } else if (extended === DW_LNE.setAddress) address = c.word(length - 1);
        c.at = next;
        break;
      }
      case DW_LNS.copy: emit(); break;
      case DW_LNS.advancePc: advance(c.uleb()); break;
      case DW_LNS.advanceLine: line += c.sleb(); break;
      case DW_LNS.setFile: file = c.uleb(); break;
      case DW_LNS.setColumn: c.uleb(); break;
      case DW_LNS.negateStatement: statement = !statement; break;
      case DW_LNS.basicBlock: break;
      case DW_LNS.constAddPc: advance(Math.floor((255 - h.opcodeBase) / h.lineRange)); break;
      case DW_LNS.fixedAdvancePc: address += BigInt(c.u16()); break;
      case DW_LNS.prologueEnd: prologueEnd = true; break;
      default:
        for (let n = h.operands[opcode - 1]; n > 0; n--) c.uleb(); // also set_epilogue_begin (none) and set_isa (one)
    }
  }
}
