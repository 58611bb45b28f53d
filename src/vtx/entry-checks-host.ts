/**
 * VM-entry checks on the host-state area. A violation is VMfailValid with error 8.
 *
 * SDM 3C §27.2.2 "Checks on Host Control Registers, MSRs, and SSP", §27.2.3 "Checks on Host Segment and Descriptor-Table
 * Registers", §27.2.4 "Checks Related to Address-Space Size".
 */

import { CR4_PAE, CR4_PCIDE, EFER_LMA, EFER_LME } from '../cpu/state.js';
import { ENTRY, EXIT } from './controls.js';
import { type CheckGroup, type CheckView, type EntryCheck, canonical, checkGroup } from './entry-checks.js';
import { F, type FieldName, GROUP } from './fields.js';

const NON_CANONICAL = 1n << 47n;

/** A PAT value: eight bytes, each 0, 1, 4, 5, 6 or 7. */
export function patOk(pat: bigint): boolean {
  for (let i = 0n; i < 64n; i += 8n) {
    const type = Number((pat >> i) & 0xffn);
    if (type > 7 || type === 2 || type === 3) return false;
  }
  return true;
}

export function isCanonical(field: FieldName): EntryCheck {
  const offset = F[field];
  return {
    id: `${field.toLowerCase().replaceAll('_', '-')}-canonical`,
    field,
    rule: 'must be canonical',
    ok: (v) => v.canonical(offset),
    breaks: () => ({ [field]: NON_CANONICAL }),
  };
}

const registers: readonly EntryCheck[] = [
  {
    id: 'host-cr0-fixed',
    field: 'HOST_CR0',
    rule: 'must not set a bit to a value that VMX operation does not support',
    ok: (v) => v.u64(F.HOST_CR0) >> 32n === 0n && (~v.u32(F.HOST_CR0) & v.x.caps.cr0Fixed1s(false)) === 0,
    breaks: (v) => ({ HOST_CR0: v.u64(F.HOST_CR0) & ~0x20n }),
  },
  {
    id: 'host-cr4-fixed',
    field: 'HOST_CR4',
    rule: 'must not set a bit to a value that VMX operation does not support',
    ok: (v) => v.u64(F.HOST_CR4) >> 32n === 0n && v.x.cr4Ok(v.cpu, v.u32(F.HOST_CR4)),
    breaks: (v) => ({ HOST_CR4: v.u64(F.HOST_CR4) & ~0x2000n }),
  },
  {
    id: 'host-cr3-width',
    field: 'HOST_CR3',
    rule: 'bits beyond the physical-address width must be 0',
    ok: (v) => v.physical(v.u64(F.HOST_CR3)),
    breaks: (v) => ({ HOST_CR3: v.beyondPhysical }),
  },
  isCanonical('HOST_IA32_SYSENTER_ESP'),
  isCanonical('HOST_IA32_SYSENTER_EIP'),
  {
    id: 'host-pat',
    field: 'HOST_IA32_PAT',
    rule: 'if "load IA32_PAT" is 1, each byte must be 0, 1, 4, 5, 6 or 7',
    ok: (v) => (v.exit & EXIT.loadPat) === 0 || patOk(v.u64(F.HOST_IA32_PAT)),
    breaks: (v) => ({ VM_EXIT_CONTROLS: v.exit | EXIT.loadPat, HOST_IA32_PAT: 2n }),
    needs: ['pat-controls'],
  },
  {
    id: 'host-efer-reserved',
    field: 'HOST_IA32_EFER',
    rule: 'if "load IA32_EFER" is 1, reserved bits must be 0',
    ok: (v) => (v.exit & EXIT.loadEfer) === 0 || v.x.eferOk(v.cpu, v.u64(F.HOST_IA32_EFER)),
    breaks: (v) => ({ VM_EXIT_CONTROLS: v.exit | EXIT.loadEfer, HOST_IA32_EFER: 0x500n | (1n << 63n) }),
    needs: ['efer-controls'],
  },
  {
    id: 'host-efer-lma',
    field: 'HOST_IA32_EFER',
    rule: 'LMA and LME must each equal the "host address-space size" VM-exit control',
    ok: (v) => (v.exit & EXIT.loadEfer) === 0 || (v.u32(F.HOST_IA32_EFER) & (EFER_LMA | EFER_LME)) === (v.host64 ? EFER_LMA | EFER_LME : 0),
    breaks: (v) => ({ VM_EXIT_CONTROLS: v.exit | EXIT.loadEfer, HOST_IA32_EFER: BigInt(v.host64 ? EFER_LMA : EFER_LME) }),
    needs: ['efer-controls'],
  },
];

const SELECTORS = ['CS', 'SS', 'DS', 'ES', 'FS', 'GS', 'TR'] as const;

