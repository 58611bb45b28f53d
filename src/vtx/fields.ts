/**
 * The fields of a VMCS: encodings, and where this machine keeps each of them in the VMCS region.
 *
 * SDM 3C Appendix B "Field Encoding in VMCS" and §25.11.2 "VMREAD, VMWRITE, and Encodings of VMCS Fields". The encoding itself says
 * width (bits 14:13) and type (bits 11:10). A 64-bit field has a second encoding (bit 0 set) for its upper half.
 *
 * The region's format is the processor's own affair. Here (revision identifier in capabilities.ts):
 *
 *     0   revision identifier (bit 31: shadow-VMCS indicator)     4   VMX-abort indicator
 *     8   launch state: 0 clear, 1 launched                      16   the fields in the table's order, 8 bytes each
 *
 * Invariant: fields live only in the region, in memory, in their full 8 bytes; bits above a field's width are zero. So VMCLEAR and
 * VMPTRLD of another VMCS need no write-back, and a snapshot of memory is a snapshot of every VMCS.
 */

import type { FeatureName } from './capabilities.js';

const ENCODING = {
  // 16-bit control, guest-state and host-state fields
  VIRTUAL_PROCESSOR_ID: 0x0000,
  GUEST_ES_SELECTOR: 0x0800,
  GUEST_CS_SELECTOR: 0x0802,
  GUEST_SS_SELECTOR: 0x0804,
  GUEST_DS_SELECTOR: 0x0806,
  GUEST_FS_SELECTOR: 0x0808,
  GUEST_GS_SELECTOR: 0x080a,
  GUEST_LDTR_SELECTOR: 0x080c,
  GUEST_TR_SELECTOR: 0x080e,
  HOST_ES_SELECTOR: 0x0c00,
  HOST_CS_SELECTOR: 0x0c02,
  HOST_SS_SELECTOR: 0x0c04,
  HOST_DS_SELECTOR: 0x0c06,
  HOST_FS_SELECTOR: 0x0c08,
  HOST_GS_SELECTOR: 0x0c0a,
  HOST_TR_SELECTOR: 0x0c0c,
  // 64-bit control fields
  IO_BITMAP_A: 0x2000,
  IO_BITMAP_B: 0x2002,
  MSR_BITMAPS: 0x2004,
  VM_EXIT_MSR_STORE_ADDRESS: 0x2006,
  VM_EXIT_MSR_LOAD_ADDRESS: 0x2008,
  VM_ENTRY_MSR_LOAD_ADDRESS: 0x200a,
  EXECUTIVE_VMCS_POINTER: 0x200c,
  TSC_OFFSET: 0x2010,
  EPT_POINTER: 0x201a,
  // 64-bit read-only data field
  GUEST_PHYSICAL_ADDRESS: 0x2400,
  // 64-bit guest-state and host-state fields
  VMCS_LINK_POINTER: 0x2800,
  GUEST_IA32_DEBUGCTL: 0x2802,
  GUEST_IA32_PAT: 0x2804,
  GUEST_IA32_EFER: 0x2806,
  GUEST_PDPTE0: 0x280a,
  GUEST_PDPTE1: 0x280c,
  GUEST_PDPTE2: 0x280e,
  GUEST_PDPTE3: 0x2810,
  HOST_IA32_PAT: 0x2c00,
  HOST_IA32_EFER: 0x2c02,
  // 32-bit control fields
  PIN_BASED_CONTROLS: 0x4000,
  PRIMARY_PROCESSOR_BASED_CONTROLS: 0x4002,
  EXCEPTION_BITMAP: 0x4004,
  PAGE_FAULT_ERROR_CODE_MASK: 0x4006,
  PAGE_FAULT_ERROR_CODE_MATCH: 0x4008,
  CR3_TARGET_COUNT: 0x400a,
  VM_EXIT_CONTROLS: 0x400c,
  VM_EXIT_MSR_STORE_COUNT: 0x400e,
  VM_EXIT_MSR_LOAD_COUNT: 0x4010,
  VM_ENTRY_CONTROLS: 0x4012,
  VM_ENTRY_MSR_LOAD_COUNT: 0x4014,
  VM_ENTRY_INTERRUPTION_INFORMATION: 0x4016,
  VM_ENTRY_EXCEPTION_ERROR_CODE: 0x4018,
  VM_ENTRY_INSTRUCTION_LENGTH: 0x401a,
  SECONDARY_PROCESSOR_BASED_CONTROLS: 0x401e,
  PLE_GAP: 0x4020,
  PLE_WINDOW: 0x4022,
  // 32-bit read-only data fields
  VM_INSTRUCTION_ERROR: 0x4400,
  EXIT_REASON: 0x4402,
  VM_EXIT_INTERRUPTION_INFORMATION: 0x4404,
  VM_EXIT_INTERRUPTION_ERROR_CODE: 0x4406,
  IDT_VECTORING_INFORMATION: 0x4408,
  IDT_VECTORING_ERROR_CODE: 0x440a,
  VM_EXIT_INSTRUCTION_LENGTH: 0x440c,
  VM_EXIT_INSTRUCTION_INFORMATION: 0x440e,
  // 32-bit guest-state and host-state fields
  GUEST_ES_LIMIT: 0x4800,
  GUEST_CS_LIMIT: 0x4802,
  GUEST_SS_LIMIT: 0x4804,
  GUEST_DS_LIMIT: 0x4806,
  GUEST_FS_LIMIT: 0x4808,
  GUEST_GS_LIMIT: 0x480a,
  GUEST_LDTR_LIMIT: 0x480c,
  GUEST_TR_LIMIT: 0x480e,
  GUEST_GDTR_LIMIT: 0x4810,
  GUEST_IDTR_LIMIT: 0x4812,
  GUEST_ES_ACCESS_RIGHTS: 0x4814,
  GUEST_CS_ACCESS_RIGHTS: 0x4816,
  GUEST_SS_ACCESS_RIGHTS: 0x4818,
  GUEST_DS_ACCESS_RIGHTS: 0x481a,
  GUEST_FS_ACCESS_RIGHTS: 0x481c,
  GUEST_GS_ACCESS_RIGHTS: 0x481e,
  GUEST_LDTR_ACCESS_RIGHTS: 0x4820,
  GUEST_TR_ACCESS_RIGHTS: 0x4822,
  GUEST_INTERRUPTIBILITY_STATE: 0x4824,
  GUEST_ACTIVITY_STATE: 0x4826,
  GUEST_SMBASE: 0x4828,
  GUEST_IA32_SYSENTER_CS: 0x482a,
  VMX_PREEMPTION_TIMER_VALUE: 0x482e,
  HOST_IA32_SYSENTER_CS: 0x4c00,
  // natural-width control fields
  CR0_GUEST_HOST_MASK: 0x6000,
  CR4_GUEST_HOST_MASK: 0x6002,
  CR0_READ_SHADOW: 0x6004,
  CR4_READ_SHADOW: 0x6006,
  CR3_TARGET_VALUE_0: 0x6008,
  CR3_TARGET_VALUE_1: 0x600a,
  CR3_TARGET_VALUE_2: 0x600c,
  CR3_TARGET_VALUE_3: 0x600e,
  // natural-width read-only data fields
  EXIT_QUALIFICATION: 0x6400,
  IO_RCX: 0x6402,
  IO_RSI: 0x6404,
  IO_RDI: 0x6406,
  IO_RIP: 0x6408,
  GUEST_LINEAR_ADDRESS: 0x640a,
  // natural-width guest-state fields
  GUEST_CR0: 0x6800,
  GUEST_CR3: 0x6802,
  GUEST_CR4: 0x6804,
  GUEST_ES_BASE: 0x6806,
  GUEST_CS_BASE: 0x6808,
  GUEST_SS_BASE: 0x680a,
  GUEST_DS_BASE: 0x680c,
  GUEST_FS_BASE: 0x680e,
  GUEST_GS_BASE: 0x6810,
  GUEST_LDTR_BASE: 0x6812,
  GUEST_TR_BASE: 0x6814,
  GUEST_GDTR_BASE: 0x6816,
  GUEST_IDTR_BASE: 0x6818,
  GUEST_DR7: 0x681a,
  GUEST_RSP: 0x681c,
  GUEST_RIP: 0x681e,
  GUEST_RFLAGS: 0x6820,
  GUEST_PENDING_DEBUG_EXCEPTIONS: 0x6822,
  GUEST_IA32_SYSENTER_ESP: 0x6824,
  GUEST_IA32_SYSENTER_EIP: 0x6826,
  // natural-width host-state fields
  HOST_CR0: 0x6c00,
  HOST_CR3: 0x6c02,
  HOST_CR4: 0x6c04,
  HOST_FS_BASE: 0x6c06,
  HOST_GS_BASE: 0x6c08,
  HOST_TR_BASE: 0x6c0a,
  HOST_GDTR_BASE: 0x6c0c,
  HOST_IDTR_BASE: 0x6c0e,
  HOST_IA32_SYSENTER_ESP: 0x6c10,
  HOST_IA32_SYSENTER_EIP: 0x6c12,
  HOST_RSP: 0x6c14,
  HOST_RIP: 0x6c16,
} as const;

