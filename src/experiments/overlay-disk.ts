/** A disk over another one that is only read: what the guest writes stays in memory, so that every run finds the same disk. */

import type { DiskBackend } from '../machine/config.js';
import { SectorStore } from '../machine/disks.js';

const SECTOR = 512;

export class OverlayDisk implements DiskBackend {
  private readonly written = new SectorStore();
  readonly sectors: number;

  /** A function, and not the disk: what is below is no state of the machine, and cannot go back in time. */
  private readonly readBelow: (lba: number, into: Uint8Array) => void;

  constructor(below: Pick<DiskBackend, 'sectors' | 'read'>) {
    this.sectors = below.sectors;
    this.readBelow = (lba, into) => below.read(lba, into);
  }
  read(lba: number, into: Uint8Array): void {
    this.readBelow(lba, into);
    for (let s = 0; s < into.length / SECTOR; s++) {
      const own = this.written.get(lba + s);
      if (own !== undefined) into.set(own, s * SECTOR);
    }
  }
  write(lba: number, from: Uint8Array): void {
    for (let s = 0; s < from.length / SECTOR; s++) this.written.set(lba + s, from.slice(s * SECTOR, (s + 1) * SECTOR));
  }
  flush(): void {}
}
