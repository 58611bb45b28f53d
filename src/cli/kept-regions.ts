/**
 * Regions that comparisons have compiled, kept for the next one in build/regions: a comparison lasts some ten to twenty seconds, and in so short a
 * time the compiler, which runs cold, costs as much as it saves (docs/performance.md, ADR 14).
 *
 * The file belongs to one build of the program and one release of Node.js: its name is a hash of both, because regions have addresses of the
 * machine's state in them. A file that is damaged counts as none; one that cannot be written is not an error.
 */

import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { deserialize, serialize } from 'node:v8';
import type { CompiledCode } from '../machine/compiled-code.js';

const HERE = fileURLToPath(new URL('.', import.meta.url));
const FOLDER = fileURLToPath(new URL('../../build/regions/', import.meta.url));
/** Bytes of a file, at most: beyond, only what was compiled last is kept. */
const MOST = 16 << 20;
const CHECKSUM = 32;
/** Names of our files, and of what a process that was ended has left half written. */
const OURS = /^[0-9a-f]{32}\.bin(\.\d+)?$/;
const checksumOf = (bytes: Uint8Array): Buffer => createHash('sha256').update(bytes).digest();

/** The file of this program. Undefined when it does not run from its bundle: then its code is not all in one folder, and could differ unseen. */
export function keptRegionsFile(folder = FOLDER): string | undefined {
  if (basename(HERE) !== 'node') return undefined;
  const hash = createHash('sha256').update(process.version);
  for (const name of readdirSync(HERE).sort()) if (name.endsWith('.js')) hash.update(name).update(readFileSync(join(HERE, name)));
  return join(folder, `${hash.digest('hex').slice(0, 32)}.bin`);
}

/** What a file holds; nothing if it is not there or not whole. */
export function readRegions(file: string): readonly CompiledCode[] {
  try {
    const bytes = readFileSync(file), content = bytes.subarray(CHECKSUM);
    return checksumOf(content).equals(bytes.subarray(0, CHECKSUM)) ? (deserialize(content) as CompiledCode[]) : [];
  } catch {
    return [];
  }
}

/** The same regions without those that are there already: workers that run at the same time compile some of them each. */
function distinct(sets: readonly CompiledCode[]): CompiledCode[] {
  const known = new Set<string>();
  const isNew = (constants: string, place: number, wasm: Uint8Array): boolean => {
    const { size } = known;
    known.add(`${constants} ${place} ${checksumOf(wasm).toString('hex')}`);
    return known.size > size;
  };
  return sets
    .map(({ constants, templates }) => ({ constants, templates: templates.filter(({ place, template }) => isNew(constants, place, template.wasm)) }))
    .filter(({ templates }) => templates.length > 0);
}

/** Adds regions to a file, at once for whoever reads it, and takes those of other builds away. */
export function addRegions(file: string, sets: readonly CompiledCode[]): void {
  if (sets.length === 0) return;
  let content = serialize(distinct([...readRegions(file), ...sets]));
  if (content.length > MOST) content = serialize(distinct(sets));
  const folder = dirname(file), half = `${file}.${process.pid}`;
  try {
    mkdirSync(folder, { recursive: true });
    writeFileSync(half, Buffer.concat([checksumOf(content), content]));
    renameSync(half, file);
    for (const name of readdirSync(folder)) if (OURS.test(name) && name !== basename(file)) rmSync(join(folder, name), { force: true });
  } catch {
    // Nothing is kept: the next comparison compiles what it needs.
  }
}
