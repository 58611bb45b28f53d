/**
 * Intel VT-x for the machine. `createVmx` makes the VirtPort of one vCPU; `attach(cpu)` on it gives that vCPU its MSRs and
 * CR4.VMXE. Importing this file registers the VMX instructions.
 */

import './instructions.js';
import type { LinearMemory } from '../mem/linear-memory.js';
import { ALL_FEATURES, Capabilities, type VmxOptions } from './capabilities.js';
import { VmxPort } from './intercepts.js';

export { ALL_FEATURES, Capabilities, FEATURES, type FeatureName, type VmxOptions, parseVmxOptions } from './capabilities.js';
export { REASON, REASON_NAMES } from './controls.js';
export { VmxPort } from './intercepts.js';
export { MINIMAL_TRANSITIONS } from './transition-parts.js';
export type { EntryFailure } from './vmx.js';

export interface VmxConfig {
  readonly memory: LinearMemory;
  /** Default: everything implemented. */
  readonly capabilities?: VmxOptions;
}

/** The virtualisation extension of one vCPU; each vCPU needs its own. Throws RangeError for features that contradict each other. */
export function createVmx(config: VmxConfig): VmxPort {
  return new VmxPort(new Capabilities(config.capabilities ?? ALL_FEATURES), config.memory);
}
