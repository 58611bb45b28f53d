import { expect, it } from 'vitest';
import { ALL_CAPABILITIES, capabilitiesFromCpuid, cpuidFromCapabilities } from './capabilities.js';

it('CPUID Fn8000_000A and capabilities are each other\'s inverse', () => {
  expect(capabilitiesFromCpuid(cpuidFromCapabilities(ALL_CAPABILITIES))).toEqual(ALL_CAPABILITIES);
});

it('a leaf that claims what is not implemented is refused by name of its bits', () => {
  expect(() => capabilitiesFromCpuid({ eax: 1, ebx: 64, ecx: 0, edx: 0x2001 })).toThrow(/EDX bits 13/);
  expect(() => capabilitiesFromCpuid({ eax: 1, ebx: 1, ecx: 0, edx: 1 })).toThrow(/address-space identifiers/);
});
