/**
 * Why #VMEXIT happened, as clauses: an intercept bit of the VMCB, a bit of a permission map.
 *
 * APM 2 §15.9 "Instruction Intercepts", §15.10 "IOIO Intercepts", §15.11 "MSR Intercepts", §15.12 "Exception Intercepts". A VMCB and the
 * maps are memory, so the place of each control is a physical address.
 */

import { VMCB } from '../../svm/fields.js';
import type { InterceptName } from '../../svm/intercepts.js';
import { interceptBit } from '../control-block/svm-controls.js';
import type { Cause, ControlPlace } from './explanation.js';
import type { ExitFacts } from './facts.js';
import { hex } from './words.js';

/** One byte of the VMCB: the one with bit `bit` of the field at `offset`. */
const vmcbBit = (f: ExitFacts, offset: number, bit: number): ControlPlace => ({ kind: 'memory', address: f.blockAt + offset + (bit >>> 3), mask: 1 << (bit & 7) });

/** A bit of the two miscellaneous intercept words. */
export function intercept(f: ExitFacts, name: InterceptName): Cause {
  const b = interceptBit(name);
  return { clause: `"${b.name}" (bit ${b.bit} of the VMCB's intercept word at offset ${hex(b.offset)}) is 1`, section: b.section, control: vmcbBit(f, b.offset, b.bit) };
}

/** A bit of the CR, DR or exception intercepts. `what`: `writes of CR0`. */
export function interceptOf(f: ExitFacts, offset: number, bit: number, what: string, section: string): Cause {
  return { clause: `the intercept of ${what} (bit ${bit} of the VMCB's intercept word at offset ${hex(offset)}) is 1`, section, control: vmcbBit(f, offset, bit) };
}

/** §15.10.1 "I/O Permissions Map". One bit for each byte of the access. */
export function ioCause(f: ExitFacts, port: number, size: number): Cause {
  const section = 'APM 2 §15.10.1 "I/O Permissions Map"', { map } = f;
  if (map === undefined) return { clause: 'the I/O permissions map lies where there is no memory and reads as ones', section, control: { kind: 'memory', address: f.blockAt + VMCB.IOPM_BASE_PA + 1, mask: 0xff } };
  let bit = port;
  while (bit < port + size - 1 && ((map.bytes >>> (bit - (port & ~7))) & 1) === 0) bit++;
  const other = bit === port ? '' : bit > 0xffff ? ' (beyond port 0xFFFF)' : ` (port ${hex(bit)})`;
  return {
    clause: `bit ${bit & 7} of byte ${hex(bit >>> 3)} of the I/O permissions map${other} is set`,
    section,
    control: { kind: 'memory', address: map.address + (bit >>> 3) - (port >>> 3), mask: 1 << (bit & 7) },
  };
}
/** First register of each range of the MSR permissions map. APM 2 §15.11 "MSR Intercepts", table 15-8. */
const RANGES = [0, 0xc000_0000, 0xc001_0000];

/** Byte and bit of an MSR in the permissions map; undefined outside the three ranges. */
export function msrBit(index: number, write: boolean): { readonly byte: number; readonly bit: number } | undefined {
  const range = RANGES.indexOf(index - (index & 0x1fff));
  if (range < 0) return undefined;
  const n = (index & 0x1fff) * 2 + (write ? 1 : 0);
  return { byte: range * 0x800 + (n >>> 3), bit: n & 7 };
}

export function msrCause(f: ExitFacts, index: number, write: boolean): Cause {
  const section = 'APM 2 §15.11 "MSR Intercepts"', place = msrBit(index, write), { map } = f;
  const protection = intercept(f, 'MSR');
  if (place === undefined) return { ...protection, clause: `${protection.clause} and the MSR is outside the ranges of the MSR permissions map`, section };
  if (map === undefined) return { clause: 'the MSR permissions map lies where there is no memory and reads as ones', section, control: { kind: 'memory', address: f.blockAt + VMCB.MSRPM_BASE_PA + 1, mask: 0xff } };
  return {
    clause: `bit ${place.bit} of byte ${hex(place.byte)} of the MSR permissions map (its ${write ? 'write' : 'read'} bit) is set`,
    section,
    control: { kind: 'memory', address: map.address, mask: 1 << place.bit },
  };
}
