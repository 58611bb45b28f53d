/**
 * VM exits, and the end of a VM entry that failed after its checks on controls and host state.
 *
 * SDM 3C chapter 28 "VM Exits": §28.2 "Recording VM-Exit Information and Updating VM-Entry Control Fields", §28.3 "Saving Guest
 * State", §28.4 "Saving MSRs", §28.5 "Loading Host State", §28.6 "Loading MSRs", §28.7 "VMX Aborts"; §27.8 "VM-Entry Failures
 * During or After Loading Guest State".
 *
 * After `vmExit` the state is the host's, RIP at the host's handler; whoever caused the exit leaves at once.
 */

import type { Cpu } from '../cpu/cpu.js';
import { EVENT_TYPE } from '../cpu/events.js';
import { PROBE } from '../cpu/ports.js';
import { ACTIVITY, EFER_LMA, S } from '../cpu/state.js';
import { ABORT, ENTRY, EVENT, EXIT, PIN, PROC2, REASON, eventType, eventVector } from './controls.js';
import { F, GROUP } from './fields.js';
import { loadMsrs, loadPdptesFromMemory, storeMsrs } from './msr-lists.js';
import { hasVirtualNmis, loadHost, saveGuest, usesPdptes } from './processor-state.js';
import { MINIMAL_TRANSITIONS } from './transition-parts.js';
import type { Vmx } from './vmx.js';

/** What an exit carries beside its reason. Absent parts are stored as 0. */
export interface ExitInformation {
  readonly qualification?: bigint;
  /** VM-exit instruction length. Default: that of the instruction at RIP for exits caused by one (`instruction`). */
  readonly length?: number;
  /** The exit is caused by executing the instruction at RIP. */
  readonly instruction?: boolean;
  /** VM-exit instruction information. */
  readonly information?: number;
  readonly linear?: bigint;
  readonly physical?: bigint;
  /** VM-exit interruption information, with its valid bit, and error code. */
  readonly interruption?: number;
  readonly interruptionError?: number;
  /** RFLAGS.RF is 1 in the saved image: faults, and exits by EPT outside event delivery. §28.3.3 "Saving RIP, RSP, RFLAGS, and SSP". */
  readonly resume?: boolean;
  /** The exit does not count as one during event delivery (double fault, triple fault). §28.2.4 "Information for VM Exits During Event Delivery". */
  readonly ignoreDelivery?: boolean;
}

/** Length of the instruction at RIP; valid while its helper runs. */
const instructionLength = (cpu: Cpu): number => Number(BigInt.asUintN(64, cpu.s.nextRip - cpu.s.rip) & 0xfn);

/** Performs a VM exit. @param reason basic exit reason, REASON */
export function vmExit(x: Vmx, cpu: Cpu, reason: number, info: ExitInformation = {}): void {
  const { s } = cpu, { c } = x;
  const delivery = info.ignoreDelivery === true ? null : x.delivery;
  const softwareDelivery = delivery !== null && eventType(delivery.information) >= EVENT_TYPE.softwareInterrupt;
  const length = info.length ?? (info.instruction === true ? instructionLength(cpu) : softwareDelivery ? delivery.length : 0);
  const qualification = info.qualification ?? 0n;
  const rip = s.rip;

  x.exitCounts[reason]!++;
  x.transitions++;
  x.set32(F.EXIT_REASON, reason);
  x.set(F.EXIT_QUALIFICATION, qualification);
  x.set32(F.VM_EXIT_INSTRUCTION_LENGTH, length);
  x.set32(F.VM_EXIT_INSTRUCTION_INFORMATION, info.information ?? 0);
  x.set(F.GUEST_LINEAR_ADDRESS, info.linear ?? 0n);
  if (x.caps.has('ept')) x.set(F.GUEST_PHYSICAL_ADDRESS, info.physical ?? 0n);
  x.set32(F.VM_EXIT_INTERRUPTION_INFORMATION, info.interruption ?? 0);
  x.set32(F.VM_EXIT_INTERRUPTION_ERROR_CODE, info.interruptionError ?? 0);
  x.set32(F.IDT_VECTORING_INFORMATION, delivery?.information ?? 0);
  x.set32(F.IDT_VECTORING_ERROR_CODE, delivery?.error ?? 0);

  x.set32(F.VM_ENTRY_INTERRUPTION_INFORMATION, x.get32(F.VM_ENTRY_INTERRUPTION_INFORMATION) & ~EVENT.valid);
  if (x.caps.has('unrestricted-guest')) {
    const entry = (c.entry & ~ENTRY.ia32eModeGuest) | (s.efer & EFER_LMA ? ENTRY.ia32eModeGuest : 0);
    if (entry !== c.entry) x.dirty |= GROUP.controls;
    x.set32(F.VM_ENTRY_CONTROLS, entry);
  }
  if (c.pin & PIN.preemptionTimer && c.exit & EXIT.savePreemptionTimer) x.set32(F.VMX_PREEMPTION_TIMER_VALUE, timerLeft(x, cpu));

  const debugException = reason === REASON.EXCEPTION_OR_NMI && info.interruption !== undefined && eventVector(info.interruption) === 1;
  saveGuest(x, cpu, info.resume === true, debugException);
  x.noteChecked();
  // From here on MSRs are read as in VMX root operation: IA32_TSC without the guest's offset.
  s.set32(S.guest, 0);
  const storeCount = x.get32(F.VM_EXIT_MSR_STORE_COUNT);
  if (storeCount !== 0 && !storeMsrs(cpu, x.getAddress(F.VM_EXIT_MSR_STORE_ADDRESS), storeCount)) return vmxAbort(x, cpu, ABORT.saveMsr);

  const byNmi = reason === REASON.EXCEPTION_OR_NMI && info.interruption !== undefined && eventType(info.interruption) === EVENT_TYPE.nmi;
  // With virtual NMIs the guest's blocking was its own; physical NMIs were not blocked.
  const nmiBlocked = byNmi || (!hasVirtualNmis(x) && s.get32(S.nmiBlocked) !== 0);
  const flushed = (c.proc2 & PROC2.enableVpid) === 0;
  if (!returnToHost(x, cpu, flushed)) return;
  s.set32(S.nmiBlocked, nmiBlocked ? 1 : 0);
  if (cpu.probe.active) cpu.probe.emit(PROBE.vmExit, cpu.now(), cpu.id, reason, Number(rip), Number(qualification), info.physical === undefined ? length : Number(info.physical));
  if (cpu.timing !== null)
    cpu.charge(
      cpu.timing.transition('vm-exit', {
        ...MINIMAL_TRANSITIONS.exit,
        msrsLoaded: x.get32(F.VM_EXIT_MSR_LOAD_COUNT),
        msrsSaved: storeCount,
        tlbFlushed: flushed,
      }),
    );
  if (cpu.probe.active) cpu.probe.emit(PROBE.vmHandlerStart, cpu.now(), cpu.id, reason, 0, 0, 0);
}