export type FieldName = keyof typeof ENCODING;

/** A field exists only on processors that support the control it belongs to (Appendix B, the footnotes of its tables). */
const NEEDS: Partial<Record<FieldName, FeatureName | readonly FeatureName[]>> = {
  VIRTUAL_PROCESSOR_ID: 'vpid',
  MSR_BITMAPS: 'msr-bitmaps',
  EPT_POINTER: 'ept',
  GUEST_PHYSICAL_ADDRESS: 'ept',
  GUEST_PDPTE0: 'ept',
  GUEST_PDPTE1: 'ept',
  GUEST_PDPTE2: 'ept',
  GUEST_PDPTE3: 'ept',
  GUEST_IA32_PAT: 'pat-controls',
  HOST_IA32_PAT: 'pat-controls',
  GUEST_IA32_EFER: 'efer-controls',
  HOST_IA32_EFER: 'efer-controls',
  SECONDARY_PROCESSOR_BASED_CONTROLS: 'secondary-controls',
  PLE_GAP: 'pause-loop-exiting',
  PLE_WINDOW: 'pause-loop-exiting',
  VMX_PREEMPTION_TIMER_VALUE: 'preemption-timer',
};

export type FieldWidth = 16 | 32 | 64 | 'natural';
export type FieldType = 'control' | 'read-only' | 'guest' | 'host';

