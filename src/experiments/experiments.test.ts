import { describe, expect, it } from 'vitest';
import { SeededDisk } from '../machine/disks.js';
import { charts } from './charts.js';
import { checksumOf, dataError } from './data-checks.js';
import type { Measurement, PathResult } from './measure.js';
import { OverlayDisk } from './overlay-disk.js';
import { PcapngWriter } from './pcapng.js';
import { exitRows, rowOf, type Cell } from './rows.js';
import { guestSpecification, WORKLOADS } from './workloads.js';

const parts = { guest: 60, transitions: 0, hypervisor: 0, dom0BackEnd: 0, dom0DeviceModel: 0, dom0Other: 0, idle: 40, unknown: 0 };
const counts = { exits: 20, hypercalls: 5, notifications: 1, domainSwitches: 0, interrupts: 0, exceptions: 0 };
const measurement = (more: Partial<Measurement> = {}): Measurement => ({
  workload: 'net-request', status: 'ok', reason: '', operations: 10, bytes: 0, cycles: 100, parts, counts, exitsByReason: { HLT: 20 }, checksum: '', ...more,
});
const cell = (path: Cell['path'], more: Partial<Measurement> = {}): Cell => ({
  extension: 'vtx', profile: 'p', frequencyHz: 1000, path, measurement: measurement(more), dataError: '',
});

describe('rows', () => {
  it('divides by the operations and compares with the bare machine of the same processor', () => {
    const native = cell('native'), hvm = cell('hvm', { cycles: 250 });
    const row = rowOf(hvm, [native, hvm]);
    expect([row.cycles_per_op, row.busy_cycles_per_op, row.exits_per_op, row.slowdown_vs_native]).toEqual([25, 21, 2, 2.5]);
  });
  it('gives no figures for a cell whose data was wrong', () => {
    const wrong = { ...cell('hvm'), dataError: 'checksum 1, 2 expected' };
    const row = rowOf(wrong, [cell('native'), wrong]);
    expect([row.status, row.cycles_per_op, row.slowdown_vs_native, row.data]).toEqual(['failed', '', '', 'wrong']);
  });
  it('lists VM exits by reason', () => {
    expect(exitRows([cell('hvm')])).toMatchObject([{ path: 'hvm', reason: 'HLT', exits: 20, exits_per_op: 2 }]);
  });
});

describe('charts', () => {
  it('stack what every operation cost, without parts that nobody has', () => {
    const c = charts(WORKLOADS, [cell('native'), cell('hvm', { cycles: 250 })]);
    const stacked = c.find((x) => x.file === 'cycles-net-request')!;
    expect(stacked.config.data.datasets.map((d) => [d.label, d.data])).toEqual([['guest', [6, 6]], ['idle', [4, 4]]]);
    expect(c.find((x) => x.file === 'slowdown-hvm')!.config.data.datasets[0]!.data).toEqual([2.5]);
  });
});

describe('data checks', () => {
  const read = WORKLOADS.find((w) => w.name === 'disk-sequential-read')!;
  const result = { peer: { received: 7, sent: 0, echoed: 0 } } as PathResult;

  it('compute FNV-1a over 64-bit words', () => {
    // One word 0: the offset basis times the prime.
    expect(checksumOf([new Uint8Array(8)])).toBe(((14695981039346656037n * 1099511628211n) & ((1n << 64n) - 1n)).toString(16));
  });
  it('find a disk whose contents are not what the guest read', () => {
    const disk = new SeededDisk(4096, 1), other = new SeededDisk(4096, 2);
    const pieces = Uint8Array.from({ length: 65536 });
    disk.read(0, pieces);
    const m = measurement({ operations: 1, checksum: checksumOf([pieces]) });
    expect(dataError(read, m, result, disk, disk)).toBe('');
    expect(dataError(read, m, result, other, other)).toMatch(/expected/);
  });
  it('count frames at both ends', () => {
    const transmit = WORKLOADS.find((w) => w.name === 'net-transmit')!;
    expect(dataError(transmit, measurement({ operations: 7 }), result, new SeededDisk(1, 1), new SeededDisk(1, 1))).toBe('');
    expect(dataError(transmit, measurement({ operations: 8 }), result, new SeededDisk(1, 1), new SeededDisk(1, 1))).toBe('8 frames sent, 7 arrived');
  });
});

it('an overlay keeps what is written and leaves the disk below alone', () => {
  const below = new SeededDisk(8, 1), disk = new OverlayDisk(below), mine = new Uint8Array(512).fill(7);
  disk.write(3, mine);
  const sectors = new Uint8Array(1536), fresh = new Uint8Array(1536);
  disk.read(2, sectors);
  below.read(2, fresh);
  expect(sectors.subarray(512, 1024)).toEqual(mine);
  expect([sectors.subarray(0, 512), sectors.subarray(1024)]).toEqual([fresh.subarray(0, 512), fresh.subarray(1024)]);
});

it('a capture has blocks of the pcapng format with nanosecond stamps', () => {
  const file: number[] = [];
  new PcapngWriter(1e9, (block) => file.push(...block)).add(new Uint8Array(61).fill(1), 5);
  const v = new DataView(Uint8Array.from(file).buffer);
  expect(v.getUint32(0, true)).toBe(0x0a0d0d0a);
  const packet = v.getUint32(4, true) + v.getUint32(v.getUint32(4, true) + 4, true);
  expect([v.getUint32(packet, true), v.getUint32(packet + 4, true), v.getUint32(packet + 16, true), v.getUint32(packet + 20, true)]).toEqual([6, 32 + 64, 5, 61]);
});

it('the guest is told workloads by its own names', () => {
  expect(guestSpecification(WORKLOADS.filter((w) => w.id === 1 || w.id === 8), true)).toBe('diskseq:ops=8:size=65536:start=0,cpuid:ops=200');
});
