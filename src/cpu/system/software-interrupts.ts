/** INT n, INT3, INTO and INT1. SDM 2, "INT n/INTO/INT3/INT1—Call to Interrupt Procedure". */

import type { Cpu } from '../cpu.js';
import { BP, DB, EVENT_TYPE, OFV } from '../events.js';
import type { InsnView } from '../insn-view.js';
import { type HelperResult, LEAVE, NEXT } from '../insn.js';
import { OF, S } from '../state.js';
import { commitDebugException } from './debug.js';
import { deliverEvent } from './delivery.js';
import { intercepted, requireV86Iopl } from './privilege.js';

export function intN(cpu: Cpu, insn: InsnView): HelperResult {
  const vector = Number(insn.immediate(0) & 0xffn);
  // AMD's intercept comes before the check of IOPL; Intel has none.
  if (intercepted(cpu, 'INTn', { a: vector })) return LEAVE;
  requireV86Iopl(cpu);
  deliverEvent(cpu, vector, EVENT_TYPE.softwareInterrupt, false, 0, insn.length);
  return LEAVE;
}

export function int3(cpu: Cpu, insn: InsnView): HelperResult {
  deliverEvent(cpu, BP, EVENT_TYPE.software, false, 0, insn.length);
  return LEAVE;
}

export function into(cpu: Cpu, insn: InsnView): HelperResult {
  if ((cpu.s.rflags & OF) === 0) return NEXT;
  deliverEvent(cpu, OFV, EVENT_TYPE.software, false, 0, insn.length);
  return LEAVE;
}

export function int1(cpu: Cpu, insn: InsnView): HelperResult {
  if (intercepted(cpu, 'ICEBP')) return LEAVE;
  // Breakpoints that MOV SS held back are reported by this #DB.
  const s = cpu.s;
  if (s.get32(S.pendingDebug) !== 0) {
    commitDebugException(cpu, s.get32(S.pendingDebug));
    s.set32(S.pendingDebug, 0);
  }
  deliverEvent(cpu, DB, EVENT_TYPE.privilegedSoftware, false, 0, insn.length);
  return LEAVE;
}
