/**
 * VM-entry checks on the guest-state area except the segment registers. A violation is a VM exit with reason 33.
 *
 * SDM 3C §27.3.1 "Checks on the Guest State Area": §27.3.1.1 "Checks on Guest Control Registers, Debug Registers, and MSRs",
 * §27.3.1.3 "Checks on Guest Descriptor-Table Registers", §27.3.1.4 "Checks on Guest RIP, RFLAGS, and SSP", §27.3.1.5 "Checks on
 * Guest Non-Register State", §27.3.1.6 "Checks on Guest Page-Directory-Pointer-Table Entries".
 */

import { DB, EVENT_TYPE, MC } from '../cpu/events.js';
import { ACTIVITY, CR0_PE, CR0_PG, CR4_PAE, CR4_PCIDE, EFER_LMA, EFER_LME, IF, TF } from '../cpu/state.js';
import { BLOCKING, ENTRY, EVENT_OTHER, PENDING_DEBUG, PIN, eventVector } from './controls.js';
import { ALL_ONES, ALWAYS, type CheckGroup, type CheckView, CONTROLS_AND, type EntryCheck, checkGroup } from './entry-checks.js';
import { isCanonical, patOk } from './entry-checks-host.js';
import { segmentChecks } from './entry-checks-segments.js';
import { F, type FieldName, GROUP, REVISION_OFFSET } from './fields.js';

/** IA32_DEBUGCTL bits that may be one: LBR, BTF, and the trace and freeze controls up to bit 15 that parts of this age have. */
const DEBUGCTL_ALLOWED = 0xffc3n;
const DEBUGCTL_BTF = 2n;

/** Exit qualifications of an entry failure. §27.8 "VM-Entry Failures During or After Loading Guest State". */
export const QUALIFICATION = { none: 0, pdpte: 2, nmi: 3, linkPointer: 4 } as const;

const loadsDebug = (v: CheckView): boolean => (v.entry & ENTRY.loadDebugControls) !== 0;

