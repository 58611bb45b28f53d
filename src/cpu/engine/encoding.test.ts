/** What is remembered of an instruction holds for all that begin with its head: their records and prices are what decoding them gives. */

import { readFileSync } from 'node:fs';
import { Code, Decoder, DecoderError, DecoderOptions, Instruction } from 'iced-x86';
import { expect, it } from 'vitest';
import { randomBits } from '../../../test/support/random-bits.js';
import { BlockCost } from '../../timing/block-cost.js';
import { readTimingProfile } from '../../timing/profile.js';
import '../isa/index.js';
import { BITNESS, EncodingReader, type Encoding, fillRecord } from './encoding.js';
import type { HandlerInfo } from './handlers.js';

const blocks = new BlockCost(readTimingProfile(JSON.parse(readFileSync('profiles/nehalem-2008.json', 'utf8'))));
const PREFIXES = [0x66, 0x67, 0x48, 0x4d, 0x41, 0xf2, 0xf3, 0x64, 0x2e];

it.each([0, 1, 2] as const)('in mode %i', (mode) => {
  const { random } = randomBits(7), insn = new Instruction();
  const names = new Map<string, HandlerInfo>();
  const handler = (name: string): HandlerInfo => names.get(name) ?? names.set(name, {} as HandlerInfo).get(name)!;
  const reader = new EncodingReader(mode, (_, code, addressing) => handler(`${code} ${addressing}`), undefined, (i) => blocks.timed(i));
  const decode = (bytes: Uint8Array, off: number): Encoding | undefined => {
    const decoder = new Decoder(BITNESS[mode], bytes, DecoderOptions.None);
    decoder.ip = BigInt(off);
    decoder.decodeOut(insn);
    const e = decoder.lastError === DecoderError.None ? reader.read(insn, off, decoder, bytes, 0) : undefined;
    decoder.free();
    return e;
  };
  const record = (e: Encoding, off: number, bytes: Uint8Array): unknown[] => {
    const words = new Int32Array(16), way = fillRecord(words, 0, e, off, bytes, 0, true);
    return [way, ...words];
  };
  const wrong: string[] = [];
  let shared = 0;
  for (let n = 0; n < 6000; n++) {
    const bytes = Uint8Array.from({ length: 15 }, () => random(256));
    let at = 0;
    while (random(3) === 0 && at < 3) bytes[at++] = PREFIXES[random(PREFIXES.length)]!;
    if (random(4) === 0) bytes[at] = 0x0f;
    const e = decode(bytes, 0x123);
    if (e === undefined || e.head === e.length) continue;
    shared++;
    const other = bytes.slice(), off = random(4000);
    for (let i = e.head; i < e.length; i++) other[i] = [0, 0x7f, 0x80, 0xff, random(256)][random(5)]!;
    const o = decode(other, off);
    const of = (x: Encoding): unknown[] => [x.head, x.length, x.target, x.ends, x.timed, ...record(x, off, other)];
    if (o === undefined || o.handler !== e.handler || JSON.stringify(of(o)) !== JSON.stringify(of(e))) wrong.push(`${Code[insn.code]} ${Buffer.from(other).toString('hex')}`);
  }
  expect(wrong).toEqual([]);
  expect(shared).toBeGreaterThan(1000);
});