/**
 * Groups of fields whose change makes a group of VM-entry checks worth repeating. The checks of a group hold as long as none of
 * the groups they read was written since they last held; see entry-checks.ts.
 */
export const GROUP = { controls: 1, injection: 2, host: 4, guestRegisters: 8, guestSegments: 16, guestTables: 32, guestFlags: 64, guestState: 128, guestRip: 256, none: 0 } as const;

export interface Field {
  readonly name: FieldName;
  readonly encoding: number;
  readonly width: FieldWidth;
  readonly type: FieldType;
  /** Byte offset in the VMCS region. */
  readonly offset: number;
  readonly group: number;
  readonly needs: readonly FeatureName[];
}

export const REVISION_OFFSET = 0, ABORT_OFFSET = 4, LAUNCH_OFFSET = 8;
const FIRST_FIELD = 16;

function groupOf(name: FieldName, type: FieldType): number {
  if (type === 'read-only') return GROUP.none;
  if (type === 'host') return GROUP.host;
  if (name.startsWith('VM_ENTRY_INTERRUPTION') || name.startsWith('VM_ENTRY_EXCEPTION') || name.startsWith('VM_ENTRY_INSTRUCTION')) return GROUP.injection;
  if (type === 'control') return GROUP.controls;
  if (/^GUEST_(GDTR|IDTR)_/.test(name)) return GROUP.guestTables;
  if (/_(SELECTOR|LIMIT|ACCESS_RIGHTS|BASE)$/.test(name)) return GROUP.guestSegments;
  if (name === 'GUEST_RSP') return GROUP.none; // any value
  if (name === 'GUEST_RIP') return GROUP.guestRip;
  if (name === 'GUEST_RFLAGS') return GROUP.guestFlags;
  if (/INTERRUPTIBILITY|ACTIVITY|PENDING|LINK|PDPTE/.test(name)) return GROUP.guestState;
  if (name === 'VMX_PREEMPTION_TIMER_VALUE') return GROUP.none;
  return GROUP.guestRegisters;
}

/** Every field that this machine knows, in the order of the region. */
export const FIELDS: readonly Field[] = Object.entries(ENCODING).map(([key, encoding], i) => {
  const name = key as FieldName;
  const needs = NEEDS[name] ?? [];
  const type = (['control', 'read-only', 'guest', 'host'] as const)[(encoding >> 10) & 3]!;
  return {
    name,
    encoding,
    width: ([16, 64, 32, 'natural'] as const)[(encoding >> 13) & 3]!,
    type,
    offset: FIRST_FIELD + 8 * i,
    group: groupOf(name, type),
    needs: typeof needs === 'string' ? [needs] : needs,
  };
});

/** Offset of each field in the region: what the other files name fields by. */
export const F = Object.fromEntries(FIELDS.map((f) => [f.name, f.offset])) as { readonly [K in FieldName]: number };

const byOffset = new Map(FIELDS.map((f) => [f.offset, f]));
export const fieldAt = (offset: number): Field => byOffset.get(offset)!;

const ENCODINGS = 0x8000; // of 15 bits
const byEncoding = new Array<Field | undefined>(ENCODINGS).fill(undefined);
for (const f of FIELDS) {
  byEncoding[f.encoding] = f;
  if (f.width === 64) byEncoding[f.encoding | 1] = f;
}

/** The field of an encoding as VMREAD and VMWRITE give it (bit 0 set: upper half of a 64-bit field), or undefined. */
export const fieldOf = (encoding: number): Field | undefined => (encoding < ENCODINGS ? byEncoding[encoding] : undefined);

/** Names of the segment registers in the order of the state (`ES` = 0 ... `TR` = 7) and of the encodings. */
export const SEGMENTS = ['ES', 'CS', 'SS', 'DS', 'FS', 'GS', 'LDTR', 'TR'] as const;
export type SegmentName = (typeof SEGMENTS)[number];

export interface SegmentFields {
  readonly selector: number;
  readonly base: number;
  readonly limit: number;
  readonly rights: number;
}
/** Region offsets of the guest segment registers' fields. */
export const GUEST_SEGMENT: readonly SegmentFields[] = SEGMENTS.map((s) => ({
  selector: F[`GUEST_${s}_SELECTOR`],
  base: F[`GUEST_${s}_BASE`],
  limit: F[`GUEST_${s}_LIMIT`],
  rights: F[`GUEST_${s}_ACCESS_RIGHTS`],
}));
