/** What VM entries and VM exits consist of, counted for the timing core (cpu/ports.ts, TransitionParts). */

import type { TransitionParts } from '../cpu/ports.js';
import { rowCount } from './entry-checks.js';
import { CONTROL_CHECKS } from './entry-checks-controls.js';
import { GUEST_CHECKS } from './entry-checks-guest.js';
import { HOST_CHECKS } from './entry-checks-host.js';
import { GUEST_FIELDS, HOST_FIELDS } from './processor-state.js';

/** Segment registers, LDTR and TR. */
const SEGMENTS = 8;
const CHECKS = rowCount(CONTROL_CHECKS) + rowCount(HOST_CHECKS) + rowCount(GUEST_CHECKS);

/** A VM entry without MSR lists, injection or TLB flush, and the VM exit that undoes it. */
export const MINIMAL_TRANSITIONS: { readonly entry: TransitionParts; readonly exit: TransitionParts } = {
  entry: { fieldsLoaded: GUEST_FIELDS, fieldsSaved: 0, segmentsLoaded: SEGMENTS, checks: CHECKS, msrsLoaded: 0, msrsSaved: 0, tlbFlushed: false, injected: false },
  exit: { fieldsLoaded: HOST_FIELDS, fieldsSaved: GUEST_FIELDS, segmentsLoaded: SEGMENTS, checks: 0, msrsLoaded: 0, msrsSaved: 0, tlbFlushed: false, injected: false },
};
