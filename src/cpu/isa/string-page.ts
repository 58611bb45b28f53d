/**
 * How far a string instruction may run straight through linear memory: the current page, when it is plain RAM.
 *
 * Looks the page up in the software TLB as emitted code does (mmu/tlb.ts has the layout), so everything that needs a closer
 * look - devices, firmware, decoded code, dirty flags, faults - misses here and goes element by element through
 * `readSegment` and `writeSegment`. Finding nothing is always right.
 */

import type { Cpu } from '../cpu.js';
import { FS, gprAddress, MODE, S, SEG, segAddress } from '../state.js';
import { TLB_ENTRIES, TLB_ENTRY_BYTES } from '../../mmu/tlb.js';
import { PAGE_SIZE } from '../../mem/layout.js';

/** Where a string is: overwritten by the next `stretch` for the same side. */
export interface Stretch {
  /** Linear-memory address of the element. */
  at: number;
  /** Elements from there on, in the direction of the string; 0: take the slow way. */
  elements: number;
  /** Linear address of the element: upper and lower 32 bits. */
  linearHi: number;
  linearLo: number;
  /** The page's tag is withheld: somebody wants to hear of the access. */
  noted: boolean;
}

const TAG_READ = 0, TAG_WRITE = 2, ADDEND = 4; // in 32-bit words of an entry

/**
 * Finds the stretch of elements that starts where a pointer register points in a segment.
 * @param out filled in @param pointer RSI or RDI @param size element size in bytes @param addressWidth 16, 32 or 64 @param down DF is set
 * @returns whether there is one
 */
export function stretch(cpu: Cpu, out: Stretch, segment: number, pointer: number, size: number, addressWidth: number, down: boolean, write: boolean): boolean {
  out.elements = 0;
  const { u32 } = cpu.m;
  const seg = segAddress(segment) >>> 2;
  const is64 = u32[S.mode >>> 2] === MODE.bits64;
  const word = gprAddress(pointer) >>> 2;
  const low = addressWidth === 16 ? u32[word] & 0xffff : u32[word];
  let lin = low, high = addressWidth === 64 ? u32[word + 1] : 0;
  if (!is64 || segment >= FS) {
    lin += u32[seg + SEG.base / 4];
    if (is64) high = (high + u32[seg + SEG.base / 4 + 1] + (lin > 0xffff_ffff ? 1 : 0)) >>> 0;
    lin >>>= 0;
  }
  const entry = (u32[S.tlb >>> 2] + ((lin >>> 12) & (TLB_ENTRIES - 1)) * TLB_ENTRY_BYTES) >>> 2;
  const tag = entry + (write ? TAG_WRITE : TAG_READ);
  out.noted = u32[tag] !== (lin & ~0xfff) >>> 0 || u32[tag + 1] !== high;
  if (out.noted && !cpu.withheldTag(high, lin, write)) return false;
  const inPage = lin & (PAGE_SIZE - 1);
  let elements = down ? (inPage + size > PAGE_SIZE ? 0 : Math.floor(inPage / size) + 1) : Math.floor((PAGE_SIZE - inPage) / size);
  if (addressWidth !== 64) {
    // The offset must not wrap on the way, neither up nor down.
    const top = addressWidth === 16 ? 0x1_0000 : 0x1_0000_0000;
    elements = Math.min(elements, down ? Math.floor(low / size) + 1 : Math.floor((top - low) / size));
  }
  if (!is64) {
    if (u32[seg + SEG.slow / 4] !== 0) return false;
    const limit = u32[seg + (write ? SEG.limitWrite : SEG.limitRead) / 4];
    elements = Math.min(elements, down ? (low + size - 1 > limit ? 0 : elements) : Math.floor((limit + 1 - low) / size));
  }
  if (elements <= 0) return false;
  out.elements = elements;
  out.linearHi = high;
  out.linearLo = lin;
  out.at = (lin + u32[entry + ADDEND]) >>> 0;
  return true;
}

/** One element, read as a whole before it is written. */
export function moveElement(u8: Uint8Array, to: number, from: number, size: number): void {
  if (size === 1) u8[to] = u8[from];
  else u8.copyWithin(to, from, from + size);
}

/**
 * Copies `elements` elements as MOVS does one after another, also where source and destination overlap.
 * Returns how many were copied: 0 when they overlap by less than an element.
 */
export function copyElements(u8: Uint8Array, to: number, from: number, elements: number, size: number, down: boolean): number {
  const bytes = elements * size;
  const distance = down ? from - to : to - from;
  if (elements === 1) {
    moveElement(u8, to, from, size);
    return 1;
  }
  if (distance <= 0 || distance >= bytes) {
    const first = down ? size - bytes : 0;
    u8.copyWithin(to + first, from + first, from + first + bytes);
    return elements;
  }
  // The copy reads what it wrote: bytes in the order of the elements repeat the pattern.
  if (distance < size) return 0;
  if (down) for (let i = size - 1; i >= size - bytes; i--) u8[to + i] = u8[from + i];
  else for (let i = 0; i < bytes; i++) u8[to + i] = u8[from + i];
  return elements;
}

/** Fills `elements` elements with the `size` bytes at linear-memory address `value`. */
export function fillElements(u8: Uint8Array, to: number, elements: number, size: number, value: number, down: boolean): void {
  const bytes = elements * size;
  const start = down ? to + size - bytes : to;
  for (let i = 0; i < size; i++) u8[start + i] = u8[value + i];
  for (let done = size; done < bytes; done *= 2) u8.copyWithin(start + done, start, start + Math.min(done, bytes - done));
}
