import { describe, expect, it } from 'vitest';
import { frame, PACKET_BYTES, PacketReader, type Received } from './packets.js';

const bytes = (text: string): Uint8Array => Uint8Array.from(text, (c) => c.charCodeAt(0));
const read = (...pieces: string[]): Received[] => {
  const reader = new PacketReader();
  return pieces.flatMap((p) => [...reader.read(bytes(p))]);
};

describe('packets of the remote protocol', () => {
  it('come out of a stream wherever it is cut', () => {
    const text = '+$qSupported:xmlRegisters=i386#c1$g#67';
    const whole = read(text);
    expect(whole).toEqual([{ kind: 'ack' }, { kind: 'packet', text: 'qSupported:xmlRegisters=i386' }, { kind: 'packet', text: 'g' }]);
    for (let at = 1; at < text.length; at++) expect(read(text.slice(0, at), text.slice(at))).toEqual(whole);
  });

  // The manual's example: an empty reply is $#00.
  it('have the checksum of their escaped bytes', () => {
    expect(frame('')).toBe('$#00');
    expect(frame('OK')).toBe('$OK#9a');
    expect(frame('a}$#*')).toBe('$a}]}\x04}\x03}\n#c3');
    expect(read(frame('X10,4:}$#*'))).toEqual([{ kind: 'packet', text: 'X10,4:}$#*' }]);
  });

  it('with a wrong checksum are damaged, and the next one is read', () => {
    const got = read('$g#00$g#67', '$g#zz');
    expect(got.map((g) => g.kind)).toEqual(['damaged', 'packet', 'damaged']);
    expect(got[0]).toMatchObject({ what: 'a packet with 00 where the checksum is 67' });
  });

  it('begin again at a dollar sign, as after a sender that gave up', () => {
    expect(read('$m1000,', '$g#67')).toEqual([{ kind: 'packet', text: 'g' }]);
  });

  it('are heard with the interrupt byte between them', () => {
    expect(read('\x03')).toEqual([{ kind: 'interrupt' }]);
    expect(read('$c#63\x03')).toEqual([{ kind: 'packet', text: 'c' }, { kind: 'interrupt' }]);
  });

  it('end with the first byte that is no packet: another protocol', () => {
    expect(read('GET / HTTP/1.1\r\n', '$g#67')).toEqual([{ kind: 'garbage', what: 'a byte 0x47 between packets' }]);
  });

  it('are no longer than was announced, and keep no more than that', () => {
    expect(read(frame('x'.repeat(PACKET_BYTES)))[0]?.kind).toBe('packet');
    expect(read(`$${'x'.repeat(PACKET_BYTES + 1)}`)).toEqual([{ kind: 'garbage', what: `a packet of more than ${PACKET_BYTES} bytes` }]);
  });
});
