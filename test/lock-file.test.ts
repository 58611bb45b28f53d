/**
 * package-lock.json installs with `npm ci` on every host, from whatever registry its user has configured: npm refuses a lock file
 * that misses a platform package of another operating system, and drops those by itself when a registry does not offer them.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';

interface LockedPackage {
  readonly version?: string;
  readonly resolved?: string;
  readonly os?: readonly string[];
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly devDependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

const ROOT = join(import.meta.dirname, '..');
const json = (file: string): unknown => JSON.parse(readFileSync(join(ROOT, file), 'utf8'));
const { packages } = json('package-lock.json') as { packages: Record<string, LockedPackage> };

/** Is a dependency of the package at `from` in the lock file, there or in a folder above? */
function locked(from: string, name: string): boolean {
  for (let at = from; ; at = at.slice(0, Math.max(0, at.lastIndexOf('/node_modules/')))) {
    if (`${at === '' ? '' : `${at}/`}node_modules/${name}` in packages) return true;
    if (at === '') return false;
  }
}

it('every dependency is locked, those for other operating systems too', () => {
  const missing = Object.entries(packages).flatMap(([path, p]) =>
    Object.keys({ ...p.dependencies, ...p.devDependencies, ...p.optionalDependencies }).filter((name) => !locked(path, name)).map((name) => `${path || '(root)'} needs ${name}`));
  expect(missing).toEqual([]);
});

it('no package is tied to one registry', () => {
  expect(Object.keys(packages).filter((p) => packages[p]!.resolved !== undefined)).toEqual([]);
});

it('package.json and the lock file agree, and every version is exact', () => {
  const { dependencies, devDependencies } = json('package.json') as LockedPackage;
  for (const [name, version] of Object.entries({ ...dependencies, ...devDependencies })) expect([name, packages[`node_modules/${name}`]?.version]).toEqual([name, version]);
});
