import { describe, expect, it } from 'vitest';
import { acpiTables } from '../firmware/acpi-tables.js';
import { ImageError } from './boot-memory.js';
import { loadImage, recogniseImage } from './load.js';

const RAM = 64 << 20, rsdp = { at: 0xf0000, bytes: new Uint8Array(20) };
const u32s = (...words: number[]): Uint8Array => new Uint8Array(Uint32Array.from(words).buffer);

/** An ELF file with one loadable segment at `paddr` (virtual 0xffffffff80000000 above it when 64-bit), and an optional PVH note. */
function elf(is64: boolean, content: Uint8Array, paddr: number, note?: number): Uint8Array {
  const b = new Uint8Array(4096 + content.length), v = new DataView(b.buffer), high = is64 ? 0xffff_ffff_8000_0000n : 0n;
  b.set([0x7f, 0x45, 0x4c, 0x46, is64 ? 2 : 1, 1, 1]);
  v.setUint16(16, 2, true);
  v.setUint16(18, is64 ? 62 : 3, true);
  const address = (at: number, x: bigint): void => (is64 ? v.setBigUint64(at, x, true) : v.setUint32(at, Number(x), true));
  address(24, high + BigInt(paddr + 16));
  const table = is64 ? 64 : 52, size = is64 ? 56 : 32, count = note === undefined ? 1 : 2;
  address(is64 ? 32 : 28, BigInt(table));
  v.setUint16(is64 ? 54 : 42, size, true);
  v.setUint16(is64 ? 56 : 44, count, true);
  const segment = (i: number, type: number, offset: number, where: bigint, bytes: number, memory: number): void => {
    const p = table + i * size;
    v.setUint32(p, type, true);
    const fields = [BigInt(offset), high + where, where, BigInt(bytes), BigInt(memory)];
    fields.forEach((f, n) => address(p + (is64 ? 8 + 8 * n : 4 + 4 * n), f));
  };
  segment(0, 1, 4096, BigInt(paddr), content.length, content.length + 100);
  if (note !== undefined) {
    b.set(u32s(4, 4, 18), 1024);
    b.set([0x58, 0x65, 0x6e, 0], 1036);
    v.setUint32(1040, note, true);
    segment(1, 4, 1024, 0n, 20, 20);
  }
  b.set(content, 4096);
  return b;
}

function load(bytes: Uint8Array, commandLine = 'a=1', modules: { name: string; bytes: Uint8Array; commandLine: string }[] = []) {
  const image = loadImage({ name: 'img', bytes }, commandLine, modules, RAM, rsdp), ram = new Uint8Array(RAM), view = new DataView(ram.buffer);
  image.memory.apply((at, piece) => ram.set(piece, at), true);
  const text = (at: number): string => String.fromCharCode(...ram.subarray(at, ram.indexOf(0, at)));
  return { ...image, ram, u32: (at: number) => view.getUint32(at, true), text };
}

const MB1 = u32s(0x1bad_b002, 3, -(0x1bad_b002 + 3));
const module = { name: 'm', bytes: Uint8Array.of(7, 8, 9), commandLine: 'm x=2' };

