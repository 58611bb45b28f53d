/**
 * PVH: an ELF file with the note XEN_ELFNOTE_PHYS32_ENTRY, started in 32-bit mode with hvm_start_info.
 *
 * Xen public headers, arch-x86/hvm/start_info.h (structure version 1), and docs/misc/pvh.pandoc "Initial machine state".
 */

import type { BootModule } from '../config.js';
import { type BootMemory, Bytes, type CpuStart, memoryMap } from './boot-memory.js';
import type { Elf } from './elf.js';

const XEN_ELFNOTE_PHYS32_ENTRY = 18, START_MAGIC = 0x336e_c578;
const START_INFO_BYTES = 56, MODULE_BYTES = 32;

/** The physical entry point that the note gives, or undefined. */
export function pvhEntry(elf: Elf): number | undefined {
  for (const note of elf.notes())
    if (note.name === 'Xen' && note.type === XEN_ELFNOTE_PHYS32_ENTRY && note.description.length >= 4) {
      const d = note.description;
      return (d[0] | (d[1] << 8) | (d[2] << 16) | (d[3] << 24)) >>> 0;
    }
  return undefined;
}

export function loadPvh(memory: BootMemory, elf: Elf, entry: number, commandLine: string, modules: readonly BootModule[]): CpuStart {
  elf.load(memory);
  const placed = modules.map((m) => ({ start: memory.placeHigh(m.bytes, `module ${m.name}`), module: m }));
  const ebx = memory.placeLow((base) => {
    const map = memoryMap(memory.ramBytes);
    const modulesAt = base + START_INFO_BYTES, mapAt = modulesAt + placed.length * MODULE_BYTES, textsAt = mapAt + map.length * 24;
    const texts = new Bytes();
    const text = (s: string): number => {
      const at = textsAt + texts.length;
      texts.text(s);
      return at;
    };
    const out = new Bytes().u32(START_MAGIC, 1, 0, placed.length).u64(placed.length > 0 ? modulesAt : 0).u64(text(commandLine));
    out.u64(memory.rsdp).u64(mapAt).u32(map.length, 0);
    for (const { start, module } of placed) out.u64(start).u64(module.bytes.length).u64(text(module.commandLine)).u64(0);
    for (const r of map) out.u64(r.base).u64(r.length).u32(r.type, 0);
    return out.u8(...texts.toArray()).toArray();
  }, 'the PVH start information');
  return { eip: entry, ebx };
}
