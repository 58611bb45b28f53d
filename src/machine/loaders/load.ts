/**
 * Recognises an image by its content and loads it. First match wins: Multiboot 1, PVH, Multiboot 2, Linux bzImage.
 */

import type { BootModule, NamedBytes } from '../config.js';
import { BootMemory, type CpuStart, ImageError } from './boot-memory.js';
import { Elf, isElf } from './elf.js';
import { isBzImage, loadLinux } from './linux.js';
import { findMultiboot1, loadMultiboot1 } from './multiboot1.js';
import { findMultiboot2, loadMultiboot2 } from './multiboot2.js';
import { loadPvh, pvhEntry } from './pvh.js';

export { ImageError } from './boot-memory.js';

export type ImageFormat = 'multiboot1' | 'multiboot2' | 'pvh' | 'linux';

export interface LoadedImage {
  readonly format: ImageFormat;
  readonly memory: BootMemory;
  readonly start: CpuStart;
}

/** What `bytes` is, or undefined. Throws ImageError for an ELF file that is damaged. */
export function recogniseImage(image: NamedBytes): ImageFormat | undefined {
  if (findMultiboot1(image.bytes) >= 0) return 'multiboot1';
  if (isElf(image.bytes) && pvhEntry(new Elf(image.name, image.bytes)) !== undefined) return 'pvh';
  if (findMultiboot2(image.bytes) >= 0) return 'multiboot2';
  return isBzImage(image.bytes) ? 'linux' : undefined;
}

/**
 * Lays out `image` for a machine with `ramBytes` of RAM; nothing is written yet.
 * @param commandLine without the image's name, which Multiboot loaders put in front
 * @param rsdp the ACPI root pointer: its address, and its 20 bytes
 */
export function loadImage(image: NamedBytes, commandLine: string, modules: readonly BootModule[], ramBytes: number, rsdp: { at: number; bytes: Uint8Array }): LoadedImage {
  const { name, bytes } = image;
  if (bytes.length === 0) throw new ImageError(`${name}: the file is empty`);
  const format = recogniseImage(image);
  const memory = new BootMemory(name, ramBytes, rsdp.at, rsdp.bytes);
  const withName = commandLine === '' ? name : `${name} ${commandLine}`;
  switch (format) {
    case 'multiboot1': return { format, memory, start: loadMultiboot1(memory, bytes, findMultiboot1(bytes), withName, modules) };
    case 'multiboot2': return { format, memory, start: loadMultiboot2(memory, bytes, findMultiboot2(bytes), commandLine, modules) };
    case 'pvh': {
      const elf = new Elf(name, bytes);
      return { format, memory, start: loadPvh(memory, elf, pvhEntry(elf)!, commandLine, modules) };
    }
    case 'linux': return { format, memory, start: loadLinux(memory, bytes, commandLine, modules) };
    default:
      throw new ImageError(`${name}: not a Multiboot 1 or 2 image, not an ELF file with a PVH note, and not a Linux bzImage${isElf(bytes) ? ' (an ELF file without any of these)' : ''}`);
  }
}
