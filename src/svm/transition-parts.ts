/** What VMRUN and #VMEXIT consist of, counted for the timing core (cpu/ports.ts, TransitionParts). */

import type { TransitionParts } from '../cpu/ports.js';
import { ENTRY_CHECKS } from './entry-checks.js';
import { GUEST_FIELDS, HOST_FIELDS, WORLD_SEGMENT_COUNT } from './save-area.js';

const NOTHING_MORE = { segmentsLoaded: WORLD_SEGMENT_COUNT, msrsLoaded: 0, msrsSaved: 0, tlbFlushed: false, injected: false };

/** A VMRUN without injection or TLB flush, and the #VMEXIT that undoes it. */
export const MINIMAL_TRANSITIONS: { readonly entry: TransitionParts; readonly exit: TransitionParts } = {
  entry: { ...NOTHING_MORE, fieldsLoaded: GUEST_FIELDS, fieldsSaved: HOST_FIELDS, checks: ENTRY_CHECKS.length },
  exit: { ...NOTHING_MORE, fieldsLoaded: HOST_FIELDS, fieldsSaved: GUEST_FIELDS, checks: 0 },
};