const registers: readonly EntryCheck[] = [
  {
    id: 'guest-cr0-fixed',
    field: 'GUEST_CR0',
    rule: 'must not set a bit to a value that VMX operation does not support (PE and PG are free in an unrestricted guest)',
    ok: (v) => v.u64(F.GUEST_CR0) >> 32n === 0n && (~v.guestCr0 & v.x.caps.cr0Fixed1s(v.unrestricted)) === 0,
    breaks: (v) => ({ GUEST_CR0: v.u64(F.GUEST_CR0) & ~0x20n }),
  },
  {
    id: 'guest-cr0-pg-needs-pe',
    field: 'GUEST_CR0',
    rule: 'if PG is 1, PE must be 1',
    ok: (v) => !v.guestPg || v.guestPe,
    breaks: (v) => ({ GUEST_CR0: (v.u64(F.GUEST_CR0) | BigInt(CR0_PG)) & ~BigInt(CR0_PE) }),
    base: 'real',
    needs: ['unrestricted-guest'],
  },
  {
    id: 'guest-cr4-fixed',
    field: 'GUEST_CR4',
    rule: 'must not set a bit to a value that VMX operation does not support',
    ok: (v) => v.u64(F.GUEST_CR4) >> 32n === 0n && v.x.cr4Ok(v.cpu, v.u32(F.GUEST_CR4)),
    breaks: (v) => ({ GUEST_CR4: v.u64(F.GUEST_CR4) & ~0x2000n }),
  },
  {
    id: 'guest-debugctl',
    field: 'GUEST_IA32_DEBUGCTL',
    rule: 'if "load debug controls" is 1, reserved bits must be 0',
    ok: (v) => !loadsDebug(v) || (v.u64(F.GUEST_IA32_DEBUGCTL) & ~DEBUGCTL_ALLOWED) === 0n,
    breaks: (v) => ({ VM_ENTRY_CONTROLS: v.entry | ENTRY.loadDebugControls, GUEST_IA32_DEBUGCTL: 1n << 63n }),
  },
  {
    id: 'ia32e-guest-needs-paging',
    field: 'GUEST_CR0',
    rule: 'if "IA-32e mode guest" is 1, CR0.PG and CR4.PAE must be 1',
    ok: (v) => !v.ia32eGuest || (v.guestPg && (v.u32(F.GUEST_CR4) & CR4_PAE) !== 0),
    breaks: (v) => ({ GUEST_CR4: v.u64(F.GUEST_CR4) & ~BigInt(CR4_PAE) }),
  },
  {
    id: 'guest-cr4-pcide',
    field: 'GUEST_CR4',
    rule: 'if "IA-32e mode guest" is 0, PCIDE must be 0',
    ok: (v) => v.ia32eGuest || (v.u32(F.GUEST_CR4) & CR4_PCIDE) === 0,
    breaks: (v) => ({ GUEST_CR4: v.u64(F.GUEST_CR4) | BigInt(CR4_PCIDE) }),
    base: 'pae',
  },
  {
    id: 'guest-cr3-width',
    field: 'GUEST_CR3',
    rule: 'bits beyond the physical-address width must be 0',
    ok: (v) => v.physical(v.u64(F.GUEST_CR3)),
    breaks: (v) => ({ GUEST_CR3: v.beyondPhysical }),
  },
  {
    id: 'guest-dr7',
    field: 'GUEST_DR7',
    rule: 'if "load debug controls" is 1, bits 63:32 must be 0',
    ok: (v) => !loadsDebug(v) || v.u64(F.GUEST_DR7) >> 32n === 0n,
    breaks: (v) => ({ VM_ENTRY_CONTROLS: v.entry | ENTRY.loadDebugControls, GUEST_DR7: 0x400n | (1n << 32n) }),
  },
  isCanonical('GUEST_IA32_SYSENTER_ESP'),
  isCanonical('GUEST_IA32_SYSENTER_EIP'),
  {
    id: 'guest-pat',
    field: 'GUEST_IA32_PAT',
    rule: 'if "load IA32_PAT" is 1, each byte must be 0, 1, 4, 5, 6 or 7',
    ok: (v) => (v.entry & ENTRY.loadPat) === 0 || patOk(v.u64(F.GUEST_IA32_PAT)),
    breaks: (v) => ({ VM_ENTRY_CONTROLS: v.entry | ENTRY.loadPat, GUEST_IA32_PAT: 3n }),
    needs: ['pat-controls'],
  },
  {
    id: 'guest-efer-reserved',
    field: 'GUEST_IA32_EFER',
    rule: 'if "load IA32_EFER" is 1, reserved bits must be 0',
    ok: (v) => (v.entry & ENTRY.loadEfer) === 0 || v.x.eferOk(v.cpu, v.u64(F.GUEST_IA32_EFER)),
    breaks: (v) => ({ VM_ENTRY_CONTROLS: v.entry | ENTRY.loadEfer, GUEST_IA32_EFER: 0x500n | (1n << 63n) }),
    needs: ['efer-controls'],
  },
  {
    id: 'guest-efer-lma',
    field: 'GUEST_IA32_EFER',
    rule: 'LMA must equal the "IA-32e mode guest" VM-entry control, and LME too if CR0.PG is 1',
    ok: (v) => {
      if ((v.entry & ENTRY.loadEfer) === 0) return true;
      const efer = v.u32(F.GUEST_IA32_EFER);
      return ((efer & EFER_LMA) !== 0) === v.ia32eGuest && (!v.guestPg || ((efer & EFER_LME) !== 0) === v.ia32eGuest);
    },
    breaks: (v) => ({ VM_ENTRY_CONTROLS: v.entry | ENTRY.loadEfer, GUEST_IA32_EFER: BigInt(EFER_LMA) }),
    needs: ['efer-controls'],
  },
];

