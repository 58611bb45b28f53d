import { expect, it } from 'vitest';
import { CS, RAX, RCX, RSP, S, SS } from '../state.js';
import { CODE, SEL, SystemMachine, descriptor } from '../system/fixture.js';

const CODE16 = SEL.free;

it('code of two sizes on one page is decoded once for each, and dropped together', () => {
  const m = new SystemMachine('protected');
  m.define(CODE16, descriptor(0, 0xffff, 0x9b, 0));
  m.s.setGpr(RCX, 10n);
  // again: INC EAX (40); JMP FAR 16-bit code; there: INC AX (40); JMP FAR back to the DEC; DEC ECX; JNZ again; HLT
  const inner = CODE + 0x40;
  const back = CODE + 8;
  m.phys.write(CODE, Uint8Array.of(0x40, 0xea, inner & 255, inner >> 8, 0, 0, CODE16, 0, 0x49, 0x75, 0xf5, 0xf4));
  m.phys.write(inner, Uint8Array.of(0x40, 0x66, 0xea, back & 255, back >> 8, 0, 0, SEL.code0, 0));
  m.run(1000);
  const { cache } = m.vcpu.engine;
  expect([m.reg(RAX), cache.stats.pages, cache.stats.dropped]).toEqual([20, 2, 0]);
  // Three bytes of NOP where INC AX was, written by the machine: both sizes see it.
  m.vcpu.writePhys(inner, 1, 0x90n);
  expect([cache.stats.dropped, cache.isCodePage(CODE >>> 12)]).toEqual([1, false]);
  m.s.set32(S.activity, 0);
  m.s.setGpr(RCX, 10n);
  m.s.setGpr(RAX, 0n);
  m.s.rip = BigInt(CODE);
  m.run(1000);
  expect([m.reg(RAX), m.s.selector(CS), m.s.selector(SS) !== 0, m.reg(RSP) !== 0]).toEqual([10, SEL.code0, true, true]);
});
