import { expect, it } from 'vitest';
import type { SessionRecord } from '../debug/session-file.js';
import { bootOf, type Images } from '../experiments/paths.js';
import { guestSpecification, WORKLOADS } from '../experiments/workloads.js';
import type { MachineConfig } from '../machine/config.js';
import type { MachineSpec } from './protocol.js';
import { configurationOf, specOf } from './session-spec.js';

const NAMES = ['hypervisor', 'dom0', 'native', 'hvm', 'pv'];
const known = Object.fromEntries(NAMES.map((key, i) => [key, { name: `${key}.elf`, sha256: String(i).repeat(64) }]));
const images = Object.fromEntries(NAMES.map((key) => [key, { name: `${key}.elf`, bytes: new Uint8Array(0) }])) as unknown as Images;
const record = (config: Partial<MachineConfig>, spec: MachineSpec): SessionRecord => ({
  configuration: configurationOf(config as MachineConfig, spec, (name) => Object.values(known).find((k) => k.name === name)?.sha256 ?? 'f'.repeat(64)),
  link: '', position: { instructions: 0, events: 0 }, cycle: 0, hash: '', breakpoints: [], inputs: [],
});

it.each(['native', 'hvm', 'pvhvm', 'pv'] as const)('an experiment on path %s is found again in a session file', (path) => {
  const workload = WORKLOADS[3]!, spec: MachineSpec = { kind: 'experiment', path, extension: 'svm', workload: workload.name, mode: 'functional', seed: 9 };
  const config = { profile: { name: 'barcelona-2007' }, boot: bootOf(path, images, guestSpecification([workload], true)), memoryBytes: 1 << 28 } as MachineConfig;
  expect(specOf(record(config, spec), known)).toEqual(spec);
});

it("an image of the user's own keeps its command line and those of its modules", () => {
  const file = (name: string) => ({ name, bytes: new Uint8Array(0) });
  const boot = { kind: 'image' as const, image: file('k'), commandLine: 'a b', modules: [{ ...file('m'), commandLine: 'm c d' }, { ...file('n'), commandLine: 'n' }] };
  const hash = 'f'.repeat(64);
  const spec: MachineSpec = {
    kind: 'image', name: 'k', sha256: hash, commandLine: 'a b', profile: 'nehalem-2008', mode: 'cycle', seed: 1,
    modules: [{ name: 'm', sha256: hash, commandLine: 'c d' }, { name: 'n', sha256: hash, commandLine: '' }],
  };
  expect(specOf(record({ profile: { name: 'nehalem-2008' }, boot, memoryBytes: 1 << 28 } as MachineConfig, spec), known)).toEqual(spec);
});