const segments: readonly EntryCheck[] = [
  ...SELECTORS.map((s): EntryCheck => {
    const field: FieldName = `HOST_${s}_SELECTOR`, offset = F[field];
    return {
      id: `host-${s.toLowerCase()}-rpl-ti`,
      field,
      rule: 'RPL (bits 1:0) and TI (bit 2) must be 0',
      ok: (v) => (v.u32(offset) & 7) === 0,
      breaks: () => ({ [field]: 0x14 }),
    };
  }),
  ...(['CS', 'TR'] as const).map((s): EntryCheck => {
    const field: FieldName = `HOST_${s}_SELECTOR`, offset = F[field];
    return { id: `host-${s.toLowerCase()}-null`, field, rule: 'must not be 0000H', ok: (v) => v.u32(offset) !== 0, breaks: () => ({ [field]: 0 }) };
  }),
  {
    id: 'host-ss-null',
    field: 'HOST_SS_SELECTOR',
    rule: 'must not be 0000H if "host address-space size" is 0',
    ok: (v) => v.host64 || v.u32(F.HOST_SS_SELECTOR) !== 0,
    breaks: () => ({ HOST_SS_SELECTOR: 0 }),
    base: 'host32',
  },
  isCanonical('HOST_FS_BASE'),
  isCanonical('HOST_GS_BASE'),
  isCanonical('HOST_GDTR_BASE'),
  isCanonical('HOST_IDTR_BASE'),
  isCanonical('HOST_TR_BASE'),
];

const host32 = (v: CheckView): number => (v.exit & ~EXIT.hostAddressSpaceSize) >>> 0;

const addressSpace: readonly EntryCheck[] = [
  {
    id: 'host64-needs-lma',
    field: 'VM_EXIT_CONTROLS',
    rule: 'outside IA-32e mode, "host address-space size" must be 0',
    ok: (v) => v.lma || !v.host64,
    breaks: (v) => ({ VM_EXIT_CONTROLS: v.exit | EXIT.hostAddressSpaceSize }),
    base: 'host32',
  },
  {
    id: 'ia32e-guest-needs-lma',
    field: 'VM_ENTRY_CONTROLS',
    rule: 'outside IA-32e mode, "IA-32e mode guest" must be 0',
    ok: (v) => v.lma || !v.ia32eGuest,
    breaks: (v) => ({ VM_ENTRY_CONTROLS: v.entry | ENTRY.ia32eModeGuest }),
    base: 'host32',
  },
  {
    id: 'lma-needs-host64',
    field: 'VM_EXIT_CONTROLS',
    rule: 'in IA-32e mode, "host address-space size" must be 1',
    ok: (v) => !v.lma || v.host64,
    breaks: (v) => ({ VM_EXIT_CONTROLS: host32(v) }),
  },
  {
    id: 'host32-cr4-pcide',
    field: 'HOST_CR4',
    rule: 'if "host address-space size" is 0, PCIDE must be 0',
    ok: (v) => v.host64 || (v.u32(F.HOST_CR4) & CR4_PCIDE) === 0,
    breaks: (v) => ({ HOST_CR4: v.u64(F.HOST_CR4) | BigInt(CR4_PCIDE) }),
    base: 'host32',
  },
  {
    id: 'host32-rip',
    field: 'HOST_RIP',
    rule: 'if "host address-space size" is 0, bits 63:32 must be 0',
    ok: (v) => v.host64 || v.u64(F.HOST_RIP) >> 32n === 0n,
    breaks: () => ({ HOST_RIP: 1n << 32n }),
    base: 'host32',
  },
  {
    id: 'host64-cr4-pae',
    field: 'HOST_CR4',
    rule: 'if "host address-space size" is 1, PAE must be 1',
    ok: (v) => !v.host64 || (v.u32(F.HOST_CR4) & CR4_PAE) !== 0,
    breaks: (v) => ({ HOST_CR4: v.u64(F.HOST_CR4) & ~BigInt(CR4_PAE) }),
  },
  {
    id: 'host64-rip-canonical',
    field: 'HOST_RIP',
    rule: 'if "host address-space size" is 1, must be canonical',
    ok: (v) => !v.host64 || canonical(v.u64(F.HOST_RIP)),
    breaks: () => ({ HOST_RIP: NON_CANONICAL }),
  },
];

export const HOST_CHECKS: readonly CheckGroup[] = [
  checkGroup('Checks on Host Control Registers, MSRs, and SSP', GROUP.host | GROUP.controls, registers),
  checkGroup('Checks on Host Segment and Descriptor-Table Registers', GROUP.host | GROUP.controls, segments),
  // These look at the processor's mode too: vmEntry marks the host group when that has changed.
  checkGroup('Checks Related to Address-Space Size', GROUP.host | GROUP.controls, addressSpace),
];
