/**
 * Multiboot 1: ELF images, and any image whose header carries its own addresses (the "a.out kludge").
 *
 * Multiboot Specification 0.6.96 §3.1 "OS image format", §3.2 "Machine state", §3.3 "Boot information format". The header's own
 * addresses win over ELF headers, as in other loaders: that is how a 64-bit ELF says where it goes.
 */

import type { BootModule } from '../config.js';
import { type BootMemory, Bytes, type CpuStart, HIGH_MEMORY, memoryMap } from './boot-memory.js';
import { Elf, isElf } from './elf.js';

const HEADER_MAGIC = 0x1bad_b002, LOADER_MAGIC = 0x2bad_b002;
const SEARCH = 8192;
const WANTS_VIDEO = 1 << 2, HAS_ADDRESSES = 1 << 16;
/** Low flag bits are demands that a loader must understand. Page-aligned modules, memory information, video mode. */
const UNDERSTOOD = 0x7;
const INFO_MEMORY = 1, INFO_COMMAND_LINE = 4, INFO_MODULES = 8, INFO_MAP = 0x40, INFO_LOADER = 0x200;

/** Offset of the header, or -1. */
export function findMultiboot1(b: Uint8Array): number {
  const view = new DataView(b.buffer, b.byteOffset, b.byteLength);
  for (let at = 0; at + 12 <= Math.min(b.length, SEARCH); at += 4)
    if (view.getUint32(at, true) === HEADER_MAGIC && ((HEADER_MAGIC + view.getUint32(at + 4, true) + view.getUint32(at + 8, true)) >>> 0) === 0) return at;
  return -1;
}

/** Places a kludge image by the header's address fields; returns the entry point. */
function loadByAddresses(memory: BootMemory, bytes: Uint8Array, at: number): number {
  if (at + 32 > bytes.length) memory.fail('truncated inside the Multiboot header');
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const [header, load, loadEnd, bssEnd, entry] = [12, 16, 20, 24, 28].map((o) => view.getUint32(at + o, true));
  const from = at - (header - load);
  if (header < load || from < 0) memory.fail('the Multiboot header lies before its own load address');
  const length = loadEnd === 0 ? bytes.length - from : loadEnd - load;
  if (length < 0 || from + length > bytes.length)
    memory.fail(`truncated: the Multiboot header asks for ${length} bytes from byte ${from} on, the file has ${bytes.length}`);
  memory.place(load, bytes.subarray(from, from + length), 'the image', Math.max(length, bssEnd - load));
  return entry;
}

export function loadMultiboot1(memory: BootMemory, bytes: Uint8Array, at: number, commandLine: string, modules: readonly BootModule[]): CpuStart {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const flags = view.getUint32(at + 4, true);
  if (flags & 0xffff & ~UNDERSTOOD) memory.fail(`the Multiboot header demands unknown features (flags 0x${flags.toString(16)})`);
  if (flags & WANTS_VIDEO) memory.fail('the Multiboot header demands a video mode, and this machine has no display');
  let entry: number;
  if (flags & HAS_ADDRESSES) entry = loadByAddresses(memory, bytes, at);
  else {
    if (!isElf(bytes)) memory.fail('a Multiboot image that is not ELF and has no load addresses in its header');
    const elf = new Elf(memory.file, bytes);
    elf.load(memory);
    entry = elf.physicalEntry;
  }
  const placed = modules.map((m) => ({ start: memory.placeHigh(m.bytes, `module ${m.name}`), size: m.bytes.length, text: m.commandLine }));
  const ebx = memory.placeLow((base) => information(base, memory.ramBytes, commandLine, placed), 'the Multiboot information');
  return { eip: entry, eax: LOADER_MAGIC, ebx };
}

interface PlacedModule {
  readonly start: number;
  readonly size: number;
  readonly text: string;
}

/** The information structure (88 bytes), then map, module list and texts. */
function information(base: number, ramBytes: number, commandLine: string, modules: readonly PlacedModule[]): Uint8Array {
  const map = new Bytes();
  for (const r of memoryMap(ramBytes)) map.u32(20).u64(r.base).u64(r.length).u32(r.type);
  const mapAt = base + 88, modulesAt = mapAt + map.length;
  const texts = new Bytes(), textsAt = modulesAt + modules.length * 16;
  const text = (s: string): number => {
    const at = textsAt + texts.length;
    texts.text(s);
    return at;
  };
  const list = new Bytes();
  for (const m of modules) list.u32(m.start, m.start + m.size, text(m.text), 0);
  const out = new Bytes();
  out.u32(INFO_MEMORY | INFO_COMMAND_LINE | INFO_MODULES | INFO_MAP | INFO_LOADER);
  out.u32(639, (ramBytes - HIGH_MEMORY) / 1024, 0, text(commandLine), modules.length, modulesAt, 0, 0, 0, 0);
  out.u32(map.length, mapAt, 0, 0, 0, text('xenolith'), 0, 0, 0, 0, 0);
  out.u8(...map.toArray(), ...list.toArray(), ...texts.toArray());
  return out.toArray();
}
