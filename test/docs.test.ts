/**
 * Documents are held to the repository: paths and links exist, commands exist, options of the command line are all described,
 * columns of the result files too.
 */
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { WORKLOADS } from '../src/experiments/workloads.js';

const ROOT = join(import.meta.dirname, '..');
const read = (file: string): string => readFileSync(join(ROOT, file), 'utf8');
const DOCUMENTS = [
  'README.md', 'ARCHITECTURE.md', 'CONTRIBUTING.md', 'CHANGELOG.md', 'guests/README.md', 'src/hypervisor/README.md',
  ...readdirSync(join(ROOT, 'docs'), { recursive: true, encoding: 'utf8' }).filter((f) => f.endsWith('.md')).map((f) => `docs/${f.replaceAll('\\', '/')}`),
];
/** Made by a build or a run, so not in a clone. */
const PRODUCTS = /^(build|dist|results)\//;

/** Paths in backquotes that begin with a folder of the repository. */
function pathsIn(text: string): string[] {
  const folders = readdirSync(ROOT, { withFileTypes: true }).filter((e) => e.isDirectory()).map((e) => e.name);
  return [...text.matchAll(/`([^`\s]+)`/g)]
    .map((m) => m[1]!)
    .filter((p) => folders.some((f) => p.startsWith(`${f}/`)) && !PRODUCTS.test(p) && !/[*<>{}]|NNNN|NAME/.test(p));
}

/** Names in the first column of the table that has this heading. */
function firstColumn(text: string, heading: string): string[] {
  const lines = text.split('\n');
  const at = lines.findIndex((l) => l.startsWith(`| ${heading} `));
  const end = lines.findIndex((l, i) => i > at && !l.startsWith('|'));
  return lines.slice(at + 2, end < 0 ? undefined : end).flatMap((l) => [...l.split('|')[1]!.matchAll(/`([^`]+)`/g)].map((m) => m[1]!));
}

describe.each(DOCUMENTS)('%s', (file) => {
  const text = read(file);

  it('names only paths that exist', () => {
    expect(pathsIn(text).filter((p) => !existsSync(join(ROOT, p)))).toEqual([]);
  });

  it('links only to files that exist', () => {
    const links = [...text.matchAll(/\]\(([^)#\s]+)(?:#[^)]*)?\)/g)].map((m) => m[1]!).filter((l) => !l.includes('://'));
    expect(links.filter((l) => !existsSync(join(ROOT, dirname(file), l)))).toEqual([]);
  });

  it('runs only scripts that package.json has', () => {
    const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> };
    const named = [...text.matchAll(/npm (?:run ([\w:]+)|(start|test)\b)/g)].map((m) => m[1] ?? m[2]!);
    expect(named.filter((n) => !(n in scripts))).toEqual([]);
  });
});

describe('docs/cli.md', () => {
  it.each(['compare', 'run', 'step', 'ui'])('describes every option of %s', (command) => {
    const source = read(`src/cli/${command}.ts`);
    const options = [...source.matchAll(/(?:\.option\('([\w-]+)'|^ {6}'?([a-z][\w-]*)'?: \{ )/gm)].map((m) => m[1] ?? m[2]!);
    expect(options.length).toBeGreaterThan(2);
    const section = read('docs/cli.md').split(/^## /m).find((s) => s.startsWith(`xenolith ${command}`))!;
    const described = firstColumn(section, 'option').map((o) => /^--([\w-]+)/.exec(o)?.[1]);
    expect(options.filter((o) => !described.includes(o))).toEqual([]);
    expect(described.filter((d) => d !== undefined && !options.includes(d))).toEqual([]);
  });
  it('describes every option of gdb', () => {
    const options = ['gdb', 'debug-machine'].flatMap((f) => [...read(`src/cli/${f}.ts`).matchAll(/^ {4,6}'?([a-z][\w-]*)'?: \{ (?:type|choices)/gm)].map((m) => m[1]!));
    expect(options.length).toBeGreaterThan(12);
    const section = read('docs/cli.md').split(/^## /m).find((s) => s.startsWith('xenolith gdb'))!;
    expect(firstColumn(section, 'option').map((o) => o.slice(2)).sort()).toEqual(options.sort());
  });
});

describe('docs/results.md', () => {
  const columns = (type: string): string[] => {
    const body = new RegExp(`export interface ${type} \\{([^}]*)\\}`).exec(read('src/experiments/rows.ts'))![1]!;
    return [...body.matchAll(/^ {2}(\w+):/gm)].map((m) => m[1]!);
  };
  it.each([['results.csv', 'Row'], ['exits.csv', 'ExitRow']])('describes every column of %s, and no other', (file, type) => {
    const section = read('docs/results.md').split(/^## /m).find((s) => s.startsWith(file))!;
    expect(firstColumn(section, 'column')).toEqual(columns(type));
  });
  it('describes every workload', () => {
    expect(firstColumn(read('docs/results.md'), 'workload')).toEqual(WORKLOADS.map((w) => w.name));
  });
});

describe('docs/deviations.md', () => {
  it('has every file whose first comment lists deviations', () => {
    const files = readdirSync(join(ROOT, 'src'), { recursive: true, encoding: 'utf8' })
      .map((f) => `src/${f.replaceAll('\\', '/')}`)
      .filter((f) => /\.(ts|c)$/.test(f) && /Deviations?:/.test(read(f).slice(0, 2500)));
    const text = read('docs/deviations.md');
    expect(files.filter((f) => !text.includes(`\`${f}\``))).toEqual([]);
  });
});
