/**
 * The state after reset and INIT, and the start by SIPI.
 *
 * SDM 3A §9.1.1 "Processor State After Reset", Table 9-1; §8.4.3 "MP Initialization Protocol Algorithm for MP Systems".
 */

import type { Cpu } from '../cpu.js';
import { ACTIVITY, CR0_CD, CR0_ET, CR0_NW, CS, DS, ES, FS, GS, LDTR, RDX, S, SS, TR } from '../state.js';
import { STATE_BYTES } from '../state.js';
import { STATE_BASE } from '../../mem/layout.js';
import { DR6_FIXED, DR7_FIXED } from './debug.js';
import { resetCoreMsrs } from './msrs.js';
import { setSegment } from './segments.js';

const ATTR_DATA = 0x93, ATTR_LDT = 0x82, ATTR_TSS = 0x8b;
export const PAT_DEFAULT = 0x0007_0406_0007_0406n;

/** What reset and INIT have in common. The x87, SSE, TSC and most MSRs keep their values over INIT. */
function common(cpu: Cpu): void {
  const s = cpu.s;
  for (let i = 0; i < 16; i++) s.setGpr(i, 0n);
  // Family, model and stepping, as CPUID leaf 1 reports them.
  s.setGpr(RDX, BigInt(cpu.cpuid.leaf(cpu, 1, 0).eax >>> 0));
  s.rflags = 2;
  s.rip = 0xfff0n;
  s.set32(S.cpl, 0);
  s.set64(S.cr2, 0n);
  s.set64(S.cr3, 0n);
  s.set64(S.cr4, 0n);
  s.set64(S.cr8, 0n);
  s.set64(S.efer, 0n);
  setSegment(s, CS, 0xf000, 0xffff_0000n, 0xffff, ATTR_DATA | 8);
  for (const i of [ES, SS, DS, FS, GS]) setSegment(s, i, 0, 0n, 0xffff, ATTR_DATA);
  setSegment(s, LDTR, 0, 0n, 0xffff, ATTR_LDT);
  setSegment(s, TR, 0, 0n, 0xffff, ATTR_TSS);
  s.set64(S.gdtrBase, 0n);
  s.set32(S.gdtrLimit, 0xffff);
  s.set64(S.idtrBase, 0n);
  s.set32(S.idtrLimit, 0xffff);
  for (let i = 0; i < 4; i++) s.set64(S.dr + 8 * i, 0n);
  s.set64(S.dr + 48, BigInt(DR6_FIXED));
  s.set64(S.dr + 56, BigInt(DR7_FIXED));
  for (const field of [S.interruptShadow, S.shadowArmed, S.nmiBlocked, S.pending, S.pendingDebug]) s.set32(field, 0);
  s.set32(S.activity, ACTIVITY.active);
}

/** Power-on: the whole window, then the registers. The boot processor starts at the reset vector; others wait for a SIPI. */
export function resetState(cpu: Cpu, bootProcessor = true): void {
  const s = cpu.s;
  // The address of the software TLB belongs to the engine, and time goes on.
  const keep = [S.tlb, S.left, S.sliceBudget, S.retired, S.currentPage].map((f) => [f, s.get32(f)] as const);
  const wide = [S.sliceStart, S.instructions].map((f) => [f, s.get64(f)] as const);
  cpu.m.u8.fill(0, STATE_BASE, STATE_BASE + STATE_BYTES);
  for (const [f, v] of keep) s.set32(f, v);
  for (const [f, v] of wide) s.set64(f, v);
  common(cpu);
  s.set64(S.cr0, BigInt((CR0_CD | CR0_NW | CR0_ET) >>> 0));
  s.set64(S.xcr0, 1n);
  s.set64(S.pat, PAT_DEFAULT);
  resetCoreMsrs(cpu);
  s.set32(S.mxcsr, 0x1f80);
  s.set32(S.fcw, 0x0040);
  s.set32(S.ftw, 0x5555);
  if (!bootProcessor) s.set32(S.activity, ACTIVITY.waitForSipi);
  cpu.flushTlb('all');
  cpu.modeChanged();
}

/** INIT: registers as after reset; CR0.CD and CR0.NW keep their values. The boot processor restarts, others wait for a SIPI. */
export function initState(cpu: Cpu, bootProcessor: boolean): void {
  const s = cpu.s;
  const cache = s.cr0 & (CR0_CD | CR0_NW);
  common(cpu);
  s.set64(S.cr0, BigInt((cache | CR0_ET) >>> 0));
  if (!bootProcessor) s.set32(S.activity, ACTIVITY.waitForSipi);
  cpu.flushTlb('all');
  cpu.modeChanged();
}

/** Start-up IPI: real mode at `vector` << 12. */
export function startBySipi(cpu: Cpu, vector: number): void {
  const s = cpu.s;
  setSegment(s, CS, (vector & 0xff) << 8, BigInt((vector & 0xff) << 12), 0xffff, ATTR_DATA | 8);
  s.rip = 0n;
  s.set32(S.activity, ACTIVITY.active);
  cpu.modeChanged();
}
