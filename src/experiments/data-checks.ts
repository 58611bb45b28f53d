/**
 * Was the right data moved? The guest's checksums are compared with what they must be, computed here from the disk's contents and
 * the far end of the wire, without the guest.
 */

import { streamPayload } from '../machine/wire.js';
import type { DiskBackend } from '../machine/config.js';
import type { Measurement, PathResult } from './measure.js';
import type { Workload } from './workloads.js';

const FNV_OFFSET = 14695981039346656037n, FNV_PRIME = 1099511628211n, MASK = (1n << 64n) - 1n;
const SECTOR = 512, BUFFER_MAX = 8 << 20;

/** FNV-1a over 64-bit little-endian words; the last is padded with zeros. guests/workloads/workload.h. */
export function checksumOf(pieces: Iterable<Uint8Array>): string {
  let sum = FNV_OFFSET;
  for (const piece of pieces) {
    const padded = piece.length % 8 === 0 ? piece : Uint8Array.from({ length: (piece.length + 7) & ~7 }, (_, i) => piece[i] ?? 0);
    const v = new DataView(padded.buffer, padded.byteOffset, padded.length);
    for (let at = 0; at < padded.length; at += 8) sum = ((sum ^ v.getBigUint64(at, true)) * FNV_PRIME) & MASK;
  }
  return sum.toString(16).padStart(16, '0');
}

/** xorshift64. */
function* random(seed: bigint): Generator<bigint> {
  for (let x = seed; ; ) {
    x ^= (x << 13n) & MASK;
    x ^= x >> 7n;
    x ^= (x << 17n) & MASK;
    yield x;
  }
}

function* diskPieces(disk: Pick<DiskBackend, 'read'>, w: Workload, operations: number): Generator<Uint8Array> {
  const { size = 0, start = 0, span = 0, seed = 1 } = w.parameters;
  const sectors = size / SECTOR, numbers = random(BigInt(seed));
  const slots = Math.min(operations, Math.floor(BUFFER_MAX / size));
  for (let op = 0; op < operations; op++) {
    const at = span > 0 ? Number(numbers.next().value! % BigInt(Math.floor(span / sectors))) : op;
    const piece = new Uint8Array(size);
    disk.read(start + at * sectors, piece);
    if (op >= operations - slots) yield piece;
  }
}

function* streamPieces(w: Workload, operations: number): Generator<Uint8Array> {
  for (let i = 0; i < operations; i++) yield streamPayload(i, w.parameters['size'] ?? 0);
}

/**
 * Compares one measurement with what must be. Returns what is wrong, or '' when all is as it must be.
 * @param original the disk before the run @param disk the disk after it
 */
export function dataError(w: Workload, m: Measurement, result: PathResult, original: Pick<DiskBackend, 'read'>, disk: Pick<DiskBackend, 'read'>): string {
  const compare = (expected: string): string => (m.checksum === expected ? '' : `checksum ${m.checksum || 'missing'}, ${expected} expected`);
  switch (w.kind) {
    case 'disk-read':
      return compare(checksumOf(diskPieces(original, w, m.operations)));
    case 'disk-write':
      // What the guest read back must be what the disk really holds.
      return compare(checksumOf(diskPieces(disk, w, m.operations)));
    case 'net-transmit':
      return result.peer.received === m.operations ? '' : `${m.operations} frames sent, ${result.peer.received} arrived`;
    case 'net-receive':
      return result.peer.sent === m.operations ? compare(checksumOf(streamPieces(w, m.operations))) : `${result.peer.sent} frames sent to the guest, ${m.operations} received`;
    case 'net-request':
      return result.peer.echoed >= m.operations ? '' : `${m.operations} answers, ${result.peer.echoed} requests arrived`;
    case 'event':
      return '';
  }
}
