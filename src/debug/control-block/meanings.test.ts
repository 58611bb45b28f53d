/** What is said about fields and bits is complete, and says where the manual has it. */
import { describe, expect, it } from 'vitest';
import { CONTROL_FIELDS, SAVE_FIELDS, VMCB_SEG } from '../../svm/fields.js';
import { FIELDS } from '../../vtx/fields.js';
import { SVM_CONTROL_BITS } from './svm-controls.js';
import { vmcbGroups } from './vmcb-meanings.js';
import { VMCS_GROUPS, vmcsMeaning } from './vmcs-meanings.js';
import { VMX_CONTROL_FIELDS } from './vmx-controls.js';

describe('VMCS', () => {
  it('has every field in exactly one of the manual\'s six groups', () => {
    expect(VMCS_GROUPS.flatMap((g) => g.fields).sort()).toEqual(FIELDS.map((f) => f.name).sort());
  });
  it('has guest, host and read-only fields where their encoding says', () => {
    const type = new Map(FIELDS.map((f) => [f.name, f.type]));
    const groupsOf = (t: string) => [...new Set(VMCS_GROUPS.filter((g) => g.fields.some((f) => type.get(f) === t)).map((g) => g.title))];
    expect(groupsOf('guest')).toEqual(['Guest-state area']);
    expect(groupsOf('host')).toEqual(['Host-state area']);
    expect(groupsOf('read-only')).toEqual(['VM-exit information fields']);
    expect(groupsOf('control')).toEqual(['VM-execution control fields', 'VM-exit control fields', 'VM-entry control fields']);
  });
  it('explains each', () => {
    for (const f of FIELDS) {
      expect(vmcsMeaning(f.name).meaning.length).toBeGreaterThan(4);
      expect(vmcsMeaning(f.name).section).toMatch(/^SDM 3C §25\.\d+(\.\d+)? ".+"$/);
    }
  });
  it('names no bit twice', () => {
    for (const f of Object.values(VMX_CONTROL_FIELDS)) expect(new Set(f.bits.map((b) => b.bit)).size).toBe(f.bits.length);
  });
});

describe('VMCB', () => {
  it('shows the bytes of every field that exists, and none twice', () => {
    const shown = vmcbGroups(() => true).flatMap((g) => g.fields);
    const covered = new Uint8Array(0x1000);
    for (const f of shown) for (let i = 0; i < f.size; i++) covered[f.offset + i]!++;
    expect(covered.some((n) => n > 1)).toBe(false);
    for (const [name, [offset, size]] of Object.entries({ ...CONTROL_FIELDS, ...SAVE_FIELDS })) {
      if (name === 'LBR_VIRTUALIZATION_ENABLE' || name === 'GUEST_INSTRUCTION_BYTES') continue; // the model has neither
      const table = name === 'GDTR' || name === 'IDTR';
      for (let i = table ? VMCB_SEG.limit : 0; i < size; i++) expect([name, covered[offset + i]]).toEqual([name, 1]);
    }
  });
  it('hides fields of features that a processor lacks', () => {
    const names = vmcbGroups(() => false).flatMap((g) => g.fields.map((f) => f.name));
    expect(names).not.toContain('NRIP');
    expect(names).not.toContain('PAUSE_FILTER_COUNT');
  });
  it('names each bit once and says where the manual has each field', () => {
    for (const bits of Object.values(SVM_CONTROL_BITS)) expect(new Set(bits.map((b) => b.bit)).size).toBe(bits.length);
    for (const f of vmcbGroups(() => true).flatMap((g) => g.fields)) expect(f.section).toMatch(/^APM 2 (§[\d.]+|appendix B, table B-\d) ".+"$/);
  });
});
