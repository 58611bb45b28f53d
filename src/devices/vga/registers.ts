/** Which bits the indexed registers of a VGA have, by group and index (IBM VGA Technical Reference; FreeVGA, "VGA Registers"). */

/** Sequencer: reset, clocking mode, map mask, character map select, memory mode. */
export const SEQUENCER_BITS: readonly number[] = [0x03, 0x3d, 0x0f, 0x3f, 0x0e];
/** Graphics controller: set/reset, enable set/reset, colour compare, rotate, read map, mode, miscellaneous, colour don't care, bit mask. */
export const GRAPHICS_BITS: readonly number[] = [0x0f, 0x0f, 0x0f, 0x1f, 0x03, 0x7b, 0x0f, 0x0f, 0xff];
/** Attribute controller: 16 palette registers, mode control, overscan, colour plane enable, horizontal panning, colour select. */
export const ATTRIBUTE_BITS: readonly number[] = [...new Array<number>(16).fill(0x3f), 0xef, 0xff, 0x3f, 0x0f, 0x0f];
/** CRT controller: all bits of 25 registers can be read back. */
export const CRTC_REGISTERS = 0x19;

/** Indices of registers that mean something here. */
export const SEQ_CLOCKING = 1;
export const GFX_MISCELLANEOUS = 6;
export const ATTR_MODE = 0x10, ATTR_COLOUR_SELECT = 0x14;
export const CRTC = {
  horizontalTotal: 0x00, horizontalDisplayEnd: 0x01, verticalTotal: 0x06, overflow: 0x07, maximumScanLine: 0x09, cursorStart: 0x0a, cursorEnd: 0x0b,
  startHigh: 0x0c, startLow: 0x0d, cursorHigh: 0x0e, cursorLow: 0x0f, retraceStart: 0x10, retraceEnd: 0x11, verticalDisplayEnd: 0x12, offset: 0x13,
} as const;