/** Preemption-timer value now. */
export function timerLeft(x: Vmx, cpu: Cpu): number {
  return Math.max(0, x.timerEnd - timerClock(x, cpu));
}
/** Cycle at which the preemption timer reaches zero. */
export const timerCycle = (x: Vmx, cpu: Cpu): number =>
  x.timerEnd * 2 ** x.caps.timerShift - Number(BigInt.asIntN(64, cpu.s.get64(S.tscOffset)));
/** Time in units of the preemption timer: bit `timerShift` of the TSC. §26.5.1 "VMX-Preemption Timer". */
export const timerClock = (x: Vmx, cpu: Cpu): number =>
  Math.floor((cpu.now() + Number(BigInt.asIntN(64, cpu.s.get64(S.tscOffset)))) / 2 ** x.caps.timerShift);

/**
 * Loads host state and leaves VMX non-root operation (or never entered it: a failed VM entry).
 * @returns false after a VMX abort
 */
export function returnToHost(x: Vmx, cpu: Cpu, flush: boolean): boolean {
  const { s } = cpu;
  loadHost(x, cpu);
  s.set32(S.guest, 0);
  if (flush) {
    x.flushTags(cpu, (vpid) => vpid === 0);
    cpu.flushTag(0);
  }
  cpu.addressSpaceTag = 0;
  x.leaveGuest();
  if (usesPdptes(cpu) && !loadPdptesFromMemory(cpu)) {
    vmxAbort(x, cpu, ABORT.hostPdpte);
    return false;
  }
  cpu.modeChanged();
  const count = x.get32(F.VM_EXIT_MSR_LOAD_COUNT);
  if (count !== 0 && loadMsrs(cpu, x.getAddress(F.VM_EXIT_MSR_LOAD_ADDRESS), count) !== 0) {
    vmxAbort(x, cpu, ABORT.loadHostMsr);
    return false;
  }
  return true;
}

/** A VMX abort: the indicator goes into the VMCS region, the processor into shutdown. */
function vmxAbort(x: Vmx, cpu: Cpu, indicator: number): void {
  x.abortIndicator = indicator;
  x.leaveGuest();
  const { s } = cpu;
  s.set32(S.guest, 0);
  s.set32(S.pending, 0);
  cpu.addressSpaceTag = 0;
  s.set32(S.activity, ACTIVITY.shutdown);
  cpu.modeChanged();
}

/**
 * Ends a VM entry that failed on guest state (33) or on loading MSRs (34): exit reason with bit 31, qualification, host state.
 * Guest state, launch state and the other exit-information fields stay as they are.
 */
export function entryFailureExit(x: Vmx, cpu: Cpu, reason: number, qualification: number): void {
  x.exitCounts[reason]!++;
  x.transitions++;
  x.set32(F.EXIT_REASON, (reason | 0x8000_0000) >>> 0);
  x.set(F.EXIT_QUALIFICATION, BigInt(qualification));
  const rip = Number(cpu.s.rip);
  if (!returnToHost(x, cpu, (x.c.proc2 & PROC2.enableVpid) === 0)) return;
  if (!cpu.probe.active) return;
  cpu.probe.emit(PROBE.vmExit, cpu.now(), cpu.id, reason, rip, qualification, 0);
  cpu.probe.emit(PROBE.vmHandlerStart, cpu.now(), cpu.id, reason, 0, 0, 0);
}
