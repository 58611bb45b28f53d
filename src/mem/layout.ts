/**
 * The one linear memory: what lies where.
 *
 *     0x0000_0000  constants: a zero slot, masks          (32 KiB)
 *     0x0000_8000  jump cache                             (32 KiB, see cpu/engine/jump-cache.ts)
 *     0x0001_0000  the running vCPU's state               (64 KiB, see cpu/state.ts)
 *     0x0002_0000  free for the timing core               (TIMING_BASE, 4 MiB - 128 KiB)
 *     0x0040_0000  software TLBs                          (TLB_POOL_BASE, 16 MiB)
 *     0x0140_0000  code pages and instruction records     (RECORD_BASE, 108 MiB)
 *     0x0800_0000  firmware and device memory (ROM, VRAM) (ROM_BASE, 128 MiB)
 *     0x1000_0000  guest RAM, page-aligned                (RAM_BASE, up to 3 GiB)
 *
 * Invariant: nothing outside this file places anything in the linear memory by a literal address.
 */

export const ZERO_SLOT = 0x40; // 64 bytes that are always zero: "no base register", "no segment base"
export const JUMP_CACHE_BASE = 0x8000;
export const JUMP_CACHE_SIZE = 0x8000;
export const STATE_BASE = 0x0001_0000;
export const STATE_SIZE = 0x0001_0000;
export const TIMING_BASE = 0x0002_0000;
export const TIMING_SIZE = 0x003e_0000;
export const TLB_POOL_BASE = 0x0040_0000;
export const TLB_POOL_SIZE = 0x0100_0000;
export const RECORD_BASE = 0x0140_0000;
export const RECORD_SIZE = 0x06c0_0000;
export const ROM_BASE = 0x0800_0000;
export const ROM_SIZE = 0x0800_0000;
export const RAM_BASE = 0x1000_0000;
export const RAM_MAX = 0xc000_0000;

export const PAGE_SIZE = 4096;
export const PAGE_SHIFT = 12;
