/**
 * A VGA on the ISA bus, in text mode: the registers, and what they say about the picture. IBM VGA Technical Reference, "Registers";
 * FreeVGA, "VGA Registers" and "Accessing the VGA Registers".
 *
 * The text memory at TEXT_BASE is ordinary memory of the machine (machine.ts maps it), so no access to it passes through here.
 *
 * Invariant: at reset all registers are zero, and the display is off; firmware programs a mode.
 *
 * Deviations: text mode only: there is no memory at 0xa0000-0xb7fff, so no planes and no loadable fonts. Line compare, preset row scan,
 * panning and the character map are kept but do not act. There is no interrupt at the vertical retrace and no light pen.
 */

import type { DeviceClock, PortDevice, Width } from '../ports.js';
import { RateClock } from '../rate-clock.js';
import { Dac } from './dac.js';
import { ATTR_COLOUR_SELECT, ATTR_MODE, ATTRIBUTE_BITS, CRTC, CRTC_REGISTERS, GFX_MISCELLANEOUS, GRAPHICS_BITS, SEQ_CLOCKING, SEQUENCER_BITS } from './registers.js';

/** Where colour text is, and how much room there is for it, in bytes. */
export const TEXT_BASE = 0xb_8000, TEXT_BYTES = 0x8000;
/** Runs of ports: first, count. The CRT controller and input status 1 are at 0x3bX with a monochrome display, at 0x3dX with a colour one. */
export const VGA_PORTS: readonly (readonly [first: number, count: number])[] = [[0x3b4, 2], [0x3ba, 1], [0x3c0, 3], [0x3c4, 7], [0x3cc, 1], [0x3ce, 2], [0x3d4, 2], [0x3da, 1]];

const CLOCKS_HZ = [25_175_000, 28_322_000];
/** Miscellaneous output. */
const MISC_COLOUR = 1;
const CLOCKING_8_DOTS = 0x01, CLOCKING_HALF = 0x08, CLOCKING_SCREEN_OFF = 0x20;
/** Attribute address: the palette drives the display; while clear, the processor may write it and the screen is dark. */
const PALETTE_SOURCE = 0x20;
const MODE_GRAPHICS = 1, MODE_BLINK = 8, MODE_P54S = 0x80;
const GRAPHICS_MODE = 1, MEMORY_MAP = 0x0c, MEMORY_AT_B8000 = 0x0c;
const SWITCH_SENSE = 0x10;
const STATUS_BLANK = 1, STATUS_RETRACE = 8;
const CURSOR_OFF = 0x20, CRTC_PROTECT = 0x80, OVERFLOW_LINE_COMPARE = 0x10;

/** What the registers say about a picture of characters. Addresses count characters from TEXT_BASE. */
export interface TextLayout {
  readonly columns: number;
  readonly rows: number;
  readonly start: number;
  /** Characters from one row to the next. */
  readonly pitch: number;
  /** The character under the cursor; undefined when it is off. */
  readonly cursor: number | undefined;
  /** Bit 7 of an attribute blinks; otherwise it makes the background bright. */
  readonly blink: boolean;
  /** Red, green and blue of 16 colours, 8 bits each. */
  readonly palette: Uint8Array;
}

export class Vga implements PortDevice {
  private readonly sequencer = new Uint8Array(SEQUENCER_BITS.length);
  private readonly graphics = new Uint8Array(GRAPHICS_BITS.length);
  private readonly attribute = new Uint8Array(ATTRIBUTE_BITS.length);
  private readonly crtc = new Uint8Array(CRTC_REGISTERS);
  private readonly dac = new Dac();
  private readonly dots: readonly RateClock[];
  private miscellaneous = 0;
  private feature = 0;
  private sequencerIndex = 0;
  private graphicsIndex = 0;
  private crtcIndex = 0;
  /** With PALETTE_SOURCE. */
  private attributeIndex = 0;
  /** The next write to 0x3c0 is data, not an index. */
  private attributeData = false;

  constructor(clock: DeviceClock) {
    this.dots = CLOCKS_HZ.map((hz) => new RateClock(clock, hz));
  }

  reset(): void {
    for (const registers of [this.sequencer, this.graphics, this.attribute, this.crtc]) registers.fill(0);
    this.dac.reset();
    this.miscellaneous = this.feature = this.sequencerIndex = this.graphicsIndex = this.crtcIndex = this.attributeIndex = 0;
    this.attributeData = false;
  }

  ioRead(port: number): number {
    if (port >= 0x3c6 && port <= 0x3c9) return this.dac.ioRead(port);
    switch (port) {
      case 0x3c0: return this.attributeIndex;
      case 0x3c1: return this.attribute[this.attributeIndex & 0x1f] ?? 0xff;
      case 0x3c2: return SWITCH_SENSE;
      case 0x3c4: return this.sequencerIndex;
      case 0x3c5: return this.sequencer[this.sequencerIndex] ?? 0xff;
      case 0x3ca: return this.feature;
      case 0x3cc: return this.miscellaneous;
      case 0x3ce: return this.graphicsIndex;
      case 0x3cf: return this.graphics[this.graphicsIndex] ?? 0xff;
    }
    switch (this.emulated(port)) {
      case 4: return this.crtcIndex;
      case 5: return this.crtc[this.crtcIndex] ?? 0xff;
      case 10:
        this.attributeData = false;
        return this.status();
    }
    return 0xff;
  }

