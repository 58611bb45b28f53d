/** The comparison as text of at most 80 columns. */

import { rowOf, type Cell } from '../../experiments/rows.js';
import type { Workload } from '../../experiments/workloads.js';

const left = (text: string, n: number): string => text.padEnd(n).slice(0, n);
const right = (text: string, n: number): string => text.padStart(n);

function number(v: number | ''): string {
  if (v === '') return '-';
  if (v >= 1e7) return `${(v / 1e6).toFixed(1)}M`;
  if (v >= 1e5) return `${(v / 1e3).toFixed(0)}k`;
  return v >= 100 ? v.toFixed(0) : v >= 10 ? v.toFixed(1) : v.toFixed(2);
}
const small = (v: number | ''): string => (v === '' ? '-' : v === 0 ? '0' : v >= 100 ? v.toFixed(0) : v.toFixed(v >= 10 ? 1 : 2));
const shortRate = (v: number | ''): string => (v === '' ? '-' : v >= 1e6 ? `${(v / 1e6).toFixed(1)}M` : v >= 1e3 ? `${(v / 1e3).toFixed(1)}k` : v.toFixed(1));

function share(part: number, whole: number): string {
  return whole === 0 ? '-' : `${Math.round((100 * part) / whole)}`;
}

const HEAD = `${left('path', 7)}${right('cycles/op', 9)}${right('busy/op', 8)}${right('rate', 12)}${right('exits', 6)}${right('calls', 6)}${right('evts', 5)}${right('x nat', 6)}  gst vmx hyp dom idl`;

function line(cell: Cell, all: readonly Cell[]): string {
  const r = rowOf(cell, all);
  if (r.status !== 'ok') return `${left(r.path, 7)}${r.status === 'skipped' ? 'not possible here' : 'FAILED'}: ${r.reason}`.slice(0, 80);
  const rate = r.throughput_mib_s !== '' ? `${small(r.throughput_mib_s)} MiB/s` : `${shortRate(r.operations_per_s)} op/s`;
  const dom0 = r.dom0_back_end_cycles + r.dom0_device_model_cycles + r.dom0_other_cycles;
  const parts = [r.guest_cycles + r.unknown_cycles, r.vm_transition_cycles, r.hypervisor_cycles, dom0, r.idle_cycles].map((p) => right(share(p, r.cycles), 4)).join('');
  return `${left(r.path, 7)}${right(number(r.cycles_per_op), 9)}${right(number(r.busy_cycles_per_op), 8)}${right(rate, 12)}${right(small(r.exits_per_op), 6)}${right(small(r.hypercalls_per_op), 6)}${right(small(r.notifications_per_op), 5)}${right(small(r.slowdown_vs_native), 6)} ${parts}`;
}

/** One block a processor, in it one group a workload, in it one line a path. */
export function table(workloads: readonly Workload[], cells: readonly Cell[]): string {
  const out: string[] = [];
  const groups = [...new Map(cells.map((c) => [`${c.extension} ${c.profile}`, c])).values()];
  for (const g of groups) {
    out.push('', `== ${g.extension}: ${g.profile}, ${(g.frequencyHz / 1e9).toFixed(2)} GHz`, HEAD);
    for (const w of workloads) {
      const mine = cells.filter((c) => c.extension === g.extension && c.measurement.workload === w.name);
      if (mine.length > 0) out.push(`-- ${w.title}`, ...mine.map((c) => line(c, cells)));
    }
  }
  out.push(
    '',
    'cycles/op: until the operation is done; busy/op: without the time all waited.',
    'exits (VM exits), calls (hypercalls), evts (event-channel notifications): per',
    'operation. x nat: time per operation against the bare machine. Last columns:',
    'percent of the cycles in guest, VM transitions, hypervisor, dom0, idle.',
  );
  return out.join('\n').trimStart();
}

