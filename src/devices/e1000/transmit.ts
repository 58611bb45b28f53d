/**
 * The e1000's transmitter: legacy, context and data descriptors, checksum insertion, TCP segmentation.
 *
 * Software Developer's Manual §3.3 "Packet Transmission", §3.4 "Transmit Descriptor Ring", §3.5 "TCP Segmentation".
 * One packet is on its way at a time: its data are fetched when the wire is free, its descriptors are written back when its last bit
 * has left.
 */

import type { DmaPort } from '../ports.js';
import { onesSum, read16, write16 } from '../net/packets.js';
import { CMD_DEXT, CMD_EOP, CMD_IC, CMD_IDE, CMD_RS, CMD_TSE, CONTEXT_IP, CONTEXT_TCP, POPTS_IXSM, POPTS_TXSM, STATUS_DD } from './registers.js';

/** The fields of one transmit descriptor, raw. */
export interface TxDescriptor {
  readonly at: number;
  readonly raw: Uint8Array;
}

/** Offsets of a context descriptor: where a checksum is summed from and to, and where it goes. */
interface Range {
  readonly start: number;
  readonly offset: number;
  readonly end: number;
}
interface Context {
  readonly ip: Range;
  readonly tcp: Range;
  readonly isTcp: boolean;
  readonly isIpv4: boolean;
  readonly headerLength: number;
  readonly segmentSize: number;
}

const NO_CONTEXT: Context = { ip: { start: 0, offset: 0, end: 0 }, tcp: { start: 0, offset: 0, end: 0 }, isTcp: false, isIpv4: false, headerLength: 0, segmentSize: 0 };
const view = (b: Uint8Array): DataView => new DataView(b.buffer, b.byteOffset, b.byteLength);

/** A packet collected from the ring: its frames for the wire, and what is to be written back. */
export interface TxPacket {
  readonly frames: readonly Uint8Array[];
  /** Descriptors that ask for their status. */
  readonly report: readonly TxDescriptor[];
  readonly descriptors: number;
  /** Some descriptor asked that the interrupt be delayed. */
  readonly delayInterrupt: boolean;
}

export class Transmitter {
  private context = NO_CONTEXT;

  constructor(private readonly dma: DmaPort) {}

  reset(): void {
    this.context = NO_CONTEXT;
  }

  /**
   * Collects the next packet, or only context descriptors, from the ring.
   * @param ring address of the ring; @param count its descriptors; @param head, tail ring indices, head not equal to tail
   * @returns undefined when the packet's last descriptor is not there yet
   */
  collect(ring: number, count: number, head: number, tail: number): TxPacket | undefined {
    const saved = this.context, report: TxDescriptor[] = [], pieces: Uint8Array[] = [];
    let delayInterrupt = false, first: Uint8Array | undefined, descriptors = 0;
    for (let i = head; i !== tail; i = (i + 1) % count) {
      const at = ring + 16 * i, raw = this.dma.read(at, 16), command = raw[11];
      descriptors++;
      if (command & CMD_RS) report.push({ at, raw });
      if (command & CMD_IDE) delayInterrupt = true;
      if (command & CMD_DEXT && (raw[10] >> 4) === 0) {
        this.context = readContext(raw);
        if (first === undefined) return { frames: [], report, descriptors, delayInterrupt };
        continue;
      }
      first ??= raw;
      const v = view(raw), length = command & CMD_DEXT ? v.getUint32(8, true) & 0xfffff : v.getUint16(8, true);
      pieces.push(this.dma.read(Number(v.getBigUint64(0, true) & 0xf_ffff_ffff_ffffn), length));
      if (command & CMD_EOP) return { frames: this.frames(join(pieces), first, raw), report, descriptors, delayInterrupt };
    }
    this.context = saved;
    return undefined;
  }

  private frames(data: Uint8Array, first: Uint8Array, last: Uint8Array): Uint8Array[] {
    if (data.length === 0) return [];
    const command = first[11];
    if (!(command & CMD_DEXT)) {
      if (last[11] & CMD_IC) insert(data, { start: last[13], offset: last[10], end: 0 }, 0);
      return [data];
    }
    const options = first[13], { context } = this;
    if (command & CMD_TSE) return segment(data, context, options);
    if (options & POPTS_TXSM) insert(data, context.tcp, 0);
    if (options & POPTS_IXSM) insert(data, context.ip, 0);
    return [data];
  }

  /** Marks descriptors as done in memory. */
  writeBack(packet: TxPacket): void {
    for (const { at, raw } of packet.report) this.dma.write(at + 12, Uint8Array.of(raw[12] | STATUS_DD));
  }
}

function readContext(raw: Uint8Array): Context {
  const v = view(raw), command = raw[11];
  return {
    ip: { start: raw[0], offset: raw[1], end: v.getUint16(2, true) },
    tcp: { start: raw[4], offset: raw[5], end: v.getUint16(6, true) },
    isTcp: (command & CONTEXT_TCP) !== 0,
    isIpv4: (command & CONTEXT_IP) !== 0,
    headerLength: raw[13],
    segmentSize: v.getUint16(14, true),
  };
}

function join(pieces: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(pieces.reduce((n, p) => n + p.length, 0));
  let at = 0;
  for (const p of pieces) {
    out.set(p, at);
    at += p.length;
  }
  return out;
}

/** Puts the inverted sum of a range at its place. The field itself holds what is to be added (a pseudo-header's sum). */
function insert(data: Uint8Array, { start, offset, end }: Range, extra: number): void {
  const to = end === 0 ? data.length : Math.min(end + 1, data.length);
  if (offset + 2 > data.length || start >= to) return;
  write16(data, offset, ~onesSum(data, start, to, extra) & 0xffff);
}

/** Cuts a packet into segments of the context's size, each with the header adapted. */
function segment(data: Uint8Array, c: Context, options: number): Uint8Array[] {
  const header = data.subarray(0, c.headerLength), out: Uint8Array[] = [];
  const sequenceAt = c.tcp.start + 4, flagsAt = c.tcp.start + 13;
  const sequence = c.isTcp ? view(header).getUint32(sequenceAt) : 0;
  for (let at = c.headerLength, n = 0; at < data.length; at += c.segmentSize, n++) {
    const payload = data.subarray(at, Math.min(at + Math.max(c.segmentSize, 1), data.length)), last = at + payload.length >= data.length;
    const frame = join([header, payload]);
    if (c.isIpv4) {
      write16(frame, c.ip.start + 2, frame.length - c.ip.start);
      write16(frame, c.ip.start + 4, read16(header, c.ip.start + 4) + n);
    } else write16(frame, c.ip.start + 4, frame.length - c.ip.start - 40);
    const transportLength = frame.length - c.tcp.start;
    if (c.isTcp) {
      view(frame).setUint32(sequenceAt, (sequence + at - c.headerLength) >>> 0);
      if (!last) frame[flagsAt] &= ~0x09; // FIN and PSH belong to the last segment
    } else write16(frame, c.tcp.start + 4, transportLength);
    // In segmentation the driver's pseudo-header sum leaves the length out.
    if (options & POPTS_TXSM) insert(frame, c.tcp, transportLength);
    if (options & POPTS_IXSM) insert(frame, c.ip, 0);
    out.push(frame);
    if (c.segmentSize === 0) break;
  }
  return out;
}
