/**
 * VM entries: VMLAUNCH and VMRESUME after their own checks (instructions.ts).
 *
 * SDM 3C chapter 27 "VM Entries": checks, loading guest state, MSRs, event injection, and the special features of §27.7
 * "Special Features of VM Entry" (interruptibility, activity state, pending debug exceptions, preemption timer, MTF).
 */

import type { Cpu } from '../cpu/cpu.js';
import { EVENT_TYPE } from '../cpu/events.js';
import { PROBE } from '../cpu/ports.js';
import { S } from '../cpu/state.js';
import { holdDebugException } from '../cpu/system/debug.js';
import { injectEvent } from '../cpu/system/delivery.js';
import { BLOCKING, ERROR, EVENT, EVENT_OTHER, PENDING_DEBUG, PIN, PROC, PROC2, REASON, eventType, eventVector } from './controls.js';
import { type CheckGroup, CheckView, type EntryCheck, firstViolation } from './entry-checks.js';
import { CONTROL_CHECKS } from './entry-checks-controls.js';
import { GUEST_CHECKS, QUALIFICATION } from './entry-checks-guest.js';
import { HOST_CHECKS } from './entry-checks-host.js';
import { entryFailureExit, timerClock, timerCycle } from './exit.js';
import { F, GROUP } from './fields.js';
import { loadMsrs, loadPdptesFromMemory } from './msr-lists.js';
import { loadGuestNonRegister, loadGuestPdptes, loadGuestRegisters, usesPdptes } from './processor-state.js';
import { MINIMAL_TRANSITIONS } from './transition-parts.js';
import { NO_VMCS, type Vmx } from './vmx.js';


/**
 * Enters the guest of the current VMCS.
 * @returns 0 when the state is now the guest's, or the host's after a failure reported as a VM exit; otherwise the VM-instruction
 * error number for VMfailValid, and nothing has changed.
 */
export function vmEntry(x: Vmx, cpu: Cpu, launch: boolean): number {
  const view = new CheckView(x, cpu);
  if (cpu.probe.active) cpu.probe.emit(PROBE.vmHandlerEnd, cpu.now(), cpu.id, 0, 0, 0, 0);
  if (x.checkedLong !== view.lma) x.dirty |= GROUP.host;
  x.checkedLong = view.lma;
  let broken = firstViolation(CONTROL_CHECKS, view, x.dirty);
  if (broken !== null) return fail(x, view, broken.group, broken.row, ERROR.entryControls, 0, 0);
  broken = firstViolation(HOST_CHECKS, view, x.dirty);
  if (broken !== null) return fail(x, view, broken.group, broken.row, ERROR.entryHostState, 0, 0);

  copyControls(x);
  broken = firstViolation(GUEST_CHECKS, view, x.dirty);
  if (broken !== null) {
    const qualification = broken.row.qualification ?? QUALIFICATION.none;
    fail(x, view, broken.group, broken.row, 0, REASON.ENTRY_FAILURE_GUEST_STATE, qualification);
    entryFailureExit(x, cpu, REASON.ENTRY_FAILURE_GUEST_STATE, qualification);
    return 0;
  }
  x.dirty = GROUP.none;

  loadGuestRegisters(x, cpu);
  const { c } = x;
  const ept = (c.proc2 & PROC2.enableEpt) !== 0;
  if (usesPdptes(cpu)) {
    if (ept) loadGuestPdptes(x);
    else if (!loadPdptesFromMemory(cpu)) {
      failLate(x, cpu, 'pdptes-from-memory', 'with PAE paging, reserved bits of the PDPTEs that CR3 points at must be 0', REASON.ENTRY_FAILURE_GUEST_STATE, QUALIFICATION.pdpte);
      return 0;
    }
  }
  loadGuestNonRegister(x, cpu);
  enterAddressSpace(x, cpu, ept);
  cpu.s.set32(S.guest, 1);
  cpu.s.set32(S.pending, 0);
  cpu.modeChanged();

  const msrCount = x.get32(F.VM_ENTRY_MSR_LOAD_COUNT);
  if (msrCount !== 0) {
    const failed = loadMsrs(cpu, x.getAddress(F.VM_ENTRY_MSR_LOAD_ADDRESS), msrCount);
    if (failed !== 0) {
      failLate(x, cpu, 'msr-load-list', `entry ${failed} of the VM-entry MSR-load area cannot be loaded`, REASON.ENTRY_FAILURE_MSR_LOADING, failed);
      return 0;
    }
  }
  if (launch) x.launched = true;
  x.entryCount++;
  x.transitions++;
  x.lastEntryFailure = null;
  announce(x, cpu, msrCount);
  startFeatures(x, cpu);
  inject(x, cpu);
  return 0;
}

