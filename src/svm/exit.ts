/**
 * #VMEXIT: from the guest back to the host, at the instruction after VMRUN.
 *
 * APM 2 §15.6 "#VMEXIT", §15.7.1 "State Saved on Exit", §15.7.2 "Intercepts During IDT Interrupt Delivery".
 *
 * Invariants: the processor state is exact when `exitGuest` is called (RIP at the intercepted instruction, or after a trap); when it
 * returns, the state is the host's, GIF is zero and nothing of the guest is pending on chip.
 */

import type { Cpu } from '../cpu/cpu.js';
import { DB, EVENT_TYPE } from '../cpu/events.js';
import { PROBE } from '../cpu/ports.js';
import { ACTIVITY, S, TF, type CpuState } from '../cpu/state.js';
import { EVENT_VALID, VMCB, V_INTR_MASKING, V_IRQ, V_TPR_MASK } from './fields.js';
import { VMEXIT_INVALID } from './intercepts.js';
import { loadPdpes } from './pdpes.js';
import { loadHost, saveGuest } from './save-area.js';
import { MINIMAL_TRANSITIONS } from './transition-parts.js';
import type { SvmRegisters } from './state.js';

/** EXITINFO1 and EXITINFO2 as 32-bit halves. */
export interface ExitInfo {
  readonly info1?: number;
  readonly info1High?: number;
  readonly info2?: number;
  readonly info2High?: number;
  /** The exit is an instruction intercept: NRIP is the next instruction's address, otherwise zero. */
  readonly nextRip?: boolean;
}

const NO_INFO: ExitInfo = {};
const DR6_BS = 0x4000n;

/**
 * Performs #VMEXIT. With VMEXIT_INVALID (VMRUN failed its checks) nothing of the guest has been loaded, so none is saved.
 * @param code exit code of APM 2 appendix C, or VMEXIT_INVALID
 */
export function exitGuest(r: SvmRegisters, cpu: Cpu, code: number, info: ExitInfo = NO_INFO): void {
  const s = cpu.s;
  const rip = Number(s.rip);
  r.countExit(code);
  writeExitInformation(r, code, info);
  if (code !== VMEXIT_INVALID) saveGuestState(r, cpu);
  cpu.phys.onWrite?.(r.vmcbPa, 4096);

  const hostPat = r.nested !== null;
  s.set32(S.cr8, r.hostCr8);
  r.gif = false;
  r.leaveGuest();
  s.set32(S.guest, 0);
  s.set32(S.pending, 0);
  s.set32(S.pendingDebug, 0);
  s.set32(S.interruptShadow, 0);
  s.set32(S.shadowArmed, 0);
  s.set32(S.activity, ACTIVITY.active);

  loadHost(s, r.hsave);
  if (hostPat) r.hsave.load64(VMCB.G_PAT, S.pat);
  cpu.addressSpaceTag = 0;
  if (s.get32(S.rflagsRest) & TF) traceTrap(s);
  if (!loadPdpes(cpu)) s.set32(S.activity, ACTIVITY.shutdown); // "If the PDPEs contain illegal state, the processor causes a shutdown."
  cpu.modeChanged();
  if (cpu.probe.active) emitExit(cpu, code, rip, info);
  chargeExit(cpu, code !== VMEXIT_INVALID);
  if (cpu.probe.active) cpu.probe.emit(PROBE.vmHandlerStart, cpu.now(), cpu.id, code, 0, 0, 0);
}

function writeExitInformation(r: SvmRegisters, code: number, info: ExitInfo): void {
  const v = r.vmcb;
  v.setHalves(VMCB.EXITCODE, code >>> 0, code < 0 ? 0xffff_ffff : 0);
  v.setHalves(VMCB.EXITINFO1, info.info1 ?? 0, info.info1High ?? 0);
  v.setHalves(VMCB.EXITINFO2, info.info2 ?? 0, info.info2High ?? 0);
  v.setHalves(VMCB.EXITINTINFO, r.deliveryInfo, r.deliveryInfo === 0 ? 0 : r.deliveryError);
  v.setU32(VMCB.EVENTINJ, v.u32(VMCB.EVENTINJ) & ~EVENT_VALID);
  if (r.capabilities.features.has('NRIPS')) {
    if (info.nextRip === true) v.store64(VMCB.NRIP, S.nextRip);
    else v.setHalves(VMCB.NRIP, 0, 0);
  }
}

function saveGuestState(r: SvmRegisters, cpu: Cpu): void {
  const s = cpu.s, v = r.vmcb;
  saveGuest(s, v);
  if (r.nested !== null) v.store64(VMCB.G_PAT, S.pat);
  v.setU32(VMCB.INTERRUPT_SHADOW, (v.u32(VMCB.INTERRUPT_SHADOW) & ~1) | (s.get32(S.interruptShadow) === 0 ? 0 : 1));
  const tpr = r.vIntr & V_INTR_MASKING ? s.get32(S.cr8) & 0xf : r.vIntr & V_TPR_MASK;
  v.setU32(VMCB.V_INTR, (v.u32(VMCB.V_INTR) & ~(V_TPR_MASK | V_IRQ)) | tpr | (r.vIntr & V_IRQ));
}

/** "EFLAGS.TF causes a #DB trap after the VMRUN completes on the host side (i.e., after the #VMEXIT from the guest)." */
function traceTrap(s: CpuState): void {
  s.set32(S.pending, 1);
  s.set32(S.pendingVector, DB);
  s.set32(S.pendingType, EVENT_TYPE.hardware);
  s.set32(S.pendingHasError, 0);
  s.set32(S.pendingLength, 0);
  s.set64(S.pendingAddress, DR6_BS);
}

function emitExit(cpu: Cpu, code: number, rip: number, info: ExitInfo): void {
  const info1 = (info.info1High ?? 0) * 0x1_0000_0000 + ((info.info1 ?? 0) >>> 0);
  const info2 = (info.info2High ?? 0) * 0x1_0000_0000 + ((info.info2 ?? 0) >>> 0);
  cpu.probe.emit(PROBE.vmExit, cpu.now(), cpu.id, code, rip, info1, info2);
}

function chargeExit(cpu: Cpu, guestSaved: boolean): void {
  if (cpu.timing === null) return;
  const { exit } = MINIMAL_TRANSITIONS;
  cpu.charge(cpu.timing.transition('vm-exit', guestSaved ? exit : { ...exit, fieldsSaved: 0 }));
}
