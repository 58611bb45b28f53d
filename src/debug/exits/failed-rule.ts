/**
 * The rule that the last VM entry broke, with the fields it is about, from what the extensions keep of a failure.
 *
 * VT-x names one field for each row; SVM's rows speak of several, which this table lists. APM 2 §15.5.1 "Basic Operation".
 */

import type { Machine } from '../../machine/machine.js';
import { CONTROL_FIELDS, VMCB } from '../../svm/fields.js';
import { Svm } from '../../svm/index.js';
import { VmxPort } from '../../vtx/index.js';
import type { FailedRule } from './explanation.js';
import type { ExitFacts } from './facts.js';

type VmcbName = keyof typeof VMCB;

/** Fields that each row of src/svm/entry-checks.ts looks at. */
export const SVM_RULE_FIELDS: Readonly<Record<string, readonly VmcbName[]>> = {
  'efer-svme': ['EFER'],
  'cr0-cd-nw': ['CR0'],
  'cr0-high': ['CR0'],
  'cr3-mbz': ['CR3'],
  'cr4-mbz': ['CR4'],
  'dr6-high': ['DR6'],
  'dr7-high': ['DR7'],
  'efer-mbz': ['EFER'],
  'efer-long-mode-supported': ['EFER'],
  'efer-lme-without-pae': ['EFER', 'CR0', 'CR4'],
  'efer-lme-without-pe': ['EFER', 'CR0'],
  'cs-l-and-d': ['EFER', 'CR0', 'CR4', 'CS'],
  'vmrun-intercept': ['INTERCEPT_MISC2'],
  'iopm-in-physical-memory': ['IOPM_BASE_PA'],
  'msrpm-in-physical-memory': ['MSRPM_BASE_PA'],
  'event-type': ['EVENTINJ'],
  'event-exception-vector': ['EVENTINJ'],
  'event-possible': ['EVENTINJ'],
  'asid-zero': ['GUEST_ASID'],
  'pae-pdpes': ['CR3'],
  'nested-host-paging': ['NP_ENABLE'],
  'ncr3-mbz': ['N_CR3'],
  'g-pat': ['G_PAT'],
};

/** A VMCB field's value; of a segment register the attributes. */
function valueOf(f: ExitFacts, name: VmcbName): { name: string; value: bigint } {
  if (name === 'CS') return { name: 'CS.attrib', value: BigInt(f.block16(VMCB.CS + 2)) };
  const size = (CONTROL_FIELDS as Readonly<Record<string, readonly [number, number]>>)[name]?.[1] ?? 8;
  return { name, value: size === 8 ? f.block64(VMCB[name]) : BigInt(f.block32(VMCB[name])) };
}

/** What the processor keeps of its last failed entry. Call while the failure is being announced. */
export function failedRule(machine: Machine, vcpu: number, f: ExitFacts): FailedRule | undefined {
  const port = machine.processors[vcpu]?.extension?.port;
  if (port instanceof VmxPort && port.lastEntryFailure !== null) {
    const { id, rule, section, field, value, error } = port.lastEntryFailure;
    return { id, rule, section, error, fields: field === 'none' ? [] : [{ name: field, value }] };
  }
  if (port instanceof Svm && port.lastEntryFailure !== null) {
    const { rule: id, section, text } = port.lastEntryFailure;
    return { id, section, rule: text.replace(/^VMRUN: not so: /, ''), error: 0, fields: (SVM_RULE_FIELDS[id] ?? []).map((n) => valueOf(f, n)) };
  }
  return undefined;
}
