/** The checks before SSE and x87 instructions: #UD or #NM by the control registers (Vcpu.modeChanged keeps the outcome in the state). */

import type { Builder, Width } from '../builder.js';
import type { Cpu } from '../cpu.js';
import { GP, NM, UD } from '../events.js';
import { S } from '../state.js';

/** Begins the body of an SSE instruction. SDM 3A §13.1.3 "Initialization of the SSE Extensions"; APM 1 §4.10 "Exceptions". */
export function requireSse(s: Builder): void {
  const trap = s.getState(S.sseTrap, 32);
  s.if(s.ne(trap, s.c(32, 0)), () => {
    s.raiseIf(s.eq(trap, s.c(32, UD)), UD);
    s.raiseIf(s.eq(trap, s.c(32, NM)), NM);
  });
}

/** The same for helpers of x87 and state instructions. */
export function requireX87(cpu: Cpu): void {
  const trap = cpu.s.get32(S.x87Trap);
  if (trap !== 0) cpu.raise(trap);
}
export function requireSseHelper(cpu: Cpu): void {
  const trap = cpu.s.get32(S.sseTrap);
  if (trap !== 0) cpu.raise(trap);
}

/** Memory operands of most 128-bit instructions are aligned to 16 bytes: #GP(0). `linear` offsets of flat segments: the effective address decides. */
export function requireAligned(s: Builder, ea: ReturnType<Builder['c']>, bytes: Width = 16): void {
  s.raiseIf(s.ne(s.and(ea, s.c(64, bytes - 1)), s.c(64, 0)), GP, 0);
}
