/**
 * VMRUN: save the host, check the VMCB, load controls and guest, inject.
 *
 * APM 2 §15.5.1 "Basic Operation", §15.16.1 "TLB Flush", §15.20 "Event Injection", §15.25.4 "Nested Paging and VMRUN/#VMEXIT".
 *
 * The host save area (at VM_HSAVE_PA) has the layout of a VMCB's state-save area: segments, GDTR, IDTR, EFER, CR0, CR3, CR4, RFLAGS,
 * RIP, RSP, RAX at their VMCB offsets, and the host's PAT at G_PAT when nested paging is on. The hidden parts of CS, SS, DS
 * and ES are kept there, too, so #VMEXIT does not read descriptor tables.
 *
 * The checks run on the VMCB before anything is loaded, which no guest or host can tell from loading first.
 */

import type { Cpu } from '../cpu/cpu.js';
import { DB, EVENT_TYPE, NMI, PFV } from '../cpu/events.js';
import { PROBE, type NestedContext } from '../cpu/ports.js';
import { CR0_PG, CR4_PAE, CR4_PSE, EFER_LME, EFER_NXE, IF, S } from '../cpu/state.js';
import { ENTRY_CHECKS, firstFailure, usesNested, type EntryContext } from './entry-checks.js';
import { exitGuest } from './exit.js';
import {
  EVENT_ERROR_VALID, EVENT_TYPE_SHIFT, EVENT_VALID, TLB_CONTROL, VMCB, V_INTR_MASKING,
} from './fields.js';
import { VMEXIT_INVALID } from './intercepts.js';
import { loadPdpes } from './pdpes.js';
import { loadGuest, saveHost } from './save-area.js';
import { MINIMAL_TRANSITIONS } from './transition-parts.js';
import type { SvmRegisters } from './state.js';

/**
 * Runs the guest that the VMCB at `vmcbPa` describes, or exits at once with VMEXIT_INVALID.
 * Afterwards the state is the guest's (or, after a failure, the host's behind VMRUN): the caller leaves.
 * @param vmcbPa guest-physical address of a VMCB in memory, page-aligned
 */
export function enterGuest(r: SvmRegisters, cpu: Cpu, vmcbPa: number): void {
  const s = cpu.s, v = r.vmcb;
  if (cpu.probe.active) cpu.probe.emit(PROBE.vmHandlerEnd, cpu.now(), cpu.id, 0, 0, 0, 0);
  r.vmcbPa = vmcbPa;
  v.at = cpu.phys.address(vmcbPa);
  r.hsave.at = cpu.phys.address(r.hsavePa);
  saveHost(s, r.hsave);
  cpu.phys.onWrite?.(r.hsavePa, 4096);
  r.hostIf = (s.rflags & IF) !== 0;
  r.hostCr8 = s.get32(S.cr8);

  const context = entryContext(r, cpu);
  const failed = firstFailure(v, context);
  if (failed !== undefined) {
    r.lastEntryFailure = { rule: failed.id, section: failed.section, text: `VMRUN: not so: ${failed.rule}`, vmcb: vmcbPa };
    if (cpu.probe.active)
      cpu.probe.emit(PROBE.vmEntryFailed, cpu.now(), cpu.id, ENTRY_CHECKS.indexOf(failed), Number(v.u64(VMCB.RIP)), vmcbPa, 0);
    exitGuest(r, cpu, VMEXIT_INVALID);
    return;
  }
  r.lastEntryFailure = null;
  r.entries++;
  r.transitions++;

  loadControls(r);
  if (usesNested(v, context)) enableNestedPaging(r, cpu);
  loadGuest(s, v);
  s.set32(S.guest, 1);
  if (r.vIntr & V_INTR_MASKING) s.set32(S.cr8, r.vIntr & 0xf);
  const shadow = v.u32(VMCB.INTERRUPT_SHADOW) & 1;
  s.set32(S.interruptShadow, shadow);
  s.set32(S.shadowArmed, shadow); // VMRUN itself is not the instruction that the shadow covers
  s.set32(S.pendingDebug, 0);
  r.gif = true;
  cpu.addressSpaceTag = r.asid;
  if (r.nested === null) loadPdpes(cpu);
  const flushed = controlTlb(r, cpu);
  cpu.modeChanged();

  const injected = injectEvent(r, cpu);
  chargeEntry(cpu, flushed, injected !== 0);
  if (cpu.probe.active) cpu.probe.emit(PROBE.vmEntry, cpu.now(), cpu.id, injected, Number(s.rip), vmcbPa, r.nested?.root ?? 0);
}

function entryContext(r: SvmRegisters, cpu: Cpu): EntryContext {
  const s = cpu.s;
  return {
    capabilities: r.capabilities,
    physicalAddressBits: cpu.physicalAddressBits,
    cr4Allowed: cpu.cr4Allowed,
    eferAllowed: cpu.eferAllowed,
    longModeSupported: (cpu.eferAllowed & EFER_LME) !== 0,
    hostPaging: (s.cr0 & CR0_PG) !== 0,
    hostLongMode: s.longMode,
    phys: cpu.phys,
  };
}

