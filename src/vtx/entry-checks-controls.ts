/**
 * VM-entry checks on the VM-execution, VM-exit and VM-entry control fields. A violation is VMfailValid with error 7.
 *
 * SDM 3C §27.2.1 "Checks on VMX Controls": §27.2.1.1 "VM-Execution Control Fields", §27.2.1.2 "VM-Exit Control Fields",
 * §27.2.1.3 "VM-Entry Control Fields".
 */

import { EVENT_TYPE } from '../cpu/events.js';
import { type Allowed, CR3_TARGETS } from './capabilities.js';
import { ENTRY, EVENT, EVENT_OTHER, EXIT, PIN, PROC, PROC2, eventType, eventVector } from './controls.js';
import { type CheckGroup, type CheckView, type EntryCheck, checkGroup } from './entry-checks.js';
import { F, type FieldName, GROUP } from './fields.js';

const settingOk = (v: number, a: Allowed): boolean => (~v & a.must1) === 0 && (v & ~a.may1) === 0;

/** The lowest bit that must not be one. Every control word has one. */
const lowestForbidden = (a: Allowed): number => ~a.may1 & -~a.may1;

const reserved = (id: string, field: FieldName, value: (v: CheckView) => number, allowed: (v: CheckView) => Allowed): EntryCheck => ({
  id,
  field,
  rule: 'reserved bits must be set properly (see the capability MSR)',
  ok: (v) => settingOk(value(v), allowed(v)),
  breaks: (v) => ({ [field]: (v.u32(F[field]) | lowestForbidden(allowed(v))) >>> 0 }),
});

/** Address and count of an MSR-store or MSR-load area. */
const msrArea = (id: string, address: FieldName, count: FieldName): readonly EntryCheck[] => [
  {
    id: `${id}-address`,
    field: address,
    rule: 'if the count is not 0, the address must be a multiple of 16 within the physical-address width',
    ok: (v) => v.u32(F[count]) === 0 || v.aligned(v.u64(F[address]), 4),
    breaks: () => ({ [count]: 1, [address]: 0x1008n }),
  },
  {
    id: `${id}-last-byte`,
    field: address,
    rule: 'the address of the last byte of the area must be within the physical-address width',
    ok: (v) => v.u32(F[count]) === 0 || v.physical(v.u64(F[address]) + BigInt(v.u32(F[count])) * 16n - 1n),
    breaks: (v) => ({ [count]: 2, [address]: v.beyondPhysical - 16n }),
  },
];

const inject = (v: { vector: number; type: number; error?: boolean }): number =>
  (EVENT.valid | v.vector | (v.type << 8) | (v.error === true ? EVENT.errorCode : 0)) >>> 0;
const withSecondary = (v: CheckView, bits: number): Partial<Record<FieldName, number>> => ({
  PRIMARY_PROCESSOR_BASED_CONTROLS: (v.proc | PROC.activateSecondaryControls) >>> 0,
  SECONDARY_PROCESSOR_BASED_CONTROLS: (v.proc2 | bits) >>> 0,
});
const VALID_EPTP = 0x1000n | (3n << 3n) | 6n;

