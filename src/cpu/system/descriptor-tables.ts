/**
 * LGDT, LIDT, SGDT, SIDT, LLDT, LTR, SLDT, STR.
 *
 * SDM 3A §2.4 "Memory-Management Registers"; SDM 2 under those names.
 */

import type { Cpu } from '../cpu.js';
import { GP, NP } from '../events.js';
import type { InsnView } from '../insn-view.js';
import { type HelperResult, LEAVE, NEXT } from '../insn.js';
import { LDTR, S, TR } from '../state.js';
import { type Descriptor, SYS, isNull, isPresent, isSystem, readDescriptor, readUpperHalf, setBusy, typeOf } from './descriptors.js';
import { intercepted, requireCpl0, requireProtectedMode, requireUmip } from './privilege.js';
import { isCanonical, setNullSegment, setSegment } from './segments.js';
import { operandBytes } from './operand-size.js';

const second = (insn: InsnView): bigint => BigInt.asUintN(insn.addressWidth, insn.ea() + 2n);

function loadTable(cpu: Cpu, insn: InsnView, op: 'LGDT' | 'LIDT'): HelperResult {
  const s = cpu.s;
  requireCpl0(cpu);
  if (intercepted(cpu, op)) return LEAVE;
  const limit = Number(cpu.readSegment(insn.segment, insn.ea(), 2));
  let base = cpu.readSegment(insn.segment, second(insn), s.mode64 ? 8 : 4);
  if (s.mode64) {
    if (!isCanonical(base)) cpu.raise(GP, 0);
  } else if (operandBytes(insn) === 2) {
    base &= 0xff_ffffn;
  }
  s.set64(op === 'LGDT' ? S.gdtrBase : S.idtrBase, base);
  s.set32(op === 'LGDT' ? S.gdtrLimit : S.idtrLimit, limit);
  return NEXT;
}

function storeTable(cpu: Cpu, insn: InsnView, op: 'SGDT' | 'SIDT'): HelperResult {
  const s = cpu.s;
  requireUmip(cpu);
  if (intercepted(cpu, op)) return LEAVE;
  const limit = s.get32(op === 'SGDT' ? S.gdtrLimit : S.idtrLimit);
  const base = s.get64(op === 'SGDT' ? S.gdtrBase : S.idtrBase);
  // Both parts are checked before the first is written.
  cpu.linearAddress(insn.segment, insn.ea(), 2, true);
  cpu.writeSegment(insn.segment, second(insn), s.mode64 ? 8 : 4, s.mode64 ? base : base & 0xffff_ffffn);
  cpu.writeSegment(insn.segment, insn.ea(), 2, BigInt(limit & 0xffff));
  return NEXT;
}

export const lgdt = (cpu: Cpu, insn: InsnView): HelperResult => loadTable(cpu, insn, 'LGDT');
export const lidt = (cpu: Cpu, insn: InsnView): HelperResult => loadTable(cpu, insn, 'LIDT');
export const sgdt = (cpu: Cpu, insn: InsnView): HelperResult => storeTable(cpu, insn, 'SGDT');
export const sidt = (cpu: Cpu, insn: InsnView): HelperResult => storeTable(cpu, insn, 'SIDT');

/** Base of an LDT or TSS: 64 bits from a 16-byte descriptor in 64-bit mode. */
function systemBase(cpu: Cpu, selector: number, d: Descriptor): bigint {
  if (!cpu.s.mode64) return d.base;
  const upper = readUpperHalf(cpu, selector, GP);
  const base = (upper.high << 32n) | d.base;
  if (upper.reserved & 0x1f00 || !isCanonical(base)) cpu.raise(GP, selector & 0xfffc);
  return base;
}

export function lldt(cpu: Cpu, insn: InsnView): HelperResult {
  requireProtectedMode(cpu);
  requireCpl0(cpu);
  if (intercepted(cpu, 'LLDT')) return LEAVE;
  const selector = Number(insn.read(0) & 0xffffn);
  const error = selector & 0xfffc;
  if (isNull(selector)) {
    setNullSegment(cpu.s, LDTR, selector);
    return NEXT;
  }
  if (selector & 4) cpu.raise(GP, error);
  const d = readDescriptor(cpu, selector, GP);
  if (!isSystem(d) || typeOf(d) !== SYS.ldt) cpu.raise(GP, error);
  if (!isPresent(d)) cpu.raise(NP, error);
  setSegment(cpu.s, LDTR, selector, systemBase(cpu, selector, d), d.limit, d.attr);
  return NEXT;
}

export function ltr(cpu: Cpu, insn: InsnView): HelperResult {
  requireProtectedMode(cpu);
  requireCpl0(cpu);
  if (intercepted(cpu, 'LTR')) return LEAVE;
  const selector = Number(insn.read(0) & 0xffffn);
  const error = selector & 0xfffc;
  if (isNull(selector)) cpu.raise(GP, 0);
  if (selector & 4) cpu.raise(GP, error);
  const d = readDescriptor(cpu, selector, GP);
  const type = typeOf(d);
  if (!isSystem(d) || !(type === SYS.tss32 || (type === SYS.tss16 && !cpu.s.longMode))) cpu.raise(GP, error);
  if (!isPresent(d)) cpu.raise(NP, error);
  const base = systemBase(cpu, selector, d);
  setBusy(cpu, selector, true);
  setSegment(cpu.s, TR, selector, base, d.limit, d.attr | 2);
  return NEXT;
}

function storeSelector(cpu: Cpu, insn: InsnView, op: 'SLDT' | 'STR'): HelperResult {
  requireProtectedMode(cpu);
  requireUmip(cpu);
  if (intercepted(cpu, op)) return LEAVE;
  insn.write(0, BigInt(cpu.s.selector(op === 'STR' ? TR : LDTR)));
  return NEXT;
}

export const sldt = (cpu: Cpu, insn: InsnView): HelperResult => storeSelector(cpu, insn, 'SLDT');
export const str = (cpu: Cpu, insn: InsnView): HelperResult => storeSelector(cpu, insn, 'STR');
