import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { CompiledCode } from '../machine/compiled-code.js';
import { addRegions, keptRegionsFile, readRegions } from './kept-regions.js';

const set = (constants: string): CompiledCode => ({
  constants,
  templates: [{ place: 77, template: { wasm: Uint8Array.of(0, 97, 115, 109), pages: [], records: [], checks: [], words: new Uint32Array(8), places: [], assumed: { reads: [] } as never } }],
});
let folder = '', file = '';
beforeEach(() => {
  folder = join(mkdtempSync(join(tmpdir(), 'xenolith-')), 'regions');
  file = join(folder, `${'a'.repeat(32)}.bin`);
});
afterEach(() => rmSync(join(folder, '..'), { recursive: true }));

describe('kept regions', () => {
  it('what is added is read, in order; without a file there is nothing', () => {
    expect(readRegions(file)).toEqual([]);
    addRegions(file, [set('one')]);
    addRegions(file, [set('two')]);
    expect(readRegions(file)).toEqual([set('one'), set('two')]);
    expect(readdirSync(folder)).toEqual([`${'a'.repeat(32)}.bin`]);
  });

  it('what several workers compiled is there once', () => {
    addRegions(file, [set('one'), set('one'), set('two')]);
    addRegions(file, [set('two')]);
    expect(readRegions(file)).toEqual([set('one'), set('two')]);
  });

  it('nothing new: nothing is written', () => {
    addRegions(file, []);
    expect(existsSync(file)).toBe(false);
  });

  it('a file with a byte changed, or cut, counts as none, and is replaced', () => {
    addRegions(file, [set('one')]);
    const good = readFileSync(file);
    for (const at of [0, 40, good.length - 1]) {
      const bad = Uint8Array.from(good);
      bad[at]! ^= 1;
      writeFileSync(file, bad);
      expect(readRegions(file)).toEqual([]);
    }
    for (const length of [0, 31, good.length - 1]) {
      writeFileSync(file, good.subarray(0, length));
      expect(readRegions(file)).toEqual([]);
    }
    addRegions(file, [set('two')]);
    expect(readRegions(file)).toEqual([set('two')]);
  });

  it("other builds' files go, and what was half written; foreign files stay", () => {
    mkdirSync(folder);
    for (const name of [`${'b'.repeat(32)}.bin`, `${'b'.repeat(32)}.bin.123`, 'notes.txt', 'disk.bin']) writeFileSync(join(folder, name), 'x');
    addRegions(file, [set('one')]);
    expect(readdirSync(folder).sort()).toEqual([`${'a'.repeat(32)}.bin`, 'disk.bin', 'notes.txt']);
  });

  it('a folder that cannot be made is no error', () => {
    writeFileSync(folder, 'a file');
    addRegions(file, [set('one')]);
    expect(readRegions(file)).toEqual([]);
  });

  it('a program that is not in its bundle has no file', () => expect(keptRegionsFile()).toBeUndefined());
});