const tables: readonly EntryCheck[] = (['GDTR', 'IDTR'] as const).flatMap((t): EntryCheck[] => {
  const limit: FieldName = `GUEST_${t}_LIMIT`;
  return [
    isCanonical(`GUEST_${t}_BASE`),
    {
      id: `guest-${t.toLowerCase()}-limit`,
      field: limit,
      rule: 'bits 31:16 must be 0',
      ok: (v) => v.u32(F[limit]) >>> 16 === 0,
      breaks: () => ({ [limit]: 0x1_0000 }),
    },
  ];
});

const CS_L = 1 << 13;
const guest64 = (v: CheckView): boolean => v.ia32eGuest && (v.u32(F.GUEST_CS_ACCESS_RIGHTS) & CS_L) !== 0;
const RFLAGS_RESERVED = ~0x3f_7fd7n & ALL_ONES;
const EXTERNAL_INTERRUPT = 0x8000_0020;
const INJECT_NMI = 0x8000_0202;

const flags: readonly EntryCheck[] = [
  {
    id: 'guest-rip-32',
    field: 'GUEST_RIP',
    rule: 'bits 63:32 must be 0 unless the guest is in 64-bit mode',
    ok: (v) => guest64(v) || v.u64(F.GUEST_RIP) >> 32n === 0n,
    breaks: () => ({ GUEST_RIP: 1n << 32n }),
    base: 'compat',
  },
  {
    id: 'guest-rip-64',
    field: 'GUEST_RIP',
    rule: 'in 64-bit mode bits 63:48 must be identical',
    ok: (v) => !guest64(v) || [0n, 0xffffn].includes(v.u64(F.GUEST_RIP) >> 48n),
    breaks: () => ({ GUEST_RIP: 1n << 48n }),
  },
  {
    id: 'guest-rflags-reserved',
    field: 'GUEST_RFLAGS',
    rule: 'reserved bits 63:22, 15, 5 and 3 must be 0 and bit 1 must be 1',
    ok: (v) => (v.u64(F.GUEST_RFLAGS) & RFLAGS_RESERVED) === 0n && (v.u32(F.GUEST_RFLAGS) & 2) !== 0,
    breaks: (v) => ({ GUEST_RFLAGS: v.u64(F.GUEST_RFLAGS) | 8n }),
  },
  {
    id: 'guest-rflags-vm',
    field: 'GUEST_RFLAGS',
    rule: 'VM must be 0 in IA-32e mode and when CR0.PE is 0',
    ok: (v) => !v.guestV86 || (!v.ia32eGuest && v.guestPe),
    // A virtual-8086 guest passes all segment checks; only then is this rule the first to fail.
    breaks: (v) => ({ GUEST_CR0: v.u64(F.GUEST_CR0) & ~BigInt((CR0_PG | CR0_PE) >>> 0), ...unrestricted(v) }),
    base: 'virtual-8086',
    needs: ['unrestricted-guest'],
  },
  {
    id: 'guest-rflags-if',
    field: 'GUEST_RFLAGS',
    rule: 'IF must be 1 when an external interrupt is injected',
    ok: (v) => !v.injects(EVENT_TYPE.external) || (v.u32(F.GUEST_RFLAGS) & IF) !== 0,
    breaks: (v) => ({ VM_ENTRY_INTERRUPTION_INFORMATION: EXTERNAL_INTERRUPT, GUEST_RFLAGS: v.u64(F.GUEST_RFLAGS) & ~BigInt(IF) }),
  },
];

/** Fields that turn a base into an unrestricted guest with EPT. */
const unrestricted = (v: CheckView): Partial<Record<FieldName, bigint | number>> => ({
  PRIMARY_PROCESSOR_BASED_CONTROLS: (v.proc | 0x8000_0000) >>> 0,
  SECONDARY_PROCESSOR_BASED_CONTROLS: 0x82,
  EPT_POINTER: 0x1000n | (3n << 3n) | 6n,
});

const activity = (v: CheckView): number => v.u32(F.GUEST_ACTIVITY_STATE);
const blocking = (v: CheckView): number => v.u32(F.GUEST_INTERRUPTIBILITY_STATE);
const pendingDebug = (v: CheckView): bigint => v.u64(F.GUEST_PENDING_DEBUG_EXCEPTIONS);

