/**
 * Imports go downwards only, and the core knows no host: the rules of ARCHITECTURE.md, read from the sources themselves.
 * A new edge between folders is a design change: it is added here and explained in docs/adr/.
 */
import { readFileSync, readdirSync } from 'node:fs';
import { join, relative } from 'node:path';
import { describe, expect, it } from 'vitest';

const SRC = join(import.meta.dirname, '../src');

/** Folder -> the folders that it may import from (its own is always allowed). */
const ALLOWED: Record<string, readonly string[]> = {
  bits: [],
  wasm: [],
  mem: ['bits', 'wasm'],
  mmu: ['mem', 'bits', 'wasm'],
  cpu: ['mmu', 'mem', 'bits', 'wasm'],
  timing: ['cpu', 'mmu', 'mem', 'bits', 'wasm'],
  vtx: ['cpu', 'mmu', 'mem', 'bits', 'wasm'],
  svm: ['cpu', 'mmu', 'mem', 'bits', 'wasm'],
  devices: ['cpu', 'mem', 'bits'],
  machine: ['vtx', 'svm', 'timing', 'devices', 'cpu', 'mmu', 'mem', 'bits', 'wasm'],
  hypervisor: [],
  experiments: ['machine'],
  debug: ['experiments', 'machine', 'vtx', 'svm', 'devices', 'cpu', 'mmu', 'mem'],
  web: ['debug', 'experiments', 'machine'],
  cli: ['debug', 'experiments', 'machine'],
};
const CORE = ['bits', 'wasm', 'mem', 'mmu', 'cpu', 'timing', 'vtx', 'svm', 'devices', 'machine'];
const PACKAGES = new Set(['iced-x86']);

function sources(folder: string): string[] {
  return readdirSync(join(SRC, folder), { recursive: true, encoding: 'utf8' })
    .filter((f) => /\.tsx?$/.test(f) && !f.endsWith('.test.ts'))
    .map((f) => join(SRC, folder, f));
}
const importsOf = (file: string): string[] =>
  [...readFileSync(file, 'utf8').matchAll(/(?:from|import)\s*\(?\s*'([^']+)'/g)].map((m) => m[1]!);

describe('layers', () => {
  const folders = readdirSync(SRC);

  it.each(folders)('src/%s imports only from below', (folder) => {
    const allowed = ALLOWED[folder];
    expect(allowed, `src/${folder} has no row in the layer table`).toBeDefined();
    const wrong: string[] = [];
    for (const file of sources(folder)) {
      for (const name of importsOf(file)) {
        if (!name.startsWith('.')) continue;
        const target = relative(SRC, join(file, '..', name)).split('/')[0]!;
        if (target !== folder && !allowed!.includes(target)) wrong.push(`${relative(SRC, file)} -> ${name}`);
      }
    }
    expect(wrong).toEqual([]);
  });

  it('the core uses no Node API and no package but the decoder', () => {
    const wrong = [...CORE, 'experiments', 'debug'].filter((f) => folders.includes(f))
      .flatMap(sources)
      .flatMap((file) =>
        importsOf(file)
          .filter((name) => !name.startsWith('.') && !PACKAGES.has(name))
          .map((name) => `${relative(SRC, file)} -> ${name}`),
      );
    expect(wrong).toEqual([]);
  });

  it('the extensions do not know each other', () => {
    const crossing = ['vtx', 'svm'].flatMap(sources).filter((f) => importsOf(f).some((i) => /\.\.\/(vtx|svm)\//.test(i)));
    expect(crossing).toEqual([]);
  });
});
