/**
 * The computer at the other end of the wire: 52:54:00:00:00:02, 10.0.2.2. It answers ARP and ping, and offers over UDP
 *
 *     port 7   echo
 *     port 9   sink: counts and checksums what arrives; "XQRY" is answered with u64 frames, u64 bytes, u64 checksum
 *     port 19  source: "XSRC", u32 count, u32 payload bytes, u32 gap in ns starts a stream of that many datagrams, each beginning
 *              with its sequence number (u32); the gap comes between the end of one frame and the start of the next
 *
 * All numbers in payloads are little-endian. Deterministic: it acts only on frames and on time. Datagrams with a wrong checksum
 * are counted and dropped, as any system would.
 */

import type { DeviceClock } from '../ports.js';
import {
  ETHERTYPE_ARP, ETHERTYPE_IPV4, IP_AT, onesSum, PROTOCOL_ICMP, PROTOCOL_UDP, pseudoSum, read16, read32le, StreamChecksum, TRANSPORT_AT,
  UDP_HEADER, UDP_PAYLOAD_AT, udpFrame, write16, write32le,
} from './packets.js';
import type { Station, Wire } from './wire.js';

export const PEER_MAC = Uint8Array.of(0x52, 0x54, 0, 0, 0, 2), PEER_IP = Uint8Array.of(10, 0, 2, 2);
export const PORT_ECHO = 7, PORT_SINK = 9, PORT_SOURCE = 19;
const LARGEST_PAYLOAD = 1472;

/** What one service has seen. */
export class StreamCount {
  frames = 0;
  bytes = 0;
  private readonly sum = new StreamChecksum();
  add(payload: Uint8Array): void {
    this.frames++;
    this.bytes += payload.length;
    this.sum.add(payload);
  }
  get checksum(): bigint {
    return this.sum.value;
  }
}

const equal = (b: Uint8Array, at: number, wanted: Uint8Array): boolean => wanted.every((v, i) => b[at + i] === v);
const hasMagic = (payload: Uint8Array, magic: string): boolean => payload.length >= 4 && [...magic].every((c, i) => payload[i] === c.charCodeAt(0));

/** The payload of datagram `sequence` of a stream: words of `sequence` * 2654435761 + index, the sequence number first. */
export function streamPayload(sequence: number, bytes: number): Uint8Array {
  const words = new Uint8Array((bytes + 3) & ~3), first = Math.imul(sequence, 0x9e37_79b1);
  for (let w = 0; w < words.length / 4; w++) write32le(words, 4 * w, w === 0 ? sequence : first + w);
  return words.subarray(0, bytes);
}

export class Peer implements Station {
  /** Datagrams to port 9, those to port 7, and those sent from port 19. */
  readonly sink = new StreamCount();
  readonly echoed = new StreamCount();
  readonly source = new StreamCount();
  /** Datagrams dropped because a checksum was wrong. */
  badChecksums = 0;
  private id = 0;

  constructor(
    private readonly clock: DeviceClock,
    private readonly wire: Wire,
  ) {}

  receive(frame: Uint8Array): void {
    if (!equal(frame, 0, PEER_MAC) && !(frame[0] & 1)) return;
    const type = read16(frame, 12);
    if (type === ETHERTYPE_ARP) this.arp(frame);
    else if (type === ETHERTYPE_IPV4 && frame[IP_AT] === 0x45 && equal(frame, IP_AT + 16, PEER_IP)) this.ip(frame);
  }

  private arp(frame: Uint8Array): void {
    if (read16(frame, 20) !== 1 || !equal(frame, 38, PEER_IP)) return;
    const reply = frame.slice(0, 42);
    reply.set(frame.subarray(6, 12), 0);
    reply.set(PEER_MAC, 6);
    write16(reply, 20, 2);
    reply.set(PEER_MAC, 22);
    reply.set(PEER_IP, 28);
    reply.set(frame.subarray(22, 32), 32);
    this.wire.send('peer', reply);
  }

  private ip(frame: Uint8Array): void {
    const end = IP_AT + read16(frame, IP_AT + 2);
    if (end > frame.length || end < TRANSPORT_AT + UDP_HEADER) return;
    if (onesSum(frame, IP_AT, TRANSPORT_AT) !== 0xffff) {
      this.badChecksums++;
      return;
    }
    if (frame[IP_AT + 9] === PROTOCOL_ICMP) this.ping(frame, end);
    else if (frame[IP_AT + 9] === PROTOCOL_UDP) this.udp(frame, end);
  }

  private ping(frame: Uint8Array, end: number): void {
    if (frame[TRANSPORT_AT] !== 8) return;
    const reply = frame.slice(0, end);
    reply.set(frame.subarray(6, 12), 0);
    reply.set(PEER_MAC, 6);
    reply.set(PEER_IP, IP_AT + 12);
    reply.set(frame.subarray(IP_AT + 12, IP_AT + 16), IP_AT + 16);
    reply[TRANSPORT_AT] = 0;
    write16(reply, TRANSPORT_AT + 2, 0);
    write16(reply, TRANSPORT_AT + 2, ~onesSum(reply, TRANSPORT_AT, end) & 0xffff);
    this.wire.send('peer', reply);
  }

  private udp(frame: Uint8Array, end: number): void {
    const length = end - TRANSPORT_AT;
    if (read16(frame, TRANSPORT_AT + 6) !== 0 && onesSum(frame, TRANSPORT_AT, end, pseudoSum(frame, PROTOCOL_UDP, length)) !== 0xffff) {
      this.badChecksums++;
      return;
    }
    const payload = frame.subarray(UDP_PAYLOAD_AT, Math.min(end, TRANSPORT_AT + read16(frame, TRANSPORT_AT + 4)));
    switch (read16(frame, TRANSPORT_AT + 2)) {
      case PORT_ECHO:
        this.echoed.add(payload);
        this.reply(frame, payload);
        return;
      case PORT_SINK:
        if (hasMagic(payload, 'XQRY')) this.reply(frame, this.counters());
        else this.sink.add(payload);
        return;
      case PORT_SOURCE:
        if (hasMagic(payload, 'XSRC') && payload.length >= 16) this.startStream(frame.slice(), payload);
        return;
    }
  }

  /** Sends `payload` back to whoever sent `request`, from the port it was sent to. Returns when its last bit leaves. */
  private reply(request: Uint8Array, payload: Uint8Array): number {
    const to = { mac: request.subarray(6, 12), ip: request.subarray(IP_AT + 12, IP_AT + 16), port: read16(request, TRANSPORT_AT) };
    const from = { mac: PEER_MAC, ip: PEER_IP, port: read16(request, TRANSPORT_AT + 2) };
    return this.wire.send('peer', udpFrame(to, from, this.id++ & 0xffff, payload));
  }

  private counters(): Uint8Array {
    const out = new Uint8Array(24), view = new DataView(out.buffer);
    view.setBigUint64(0, BigInt(this.sink.frames), true);
    view.setBigUint64(8, BigInt(this.sink.bytes), true);
    view.setBigUint64(16, this.sink.checksum, true);
    return out;
  }

  private startStream(request: Uint8Array, payload: Uint8Array): void {
    const count = read32le(payload, 4), bytes = Math.min(Math.max(read32le(payload, 8), 4), LARGEST_PAYLOAD);
    const gap = (read32le(payload, 12) / 1e9) * this.clock.frequencyHz;
    const next = (sequence: number): void => {
      if (sequence >= count) return;
      const out = streamPayload(sequence, bytes);
      this.source.add(out);
      const end = this.reply(request, out);
      this.clock.schedule(end + gap, () => next(sequence + 1));
    };
    next(0);
  }
}
