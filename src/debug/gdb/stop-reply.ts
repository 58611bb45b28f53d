/** Why the machine stopped, as a packet. gdb manual, E.3 "Stop Reply Packets". */

import type { Stop } from '../history.js';
import type { VcpuContext } from './context.js';
import { valueToHex } from './hex.js';
import type { Register } from './registers.js';
import type { Halt } from './resume.js';
import type { StopPoints } from './stop-points.js';

const SIGINT = 2, SIGTRAP = 5, SIGABRT = 6;

export const threadId = (vcpu: number): string => (vcpu + 1).toString(16);

/** What a client can be told. */
export interface ClientFeatures {
  readonly swbreak: boolean;
  readonly hwbreak: boolean;
}

function signalOf(halt: Halt): number {
  if (halt.kind === 'interrupted') return SIGINT;
  return halt.kind === 'ended' && cannotGoOn(halt.reason) ? SIGABRT : SIGTRAP;
}

function why(halt: Halt, points: StopPoints, client: ClientFeatures): string {
  switch (halt.kind) {
    case 'breakpoint': {
      const kind = points.breakpointAt(halt.linear);
      return (kind === 'hwbreak' ? client.hwbreak : client.swbreak) ? `${kind}:;` : '';
    }
    case 'watchpoint': {
      const point = points.watchpoint(halt.id);
      return point === undefined ? '' : `${point.kind}:${point.linear.toString(16)};`;
    }
    case 'beginning': return 'replaylog:begin;';
    case 'ended': return 'replaylog:end;';
    default: return '';
  }
}

/** @param expedited registers that the packet carries, with their numbers */
export function stopReply(halt: Halt, c: VcpuContext, expedited: readonly (readonly [number, Register])[], points: StopPoints, client: ClientFeatures): string {
  const values = expedited.map(([n, r]) => `${n.toString(16).padStart(2, '0')}:${valueToHex(r.read(c) ?? 0n, r.bits / 8)};`);
  return `T${signalOf(halt).toString(16).padStart(2, '0')}${values.join('')}thread:${threadId(halt.vcpu)};${why(halt, points, client)}`;
}

/** The run ended because the guest could not go on. */
export const cannotGoOn = (reason: Stop): boolean => reason.kind === 'shutdown' || reason.kind === 'not-implemented';

/** Exit status of the run, as `xenolith run` has it. */
export function statusOf(reason: Stop): number {
  if (reason.kind === 'debug-exit') return ((reason.value << 1) | 1) & 0xff;
  return cannotGoOn(reason) ? 3 : 0;
}

/** The reply that ends the session: the process has exited, or was killed by a signal. */
export const endReply = (reason: Stop): string =>
  cannotGoOn(reason) ? `X${SIGABRT.toString(16).padStart(2, '0')}` : `W${statusOf(reason).toString(16).padStart(2, '0')}`;

/** One line for people. */
export function endText(reason: Stop): string {
  switch (reason.kind) {
    case 'debug-exit': return `the run has ended: the guest wrote ${reason.value} to the debug-exit port (status ${statusOf(reason)})`;
    case 'power-off': return 'the run has ended: the guest powered off (status 0)';
    case 'shutdown': return `the run has ended: ${reason.what} at ${reason.address}`;
    case 'not-implemented': return `the run has ended: not implemented: ${reason.what} at ${reason.address}`;
    default: return 'the run has ended';
  }
}
