// The workloads on the bare machine, through its real devices: what the guest read, wrote, sent and received is compared with
// what the disk and the peer hold, by sums computed here.

import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { streamPayload } from '../src/devices/net/peer.js';
import { Machine } from '../src/machine/machine.js';
import { parseProfile } from '../src/machine/profile.js';

const { build } = (await import(new URL('../guests/build.mjs', import.meta.url).href)) as {
  build(options: { outDir?: string; only?: string[] }): string[];
};

const SECTORS = 1 << 15;
const SECTOR = 512;
const profile = parseProfile(JSON.parse(readFileSync(new URL('../profiles/nehalem-2008.json', import.meta.url), 'utf8')), 'nehalem-2008.json');
const folder = mkdtempSync(join(tmpdir(), 'workloads-'));

/** FNV-1a over 64-bit words, as guests/workloads/workload.h says. */
function checksum(pieces: readonly Uint8Array[]): string {
  let sum = 14695981039346656037n;
  for (const piece of pieces) {
    const padded = new Uint8Array((piece.length + 7) & ~7);
    padded.set(piece);
    for (const word of new BigUint64Array(padded.buffer)) sum = BigInt.asUintN(64, (sum ^ word) * 1099511628211n);
  }
  return `0x${sum.toString(16).padStart(16, '0')}`;
}

/** A disk whose every 32-bit word says where it is. */
function numberedDisk() {
  const bytes = new Uint8Array(SECTORS * SECTOR);
  new Uint32Array(bytes.buffer).forEach((_, i, words) => (words[i] = Math.imul(i, 0x9e3779b1)));
  return {
    bytes,
    sectors: SECTORS,
    read: (lba: number, into: Uint8Array) => into.set(bytes.subarray(lba * SECTOR, lba * SECTOR + into.length)),
    write: (lba: number, from: Uint8Array) => bytes.set(from, lba * SECTOR),
    flush: () => undefined,
  };
}

function run(commandLine: string) {
  const image = { name: 'workload-native.elf', bytes: new Uint8Array(readFileSync(join(folder, 'workload-native.elf'))) };
  const disk = numberedDisk();
  let text = '';
  const machine = new Machine({
    memoryBytes: 64 << 20, profile, boot: { kind: 'image', image, commandLine },
    disks: [{ backend: disk }], nic: { model: 'e1000' }, serial: (b: number) => (text += String.fromCharCode(b)),
  });
  const stop = machine.run({ instructions: 400_000_000 });
  return { stop, text, disk };
}

const printedChecksum = (text: string, name: string): string | undefined => new RegExp(`workload ${name} .*checksum=(0x[0-9a-f]+)`).exec(text)?.[1];

describe('workloads on the bare machine', () => {
  beforeAll(() => void build({ outDir: folder, only: ['workload-native'] }), 60_000);
  afterAll(() => rmSync(folder, { recursive: true }));

  it.each(['', 'ata=pio', 'irqchip=ioapic'])('reads what the disk holds (%s)', (options) => {
    const { stop, text, disk } = run(`w=diskseq:ops=3:size=8192:start=7 ${options}`);
    expect(stop).toEqual({ kind: 'debug-exit', value: 0 });
    expect(printedChecksum(text, 'diskseq')).toBe(checksum([disk.bytes.subarray(7 * SECTOR, 7 * SECTOR + 3 * 8192)]));
  });

  it('what it wrote is on the disk, and nowhere else', () => {
    const { text, disk } = run('w=diskwrite:ops=4:size=4096:start=100');
    const written = disk.bytes.subarray(100 * SECTOR, 100 * SECTOR + 4 * 4096);
    expect(printedChecksum(text, 'diskwrite')).toBe(checksum([written]));
    const expected = numberedDisk().bytes;
    expected.set(written, 100 * SECTOR);
    expect(Buffer.compare(disk.bytes, expected)).toBe(0);
  });

  it('receives the whole stream of the peer, in order', () => {
    const { text } = run('w=netrx:ops=40:size=1000');
    expect(text).toContain('workload netrx frames=40 out_of_order=0');
    expect(printedChecksum(text, 'netrx')).toBe(checksum(Array.from({ length: 40 }, (_, i) => streamPayload(i, 1000))));
  });

  it('sends what the peer then has, and gets every answer', () => {
    const { stop, text } = run('w=nettx:ops=100:size=600,netrr:ops=5');
    expect(text).toContain('peer_frames=100 peer_bytes=60000');
    expect(text).toContain('workload netrr id=6 ops=5');
    expect(stop).toEqual({ kind: 'debug-exit', value: 0 });
  });

  it('takes exactly one page fault for each operation', () => {
    expect(run('w=pagefault:ops=300').text).toContain('workload pagefault id=10 ops=300');
  });

  it('ends with failure when a workload is not known', () => {
    expect(run('w=nonsense').stop).toEqual({ kind: 'debug-exit', value: 1 });
  });
});