  ioWrite(port: number, _size: Width, value: number): void {
    if (port >= 0x3c6 && port <= 0x3c9) return this.dac.ioWrite(port, value);
    switch (port) {
      case 0x3c0: return this.writeAttribute(value);
      case 0x3c2:
        this.miscellaneous = value & 0xef;
        return;
      case 0x3c4:
        this.sequencerIndex = value;
        return;
      case 0x3c5: return store(this.sequencer, this.sequencerIndex, value, SEQUENCER_BITS);
      case 0x3ce:
        this.graphicsIndex = value;
        return;
      case 0x3cf: return store(this.graphics, this.graphicsIndex, value, GRAPHICS_BITS);
    }
    switch (this.emulated(port)) {
      case 4:
        this.crtcIndex = value;
        return;
      case 5: return this.writeCrtc(value);
      case 10: this.feature = value & 3;
    }
  }

  /** Low digit of a port of the display that is selected, or -1: those of the other one do not answer. */
  private emulated(port: number): number {
    return port >>> 4 === (this.miscellaneous & MISC_COLOUR ? 0x3d : 0x3b) ? port & 15 : -1;
  }

  private writeAttribute(value: number): void {
    const index = this.attributeIndex & 0x1f;
    if (!this.attributeData) this.attributeIndex = value & 0x3f;
    else if (index >= 16 || (this.attributeIndex & PALETTE_SOURCE) === 0) store(this.attribute, index, value, ATTRIBUTE_BITS);
    this.attributeData = !this.attributeData;
  }

  /** "Protect": indices 0 to 7 cannot be written, but for one bit of the overflow register. */
  private writeCrtc(value: number): void {
    const { crtc, crtcIndex: index } = this;
    if (index >= CRTC_REGISTERS) return;
    if (index > 7 || (crtc[CRTC.retraceEnd]! & CRTC_PROTECT) === 0) crtc[index] = value;
    else if (index === CRTC.overflow) crtc[index] = (crtc[index]! & ~OVERFLOW_LINE_COMPARE) | (value & OVERFLOW_LINE_COMPARE);
  }

  /** A vertical count of 10 bits: its low eight, and where the overflow register has bits 8 and 9. */
  private vertical(register: number, bit8: number, bit9: number): number {
    const overflow = this.crtc[CRTC.overflow]!;
    return this.crtc[register]! | (((overflow >>> bit8) & 1) << 8) | (((overflow >>> bit9) & 1) << 9);
  }

  /** Input status 1: where the beam is. */
  private status(): number {
    const { crtc } = this, clocking = this.sequencer[SEQ_CLOCKING]!, source = this.dots[(this.miscellaneous >>> 2) & 1]!;
    const character = (clocking & CLOCKING_8_DOTS ? 8 : 9) * (clocking & CLOCKING_HALF ? 2 : 1), perLine = crtc[CRTC.horizontalTotal]! + 5;
    const at = Math.floor(source.ticks / character), line = Math.floor(at / perLine) % (this.vertical(CRTC.verticalTotal, 0, 5) + 2);
    const blank = at % perLine > crtc[CRTC.horizontalDisplayEnd]! || line > this.vertical(CRTC.verticalDisplayEnd, 1, 6);
    // The retrace ends at the line whose low four bits are those of the end register.
    const from = this.vertical(CRTC.retraceStart, 2, 7), lines = (crtc[CRTC.retraceEnd]! - from) & 15;
    return (blank ? STATUS_BLANK : 0) | (line >= from && line < from + lines ? STATUS_RETRACE : 0);
  }

  /** What is to be seen, or why nothing is. */
  layout(): TextLayout | { readonly reason: string } {
    const { crtc } = this, mode = this.attribute[ATTR_MODE]!, miscellaneous = this.graphics[GFX_MISCELLANEOUS]!;
    if (this.sequencer[SEQ_CLOCKING]! & CLOCKING_SCREEN_OFF || (this.attributeIndex & PALETTE_SOURCE) === 0) return { reason: 'the display is off' };
    if (mode & MODE_GRAPHICS || miscellaneous & GRAPHICS_MODE) return { reason: 'graphics mode: not shown' };
    if ((miscellaneous & MEMORY_MAP) !== MEMORY_AT_B8000) return { reason: 'text outside 0xb8000: not shown' };
    const scan = crtc[CRTC.maximumScanLine]!, perRow = ((scan & 0x1f) + 1) * (scan & 0x80 ? 2 : 1);
    const cursorStart = crtc[CRTC.cursorStart]!, cursorOn = (cursorStart & CURSOR_OFF) === 0 && (cursorStart & 0x1f) <= (crtc[CRTC.cursorEnd]! & 0x1f);
    return {
      columns: crtc[CRTC.horizontalDisplayEnd]! + 1,
      rows: Math.floor((this.vertical(CRTC.verticalDisplayEnd, 1, 6) + 1) / perRow),
      start: (crtc[CRTC.startHigh]! << 8) | crtc[CRTC.startLow]!,
      pitch: 2 * crtc[CRTC.offset]!,
      cursor: cursorOn ? (crtc[CRTC.cursorHigh]! << 8) | crtc[CRTC.cursorLow]! : undefined,
      blink: (mode & MODE_BLINK) !== 0,
      palette: this.palette(mode),
    };
  }

  private palette(mode: number): Uint8Array {
    const out = new Uint8Array(48), select = this.attribute[ATTR_COLOUR_SELECT]!;
    for (let i = 0; i < 16; i++) {
      const own = this.attribute[i]!, low = mode & MODE_P54S ? (own & 0x0f) | ((select & 3) << 4) : own;
      const colour = (low | ((select & 0x0c) << 4)) & this.dac.mask;
      for (let c = 0; c < 3; c++) {
        const v = this.dac.colours[3 * colour + c]!;
        out[3 * i + c] = (v << 2) | (v >>> 4);
      }
    }
    return out;
  }
}

function store(registers: Uint8Array, index: number, value: number, bits: readonly number[]): void {
  if (index < registers.length) registers[index] = value & bits[index]!;
}
