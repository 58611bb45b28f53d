/**
 * Linear memory of a stopped vCPU, read without a trace: no accessed or dirty flag is set, no TLB filled, no device touched.
 *
 * Addresses are 64-bit; outside 64-bit mode their upper half is zero.
 */

import type { CpuState } from '../cpu/state.js';
import type { NestedContext } from '../mmu/context.js';
import type { PhysicalMemory } from '../mem/physical.js';
import { translate } from './walk.js';

const PAGE = 4096n;

export interface Bytes {
  readonly bytes: Uint8Array;
  /** How many of them, from the start, could be read: the rest is not mapped, or belongs to a device. */
  readonly readable: number;
}

export class LinearReader {
  constructor(
    private readonly phys: PhysicalMemory,
    private readonly state: CpuState,
    private readonly nested: NestedContext | null,
  ) {}

  /** The physical address of a byte, or -1 when it is not mapped. */
  physical(linear: bigint): number {
    return translate(this.phys, this.state, this.nested, linear);
  }

  /** Up to `length` bytes; stops at the first page that is not plain memory. */
  read(linear: bigint, length: number): Bytes {
    const out = new Uint8Array(length);
    let done = 0;
    while (done < length) {
      const at = BigInt.asUintN(64, linear + BigInt(done));
      const hpa = this.physical(at);
      if (hpa < 0 || this.phys.address(hpa) < 0) break;
      const n = Math.min(length - done, Number(PAGE - (at & (PAGE - 1n))));
      out.set(this.phys.read(hpa, n), done);
      done += n;
    }
    return { bytes: out, readable: done };
  }

  /** A little-endian word of 1 to 8 bytes, or undefined where it cannot be read. */
  word(linear: bigint, size: number): bigint | undefined {
    const { bytes, readable } = this.read(linear, size);
    if (readable < size) return undefined;
    let value = 0n;
    for (let i = size - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[i]);
    return value;
  }
}
