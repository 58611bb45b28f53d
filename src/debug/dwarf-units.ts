/**
 * Compilation units: the working directory of each, by where its line program begins.
 *
 * DWARF 5 §7.5.1 "Unit Headers", §3.1.1 "Full and Partial Compilation Unit Entries", §7.5.3 "Abbreviations Tables".
 */

import { ByteCursor } from './byte-cursor.js';
import { FORM, readForm, skipForm } from './dwarf-forms.js';

export const DW_AT_STMT_LIST = 0x10;
const DW_AT_COMP_DIR = 0x1b;
const DW_UT_SKELETON = 4, DW_UT_SPLIT_COMPILE = 5, DW_UT_TYPE = 2, DW_UT_SPLIT_TYPE = 6;

export interface UnitSections {
  readonly info: Uint8Array;
  readonly abbreviations: Uint8Array;
  readonly strings?: Uint8Array | undefined;
  readonly lineStrings?: Uint8Array | undefined;
}

export interface Attribute {
  readonly name: number;
  readonly form: number;
}

/** How entries with one code are laid out. */
export interface Abbreviation {
  readonly tag: number;
  readonly attributes: readonly Attribute[];
}

/** The abbreviations of a table, by code. */
export function abbreviationTable(table: Uint8Array, offset: number): Map<number, Abbreviation> {
  const c = new ByteCursor(table, offset), out = new Map<number, Abbreviation>();
  for (let code = c.uleb(); code !== 0; code = c.uleb()) {
    const tag = c.uleb();
    c.u8(); // has children
    const attributes: Attribute[] = [];
    for (;;) {
      const name = c.uleb(), form = c.uleb();
      if (form === FORM.implicitConst) c.sleb();
      if (name === 0 && form === 0) break;
      attributes.push({ name, form });
    }
    out.set(code, { tag, attributes });
  }
  return out;
}

/** A unit's header; the cursor stands at its first entry afterwards. Undefined: a unit of types, or of a version not known. */
export interface UnitHeader {
  readonly version: number;
  readonly wide: boolean;
  readonly addressBytes: number;
  readonly abbreviations: Map<number, Abbreviation>;
  readonly end: number;
}

/** Calls `read` for each unit with the cursor at its first entry. A unit that cannot be read to its end is left where it fails. */
export function forEachUnit(s: UnitSections, read: (c: ByteCursor, unit: UnitHeader) => void): void {
  const c = new ByteCursor(s.info);
  while (c.at + 4 <= s.info.length) {
    let length = c.u32(), wide = false;
    if (length === 0xffff_ffff) {
      wide = true;
      length = Number(c.u64());
    }
    const end = c.at + length;
    if (end > s.info.length) break;
    try {
      const unit = readHeader(c, wide, end, s);
      if (unit !== undefined) read(c, unit);
    } catch (e) {
      if (!(e instanceof RangeError)) throw e;
    }
    c.at = end;
  }
}

function readHeader(c: ByteCursor, wide: boolean, end: number, s: UnitSections): UnitHeader | undefined {
  const version = c.u16();
  if (version < 2 || version > 5) return undefined;
  let addressBytes: number, table: number;
  if (version >= 5) {
    const type = c.u8();
    addressBytes = c.u8();
    table = c.offset(wide);
    if (type === DW_UT_SKELETON || type === DW_UT_SPLIT_COMPILE) c.skip(8);
    if (type === DW_UT_TYPE || type === DW_UT_SPLIT_TYPE) return undefined;
  } else {
    table = c.offset(wide);
    addressBytes = c.u8();
  }
  return { version, wide, addressBytes, abbreviations: abbreviationTable(s.abbreviations, table), end };
}

/** Offset in .debug_line -> DW_AT_comp_dir. A unit that cannot be read is left out: its files keep their own names. */
export function unitFolders(s: UnitSections): Map<number, string> {
  const out = new Map<number, string>();
  forEachUnit(s, (c, { version, wide, addressBytes, abbreviations }) => {
    let program: number | undefined, folder: string | undefined;
    for (const { name, form } of abbreviations.get(c.uleb())?.attributes ?? []) {
      if (name === DW_AT_STMT_LIST) program = Number(readForm(c, form, wide, addressBytes));
      else if (name === DW_AT_COMP_DIR) folder = stringOf(c, form, wide, addressBytes, version, s);
      else skipForm(c, form, wide, addressBytes, version);
    }
    if (program !== undefined && folder !== undefined) out.set(program, folder);
  });
  return out;
}

/** Strings by index (DW_FORM_strx) need a base that this reader does not follow: no folder then. */
function stringOf(c: ByteCursor, form: number, wide: boolean, addressBytes: number, version: number, s: UnitSections): string | undefined {
  if (form === FORM.string) return c.text();
  const from = form === FORM.strp ? s.strings : form === FORM.lineStrp ? s.lineStrings : undefined;
  if (from === undefined) {
    skipForm(c, form, wide, addressBytes, version);
    return undefined;
  }
  return new ByteCursor(from, c.offset(wide)).text();
}
