import { readFileSync } from 'node:fs';
import { Code } from 'iced-x86';
import { describe, expect, it } from 'vitest';
import { TestMachine } from '../../../test/support/machine-with.js';
import { UD } from '../events.js';
import { RAX, RCX } from '../state.js';
import { ProfileCpuid, type CpuidProfile } from '../system/cpuid.js';
import { encodingsOf, type EncodingSet } from './advertised.js';

function encodings(profile: string, virtualization: 'vmx' | 'svm' | 'none'): EncodingSet {
  const { cpuid } = JSON.parse(readFileSync(new URL(`../../../profiles/${profile}.json`, import.meta.url), 'utf8')) as { cpuid: CpuidProfile };
  const table = new ProfileCpuid(profile, cpuid, { cpus: 1, virtualization });
  return encodingsOf((leaf) => table.fixed(leaf));
}

describe('encodings of a processor', () => {
  const nehalem = encodings('nehalem-2008', 'vmx');
  const barcelona = encodings('barcelona-2007', 'svm');
  it('are those that its CPUID advertises', () => {
    for (const p of [nehalem, barcelona])
      for (const code of [Code.Add_rm32_r32, Code.Cmpxchg16b_m128, Code.Popcnt_r64_rm64, Code.Cmove_r64_rm64, Code.Fld_m64fp, Code.Endbr64, Code.Cpuid, Code.Syscall])
        expect([Code[code], p.has(code)]).toEqual([Code[code], true]);
    for (const code of [Code.Movbe_r32_m32, Code.Adcx_r32_rm32, Code.Rdfsbase_r64, Code.VEX_Vaddps_ymm_ymm_ymmm256, Code.Rdseed_r32])
      expect([Code[code], nehalem.has(code)]).toEqual([Code[code], false]);
    expect([nehalem.has(Code.Vmxon_m64), nehalem.has(Code.Vmrunq)]).toEqual([true, false]);
    expect([barcelona.has(Code.Vmxon_m64), barcelona.has(Code.Vmrunq)]).toEqual([false, true]);
    expect(encodings('nehalem-2008', 'none').has(Code.Vmxon_m64)).toBe(false);
  });

  it('decide what the others do', () => {
    const t = new TestMachine(nehalem);
    // MOVBE EAX, [RCX]
    expect(t.execute([0x0f, 0x38, 0xf0, 0x01], { [RCX]: 0x30_0000n }).fault).toBe(UD);
    // VADDPS YMM0, YMM0, YMM0
    expect(t.execute([0xc5, 0xfc, 0x58, 0xc0]).fault).toBe(UD);
    // Encodings that nobody advertises are not "not implemented": GETSEC, RDPRU, CLZERO, XSAVE, ENCLU, RDPKRU, SERIALIZE.
    for (const bytes of [[0x0f, 0x37], [0x0f, 0x01, 0xfd], [0x0f, 0x01, 0xfc], [0x0f, 0xae, 0x20], [0x0f, 0x01, 0xd7], [0x0f, 0x01, 0xee], [0x0f, 0x01, 0xe8]])
      for (const set of [nehalem, barcelona]) expect([bytes, new TestMachine(set).execute(bytes).fault]).toEqual([bytes, UD]);
    // F3 0F BD is BSR where there is no LZCNT, and LZCNT on Barcelona
    t.execute([0xf3, 0x48, 0x0f, 0xbd, 0xc1], { [RCX]: 0x100n });
    expect(t.vcpu.s.gpr(RAX)).toBe(8n);
    const b = new TestMachine(barcelona);
    b.execute([0xf3, 0x48, 0x0f, 0xbd, 0xc1], { [RCX]: 0x100n });
    expect(b.vcpu.s.gpr(RAX)).toBe(55n);
  });
});
