/**
 * Code segments as targets of far transfers: checks and loading of CS.
 *
 * SDM 3A §5.8.1 "Direct Calls or Jumps to Code Segments"; SDM 2, "JMP" and "CALL".
 */

import type { Cpu } from '../cpu.js';
import { GP, NP } from '../events.js';
import { PROBE } from '../ports.js';
import { CS, S } from '../state.js';
import { AR_DB, AR_L, AR_P, AR_S, AR_UNUSABLE, type Descriptor, dplOf, isCode, isConforming, isPresent, markAccessed } from './descriptors.js';
import { isCanonical, isV86, setSegment } from './segments.js';

/** Would code of this segment run in 64-bit mode? */
export const is64BitCode = (cpu: Cpu, d: { attr: number }): boolean => cpu.s.longMode && (d.attr & AR_L) !== 0;

/** In IA-32e mode a code segment must not have both L and D: #GP(selector). */
export function checkLongBits(cpu: Cpu, selector: number, d: Descriptor): void {
  if (is64BitCode(cpu, d) && (d.attr & AR_DB) !== 0) cpu.raise(GP, selector & 0xfffc);
}

/** Checks a direct far JMP or CALL to a code segment: type, privilege, presence. */
export function checkDirectTarget(cpu: Cpu, selector: number, d: Descriptor): void {
  const cpl = cpu.s.cpl, error = selector & 0xfffc;
  if (!isCode(d)) cpu.raise(GP, error);
  checkLongBits(cpu, selector, d);
  const dpl = dplOf(d);
  if (isConforming(d) ? dpl > cpl : (selector & 3) > cpl || dpl !== cpl) cpu.raise(GP, error);
  if (!isPresent(d)) cpu.raise(NP, error);
}

/** Checks that `rip` may be executed in the segment: canonical in 64-bit code, inside the limit else. #GP(0). */
export function checkRip(cpu: Cpu, d: Descriptor, rip: bigint): void {
  if (is64BitCode(cpu, d) ? !isCanonical(rip) : rip > BigInt(d.limit)) cpu.raise(GP, 0);
}

/** Tells the probe of a return to an outer level. */
export function reportOuterLevel(cpu: Cpu, cpl: number): void {
  if (cpu.probe.active) cpu.probe.emit(PROBE.privilege, cpu.now(), cpu.id, cpl, Number(cpu.s.rip), 0, 0);
}

/** Loads CS with RPL = `cpl` and makes that the current privilege level. The caller has checked everything and sets RIP. */
export function loadCs(cpu: Cpu, selector: number, d: Descriptor, cpl: number): void {
  const attr = markAccessed(cpu, selector, d);
  cpu.s.set32(S.cpl, cpl);
  setSegment(cpu.s, CS, (selector & 0xfffc) | cpl, d.base, d.limit, attr);
}

/** Loads CS in real or virtual-8086 mode: the base alone; limit and rights stay. */
export function loadRealCs(cpu: Cpu, selector: number): void {
  const s = cpu.s;
  const v86 = isV86(s);
  const attr = v86 ? 0xf3 : s.segAttr(CS) & AR_UNUSABLE ? 0x93 : s.segAttr(CS) | AR_P | AR_S;
  setSegment(s, CS, selector, BigInt((selector & 0xffff) << 4), v86 ? 0xffff : s.segLimit(CS), attr);
}

/** Ends a transfer: writes RIP and tells the engine that CS, CPL or the mode may be others now. */
export function arrive(cpu: Cpu, rip: bigint): void {
  cpu.s.rip = rip;
  cpu.modeChanged();
}
