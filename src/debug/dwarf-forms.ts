/** Attribute forms of DWARF 2 to 5: reading those that are numbers, stepping over the rest. DWARF 5 §7.5.6 "Form Encodings". */

import type { ByteCursor } from './byte-cursor.js';

export const FORM = {
  addr: 0x01, block2: 0x03, block4: 0x04, data2: 0x05, data4: 0x06, data8: 0x07, string: 0x08, block: 0x09, block1: 0x0a, data1: 0x0b, flag: 0x0c,
  sdata: 0x0d, strp: 0x0e, udata: 0x0f, refAddr: 0x10, ref1: 0x11, ref2: 0x12, ref4: 0x13, ref8: 0x14, refUdata: 0x15, indirect: 0x16, secOffset: 0x17,
  exprloc: 0x18, flagPresent: 0x19, strx: 0x1a, addrx: 0x1b, refSup4: 0x1c, strpSup: 0x1d, data16: 0x1e, lineStrp: 0x1f, refSig8: 0x20, implicitConst: 0x21,
  loclistx: 0x22, rnglistx: 0x23, refSup8: 0x24, strx1: 0x25, strx2: 0x26, strx3: 0x27, strx4: 0x28, addrx1: 0x29, addrx2: 0x2a, addrx3: 0x2b, addrx4: 0x2c,
} as const;

const FIXED: Readonly<Record<number, number>> = {
  [FORM.data1]: 1, [FORM.flag]: 1, [FORM.ref1]: 1, [FORM.strx1]: 1, [FORM.addrx1]: 1, [FORM.data2]: 2, [FORM.ref2]: 2, [FORM.strx2]: 2, [FORM.addrx2]: 2,
  [FORM.strx3]: 3, [FORM.addrx3]: 3, [FORM.data4]: 4, [FORM.ref4]: 4, [FORM.strx4]: 4, [FORM.addrx4]: 4, [FORM.refSup4]: 4, [FORM.data8]: 8, [FORM.ref8]: 8,
  [FORM.refSig8]: 8, [FORM.refSup8]: 8, [FORM.data16]: 16, [FORM.flagPresent]: 0, [FORM.implicitConst]: 0,
};
const ULEB: ReadonlySet<number> = new Set([FORM.udata, FORM.refUdata, FORM.strx, FORM.addrx, FORM.loclistx, FORM.rnglistx]);
const OFFSET: ReadonlySet<number> = new Set([FORM.strp, FORM.secOffset, FORM.lineStrp, FORM.strpSup]);

/** The value of a form that is a number of up to 8 bytes. @throws RangeError for another */
export function readForm(c: ByteCursor, form: number, wide: boolean, addressBytes: number): bigint {
  if (form === FORM.addr) return c.word(addressBytes);
  if (OFFSET.has(form)) return BigInt(c.offset(wide));
  if (ULEB.has(form)) return BigInt(c.uleb());
  if (form === FORM.sdata) return BigInt(c.sleb());
  const bytes = FIXED[form];
  if (bytes === 1 || bytes === 2 || bytes === 4 || bytes === 8) return c.word(bytes);
  throw new RangeError(`form 0x${form.toString(16)} is not a number`);
}

/** Steps over a value. @throws RangeError for a form that is not known */
export function skipForm(c: ByteCursor, form: number, wide: boolean, addressBytes: number, version: number): void {
  const bytes = FIXED[form];
  if (bytes !== undefined) c.skip(bytes);
  else if (form === FORM.addr) c.skip(addressBytes);
  else if (OFFSET.has(form)) c.skip(wide ? 8 : 4);
  else if (form === FORM.refAddr) c.skip(version <= 2 ? addressBytes : wide ? 8 : 4);
  else if (ULEB.has(form)) c.uleb();
  else if (form === FORM.sdata) c.sleb();
  else if (form === FORM.string) c.text();
  else if (form === FORM.block1) c.skip(c.u8());
  else if (form === FORM.block2) c.skip(c.u16());
  else if (form === FORM.block4) c.skip(c.u32());
  else if (form === FORM.block || form === FORM.exprloc) c.skip(c.uleb());
  else if (form === FORM.indirect) skipForm(c, c.uleb(), wide, addressBytes, version);
  else throw new RangeError(`unknown form 0x${form.toString(16)}`);
}
