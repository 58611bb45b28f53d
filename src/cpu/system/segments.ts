/**
 * The segment registers: hidden parts, the limits of the fast path, and every way to load one.
 *
 * SDM 3A §3.4.4 "Segment Loading Instructions in IA-32e Mode", §5.4 to §5.6 (limit, type and privilege checks);
 * §20.1.1 "Address Translation in Real-Address Mode".
 *
 * Invariant: `limitRead`, `limitWrite` and `slow` always agree with base, limit, rights and mode: whoever writes a hidden part
 * uses `setSegment`, and `modeChanged` refreshes all when CR0.PE, RFLAGS.VM or 64-bit mode changes.
 */

import type { Cpu } from '../cpu.js';
import { GP, NP, SSV } from '../events.js';
import { CR0_PE, CS, type CpuState, FS, S, SEG, SS, VM, segAddress } from '../state.js';
import { high32, low32, wide } from '../wide.js';
import {
  AR_DB, AR_DPL_SHIFT, AR_P, AR_S, AR_UNUSABLE, TYPE_CODE, TYPE_CONFORMING, TYPE_EXPAND_DOWN, TYPE_READABLE, TYPE_WRITABLE,
  dplOf, isCode, isConforming, isNull, isPresent, isSystem, isWritableData, markAccessed, readDescriptor,
} from './descriptors.js';

export const isRealMode = (s: CpuState): boolean => (s.cr0 & CR0_PE) === 0;
export const isV86 = (s: CpuState): boolean => (s.get32(S.rflagsRest) & VM) !== 0 && !s.longMode;
/** Real or virtual-8086 mode: selectors are paragraph numbers. */
export const isFlatSelectorMode = (s: CpuState): boolean => isRealMode(s) || isV86(s);

/** Word offsets in a segment entry. */
/** Bit of `S.flatSegments`. */
export const FLAT_STACK = 1 << 6;
const LIMIT_READ = SEG.limitRead >>> 2, LIMIT_WRITE = SEG.limitWrite >>> 2, SLOW = SEG.slow >>> 2;
const SEGMENT_WORDS = 8;

/** Recomputes what the fast path looks at. For `modeChanged` and everything that writes a hidden part. */
export function refreshFastLimits(s: CpuState, index: number): void {
  const { u32 } = s.m;
  const at = segAddress(index) >>> 2;
  if (s.mode64) {
    u32[at + LIMIT_READ] = u32[at + LIMIT_WRITE] = 0xffff_ffff;
    u32[at + SLOW] = 0;
    return;
  }
  const attr = u32[at + (SEG.attr >>> 2)]!, limit = u32[at + (SEG.limit >>> 2)]!;
  let read = limit, write = limit, slow = 0;
  if (attr & AR_UNUSABLE || (attr & (AR_S | AR_P)) !== (AR_S | AR_P)) {
    slow = 3;
  } else if (attr & TYPE_CODE) {
    if (!isFlatSelectorMode(s)) slow = 2 | (attr & TYPE_READABLE ? 0 : 1);
  } else if (attr & TYPE_EXPAND_DOWN) {
    slow = 3;
  } else if ((attr & TYPE_WRITABLE) === 0) {
    slow = 2;
  }
  if (slow & 1) read = 0;
  if (slow & 2) write = 0;
  u32[at + LIMIT_READ] = read;
  u32[at + LIMIT_WRITE] = write;
  u32[at + SLOW] = slow;
  noteFlat(s, index);
}
/** Keeps `S.flatSegments`. */
function noteFlat(s: CpuState, index: number): void {
  const { u32 } = s.m;
  const at = segAddress(index) >>> 2;
  const flat = u32[at] === 0 && u32[at + LIMIT_READ] === 0xffff_ffff && u32[at + LIMIT_WRITE] === 0xffff_ffff && u32[at + SLOW] === 0;
  if (flat) u32[S.flatSegments >>> 2]! |= 1 << index;
  else u32[S.flatSegments >>> 2]! &= ~(1 << index);
}

