/**
 * Which exceptions have an error code, and what becomes of two exceptions that meet.
 *
 * SDM 3A §6.15, "Interrupt 8—Double Fault Exception (#DF)", Tables 6-4 "Interrupt and Exception Classes" and
 * 6-5 "Conditions for Generating a Double Fault".
 */

import { AC_, DE, DFV, GP, NP, PFV, SSV, TS } from '../events.js';

const WITH_ERROR_CODE = new Set<number>([DFV, TS, NP, SSV, GP, PFV, AC_]);

/** Does hardware push an error code for this exception (outside real mode)? */
export const hasErrorCode = (vector: number): boolean => WITH_ERROR_CODE.has(vector);

type Class = 'benign' | 'contributory' | 'page fault' | 'double fault';

function classOf(vector: number): Class {
  switch (vector) {
    case DE: case TS: case NP: case SSV: case GP: return 'contributory';
    case PFV: return 'page fault';
    case DFV: return 'double fault';
    default: return 'benign';
  }
}

/**
 * What happens when exception `second` is met while `first` is being delivered.
 * @param first vector of the exception in delivery, or -1 for an interrupt (always benign)
 */
export function combine(first: number, second: number): 'serial' | 'double fault' | 'shutdown' {
  const a = first < 0 ? 'benign' : classOf(first), b = classOf(second);
  if (a === 'double fault') return b === 'benign' ? 'serial' : 'shutdown';
  if (a === 'contributory' && b === 'contributory') return 'double fault';
  if (a === 'page fault' && (b === 'contributory' || b === 'page fault')) return 'double fault';
  return 'serial';
}
