import { describe, expect, it } from 'vitest';
import type { InterceptOp } from '../cpu/ports.js';
import { S } from '../cpu/state.js';
import { CONTROL_FIELDS, SAVE_FIELDS, VMCB } from './fields.js';
import { INTERCEPTS, MISC1, OPERATION_INTERCEPT, exitName } from './intercepts.js';
import { IOPM_PA, MSRPM_PA, fixture, type Fixture } from './fixture.js';

const wordOffset = (word: number): number => (word === MISC1 ? VMCB.INTERCEPT_MISC1 : VMCB.INTERCEPT_MISC2);

function inGuest(prepare: (f: Fixture) => void): Fixture {
  const f = fixture();
  prepare(f);
  f.enter();
  f.s.set64(S.nextRip, 0x7c02n);
  return f;
}
const set = (f: Fixture, word: number, bit: number): void => f.v.setU32(wordOffset(word), f.v.u32(wordOffset(word)) | (1 << bit));

describe('instruction intercepts', () => {
  it.each(Object.entries(OPERATION_INTERCEPT))('%s exits with the code of %s exactly when its bit is set', (op, name) => {
    const [word, bit, code] = INTERCEPTS[name];
    const f = inGuest((g) => set(g, word, bit));
    expect(f.svm.instruction(f.cpu, op as InterceptOp)).toBe(true);
    expect(f.v.u32(VMCB.EXITCODE)).toBe(code);
    expect(f.v.u64(VMCB.NRIP)).toBe(0x7c02n);
    if (op === 'VMRUN') return; // its bit must always be set
    const g = inGuest(() => undefined);
    expect(g.svm.instruction(g.cpu, op as InterceptOp)).toBe(false);
    expect(g.cpu.inGuest).toBe(true);
  });

  it('RDTSCP has exit code 87h', () => expect(INTERCEPTS.RDTSCP[2]).toBe(0x87));

  it('nothing is intercepted in the host', () => {
    const f = fixture();
    expect(f.svm.instruction(f.cpu, 'CPUID')).toBe(false);
  });

  it('every intercept bit is listed once and every code once', () => {
    const rows = Object.values(INTERCEPTS);
    expect(new Set(rows.map(([w, b]) => w * 32 + b)).size).toBe(rows.length);
    expect(new Set(rows.map(([, , c]) => c)).size).toBe(rows.length);
    expect(exitName(0x4e)).toBe('EXCP14');
  });

  it('fields do not overlap', () => {
    const used = new Set<number>();
    for (const [offset, size] of [...Object.values(CONTROL_FIELDS), ...Object.values(SAVE_FIELDS)])
      for (let i = 0; i < size; i++) used.add(offset + i);
    let total = 0;
    for (const [, size] of [...Object.values(CONTROL_FIELDS), ...Object.values(SAVE_FIELDS)]) total += size;
    expect(used.size).toBe(total);
  });

  it('the PAUSE filter lets as many pass as its count says', () => {
    const f = inGuest((g) => (set(g, ...(INTERCEPTS.PAUSE.slice(0, 2) as [number, number])), g.v.setU16(VMCB.PAUSE_FILTER_COUNT, 2)));
    expect([1, 2, 3].map(() => f.svm.instruction(f.cpu, 'PAUSE'))).toEqual([false, false, true]);
    expect(f.v.u16(VMCB.PAUSE_FILTER_COUNT)).toBe(2);
  });
});

