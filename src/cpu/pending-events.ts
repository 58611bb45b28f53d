/**
 * Events between instructions, in the manual's order: INIT and start-up IPIs, debug traps that wait, NMI, external interrupts, and
 * what only an extension knows (windows, timers).
 *
 * SDM 3A §6.9 "Priority Among Simultaneous Exceptions and Interrupts"; in a guest the extension decides (VirtPort.pendingEvent).
 */

import type { CpuFacade } from './cpu-facade.js';
import { EVENT_TYPE } from './events.js';
import { ACTIVITY, IF, S } from './state.js';
import { takeWaitingTrap } from './system/debug.js';
import { deliverEvent } from './system/delivery.js';
import { initState, startBySipi } from './system/reset.js';

/** Events between instructions. True when the state has changed and the loop is to begin again. */
export function handleEvents(cpu: CpuFacade): boolean {
  const { s, virt } = cpu;
  const gif = virt === null || virt.globalInterruptFlag(cpu);
  if (gif && ((cpu.initPending && virt?.blocksInit?.(cpu) !== true) || cpu.sipiVector >= 0)) return startupEvent(cpu);
  const shadow = s.get32(S.interruptShadow);
  if (s.get32(S.pendingDebug) !== 0) {
    // The monitor trap flag comes before traps of the last instruction, everything else after them.
    if (cpu.inGuest && virt!.singleStep === true && virt!.pendingEvent(cpu, 'none', -1) === 'exit') return true;
    if (takeWaitingTrap(cpu)) return true;
  }
  if (gif && cpu.nmiPending && s.get32(S.activity) !== ACTIVITY.waitForSipi) {
    const verdict = cpu.inGuest ? virt!.pendingEvent(cpu, 'nmi', 2) : 'deliver';
    if (verdict === 'taken') cpu.nmiPending = false;
    if (verdict === 'taken' || verdict === 'exit') return true;
    if (verdict === 'deliver' && s.get32(S.nmiBlocked) === 0 && shadow === 0) {
      cpu.nmiPending = false;
      return deliver(cpu, 2, EVENT_TYPE.nmi);
    }
  }
  const activity = s.get32(S.activity);
  if (gif && (activity === ACTIVITY.active || activity === ACTIVITY.hlt) && cpu.platform.interruptPending(cpu)) {
    if (cpu.inGuest) {
      const verdict = virt!.pendingEvent(cpu, 'external', -1);
      if (verdict === 'exit') return true;
      if (verdict === 'deliver') return deliver(cpu, cpu.platform.acknowledgeInterrupt(cpu), EVENT_TYPE.external);
    } else if (interruptible(cpu, shadow)) return deliver(cpu, cpu.platform.acknowledgeInterrupt(cpu), EVENT_TYPE.external);
  }
  return cpu.inGuest && virt!.pendingEvent(cpu, 'none', -1) === 'exit';
}

function interruptible(cpu: CpuFacade, shadow: number): boolean {
  return shadow === 0 && (cpu.s.get32(S.rflagsRest) & IF) !== 0;
}

function deliver(cpu: CpuFacade, vector: number, type: number): true {
  cpu.s.set32(S.activity, ACTIVITY.active);
  cpu.charge(1);
  deliverEvent(cpu, vector, type, false, 0, 0);
  return true;
}

/** INIT and start-up IPIs. SDM 3A §8.4.2 "MP Initialization Protocol"; in a guest the extension decides. */
function startupEvent(cpu: CpuFacade): boolean {
  const { s, virt } = cpu;
  const waiting = s.get32(S.activity) === ACTIVITY.waitForSipi;
  if (cpu.initPending && virt?.blocksInit?.(cpu) !== true) {
    if (cpu.inGuest) {
      const verdict = virt!.pendingEvent(cpu, 'init', -1);
      if (verdict === 'taken') cpu.initPending = false;
      if (verdict !== 'deliver') return verdict !== 'blocked';
    }
    cpu.initPending = false;
    const bootstrap = cpu.id === 0;
    initState(cpu, bootstrap);
    s.set32(S.activity, bootstrap ? ACTIVITY.active : ACTIVITY.waitForSipi);
    cpu.modeChanged();
    return true;
  }
  const vector = cpu.sipiVector;
  cpu.sipiVector = -1;
  if (!waiting) return false;
  if (cpu.inGuest) return virt!.pendingEvent(cpu, 'sipi', vector) !== 'blocked';
  startBySipi(cpu, vector);
  s.set32(S.activity, ACTIVITY.active);
  cpu.modeChanged();
  return true;
}
