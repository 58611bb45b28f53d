/**
 * XCHG BX,BX as a marker: an instruction that does nothing on any processor, by which a guest names a point of its run.
 * With EAX = MARKER_MAGIC | code the probe hears `marker` (code, RDI, RSI, RDX). Nothing in the machine acts on it.
 */

import { NEXT, type InsnHelper } from '../insn.js';
import { PROBE } from '../ports.js';
import { RAX, RDI, RDX, RSI } from '../state.js';

export const MARKER_MAGIC = 0x584d_0000;

export const reportMarker: InsnHelper = (cpu) => {
  const { s, probe } = cpu;
  const code = s.gpr32(RAX);
  if (probe.active && (code & 0xffff_0000) === MARKER_MAGIC)
    probe.emit(PROBE.marker, cpu.now(), cpu.id, code & 0xffff, Number(s.gpr(RDI)), Number(s.gpr(RSI)), Number(s.gpr(RDX)));
  return NEXT;
};