describe('control and debug registers', () => {
  it('MOV to CR3 exits with 13h', () => {
    const f = inGuest((g) => g.v.setU16(VMCB.INTERCEPT_CR_WRITE, 1 << 3));
    expect(f.svm.crAccess(f.cpu, 3, 'read', 0, 0n)).toBe(false);
    expect(f.svm.crAccess(f.cpu, 3, 'write', 0, 0n)).toBe(true);
    expect(f.v.u32(VMCB.EXITCODE)).toBe(0x13);
  });

  it.each([
    ['write', 0x11n, false], // same value
    ['write', 0x1bn, false], // TS and MP (bit 1) change
    ['write', 0x15n, true], // EM changes
    ['lmsw', 0x11n, true],
    ['clts', 0n, false],
  ] as const)('selective CR0 write: %s %s -> %s', (kind, value, exits) => {
    const f = inGuest((g) => set(g, MISC1, INTERCEPTS.CR0_SEL_WRITE[1]));
    expect(f.svm.crAccess(f.cpu, 0, kind, 0, value)).toBe(exits);
    if (exits) expect(f.v.u32(VMCB.EXITCODE)).toBe(0x65);
  });

  it('the non-selective CR0 intercept goes first, and CLTS is a write', () => {
    const f = inGuest((g) => (set(g, MISC1, INTERCEPTS.CR0_SEL_WRITE[1]), g.v.setU16(VMCB.INTERCEPT_CR_WRITE, 1)));
    expect(f.svm.crAccess(f.cpu, 0, 'clts', 0, 0n)).toBe(true);
    expect(f.v.u32(VMCB.EXITCODE)).toBe(0x10);
  });

  it('MOV to DR7 exits with 37h, from DR6 with 26h', () => {
    const f = inGuest((g) => (g.v.setU16(VMCB.INTERCEPT_DR_WRITE, 1 << 7), g.v.setU16(VMCB.INTERCEPT_DR_READ, 1 << 6)));
    expect(f.svm.drAccess(f.cpu, 7, false)).toBe(false);
    expect(f.svm.drAccess(f.cpu, 7, true)).toBe(true);
    expect(f.v.u32(VMCB.EXITCODE)).toBe(0x37);
  });
});

describe('permission maps', () => {
  const iopmBit = (f: Fixture, port: number): void => {
    f.cpu.m.u8[f.cpu.phys.address(IOPM_PA + (port >> 3))]! |= 1 << (port & 7);
  };
  const io = (f: Fixture, port: number, size: 1 | 2 | 4): boolean => f.svm.io(f.cpu, port, size, true, false, false, false, 64, 3);

  it.each([
    [0x3f8, 0x3f8, 1, true],
    [0x3f9, 0x3f8, 1, false],
    [0x3fb, 0x3f8, 4, true],
    [0x3fc, 0x3f8, 4, false],
    [0x10000, 0xffff, 2, true], // the bits behind the last port
    [0x10002, 0xffff, 4, true],
  ] as const)('bit of port %s, access to %s of %s bytes -> %s', (marked, port, size, exits) => {
    const f = inGuest((g) => (set(g, MISC1, INTERCEPTS.IOIO[1]), iopmBit(g, marked)));
    expect(io(f, port, size)).toBe(exits);
  });

  it('EXITINFO1 of REP OUTSW with FS and 32-bit addresses', () => {
    const f = inGuest((g) => (set(g, MISC1, INTERCEPTS.IOIO[1]), iopmBit(g, 0x1f0)));
    expect(f.svm.io(f.cpu, 0x1f0, 2, false, true, true, false, 32, 4)).toBe(true);
    expect(f.v.u32(VMCB.EXITINFO1)).toBe(((0x1f0 << 16) | (4 << 10) | (1 << 8) | (1 << 5) | 8 | 4) >>> 0);
    expect(f.v.u64(VMCB.EXITINFO2)).toBe(0x7c02n);
  });

  it.each([
    [0x10, false, MSRPM_PA, 0x10 * 2],
    [0xc000_0080, true, MSRPM_PA + 0x800, 0x80 * 2 + 1],
    [0xc001_0117, false, MSRPM_PA + 0x1000, 0x117 * 2],
  ] as const)('MSR %s write=%s has its bit', (index, write, base, bit) => {
    const f = inGuest((g) => (set(g, MISC1, INTERCEPTS.MSR[1]), (g.cpu.m.u8[g.cpu.phys.address(base + (bit >> 3))]! |= 1 << (bit & 7))));
    expect(f.svm.msr(f.cpu, index, !write)).toBe(false);
    expect(f.svm.msr(f.cpu, index, write)).toBe(true);
    expect(f.v.u32(VMCB.EXITINFO1)).toBe(write ? 1 : 0);
  });

  it('an MSR that the map does not cover is intercepted', () => {
    const f = inGuest((g) => set(g, MISC1, INTERCEPTS.MSR[1]));
    expect(f.svm.msr(f.cpu, 0x4000_0000, false)).toBe(true);
  });
});
