import { expect, it } from 'vitest';
import type { Cell } from '../../experiments/rows.js';
import { WORKLOADS } from '../../experiments/workloads.js';
import { table } from './table.js';

const cell = (path: Cell['path'], cycles: number): Cell => ({
  extension: 'svm', profile: 'barcelona-2007', frequencyHz: 1.9e9, path, dataError: '',
  measurement: {
    workload: 'disk-random-read', status: 'ok', reason: '', operations: 3, bytes: 4096, cycles, exitsByReason: {}, checksum: '00',
    parts: { guest: cycles / 2, transitions: cycles / 4, hypervisor: 0, dom0BackEnd: 0, dom0DeviceModel: 0, dom0Other: 0, idle: cycles / 4, unknown: 0 },
    counts: { exits: 123456, hypercalls: 5000, notifications: 999, domainSwitches: 1, interrupts: 1, exceptions: 1 },
  },
});

it('the table fits into 80 columns, also with large numbers and long reasons', () => {
  const failed: Cell = { ...cell('pv', 1), dataError: 'x'.repeat(200) };
  const lines = table(WORKLOADS, [cell('native', 1e6), cell('hvm', 9e8), failed]).split('\n');
  expect(lines.filter((l) => l.length > 80)).toEqual([]);
  expect(lines.find((l) => l.startsWith('pv'))).toMatch(/FAILED/);
});
