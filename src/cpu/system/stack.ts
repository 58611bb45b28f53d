/**
 * A stack as control transfers see it: the current one or one that is about to become current.
 *
 * Pushes and pops work on a pointer of their own, so that a fault in the middle leaves the registers untouched; `commit`
 * moves RSP. SDM 3A §6.12.1 "Exception- or Interrupt-Handler Procedures"; 1 §6.2 "Stacks".
 */

import type { Cpu } from '../cpu.js';
import { SSV } from '../events.js';
import { RSP, SS } from '../state.js';
import { cut, low32, wide } from '../wide.js';
import { AR_DB } from './descriptors.js';
import { isCanonical, withinLimit } from './segments.js';

export interface StackSegment {
  readonly base: bigint;
  readonly limit: number;
  readonly attr: number;
}

export class Stack {
  /** Pointer width in bits: 16, 32 or 64. */
  readonly width: 16 | 32 | 64;

  /**
   * @param sp initial pointer @param error error code of #SS faults (the new SS selector, or 0)
   * @param supervisor pushes as privilege levels 0-2 do, whatever the CPL is now
   * @param long 64-bit stack: no base, no limit
   */
  constructor(
    private readonly cpu: Cpu,
    private readonly segment: StackSegment,
    public sp: bigint,
    private readonly error: number,
    private readonly supervisor: boolean,
    long: boolean,
  ) {
    this.width = long ? 64 : segment.attr & AR_DB ? 32 : 16;
    this.sp = cut(this.width, sp);
  }

  /** The stack in use, at the current privilege level. */
  static current(cpu: Cpu): Stack {
    const s = cpu.s;
    return new Stack(cpu, { base: s.segBase(SS), limit: s.segLimit(SS), attr: s.segAttr(SS) }, s.gpr(RSP), 0, false, s.mode64);
  }

  private linear(offset: bigint, size: number): bigint {
    if (this.width === 64) {
      if (!isCanonical(offset) || !isCanonical(BigInt.asUintN(64, offset + wide(size - 1, 0)))) this.cpu.raise(SSV, this.error);
      return offset;
    }
    if (!withinLimit(low32(offset), size, this.segment.limit, this.segment.attr)) this.cpu.raise(SSV, this.error);
    return BigInt.asUintN(32, this.segment.base + offset);
  }

  push(value: bigint, size: 2 | 4 | 8): void {
    const sp = cut(this.width, this.sp - wide(size, 0));
    this.cpu.writeLinear(this.linear(sp, size), size, cut(size * 8, value), this.supervisor);
    this.sp = sp;
  }
  /** Reads at `offset` bytes above the pointer without moving it. */
  peek(offset: number, size: 2 | 4 | 8): bigint {
    const at = cut(this.width, this.sp + wide(offset, 0));
    return this.cpu.readLinear(this.linear(at, size), size, this.supervisor);
  }
  pop(size: 2 | 4 | 8): bigint {
    const v = this.peek(0, size);
    this.sp = cut(this.width, this.sp + wide(size, 0));
    return v;
  }
  /** Releases `bytes` (RET n). */
  release(bytes: number): void {
    this.sp = cut(this.width, this.sp + wide(bytes, 0));
  }
  /** Writes the pointer to SP, ESP or RSP. */
  commit(): void {
    setStackPointer(this.cpu, this.sp, this.width);
  }
}

/** Writes SP (upper bits kept), ESP (upper half cleared) or RSP. */
export function setStackPointer(cpu: Cpu, sp: bigint, width: 16 | 32 | 64): void {
  const s = cpu.s;
  if (width === 16) s.setGpr(RSP, (s.gpr(RSP) & ~0xffffn) | (sp & 0xffffn));
  else s.setGpr(RSP, cut(width, sp));
}
