/**
 * Where the control block of a vCPU lies. Both kinds live in memory and nowhere else (src/vtx/fields.ts, src/svm/fields.ts), so that
 * reading one has no side effects.
 */

import type { Machine } from '../../machine/machine.js';
import { VMCB } from '../../svm/fields.js';
import { Svm } from '../../svm/index.js';
import { FIELDS } from '../../vtx/fields.js';
import { VmxPort } from '../../vtx/index.js';
import { NO_VMCS } from '../../vtx/vmx.js';

/** Bytes of a control block that hold fields, on either extension. */
export const VMCS_BYTES = Math.max(...FIELDS.map((f) => f.offset)) + 8;
export const VMCB_BYTES = VMCB.G_PAT + 8;
export const BLOCK_BYTES = (Math.max(VMCS_BYTES, VMCB_BYTES) + 15) & ~15;

/** The VMCS in use, or the VMCB of the last VMRUN. */
export interface BlockPlace {
  readonly kind: 'VMCS' | 'VMCB';
  /** Physical address. */
  readonly address: number;
  /** Linear-memory address. */
  readonly at: number;
  readonly bytes: number;
  /** VM entries and exits of the vCPU so far. */
  readonly transitions: number;
}

/** The control block in use on a vCPU, or undefined when there is none. */
export function blockOf(machine: Machine, vcpu: number): BlockPlace | undefined {
  const port = machine.processors[vcpu]?.extension?.port;
  if (port instanceof VmxPort) {
    const at = port.currentPointer === NO_VMCS ? -1 : machine.phys.address(port.currentPointer);
    return at < 0 ? undefined : { kind: 'VMCS', address: port.currentPointer, at, bytes: VMCS_BYTES, transitions: port.transitions };
  }
  if (port instanceof Svm) {
    const at = port.vmcbPa === 0 ? -1 : machine.phys.address(port.vmcbPa);
    return at < 0 ? undefined : { kind: 'VMCB', address: port.vmcbPa, at, bytes: VMCB_BYTES, transitions: port.transitions };
  }
  return undefined;
}

