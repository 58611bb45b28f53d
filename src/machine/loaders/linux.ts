/**
 * Linux bzImage, by the 32-bit boot protocol.
 *
 * Linux Documentation/arch/x86/boot.rst "The Real-Mode Kernel Header", "32-bit Boot Protocol"; zero-page.rst. The real-mode part of
 * the image is not run: its header is copied into the zero page.
 */

import type { BootModule } from '../config.js';
import { type BootMemory, Bytes, type CpuStart, HIGH_MEMORY, memoryMap } from './boot-memory.js';

const HEADER = 0x1f1, MAGIC_AT = 0x202, MAGIC = 0x5372_6448; // "HdrS"
/** First protocol version with a 32-bit entry that needs no real-mode code (2.10 also says how much room it needs). */
const OLDEST = 0x0203;
const LOADED_HIGH = 1, CAN_USE_HEAP = 0x80;

const view = (b: Uint8Array): DataView => new DataView(b.buffer, b.byteOffset, b.byteLength);

export function isBzImage(b: Uint8Array): boolean {
  return b.length > 0x250 && view(b).getUint32(MAGIC_AT, true) === MAGIC && view(b).getUint16(0x1fe, true) === 0xaa55;
}

export function loadLinux(memory: BootMemory, bytes: Uint8Array, commandLine: string, modules: readonly BootModule[]): CpuStart {
  const h = view(bytes), version = h.getUint16(0x206, true);
  if (version < OLDEST || !(bytes[0x211] & LOADED_HIGH)) memory.fail(`Linux boot protocol ${version >> 8}.${version & 255} without a high-loaded kernel (zImage) is too old`);
  if (modules.length > 1) memory.fail('Linux takes one initial RAM disk');
  const setupBytes = ((bytes[HEADER] || 4) + 1) * 512;
  const paragraphs = h.getUint32(0x1f4, true);
  if (setupBytes >= bytes.length || setupBytes + paragraphs * 16 > bytes.length + 15)
    memory.fail(`truncated: its header speaks of ${setupBytes + paragraphs * 16} bytes, the file has ${bytes.length}`);
  const kernel = bytes.subarray(setupBytes);
  const maximum = h.getUint32(0x238, true) || 255;
  if (version >= 0x0206 && commandLine.length > maximum) memory.fail(`its command line is limited to ${maximum} characters`);
  const relocatable = version >= 0x0205 && bytes[0x234] !== 0;
  // The kernel runs where it prefers to, so that it need not move itself again.
  const load = version >= 0x020a && relocatable ? Number(h.getBigUint64(0x258, true)) : HIGH_MEMORY;
  const room = version >= 0x020a ? h.getUint32(0x260, true) : kernel.length;
  memory.place(load, kernel, 'the kernel', Math.max(room, kernel.length));
  const initrd = modules[0];
  const initrdAt = initrd === undefined ? 0 : placeInitrd(memory, initrd, version >= 0x0203 ? h.getUint32(0x22c, true) : 0x37ff_ffff);
  const text = memory.placeLow(() => new Bytes().text(commandLine).toArray(), 'the command line');
  const zeroPage = memory.placeLow(() => {
    const page = new Uint8Array(4096), z = view(page);
    page.set(bytes.subarray(HEADER, MAGIC_AT + bytes[0x201]), HEADER);
    page[0x210] = 0xff; // type of loader: none of the registered ones
    page[0x211] |= CAN_USE_HEAP;
    z.setUint16(0x224, 0xfe00, true); // heap end
    z.setUint32(0x214, load, true); // code32_start
    z.setUint32(0x218, initrdAt, true);
    z.setUint32(0x21c, initrd?.bytes.length ?? 0, true);
    z.setUint32(0x228, text, true);
    z.setUint32(0x1e0, (memory.ramBytes - HIGH_MEMORY) / 1024, true);
    z.setBigUint64(0x70, BigInt(memory.rsdp), true);
    const map = memoryMap(memory.ramBytes);
    page[0x1e8] = map.length;
    map.forEach((r, i) => {
      z.setBigUint64(0x2d0 + 20 * i, BigInt(r.base), true);
      z.setBigUint64(0x2d8 + 20 * i, BigInt(r.length), true);
      z.setUint32(0x2e0 + 20 * i, r.type, true);
    });
    return page;
  }, 'the zero page');
  return { eip: load, esi: zeroPage };
}

/** As high as the kernel can reach: it unpacks itself below. */
function placeInitrd(memory: BootMemory, initrd: BootModule, highest: number): number {
  const top = Math.min(highest + 1, memory.ramBytes);
  const at = Math.floor((top - initrd.bytes.length) / 4096) * 4096;
  memory.place(at, initrd.bytes, `initial RAM disk ${initrd.name}`);
  return at;
}
