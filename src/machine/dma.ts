/**
 * The devices' way to memory: like PhysicalMemory, but what a guest programs cannot stop the machine. Reads without a target give
 * ones; writes to firmware or to nothing are dropped.
 */

import type { DmaPort } from '../devices/ports.js';
import { PAGE_SIZE } from '../mem/layout.js';
import type { PhysicalMemory } from '../mem/physical.js';

export class Dma implements DmaPort {
  constructor(private readonly phys: PhysicalMemory) {}

  read(hpa: number, length: number): Uint8Array {
    return this.phys.read(hpa, length);
  }

  write(hpa: number, bytes: Uint8Array): void {
    for (let done = 0; done < bytes.length; ) {
      const at = hpa + done, n = Math.min(bytes.length - done, PAGE_SIZE - (at % PAGE_SIZE));
      if (this.phys.writable(at)) this.phys.write(at, bytes.subarray(done, done + n));
      done += n;
    }
  }
}
