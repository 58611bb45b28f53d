/**
 * What is known of VMCSs that were current before: which groups of VM-entry checks held, for which contents of their fields.
 *
 * A hypervisor with several guests makes another VMCS current for each, and none of their fields may have changed. They are noted when
 * the guest is left, and compared when the VMCS is loaded again; what differs is checked again, whoever wrote it (SDM 3C §25.11.1
 * "Software Access to the VMCS and Related Structures"). The result is that of checking everything.
 */

import type { LinearMemory } from '../mem/linear-memory.js';
import { FIELDS, GROUP } from './fields.js';

const FIRST = FIELDS[0]!.offset >>> 2, WORDS = 2 * FIELDS.length;
/** GROUP of each word of the fields. */
const GROUP_OF = Uint16Array.from({ length: WORDS }, (_, i) => FIELDS[i >>> 1]!.group);
const LIMIT = 64;

interface Known {
  readonly words: Uint32Array;
  /** GROUP bits that were still to be checked. */
  readonly dirty: number;
  /** IA32_EFER.LMA when the host checks held. */
  readonly long: boolean;
}

export class KnownVmcss {
  private readonly known = new Map<number, Known>();

  constructor(private readonly m: LinearMemory) {}

  /** Notes a VMCS as a VM exit has left it. @param hpa its physical address @param at its linear-memory address */
  note(hpa: number, at: number, dirty: number, long: boolean): void {
    const from = (at >>> 2) + FIRST, old = this.known.get(hpa);
    const words = old?.words ?? new Uint32Array(WORDS);
    for (let i = 0; i < WORDS; i++) words[i] = this.m.u32[from + i]!;
    if (old === undefined && this.known.size === LIMIT) this.known.clear();
    this.known.set(hpa, { words, dirty, long });
  }

  /** GROUP bits to be checked of a VMCS that becomes current. @param long IA32_EFER.LMA when the host checks of the last one held */
  dirty(hpa: number, at: number, long: boolean): number {
    const known = this.known.get(hpa);
    if (known === undefined) return ~0;
    const from = (at >>> 2) + FIRST, { words } = known, { u32 } = this.m;
    let dirty = known.long === long ? known.dirty : known.dirty | GROUP.host;
    for (let i = 0; i < WORDS; i++) if (words[i] !== u32[from + i]) dirty |= GROUP_OF[i]!;
    return dirty;
  }
}