const execution: readonly EntryCheck[] = [
  reserved('pin-reserved', 'PIN_BASED_CONTROLS', (v) => v.pin, (v) => v.x.caps.pin),
  reserved('proc-reserved', 'PRIMARY_PROCESSOR_BASED_CONTROLS', (v) => v.proc, (v) => v.x.caps.proc),
  {
    ...reserved('proc2-reserved', 'SECONDARY_PROCESSOR_BASED_CONTROLS', (v) => v.proc2, (v) => v.x.caps.proc2),
    breaks: (v) => withSecondary(v, 1 << 31),
    needs: ['secondary-controls'],
  },
  {
    id: 'cr3-target-count',
    field: 'CR3_TARGET_COUNT',
    rule: 'must not be greater than 4',
    ok: (v) => v.u32(F.CR3_TARGET_COUNT) <= CR3_TARGETS,
    breaks: () => ({ CR3_TARGET_COUNT: CR3_TARGETS + 1 }),
  },
  ...(['IO_BITMAP_A', 'IO_BITMAP_B'] as const).map(
    (field): EntryCheck => ({
      id: `${field.toLowerCase().replaceAll('_', '-')}-address`,
      field,
      rule: 'if "use I/O bitmaps" is 1, must be 4-KByte aligned within the physical-address width',
      ok: (v) => (v.proc & PROC.useIoBitmaps) === 0 || v.aligned(v.u64(F[field]), 12),
      breaks: (v) => ({ PRIMARY_PROCESSOR_BASED_CONTROLS: (v.proc | PROC.useIoBitmaps) >>> 0, [field]: 0x1001n }),
    }),
  ),
  {
    id: 'msr-bitmap-address',
    field: 'MSR_BITMAPS',
    rule: 'if "use MSR bitmaps" is 1, must be 4-KByte aligned within the physical-address width',
    ok: (v) => (v.proc & PROC.useMsrBitmaps) === 0 || v.aligned(v.u64(F.MSR_BITMAPS), 12),
    breaks: (v) => ({ PRIMARY_PROCESSOR_BASED_CONTROLS: (v.proc | PROC.useMsrBitmaps) >>> 0, MSR_BITMAPS: 0x1001n }),
    needs: ['msr-bitmaps'],
  },
  {
    id: 'virtual-nmis-need-nmi-exiting',
    field: 'PIN_BASED_CONTROLS',
    rule: 'if "NMI exiting" is 0, "virtual NMIs" must be 0',
    ok: (v) => (v.pin & PIN.nmiExiting) !== 0 || (v.pin & PIN.virtualNmis) === 0,
    breaks: (v) => ({ PIN_BASED_CONTROLS: ((v.pin & ~PIN.nmiExiting) | PIN.virtualNmis) >>> 0 }),
    needs: ['virtual-nmis'],
  },
  {
    id: 'nmi-window-needs-virtual-nmis',
    field: 'PRIMARY_PROCESSOR_BASED_CONTROLS',
    rule: 'if "virtual NMIs" is 0, "NMI-window exiting" must be 0',
    ok: (v) => (v.pin & PIN.virtualNmis) !== 0 || (v.proc & PROC.nmiWindowExiting) === 0,
    breaks: (v) => ({
      PIN_BASED_CONTROLS: (v.pin & ~PIN.virtualNmis) >>> 0,
      PRIMARY_PROCESSOR_BASED_CONTROLS: (v.proc | PROC.nmiWindowExiting) >>> 0,
    }),
    needs: ['virtual-nmis'],
  },
  {
    id: 'vpid-zero',
    field: 'VIRTUAL_PROCESSOR_ID',
    rule: 'if "enable VPID" is 1, must not be 0000H',
    ok: (v) => (v.proc2 & PROC2.enableVpid) === 0 || v.u32(F.VIRTUAL_PROCESSOR_ID) !== 0,
    breaks: (v) => ({ ...withSecondary(v, PROC2.enableVpid), VIRTUAL_PROCESSOR_ID: 0 }),
    needs: ['vpid'],
  },
  {
    id: 'eptp-memory-type',
    field: 'EPT_POINTER',
    rule: 'bits 2:0 (memory type) must be 0 (UC) or 6 (WB)',
    ok: (v) => !v.ept || [0n, 6n].includes(v.u64(F.EPT_POINTER) & 7n),
    breaks: (v) => ({ ...withSecondary(v, PROC2.enableEpt), EPT_POINTER: (VALID_EPTP & ~7n) | 1n }),
    needs: ['ept'],
  },
  {
    id: 'eptp-walk-length',
    field: 'EPT_POINTER',
    rule: 'bits 5:3 must be 3 (a page-walk length of 4)',
    ok: (v) => !v.ept || ((v.u64(F.EPT_POINTER) >> 3n) & 7n) === 3n,
    breaks: (v) => ({ ...withSecondary(v, PROC2.enableEpt), EPT_POINTER: VALID_EPTP ^ (1n << 5n) }),
    needs: ['ept'],
  },
  {
    id: 'eptp-accessed-dirty',
    field: 'EPT_POINTER',
    rule: 'bit 6 (accessed and dirty flags) must be 0 when the processor does not support them',
    ok: (v) => !v.ept || v.x.caps.has('ept-accessed-dirty') || (v.u64(F.EPT_POINTER) & (1n << 6n)) === 0n,
    breaks: (v) => ({ ...withSecondary(v, PROC2.enableEpt), EPT_POINTER: VALID_EPTP | (1n << 6n) }),
    needs: ['ept'],
    without: ['ept-accessed-dirty'],
  },
  {
    id: 'eptp-reserved',
    field: 'EPT_POINTER',
    rule: 'bits 11:7 and bits beyond the physical-address width must be 0',
    ok: (v) => !v.ept || v.aligned(v.u64(F.EPT_POINTER) & ~0x7fn, 12),
    breaks: (v) => ({ ...withSecondary(v, PROC2.enableEpt), EPT_POINTER: VALID_EPTP | (1n << 11n) }),
    needs: ['ept'],
  },
  {
    id: 'unrestricted-needs-ept',
    field: 'SECONDARY_PROCESSOR_BASED_CONTROLS',
    rule: 'if "unrestricted guest" is 1, "enable EPT" must be 1',
    ok: (v) => !v.unrestricted || v.ept,
    breaks: (v) => ({
      ...withSecondary(v, 0),
      SECONDARY_PROCESSOR_BASED_CONTROLS: ((v.proc2 & ~PROC2.enableEpt) | PROC2.unrestrictedGuest) >>> 0,
    }),
    needs: ['unrestricted-guest'],
  },
];