describe('image loaders', () => {
  it('Multiboot 1 ELF: segments at physical addresses, map, modules and texts', () => {
    const m = load(elf(false, MB1, 0x20_0000), 'a=1', [module]);
    expect([m.format, m.start.eip, m.start.eax]).toEqual(['multiboot1', 0x20_0010, 0x2bad_b002]);
    const info = m.start.ebx!;
    expect([m.u32(0x20_0000), m.u32(info) & 0x4c, m.u32(info + 8), m.text(m.u32(info + 16))]).toEqual([0x1bad_b002, 0x4c, 65536 - 1024, 'img a=1']);
    const [count, list] = [m.u32(info + 20), m.u32(info + 24)];
    expect([count, ...m.ram.subarray(m.u32(list), m.u32(list + 4)), m.text(m.u32(list + 8))]).toEqual([1, 7, 8, 9, 'm x=2']);
    expect(m.u32(list) & 0xfff).toBe(0);
    const map = m.u32(info + 48), last = map + m.u32(info + 44) - 24;
    expect([m.u32(map), m.u32(last + 4), m.u32(last + 12), m.u32(last + 20)]).toEqual([20, 0x10_0000, RAM - 0x10_0000, 1]);
  });

  it('Multiboot 1 with address fields wins over a 64-bit ELF header', () => {
    const header = u32s(0x1bad_b002, 0x1_0000, -(0x1bad_b002 + 0x1_0000), 0x30_0000, 0x30_0000, 0, 0x40_0000, 0x30_0040);
    const m = load(elf(true, header, 0x20_0000));
    expect([m.format, m.start.eip, m.u32(0x30_0000), m.u32(0x20_0000)]).toEqual(['multiboot1', 0x30_0040, 0x1bad_b002, 0]);
  });

  it('Multiboot 2: tags are aligned and end', () => {
    const m = load(elf(true, u32s(0xe852_50d6, 0, 24, -(0xe852_50d6 + 24), 0, 8), 0x20_0000), 'q', [module]);
    expect([m.format, m.start.eip, m.start.eax]).toEqual(['multiboot2', 0x20_0010, 0x36d7_6289]);
    const types: number[] = [], end = m.start.ebx! + m.u32(m.start.ebx!);
    let at = m.start.ebx! + 8;
    for (; at < end; at += (m.u32(at + 4) + 7) & ~7) types.push(m.u32(at));
    expect([types, at === end]).toEqual([[1, 2, 3, 4, 6, 14, 0], true]);
  });

  it('PVH: the note gives the entry, EBX the start information', () => {
    const m = load(elf(true, new Uint8Array(64), 0x100_0000, 0x100_0020), 'root=x', [module]);
    const info = m.start.ebx!;
    expect([m.format, m.start.eip, m.u32(info), m.u32(info + 12), m.text(m.u32(info + 24)), m.u32(info + 32)]).toEqual(['pvh', 0x100_0020, 0x336e_c578, 1, 'root=x', 0xf0000]);
    const list = m.u32(info + 16);
    expect([m.u32(list + 8), m.text(m.u32(list + 16))]).toEqual([3, 'm x=2']);
  });

  it('Linux: the header goes into the zero page, the RAM disk below the limit', () => {
    const b = new Uint8Array(512 * 5 + 4096), v = new DataView(b.buffer);
    b[0x1f1] = 4;
    v.setUint16(0x1fe, 0xaa55, true);
    v.setUint32(0x202, 0x5372_6448, true);
    v.setUint16(0x206, 0x020f, true);
    b[0x201] = 0x66;
    b[0x211] = 1;
    b[0x234] = 1;
    v.setUint32(0x1f4, 256, true);
    v.setUint32(0x22c, 0x200_0fff, true);
    v.setUint32(0x238, 2047, true);
    v.setBigUint64(0x258, 0x100_0000n, true);
    v.setUint32(0x260, 0x20_0000, true);
    b.fill(0xcc, 512 * 5);
    const m = load(b, 'console=ttyS0', [module]);
    const zero = m.start.esi!;
    expect([m.format, m.start.eip, m.ram[0x100_0000], m.text(m.u32(zero + 0x228)), m.u32(zero + 0x218), m.u32(zero + 0x21c), m.ram[zero + 0x1e8]]).toEqual([
      'linux', 0x100_0000, 0xcc, 'console=ttyS0', 0x200_0000, 3, 4,
    ]);
  });

  it('says in one line what is wrong with an image', () => {
    const bad = (bytes: Uint8Array): string => {
      try {
        load(bytes);
        return 'loaded';
      } catch (e) {
        expect(e).toBeInstanceOf(ImageError);
        return (e as Error).message;
      }
    };
    expect(bad(new Uint8Array(0))).toBe('img: the file is empty');
    expect(bad(new Uint8Array(5000))).toMatch(/^img: not a Multiboot 1 or 2 image, .* not a Linux bzImage$/);
    expect(bad(elf(false, MB1, 0x20_0000).subarray(0, 4100))).toMatch(/^img: truncated: .* the file at 4100$|not a Multiboot/);
    expect(bad(elf(false, MB1, 0xf000_0000))).toMatch(/^img: the image needs memory 0xf0000000-/);
    expect(bad(elf(false, MB1, 0x9_eff0))).toMatch(/^img: the image needs memory 0x9eff0-/);
    expect(recogniseImage({ name: 'x', bytes: Uint8Array.of(1, 2, 3) })).toBe(undefined);
  });
});

describe('ACPI tables', () => {
  it('every table sums to zero, and the root pointer leads to all of them', () => {
    const t = acpiTables(0xf0000, RAM, 2), v = new DataView(t.bytes.buffer), at = (a: number): number => a - t.base;
    const sum = (a: number, n: number): number => t.bytes.subarray(at(a), at(a) + n).reduce((s, b) => s + b, 0) & 255;
    const name = (a: number): string => String.fromCharCode(...t.bytes.subarray(at(a), at(a) + 4));
    expect(sum(t.rsdpAt, 20)).toBe(0);
    const rsdt = v.getUint32(16, true), names: string[] = [];
    for (let i = 36; i < v.getUint32(at(rsdt) + 4, true); i += 4) {
      const table = v.getUint32(at(rsdt) + i, true);
      names.push(name(table));
      expect(sum(table, v.getUint32(at(table) + 4, true))).toBe(0);
    }
    expect(names).toEqual(['FACP', 'APIC', 'HPET']);
    const fadt = v.getUint32(at(rsdt) + 36, true), dsdt = v.getUint32(at(fadt) + 40, true);
    expect([v.getUint32(at(fadt) + 4, true), name(dsdt), sum(dsdt, v.getUint32(at(dsdt) + 4, true))]).toEqual([244, 'DSDT', 0]);
  });
});
