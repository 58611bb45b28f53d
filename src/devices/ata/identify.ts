/**
 * The 512 bytes that IDENTIFY DEVICE returns. ATA/ATAPI-7 volume 1, §6.17 "IDENTIFY DEVICE", table of words.
 */

export const HEADS = 16, SECTORS_PER_TRACK = 63, MAX_MULTIPLE = 16;

export interface DriveModes {
  /** Sectors of a READ/WRITE MULTIPLE block, 0 = not set. */
  readonly multiple: number;
  /** The transfer mode chosen by SET FEATURES: 0x20 + n multiword DMA, 0x40 + n Ultra DMA. */
  readonly transferMode: number;
  readonly writeCache: boolean;
}

/** Text fields hold two characters a word, the first in the high byte. */
function putText(words: Uint16Array, at: number, length: number, text: string): void {
  const padded = text.padEnd(length * 2);
  for (let i = 0; i < length; i++) words[at + i] = (padded.charCodeAt(2 * i) << 8) | padded.charCodeAt(2 * i + 1);
}

export function identifyData(sectors: number, serial: string, modes: DriveModes): Uint8Array {
  const w = new Uint16Array(256), cylinders = Math.min(16383, Math.floor(sectors / (HEADS * SECTORS_PER_TRACK)));
  const chs = cylinders * HEADS * SECTORS_PER_TRACK, lba28 = Math.min(sectors, 0x0fff_ffff);
  w[0] = 0x0040; // fixed disk
  w[1] = w[54] = cylinders;
  w[3] = w[55] = HEADS;
  w[6] = w[56] = SECTORS_PER_TRACK;
  putText(w, 10, 10, serial);
  putText(w, 23, 4, '1.0');
  putText(w, 27, 20, 'XENOLITH DISK');
  w[47] = 0x8000 | MAX_MULTIPLE;
  w[48] = 1; // 32-bit data port accesses work
  w[49] = 0x0b00; // IORDY, LBA, DMA
  w[50] = 0x4000;
  w[51] = 0x0200; // PIO mode 2 without negotiation
  w[53] = 7; // words 54-58, 64-70 and 88 are valid
  w[57] = chs & 0xffff;
  w[58] = chs >>> 16;
  w[59] = modes.multiple > 0 ? 0x100 | modes.multiple : 0;
  w[60] = lba28 & 0xffff;
  w[61] = lba28 >>> 16;
  w[63] = 0x07 | (modes.transferMode >> 3 === 4 ? 0x100 << (modes.transferMode & 7) : 0);
  w[64] = 3; // PIO modes 3 and 4
  w[65] = w[66] = w[67] = w[68] = 120; // ns
  w[80] = 0x00f0; // ATA/ATAPI-4 to -7
  w[82] = 0x0020; // write cache
  w[83] = 0x7400; // FLUSH CACHE, FLUSH CACHE EXT, 48-bit addresses
  w[84] = 0x4000;
  w[85] = modes.writeCache ? 0x0020 : 0;
  w[86] = 0x3400;
  w[87] = 0x4000;
  w[88] = 0x3f | (modes.transferMode >> 3 === 8 ? 0x100 << (modes.transferMode & 7) : 0);
  w[93] = 0x604b; // hardware reset result: 80-wire cable, device 0 passed
  for (let i = 0; i < 4; i++) w[100 + i] = Math.floor(sectors / 2 ** (16 * i)) & 0xffff;
  const bytes = new Uint8Array(512);
  w.forEach((v, i) => bytes.set([v & 0xff, v >> 8], 2 * i));
  return bytes;
}
