/**
 * Control registers: the rules for CR0, CR3, CR4, CR8, and the instructions that touch them (MOV CR, LMSW, SMSW, CLTS).
 *
 * SDM 3A §2.5 "Control Registers", §9.8.5 "Initializing IA-32e Mode"; SDM 2, "MOV—Move to/from Control Registers", "LMSW", "SMSW", "CLTS".
 */

import type { Cpu } from '../cpu.js';
import { GP, UD } from '../events.js';
import type { InsnView } from '../insn-view.js';
import { type HelperResult, LEAVE, NEXT } from '../insn.js';
import {
  CR0_AM, CR0_CD, CR0_EM, CR0_ET, CR0_MP, CR0_NE, CR0_NW, CR0_PE, CR0_PG, CR0_TS, CR0_WP, CR4_PAE, CR4_PCIDE, CR4_PGE, CR4_PSE, CR4_SMAP,
  CR4_SMEP, CR4_UMIP, CS, EFER_LMA, EFER_LME, S, TR,
} from '../state.js';
import { AR_L, SYS, typeOf } from './descriptors.js';
import { loadCr3, loadPdptes, usesPdptes } from './paging-registers.js';
import { isAmd, requireCpl0 } from './privilege.js';

const CR0_DEFINED = CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_NW | CR0_CD | CR0_PG;

/** A change of paging as a whole that CR0.PG starts or ends: IA-32e mode comes and goes with it. #GP(0) if forbidden. */
function checkPagingTransition(cpu: Cpu, value: number): void {
  const s = cpu.s;
  const on = (value & CR0_PG) !== 0;
  if (on === ((s.cr0 & CR0_PG) !== 0)) return;
  if (on) {
    if ((s.efer & EFER_LME) === 0) return;
    const tss16 = typeOf({ attr: s.segAttr(TR) }) === SYS.tss16Busy || typeOf({ attr: s.segAttr(TR) }) === SYS.tss16;
    if ((s.cr4 & CR4_PAE) === 0 || (s.segAttr(CS) & AR_L) !== 0 || tss16) cpu.raise(GP, 0);
  } else if (s.mode64 || s.cr4 & CR4_PCIDE) {
    cpu.raise(GP, 0);
  }
}

/** The value that a write of CR0 would store; #GP(0) if it may not be written. @param wide the full 64-bit value */
function checkedCr0(cpu: Cpu, wide: bigint): number {
  if (wide >> 32n) cpu.raise(GP, 0);
  let value = ((Number(wide) & CR0_DEFINED) | CR0_ET) >>> 0;
  if (cpu.inGuest) value = cpu.virt?.mergedCr?.(cpu, 0, value) ?? value;
  if ((value & CR0_PG && !(value & CR0_PE)) || (value & CR0_NW && !(value & CR0_CD))) cpu.raise(GP, 0);
  if (cpu.virt?.crValueAllowed?.(cpu, 0, value) === false) cpu.raise(GP, 0);
  checkPagingTransition(cpu, value);
  return value;
}

/** Writes CR0 with all checks and effects. @param wide the full 64-bit value */
export function writeCr0(cpu: Cpu, wide: bigint): void {
  const s = cpu.s;
  const old = s.cr0, value = checkedCr0(cpu, wide);
  const changed = (old ^ value) >>> 0;
  const toLong = (changed & value & CR0_PG) !== 0 && (s.efer & EFER_LME) !== 0;
  if (changed & (CR0_PG | CR0_CD | CR0_NW) && value & CR0_PG && !toLong && usesPdptes(cpu, value, s.cr4) && !loadPdptes(cpu, s.get64(S.cr3)))
    cpu.raise(GP, 0);
  if (toLong) s.set64(S.efer, BigInt(s.efer | EFER_LMA));
  else if (changed & CR0_PG && !(value & CR0_PG)) s.set64(S.efer, BigInt(s.efer & ~EFER_LMA));
  s.set64(S.cr0, BigInt(value));
  if (changed & CR0_PE && !(value & CR0_PE)) s.set32(S.cpl, 0);
  if (changed & (CR0_PG | CR0_PE | CR0_WP)) cpu.flushTlb('context');
  cpu.modeChanged();
}

/** The value that a write of CR4 would store; #GP(0) if it may not be written. */
function checkedCr4(cpu: Cpu, wide: bigint): number {
  const s = cpu.s;
  if (wide >> 32n) cpu.raise(GP, 0);
  let value = Number(wide);
  if (cpu.inGuest) value = cpu.virt?.mergedCr?.(cpu, 4, value) ?? value;
  if (value & ~cpu.cr4Allowed) cpu.raise(GP, 0);
  if (s.longMode && !(value & CR4_PAE)) cpu.raise(GP, 0);
  if ((s.cr4 ^ value) & value & CR4_PCIDE && (!s.longMode || (s.get64(S.cr3) & 0xfffn) !== 0n)) cpu.raise(GP, 0);
  if (cpu.virt?.crValueAllowed?.(cpu, 4, value) === false) cpu.raise(GP, 0);
  return value;
}

/** Writes CR4 with all checks and effects. */
export function writeCr4(cpu: Cpu, wide: bigint): void {
  const s = cpu.s;
  const value = checkedCr4(cpu, wide), changed = s.cr4 ^ value;
  if (changed & (CR4_PAE | CR4_PGE | CR4_PSE | CR4_SMEP) && usesPdptes(cpu, s.cr0, value) && !loadPdptes(cpu, s.get64(S.cr3))) cpu.raise(GP, 0);
  s.set64(S.cr4, BigInt(value >>> 0));
  // The context scope drops global translations too: SDM 3A §4.10.4.1 "Operations that Invalidate TLBs and Paging-Structure Caches".
  if (changed & (CR4_PAE | CR4_PGE | CR4_PSE | CR4_PCIDE | CR4_SMEP | CR4_SMAP)) cpu.flushTlb('context');
  cpu.modeChanged();
}

