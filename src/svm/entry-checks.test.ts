import { expect, it } from 'vitest';
import { ENTRY_CHECKS, firstFailure, type EntryContext } from './entry-checks.js';
import { VMCB } from './fields.js';
import { VMEXIT_INVALID } from './intercepts.js';
import { HOST_NEXT, fixture } from './fixture.js';
import { EFER_LME, EFER_NXE, EFER_SCE } from '../cpu/state.js';

const context = (f: ReturnType<typeof fixture>): EntryContext => ({
  capabilities: f.svm.capabilities, physicalAddressBits: 40, cr4Allowed: 0x7ff, eferAllowed: EFER_SCE | EFER_LME | EFER_NXE,
  longModeSupported: true, hostPaging: true, hostLongMode: true, phys: f.cpu.phys,
});

it('a legal VMCB passes every row', () => {
  const f = fixture();
  expect(ENTRY_CHECKS.filter((row) => !row.ok(f.v, context(f)))).toEqual([]);
});

it.each(ENTRY_CHECKS.map((row) => [row.id, row] as const))('%s fires alone', (id, row) => {
  const f = fixture(), c = context(f);
  row.breaks(f.v, c);
  expect(ENTRY_CHECKS.filter((r) => !r.ok(f.v, c)).map((r) => r.id)).toEqual([id]);
  expect(firstFailure(f.v, c)).toBe(row);
});

it('every row has an identifier of its own and names its section with a title', () => {
  expect(new Set(ENTRY_CHECKS.map((r) => r.id)).size).toBe(ENTRY_CHECKS.length);
  for (const row of ENTRY_CHECKS) expect(row.section).toMatch(/^APM 2 §15\.\d+(\.\d+)? ".+"$/);
});

it('VMRUN of an illegal VMCB exits with VMEXIT_INVALID and names the rule', () => {
  const f = fixture();
  f.v.setU32(VMCB.GUEST_ASID, 0);
  f.enter();
  expect(f.cpu.inGuest).toBe(false);
  expect(f.v.u64(VMCB.EXITCODE)).toBe(0xffff_ffff_ffff_ffffn);
  expect(f.s.rip).toBe(HOST_NEXT);
  expect(f.svm.gif).toBe(false);
  expect(f.svm.lastEntryFailure?.rule).toBe('asid-zero');
  expect(f.svm.exitCounts()).toEqual(new Map([['INVALID', 1]]));
  expect(f.v.u64(VMCB.RIP)).toBe(0x7c00n); // the guest's state stays as it was
  expect(VMEXIT_INVALID).toBe(-1);
});
