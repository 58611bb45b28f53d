/** Mode 3, 80 by 25 characters in 16 colours, as a video BIOS leaves it: register values of IBM's VGA BIOS (FreeVGA, "VGA Text Mode Operation"). */

import { TEXT_BASE, TEXT_BYTES } from '../../devices/vga/vga.js';

const SEQUENCER = [0x03, 0x00, 0x03, 0x00, 0x02];
const GRAPHICS = [0x00, 0x00, 0x00, 0x00, 0x00, 0x10, 0x0e, 0x0f, 0xff];
const CRTC = [
  0x5f, 0x4f, 0x50, 0x82, 0x55, 0x81, 0xbf, 0x1f, 0x00, 0x4f, 0x0d, 0x0e, 0x00, 0x00, 0x00, 0x00, 0x9c, 0x8e, 0x8f, 0x28, 0x1f, 0x96, 0xb9, 0xa3, 0xff,
];
const ATTRIBUTE = [0, 1, 2, 3, 4, 5, 0x14, 7, 0x38, 0x39, 0x3a, 0x3b, 0x3c, 0x3d, 0x3e, 0x3f, 0x0c, 0x00, 0x0f, 0x08, 0x00];
/** The EGA's colours: two bits each of red, green and blue. */
const DAC_COLOURS = 64;
/** A space, grey on black. */
const BLANK = [0x20, 0x07];

/** @param out writes a byte to a port @param input reads one @param write copies bytes into memory */
export function enterTextMode(out: (port: number, value: number) => void, input: (port: number) => number, write: (hpa: number, bytes: Uint8Array) => void): void {
  out(0x3c2, 0x67);
  SEQUENCER.forEach((v, i) => [out(0x3c4, i), out(0x3c5, v)]);
  GRAPHICS.forEach((v, i) => [out(0x3ce, i), out(0x3cf, v)]);
  CRTC.forEach((v, i) => [out(0x3d4, i), out(0x3d5, v)]);
  input(0x3da);
  ATTRIBUTE.forEach((v, i) => [out(0x3c0, i), out(0x3c0, v)]);
  out(0x3c6, 0xff);
  out(0x3c8, 0);
  for (let colour = 0; colour < DAC_COLOURS; colour++)
    for (const bit of [2, 1, 0]) out(0x3c9, 0x2a * ((colour >>> bit) & 1) + 0x15 * ((colour >>> (bit + 3)) & 1));
  out(0x3c0, 0x20);
  write(TEXT_BASE, Uint8Array.from({ length: TEXT_BYTES }, (_, i) => BLANK[i & 1]!));
}