function copyControls(x: Vmx): void {
  const { c } = x;
  c.pin = x.get32(F.PIN_BASED_CONTROLS);
  c.proc = x.get32(F.PRIMARY_PROCESSOR_BASED_CONTROLS);
  c.proc2 = c.proc & PROC.activateSecondaryControls ? x.get32(F.SECONDARY_PROCESSOR_BASED_CONTROLS) : 0;
  c.exit = x.get32(F.VM_EXIT_CONTROLS);
  c.entry = x.get32(F.VM_ENTRY_CONTROLS);
  c.exceptionBitmap = x.get32(F.EXCEPTION_BITMAP);
  c.pageFaultMask = x.get32(F.PAGE_FAULT_ERROR_CODE_MASK);
  c.pageFaultMatch = x.get32(F.PAGE_FAULT_ERROR_CODE_MATCH);
  c.cr0Mask = x.get(F.CR0_GUEST_HOST_MASK);
  c.cr0Shadow = x.get(F.CR0_READ_SHADOW);
  c.cr4Mask = x.get(F.CR4_GUEST_HOST_MASK);
  c.cr4Shadow = x.get(F.CR4_READ_SHADOW);
  c.tscOffsetLow = c.proc & PROC.useTscOffsetting ? x.get32(F.TSC_OFFSET) : 0;
  c.tscOffsetHigh = c.proc & PROC.useTscOffsetting ? x.get32(F.TSC_OFFSET + 4) : 0;
  c.ioBitmapA = x.getAddress(F.IO_BITMAP_A);
  c.ioBitmapB = x.getAddress(F.IO_BITMAP_B);
  c.msrBitmap = x.getAddress(F.MSR_BITMAPS);
}

/** EPT, and the tag under which the guest's translations are kept. §29.4.3 "Invalidating Cached Translation Information". */
function enterAddressSpace(x: Vmx, cpu: Cpu, ept: boolean): void {
  const eptp = x.get32(F.EPT_POINTER);
  const root = ept ? x.getAddress(F.EPT_POINTER) - (eptp & 0xfff) : NO_VMCS;
  x.nested = ept ? { format: 'ept', root, ad: (eptp & 0x40) !== 0, levels: 4, nx: false, pse: false } : null;
  const vpid = x.c.proc2 & PROC2.enableVpid ? x.get32(F.VIRTUAL_PROCESSOR_ID) : 0;
  const tag = x.tagOf(cpu, vpid, root);
  if (vpid === 0) {
    x.flushTags(cpu, (v) => v === 0);
    cpu.flushTag(0);
  }
  cpu.addressSpaceTag = tag;
}

function startFeatures(x: Vmx, cpu: Cpu): void {
  const { c } = x;
  x.delivery = null;
  x.lastPause = x.firstPause = 0;
  x.timerEnd = c.pin & PIN.preemptionTimer ? timerClock(x, cpu) + x.get32(F.VMX_PREEMPTION_TIMER_VALUE) : Infinity;
  x.timerDeadline = timerCycle(x, cpu);
  x.mtf = c.proc & PROC.monitorTrapFlag ? 1 : 0;
}

