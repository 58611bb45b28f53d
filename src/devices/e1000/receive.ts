/**
 * The e1000's receiver: address filter, descriptor ring, checksum results.
 *
 * Software Developer's Manual §3.2 "Packet Reception", §3.2.3 "Receive Descriptor Format", §3.2.9 "Receive Packet Checksum
 * Offloading", §13.4.22 "Receive Control Register", §13.5.1 "Multicast Table Array".
 */

import type { DmaPort } from '../ports.js';
import { ETHERTYPE_IPV4, IP_AT, onesSum, pseudoSum, PROTOCOL_UDP, read16, TRANSPORT_AT } from '../net/packets.js';
import {
  RCTL_BAM, RCTL_BSEX, RCTL_MPE, RCTL_SECRC, RCTL_UPE, RXCSUM_IPOFL, RXCSUM_TUOFL, RXE_IPE, RXE_TCPE, RX_EOP, RX_IPCS, RX_IXSM, RX_PIF, RX_TCPCS, STATUS_DD,
} from './registers.js';

const PROTOCOL_TCP = 6;

/** Bytes of one receive buffer. */
export function bufferSize(rctl: number): number {
  const size = 2048 >> ((rctl >> 16) & 3);
  return rctl & RCTL_BSEX ? size * 16 : size;
}

export interface Filter {
  readonly rctl: number;
  /** RAL and RAH of the 16 exact addresses, alternating. */
  readonly addresses: Uint32Array;
  readonly multicast: Uint32Array;
}

/** Does the card take the frame? 'inexact': by hash or promiscuity only. */
export function accepts(frame: Uint8Array, { rctl, addresses, multicast }: Filter): 'no' | 'exact' | 'inexact' {
  const low = (frame[0] | (frame[1] << 8) | (frame[2] << 16) | (frame[3] << 24)) >>> 0, high = frame[4] | (frame[5] << 8);
  for (let i = 0; i < 16; i++) if (addresses[2 * i + 1] >>> 31 === 1 && addresses[2 * i] === low && (addresses[2 * i + 1] & 0xffff) === high) return 'exact';
  if (low === 0xffff_ffff && high === 0xffff && rctl & RCTL_BAM) return 'exact';
  if (!(frame[0] & 1)) return rctl & RCTL_UPE ? 'inexact' : 'no';
  if (rctl & RCTL_MPE) return 'inexact';
  const shift = [4, 3, 2, 0][(rctl >> 12) & 3], hash = (high >> shift) & 0xfff;
  return multicast[hash >> 5] & (1 << (hash & 31)) ? 'inexact' : 'no';
}

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let k = 0; k < 8; k++) n = n & 1 ? (n >>> 1) ^ 0xedb8_8320 : n >>> 1;
  return n >>> 0;
});

/** The frame with its check sequence. IEEE 802.3 §3.2.9. */
export function withCheckSequence(frame: Uint8Array): Uint8Array {
  let crc = 0xffff_ffff;
  for (const b of frame) crc = (crc >>> 8) ^ CRC_TABLE[(crc ^ b) & 0xff];
  crc = ~crc;
  const out = new Uint8Array(frame.length + 4);
  out.set(frame);
  for (let i = 0; i < 4; i++) out[frame.length + i] = crc >>> (8 * i);
  return out;
}

/** Status and error bits about checksums, for RXCSUM. */
function checksumStatus(frame: Uint8Array, rxcsum: number): { status: number; errors: number } {
  if (!(rxcsum & (RXCSUM_IPOFL | RXCSUM_TUOFL)) || read16(frame, 12) !== ETHERTYPE_IPV4 || frame[IP_AT] !== 0x45) return { status: RX_IXSM, errors: 0 };
  let status = 0, errors = 0;
  if (rxcsum & RXCSUM_IPOFL) {
    status |= RX_IPCS;
    if (onesSum(frame, IP_AT, TRANSPORT_AT) !== 0xffff) errors |= RXE_IPE;
  }
  const end = IP_AT + read16(frame, IP_AT + 2), protocol = frame[IP_AT + 9], fragment = read16(frame, IP_AT + 6) & 0x3fff;
  const withoutSum = protocol === PROTOCOL_UDP && read16(frame, TRANSPORT_AT + 6) === 0;
  if (rxcsum & RXCSUM_TUOFL && fragment === 0 && end <= frame.length && !withoutSum && (protocol === PROTOCOL_UDP || protocol === PROTOCOL_TCP)) {
    status |= RX_TCPCS;
    if (onesSum(frame, TRANSPORT_AT, end, pseudoSum(frame, protocol, end - TRANSPORT_AT)) !== 0xffff) errors |= RXE_TCPE;
  }
  return { status, errors };
}

/** Descriptors that a frame of `bytes` needs. */
export const descriptorsFor = (bytes: number, rctl: number): number => Math.ceil(bytes / bufferSize(rctl));

/** Bytes that reach memory for a frame: with or without its check sequence. */
export const storedBytes = (frame: Uint8Array, rctl: number): number => frame.length + (rctl & RCTL_SECRC ? 0 : 4);

/**
 * Stores a frame into successive descriptors from `head` on, which must be free.
 * @returns the new head
 */
export function storeFrame(dma: DmaPort, frame: Uint8Array, inexact: boolean, rctl: number, rxcsum: number, ring: number, count: number, head: number): number {
  const bytes = rctl & RCTL_SECRC ? frame : withCheckSequence(frame), size = bufferSize(rctl);
  const sums = checksumStatus(frame, rxcsum), start = rxcsum & 0xff;
  const packetSum = start < bytes.length ? onesSum(bytes, start, bytes.length) : 0;
  for (let done = 0; done < bytes.length; ) {
    const at = ring + 16 * head, descriptor = dma.read(at, 16), v = new DataView(descriptor.buffer, descriptor.byteOffset, 16);
    const piece = bytes.subarray(done, done + size), last = done + piece.length >= bytes.length;
    dma.write(Number(v.getBigUint64(0, true) & 0xf_ffff_ffff_ffffn), piece);
    v.setUint16(8, piece.length, true);
    v.setUint16(10, packetSum, true);
    descriptor[12] = STATUS_DD | (last ? RX_EOP | sums.status | (inexact ? RX_PIF : 0) : 0);
    descriptor[13] = last ? sums.errors : 0;
    v.setUint16(14, 0, true);
    dma.write(at + 8, descriptor.subarray(8));
    done += piece.length;
    head = (head + 1) % count;
  }
  return head;
}
