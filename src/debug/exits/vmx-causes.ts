/**
 * Why VMX non-root operation was left, as clauses: a control's bit, a bit of a bitmap, or nothing but the instruction itself.
 *
 * SDM 3C §26.1 "Instructions That Cause VM Exits", §25.6 "VM-Execution Control Fields". The deciding byte of a bitmap is the one that was
 * recorded when the exit happened.
 */

import { PROC } from '../../vtx/controls.js';
import { type FieldName, FIELDS } from '../../vtx/fields.js';
import { vmxControlBit } from '../control-block/vmx-controls.js';
import type { Cause } from './explanation.js';
import type { ExitFacts } from './facts.js';
import { hex } from './words.js';

const UNCONDITIONAL = 'SDM 3C §26.1.2 "Instructions That Cause VM Exits Unconditionally"';
export const OTHER_CAUSES = 'SDM 3C §26.2 "Other Causes of VM Exits"';

const encodings = new Map(FIELDS.map((f) => [f.name, f.encoding]));
const at = (field: FieldName, mask = 0): { kind: 'vmcs'; encoding: number; mask: number } => ({ kind: 'vmcs', encoding: encodings.get(field)!, mask });

/** A named bit of a control field has this value. */
export function controlIs(field: FieldName, mask: number, value: 0 | 1 = 1): Cause {
  const b = vmxControlBit(field, mask);
  return { clause: `"${b.name}" (bit ${b.bit} of ${b.field.spoken}) is ${value}`, section: b.field.section, control: at(field, mask) };
}
/** A clause about a whole field. */
export const fieldSays = (field: FieldName, clause: string, section: string, mask = 0): Cause => ({ clause, section, control: at(field, mask) });
export const always = (what: string, section = UNCONDITIONAL): Cause => ({ clause: `${what} always does in VMX non-root operation`, section });

/** §25.6.4 "I/O-Bitmap Addresses". */
export function ioCause(f: ExitFacts, port: number, size: number): Cause {
  const section = 'SDM 3C §25.6.4 "I/O-Bitmap Addresses"';
  if ((f.proc & PROC.useIoBitmaps) === 0) return controlIs('PRIMARY_PROCESSOR_BASED_CONTROLS', PROC.unconditionalIoExiting);
  if (port + size > 0x10000) return { clause: 'an access that wraps around from port 0xFFFF to port 0 always does when I/O bitmaps are used', section };
  const { map } = f;
  const first = decidingPort(f, port, size);
  const letter = first < 0x8000 ? 'A' : 'B', n = first & 0x7fff;
  const which = size === 1 || first === port ? '' : ` (port ${hex(first)})`;
  if (map === undefined) return fieldSays(`IO_BITMAP_${letter}`, `I/O bitmap ${letter} lies where there is no memory and reads as ones`, section);
  return {
    clause: `bit ${n & 7} of byte ${hex(n >>> 3)} of I/O bitmap ${letter}${which} is set`,
    section,
    control: { kind: 'memory', address: first >= 0x8000 && port < 0x8000 ? Number(f.vmcs('IO_BITMAP_B')) : map.address + (first >>> 3) - (port >>> 3), mask: 1 << (n & 7) },
  };
}
/** The first port of the access whose bit is set. The record has the byte of the first port and the one after it. */
export function decidingPort(f: ExitFacts, port: number, size: number): number {
  const { map } = f;
  if (map === undefined) return port;
  for (let p = port; p < port + size; p++) if (((map.bytes >>> (p - (port & ~7))) & 1) !== 0) return p;
  return port;
}

/** §25.6.9 "MSR-Bitmap Address". */
export function msrCause(f: ExitFacts, index: number, write: boolean): Cause {
  const section = 'SDM 3C §25.6.9 "MSR-Bitmap Address"';
  if ((f.proc & PROC.useMsrBitmaps) === 0) return controlIs('PRIMARY_PROCESSOR_BASED_CONTROLS', PROC.useMsrBitmaps, 0);
  const place = msrBit(index, write);
  if (place === undefined) return { clause: 'the MSR is outside the ranges that the MSR bitmaps cover (0 to 0x1FFF and 0xC0000000 to 0xC0001FFF)', section };
  const { map } = f;
  if (map === undefined) return fieldSays('MSR_BITMAPS', 'the MSR bitmaps lie where there is no memory and read as ones', section);
  return {
    clause: `bit ${place.bit} of byte ${hex(place.byte)} of the MSR bitmaps (${write ? 'write' : 'read'} bitmap for ${place.high ? 'high' : 'low'} MSRs) is set`,
    section,
    control: { kind: 'memory', address: map.address, mask: 1 << place.bit },
  };
}
/** Byte and bit of an MSR in the 4 KiB of MSR bitmaps; undefined outside both ranges. */
export function msrBit(index: number, write: boolean): { readonly byte: number; readonly bit: number; readonly high: boolean } | undefined {
  const high = index >= 0xc000_0000 && index <= 0xc000_1fff;
  if (!high && index > 0x1fff) return undefined;
  return { byte: (write ? 2048 : 0) + (high ? 1024 : 0) + ((index & 0x1fff) >>> 3), bit: index & 7, high };
}
