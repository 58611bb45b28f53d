/**
 * The machine's one WebAssembly.Memory, and typed views of it. Addresses here are linear-memory byte addresses.
 *
 * Invariant: whoever writes guest RAM sets `dirty` of its page, before or after, but before the machine can be snapshot. Emitted code
 * does not: it writes through software-TLB entries, and a page is marked when an entry for writing is made or released (mmu/tlb.ts).
 */

import { Wasm, type WasmMemory } from '../wasm/host.js';
import { PAGE_SHIFT, RAM_BASE, RAM_MAX } from './layout.js';

export class LinearMemory {
  readonly memory: WasmMemory;
  readonly u8: Uint8Array;
  readonly u16: Uint16Array;
  readonly u32: Uint32Array;
  readonly i32: Int32Array;
  readonly u64: BigUint64Array;
  readonly i64: BigInt64Array;
  readonly view: DataView;
  /** One byte per page of the linear memory: 1 when it may differ from the last snapshot (from power-on's zeros, before the first). */
  readonly dirty: Uint8Array;

  /** @param ramBytes size of guest RAM in bytes: a multiple of 64 KiB, at most 3 GiB. The host commits pages lazily. */
  constructor(readonly ramBytes: number) {
    if (ramBytes % 65536 !== 0 || ramBytes <= 0 || ramBytes > RAM_MAX)
      throw new RangeError(`RAM size ${ramBytes} is not a multiple of 64 KiB between 64 KiB and 3 GiB`);
    const pages = (RAM_BASE + ramBytes) / 65536;
    this.memory = new Wasm.Memory({ initial: pages, maximum: pages });
    const b = this.memory.buffer;
    this.u8 = new Uint8Array(b);
    this.u16 = new Uint16Array(b);
    this.u32 = new Uint32Array(b);
    this.i32 = new Int32Array(b);
    this.u64 = new BigUint64Array(b);
    this.i64 = new BigInt64Array(b);
    this.view = new DataView(b);
    this.dirty = new Uint8Array(b.byteLength >>> PAGE_SHIFT);
  }
}