const exits: readonly EntryCheck[] = [
  reserved('exit-reserved', 'VM_EXIT_CONTROLS', (v) => v.exit, (v) => v.x.caps.exit),
  {
    id: 'save-timer-needs-timer',
    field: 'VM_EXIT_CONTROLS',
    rule: 'if "activate VMX-preemption timer" is 0, "save VMX-preemption timer value" must be 0',
    ok: (v) => (v.pin & PIN.preemptionTimer) !== 0 || (v.exit & EXIT.savePreemptionTimer) === 0,
    breaks: (v) => ({ PIN_BASED_CONTROLS: (v.pin & ~PIN.preemptionTimer) >>> 0, VM_EXIT_CONTROLS: (v.exit | EXIT.savePreemptionTimer) >>> 0 }),
    needs: ['preemption-timer'],
  },
  ...msrArea('exit-msr-store', 'VM_EXIT_MSR_STORE_ADDRESS', 'VM_EXIT_MSR_STORE_COUNT'),
  ...msrArea('exit-msr-load', 'VM_EXIT_MSR_LOAD_ADDRESS', 'VM_EXIT_MSR_LOAD_COUNT'),
];

const ERROR_CODE_VECTORS = [8, 10, 11, 12, 13, 14, 17];

/** Must an injected event carry an error code? §27.2.1.3, the bullet on "deliver error code". */
function wantsErrorCode(v: CheckView): boolean {
  if (v.unrestricted && !v.guestPe) return false;
  return eventType(v.injection) === EVENT_TYPE.hardware && ERROR_CODE_VECTORS.includes(eventVector(v.injection));
}

