import { describe, expect, it } from 'vitest';
import { CODE, SystemMachine } from '../system/fixture.js';
import { ACTIVITY, S } from '../state.js';

const RBX = 3, AREA = 0x5_0000, CROSSING = 0x5_1f00, AREA_BYTES = 416;
const FXSAVE64 = [0x48, 0x0f, 0xae, 0x03], FXRSTOR64 = [0x48, 0x0f, 0xae, 0x0b];

function machine(): SystemMachine {
  const m = new SystemMachine('long'), { s } = m;
  s.set32(S.fcw, 0x27f);
  s.set32(S.fsw, 5 << 11);
  s.set32(S.ftw, 0xffff); // all empty, whatever they hold
  s.set32(S.mxcsr, 0x1fa0);
  for (let r = 0; r < 8; r++) {
    s.set64(S.st + 16 * r, 0x8000_0000_0000_0001n * BigInt(r + 1));
    s.set64(S.st + 16 * r + 8, BigInt(0x3fff + r));
  }
  for (let r = 0; r < 16; r++) {
    s.set64(S.xmm + 32 * r, 0x0101_0101_0101_0101n * BigInt(r + 1));
    s.set64(S.xmm + 32 * r + 8, BigInt(r) << 40n);
  }
  return m;
}
/** Executes the instruction on an area (and the HLT behind it). Returns the vector of what it raised, or -1. */
function at(m: SystemMachine, area: number, bytes: number[]): number {
  m.s.set32(S.activity, ACTIVITY.active);
  m.s.setGpr(RBX, BigInt(area));
  m.s.rip = BigInt(CODE);
  m.exec(...bytes);
  return m.vector;
}
const area = (m: SystemMachine, from: number): number[] => [...m.phys.read(from, AREA_BYTES)];

describe('FXSAVE and FXRSTOR', () => {
  it('store the same bytes piece by piece, at once, and across a page', () => {
    const m = machine();
    expect(at(m, AREA, FXSAVE64)).toBe(-1); // the page is not known yet
    const first = area(m, AREA);
    m.phys.write(AREA, new Uint8Array(AREA_BYTES));
    at(m, AREA, FXSAVE64); // now it is
    at(m, CROSSING, FXSAVE64);
    expect(area(m, AREA)).toEqual(first);
    expect(area(m, CROSSING)).toEqual(first);
    expect(first.slice(160 + 16 * 9, 160 + 16 * 9 + 8)).toEqual(Array<number>(8).fill(10));
    expect(m.read(AREA + 32, 8)).toBe(Number(BigInt.asUintN(64, 0x8000_0000_0000_0001n * 6n))); // ST(0) is physical register 5
  });

  it('load the same state piece by piece, at once, and across a page', () => {
    for (const [from, known] of [[AREA, false], [AREA, true], [CROSSING, true]] as const) {
      const m = machine();
      for (let i = 0; i < (known ? 2 : 1); i++) at(m, from, FXSAVE64);
      const saved = area(m, from);
      if (!known) m.vcpu.flushTlb('all');
      m.s.m.u8.fill(0, S.xmm, S.xmm + 512);
      m.s.m.u8.fill(0, S.st, S.st + 128);
      m.s.set32(S.mxcsr, 0x1f80);
      at(m, from, FXRSTOR64);
      at(m, 0x5_8000, FXSAVE64);
      expect(area(m, 0x5_8000)).toEqual(saved);
      expect(m.s.get64(S.xmm + 32 * 15)).toBe(0x1010_1010_1010_1010n);
    }
  });

  it('take nothing from an area whose MXCSR has a reserved bit', () => {
    const m = machine();
    at(m, AREA, FXSAVE64);
    at(m, AREA, FXSAVE64);
    m.write32(AREA + 24, 0x10000);
    m.s.set32(S.fcw, 0x37f);
    expect([at(m, AREA, FXRSTOR64), m.s.get32(S.fcw)]).toEqual([13, 0x37f]);
  });
});