/** Refreshes all six (after a change of mode). */
export function refreshAllFastLimits(s: CpuState): void {
  const { u32 } = s.m;
  if (s.mode64)
    for (let i = 0, at = S.seg >>> 2; i < 6; i++, at += SEGMENT_WORDS) {
      u32[at + LIMIT_READ] = u32[at + LIMIT_WRITE] = 0xffff_ffff;
      u32[at + SLOW] = 0;
    }
  else for (let i = 0; i < 6; i++) refreshFastLimits(s, i);
  if (s.get32(S.stackMask) === 0xffff_ffff) s.m.u32[S.flatSegments >>> 2]! |= FLAT_STACK;
  else s.m.u32[S.flatSegments >>> 2]! &= ~FLAT_STACK;
}

/**
 * Writes a segment register, visible and hidden part, without any check.
 * @param limit in bytes, 32 bits @param attr access rights in the VMX format (AR_*)
 */
export function setSegment(s: CpuState, index: number, selector: number, base: bigint, limit: number, attr: number): void {
  const at = segAddress(index);
  s.set64(at + SEG.base, BigInt.asUintN(64, base));
  s.set32(at + SEG.limit, limit);
  s.set32(at + SEG.attr, attr);
  s.set32(at + SEG.selector, selector & 0xffff);
  refreshFastLimits(s, index);
}

/** Writes a segment's base alone (WRMSR FS_BASE, SWAPGS). */
export function setSegmentBase(s: CpuState, index: number, base: bigint): void {
  s.set64(segAddress(index) + SEG.base, base);
  if (!s.mode64) noteFlat(s, index);
}

/** A null selector: unusable, base and limit zero. SS keeps the privilege level in its DPL (64-bit mode runs with a null SS). */
export function setNullSegment(s: CpuState, index: number, selector: number): void {
  setSegment(s, index, selector, 0n, 0, AR_UNUSABLE | (index === SS ? s.cpl << AR_DPL_SHIFT : 0));
}

/**
 * Loads a selector in real or virtual-8086 mode. In real mode limit and rights stay as they are ("unreal mode" works);
 * in virtual-8086 mode they take the fixed values.
 */
export function loadRealSegment(s: CpuState, index: number, selector: number): void {
  const base = BigInt((selector & 0xffff) << 4);
  const attr = s.segAttr(index);
  if (isV86(s)) setSegment(s, index, selector, base, 0xffff, 0xf3);
  else if (attr & AR_UNUSABLE) setSegment(s, index, selector, base, 0xffff, 0x93);
  else setSegment(s, index, selector, base, s.segLimit(index), attr | AR_P | AR_S);
}

/** Checks and loads SS in protected mode (MOV, POP, LSS). */
function loadStackSegment(cpu: Cpu, selector: number): void {
  const s = cpu.s;
  const rpl = selector & 3;
  if (isNull(selector)) {
    if (!s.mode64 || s.cpl === 3 || rpl !== s.cpl) cpu.raise(GP, 0);
    setNullSegment(s, SS, selector);
    return;
  }
  const error = selector & 0xfffc;
  const d = readDescriptor(cpu, selector, GP);
  if (rpl !== s.cpl || !isWritableData(d) || dplOf(d) !== s.cpl) cpu.raise(GP, error);
  if (!isPresent(d)) cpu.raise(SSV, error);
  setSegment(s, SS, selector, d.base, d.limit, markAccessed(cpu, selector, d));
}

/** May `selector` be loaded into ES, DS, FS or GS? The rules shared by MOV and task switches. */
export function dataSegmentAllowed(d: { attr: number }, rpl: number, cpl: number): boolean {
  if (isSystem(d)) return false;
  const code = isCode(d);
  if (code && (d.attr & TYPE_READABLE) === 0) return false;
  return (code && isConforming(d)) || (rpl <= dplOf(d) && cpl <= dplOf(d));
}

/**
 * Loads ES, SS, DS, FS or GS as MOV, POP and Lxx do, in any mode. Raises #GP, #SS or #NP; changes nothing then.
 * The caller reports a change of SS to the engine (`cpu.modeChanged`) and arms the interrupt shadow.
 */
