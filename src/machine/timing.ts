/** The timing core as the machine plugs it in for cycle mode. */

import { S } from '../cpu/state.js';
import type { Vcpu } from '../cpu/vcpu.js';
import type { LinearMemory } from '../mem/linear-memory.js';
import type { PhysicalMemory } from '../mem/physical.js';
import { MINIMAL_TRANSITIONS as svmMinimal } from '../svm/index.js';
import { TimingCore } from '../timing/core.js';
import { readTimingProfile, TimingProfileError } from '../timing/profile.js';
import { type MinimalTransitions, TransitionCost } from '../timing/transition.js';
import { MINIMAL_TRANSITIONS as vmxMinimal } from '../vtx/index.js';
import type { ExtensionKind } from './extension.js';
import { type Profile, ProfileError } from './profile.js';

/** What the extensions count in the transitions whose cost is published. */
const MINIMAL: Record<ExtensionKind, MinimalTransitions | null> = { vmx: vmxMinimal, svm: svmMinimal, none: null };

export interface Timing {
  readonly core: TimingCore;
  /** Makes a vCPU's page tables known to the modelled TLBs. */
  attach(vcpu: Vcpu): void;
}

/** What timing/ says of a profile, as the machine says it. */
function profileErrors<T>(read: () => T): T {
  try {
    return read();
  } catch (e) {
    throw e instanceof TimingProfileError ? new ProfileError(e.message) : e;
  }
}

/** Is the timing part of the profile complete and consistent? Throws ProfileError. */
export function checkTiming(profile: Profile, extension: ExtensionKind): void {
  profileErrors(() => {
    const timing = readTimingProfile(profile), minimal = MINIMAL[extension];
    if (minimal !== null) new TransitionCost(timing, minimal);
  });
}

export function createTiming(memory: LinearMemory, phys: PhysicalMemory, profile: Profile, cpus: number, extension: ExtensionKind): Timing {
  const core = profileErrors(() => new TimingCore(memory, phys, readTimingProfile(profile), cpus, MINIMAL[extension]));
  return { core, attach: (vcpu) => core.attach(vcpu.id, { mmu: vcpu.mmu, isUser: () => vcpu.s.get32(S.cpl) === 3 }) };
}
