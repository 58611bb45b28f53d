/**
 * Host-physical memory: which addresses are RAM, which firmware, which nobody's (devices).
 *
 * RAM is one contiguous run from address 0 (with the 640 KiB-1 MiB window cut out for devices and firmware) up to at most
 * 3 GiB, in the linear memory at RAM_BASE + hpa. Firmware (ROM) and device memory (VRAM) lie at ROM_BASE.
 */

import type { LinearMemory } from './linear-memory.js';
import { PAGE_SHIFT, PAGE_SIZE, RAM_BASE, ROM_BASE, ROM_SIZE } from './layout.js';

export const RAM = 1, ROM = 2, DEVICE = 0;

/** What the map was: immutable. */
interface MapState {
  readonly bytes: number;
  readonly pages: Uint32Array;
  readonly readOnly: Uint8Array;
  readonly romUsed: number;
}

export class PhysicalMemory {
  /** Per 4-KiB page below 4 GiB: linear-memory page number, or 0 for "a device or nothing". */
  private readonly pages = new Uint32Array(1 << 20);
  private readonly readOnly = new Uint8Array(1 << 17);
  private romUsed = 0;
  private saved: MapState | undefined;

  constructor(readonly m: LinearMemory) {
    const ramPages = m.ramBytes >>> PAGE_SHIFT;
    for (let p = 0; p < ramPages; p++) if (p < 0xa0 || p >= 0x100) this.pages[p] = (RAM_BASE >>> PAGE_SHIFT) + p;
  }

  /** Maps fresh linear memory of `size` bytes (a multiple of 4 KiB) at `hpa`; returns its linear-memory address. Firmware is read-only to the guest. */
  addRegion(hpa: number, size: number, writable: boolean): number {
    if (this.romUsed + size > ROM_SIZE) throw new RangeError('no room for more firmware or device memory');
    this.saved = undefined;
    const at = ROM_BASE + this.romUsed;
    this.romUsed += (size + PAGE_SIZE - 1) & -PAGE_SIZE;
    this.mapRegion(hpa, size, at, writable);
    return at;
  }

  /** Maps existing linear memory at another physical address too (the BIOS below 1 MiB and below 4 GiB, shadow RAM). */
  mapRegion(hpa: number, size: number, at: number, writable: boolean): void {
    for (let o = 0; o < size; o += PAGE_SIZE) {
      const page = (hpa + o) / PAGE_SIZE;
      this.pages[page] = (at + o) >>> PAGE_SHIFT;
      this.saved = undefined;
      const bit = 1 << (page & 7);
      if (writable) this.readOnly[page >>> 3]! &= ~bit;
      else this.readOnly[page >>> 3]! |= bit;
    }
  }

  /** Linear-memory address of the byte at `hpa`, or -1 when it belongs to a device or to nothing. */
  address(hpa: number): number {
    if (hpa >= 0x1_0000_0000) return -1;
    const page = this.pages[hpa >>> PAGE_SHIFT]!;
    return page === 0 ? -1 : page * PAGE_SIZE + (hpa & (PAGE_SIZE - 1));
  }

  /** May the guest write there without a device noticing? */
  writable(hpa: number): boolean {
    if (hpa >= 0x1_0000_0000) return false;
    const page = hpa >>> PAGE_SHIFT;
    return this.pages[page] !== 0 && (this.readOnly[page >>> 3]! & (1 << (page & 7))) === 0;
  }

  /** Copies bytes in (loader, device DMA). Throws RangeError where there is no RAM: callers check what the guest named first. */
  write(hpa: number, bytes: Uint8Array): void {
    for (let done = 0; done < bytes.length; ) {
      const at = this.address(hpa + done);
      if (at < 0) throw new RangeError(`no memory at ${(hpa + done).toString(16)}`);
      const n = Math.min(bytes.length - done, PAGE_SIZE - (at % PAGE_SIZE));
      this.m.u8.set(bytes.subarray(done, done + n), at);
      this.m.dirty[at >>> PAGE_SHIFT] = 1;
      this.onWrite?.(hpa + done, n);
      done += n;
    }
  }

  /** Copies bytes out; what is not memory reads as 0xff. */
  read(hpa: number, length: number): Uint8Array {
    const out = new Uint8Array(length);
    for (let done = 0; done < length; ) {
      const n = Math.min(length - done, PAGE_SIZE - ((hpa + done) % PAGE_SIZE));
      const at = this.address(hpa + done);
      if (at < 0) out.fill(0xff, done, done + n);
      else out.set(this.m.u8.subarray(at, at + n), done);
      done += n;
    }
    return out;
  }

  /** The map as it is now (machine/object-state.ts). Contents are saved elsewhere. */
  saveState(): MapState {
    return (this.saved ??= { bytes: this.pages.byteLength, pages: this.pages.slice(), readOnly: this.readOnly.slice(), romUsed: this.romUsed });
  }
  loadState(state: MapState): void {
    if (state === this.saved) return;
    this.pages.set(state.pages);
    this.readOnly.set(state.readOnly);
    this.romUsed = state.romUsed;
    this.saved = state;
  }

  /** Called for each page piece that `write` changed, so that decoded instructions are dropped. The engine sets it. */
  onWrite: ((hpa: number, length: number) => void) | undefined;
}
