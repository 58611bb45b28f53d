/**
 * Segment descriptors in memory: fetching, taking apart, and the accessed and busy bits.
 *
 * SDM 3A §3.4.5 "Segment Descriptors", §3.5 "System Descriptor Types"; APM 2 §4.7, §4.8 for long mode.
 * Rights are kept everywhere in the form of VMX access rights (SEG.attr in state.ts), so that extensions save and load them as they are.
 *
 * Invariant: table reads are implicit supervisor accesses, whatever the CPL.
 */

import type { Cpu } from '../cpu.js';
import { LDTR, S } from '../state.js';
import { cut, high32, low32, wide } from '../wide.js';

/** Bits of the access rights. SDM 3C "Guest Register State", format of access rights. */
export const AR_TYPE = 0xf, AR_S = 0x10, AR_DPL_SHIFT = 5, AR_P = 0x80, AR_AVL = 0x1000, AR_L = 0x2000, AR_DB = 0x4000, AR_G = 0x8000, AR_UNUSABLE = 0x1_0000;
/** Type bits of code and data segments (S = 1). */
export const TYPE_ACCESSED = 1, TYPE_WRITABLE = 2, TYPE_READABLE = 2, TYPE_EXPAND_DOWN = 4, TYPE_CONFORMING = 4, TYPE_CODE = 8;

/** System-segment and gate types (S = 0). SDM 3A Table 3-2 "System-Segment and Gate-Descriptor Types". */
export const SYS = {
  tss16: 1, ldt: 2, tss16Busy: 3, callGate16: 4, taskGate: 5, interruptGate16: 6, trapGate16: 7,
  tss32: 9, tss32Busy: 11, callGate32: 12, interruptGate32: 14, trapGate32: 15,
} as const;

export interface Descriptor {
  readonly lo: number;
  readonly hi: number;
  /** Access rights (AR_*). */
  readonly attr: number;
  readonly base: bigint;
  /** In bytes, granularity applied. */
  readonly limit: number;
}

export function parseDescriptor(lo: number, hi: number): Descriptor {
  const raw = ((hi & 0xf_0000) | (lo & 0xffff)) >>> 0;
  return {
    lo, hi,
    attr: (hi >>> 8) & 0xf0ff,
    base: wide((lo >>> 16) | ((hi & 0xff) << 16) | (hi & 0xff00_0000), 0),
    limit: hi & 0x0080_0000 ? ((raw << 12) | 0xfff) >>> 0 : raw,
  };
}

export const typeOf = (d: { attr: number }): number => d.attr & AR_TYPE;
export const dplOf = (d: { attr: number }): number => (d.attr >> AR_DPL_SHIFT) & 3;
export const isPresent = (d: { attr: number }): boolean => (d.attr & AR_P) !== 0;
export const isSystem = (d: { attr: number }): boolean => (d.attr & AR_S) === 0;
export const isCode = (d: { attr: number }): boolean => (d.attr & (AR_S | TYPE_CODE)) === (AR_S | TYPE_CODE);
export const isConforming = (d: { attr: number }): boolean => (d.attr & TYPE_CONFORMING) !== 0;
export const isWritableData = (d: { attr: number }): boolean => (d.attr & (AR_S | TYPE_CODE | TYPE_WRITABLE)) === (AR_S | TYPE_WRITABLE);
export const isNull = (selector: number): boolean => (selector & 0xfffc) === 0;

/** Linear address of a byte in a system table: 64 bits wide in IA-32e mode, wrapping at 4 GiB outside. */
export const tableAddress = (cpu: Cpu, base: bigint, offset: number): bigint =>
  cut(cpu.s.longMode ? 64 : 32, base + wide(offset, 0));

export const readSystem = (cpu: Cpu, base: bigint, offset: number, size: 1 | 2 | 4): number =>
  low32(cpu.readLinear(tableAddress(cpu, base, offset), size, true));
export const writeSystem = (cpu: Cpu, base: bigint, offset: number, size: 1 | 2 | 4, value: number): void =>
  cpu.writeLinear(tableAddress(cpu, base, offset), size, wide(value, 0), true);

/** Base and limit of the table that a selector names, or undefined for an LDT that is not there. */
function tableOf(cpu: Cpu, selector: number): { base: bigint; limit: number } | undefined {
  const s = cpu.s;
  if ((selector & 4) === 0) return { base: s.get64(S.gdtrBase), limit: s.get32(S.gdtrLimit) };
  if (s.segAttr(LDTR) & AR_UNUSABLE) return undefined;
  return { base: s.segBase(LDTR), limit: s.segLimit(LDTR) };
}

/** Linear address of a selector's descriptor of `size` bytes, or undefined when it lies beyond its table. */
export function descriptorAddress(cpu: Cpu, selector: number, size: 8 | 16): bigint | undefined {
  const t = tableOf(cpu, selector);
  const offset = selector & 0xfff8;
  if (t === undefined || offset + size - 1 > t.limit) return undefined;
  return tableAddress(cpu, t.base, offset);
}

/** The descriptor, or undefined when the selector is beyond its table (LAR, LSL, VERR, VERW). */
export function tryReadDescriptor(cpu: Cpu, selector: number): Descriptor | undefined {
  const at = descriptorAddress(cpu, selector, 8);
  if (at === undefined) return undefined;
  const raw = cpu.readLinear(at, 8, true);
  return parseDescriptor(low32(raw), high32(raw));
}

/** The descriptor; raises `vector` with the selector as error code when it lies beyond its table. */
export function readDescriptor(cpu: Cpu, selector: number, vector: number): Descriptor {
  return tryReadDescriptor(cpu, selector) ?? cpu.raise(vector, selector & 0xfffc);
}

/** Bits 63:32 of the base (or offset) in a 16-byte descriptor, and the doubleword after it. */
export function readUpperHalf(cpu: Cpu, selector: number, vector: number): { high: bigint; reserved: number } {
  const at = descriptorAddress(cpu, selector, 16) ?? cpu.raise(vector, selector & 0xfffc);
  const raw = cpu.readLinear(BigInt.asUintN(64, at + 8n), 8, true);
  return { high: wide(low32(raw), 0), reserved: high32(raw) };
}

function writeTypeByte(cpu: Cpu, selector: number, hi: number): void {
  const at = descriptorAddress(cpu, selector, 8)!;
  cpu.writeLinear(BigInt.asUintN(64, at + 5n), 1, wide((hi >>> 8) & 0xff, 0), true);
}

/** Sets the accessed bit in memory if it is clear; returns the rights with it set. */
export function markAccessed(cpu: Cpu, selector: number, d: Descriptor): number {
  if ((d.attr & TYPE_ACCESSED) === 0) writeTypeByte(cpu, selector, d.hi | 0x100);
  return d.attr | TYPE_ACCESSED;
}

/** Sets or clears the busy bit of a TSS descriptor in memory. */
export function setBusy(cpu: Cpu, selector: number, busy: boolean): void {
  const at = descriptorAddress(cpu, selector, 8)!;
  const typeAt = BigInt.asUintN(64, at + 5n);
  const byte = cpu.readLinear(typeAt, 1, true);
  cpu.writeLinear(typeAt, 1, busy ? byte | 2n : byte & ~2n, true);
}
