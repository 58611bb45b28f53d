/** Rows of the results: one a cell of the comparison, and one a VM-exit reason. Column names carry units. */

import type { CycleParts, Measurement } from './measure.js';
import type { ExtensionName, PathName } from './paths.js';

export interface Cell {
  readonly extension: ExtensionName;
  readonly profile: string;
  readonly frequencyHz: number;
  readonly path: PathName;
  readonly measurement: Measurement;
  /** '' when the data was right or there is none. */
  readonly dataError: string;
}

export const PART_NAMES: Readonly<Record<keyof CycleParts, string>> = {
  guest: 'guest', transitions: 'VM transitions', hypervisor: 'hypervisor', dom0BackEnd: 'dom0 back end', dom0DeviceModel: 'dom0 device model',
  dom0Other: 'dom0 other', idle: 'idle', unknown: 'unknown',
};

const MIB = 1 << 20;

/** A number with at most `digits` decimals: the same text on every computer. */
const fixed = (v: number, digits: number): number => Number(v.toFixed(digits));

export interface Row {
  extension: string;
  profile: string;
  path: string;
  workload: string;
  status: string;
  operations: number;
  bytes: number;
  cycles: number;
  cycles_per_op: number | '';
  busy_cycles_per_op: number | '';
  microseconds_per_op: number | '';
  operations_per_s: number | '';
  throughput_mib_s: number | '';
  exits_per_op: number | '';
  hypercalls_per_op: number | '';
  notifications_per_op: number | '';
  domain_switches_per_op: number | '';
  interrupts_per_op: number | '';
  exceptions_per_op: number | '';
  slowdown_vs_native: number | '';
  guest_cycles: number;
  vm_transition_cycles: number;
  hypervisor_cycles: number;
  dom0_back_end_cycles: number;
  dom0_device_model_cycles: number;
  dom0_other_cycles: number;
  idle_cycles: number;
  unknown_cycles: number;
  checksum: string;
  data: string;
  reason: string;
}

const succeeded = (c: Cell): boolean => c.measurement.status === 'ok' && c.dataError === '' && c.measurement.operations > 0;
const perOperation = (c: Cell): number => c.measurement.cycles / c.measurement.operations;

/** Cycles per operation over those of the bare machine with the same processor; undefined where either is missing. */
export function slowdown(cell: Cell, all: readonly Cell[]): number | undefined {
  const native = all.find((c) => c.path === 'native' && c.profile === cell.profile && c.measurement.workload === cell.measurement.workload);
  return native !== undefined && succeeded(native) && succeeded(cell) ? perOperation(cell) / perOperation(native) : undefined;
}

export function rowOf(cell: Cell, all: readonly Cell[]): Row {
  const { measurement: m } = cell, { counts, parts } = m;
  const ok = succeeded(cell);
  const each = (n: number): number | '' => (ok ? fixed(n / m.operations, 3) : '');
  const seconds = m.cycles / cell.frequencyHz;
  const slow = slowdown(cell, all);
  return {
    extension: cell.extension, profile: cell.profile, path: cell.path, workload: m.workload,
    status: m.status === 'ok' && cell.dataError !== '' ? 'failed' : m.status,
    operations: m.operations, bytes: m.bytes, cycles: m.cycles,
    cycles_per_op: each(m.cycles), busy_cycles_per_op: each(m.cycles - parts.idle), microseconds_per_op: ok ? fixed((seconds * 1e6) / m.operations, 4) : '',
    operations_per_s: ok ? fixed(m.operations / seconds, 1) : '', throughput_mib_s: ok && m.bytes > 0 ? fixed(m.bytes / MIB / seconds, 3) : '',
    exits_per_op: each(counts.exits), hypercalls_per_op: each(counts.hypercalls), notifications_per_op: each(counts.notifications),
    domain_switches_per_op: each(counts.domainSwitches), interrupts_per_op: each(counts.interrupts), exceptions_per_op: each(counts.exceptions),
    slowdown_vs_native: slow === undefined ? '' : fixed(slow, 3),
    guest_cycles: parts.guest, vm_transition_cycles: parts.transitions, hypervisor_cycles: parts.hypervisor, dom0_back_end_cycles: parts.dom0BackEnd,
    dom0_device_model_cycles: parts.dom0DeviceModel, dom0_other_cycles: parts.dom0Other, idle_cycles: parts.idle, unknown_cycles: parts.unknown,
    checksum: m.checksum, data: m.checksum === '' && cell.dataError === '' ? '' : cell.dataError === '' ? 'ok' : 'wrong', reason: cell.dataError || m.reason,
  };
}

export interface ExitRow {
  extension: string;
  profile: string;
  path: string;
  workload: string;
  reason: string;
  exits: number;
  exits_per_op: number;
}

export const exitRows = (cells: readonly Cell[]): ExitRow[] =>
  cells.flatMap((c) =>
    Object.entries(c.measurement.exitsByReason)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([reason, exits]) => ({
        extension: c.extension, profile: c.profile, path: c.path, workload: c.measurement.workload, reason, exits,
        exits_per_op: fixed(exits / c.measurement.operations, 3),
      })),
  );