const injection: readonly EntryCheck[] = [
  {
    id: 'injection-type',
    field: 'VM_ENTRY_INTERRUPTION_INFORMATION',
    rule: 'the type must not be 1, nor 7 unless the processor supports the monitor trap flag',
    ok: (v) => !v.injecting || !(v.injects(1) || (v.injects(EVENT_OTHER) && !v.x.caps.has('monitor-trap-flag'))),
    breaks: () => ({ VM_ENTRY_INTERRUPTION_INFORMATION: inject({ vector: 2, type: 1 }) }),
  },
  {
    id: 'injection-nmi-vector',
    field: 'VM_ENTRY_INTERRUPTION_INFORMATION',
    rule: 'if the type is NMI, the vector must be 2',
    ok: (v) => !v.injects(EVENT_TYPE.nmi) || eventVector(v.injection) === 2,
    breaks: () => ({ VM_ENTRY_INTERRUPTION_INFORMATION: inject({ vector: 3, type: EVENT_TYPE.nmi }) }),
  },
  {
    id: 'injection-exception-vector',
    field: 'VM_ENTRY_INTERRUPTION_INFORMATION',
    rule: 'if the type is hardware exception, the vector must be at most 31',
    ok: (v) => !v.injects(EVENT_TYPE.hardware) || eventVector(v.injection) <= 31,
    breaks: () => ({ VM_ENTRY_INTERRUPTION_INFORMATION: inject({ vector: 32, type: EVENT_TYPE.hardware }) }),
  },
  {
    id: 'injection-other-vector',
    field: 'VM_ENTRY_INTERRUPTION_INFORMATION',
    rule: 'if the type is other event, the vector must be 0 (pending MTF VM exit)',
    ok: (v) => !v.injects(EVENT_OTHER) || eventVector(v.injection) === 0,
    breaks: () => ({ VM_ENTRY_INTERRUPTION_INFORMATION: inject({ vector: 1, type: EVENT_OTHER }) }),
    needs: ['monitor-trap-flag'],
  },
  {
    id: 'injection-error-code-valid',
    field: 'VM_ENTRY_INTERRUPTION_INFORMATION',
    rule: 'deliver-error-code must be 1 exactly for a hardware exception that has one, in a guest with CR0.PE = 1',
    ok: (v) => !v.injecting || ((v.injection & EVENT.errorCode) !== 0) === wantsErrorCode(v),
    breaks: () => ({ VM_ENTRY_INTERRUPTION_INFORMATION: inject({ vector: 6, type: EVENT_TYPE.hardware, error: true }) }),
  },
  {
    id: 'injection-reserved',
    field: 'VM_ENTRY_INTERRUPTION_INFORMATION',
    rule: 'reserved bits 30:12 must be 0',
    ok: (v) => !v.injecting || (v.injection & 0x7fff_f000) === 0,
    breaks: () => ({ VM_ENTRY_INTERRUPTION_INFORMATION: (inject({ vector: 6, type: EVENT_TYPE.hardware }) | (1 << 12)) >>> 0 }),
  },
  {
    id: 'injection-error-code',
    field: 'VM_ENTRY_EXCEPTION_ERROR_CODE',
    rule: 'if an error code is delivered, bits 31:16 must be 0',
    ok: (v) => !v.injecting || (v.injection & EVENT.errorCode) === 0 || v.u32(F.VM_ENTRY_EXCEPTION_ERROR_CODE) >>> 16 === 0,
    breaks: () => ({
      VM_ENTRY_INTERRUPTION_INFORMATION: inject({ vector: 13, type: EVENT_TYPE.hardware, error: true }),
      VM_ENTRY_EXCEPTION_ERROR_CODE: 0x1_0000,
    }),
  },
  {
    id: 'injection-length',
    field: 'VM_ENTRY_INSTRUCTION_LENGTH',
    rule: 'for a software interrupt or software exception, must be 1 to 15 (0 too, if the processor supports it)',
    ok: (v) => {
      if (!(v.injects(EVENT_TYPE.softwareInterrupt) || v.injects(EVENT_TYPE.privilegedSoftware) || v.injects(EVENT_TYPE.software))) return true;
      const n = v.u32(F.VM_ENTRY_INSTRUCTION_LENGTH);
      return n <= 15 && (n !== 0 || v.x.caps.has('zero-length-injection'));
    },
    breaks: () => ({ VM_ENTRY_INTERRUPTION_INFORMATION: inject({ vector: 0x80, type: EVENT_TYPE.softwareInterrupt }), VM_ENTRY_INSTRUCTION_LENGTH: 16 }),
  },
];

const entries: readonly EntryCheck[] = [
  ...msrArea('entry-msr-load', 'VM_ENTRY_MSR_LOAD_ADDRESS', 'VM_ENTRY_MSR_LOAD_COUNT'),
  {
    id: 'entry-to-smm',
    field: 'VM_ENTRY_CONTROLS',
    rule: 'outside SMM, "entry to SMM" must be 0',
    ok: (v) => (v.entry & ENTRY.entryToSmm) === 0,
    breaks: (v) => ({ VM_ENTRY_CONTROLS: v.entry | ENTRY.entryToSmm }),
  },
  {
    id: 'deactivate-dual-monitor',
    field: 'VM_ENTRY_CONTROLS',
    rule: 'outside SMM, "deactivate dual-monitor treatment" must be 0',
    ok: (v) => (v.entry & ENTRY.deactivateDualMonitor) === 0,
    breaks: (v) => ({ VM_ENTRY_CONTROLS: v.entry | ENTRY.deactivateDualMonitor }),
  },
];

export const CONTROL_CHECKS: readonly CheckGroup[] = [
  checkGroup('VM-Execution Control Fields', GROUP.controls, execution),
  checkGroup('VM-Exit Control Fields', GROUP.controls, exits),
  checkGroup('VM-Entry Control Fields', GROUP.controls, [reserved('entry-reserved', 'VM_ENTRY_CONTROLS', (v) => v.entry, (v) => v.x.caps.entry)]),
  checkGroup('VM-Entry Control Fields', GROUP.injection | GROUP.controls | GROUP.guestRegisters, injection),
  checkGroup('VM-Entry Control Fields', GROUP.controls, entries),
];
