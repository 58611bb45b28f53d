// The guest images: that they build, reproducibly, and that loaders will find what they look for.

import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Decoder, DecoderOptions, OpKind, Register, RegisterExt } from 'iced-x86';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const { build } = (await import(new URL('../guests/build.mjs', import.meta.url).href)) as {
  build(options: { outDir?: string; only?: string[] }): string[];
};

const MULTIBOOT_MAGIC = 0x1badb002;
const XEN_ELFNOTE = { ENTRY: 1, HYPERCALL_PAGE: 2, VIRT_BASE: 3, PHYS32_ENTRY: 18 };

const folder = mkdtempSync(join(tmpdir(), 'guests-'));
const image = (name: string) => readFileSync(join(folder, `${name}.elf`));

/** Numbers of the Xen ELF notes, by type. */
function xenNotes(elf: Buffer): Map<number, number> {
  const notes = new Map<number, number>();
  const headers = Number(elf.readBigUInt64LE(32));
  for (let i = 0; i < elf.readUInt16LE(56); i++) {
    const header = headers + i * elf.readUInt16LE(54);
    if (elf.readUInt32LE(header) !== 4) continue; // PT_NOTE
    let at = Number(elf.readBigUInt64LE(header + 8));
    const end = at + Number(elf.readBigUInt64LE(header + 32));
    while (at < end) {
      const [nameBytes, bytes, type] = [0, 4, 8].map((o) => elf.readUInt32LE(at + o)) as [number, number, number];
      const value = at + 12 + ((nameBytes + 3) & ~3);
      notes.set(type, bytes === 8 ? Number(elf.readBigUInt64LE(value)) : bytes === 4 ? elf.readUInt32LE(value) : 0);
      at = value + ((bytes + 3) & ~3);
    }
  }
  return notes;
}

/** File offset, size and address of .text. */
function textSection(elf: Buffer): { offset: number; size: number; address: number } {
  const headers = Number(elf.readBigUInt64LE(40));
  const section = (i: number) => headers + i * elf.readUInt16LE(58);
  const names = Number(elf.readBigUInt64LE(section(elf.readUInt16LE(62)) + 24));
  for (let i = 0; i < elf.readUInt16LE(60); i++) {
    const at = section(i);
    const name = names + elf.readUInt32LE(at);
    if (elf.toString('latin1', name, elf.indexOf(0, name)) === '.text')
      return { address: Number(elf.readBigUInt64LE(at + 16)), offset: Number(elf.readBigUInt64LE(at + 24)), size: Number(elf.readBigUInt64LE(at + 32)) };
  }
  throw new Error('the image has no .text');
}

describe('guest images', () => {
  beforeAll(() => void build({ outDir: folder }), 120_000);
  afterAll(() => rmSync(folder, { recursive: true }));

  it('the bare-machine image has a Multiboot header with address fields in its first 8 KiB', () => {
    const elf = image('workload-native');
    const at = Array.from({ length: 2048 }, (_, i) => 4 * i).find((o) => elf.readUInt32LE(o) === MULTIBOOT_MAGIC);
    expect(at).toBeDefined();
    const [flags, checksum, header, load, , , entry] = Array.from({ length: 7 }, (_, i) => elf.readUInt32LE(at! + 4 + 4 * i));
    expect((MULTIBOOT_MAGIC + flags! + checksum!) >>> 0).toBe(0);
    expect(flags! & 0x10000).not.toBe(0);
    expect(header! - load!).toBeLessThan(8192);
    expect(entry).toBe(Number(elf.readBigUInt64LE(24)));
  });

  it('the HVM image says where PVH loaders enter', () => {
    const elf = image('workload-hvm');
    expect(xenNotes(elf).get(XEN_ELFNOTE.PHYS32_ENTRY)).toBe(Number(elf.readBigUInt64LE(24)));
  });

  it('the PV image says entry, base and hypercall page', () => {
    const elf = image('workload-pv');
    const notes = xenNotes(elf);
    expect(notes.get(XEN_ELFNOTE.ENTRY)).toBe(Number(elf.readBigUInt64LE(24)));
    expect(notes.get(XEN_ELFNOTE.VIRT_BASE)).toBe(0);
    expect(notes.get(XEN_ELFNOTE.HYPERCALL_PAGE)! % 4096).toBe(0);
  });

  it('kernel code uses no vector registers, which trap entry does not save', () => {
    const elf = image('workload-native');
    const { offset, size, address } = textSection(elf);
    const decoder = new Decoder(64, elf.subarray(offset, offset + size), DecoderOptions.None);
    decoder.ip = BigInt(address);
    const names: string[] = [];
    while (decoder.canDecode) {
      const instruction = decoder.decode();
      for (let i = 0; i < instruction.opCount; i++) {
        const register = instruction.opKind(i) === OpKind.Register ? instruction.opRegister(i) : Register.None;
        if (RegisterExt.isVectorRegister(register) || RegisterExt.isST(register)) names.push(`${instruction.ip.toString(16)}`);
      }
      instruction.free();
    }
    decoder.free();
    expect(names).toEqual([]);
  });

  it('the same sources give the same bytes', () => {
    const again = mkdtempSync(join(tmpdir(), 'guests-'));
    build({ outDir: again, only: ['workload-pv'] });
    expect(readFileSync(join(again, 'workload-pv.elf')).equals(image('workload-pv'))).toBe(true);
    rmSync(again, { recursive: true });
  }, 60_000);
});
