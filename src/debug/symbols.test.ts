/** Line tables and symbols of all our images, against binutils; and DWARF 5 as another compiler writes it. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ImageError } from '../machine/loaders/boot-memory.js';
import { normalisePath } from './dwarf-lines.js';
import { ElfSections } from './elf-sections.js';
import { Symbols } from './symbols.js';

const ROOT = join(import.meta.dirname, '../..');
const IMAGES = ['hypervisor/xenolith.elf', 'guests/dom0.elf', 'guests/workload-native.elf', 'guests/workload-hvm.elf', 'guests/workload-pv.elf'];
const has = (tool: string): boolean => spawnSync(tool, ['--version']).error === undefined;
const load = (path: string) => ({ name: path, bytes: new Uint8Array(readFileSync(path)) });

/** `file:line` of each address as addr2line says it; undefined where it knows none. */
function addr2line(path: string, addresses: readonly bigint[]): (string | undefined)[] {
  const out = execFileSync('addr2line', ['-e', path], { input: addresses.map((a) => a.toString(16)).join('\n'), cwd: ROOT, maxBuffer: 1 << 28 }).toString();
  return out.trimEnd().split('\n').map((l) => {
    const m = /^(.+):(\d+)(?: \(discriminator \d+\))?$/.exec(l);
    return m === null || m[1] === '??' || m[2] === '0' ? undefined : `${normalisePath(m[1]!.replace(`${ROOT}/`, ''))}:${m[2]}`;
  });
}
/** Addresses of the code, a stride apart. */
function probes(path: string, stride: number): bigint[] {
  const out: bigint[] = [];
  for (const { address, size } of new ElfSections(load(path)).code()) for (let i = 0; i < size; i += stride) out.push(address + BigInt(i));
  return out;
}
/** The chains of calls at addresses, as addr2line -i has them. */
function compareInlined(path: string): void {
  const symbols = new Symbols(load(path)), addresses = probes(path, 61);
  const out = execFileSync('addr2line', ['-i', '-a', '-e', path], { input: addresses.map((a) => a.toString(16)).join('\n'), cwd: ROOT, maxBuffer: 1 << 28 }).toString();
  const chains = out.split(/^0x[0-9a-f]+\n/m).slice(1).map((t) => t.trimEnd().split('\n').map((l) => normalisePath(l.replace(/ \(discriminator \d+\)$/, '').replace(`${ROOT}/`, ''))));
  const wrong = addresses.flatMap((address, i) => {
    const own = symbols.lineChain(address).map((l) => `${l.file}:${l.line}`), their = chains[i]!.filter((l, k) => k === 0 || !l.endsWith(':?'));
    return their[0]!.includes('?') || own.join() === their.join() ? [] : [`${address.toString(16)}: ${own.join()}; addr2line ${their.join()}`];
  });
  expect(chains.some((c) => c.length > 1)).toBe(true);
  expect(wrong.slice(0, 10)).toEqual([]);
}
function compare(path: string, stride = 7): void {
  const symbols = new Symbols(load(path)), addresses = probes(path, stride), theirs = addr2line(path, addresses);
  const wrong: string[] = [];
  let compared = 0;
  for (const [i, address] of addresses.entries()) {
    const their = theirs[i], own = symbols.line(address);
    if (their === undefined) continue;
    compared++;
    if (own === undefined || `${own.file}:${own.line}` !== their) wrong.push(`${address.toString(16)}: ${own?.file}:${own?.line}, addr2line ${their}`);
  }
  expect(compared).toBeGreaterThan(20);
  expect(wrong.slice(0, 10)).toEqual([]);
}

describe.skipIf(!has('addr2line'))('lines as addr2line has them (skipped without binutils)', () => {
  it.each(IMAGES)('%s', (image) => compare(join(ROOT, 'build', image)));
  it.each(IMAGES)('%s: inlined calls', (image) => compareInlined(join(ROOT, 'build', image)));

  it.skipIf(!has('gcc')).each(['-gdwarf-5', '-gdwarf-4', '-gdwarf-3', '-gdwarf-2'])('what gcc writes with %s', (option) => {
    const folder = mkdtempSync(join(tmpdir(), 'xenolith-'));
    try {
      writeFileSync(join(folder, 'a.h'), 'static inline int twice(int v)\n{\n  return v\n    + v;\n}\n');
      writeFileSync(join(folder, 'a.c'), '#include "a.h"\nint other(int n)\n{\n  int s = 0;\n  for (int i = 0; i < n; i++)\n    s += twice(i);\n  return s;\n}\nint main(void)\n{\n  return other(3);\n}\n');
      execFileSync('gcc', [option, '-O1', '-no-pie', '-o', join(folder, 'a.elf'), join(folder, 'a.c')]);
      compare(join(folder, 'a.elf'), 1);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

describe('symbols', () => {
  const hypervisor = load(join(ROOT, 'build/hypervisor/xenolith.elf')), list = load(join(ROOT, 'build/hypervisor/xenolith.sym'));

  it('of the image and of the list beside it are the same', () => {
    const own = new Symbols(hypervisor), other = new Symbols(hypervisor, list);
    for (const name of ['main', 'hvm_io', 'vmx_exited']) expect(other.find(name)).toMatchObject({ address: own.find(name)!.address, size: own.find(name)!.size });
    const inside = own.find('hvm_io')!.address + 20n;
    expect([own.at(inside)?.name, other.at(inside)?.name]).toEqual(['hvm_io', 'hvm_io']);
  });

  it('a line without code means the next one that has some', () => {
    const s = new Symbols(hypervisor), first = s.addresses('hvm/io.c', 1)!;
    expect(first.line).toBeGreaterThan(1);
    expect(s.addresses('hvm/io.c', first.line)).toEqual(first);
    expect(s.line(first.addresses[0]!)).toMatchObject({ file: 'src/hypervisor/hvm/io.c', line: first.line });
    expect(s.addresses('hvm/io.c', 1_000_000)).toBeUndefined();
  });

  it('a damaged file is refused in one line, at whatever byte it ends or changes', () => {
    for (let n = 0; n < 60; n++) {
      const bytes = hypervisor.bytes.slice();
      for (let k = 0; k < 40; k++) bytes[(0x1b838 + ((n * 7919 + k * 104_729) % (bytes.length - 0x1b838)))] ^= 0x55;
      const cut = n % 2 === 0 ? bytes : bytes.subarray(0, (bytes.length * n) / 60);
      try {
        new Symbols({ name: 'x.elf', bytes: cut });
      } catch (e) {
        expect(e).toBeInstanceOf(ImageError);
        expect((e as Error).message).not.toContain('\n');
      }
    }
  });

  it('a list with a line that is none is refused with its number', () => {
    const bytes = new TextEncoder().encode('ffff830000100000 000010 start\nnonsense\n');
    expect(() => new Symbols(hypervisor, { name: 'bad.sym', bytes })).toThrow('bad.sym: line 2 is not "address size name"');
  });
});
