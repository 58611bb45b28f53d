/**
 * The VMCS or VMCB in use as a person sees it: groups, values in words, meanings, and what the last transition and the hypervisor since
 * then have changed.
 *
 * SDM 3C chapter 25 "Virtual Machine Control Structures"; APM 2 appendix B "Layout of VMCB". Reading has no side effects: both blocks are
 * memory.
 */

import type { ControlBlockView, FieldGroupView, FieldView } from '../api.js';
import type { Machine } from '../../machine/machine.js';
import { Svm } from '../../svm/index.js';
import { F, FIELDS, type FieldName } from '../../vtx/fields.js';
import { VmxPort } from '../../vtx/index.js';
import { blockOf } from './block.js';
import { decodeField } from './decode.js';
import type { BlockHistory, BlockImage } from './history.js';
import { SVM_CONTROL_BITS } from './svm-controls.js';
import { vmcbGroups } from './vmcb-meanings.js';
import { VMCS_GROUPS, vmcsMeaning } from './vmcs-meanings.js';
import { type ControlBit, VMX_CONTROL_FIELDS } from './vmx-controls.js';

/** A field to show: where it lies and what is said about it. */
interface Shown {
  readonly name: string;
  readonly offset: number;
  readonly size: number;
  readonly meaning: string;
  readonly section: string;
  readonly bits?: readonly ControlBit[] | undefined;
}

/**
 * The control block in use on a vCPU; undefined when there is none (no extension, no current VMCS, no VMRUN yet).
 * @param history copies at transitions; without them nothing is marked as changed
 */
export function controlBlock(machine: Machine, vcpu: number, history?: BlockHistory): ControlBlockView | undefined {
  const block = blockOf(machine, vcpu), port = machine.processors[vcpu]?.extension?.port;
  if (block === undefined) return undefined;
  const now = machine.memory.u8.subarray(block.at, block.at + block.bytes);
  const images = history?.latest(vcpu) ?? [];
  const groups = port instanceof VmxPort ? vmcsShown(port) : port instanceof Svm ? vmcbShown(port) : [];
  return {
    kind: block.kind,
    address: hex(BigInt(block.address)),
    groups: groups.map((g): FieldGroupView => ({ title: g.title, section: g.section, fields: g.fields.map((f) => fieldView(f, now, images)) })),
  };
}

type Group = { readonly title: string; readonly section: string; readonly fields: readonly Shown[] };

const bytesOf = new Map(FIELDS.map((f) => [f.name, f.width === 16 ? 2 : f.width === 32 ? 4 : 8]));
const needsOf = new Map(FIELDS.map((f) => [f.name, f.needs]));

function vmcsShown(port: VmxPort): readonly Group[] {
  return VMCS_GROUPS.map((g) => ({
    ...g,
    fields: g.fields
      .filter((name) => port.caps.hasAll(needsOf.get(name)!))
      .map((name: FieldName): Shown => ({ name, offset: F[name], size: bytesOf.get(name)!, ...vmcsMeaning(name), bits: VMX_CONTROL_FIELDS[name]?.bits })),
  }));
}
const vmcbShown = (port: Svm): readonly Group[] =>
  vmcbGroups((f) => port.capabilities.features.has(f)).map((g) => ({ ...g, fields: g.fields.map((f): Shown => ({ ...f, bits: SVM_CONTROL_BITS[f.key] })) }));

const hex = (v: bigint): string => `0x${v.toString(16)}`;
/** Little-endian. */
function valueAt(bytes: Uint8Array, f: Shown): bigint {
  let v = 0n;
  for (let i = f.size - 1; i >= 0; i--) v = (v << 8n) | BigInt(bytes[f.offset + i]!);
  return v;
}

/**
 * `images`: the last transition and the one before it. Between two VM transitions runs either the guest, and then the exit is what changes
 * the block, or the hypervisor, and then it does.
 */
function fieldView(f: Shown, now: Uint8Array, images: readonly BlockImage[]): FieldView {
  const value = valueAt(now, f), [last, previous] = images;
  const at = last === undefined ? value : valueAt(last.bytes, f), before = previous === undefined ? at : valueAt(previous.bytes, f);
  const since = at !== value, changed = since || before !== at;
  const decoded = decodeField(f.name, value);
  return {
    name: f.name,
    value: hex(value),
    meaning: f.meaning,
    section: f.section,
    changed,
    ...(changed ? { before: hex(before === value ? at : before), changedBy: since || last!.kind === 'entry' ? ('hypervisor' as const) : ('transition' as const) } : {}),
    ...(decoded === undefined ? {} : { decoded }),
    ...(f.bits === undefined ? {} : { bits: f.bits.map((b) => ({ ...b, set: ((value >> BigInt(b.bit)) & 1n) === 1n })) }),
  };
}
