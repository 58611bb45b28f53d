/**
 * A disk whose contents are generated from a seed: every sector is a function of seed and address, and what is written is kept.
 *
 * The function is SplitMix-like on 32-bit words, so that any program can compute what a sector must hold.
 */

import type { DiskBackend } from '../ports.js';
import { SectorStore } from './sector-store.js';

const SECTOR = 512;

/** Word `index` (32 bits) of sector `lba` under `seed`. */
export function seededWord(seed: number, lba: number, index: number): number {
  let x = (Math.imul(lba ^ (seed << 7), 0x9e37_79b1) + Math.imul(index + 1, 0x85eb_ca6b) + seed) | 0;
  x = Math.imul(x ^ (x >>> 16), 0x7feb_352d);
  x = Math.imul(x ^ (x >>> 15), 0x846c_a68b);
  return (x ^ (x >>> 16)) >>> 0;
}

export class SeededDisk implements DiskBackend {
  private readonly written = new SectorStore();

  /** @param sectors size in 512-byte sectors; @param seed 32 bits */
  constructor(
    readonly sectors: number,
    private readonly seed: number,
  ) {}

  read(lba: number, into: Uint8Array): void {
    const view = new DataView(into.buffer, into.byteOffset, into.byteLength);
    for (let s = 0; s < into.length / SECTOR; s++) {
      const kept = this.written.get(lba + s);
      if (kept !== undefined) into.set(kept, s * SECTOR);
      else for (let i = 0; i < SECTOR / 4; i++) view.setUint32(s * SECTOR + 4 * i, seededWord(this.seed, lba + s, i), true);
    }
  }
  write(lba: number, from: Uint8Array): void {
    for (let s = 0; s < from.length / SECTOR; s++) this.written.set(lba + s, from.slice(s * SECTOR, (s + 1) * SECTOR));
  }
  flush(): void {}
}
