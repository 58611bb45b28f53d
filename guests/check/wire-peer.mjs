// The other end of the wire, for checking guests under QEMU: frames in UDP datagrams (-netdev dgram or socket,udp=).
//
//   node guests/check/wire-peer.mjs LOCAL-PORT REMOTE-PORT
//   qemu ... -netdev socket,id=n,udp=127.0.0.1:LOCAL-PORT,localaddr=127.0.0.1:REMOTE-PORT -device e1000,netdev=n
//
// Speaks ARP and UDP as 10.0.2.2: port 9 counts and sums (and answers "XQRY"), 7 echoes, 19 sends a stream ("XSRC").
// The product's own peer lives in src/devices; this one exists so that guests are checked against something else.

import { createSocket } from 'node:dgram';

const [localPort, remotePort] = process.argv.slice(2).map(Number);
const MAC = Buffer.from([0x52, 0x54, 0, 0, 0, 2]);
const IP = Buffer.from([10, 0, 2, 2]);
const socket = createSocket('udp4');
const sink = { frames: 0n, bytes: 0n, checksum: 14695981039346656037n };

const send = (frame) => socket.send(frame, remotePort, '127.0.0.1');

function ipChecksum(header) {
  let sum = 0;
  for (let i = 0; i < header.length; i += 2) sum += header.readUInt16BE(i);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

function datagram(request, fromPort, payload) {
  const frame = Buffer.alloc(42 + payload.length);
  request.copy(frame, 0, 6, 12);
  MAC.copy(frame, 6);
  frame.writeUInt16BE(0x0800, 12);
  frame[14] = 0x45;
  frame.writeUInt16BE(28 + payload.length, 16);
  frame[22] = 64;
  frame[23] = 17;
  IP.copy(frame, 26);
  request.copy(frame, 30, 26, 30);
  frame.writeUInt16BE(ipChecksum(frame.subarray(14, 34)), 24);
  frame.writeUInt16BE(fromPort, 34);
  frame.writeUInt16BE(request.readUInt16BE(34), 36);
  frame.writeUInt16BE(8 + payload.length, 38);
  payload.copy(frame, 42);
  return frame;
}

function arp(request) {
  if (request.readUInt16BE(20) !== 1 || !request.subarray(38, 42).equals(IP)) return;
  const reply = Buffer.from(request.subarray(0, 42));
  request.copy(reply, 0, 6, 12);
  MAC.copy(reply, 6);
  reply.writeUInt16BE(2, 20);
  MAC.copy(reply, 22);
  IP.copy(reply, 28);
  request.copy(reply, 32, 22, 32);
  send(reply);
}

function count(payload) {
  sink.frames++;
  sink.bytes += BigInt(payload.length);
  for (let i = 0; i < payload.length; i += 8) {
    const word = Buffer.alloc(8);
    payload.copy(word, 0, i, i + 8);
    sink.checksum = BigInt.asUintN(64, (sink.checksum ^ word.readBigUInt64LE()) * 1099511628211n);
  }
}

function answerQuery(request) {
  const payload = Buffer.alloc(24);
  [sink.frames, sink.bytes, sink.checksum].forEach((value, i) => payload.writeBigUInt64LE(value, 8 * i));
  send(datagram(request, 9, payload));
}

function stream(request, payload) {
  const [total, size] = [payload.readUInt32LE(4), payload.readUInt32LE(8)];
  const burst = (from) => {
    for (let i = from; i < Math.min(from + 16, total); i++) {
      const words = Uint32Array.from({ length: (size + 3) >> 2 }, (_, w) => (w === 0 ? i : Math.imul(i, 0x9e3779b1) + w));
      send(datagram(request, 19, Buffer.from(words.buffer, 0, size)));
    }
    if (from + 16 < total) setTimeout(burst, 2, from + 16); // the emulator's socket holds only so much
  };
  burst(0);
}

socket.on('message', (frame) => {
  const type = frame.readUInt16BE(12);
  if (type === 0x0806) return arp(frame);
  if (type !== 0x0800 || frame[23] !== 17) return;
  const payload = frame.subarray(42, 34 + frame.readUInt16BE(38));
  const port = frame.readUInt16BE(36);
  if (port === 7) send(datagram(frame, 7, payload));
  if (port === 9) payload.toString('latin1', 0, 4) === 'XQRY' ? answerQuery(frame) : count(payload);
  if (port === 19 && payload.toString('latin1', 0, 4) === 'XSRC') stream(frame, payload);
});
socket.bind(localPort, '127.0.0.1');