/** May the injected event be delivered in this activity state? The last bullet on the activity-state field. */
function injectableIn(v: CheckView): boolean {
  if (!v.injecting) return true;
  const vector = eventVector(v.injection);
  switch (activity(v)) {
    case ACTIVITY.hlt:
      return v.injects(EVENT_TYPE.external) || v.injects(EVENT_TYPE.nmi) || v.injects(EVENT_OTHER) ||
        (v.injects(EVENT_TYPE.hardware) && (vector === DB || vector === MC));
    case ACTIVITY.shutdown:
      return v.injects(EVENT_TYPE.nmi) || (v.injects(EVENT_TYPE.hardware) && vector === MC);
    case ACTIVITY.waitForSipi:
      return false;
    default:
      return true;
  }
}

const SS_DPL3 = 3 << 5;

const nonRegister: readonly EntryCheck[] = [
  {
    id: 'activity-supported',
    field: 'GUEST_ACTIVITY_STATE',
    rule: 'must be 0 to 3 and a state that the processor supports',
    ok: (v) => activity(v) <= ACTIVITY.waitForSipi,
    breaks: () => ({ GUEST_ACTIVITY_STATE: 4 }),
  },
  {
    id: 'activity-hlt-cpl',
    field: 'GUEST_ACTIVITY_STATE',
    rule: 'must not be HLT if the DPL of SS is not 0',
    ok: (v) => activity(v) !== ACTIVITY.hlt || (v.u32(F.GUEST_SS_ACCESS_RIGHTS) & SS_DPL3) === 0,
    breaks: () => ({ GUEST_ACTIVITY_STATE: ACTIVITY.hlt }),
    base: 'virtual-8086',
  },
  {
    id: 'activity-blocking',
    field: 'GUEST_ACTIVITY_STATE',
    rule: 'must be active if there is blocking by STI or by MOV SS',
    ok: (v) => (blocking(v) & (BLOCKING.sti | BLOCKING.movSs)) === 0 || activity(v) === ACTIVITY.active,
    breaks: () => ({ GUEST_ACTIVITY_STATE: ACTIVITY.hlt, GUEST_INTERRUPTIBILITY_STATE: BLOCKING.movSs }),
  },
  {
    id: 'activity-injection',
    field: 'GUEST_ACTIVITY_STATE',
    rule: 'the injected event must be one that is delivered in this activity state',
    ok: injectableIn,
    breaks: () => ({ GUEST_ACTIVITY_STATE: ACTIVITY.waitForSipi, VM_ENTRY_INTERRUPTION_INFORMATION: INJECT_NMI }),
  },
  {
    id: 'interruptibility-reserved',
    field: 'GUEST_INTERRUPTIBILITY_STATE',
    rule: 'reserved bits 31:5 (and 4, without SGX) must be 0',
    ok: (v) => (blocking(v) & ~0xf) === 0,
    breaks: () => ({ GUEST_INTERRUPTIBILITY_STATE: 1 << 5 }),
  },
  {
    id: 'interruptibility-sti-and-mov-ss',
    field: 'GUEST_INTERRUPTIBILITY_STATE',
    rule: 'blocking by STI and by MOV SS must not both be 1',
    ok: (v) => (blocking(v) & 3) !== 3,
    breaks: (v) => ({ GUEST_INTERRUPTIBILITY_STATE: 3, GUEST_RFLAGS: v.u64(F.GUEST_RFLAGS) | BigInt(IF) }),
  },
  {
    id: 'interruptibility-sti-if',
    field: 'GUEST_INTERRUPTIBILITY_STATE',
    rule: 'blocking by STI must be 0 if RFLAGS.IF is 0',
    ok: (v) => (blocking(v) & BLOCKING.sti) === 0 || (v.u32(F.GUEST_RFLAGS) & IF) !== 0,
    breaks: (v) => ({ GUEST_INTERRUPTIBILITY_STATE: BLOCKING.sti, GUEST_RFLAGS: v.u64(F.GUEST_RFLAGS) & ~BigInt(IF) }),
  },
  {
    id: 'interruptibility-external',
    field: 'GUEST_INTERRUPTIBILITY_STATE',
    rule: 'blocking by STI and by MOV SS must be 0 when an external interrupt is injected',
    ok: (v) => !v.injects(EVENT_TYPE.external) || (blocking(v) & (BLOCKING.sti | BLOCKING.movSs)) === 0,
    breaks: (v) => ({
      VM_ENTRY_INTERRUPTION_INFORMATION: EXTERNAL_INTERRUPT,
      GUEST_RFLAGS: v.u64(F.GUEST_RFLAGS) | BigInt(IF),
      GUEST_INTERRUPTIBILITY_STATE: BLOCKING.sti,
    }),
  },
  {
    id: 'interruptibility-nmi-mov-ss',
    field: 'GUEST_INTERRUPTIBILITY_STATE',
    rule: 'blocking by MOV SS must be 0 when an NMI is injected',
    ok: (v) => !v.injects(EVENT_TYPE.nmi) || (blocking(v) & BLOCKING.movSs) === 0,
    breaks: () => ({ VM_ENTRY_INTERRUPTION_INFORMATION: INJECT_NMI, GUEST_INTERRUPTIBILITY_STATE: BLOCKING.movSs }),
  },
  {
    id: 'interruptibility-smi',
    field: 'GUEST_INTERRUPTIBILITY_STATE',
    rule: 'outside SMM, blocking by SMI must be 0',
    ok: (v) => (blocking(v) & BLOCKING.smi) === 0,
    breaks: () => ({ GUEST_INTERRUPTIBILITY_STATE: BLOCKING.smi }),
  },
  {
    id: 'interruptibility-virtual-nmi',
    field: 'GUEST_INTERRUPTIBILITY_STATE',
    rule: 'if "virtual NMIs" is 1, blocking by NMI must be 0 when an NMI is injected',
    ok: (v) => (v.pin & PIN.virtualNmis) === 0 || !v.injects(EVENT_TYPE.nmi) || (blocking(v) & BLOCKING.nmi) === 0,
    breaks: (v) => ({
      PIN_BASED_CONTROLS: v.pin | PIN.nmiExiting | PIN.virtualNmis,
      VM_ENTRY_INTERRUPTION_INFORMATION: INJECT_NMI,
      GUEST_INTERRUPTIBILITY_STATE: BLOCKING.nmi,
    }),
    needs: ['virtual-nmis'],
  },
  {
    id: 'pending-debug-reserved',
    field: 'GUEST_PENDING_DEBUG_EXCEPTIONS',
    rule: 'bits 11:4, 13 and 63:15 must be 0',
    ok: (v) => (pendingDebug(v) & ~(PENDING_DEBUG.b0to3 | PENDING_DEBUG.enabledBreakpoint | PENDING_DEBUG.bs)) === 0n,
    breaks: () => ({ GUEST_PENDING_DEBUG_EXCEPTIONS: 1n << 13n }),
  },
  {
    id: 'pending-debug-bs',
    field: 'GUEST_PENDING_DEBUG_EXCEPTIONS',
    rule: 'with blocking by STI or MOV SS, or in HLT state, BS must be 1 exactly if RFLAGS.TF is 1 and IA32_DEBUGCTL.BTF is 0',
    ok: (v) => {
      if ((blocking(v) & (BLOCKING.sti | BLOCKING.movSs)) === 0 && activity(v) !== ACTIVITY.hlt) return true;
      const stepping = (v.u32(F.GUEST_RFLAGS) & TF) !== 0 && (v.u64(F.GUEST_IA32_DEBUGCTL) & DEBUGCTL_BTF) === 0n;
      return ((pendingDebug(v) & PENDING_DEBUG.bs) !== 0n) === stepping;
    },
    breaks: () => ({ GUEST_INTERRUPTIBILITY_STATE: BLOCKING.movSs, GUEST_PENDING_DEBUG_EXCEPTIONS: PENDING_DEBUG.bs }),
  },
];

