/**
 * The stack of a more privileged level, from the TSS: for call gates and event delivery.
 *
 * SDM 3A §7.2.1 "Task-State Segment (TSS)", §7.7 "Task Management in 64-bit Mode", §5.8.5 "Stack Switching".
 */

import type { Cpu } from '../cpu.js';
import { SSV, TS } from '../events.js';
import { TR } from '../state.js';
import { type Descriptor, SYS, dplOf, isNull, isPresent, isWritableData, readDescriptor, readSystem, tableAddress, typeOf } from './descriptors.js';
import { isCanonical } from './segments.js';

export interface InnerStack {
  readonly selector: number;
  readonly segment: Descriptor;
  readonly sp: bigint;
}

/** SS:ESP for privilege level `cpl` from the current 16- or 32-bit TSS, all checks done (#TS, #SS). */
export function legacyInnerStack(cpu: Cpu, cpl: number): InnerStack {
  const s = cpu.s;
  const trError = s.selector(TR) & 0xfffc;
  const wide = typeOf({ attr: s.segAttr(TR) }) >= SYS.tss32;
  const offset = wide ? cpl * 8 + 4 : cpl * 4 + 2;
  if (offset + (wide ? 7 : 3) > s.segLimit(TR)) cpu.raise(TS, trError);
  const sp = BigInt(readSystem(cpu, s.segBase(TR), offset, wide ? 4 : 2));
  const selector = readSystem(cpu, s.segBase(TR), offset + (wide ? 4 : 2), 2);
  if (isNull(selector)) cpu.raise(TS, 0);
  const error = selector & 0xfffc;
  const segment = readDescriptor(cpu, selector, TS);
  if ((selector & 3) !== cpl || dplOf(segment) !== cpl || !isWritableData(segment)) cpu.raise(TS, error);
  if (!isPresent(segment)) cpu.raise(SSV, error);
  return { selector, segment, sp };
}

/** RSP from the 64-bit TSS: slot 0-2 for the privilege levels, 4-10 for IST1-IST7. */
export function longInnerStack(cpu: Cpu, slot: number): bigint {
  const s = cpu.s;
  const offset = slot * 8 + 4;
  if (offset + 7 > s.segLimit(TR)) cpu.raise(TS, s.selector(TR) & 0xfffc);
  const rsp = cpu.readLinear(tableAddress(cpu, s.segBase(TR), offset), 8, true);
  if (!isCanonical(rsp)) cpu.raise(SSV, 0);
  return rsp;
}
