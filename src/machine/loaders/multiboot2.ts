/**
 * Multiboot 2.
 *
 * Multiboot2 Specification 2.0 §3.1 "OS image format", §3.3 "I386 machine state", §3.6 "Boot information".
 */

import type { BootModule } from '../config.js';
import { type BootMemory, Bytes, type CpuStart, HIGH_MEMORY, memoryMap } from './boot-memory.js';
import { Elf, isElf } from './elf.js';

const HEADER_MAGIC = 0xe852_50d6, LOADER_MAGIC = 0x36d7_6289;
const SEARCH = 32768;
const TAG = { end: 0, information: 1, address: 2, entry: 3, console: 4, framebuffer: 5, moduleAlign: 6, efiServices: 7, entryEfi32: 8, entryEfi64: 9, relocatable: 10 } as const;
const INFO = { end: 0, commandLine: 1, loader: 2, module: 3, memory: 4, map: 6, acpiOld: 14 } as const;

/** Offset of the header, or -1. */
export function findMultiboot2(b: Uint8Array): number {
  const view = new DataView(b.buffer, b.byteOffset, b.byteLength);
  for (let at = 0; at + 16 <= Math.min(b.length, SEARCH); at += 8)
    if (view.getUint32(at, true) === HEADER_MAGIC && [0, 4, 8, 12].reduce((sum, o) => (sum + view.getUint32(at + o, true)) >>> 0, 0) === 0) return at;
  return -1;
}

interface HeaderTags {
  address?: { header: number; load: number; loadEnd: number; bssEnd: number };
  entry?: number;
}

function readTags(memory: BootMemory, view: DataView, at: number): HeaderTags {
  const end = at + view.getUint32(at + 8, true), tags: HeaderTags = {};
  if (view.getUint32(at + 4, true) !== 0) memory.fail('a Multiboot 2 image for another architecture than i386');
  if (end > view.byteLength) memory.fail('truncated inside the Multiboot 2 header');
  for (let t = at + 16; t + 8 <= end; ) {
    const type = view.getUint16(t, true), optional = (view.getUint16(t + 2, true) & 1) !== 0, size = view.getUint32(t + 4, true);
    if (size < 8 || t + size > end) memory.fail('the Multiboot 2 header has a tag of impossible size');
    const word = (i: number): number => view.getUint32(t + 8 + 4 * i, true);
    if (type === TAG.end) break;
    else if (type === TAG.address) tags.address = { header: word(0), load: word(1), loadEnd: word(2), bssEnd: word(3) };
    else if (type === TAG.entry) tags.entry = word(0);
    else if (!optional && type === TAG.framebuffer) memory.fail('the Multiboot 2 header demands a display, and this machine has none');
    else if (!optional && !(Object.values(TAG) as number[]).includes(type)) memory.fail(`the Multiboot 2 header demands unknown feature ${type}`);
    t += (size + 7) & ~7;
  }
  return tags;
}

export function loadMultiboot2(memory: BootMemory, bytes: Uint8Array, at: number, commandLine: string, modules: readonly BootModule[]): CpuStart {
  const tags = readTags(memory, new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), at);
  let entry = tags.entry;
  if (tags.address !== undefined) {
    const { header, load, loadEnd, bssEnd } = tags.address;
    const start = load === 0xffff_ffff ? header - at : load, from = at - (header - start);
    const length = loadEnd === 0 ? bytes.length - from : loadEnd - start;
    if (from < 0 || length < 0 || from + length > bytes.length) memory.fail('truncated, or the Multiboot 2 address tag is wrong');
    memory.place(start, bytes.subarray(from, from + length), 'the image', Math.max(length, bssEnd - start));
  } else {
    if (!isElf(bytes)) memory.fail('a Multiboot 2 image that is not ELF and has no address tag');
    const elf = new Elf(memory.file, bytes);
    elf.load(memory);
    entry ??= elf.physicalEntry;
  }
  if (entry === undefined) memory.fail('the Multiboot 2 header has an address tag but no entry tag');
  const placed = modules.map((m) => ({ start: memory.placeHigh(m.bytes, `module ${m.name}`), module: m }));
  const ebx = memory.placeLow(() => {
    const out = new Bytes();
    const tag = (type: number, body: Bytes): void => {
      out.u32(type, 8 + body.length).u8(...body.toArray()).align(8);
    };
    tag(INFO.commandLine, new Bytes().text(commandLine));
    tag(INFO.loader, new Bytes().text('xenolith'));
    for (const { start, module } of placed) tag(INFO.module, new Bytes().u32(start, start + module.bytes.length).text(module.commandLine));
    tag(INFO.memory, new Bytes().u32(639, (memory.ramBytes - HIGH_MEMORY) / 1024));
    const map = new Bytes().u32(24, 0);
    for (const r of memoryMap(memory.ramBytes)) map.u64(r.base).u64(r.length).u32(r.type, 0);
    tag(INFO.map, map);
    // A copy of the ACPI 1.0 root pointer, whose only field of weight is the RSDT's address; the original is in the firmware window.
    tag(INFO.acpiOld, new Bytes().u8(...memory.rsdpCopy));
    tag(INFO.end, new Bytes());
    const body = out.toArray();
    return new Bytes().u32(body.length + 8, 0).u8(...body).toArray();
  }, 'the Multiboot 2 information');
  return { eip: entry, eax: LOADER_MAGIC, ebx };
}
