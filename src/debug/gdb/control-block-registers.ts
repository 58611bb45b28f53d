/**
 * The current VMCS, or the VMCB of the last VMRUN, as one register whose fields gdb can print: `p/x $vmcs.exit_reason`, `info registers vmcs`.
 *
 * One register with a structure and not a register for each field, because gdb's x86 support ignores the groups of a target description: a
 * hundred and fifty registers would stand in every `info registers`. Names are the manuals', in lower case.
 *
 * SDM 3C Appendix B "Field Encoding in VMCS"; APM 2 appendix B "Layout of VMCB". Both are read where they lie in memory: while a guest runs, the
 * guest-state area holds what the last VM entry loaded.
 */

import { CONTROL_FIELDS, SAVE_FIELDS, VMCB_SEG } from '../../svm/fields.js';
import { Svm } from '../../svm/index.js';
import type { Machine } from '../../machine/machine.js';
import { FIELDS } from '../../vtx/fields.js';
import { VmxPort } from '../../vtx/index.js';
import { NO_VMCS } from '../../vtx/vmx.js';
import type { VcpuContext } from './context.js';
import type { Feature, Register } from './registers.js';

interface Slot {
  readonly name: string;
  /** Segment register that it is a part of. */
  readonly segment?: string;
  readonly bytes: number;
  /** From the start of the region. */
  readonly offset: number;
}

/** Physical address of the block in use, or -1. */
type Locate = (c: VcpuContext) => number;

const vmcsOf: Locate = ({ vcpu }) => (vcpu.virt instanceof VmxPort && vcpu.virt.currentPointer !== NO_VMCS ? vcpu.virt.currentPointer : -1);
const vmcbOf: Locate = ({ vcpu }) => (vcpu.virt instanceof Svm && vcpu.virt.vmcbAt !== 0 ? vcpu.virt.vmcbPa : -1);

function readSlot(c: VcpuContext, block: number, { offset, bytes }: Slot): bigint {
  const data = c.machine.phys.read(block + offset, bytes);
  return data.reduceRight((v, b) => (v << 8n) | BigInt(b), 0n);
}

function typeOf({ name, bytes }: Slot): string {
  if (/(^|_)(n?rip|eip|lstar|cstar)$/.test(name) && bytes === 8) return 'code_ptr';
  return bytes > 8 ? 'uint128' : `uint${bytes * 8}`;
}

const member = (s: Slot): string => `<field name="${s.name}" type="${typeOf(s)}"/>`;

function featureOf(block: 'vmcs' | 'vmcb', slots: readonly Slot[], locate: Locate): Feature {
  const total = slots.reduce((n, s) => n + s.bytes, 0);
  const all: Register = {
    name: block, bits: 8 * total, type: `${block}_fields`, group: block,
    read(c) {
      const at = locate(c);
      return at < 0 ? undefined : slots.reduceRight((v, s) => (v << BigInt(8 * s.bytes)) | readSlot(c, at, s), 0n);
    },
  };
  const pointer: Register = {
    name: `${block}_pointer`, bits: 64, type: 'uint64', group: block,
    read(c) {
      const at = locate(c);
      return at < 0 ? undefined : BigInt(at);
    },
  };
  const segments = [...new Set(slots.map((s) => s.segment))].filter((s) => s !== undefined);
  const structures = segments.map((name) => `<struct id="${block}_${name}">${slots.filter((s) => s.segment === name).map(member).join('')}</struct>\n`);
  const members = slots.map((s, i) => {
    if (s.segment === undefined) return member(s);
    return slots[i - 1]?.segment === s.segment ? '' : `<field name="${s.segment}" type="${block}_${s.segment}"/>`;
  });
  return {
    name: `org.xenolith.${block}`,
    types: `${structures.join('')}<struct id="${block}_fields">${members.join('')}</struct>\n`,
    registers: [pointer, all],
  };
}

function vmcsSlots(port: VmxPort): Slot[] {
  return FIELDS.filter((f) => port.caps.hasAll(f.needs))
    .map((f) => ({ name: f.name.toLowerCase(), bytes: f.width === 'natural' ? 8 : f.width / 8, offset: f.offset }));
}

const TABLES = ['GDTR', 'IDTR'];
const SEGMENT_PARTS = [['selector', 2], ['attrib', 2], ['limit', 4], ['base', 8]] as const;

/** `KernelGsBase` as `kernel_gs_base`. */
const snake = (name: string): string => name.replace(/([a-z])([A-Z])/g, '$1_$2').toLowerCase();

function vmcbSlots(): Slot[] {
  const control = Object.entries(CONTROL_FIELDS).map(([name, [offset, bytes]]) => ({ name: snake(name), bytes, offset }));
  const save = Object.entries(SAVE_FIELDS).flatMap(([name, [offset, bytes]]): Slot[] => {
    if (bytes !== 16) return [{ name: snake(name), bytes, offset }];
    return SEGMENT_PARTS.filter(([part]) => !TABLES.includes(name) || part === 'limit' || part === 'base')
      .map(([part, size]) => ({ name: part, segment: snake(name), bytes: size, offset: offset + VMCB_SEG[part] }));
  });
  return [...control, ...save];
}

/** The features of the machine's extension: one, or none. */
export function controlBlockFeatures(machine: Machine): Feature[] {
  const port = machine.processors[0]!.vcpu.virt;
  if (port instanceof VmxPort) return [featureOf('vmcs', vmcsSlots(port), vmcsOf)];
  return port instanceof Svm ? [featureOf('vmcb', vmcbSlots(), vmcbOf)] : [];
}
