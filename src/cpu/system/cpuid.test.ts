import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { Cpu } from '../cpu.js';
import { MsrTable } from '../registers.js';
import { CR4_FSGSBASE, CR4_OSFXSR, CR4_PAE, CR4_SMEP, EFER_NXE } from '../state.js';
import { type CpuidOptions, type CpuidProfile, ProfileCpuid, cr4AllowedBy, eferAllowedBy } from './cpuid.js';

const load = (name: string, options: Partial<CpuidOptions> = {}): ProfileCpuid => {
  const profile = JSON.parse(readFileSync(new URL(`../../../profiles/${name}.json`, import.meta.url), 'utf8')) as { cpuid: CpuidProfile };
  return new ProfileCpuid(name, profile.cpuid, { cpus: 1, virtualization: 'none', ...options });
};
const running = (id: number, mode64 = true, apic = true): Cpu => {
  const msrs = new MsrTable();
  msrs.define(0x1b, { name: 'IA32_APIC_BASE', read: () => (apic ? 0xfee0_0900n : 0xfee0_0100n) });
  return { id, msrs, s: { mode64, cr4: 0 } } as unknown as Cpu;
};

describe('CPUID', () => {
  it('hides the virtualisation extension that is not plugged in', () => {
    expect(load('nehalem-2008').fixed(1).ecx & 0x20).toBe(0);
    expect(load('nehalem-2008', { virtualization: 'vmx' }).fixed(1).ecx & 0x20).toBe(0x20);
    expect(load('barcelona-2007').fixed(0x8000_000a)).toEqual({ eax: 0, ebx: 0, ecx: 0, edx: 0 });
    // LBR virtualisation is not implemented, so it does not show.
    expect(load('barcelona-2007', { virtualization: 'svm' }).fixed(0x8000_000a)).toEqual({ eax: 1, ebx: 64, ecx: 0, edx: 5 });
  });

  it('fills in APIC id, core count, SYSCALL and APIC as the running vCPU has them', () => {
    const intel = load('nehalem-2008', { cpus: 4 });
    expect(intel.leaf(running(2), 1, 0).ebx >>> 16).toBe(0x0204);
    expect(intel.leaf(running(2), 0xb, 1)).toEqual({ eax: 2, ebx: 4, ecx: 0x201, edx: 2 });
    expect(intel.leaf(running(0), 0x8000_0001, 0).edx).toBe(0x2810_0800);
    expect(intel.leaf(running(0, false), 0x8000_0001, 0).edx).toBe(0x2810_0000);
    expect(intel.leaf(running(0, true, false), 1, 0).edx & 0x200).toBe(0);
  });

  it('answers a leaf beyond the last as the vendor does', () => {
    expect(load('nehalem-2008').leaf(running(0), 0x4000_0000, 0)).toEqual(load('nehalem-2008').leaf(running(0), 0xb, 0));
    expect(load('barcelona-2007').leaf(running(0), 0x4000_0000, 0)).toEqual({ eax: 0, ebx: 0, ecx: 0, edx: 0 });
  });

  it('allows CR4 and EFER bits by feature', () => {
    const allowed = cr4AllowedBy(load('nehalem-2008'));
    expect(allowed & (CR4_PAE | CR4_OSFXSR)).toBe(CR4_PAE | CR4_OSFXSR);
    expect(allowed & (CR4_SMEP | CR4_FSGSBASE)).toBe(0);
    expect(eferAllowedBy(load('barcelona-2007')) & EFER_NXE).toBe(EFER_NXE);
  });

  it('names profile and figure when a part is wrong', () => {
    const part = { vendor: 'GenuineIntel', physicalAddressBits: 40, source: '', leaves: { '0': { eax: '11', ebx: '0x0', ecx: '0x0', edx: '0x0' } } } as const;
    const make = (p: object) => () => new ProfileCpuid('test', p as CpuidProfile, { cpus: 1, virtualization: 'none' });
    expect(make(part)).toThrow('profile test: "cpuid.leaves.0.eax" is not a value such as "0x0000000b"');
    expect(make({ ...part, physicalAddressBits: 99 })).toThrow('cpuid.physicalAddressBits');
  });
});
