/** The timing core as the machine plugs it in for cycle mode. */

import { S } from '../cpu/state.js';
import type { Vcpu } from '../cpu/vcpu.js';
import type { LinearMemory } from '../mem/linear-memory.js';
import type { PhysicalMemory } from '../mem/physical.js';
import { MINIMAL_TRANSITIONS as svmMinimal } from '../svm/index.js';
import { TimingCore } from '../timing/core.js';
import { readTimingProfile, TimingProfileError } from '../timing/profile.js';
import type { MinimalTransitions } from '../timing/transition.js';
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

export function createTiming(memory: LinearMemory, phys: PhysicalMemory, profile: Profile, cpus: number, extension: ExtensionKind): Timing {
  try {
    const core = new TimingCore(memory, phys, readTimingProfile(profile), cpus, MINIMAL[extension]);
    return {
      core,
      attach: (vcpu) => core.attach(vcpu.id, { mmu: vcpu.mmu, isUser: () => vcpu.s.get32(S.cpl) === 3 }),
    };
  } catch (e) {
    if (e instanceof TimingProfileError) throw new ProfileError(e.message);
    throw e;
  }
}
