/**
 * Interpreter and compiler side by side: the same machine with each engine, compared at many cycles by a hash of its whole state and
 * by the timing core's tables. Real guests (hypervisor, dom0 and an HVM or PV guest with all their I/O) and random programs, in both modes.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { bootOf, DISK_SECTORS, EXTENSIONS, type ExtensionName, type Images, MEMORY_BYTES, type PathName } from '../src/experiments/paths.js';
import { guestSpecification, WORKLOADS } from '../src/experiments/workloads.js';
import { SeededDisk } from '../src/machine/disks.js';
import { Machine } from '../src/machine/machine.js';
import { parseProfile } from '../src/machine/profile.js';
import type { EngineChoice, TimeMode } from '../src/machine/config.js';

const root = join(import.meta.dirname, '..');
const image = (path: string) => ({ name: path.split('/').pop()!, bytes: new Uint8Array(readFileSync(join(root, 'build', path))) });
const images: Images = {
  hypervisor: image('hypervisor/xenolith.elf'), dom0: image('guests/dom0.elf'), native: image('guests/workload-native.elf'),
  hvm: image('guests/workload-hvm.elf'), pv: image('guests/workload-pv.elf'),
};
const profileOf = (extension: ExtensionName) =>
  parseProfile(JSON.parse(readFileSync(join(root, `profiles/${EXTENSIONS[extension]}.json`), 'utf8')), EXTENSIONS[extension]);

function build(engine: EngineChoice, mode: TimeMode, extension: ExtensionName, path: PathName): Machine {
  return new Machine({
    memoryBytes: MEMORY_BYTES, profile: profileOf(extension), mode, engine, boot: bootOf(path, images, guestSpecification(WORKLOADS, true)),
    disks: [{ backend: new SeededDisk(DISK_SECTORS, 1) }], nic: { model: 'e1000' },
  });
}

/** The timing core's tables and counters, which the hash does not have. */
function timingTables(machine: Machine): string {
  const { timing, memory } = machine as unknown as { timing?: { core: { tables: { from: number; to: number } } }; memory: { u8: Uint8Array } };
  if (timing === undefined) return '';
  const { from, to } = timing.core.tables;
  return createHash('sha256').update(memory.u8.subarray(from, to)).digest('hex');
}

/** Runs both to each of the cycles; the cycle of the first difference, or 'same'. */
function compare(engine: EngineChoice, mode: TimeMode, extension: ExtensionName, path: PathName, cycles: readonly number[]): string {
  const a = build('interpreter', mode, extension, path), b = build(engine, mode, extension, path);
  for (const cycle of cycles) {
    const stopA = a.run({ cycle }), stopB = b.run({ cycle });
    if (JSON.stringify(stopA) !== JSON.stringify(stopB)) return `at ${cycle}: ${JSON.stringify(stopA)} and ${JSON.stringify(stopB)}`;
    if (a.cycles !== b.cycles || a.instructions !== b.instructions) return `at ${cycle}: ${a.instructions} instructions in ${a.cycles}, ${b.instructions} in ${b.cycles}`;
    if (a.hash() !== b.hash()) return `at ${cycle}: another state`;
    if (timingTables(a) !== timingTables(b)) return `at ${cycle}: other caches, TLBs or predictors`;
  }
  return 'same';
}

describe.each(['functional', 'cycle'] as const)('%s mode', (mode) => {
  const million = (...n: number[]): number[] => n.map((x) => x * 1_000_000);
  it.each([['vtx', 'hvm'], ['svm', 'hvm'], ['vtx', 'pv']] as const)('%s %s: everything compiled', (extension, path) => {
    expect(compare('compiler', mode, extension, path, million(0.3, 1, 2))).toBe('same');
  }, 120_000);
  it.each([['vtx', 'pvhvm'], ['svm', 'hvm'], ['svm', 'native']] as const)('%s %s: what is hot compiled', (extension, path) => {
    expect(compare('auto', mode, extension, path, million(2, 6))).toBe('same');
  }, 120_000);
});
