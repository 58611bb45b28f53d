/**
 * The workloads of the comparison: what the guest is asked to do, and how its answers are read.
 *
 * `guestName` and `id` are those of guests/workloads/table.c. Nothing here has an effect on the machine: the guest gets a command
 * line, and everything measured comes from what it then does.
 */

export type OperationKind = 'disk-read' | 'disk-write' | 'net-transmit' | 'net-receive' | 'net-request' | 'event';

export interface Workload {
  readonly name: string;
  readonly title: string;
  readonly guestName: string;
  readonly id: number;
  readonly kind: OperationKind;
  /** Operations of a normal and of a quick run. */
  readonly operations: { readonly normal: number; readonly quick: number };
  /** Further parameters of the guest's specification: size in bytes, start and span in sectors, gap in ns, seed. */
  readonly parameters: Readonly<Record<string, number>>;
}

export const WORKLOADS: readonly Workload[] = [
  {
    name: 'disk-sequential-read', title: 'Disk, sequential read 64 KiB', guestName: 'diskseq', id: 1, kind: 'disk-read',
    operations: { normal: 32, quick: 8 }, parameters: { size: 65536, start: 0 },
  },
  {
    name: 'disk-random-read', title: 'Disk, random read 4 KiB', guestName: 'diskrand', id: 2, kind: 'disk-read',
    operations: { normal: 64, quick: 16 }, parameters: { size: 4096, start: 0, span: 65536, seed: 1 },
  },
  {
    name: 'disk-write', title: 'Disk, sequential write 64 KiB', guestName: 'diskwrite', id: 3, kind: 'disk-write',
    operations: { normal: 32, quick: 8 }, parameters: { size: 65536, start: 65536, seed: 1 },
  },
  {
    name: 'net-transmit', title: 'Network, transmit stream of 1400-byte datagrams', guestName: 'nettx', id: 4, kind: 'net-transmit',
    operations: { normal: 512, quick: 64 }, parameters: { size: 1400 },
  },
  {
    name: 'net-receive', title: 'Network, receive stream of 1400-byte datagrams', guestName: 'netrx', id: 5, kind: 'net-receive',
    operations: { normal: 512, quick: 128 }, parameters: { size: 1400, gap: 0 },
  },
  {
    name: 'net-request', title: 'Network, request and response of 64 bytes', guestName: 'netrr', id: 6, kind: 'net-request',
    operations: { normal: 128, quick: 16 }, parameters: { size: 64 },
  },
  { name: 'null-hypercall', title: 'Null hypercall', guestName: 'hypercall', id: 7, kind: 'event', operations: { normal: 2000, quick: 200 }, parameters: {} },
  { name: 'cpuid-exit', title: 'CPUID', guestName: 'cpuid', id: 8, kind: 'event', operations: { normal: 2000, quick: 200 }, parameters: {} },
  { name: 'port-io-exit', title: 'Port write', guestName: 'portio', id: 9, kind: 'event', operations: { normal: 500, quick: 50 }, parameters: {} },
  { name: 'page-fault-storm', title: 'Page faults', guestName: 'pagefault', id: 10, kind: 'event', operations: { normal: 2048, quick: 256 }, parameters: {} },
];

/** Operations of a workload in this run. */
export const operationsOf = (w: Workload, quick: boolean): number => (quick ? w.operations.quick : w.operations.normal);

const SECTOR = 512;

/** Sectors of the disk that a list of workloads reaches: one more than the highest. */
export const sectorsNeeded = (list: readonly Workload[], quick: boolean): number =>
  Math.max(0, ...list.filter((w) => w.kind === 'disk-read' || w.kind === 'disk-write').map((w) => {
    const { start = 0, span = 0, size = 0 } = w.parameters;
    return start + (span > 0 ? span : (operationsOf(w, quick) * size) / SECTOR);
  }));

/** The guest's `w=` option for a list of workloads. */
export function guestSpecification(list: readonly Workload[], quick: boolean): string {
  return list
    .map((w) => [w.guestName, `ops=${operationsOf(w, quick)}`, ...Object.entries(w.parameters).map(([k, v]) => `${k}=${v}`)].join(':'))
    .join(',');
}
