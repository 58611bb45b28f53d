/**
 * Sentences for exits that events cause: exceptions, NMIs, external interrupts, windows.
 *
 * SDM 3C §25.6.3 "Exception Bitmap", §26.2 "Other Causes of VM Exits", §28.2.2 "Information for VM Exits Due to Vectored Events",
 * §28.2.4 "Information for VM Exits During Event Delivery".
 */

import { EVENT, EXIT, eventType, eventVector, PIN, PROC } from '../../vtx/controls.js';
import { EVENT_TYPE } from '../../cpu/events.js';
import { eventName } from '../control-block/decode.js';
import { exceptionName } from '../control-block/vectors.js';
import { list, pageFaultBits } from './bits.js';
import { detail, type Explanation, exited, type Subject } from './explanation.js';
import type { ExitFacts } from './facts.js';
import { controlIs, fieldSays } from './vmx-causes.js';
import { hex } from './words.js';

const BITMAP = 'SDM 3C §25.6.3 "Exception Bitmap"';
const PAGE_FAULT = 14, DEBUG = 1;

/** ` during the delivery of ...`, or nothing. */
export function duringDelivery(f: ExitFacts): string {
  const info = f.vmcs32('IDT_VECTORING_INFORMATION');
  return (info & EVENT.valid) === 0 ? '' : ` during the delivery of ${eventName(eventType(info), eventVector(info))}`;
}

export function exceptionOrNmi(s: Subject): Explanation {
  const { facts } = s;
  const info = facts.vmcs32('VM_EXIT_INTERRUPTION_INFORMATION'), vector = eventVector(info);
  if (eventType(info) === EVENT_TYPE.nmi) return exited(s, 'An NMI', controlIs('PIN_BASED_CONTROLS', PIN.nmiExiting));
  const withError = (info & EVENT.errorCode) !== 0, error = facts.vmcs32('VM_EXIT_INTERRUPTION_ERROR_CODE');
  const address = facts.vmcs('EXIT_QUALIFICATION');
  const details = [detail('vector', String(vector))];
  if (withError) details.push(detail('error code', error));
  let what = exceptionName(vector);
  if (vector === PAGE_FAULT) {
    what += ` at ${hex(address)}`;
    details.push(detail('linear address', address));
  }
  if (vector === DEBUG) details.push(detail('debug conditions', address));
  if (withError) what += ` with error code ${hex(error)}`;
  const delivery = duringDelivery(facts);
  what += delivery !== '' ? delivery : s.instruction.length > 0 ? ` by ${s.instruction.text}` : '';
  return exited(s, what, exceptionCause(facts, vector, error), details);
}

function exceptionCause(f: ExitFacts, vector: number, error: number): ReturnType<typeof controlIs> {
  if (vector !== PAGE_FAULT) return fieldSays('EXCEPTION_BITMAP', `bit ${vector} (${exceptionName(vector).split(' ')[0]!}) of the exception bitmap is 1`, BITMAP, 1 << vector);
  const mask = f.vmcs32('PAGE_FAULT_ERROR_CODE_MASK'), match = f.vmcs32('PAGE_FAULT_ERROR_CODE_MATCH');
  const bit = (f.vmcs32('EXCEPTION_BITMAP') >>> PAGE_FAULT) & 1;
  const masked = `the error code${error === 0 ? '' : ` (${list(pageFaultBits(BigInt(error)))})`} under the page-fault error-code mask ${hex(mask)}`;
  if (mask === 0 && match === 0) return fieldSays('EXCEPTION_BITMAP', 'bit 14 (#PF) of the exception bitmap is 1', BITMAP, 1 << PAGE_FAULT);
  // A bit of 1 exits on a match, a bit of 0 on a mismatch.
  return fieldSays(
    bit === 1 ? 'EXCEPTION_BITMAP' : 'PAGE_FAULT_ERROR_CODE_MATCH',
    `bit 14 (#PF) of the exception bitmap is ${bit} and ${masked} ${bit === 1 ? 'is' : 'is not'} the match value ${hex(match)}`,
    BITMAP,
    bit === 1 ? 1 << PAGE_FAULT : 0,
  );
}

/** The sentence of an event that came from outside, not from the instruction. */
const arrived = (s: Subject, what: string, cause: ReturnType<typeof controlIs>, details: ReturnType<typeof detail>[]): Explanation =>
  exited(s, `${what} for the guest at ${hex(s.facts.rip)}`, cause, details);

export function externalInterrupt(s: Subject): Explanation {
  const { facts } = s;
  const acknowledged = (facts.vmcs32('VM_EXIT_CONTROLS') & EXIT.acknowledgeInterrupt) !== 0;
  const vector = acknowledged ? eventVector(facts.vmcs32('VM_EXIT_INTERRUPTION_INFORMATION')) : facts.pendingVector;
  const what = `External interrupt${vector === undefined ? '' : ` ${hex(vector)}`} before ${s.instruction.length > 0 ? s.instruction.text : `the instruction at ${hex(facts.rip)}`}`;
  return exited(s, what, controlIs('PIN_BASED_CONTROLS', PIN.externalInterruptExiting), [
    ...(vector === undefined ? [] : [detail('vector', vector)]),
    detail('acknowledged', acknowledged ? 'yes, by the exit' : 'no, it stays pending'),
  ]);
}

export function window(s: Subject, name: string, open: string, mask: typeof PROC.interruptWindowExiting | typeof PROC.nmiWindowExiting): Explanation {
  const cause = controlIs('PRIMARY_PROCESSOR_BASED_CONTROLS', mask);
  return arrived(s, name, { ...cause, clause: `${open}, and ${cause.clause}` }, []);
}
