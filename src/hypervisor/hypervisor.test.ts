// The hypervisor on the machine, on both extensions: a guest checks from inside what it is promised, and the console is read here.

import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Machine } from '../machine/machine.js';
import { parseProfile } from '../machine/profile.js';

const { build, buildTestGuest, symbols } = (await import(new URL('build.mjs', import.meta.url).href)) as {
  build(options: { outDir: string }): Promise<string>;
  buildTestGuest(options: { outDir: string }): Promise<string>;
  symbols(elf: Buffer): string;
};

const folder = mkdtempSync(join(tmpdir(), 'hypervisor-'));
const file = (name: string) => ({ name, bytes: new Uint8Array(readFileSync(join(folder, name))) });

function run(profileName: string, ...guests: string[]) {
  const text = readFileSync(new URL(`../../profiles/${profileName}.json`, import.meta.url), 'utf8');
  let console = '';
  const machine = new Machine({
    memoryBytes: 192 << 20,
    profile: parseProfile(JSON.parse(text), profileName),
    boot: {
      kind: 'image', image: file('xenolith.elf'), commandLine: '',
      modules: guests.map((options) => ({ ...file('test-guest.elf'), commandLine: `test-guest.elf mem=32M ${options}` })),
    },
    serial: (byte: number) => (console += String.fromCharCode(byte)),
  });
  const stop = machine.run({ instructions: 200_000_000 });
  return { stop, console, failed: console.split('\n').filter((l) => l.includes('FAILED')) };
}

describe('the hypervisor', () => {
  beforeAll(async () => {
    await build({ outDir: folder });
    await buildTestGuest({ outDir: folder });
  }, 120_000);
  afterAll(() => rmSync(folder, { recursive: true }));

  it('is the same bytes wherever it is built', async () => {
    const other = mkdtempSync(join(tmpdir(), 'hypervisor-'));
    const again = readFileSync(await build({ outDir: other }));
    rmSync(other, { recursive: true });
    expect(again.equals(readFileSync(join(folder, 'xenolith.elf')))).toBe(true);
  }, 120_000);

  it('has page-aligned parts, by which an observer tells them apart', () => {
    const table = new Map(symbols(readFileSync(join(folder, 'xenolith.elf'))).split('\n').map((l) => [l.split(' ')[2], BigInt(`0x${l.split(' ')[0] || 0}`)]));
    for (const part of ['text_entry', 'text_core', 'text_pv', 'text_hvm', 'text_end']) expect(table.get(part)! & 0xfffn, part).toBe(0n);
  });

  it('runs two PV domains that share a page and an event channel', () => {
    const { stop, failed } = run('nehalem-2008', '-- me=0 peer=1', '-- me=1 peer=0');
    expect(failed).toEqual([]);
    expect(stop).toEqual({ kind: 'debug-exit', value: 0 });
  });

  it.each(['nehalem-2008', 'barcelona-2007'])('runs an HVM domain with a device model in dom0 (%s)', (profile) => {
    const { stop, console, failed } = run(profile, '-- dm=1', 'type=hvm -- devices=1');
    expect(failed).toEqual([]);
    expect(console).toContain('hvm: ISA interrupt: ok');
    expect(stop).toEqual({ kind: 'debug-exit', value: 0 });
  });

  it('shares pages between a PV and an HVM domain', () => {
    const { failed, stop } = run('barcelona-2007', '-- me=0 peer=1', 'type=pvh -- me=1 peer=0');
    expect(failed).toEqual([]);
    expect(stop).toEqual({ kind: 'debug-exit', value: 0 });
  });

  it('says what is wrong with a module option, and stops', () => {
    const { stop, console } = run('nehalem-2008', 'colour=blue');
    expect(console).toContain('unknown option colour=blue');
    expect(stop).toEqual({ kind: 'debug-exit', value: 1 });
  });
});