/** §27.6 "Event Injection", §27.7.3 "Delivery of Pending Debug Exceptions after VM Entry", §27.7.8 "Pending MTF VM Exits". */
function inject(x: Vmx, cpu: Cpu): void {
  const { s } = cpu;
  const info = x.get32(F.VM_ENTRY_INTERRUPTION_INFORMATION);
  const injecting = (info & EVENT.valid) !== 0;
  const type = eventType(info);
  setPendingDebug(x, cpu, injecting, type);
  if (!injecting) return;
  // Software interrupts and exceptions push the address behind the instruction, whose length the VMM gives.
  const software = type === EVENT_TYPE.softwareInterrupt || type === EVENT_TYPE.privilegedSoftware || type === EVENT_TYPE.software;
  if (type === EVENT_OTHER) {
    x.mtf = 2;
    return;
  }
  const hasError = (info & EVENT.errorCode) !== 0;
  // An MTF exit pends on the boundary before the first instruction of the handler.
  if (x.mtf !== 0) x.mtf = 2;
  s.set32(S.interruptShadow, 0);
  injectEvent(cpu, eventVector(info), type, hasError, hasError ? x.get32(F.VM_ENTRY_EXCEPTION_ERROR_CODE) : 0, software ? x.get32(F.VM_ENTRY_INSTRUCTION_LENGTH) : 0);
}

function setPendingDebug(x: Vmx, cpu: Cpu, injecting: boolean, type: number): void {
  const field = x.get(F.GUEST_PENDING_DEBUG_EXCEPTIONS);
  const movSs = (x.get32(F.GUEST_INTERRUPTIBILITY_STATE) & BLOCKING.movSs) !== 0;
  const dropped = injecting && !(movSs && (type === EVENT_TYPE.privilegedSoftware || type === EVENT_TYPE.software)) && type !== EVENT_OTHER;
  const breakpoints = field & PENDING_DEBUG.enabledBreakpoint ? field & PENDING_DEBUG.b0to3 : 0n;
  const bits = dropped ? 0n : breakpoints | (field & PENDING_DEBUG.bs);
  const { s } = cpu;
  s.set32(S.pendingDebug, movSs ? Number(bits) : 0);
  if (movSs || bits === 0n) return;
  // Not held back by MOV SS: a #DB before the first instruction.
  holdDebugException(cpu, Number(bits));
}

function announce(x: Vmx, cpu: Cpu, msrs: number): void {
  const info = x.get32(F.VM_ENTRY_INTERRUPTION_INFORMATION);
  const injected = (info & EVENT.valid) !== 0;
  if (cpu.timing !== null)
    cpu.charge(
      cpu.timing.transition('vm-entry', {
        ...MINIMAL_TRANSITIONS.entry,
        msrsLoaded: msrs,
        tlbFlushed: (x.c.proc2 & PROC2.enableVpid) === 0,
        injected,
      }),
    );
  if (cpu.probe.active) cpu.probe.emit(PROBE.vmEntry, cpu.now(), cpu.id, injected ? info : 0, Number(cpu.s.rip), x.currentPointer, x.nested?.root ?? 0);
}

function fail(x: Vmx, v: CheckView, group: CheckGroup, row: EntryCheck, error: number, reason: number, qualification: number): number {
  const value = row.field === 'none' ? 0n : v.u64(F[row.field]);
  x.lastEntryFailure = {
    id: row.id,
    field: row.field,
    rule: row.rule,
    section: group.section,
    text: `VM entry: ${row.field} = 0x${value.toString(16)}: ${row.rule} ("${group.section}")`,
    value,
    error,
    reason,
    qualification,
  };
  announceFailure(v.cpu, error !== 0 ? error : reason, qualification);
  return error;
}

function failLate(x: Vmx, cpu: Cpu, id: string, rule: string, reason: number, qualification: number): void {
  x.lastEntryFailure = { id, field: 'none', rule, section: 'Loading Guest State', text: `VM entry: ${rule}`, value: 0n, error: 0, reason, qualification };
  x.dirty = ~0;
  announceFailure(cpu, reason, qualification);
  entryFailureExit(x, cpu, reason, qualification);
}

function announceFailure(cpu: Cpu, what: number, qualification: number): void {
  if (cpu.probe.active) cpu.probe.emit(PROBE.vmEntryFailed, cpu.now(), cpu.id, what, Number(cpu.s.rip), qualification, 0);
}