function loadControls(r: SvmRegisters): void {
  const v = r.vmcb, features = r.capabilities.features;
  r.intercepts[0] = v.u32(VMCB.INTERCEPT_CR_READ);
  r.intercepts[1] = v.u32(VMCB.INTERCEPT_DR_READ);
  r.intercepts[2] = v.u32(VMCB.INTERCEPT_EXCEPTIONS);
  r.intercepts[3] = v.u32(VMCB.INTERCEPT_MISC1);
  r.intercepts[4] = v.u32(VMCB.INTERCEPT_MISC2);
  r.iopm = Math.floor(v.address(VMCB.IOPM_BASE_PA) / 4096) * 4096;
  r.msrpm = Math.floor(v.address(VMCB.MSRPM_BASE_PA) / 4096) * 4096;
  r.asid = v.u32(VMCB.GUEST_ASID);
  r.vIntr = v.u32(VMCB.V_INTR);
  r.vIntrVector = v.u8(VMCB.V_INTR_VECTOR);
  r.tscOffsetLow = v.u32(VMCB.TSC_OFFSET);
  r.tscOffsetHigh = v.high(VMCB.TSC_OFFSET);
  r.pauseReload = features.has('PauseFilter') ? v.u16(VMCB.PAUSE_FILTER_COUNT) : 0;
  r.pauseCount = r.pauseReload;
  r.pauseThreshold = features.has('PauseFilterThreshold') ? v.u16(VMCB.PAUSE_FILTER_THRESHOLD) : 0;
  r.lastPause = 0;
}

/** "The extra translation uses the same paging mode as the VMM used when it executed the most recent VMRUN." */
function enableNestedPaging(r: SvmRegisters, cpu: Cpu): void {
  const s = cpu.s, v = r.vmcb;
  const levels = s.longMode ? 4 : s.cr4 & CR4_PAE ? 3 : 2;
  const mask = levels === 3 ? 32 : 4096;
  const context: NestedContext = {
    format: 'npt',
    root: Math.floor((levels === 4 ? v.address(VMCB.N_CR3) : v.u32(VMCB.N_CR3)) / mask) * mask,
    ad: false,
    levels,
    nx: levels !== 2 && (s.efer & EFER_NXE) !== 0,
    pse: (s.cr4 & CR4_PSE) !== 0,
  };
  r.nested = context;
  r.hsave.store64(VMCB.G_PAT, S.pat);
  v.load64(VMCB.G_PAT, S.pat);
}

/** TLB_CONTROL. Encodings that the processor does not know do nothing. @returns true when anything was flushed */
function controlTlb(r: SvmRegisters, cpu: Cpu): boolean {
  const command = r.vmcb.u8(VMCB.TLB_CONTROL);
  if (command === TLB_CONTROL.flushAll) {
    cpu.flushTlb('all');
    cpu.timing?.flush('all', r.asid);
    return true;
  }
  const byAsid = command === TLB_CONTROL.flushGuest || command === TLB_CONTROL.flushGuestNonGlobal;
  if (!byAsid || !r.capabilities.features.has('FlushByAsid')) return false;
  cpu.flushTag(r.asid); // for command 7 global entries go, too: more than asked is always allowed
  cpu.timing?.flush('context', r.asid);
  return true;
}

/**
 * Makes the event of EVENTINJ pending: the run loop delivers it before the first guest instruction.
 * @returns the low word of EVENTINJ, or 0 when nothing is injected
 */
function injectEvent(r: SvmRegisters, cpu: Cpu): number {
  const s = cpu.s, v = r.vmcb;
  const event = v.u32(VMCB.EVENTINJ);
  if ((event & EVENT_VALID) === 0) return 0;
  let type = (event >>> EVENT_TYPE_SHIFT) & 7;
  const vector = type === EVENT_TYPE.nmi ? NMI : event & 0xff;
  // "Injecting an exception (TYPE = 3) with vectors 3 or 4 behaves like a trap raised by INT3 and INTO instructions."
  if (type === EVENT_TYPE.hardware && (vector === 3 || vector === 4)) type = EVENT_TYPE.software;
  const software = type === EVENT_TYPE.software || type === EVENT_TYPE.softwareInterrupt;
  s.set32(S.pending, 1);
  s.set32(S.pendingVector, vector);
  s.set32(S.pendingType, type);
  s.set32(S.pendingHasError, event & EVENT_ERROR_VALID && type === EVENT_TYPE.hardware ? 1 : 0);
  s.set32(S.pendingError, v.high(VMCB.EVENTINJ));
  // The return address of a software interrupt is NRIP where the processor has it, else the VMCB's RIP.
  const nextRip = software && r.capabilities.features.has('NRIPS');
  s.set32(S.pendingLength, nextRip ? Number(BigInt.asUintN(32, v.u64(VMCB.NRIP) - v.u64(VMCB.RIP))) : 0);
  // Delivery writes CR2 and DR6.B3-B0 from here: the guest's own values stay.
  s.set64(S.pendingAddress, vector === PFV ? v.u64(VMCB.CR2) : vector === DB ? v.u64(VMCB.DR6) & 0xfn : 0n);
  r.injecting = true;
  r.injectedNmi = type === EVENT_TYPE.nmi;
  r.nmiBlockedBefore = s.get32(S.nmiBlocked);
  return event >>> 0;
}

function chargeEntry(cpu: Cpu, tlbFlushed: boolean, injected: boolean): void {
  if (cpu.timing !== null) cpu.charge(cpu.timing.transition('vm-entry', { ...MINIMAL_TRANSITIONS.entry, tlbFlushed, injected }));
}