const noLink = (v: CheckView): boolean => v.u32(F.VMCS_LINK_POINTER) === 0xffff_ffff && v.u32(F.VMCS_LINK_POINTER + 4) === 0xffff_ffff;

/** The VMCS link pointer must name a VMCS; without VMCS shadowing its shadow indicator must be 0. */
const linkPointer: readonly EntryCheck[] = [
  {
    id: 'link-pointer-address',
    field: 'VMCS_LINK_POINTER',
    rule: 'if not FFFFFFFF_FFFFFFFFH, must be 4-KByte aligned within the physical-address width',
    ok: (v) => noLink(v) || v.aligned(v.u64(F.VMCS_LINK_POINTER), 12),
    breaks: () => ({ VMCS_LINK_POINTER: 0x1001n }),
    qualification: QUALIFICATION.linkPointer,
  },
  {
    id: 'link-pointer-revision',
    field: 'VMCS_LINK_POINTER',
    rule: 'the VMCS that it names must have our revision identifier and a shadow indicator of 0',
    ok: (v) => noLink(v) || Number(v.cpu.readPhys(Number(v.u64(F.VMCS_LINK_POINTER)) + REVISION_OFFSET, 4)) === v.x.caps.revision,
    breaks: () => ({ VMCS_LINK_POINTER: 0x2000n }),
    qualification: QUALIFICATION.linkPointer,
  },
];

