/**
 * Instructions that load, store or examine segment registers and selectors: MOV and POP Sreg, Lxx, LAR, LSL, VERR, VERW, ARPL, SWAPGS.
 *
 * SDM 2 under those names; SDM 3A §5.10 "Pointer Validation".
 */

import type { Cpu } from '../cpu.js';
import { UD } from '../events.js';
import type { InsnView } from '../insn-view.js';
import { type HelperResult, NEXT } from '../insn.js';
import { CS, GS, S, SS, ZF } from '../state.js';
import {
  type Descriptor, SYS, TYPE_READABLE, TYPE_WRITABLE, dplOf, isCode, isConforming, isNull, isSystem, tryReadDescriptor, typeOf,
} from './descriptors.js';
import { farPointer } from './far-transfer.js';
import { SHADOW_MOV_SS, armShadow } from './flags.js';
import { requireCpl0, requireProtectedMode } from './privilege.js';
import { isFlatSelectorMode, loadSegment, setSegmentBase } from './segments.js';
import { Stack } from './stack.js';
import { operandBytes } from './operand-size.js';

/** Ends an instruction that has loaded a segment register. */
function loaded(cpu: Cpu, index: number, shadow: boolean): HelperResult {
  if (index !== SS) return NEXT;
  if (shadow) armShadow(cpu, SHADOW_MOV_SS);
  cpu.modeChanged(); // the stack's width may be another
  return cpu.finish();
}

export function movToSreg(cpu: Cpu, insn: InsnView): HelperResult {
  const index = insn.register(0);
  if (index === CS || index > GS) cpu.raise(UD);
  loadSegment(cpu, index, Number(insn.read(1) & 0xffffn));
  return loaded(cpu, index, true);
}

export function popSreg(cpu: Cpu, insn: InsnView): HelperResult {
  const index = insn.register(0);
  const stack = Stack.current(cpu);
  const selector = Number(stack.pop(operandBytes(insn) as 2 | 4 | 8) & 0xffffn);
  loadSegment(cpu, index, selector);
  stack.commit();
  return loaded(cpu, index, true);
}

/** LDS, LES, LFS, LGS, LSS. */
export const loadFarPointer =
  (index: number) =>
  (cpu: Cpu, insn: InsnView): HelperResult => {
    if (!insn.isMemory(1)) cpu.raise(UD);
    const p = farPointer(cpu, insn, 1);
    loadSegment(cpu, index, p.selector);
    insn.write(0, p.offset);
    return loaded(cpu, index, false);
  };

function setZero(cpu: Cpu, on: boolean): HelperResult {
  const s = cpu.s;
  s.rflags = on ? s.rflags | ZF : s.rflags & ~ZF;
  return NEXT;
}

/** Is the descriptor visible at this CPL and RPL (conforming code always is)? */
const visible = (cpu: Cpu, d: Descriptor, selector: number): boolean =>
  (isCode(d) && isConforming(d)) || (dplOf(d) >= cpu.s.cpl && dplOf(d) >= (selector & 3));

/** System descriptors that LAR and LSL accept. SDM 2, tables of "LAR" and "LSL". */
const LAR_LEGACY = new Set<number>([SYS.tss16, SYS.ldt, SYS.tss16Busy, SYS.callGate16, SYS.taskGate, SYS.tss32, SYS.tss32Busy, SYS.callGate32]);
const LAR_LONG = new Set<number>([SYS.ldt, SYS.tss32, SYS.tss32Busy, SYS.callGate32]);
const LSL_LEGACY = new Set<number>([SYS.tss16, SYS.ldt, SYS.tss16Busy, SYS.tss32, SYS.tss32Busy]);
const LSL_LONG = new Set<number>([SYS.ldt, SYS.tss32, SYS.tss32Busy]);

function examine(cpu: Cpu, insn: InsnView, legacy: ReadonlySet<number>, long: ReadonlySet<number>): Descriptor | undefined {
  requireProtectedMode(cpu);
  const selector = Number(insn.read(1) & 0xffffn);
  if (isNull(selector)) return undefined;
  const d = tryReadDescriptor(cpu, selector);
  if (d === undefined || !visible(cpu, d, selector)) return undefined;
  if (isSystem(d) && !(cpu.s.longMode ? long : legacy).has(typeOf(d))) return undefined;
  return d;
}

export function lar(cpu: Cpu, insn: InsnView): HelperResult {
  const d = examine(cpu, insn, LAR_LEGACY, LAR_LONG);
  if (d === undefined) return setZero(cpu, false);
  const rights = BigInt((d.hi & 0x00ff_ff00) >>> 0);
  insn.write(0, BigInt.asUintN(insn.width(0), rights));
  return setZero(cpu, true);
}

export function lsl(cpu: Cpu, insn: InsnView): HelperResult {
  const d = examine(cpu, insn, LSL_LEGACY, LSL_LONG);
  if (d === undefined) return setZero(cpu, false);
  insn.write(0, BigInt.asUintN(insn.width(0), BigInt(d.limit)));
  return setZero(cpu, true);
}

function verify(cpu: Cpu, insn: InsnView, ok: (d: Descriptor) => boolean): HelperResult {
  requireProtectedMode(cpu);
  const selector = Number(insn.read(0) & 0xffffn);
  const d = isNull(selector) ? undefined : tryReadDescriptor(cpu, selector);
  return setZero(cpu, d !== undefined && !isSystem(d) && visible(cpu, d, selector) && ok(d));
}

export const verr = (cpu: Cpu, insn: InsnView): HelperResult => verify(cpu, insn, (d) => !isCode(d) || (d.attr & TYPE_READABLE) !== 0);
export const verw = (cpu: Cpu, insn: InsnView): HelperResult => verify(cpu, insn, (d) => !isCode(d) && (d.attr & TYPE_WRITABLE) !== 0);

export function arpl(cpu: Cpu, insn: InsnView): HelperResult {
  if (isFlatSelectorMode(cpu.s)) cpu.raise(UD);
  const dst = insn.read(0), rpl = insn.read(1) & 3n;
  if ((dst & 3n) >= rpl) return setZero(cpu, false);
  insn.write(0, (dst & ~3n) | rpl);
  return setZero(cpu, true);
}

export function swapgs(cpu: Cpu, _insn: InsnView): HelperResult {
  const s = cpu.s;
  if (!s.mode64) cpu.raise(UD);
  requireCpl0(cpu);
  const base = s.segBase(GS);
  setSegmentBase(s, GS, s.get64(S.kernelGsBase));
  s.set64(S.kernelGsBase, base);
  return NEXT;
}

