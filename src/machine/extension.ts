/** Which virtualisation extension a profile's processor has, and the making of it. The only place that knows both. */

import type { Engine } from '../cpu/engine/engine.js';
import type { CpuidProfile } from '../cpu/system/cpuid.js';
import { ProfileCpuid } from '../cpu/system/cpuid.js';
import { capabilitiesFromCpuid, createSvm } from '../svm/index.js';
import { ALL_FEATURES, createVmx, parseVmxOptions, type VmxOptions } from '../vtx/index.js';
import type { Extension } from './processor.js';
import { type Profile, ProfileError } from './profile.js';

export type ExtensionKind = 'vmx' | 'svm' | 'none';

const VMX_BIT = 1 << 5, SVM_BIT = 1 << 2, SVM_LEAF = 0x8000_000a;

/** What is wrong with a part of the file is wrong with the profile: the folder that reads the part only knows its own errors. */
function wellFormed<T>(read: () => T): T {
  try {
    return read();
  } catch (e) {
    throw new ProfileError((e as Error).message);
  }
}

/** The `cpuid` part of a profile as a table. */
export function profileCpuid(profile: Profile, cpus: number, virtualization: ExtensionKind): ProfileCpuid {
  if (typeof profile['cpuid'] !== 'object') throw new ProfileError(`profile ${profile.name}: "cpuid" is missing`);
  return wellFormed(() => new ProfileCpuid(profile.name, profile['cpuid'] as CpuidProfile, { cpus, virtualization }));
}

/** The extension that the profile's CPUID names. */
export function extensionOf(profile: Profile): ExtensionKind {
  if ((profileCpuid(profile, 1, 'vmx').fixed(1).ecx & VMX_BIT) !== 0) return 'vmx';
  return (profileCpuid(profile, 1, 'svm').fixed(0x8000_0001).ecx & SVM_BIT) !== 0 ? 'svm' : 'none';
}

/** The features of the profile's VT-x; without a `vmx` part everything that is implemented. */
function vmxOptions(profile: Profile): VmxOptions {
  const part = profile['vmx'];
  return part === undefined ? ALL_FEATURES : wellFormed(() => parseVmxOptions(part, profile.name));
}

/** Reads the profile's options of an extension. Throws ProfileError when they are not well formed. */
export function extensionOptions(kind: ExtensionKind, profile: Profile): void {
  if (kind === 'vmx') vmxOptions(profile);
}

/** Makes the extension of one vCPU. */
export function createExtension(kind: ExtensionKind, profile: Profile, engine: Engine, cpuid: ProfileCpuid): Extension | null {
  switch (kind) {
    case 'vmx': {
      const port = createVmx({ memory: engine.m, capabilities: vmxOptions(profile) });
      const { caps } = port;
      return {
        port,
        mmu: { eptExecuteOnly: caps.has('ept-execute-only'), eptGigabytePages: caps.has('ept-1g-pages') },
        exitCounts: () => new Map(Object.entries(port.exitTable())),
      };
    }
    case 'svm': {
      const port = createSvm({ memory: engine.m, capabilities: capabilitiesFromCpuid(cpuid.fixed(SVM_LEAF)) });
      return { port, exitCounts: () => port.exitCounts() };
    }
    case 'none': return null;
  }
}
