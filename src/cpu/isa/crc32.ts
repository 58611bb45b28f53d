/** CRC32: the Castagnoli polynomial 11EDC6F41H over 8, 16, 32 or 64 bits, bits reflected. SDM 2, under that name. No flags. */

import { Mnemonic } from 'iced-x86';
import { allForms, helper, insn, NEXT, type InsnHelper } from '../insn.js';

const REFLECTED_POLYNOMIAL = 0x82f63b78;

const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let v = byte;
  for (let i = 0; i < 8; i++) v = (v >>> 1) ^ (v & 1 ? REFLECTED_POLYNOMIAL : 0);
  return v;
});

const crc32: InsnHelper = (_cpu, insn) => {
  let data = insn.read(1);
  let crc = Number(insn.read(0) & 0xffff_ffffn);
  for (let bytes = insn.width(1) / 8; bytes > 0; bytes--) {
    crc = (crc >>> 8) ^ TABLE[(crc ^ Number(data & 0xffn)) & 0xff];
    data >>= 8n;
  }
  insn.write(0, BigInt(crc >>> 0));
  return NEXT;
};
insn('CRC32', { forms: allForms(Mnemonic.Crc32), body: helper(crc32) });
