/**
 * How far a string instruction may run straight through linear memory: the current page, when it is plain RAM.
 *
 * Looks the page up in the software TLB as emitted code does (mmu/tlb.ts has the layout), so everything that needs a closer
 * look - devices, firmware, decoded code, dirty flags, faults - misses here and goes element by element through
 * `readSegment` and `writeSegment`. Finding nothing is always right.
 */

import type { Cpu } from '../cpu.js';
import { FS, S, SEG, segAddress } from '../state.js';
import { TLB_ENTRIES, TLB_ENTRY_BYTES } from '../../mmu/tlb.js';
import { PAGE_SIZE } from '../../mem/layout.js';

/** Result of `stretch`: overwritten by the next call for the same side. */
export interface Stretch {
  /** Linear-memory address of the element. */
  at: number;
  /** Elements from there on, in the direction of the string; 0: take the slow way. */
  elements: number;
  /** Linear address of the element. */
  linear: bigint;
}

const TAG_READ = 0, TAG_WRITE = 2, ADDEND = 4; // in 32-bit words of an entry

/**
 * Finds the stretch of elements that starts at an offset of a segment.
 * @param out filled in @param size element size in bytes @param addressWidth 16, 32 or 64 @param down DF is set
 */
export function stretch(cpu: Cpu, out: Stretch, segment: number, offset: bigint, size: number, addressWidth: number, down: boolean, write: boolean): void {
  out.elements = 0;
  const { u32 } = cpu.m;
  const seg = segAddress(segment) >>> 2;
  const is64 = cpu.s.mode64;
  const low = Number(offset & 0xffff_ffffn);
  const based = !is64 || segment >= FS;
  const linear = BigInt.asUintN(is64 ? 64 : 32, based ? offset + cpu.s.segBase(segment) : offset);
  const lin = Number(linear & 0xffff_ffffn);
  const inPage = lin % PAGE_SIZE;
  const entry = (u32[S.tlb >>> 2] + ((lin >>> 12) & (TLB_ENTRIES - 1)) * TLB_ENTRY_BYTES) >>> 2;
  const tag = entry + (write ? TAG_WRITE : TAG_READ);
  if (u32[tag] !== (lin & ~0xfff) >>> 0 || u32[tag + 1] !== Number(linear >> 32n)) return;
  let elements = down ? (inPage + size > PAGE_SIZE ? 0 : Math.floor(inPage / size) + 1) : Math.floor((PAGE_SIZE - inPage) / size);
  if (addressWidth !== 64) {
    // The offset must not wrap on the way, neither up nor down.
    const top = addressWidth === 16 ? 0x1_0000 : 0x1_0000_0000;
    elements = Math.min(elements, down ? Math.floor(low / size) + 1 : Math.floor((top - low) / size));
  }
  if (!is64) {
    if (u32[seg + SEG.slow / 4] !== 0) return;
    const limit = u32[seg + (write ? SEG.limitWrite : SEG.limitRead) / 4];
    elements = Math.min(elements, down ? (low + size - 1 > limit ? 0 : elements) : Math.floor((limit + 1 - low) / size));
  }
  if (elements <= 0) return;
  out.elements = elements;
  out.linear = linear;
  out.at = (lin + u32[entry + ADDEND]) >>> 0;
}

/**
 * Copies `elements` elements as MOVS does one after another, also where source and destination overlap.
 * Returns how many were copied: 0 when they overlap by less than an element.
 */
export function copyElements(u8: Uint8Array, to: number, from: number, elements: number, size: number, down: boolean): number {
  const bytes = elements * size;
  const distance = down ? from - to : to - from;
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

/** Fills `elements` elements with the low bytes of `value`. */
export function fillElements(u8: Uint8Array, to: number, elements: number, size: number, value: bigint, down: boolean): void {
  const bytes = elements * size;
  const start = down ? to + size - bytes : to;
  for (let i = 0; i < size; i++) u8[start + i] = Number((value >> BigInt(8 * i)) & 0xffn);
  for (let done = size; done < bytes; done *= 2) u8.copyWithin(start + done, start, start + Math.min(done, bytes - done));
}
