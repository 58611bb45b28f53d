/**
 * The few network formats that the peer speaks: Ethernet, ARP, IPv4, UDP, ICMP echo. RFC 826, 791, 768, 792, 1071.
 * Offsets are those of frames without VLAN tags and without IP options.
 */

export const ETHERTYPE_IPV4 = 0x0800, ETHERTYPE_ARP = 0x0806;
export const PROTOCOL_ICMP = 1, PROTOCOL_UDP = 17;
export const IP_AT = 14, IP_HEADER = 20, TRANSPORT_AT = IP_AT + IP_HEADER, UDP_HEADER = 8, UDP_PAYLOAD_AT = TRANSPORT_AT + UDP_HEADER;

export const read16 = (b: Uint8Array, at: number): number => (b[at] << 8) | b[at + 1];
export function write16(b: Uint8Array, at: number, value: number): void {
  b[at] = value >> 8;
  b[at + 1] = value;
}
export const read32le = (b: Uint8Array, at: number): number => (b[at] | (b[at + 1] << 8) | (b[at + 2] << 16) | (b[at + 3] << 24)) >>> 0;
export function write32le(b: Uint8Array, at: number, value: number): void {
  for (let i = 0; i < 4; i++) b[at + i] = value >>> (8 * i);
}

/** The ones' complement sum of big-endian words, folded to 16 bits but not inverted. An odd last byte counts as a high byte. */
export function onesSum(b: Uint8Array, from: number, to: number, start = 0): number {
  let sum = start;
  for (let i = from; i + 1 < to; i += 2) sum += (b[i] << 8) | b[i + 1];
  if ((to - from) & 1) sum += b[to - 1] << 8;
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return sum;
}

/** The sum of the pseudo-header of UDP and TCP over IPv4. `length` is that of the transport part. */
export const pseudoSum = (b: Uint8Array, protocol: number, length: number): number => onesSum(b, IP_AT + 12, IP_AT + 20, protocol + length);

/** A UDP datagram in an Ethernet frame, with both checksums. */
export function udpFrame(to: { mac: Uint8Array; ip: Uint8Array; port: number }, from: { mac: Uint8Array; ip: Uint8Array; port: number }, id: number, payload: Uint8Array): Uint8Array {
  const f = new Uint8Array(UDP_PAYLOAD_AT + payload.length);
  f.set(to.mac, 0);
  f.set(from.mac, 6);
  write16(f, 12, ETHERTYPE_IPV4);
  f[IP_AT] = 0x45;
  write16(f, IP_AT + 2, IP_HEADER + UDP_HEADER + payload.length);
  write16(f, IP_AT + 4, id);
  f[IP_AT + 8] = 64;
  f[IP_AT + 9] = PROTOCOL_UDP;
  f.set(from.ip, IP_AT + 12);
  f.set(to.ip, IP_AT + 16);
  write16(f, IP_AT + 10, ~onesSum(f, IP_AT, TRANSPORT_AT) & 0xffff);
  write16(f, TRANSPORT_AT, from.port);
  write16(f, TRANSPORT_AT + 2, to.port);
  write16(f, TRANSPORT_AT + 4, UDP_HEADER + payload.length);
  f.set(payload, UDP_PAYLOAD_AT);
  const sum = ~onesSum(f, TRANSPORT_AT, f.length, pseudoSum(f, PROTOCOL_UDP, UDP_HEADER + payload.length)) & 0xffff;
  write16(f, TRANSPORT_AT + 6, sum || 0xffff);
  return f;
}

/**
 * A 64-bit checksum over little-endian 64-bit words (FNV-1a with words for bytes; a short last word is filled with zeros), kept
 * in two halves so that no BigInt is made for each word.
 */
export class StreamChecksum {
  private low = 0x8422_2325;
  private high = 0xcbf2_9ce4;

  add(b: Uint8Array): void {
    const byte = (i: number): number => (i < b.length ? b[i] : 0);
    for (let i = 0; i < b.length; i += 8) {
      const low = (this.low ^ (byte(i) | (byte(i + 1) << 8) | (byte(i + 2) << 16) | (byte(i + 3) << 24))) >>> 0;
      const high = (this.high ^ (byte(i + 4) | (byte(i + 5) << 8) | (byte(i + 6) << 16) | (byte(i + 7) << 24))) >>> 0;
      // Times 2^40 + 0x1b3, modulo 2^64.
      const product = low * 0x1b3;
      this.low = product >>> 0;
      this.high = (high * 0x1b3 + Math.floor(product / 0x1_0000_0000) + low * 256) % 0x1_0000_0000;
    }
  }

  get value(): bigint {
    return (BigInt(this.high) << 32n) | BigInt(this.low);
  }
}
