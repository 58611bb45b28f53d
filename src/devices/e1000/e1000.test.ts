import { describe, expect, it } from 'vitest';
import { IoSpace } from '../io-space.js';
import { onesSum, pseudoSum, read16, udpFrame, write16, write32le } from '../net/packets.js';
import { Peer, PEER_IP, PEER_MAC, streamPayload } from '../net/peer.js';
import { Wire } from '../net/wire.js';
import { TestClock } from '../test-clock.js';
import { E1000 } from './e1000.js';
import * as R from './registers.js';

const MAC = Uint8Array.of(0x52, 0x54, 0, 0x12, 0x34, 0x56), IP = Uint8Array.of(10, 0, 2, 15), BASE = 0xfebc_0000;
const TX = 0x1000, RX = 0x2000, BUFFERS = 0x10000, RING = 16;

/** A card as a driver sets it up, on a 1 Gbit/s wire with 5 microseconds of latency; memory is 1 MiB. */
function machine() {
  const clock = new TestClock(1e9), io = new IoSpace(), ram = new Uint8Array(1 << 20), view = new DataView(ram.buffer), seen: string[] = [];
  let irq = false;
  const wire = new Wire(clock, 1e9, 5e-6, [(f, cycle, direction) => seen.push(`${direction} ${f.length} @${cycle}`)]);
  const dma = { read: (a: number, n: number) => ram.slice(a, a + n), write: (a: number, b: Uint8Array) => ram.set(b, a) };
  const nic = new E1000({ clock, dma, wire, mac: [...MAC] }), peer = new Peer(clock, wire);
  wire.connect(nic, peer);
  nic.function.connect(io, { set: (a) => (irq = a) });
  nic.function.writeConfig(0x10, 4, BASE);
  nic.function.writeConfig(4, 2, 6);
  const wr = (reg: number, v: number): void => io.mmioWrite(BASE + reg, 4, v), rd = (reg: number): number => io.mmioRead(BASE + reg, 4);
  for (const [r, v] of [[R.TDBAL, TX], [R.TDLEN, RING * 16], [R.RDBAL, RX], [R.RDLEN, RING * 16], [R.TCTL, 2], [R.IMS, 0x9f]]) wr(r, v);
  for (let i = 0; i < RING; i++) view.setUint32(RX + 16 * i, BUFFERS + i * 2048, true);
  wr(R.RCTL, R.RCTL_EN | R.RCTL_BAM | R.RCTL_SECRC);
  wr(R.RDT, RING - 1);
  let tail = 0;
  const descriptor = (address: number, low: number, high: number): void => {
    [address, 0, low, high].forEach((v, i) => view.setUint32(TX + 16 * tail + 4 * i, v, true));
    tail = (tail + 1) % RING;
  };
  const send = (frame: Uint8Array): void => {
    ram.set(frame, 0x8000);
    descriptor(0x8000, frame.length | 0x0b00_0000, 0); // EOP, IFCS, RS
    wr(R.TDT, tail);
  };
  const received = (i: number): Uint8Array => ram.slice(BUFFERS + i * 2048, BUFFERS + i * 2048 + view.getUint16(RX + 16 * i + 8, true));
  const udp = (port: number, payload: Uint8Array): Uint8Array => udpFrame({ mac: PEER_MAC, ip: PEER_IP, port }, { mac: MAC, ip: IP, port: 5000 }, 1, payload);
  return { clock, ram, view, wire, peer, nic, rd, wr, send, descriptor, kick: () => wr(R.TDT, tail), received, udp, seen, irq: () => irq };
}

