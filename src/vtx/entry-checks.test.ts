import { describe, expect, it } from 'vitest';
import { EFER_LMA, EFER_LME, S } from '../cpu/state.js';
import { ALL_FEATURES } from './capabilities.js';
import { ENTRY, EXIT, PROC } from './controls.js';
import { type CheckGroup, CheckView, type EntryCheck } from './entry-checks.js';
import { CONTROL_CHECKS } from './entry-checks-controls.js';
import { GUEST_CHECKS } from './entry-checks-guest.js';
import { HOST_CHECKS } from './entry-checks-host.js';
import { F, type FieldName } from './fields.js';
import { AT, CPUID, Fixture, without, word } from './fixture.js';

const GROUPS: readonly CheckGroup[] = [...CONTROL_CHECKS, ...HOST_CHECKS, ...GUEST_CHECKS];
const ROWS: readonly EntryCheck[] = GROUPS.flatMap((g) => g.rows);
const BASES = ['long', 'compat', 'pae', 'virtual-8086', 'real', 'host32'] as const;

const prepared = (row: EntryCheck): CheckView => {
  const t = new Fixture(row.without === undefined ? ALL_FEATURES : without(...row.without));
  t.ready(row.base ?? 'long');
  return new CheckView(t.x, t.cpu);
};
const broken = (v: CheckView): string[] => ROWS.filter((r) => !r.ok(v)).map((r) => r.id);

describe('VM-entry checks', () => {
  it('have distinct names', () => {
    expect(new Set(ROWS.map((r) => r.id)).size).toBe(ROWS.length);
  });

  it.each(BASES)('accept the valid %s guest', (base) => {
    const t = new Fixture().ready(base);
    expect(broken(new CheckView(t.x, t.cpu))).toEqual([]);
  });

  it.each(ROWS.map((r) => [r.id, r] as const))('%s fires first, and no row before it', (id, row) => {
    const v = prepared(row);
    for (const [field, value] of Object.entries(row.breaks(v))) v.x.set(fieldOffset(field), BigInt.asUintN(64, BigInt(value)));
    expect(broken(v)[0]).toBe(id);
  });
});

describe('the checks of a VM entry', () => {
  it('report field and rule, and error 7 for controls', () => {
    const t = new Fixture().ready().set({ CR3_TARGET_COUNT: 5 });
    t.launch();
    expect([t.status, t.get('VM_INSTRUCTION_ERROR')]).toEqual([2, 7n]);
    expect(t.x.lastEntryFailure).toMatchObject({ id: 'cr3-target-count', field: 'CR3_TARGET_COUNT', value: 5n, section: 'VM-Execution Control Fields' });
    expect(t.probed.some((r) => r[0] === 3)).toBe(true);
  });

  it('give error 8 for the host state', () => {
    const t = new Fixture().ready().set({ HOST_TR_SELECTOR: 0 });
    t.launch();
    expect([t.status, t.get('VM_INSTRUCTION_ERROR'), t.x.lastEntryFailure?.id]).toEqual([2, 8n, 'host-tr-null']);
  });

  it('end in a VM exit with reason 33 for guest state, and the VMCS stays clear', () => {
    const t = new Fixture().ready().set({ VMCS_LINK_POINTER: 0x1001n });
    expect(t.launch()).toBe('halt');
    expect([t.get('EXIT_REASON'), t.get('EXIT_QUALIFICATION')]).toEqual([0x8000_0021n, 4n]);
    expect(t.cpu.s.rip).toBe(0x11001n);
    expect(t.x.launched).toBe(false);
  });

  it('are not repeated for what did not change, and are when VMWRITE changes it', () => {
    const t = new Fixture().ready();
    t.launch();
    expect(t.get('EXIT_REASON')).toBe(10n);
    t.vmwrite(0x681e, 0x20000); // GUEST_RIP
    t.vmwrite(0x4802, 0x1234_5678); // GUEST_CS_LIMIT: does not fit its granularity
    t.resume();
    expect([t.get('EXIT_REASON'), t.x.lastEntryFailure?.id]).toEqual([0x8000_0021n, 'cs-g']);
  });

  it('are repeated for IA32_DEBUGCTL that an exit did not save, if single-stepping depends on it', () => {
    const t = new Fixture().ready();
    t.set({
      VM_ENTRY_CONTROLS: t.x.caps.entry.must1 | ENTRY.ia32eModeGuest, // IA32_DEBUGCTL stays the host's, with BTF ...
      VM_EXIT_CONTROLS: t.x.caps.exit.must1 | EXIT.hostAddressSpaceSize, // ... and is not saved
      GUEST_RFLAGS: 0x102,
    });
    t.cpu.s.set64(S.debugctl, 2n);
    t.launch([0x8e, 0xd3, ...CPUID]); // MOV SS,EBX
    // Not single-stepped with BTF: BS is 0. Without BTF, as the field says, it would have to be 1.
    expect(['EXIT_REASON', 'GUEST_INTERRUPTIBILITY_STATE', 'GUEST_PENDING_DEBUG_EXCEPTIONS', 'GUEST_IA32_DEBUGCTL'].map((f) => t.get(f as FieldName))).toEqual([10n, 2n, 0n, 0n]);
    t.resume();
    expect([t.get('EXIT_REASON'), t.x.lastEntryFailure?.id]).toEqual([0x8000_0021n, 'pending-debug-bs']);
  });

  it('are repeated for IA32_EFER that an exit did not save, if the entry loads it', () => {
    const t = new Fixture().ready('real');
    t.set({
      PRIMARY_PROCESSOR_BASED_CONTROLS: t.get('PRIMARY_PROCESSOR_BASED_CONTROLS') | BigInt(PROC.useMsrBitmaps),
      MSR_BITMAPS: AT.msrBitmap, // of zeros: no exits
      VM_ENTRY_CONTROLS: t.x.caps.entry.must1 | ENTRY.loadEfer,
      VM_EXIT_CONTROLS: t.x.caps.exit.must1 | EXIT.hostAddressSpaceSize | EXIT.loadEfer,
      HOST_IA32_EFER: EFER_LMA | EFER_LME,
      GUEST_IA32_EFER: EFER_LME,
      GUEST_CR4: 0x2010, // PSE
    });
    t.cpu.msrs.define(0xc000_0080, { name: 'IA32_EFER', read: (c) => c.s.get64(S.efer), write: (c, v) => (c.s.set64(S.efer, v), true) });
    t.write64(0x4000, 0x83n);
    const setCr0 = [0x66, 0xb8, ...word(0x8000_0031), 0x0f, 0x22, 0xc0];
    t.launch([0x66, 0xb9, ...word(0xc000_0080), 0x66, 0x31, 0xc0, 0x66, 0x31, 0xd2, 0x0f, 0x30, ...setCr0, ...CPUID]);
    expect([t.get('EXIT_REASON'), t.get('GUEST_CR0') >> 31n, t.get('GUEST_IA32_EFER')]).toEqual([10n, 1n, BigInt(EFER_LME)]);
    t.resume();
    expect([t.get('EXIT_REASON'), t.x.lastEntryFailure?.id]).toEqual([0x8000_0021n, 'guest-efer-lma']);
  });
});

const fieldOffset = (name: string): number => F[name as FieldName];
