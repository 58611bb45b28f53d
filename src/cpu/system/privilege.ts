/** Privilege checks that many instructions share. SDM 3A §5.9 "Privileged Instructions". */

import type { Cpu } from '../cpu.js';
import { GP, UD } from '../events.js';
import type { InterceptInfo, InterceptOp } from '../ports.js';
import { CR4_UMIP, IOPL, IOPL_SHIFT, S } from '../state.js';
import { isFlatSelectorMode, isV86 } from './segments.js';

/**
 * The vendors' orders of checks differ: APM 2 §15.9 "Instruction Intercepts" against SDM 3C §25.1.1 "Relative Priority of Faults and
 * VM Exits".
 */
export const isAmd = (cpu: Cpu): boolean => cpu.cpuid.vendor === 'AuthenticAMD';

/** #GP(0) unless at privilege level 0 (virtual-8086 mode is level 3). */
export function requireCpl0(cpu: Cpu): void {
  if (cpu.s.cpl !== 0) cpu.raise(GP, 0);
}

/** Instructions of the descriptor tables that real and virtual-8086 mode do not recognise: #UD. */
export function requireProtectedMode(cpu: Cpu): void {
  if (isFlatSelectorMode(cpu.s)) cpu.raise(UD);
}

/** CR4.UMIP: SGDT, SIDT, SLDT, STR and SMSW need level 0. */
export function requireUmip(cpu: Cpu): void {
  if (cpu.s.cr4 & CR4_UMIP) requireCpl0(cpu);
}

export const iopl = (cpu: Cpu): number => (cpu.s.get32(S.rflagsRest) & IOPL) >> IOPL_SHIFT;

/** Virtual-8086 mode with IOPL below 3: PUSHF, POPF, INT n and IRET are #GP(0). */
export function requireV86Iopl(cpu: Cpu): void {
  if (isV86(cpu.s) && iopl(cpu) < 3) cpu.raise(GP, 0);
}

/** Offers an instruction to the extension. @returns true after a VM exit: the helper leaves at once. */
export const intercepted = (cpu: Cpu, op: InterceptOp, info?: InterceptInfo): boolean =>
  cpu.inGuest && cpu.virt !== null && cpu.virt.instruction(cpu, op, info);
