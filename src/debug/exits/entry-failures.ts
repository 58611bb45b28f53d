/**
 * Sentences for VM entries that were refused: the rule, the field, its value.
 *
 * SDM 3C §27.2 "Checks on VMX Controls and Host-State Area" (VM-instruction errors 7 and 8), §27.8 "VM-Entry Failures During or After
 * Loading Guest State" (exit reasons 33 and 34); APM 2 §15.5.1 "Basic Operation" (VMEXIT_INVALID). The rules come from the tables of
 * checks in src/vtx and src/svm.
 */

import { REASON } from '../../vtx/controls.js';
import { detail, type Explanation, type Subject } from './explanation.js';
import { KIND } from './facts.js';
import { hex } from './words.js';

const QUALIFICATIONS: Readonly<Record<number, string>> = { 2: 'PDPTE', 3: 'NMI', 4: 'VMCS link pointer' };

/** How it failed, as the processor reports it. */
function outcome(s: Subject): string {
  const { facts } = s;
  if (facts.svm) return 'VMRUN failed with VMEXIT_INVALID';
  if (facts.kind === KIND.vmxEntryRefused) return `VM entry failed with VM-instruction error ${facts.code} (${facts.code === 8 ? 'invalid host-state field' : 'invalid control field'})`;
  const why = facts.code === REASON.ENTRY_FAILURE_MSR_LOADING ? 'MSR loading' : 'invalid guest state';
  return `VM entry failed with exit reason ${facts.code} and bit 31 set (VM-entry failure due to ${why})`;
}

const manual = (section: string): string => (/^(SDM|APM)/.test(section) ? section : `SDM 3C "${section}"`);

export function entryFailure(s: Subject): Explanation {
  const { failed, facts } = s;
  const q = facts.svm || facts.kind === KIND.vmxEntryRefused ? 0n : facts.vmcs('EXIT_QUALIFICATION');
  const details = q === 0n ? [] : [detail('qualification', `${q}${QUALIFICATIONS[Number(q)] === undefined ? '' : ` (${QUALIFICATIONS[Number(q)]!})`}`)];
  if (failed === undefined) return { text: outcome(s), section: facts.svm ? 'APM 2 §15.5.1 "Basic Operation"' : 'SDM 3C §27.8 "VM-Entry Failures During or After Loading Guest State"', details };
  const fields = failed.fields.map((f) => `${f.name} is ${hex(f.value)}`);
  const which = fields.length === 0 ? '' : `${fields.join(', ')}, which breaks `;
  return {
    text: `${outcome(s)} because ${which === '' ? 'it breaks ' : which}the rule "${failed.rule}"`,
    section: manual(failed.section),
    details: [detail('rule', failed.id), ...failed.fields.map((f) => detail(f.name, f.value)), ...details],
  };
}