describe('e1000', () => {
  it('gives its address by EERD, by the Microwire pins, and in RAL; the EEPROM checksum is right', () => {
    const { rd, wr } = machine();
    const eerd = (w: number): number => (wr(R.EERD, (w << 8) | 1), rd(R.EERD) >>> 16);
    const microwire = (word: number): number => {
      wr(R.EECD, 0x42); // request, chip select
      const clock = (bit: number): void => [0, 1, 0].forEach((sk) => wr(R.EECD, 0x42 | (bit << 2) | sk));
      for (let i = 8; i >= 0; i--) clock(((6 << 6) | word) >> i & 1);
      let value = 0;
      for (let i = 0; i < 16; i++) {
        wr(R.EECD, 0x43);
        value = (value << 1) | ((rd(R.EECD) >> 3) & 1);
        wr(R.EECD, 0x42);
      }
      wr(R.EECD, 0);
      return value;
    };
    expect([0, 1, 2].map(eerd)).toEqual([0x5452, 0x1200, 0x5634]);
    expect([0, 1, 2, 63].map(microwire)).toEqual([0x5452, 0x1200, 0x5634, eerd(63)]);
    expect(Array.from({ length: 64 }, (_, i) => eerd(i)).reduce((a, b) => a + b) & 0xffff).toBe(0xbaba);
    expect(rd(R.RAL0)).toBe(0x12005452);
  });

  it('sends at the wire rate, writes DD back when the last bit is out, and interrupts', () => {
    const m = machine();
    m.send(m.udp(9, new Uint8Array(1000)));
    expect(m.view.getUint8(TX + 12)).toBe(0);
    m.clock.runUntil(m.irq);
    expect(m.clock.now()).toBe((1042 + 24) * 8); // 1 ns a bit
    expect([m.view.getUint8(TX + 12), m.rd(R.TDH), m.rd(R.ICR) & 3, m.irq()]).toEqual([1, 1, 3, false]);
    m.clock.run(1e6);
    expect([m.peer.sink.frames, m.peer.sink.bytes, m.rd(R.GPTC)]).toEqual([1, 1000, 1]);
  });

  it('an ARP request and an echo come back into the ring', () => {
    const m = machine(), arp = new Uint8Array(42);
    arp.fill(0xff, 0, 6);
    arp.set(MAC, 6);
    arp.set([8, 6, 0, 1, 8, 0, 6, 4, 0, 1, ...MAC, ...IP, 0, 0, 0, 0, 0, 0, ...PEER_IP], 12);
    m.send(arp);
    m.clock.run(1e6);
    expect([...m.received(0).subarray(22, 28)]).toEqual([...PEER_MAC]);
    m.send(m.udp(7, Uint8Array.of(1, 2, 3, 4)));
    m.clock.run(2e6);
    expect([m.view.getUint8(RX + 16 + 12) & 3, ...m.received(1).subarray(42, 46)]).toEqual([3, 1, 2, 3, 4]);
    expect(m.rd(R.ICR) & R.INT_RXT0).toBe(R.INT_RXT0);
  });

  it('holds a stream in its packet buffer while the ring is full, and loses nothing', () => {
    const m = machine(), request = new Uint8Array(16);
    [0x43525358, 20, 600, 0].forEach((v, i) => write32le(request, 4 * i, v));
    m.send(m.udp(19, request));
    m.clock.run(1e6);
    expect([m.rd(R.RDH), m.peer.source.frames]).toEqual([15, 20]);
    const order: number[] = [];
    for (let i = 0; i < 15; i++) order.push(m.received(i)[42]);
    m.wr(R.RDT, 14);
    for (let i = 15; i < 20; i++) order.push(m.received(i % RING)[42]);
    expect(order).toEqual(Array.from({ length: 20 }, (_, i) => i));
    expect(m.received(3).subarray(42)).toEqual(streamPayload(19, 600));
    expect(m.rd(R.MPC)).toBe(0);
  });

  it('filters by address, hash and promiscuity', () => {
    const m = machine(), other = m.udp(9, new Uint8Array(20));
    other.set([0x52, 0x54, 0, 0x12, 0x34, 0x57], 0);
    m.nic.receive(other);
    expect(m.rd(R.RDH)).toBe(0);
    const multicast = other.slice();
    multicast.set([0x01, 0x00, 0x5e, 0x00, 0x00, 0x01], 0);
    m.nic.receive(multicast);
    expect(m.rd(R.RDH)).toBe(0);
    m.wr(R.MTA + 4 * (0x010 >> 5), 1 << (0x010 & 31)); // bits 47:36 of the address
    m.nic.receive(multicast);
    expect([m.rd(R.RDH), m.view.getUint8(RX + 12) & R.RX_PIF]).toEqual([1, R.RX_PIF]);
  });

  it('inserts IP and UDP checksums that the peer accepts, by context and data descriptors', () => {
    const m = machine(), frame = m.udp(9, Uint8Array.from({ length: 101 }, (_, i) => i));
    write16(frame, 24, 0);
    write16(frame, 40, pseudoSum(frame, 17, 109)); // what a driver leaves there
    m.ram.set(frame, 0x8000);
    m.descriptor(0, 0, 0);
    m.ram.set([14, 24, 33, 0, 34, 40, 0, 0, 0, 0, 0, 0x20 | 2, 0, 42, 0, 0], TX);
    m.descriptor(0x8000, frame.length | (0x10 << 16) | (0x2b << 24), 3 << 8); // data descriptor: EOP, IFCS, RS; IXSM, TXSM
    m.kick();
    m.clock.run(1e6);
    expect([m.peer.sink.frames, m.peer.badChecksums]).toEqual([1, 0]);
  });

  it('cuts a TCP packet into segments with right lengths, numbers, flags and checksums', () => {
    const m = machine(), out: Uint8Array[] = [];
    m.wire.tap((f) => out.push(f));
    const header = m.udp(9, new Uint8Array(12)).slice(0, 54); // Ethernet, IP, then 20 bytes of TCP
    header[23] = 6;
    header.set([0, 80, 0, 81, 0, 0, 1, 0, 0, 0, 0, 0, 0x50, 0x19, 1, 0, 0, 0, 0, 0], 34); // sequence 256; FIN PSH ACK
    write16(header, 24, 0);
    write16(header, 50, onesSum(header, 26, 34, 6)); // pseudo-header without the length
    const data = new Uint8Array(54 + 2500);
    data.set(header);
    for (let i = 0; i < 2500; i++) data[54 + i] = i;
    m.ram.set(data, 0x8000);
    m.descriptor(0, 0, 0);
    m.ram.set([14, 24, 33, 0, 34, 50, 0, 0, 0xc4, 0x09, 0, 0x20 | 4 | 2 | 1, 0, 54, 1000 & 255, 1000 >> 8], TX);
    m.descriptor(0x8000, data.length | (0x10 << 16) | (0x2f << 24), 3 << 8);
    m.kick();
    m.clock.run(1e6);
    expect(out.map((f) => [f.length, read16(f, 16), new DataView(f.buffer).getUint32(38), f[47]])).toEqual([
      [1054, 1040, 256, 0x10], [1054, 1040, 1256, 0x10], [554, 540, 2256, 0x19],
    ]);
    for (const f of out) expect([onesSum(f, 14, 34), onesSum(f, 34, f.length, pseudoSum(f, 6, f.length - 34))]).toEqual([0xffff, 0xffff]);
  });

  it('ITR keeps interrupts apart', () => {
    const m = machine(), at: number[] = [];
    m.wr(R.ITR, 400); // 102.4 microseconds
    for (let i = 0; i < 3; i++) {
      m.send(m.udp(9, new Uint8Array(18)));
      m.clock.runUntil(m.irq);
      at.push(m.clock.now());
      m.rd(R.ICR);
    }
    expect(at[1] - at[0]).toBeGreaterThanOrEqual(102_400);
    expect(at[2] - at[1]).toBeGreaterThanOrEqual(102_400);
  });
});