function readCr8(cpu: Cpu): number {
  return cpu.inGuest && cpu.virt?.virtualTpr?.(cpu) ? cpu.s.get32(S.cr8) & 0xf : cpu.platform.readTpr(cpu) & 0xf;
}

function writeCr8(cpu: Cpu, value: bigint): void {
  if (value >> 4n) cpu.raise(GP, 0);
  if (cpu.inGuest && cpu.virt?.virtualTpr?.(cpu)) cpu.s.set64(S.cr8, value);
  else cpu.platform.writeTpr(cpu, Number(value));
}

/** What software sees of CR0 or CR4 (a guest may see a shadow). */
export function visibleCr(cpu: Cpu, cr: 0 | 4): number {
  const real = cr === 0 ? cpu.s.cr0 : cpu.s.cr4;
  return (cpu.inGuest ? (cpu.virt?.visibleCr?.(cpu, cr, real) ?? real) : real) >>> 0;
}

/** AMD checks the value before the intercept. APM 2 §15.9 "Instruction Intercepts". */
function checkBeforeIntercept(cpu: Cpu, cr: number, value: bigint): void {
  if (cr === 0) checkedCr0(cpu, value);
  else if (cr === 4) checkedCr4(cpu, value);
  else if (cr === 3 && cpu.s.longMode && value >> BigInt(cpu.physicalAddressBits)) cpu.raise(GP, 0);
  else if (cr === 8 && value >> 4n) cpu.raise(GP, 0);
}

const isControlRegister = (n: number): boolean => n === 0 || n === 2 || n === 3 || n === 4 || n === 8;

export function movFromCr(cpu: Cpu, insn: InsnView): HelperResult {
  const s = cpu.s;
  const cr = insn.register(1), reg = insn.register(0);
  if (!isControlRegister(cr)) cpu.raise(UD);
  requireCpl0(cpu);
  if (cpu.inGuest && cpu.virt?.crAccess(cpu, cr, 'read', reg, 0n)) return LEAVE;
  let v: bigint;
  if (cr === 0 || cr === 4) v = BigInt(visibleCr(cpu, cr));
  else if (cr === 8) v = BigInt(readCr8(cpu));
  else v = s.get64(cr === 2 ? S.cr2 : S.cr3);
  if (s.mode64) s.setGpr(reg, v);
  else s.setGpr32(reg, Number(v & 0xffff_ffffn));
  return NEXT;
}

export function movToCr(cpu: Cpu, insn: InsnView): HelperResult {
  const s = cpu.s;
  const cr = insn.register(0), reg = insn.register(1);
  if (!isControlRegister(cr)) cpu.raise(UD);
  requireCpl0(cpu);
  const value = s.mode64 ? s.gpr(reg) : BigInt(s.gpr32(reg));
  if (cpu.inGuest && isAmd(cpu)) checkBeforeIntercept(cpu, cr, value);
  if (cpu.inGuest && cpu.virt?.crAccess(cpu, cr, 'write', reg, value)) return LEAVE;
  switch (cr) {
    case 0: writeCr0(cpu, value); break;
    case 2: s.set64(S.cr2, value); return NEXT;
    case 3: if (!loadCr3(cpu, value)) cpu.raise(GP, 0); break;
    case 4: writeCr4(cpu, value); break;
    default: writeCr8(cpu, value);
  }
  return cpu.finish();
}

export function clts(cpu: Cpu, _insn: InsnView): HelperResult {
  requireCpl0(cpu);
  const s = cpu.s;
  const value = (s.cr0 & ~CR0_TS) >>> 0;
  if (cpu.inGuest && cpu.virt?.crAccess(cpu, 0, 'clts', 0, BigInt(value))) return LEAVE;
  s.set64(S.cr0, BigInt(((cpu.inGuest ? cpu.virt?.mergedCr?.(cpu, 0, value) : undefined) ?? value) >>> 0));
  cpu.modeChanged();
  return cpu.finish();
}

/** Linear address of the memory operand, for exit information. */
const operandLinear = (cpu: Cpu, insn: InsnView): bigint | undefined =>
  insn.isMemory(0) ? BigInt.asUintN(64, cpu.s.segBase(insn.segment) + insn.ea()) : undefined;

export function lmsw(cpu: Cpu, insn: InsnView): HelperResult {
  requireCpl0(cpu);
  const word = Number(insn.read(0) & 0xffffn);
  const linear = operandLinear(cpu, insn);
  const reg = insn.isMemory(0) ? 0 : insn.register(0);
  if (cpu.inGuest && cpu.virt?.crAccess(cpu, 0, 'lmsw', reg, BigInt(word), ...(linear === undefined ? [] : [linear]))) return LEAVE;
  // PE can be set but not cleared; MP, EM and TS follow the operand.
  const old = visibleCr(cpu, 0);
  writeCr0(cpu, BigInt(((old & ~(CR0_MP | CR0_EM | CR0_TS)) | (word & 0xf)) >>> 0));
  return cpu.finish();
}

export function smsw(cpu: Cpu, insn: InsnView): HelperResult {
  if (cpu.s.cr4 & CR4_UMIP) requireCpl0(cpu);
  if (cpu.inGuest && cpu.virt?.crAccess(cpu, 0, 'smsw', insn.isMemory(0) ? 0 : insn.register(0), 0n)) return LEAVE;
  const v = BigInt(visibleCr(cpu, 0));
  if (insn.isMemory(0)) insn.write(0, v & 0xffffn);
  else insn.write(0, BigInt.asUintN(insn.width(0), v));
  return NEXT;
}
