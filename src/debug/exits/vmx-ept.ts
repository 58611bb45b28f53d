/**
 * Sentences for EPT violations and EPT misconfigurations: the access, the address, and the entry that did not allow it.
 *
 * SDM 3C §29.3.2 "EPT Translation Mechanism", §29.3.3.1 "EPT Misconfigurations", §29.3.3.2 "EPT Violations"; §28.2.1 "Basic VM-Exit
 * Information", table "Exit Qualification for EPT Violations".
 */

import { detail, type Cause, type Detail, type Explanation, exited, type Subject } from './explanation.js';
import type { ExitFacts } from './facts.js';
import { duringDelivery } from './vmx-events.js';
import { hex } from './words.js';
import { list } from './bits.js';

const VIOLATIONS = 'SDM 3C §29.3.3.2 "EPT Violations"', MISCONFIGURATIONS = 'SDM 3C §29.3.3.1 "EPT Misconfigurations"';
const NAMES = ['', 'EPT PTE', 'EPT PDE', 'EPT PDPTE', 'EPT PML4E'] as const;

/** `A write`, from bits 2:0 of the qualification. */
function accessName(q: number): string {
  const kinds = [...((q & 1) !== 0 ? ['read'] : []), ...((q & 2) !== 0 ? ['write'] : []), ...((q & 4) !== 0 ? ['instruction fetch'] : [])];
  return kinds.length === 0 ? 'An access' : `${kinds[0] === 'instruction fetch' ? 'An' : 'A'} ${kinds.join(' and ')}`;
}
const permissions = (bits: number): string[] => [...((bits & 1) !== 0 ? ['reading'] : []), ...((bits & 2) !== 0 ? ['writing'] : []), ...((bits & 4) !== 0 ? ['execution'] : [])];
const pointAt = (f: ExitFacts): { readonly text: string; readonly control: Cause['control'] } | undefined => {
  const e = f.nestedEntry;
  return e === undefined ? undefined : { text: `the ${NAMES[e.level]!} at ${hex(e.address)}`, control: { kind: 'memory', address: e.address, mask: 7 } };
};
const cause = (clause: string, section: string, control: Cause['control']): Cause => ({ clause, section, ...(control === undefined ? {} : { control }) });

function entryDetails(f: ExitFacts): Detail[] {
  const e = f.nestedEntry;
  return e === undefined ? [] : [detail(NAMES[e.level]!, `${hex(e.entry).toLowerCase()} at ${hex(e.address).toLowerCase()}`)];
}

export function eptViolation(s: Subject): Explanation {
  const { facts } = s;
  const q = Number(facts.vmcs('EXIT_QUALIFICATION') & 0xffff_ffffn), gpa = facts.vmcs('GUEST_PHYSICAL_ADDRESS');
  const linearKnown = (q & 0x80) !== 0, linear = facts.vmcs('GUEST_LINEAR_ADDRESS'), onTable = linearKnown && (q & 0x100) === 0;
  const by = s.instruction.length > 0 && (q & 4) === 0 && duringDelivery(facts) === '' ? ` by ${s.instruction.text}` : '';
  const reached = linearKnown ? (onTable ? ` (a paging-structure entry of linear address ${hex(linear)})` : ` (linear ${hex(linear)})`) : '';
  const what = `${accessName(q)} at guest-physical ${hex(gpa)}${reached}${by}${duringDelivery(facts)}`;
  const details = [
    detail('guest-physical address', gpa),
    ...(linearKnown ? [detail('linear address', linear)] : []),
    detail('access', accessName(q).replace(/^An? /, '')),
    detail('EPT permissions', list(permissions((q >>> 3) & 7)) || 'none'),
    ...entryDetails(facts),
    ...(s.instruction.operands.length === 0 ? [] : [detail('operands', s.instruction.operands.join(', '))]),
  ];
  return exited(s, what, violationCause(facts, (q >>> 3) & 7), details);
}

function violationCause(f: ExitFacts, allowed: number): Cause {
  const p = pointAt(f), e = f.nestedEntry;
  if (e !== undefined && (e.entry & 7n) === 0n) return cause(`${p!.text} is not present (it holds ${hex(e.entry)})`, VIOLATIONS, p!.control);
  const may = list(permissions(allowed));
  const clause = `the EPT entries for the address allow ${may === '' ? 'nothing' : `${may} only`}`;
  return p === undefined ? cause(clause, VIOLATIONS, undefined) : cause(`${clause}: ${p.text} holds ${hex(e!.entry)}`, VIOLATIONS, p.control);
}

export function eptMisconfiguration(s: Subject): Explanation {
  const { facts } = s;
  const gpa = facts.vmcs('GUEST_PHYSICAL_ADDRESS'), e = facts.nestedEntry, p = pointAt(facts);
  const clause = e === undefined ? 'an EPT entry for the address is not one the processor supports' : `${p!.text} holds ${hex(e.entry)}, ${mistake(e.entry, e.level)}`;
  const delivery = duringDelivery(facts), by = delivery !== '' ? delivery : s.instruction.length > 0 ? ` by ${s.instruction.text}` : '';
  return exited(s, `An access at guest-physical ${hex(gpa)}${by}`, cause(clause, MISCONFIGURATIONS, p?.control), [detail('guest-physical address', gpa), ...entryDetails(facts)]);
}

/** Which rule of §29.3.3.1 an entry breaks. */
function mistake(entry: bigint, level: number): string {
  const rights = Number(entry & 7n), leaf = level === 1 || (level < 4 && (entry & 0x80n) !== 0n);
  if ((rights & 3) === 2) return 'which allows writing but not reading';
  const type = Number((entry >> 3n) & 7n);
  if (leaf && [2, 3, 7].includes(type)) return `whose memory type ${type} is reserved`;
  if (rights === 4) return 'which allows only execution, and the processor does not support that';
  return 'in which a reserved bit is 1';
}
