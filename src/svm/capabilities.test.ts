import { readFileSync, readdirSync } from 'node:fs';
import { expect, it } from 'vitest';
import type { Cpu } from '../cpu/cpu.js';
import { ProfileCpuid, type CpuidProfile } from '../cpu/system/cpuid.js';
import { ALL_CAPABILITIES, capabilitiesFromCpuid, cpuidFromCapabilities } from './capabilities.js';

it('CPUID Fn8000_000A and capabilities are each other\'s inverse', () => {
  expect(capabilitiesFromCpuid(cpuidFromCapabilities(ALL_CAPABILITIES))).toEqual(ALL_CAPABILITIES);
});

it('a leaf that claims what is not implemented is refused by name of its bits', () => {
  expect(() => capabilitiesFromCpuid({ eax: 1, ebx: 64, ecx: 0, edx: 0x2001 })).toThrow(/EDX bits 13/);
  expect(() => capabilitiesFromCpuid({ eax: 1, ebx: 1, ecx: 0, edx: 1 })).toThrow(/address-space identifiers/);
});

const folder = new URL('../../profiles/', import.meta.url);
const profiles = readdirSync(folder).map((file) => [file, JSON.parse(readFileSync(new URL(file, folder), 'utf8')) as { cpuid?: CpuidProfile }] as const);

it.each(profiles.filter(([, p]) => p.cpuid?.vendor === 'AuthenticAMD'))('%s advertises only what the model has', (file, profile) => {
  const cpuid = new ProfileCpuid(file, profile.cpuid!, { cpus: 1, virtualization: 'svm' });
  const leaf = cpuid.leaf({ id: 0, s: { cr4: 0, get32: () => 0 } } as unknown as Cpu, 0x8000_000a, 0);
  expect(capabilitiesFromCpuid(leaf).asids).toBeGreaterThan(1);
});
