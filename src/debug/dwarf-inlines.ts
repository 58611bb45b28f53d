/**
 * Inlined calls: where code that stands in another function's place was called from.
 *
 * DWARF 5 §3.3.8 "Inlined Subroutines", §2.17 "Code Addresses, Ranges and Base Addresses"; range lists of versions 2 to 4 as DWARF 4
 * §2.17.3 has them. Address lists by index (.debug_addr) are not followed: their inlined calls are left out.
 */

import { ByteCursor } from './byte-cursor.js';
import { FORM, readForm, skipForm } from './dwarf-forms.js';
import { DW_AT_STMT_LIST, forEachUnit, type UnitHeader, type UnitSections } from './dwarf-units.js';

const DW_TAG_INLINED = 0x1d;
const DW_AT = { lowPc: 0x11, highPc: 0x12, ranges: 0x55, callFile: 0x58, callLine: 0x59 } as const;
const DW_RLE = { end: 0, offsetPair: 4, baseAddress: 5, startEnd: 6, startLength: 7 } as const;

/** Code from `begin` up to `end` was called at this line, and put in the caller's place. */
export interface InlinedCall {
  readonly begin: bigint;
  readonly end: bigint;
  readonly file: string;
  readonly line: number;
}

export interface InlineSections extends UnitSections {
  readonly ranges?: Uint8Array | undefined;
  readonly rangeLists?: Uint8Array | undefined;
}

/** What the attributes of an entry say. */
interface Entry {
  low?: bigint;
  high?: bigint;
  highIsOffset?: boolean;
  ranges?: number;
  file?: number;
  line?: number;
  program?: number;
}

/** All inlined calls; a call inside another one comes behind it. @param filesOf file names by number of the line program at an offset */
export function inlinedCalls(s: InlineSections, filesOf: (program: number) => readonly (string | undefined)[] | undefined): InlinedCall[] {
  const out: InlinedCall[] = [];
  forEachUnit(s, (c, unit) => {
    let base = 0n, files: readonly (string | undefined)[] | undefined, first = true;
    while (c.at < unit.end) {
      const code = c.uleb();
      if (code === 0) continue; // end of a chain of siblings
      const abbreviation = unit.abbreviations.get(code);
      if (abbreviation === undefined) throw new RangeError('an abbreviation that is not there');
      const interesting = first || abbreviation.tag === DW_TAG_INLINED, entry = readEntry(c, unit, abbreviation.attributes, interesting);
      if (first) {
        base = entry.low ?? 0n;
        files = entry.program === undefined ? undefined : filesOf(entry.program);
        first = false;
      } else if (interesting && entry.line !== undefined) {
        const file = files?.[entry.file ?? -1];
        if (file === undefined) continue;
        for (const [begin, end] of rangesOf(entry, base, unit, s)) if (end > begin) out.push({ begin, end, file, line: entry.line });
      }
    }
  });
  return out;
}

function readEntry(c: ByteCursor, unit: UnitHeader, attributes: readonly { name: number; form: number }[], interesting: boolean): Entry {
  const { wide, addressBytes, version } = unit, out: Entry = {};
  for (const { name, form } of attributes) {
    const wanted = interesting && (name === DW_AT.lowPc || name === DW_AT.highPc || name === DW_AT.ranges || name === DW_AT.callFile || name === DW_AT.callLine || name === DW_AT_STMT_LIST);
    if (!wanted || form === FORM.implicitConst || form === FORM.rnglistx || form === FORM.addrx) {
      skipForm(c, form, wide, addressBytes, version);
      continue;
    }
    const value = readForm(c, form, wide, addressBytes);
    if (name === DW_AT.lowPc) out.low = value;
    else if (name === DW_AT.highPc) {
      out.high = value;
      out.highIsOffset = form !== FORM.addr;
    } else if (name === DW_AT.ranges) out.ranges = Number(value);
    else if (name === DW_AT.callFile) out.file = Number(value);
    else if (name === DW_AT.callLine) out.line = Number(value);
    else out.program = Number(value);
  }
  return out;
}

function rangesOf(e: Entry, base: bigint, unit: UnitHeader, s: InlineSections): [bigint, bigint][] {
  if (e.low !== undefined && e.high !== undefined) return [[e.low, e.highIsOffset === true ? e.low + e.high : e.high]];
  if (e.ranges === undefined) return [];
  return unit.version >= 5 ? rangeList5(s.rangeLists, e.ranges, base, unit.addressBytes) : rangeList(s.ranges, e.ranges, base, unit.addressBytes);
}

/** Pairs of addresses from a base; a pair that begins with all ones sets the base, two zeros end. */
function rangeList(section: Uint8Array | undefined, offset: number, base: bigint, bytes: number): [bigint, bigint][] {
  const out: [bigint, bigint][] = [];
  if (section === undefined) return out;
  const c = new ByteCursor(section, offset), ones = (1n << BigInt(bytes * 8)) - 1n;
  let from = base;
  for (;;) {
    const begin = c.word(bytes), end = c.word(bytes);
    if (begin === 0n && end === 0n) return out;
    if (begin === ones) from = end;
    else out.push([from + begin, from + end]);
  }
}

/** DWARF 5 §7.25 "Non-Contiguous Address Ranges". */
function rangeList5(section: Uint8Array | undefined, offset: number, base: bigint, bytes: number): [bigint, bigint][] {
  const out: [bigint, bigint][] = [];
  if (section === undefined) return out;
  const c = new ByteCursor(section, offset);
  let from = base;
  for (;;) {
    const kind = c.u8();
    if (kind === DW_RLE.offsetPair) {
      const begin = BigInt(c.uleb());
      out.push([from + begin, from + BigInt(c.uleb())]);
    } else if (kind === DW_RLE.baseAddress) from = c.word(bytes);
    else if (kind === DW_RLE.startEnd) {
      const begin = c.word(bytes);
      out.push([begin, c.word(bytes)]);
    } else if (kind === DW_RLE.startLength) {
      const begin = c.word(bytes);
      out.push([begin, begin + BigInt(c.uleb())]);
    } else return out; // the end, or a form by index
  }
}