export function loadSegment(cpu: Cpu, index: number, selector: number): void {
  const s = cpu.s;
  if (isFlatSelectorMode(s)) loadRealSegment(s, index, selector);
  else if (index === SS) loadStackSegment(cpu, selector);
  else if (isNull(selector)) {
    // AMD's processors before Zen 2 keep base and limit, and 64-bit code sees the base of FS and GS. APM 2 §4.5.3 "Segment Registers in 64-Bit Mode".
    if (cpu.cpuid.vendor === 'AuthenticAMD') setSegment(s, index, selector, s.segBase(index), s.segLimit(index), AR_UNUSABLE);
    else setNullSegment(s, index, selector);
  }
  else {
    const error = selector & 0xfffc;
    const d = readDescriptor(cpu, selector, GP);
    if (!dataSegmentAllowed(d, selector & 3, s.cpl)) cpu.raise(GP, error);
    if (!isPresent(d)) cpu.raise(NP, error);
    setSegment(s, index, selector, d.base, d.limit, markAccessed(cpu, selector, d));
  }
}

/**
 * Segments that a return to an outer level must not keep: data and non-conforming code of a more privileged level. They become
 * null and unusable, but keep their bases, as processors do: 64-bit code goes on using GS.
 */
export function dropInnerSegments(s: CpuState, newCpl: number): void {
  for (let i = 0; i < 6; i++) {
    if (i === CS || i === SS) continue;
    const attr = s.segAttr(i);
    if (attr & AR_UNUSABLE) continue;
    const conformingCode = (attr & (TYPE_CODE | TYPE_CONFORMING)) === (TYPE_CODE | TYPE_CONFORMING);
    if (((attr >> AR_DPL_SHIFT) & 3) < newCpl && !conformingCode) setSegment(s, i, 0, s.segBase(i), s.segLimit(i), AR_UNUSABLE);
  }
}

/** Bits 63:47 all equal, by bits 63:32 of the address. */
export function isCanonicalHigh(high: number): boolean {
  const top = high >>> 15;
  return top === 0 || top === 0x1_ffff;
}
/** The same of a whole address. @param linear 64 bits, unsigned */
export const isCanonical = (linear: bigint): boolean => isCanonicalHigh(high32(linear));

/** Do `size` bytes at `offset` lie inside a segment that is not 64-bit? */
export function withinLimit(offset: number, size: number, limit: number, attr: number): boolean {
  const last = offset + size - 1;
  if ((attr & (AR_S | TYPE_CODE | TYPE_EXPAND_DOWN)) === (AR_S | TYPE_EXPAND_DOWN))
    return offset > limit && last <= (attr & AR_DB ? 0xffff_ffff : 0xffff);
  return last <= limit;
}

/**
 * All segment checks for an access of `size` bytes: the closer look behind the fast path.
 * @returns the linear address. Raises #SS(0) for SS, #GP(0) for others.
 */
export function checkedLinear(cpu: Cpu, index: number, offset: bigint, size: number, write: boolean): bigint {
  const s = cpu.s;
  const vector = index === SS ? SSV : GP;
  if (s.mode64) {
    const linear = BigInt.asUintN(64, index >= FS ? offset + s.segBase(index) : offset);
    if (!isCanonical(linear) || !isCanonical(BigInt.asUintN(64, linear + wide(size - 1, 0)))) cpu.raise(vector, 0);
    return linear;
  }
  const attr = s.segAttr(index);
  if (attr & AR_UNUSABLE || (attr & AR_P) === 0) cpu.raise(vector, 0);
  if (!isFlatSelectorMode(s)) {
    const code = (attr & TYPE_CODE) !== 0;
    if (write ? code || (attr & TYPE_WRITABLE) === 0 : code && (attr & TYPE_READABLE) === 0) cpu.raise(vector, 0);
  }
  if (!withinLimit(low32(offset), size, s.segLimit(index), attr)) cpu.raise(vector, 0);
  return BigInt.asUintN(32, s.segBase(index) + offset);
}