/** Bits of a present PAE page-directory-pointer-table entry that must be 0 below the physical-address width. */
const PDPTE_RESERVED = 0x1e6n;
/** Is a PDPTE one that loading CR3 would accept? SDM 3A §4.4.1 "PDPTE Registers". */
export const pdpteOk = (e: bigint, physical: (v: bigint) => boolean): boolean =>
  (e & 1n) === 0n || ((e & PDPTE_RESERVED) === 0n && physical(e));

const pdptes: readonly EntryCheck[] = [0, 1, 2, 3].map((i): EntryCheck => {
  const field = `GUEST_PDPTE${i as 0 | 1 | 2 | 3}` as const;
  return {
    id: `guest-pdpte${i}`,
    field,
    rule: 'with PAE paging and EPT, reserved bits of a present entry must be 0',
    ok: (v) => !v.ept || !v.guestPae || pdpteOk(v.u64(F[field]), (p) => v.physical(p)),
    breaks: (v) => ({ ...unrestricted(v), SECONDARY_PROCESSOR_BASED_CONTROLS: 2, [field]: 3n }),
    base: 'pae',
    needs: ['ept'],
    qualification: QUALIFICATION.pdpte,
  };
});

export const GUEST_CHECKS: readonly CheckGroup[] = [
  checkGroup('Checks on Guest Control Registers, Debug Registers, and MSRs', CONTROLS_AND(GROUP.guestRegisters), registers),
  checkGroup('Checks on Guest Segment Registers', CONTROLS_AND(GROUP.guestSegments | GROUP.guestRegisters | GROUP.guestFlags), segmentChecks),
  checkGroup('Checks on Guest Descriptor-Table Registers', GROUP.guestTables, tables),
  checkGroup(
    'Checks on Guest RIP, RFLAGS, and SSP',
    CONTROLS_AND(GROUP.guestRip | GROUP.guestFlags | GROUP.guestSegments | GROUP.guestRegisters | GROUP.injection),
    flags,
  ),
  checkGroup(
    'Checks on Guest Non-Register State',
    CONTROLS_AND(GROUP.guestState | GROUP.guestFlags | GROUP.guestSegments | GROUP.injection | GROUP.guestRegisters),
    nonRegister,
  ),
  // The named VMCS may change without a VMWRITE.
  checkGroup('Checks on Guest Non-Register State', ALWAYS, linkPointer),
  checkGroup('Checks on Guest Page-Directory-Pointer-Table Entries', CONTROLS_AND(GROUP.guestState | GROUP.guestRegisters), pdptes),
];

