import { describe, expect, it } from 'vitest';
import { GP, TS } from '../events.js';
import { CS, DS, FS, IF, IOPL_SHIFT, NT, RCX, S, SS, TR, VM } from '../state.js';
import { CODE, GDT, LDT, SEL, STACK0, STACK3, SystemMachine, TSS, TSS_B, descriptor, gate } from './fixture.js';

const le32 = (v: number): number[] => [v & 0xff, (v >> 8) & 0xff, (v >> 16) & 0xff, v >>> 24];
const le16 = (v: number): number[] => [v & 0xff, v >> 8];
const farCall = (selector: number): number[] => [0x9a, ...le32(0), ...le16(selector)];
const farJump = (selector: number, offset = 0): number[] => [0xea, ...le32(offset), ...le16(selector)];
const RSP = 4;

describe('far transfers', () => {
  it('JMP loads base and limit from the descriptor and sets its accessed bit', () => {
    const m = new SystemMachine('protected');
    m.define(SEL.free, descriptor(0x10_0000, 0xffff, 0x98, 4));
    m.exec(...farJump(SEL.free, 0x1234));
    expect([m.s.selector(CS), Number(m.s.rip), Number(m.s.segBase(CS)), m.s.segLimit(CS)]).toEqual([SEL.free, 0x1234, 0x10_0000, 0xffff]);
    expect(m.read(GDT + SEL.free + 5, 1)).toBe(0x99);
  });

  it.each([
    ['null selector', 0, 0n, GP, 0],
    ['beyond the table', 0x100, 0n, GP, 0x100],
    ['data segment', SEL.free, descriptor(0, 0xffff, 0x93, 4), GP, SEL.free],
    ['other privilege level', SEL.free | 3, descriptor(0, 0xffff, 0xfb, 4), GP, SEL.free],
    ['not present', SEL.free, descriptor(0, 0xffff, 0x1b, 4), 11, SEL.free],
    ['offset beyond the limit', SEL.free, descriptor(0, 0xf, 0x9b, 4), GP, 0],
  ])('JMP faults: %s', (_name, selector, d, vector, error) => {
    const m = new SystemMachine('protected');
    if (d !== 0n) m.define(SEL.free, d);
    m.exec(...farJump(selector, 0x100));
    expect([m.vector, m.stack(2, 4)]).toEqual([vector, [error, CODE]]);
  });

  it('CALL through a gate copies parameters to the inner stack, and RET n takes them off both', () => {
    const m = new SystemMachine('protected');
    m.define(SEL.free, gate(SEL.code0, 0x5000, 0xec, 2));
    m.setLevel(3);
    m.write32(STACK3 - 8, 0x1111, 0x2222);
    m.s.setGpr(RSP, BigInt(STACK3 - 8));
    m.exec(...farCall(SEL.free));
    expect([Number(m.s.rip), m.s.cpl, m.s.selector(SS)]).toEqual([0x5000, 0, SEL.data0]);
    expect(m.stack(6, 4)).toEqual([CODE + 7, SEL.code3, 0x1111, 0x2222, STACK3 - 8, SEL.data3]);
    m.s.set32(S.seg + 32 * DS + 16, SEL.data0);
    m.s.set32(S.seg + 32 * DS + 12, 0xc093);
    m.exec(0xca, 8, 0); // RET far 8
    expect([Number(m.s.rip), m.s.cpl, m.reg(RSP)]).toEqual([CODE + 7, 3, STACK3]);
    // DS was of level 0, FS of level 3.
    expect([m.s.selector(DS), m.s.selector(FS)]).toEqual([0, SEL.data3]);
  });

  it('CALL through a 64-bit gate pushes four quadwords on RSP0 and loads a null SS', () => {
    const m = new SystemMachine('long');
    m.define(SEL.free, gate(SEL.code0, 0x5000, 0xec), 1n);
    m.setLevel(3);
    m.write64(0xa000, (BigInt(SEL.free) << 32n) | 0n);
    m.s.setGpr(3, 0xa000n);
    m.exec(0xff, 0x1b); // CALL far [RBX]
    expect([m.s.rip, m.s.cpl, m.s.selector(SS)]).toEqual([0x1_0000_5000n, 0, 0]);
    expect(m.stack(4, 8)).toEqual([CODE + 2, SEL.code3, STACK3, SEL.data3]);
  });

  it('LSS loads SS and ESP together; a bad RPL is #GP(selector) and loads neither', () => {
    const m = new SystemMachine('protected');
    m.write32(0x8000, 0x7000, SEL.data0);
    m.s.setGpr(3, 0x8000n);
    m.exec(0x0f, 0xb2, 0x23);
    expect([m.reg(RSP), m.s.selector(SS)]).toEqual([0x7000, SEL.data0]);
    m.write32(0x8000, 0x6000, SEL.data3);
    m.exec(0x0f, 0xb2, 0x23);
    expect([m.vector, m.stack(1, 4)[0], m.reg(RSP)]).toEqual([GP, SEL.data3 & 0xfffc, 0x7000 - 16]);
  });
});

describe('IRET', () => {
  it('goes to virtual-8086 mode with nine doublewords', () => {
    const m = new SystemMachine('protected');
    m.s.setGpr(RSP, BigInt(STACK0 - 36));
    m.write32(STACK0 - 36, 0x10, 0x1000, VM | IF | 2, 0x80, 0x2000, 0x3000, 0x4000, 0x5000, 0x6000);
    m.exec(0xcf);
    expect([Number(m.s.rip), m.s.selector(CS), m.s.cpl, m.reg(RSP)]).toEqual([0x10, 0x1000, 3, 0x80]);
    expect([Number(m.s.segBase(CS)), Number(m.s.segBase(DS)), m.s.selector(FS)]).toEqual([0x1_0000, 0x4_0000, 0x5000]);
    expect(m.s.rflags).toBe((VM | IF | 2) >>> 0);
  });

  it('does not let level 3 change IF or IOPL', () => {
    const m = new SystemMachine('protected');
    m.setLevel(3);
    m.s.setGpr(RSP, BigInt(STACK3 - 12));
    m.write32(STACK3 - 12, 0x5000, SEL.code3, IF | (3 << IOPL_SHIFT) | 3);
    m.exec(0xcf);
    expect([Number(m.s.rip), m.s.rflags]).toEqual([0x5000, 3]);
  });

  it('in long mode with NT set is #GP(0)', () => {
    const m = new SystemMachine('long');
    m.s.rflags = NT | 2;
    m.exec(0x48, 0xcf);
    expect([m.vector, m.stack(1, 8)[0]]).toEqual([GP, 0]);
  });
});

describe('task switches', () => {
  const prepare = (): SystemMachine => {
    const m = new SystemMachine('protected');
    m.write32(TSS_B + 0x20, 0x5000, 2);
    m.write32(TSS_B + 0x28 + 4, 0x1234);
    m.write32(TSS_B + 0x38, STACK0);
    m.write32(TSS_B + 0x48, SEL.data0, SEL.code0, SEL.data0, SEL.data0, 0, 0, SEL.ldt);
    return m;
  };

  it('CALL nests: back link, NT, both busy; IRET returns and frees the inner one', () => {
    const m = prepare();
    m.exec(...farCall(SEL.tssB));
    expect([Number(m.s.rip), m.s.selector(TR), m.reg(RCX), m.s.rflags & NT]).toEqual([0x5000, SEL.tssB, 0x1234, NT]);
    expect([m.read(TSS_B, 2), m.read(GDT + SEL.tss + 5, 1), m.read(GDT + SEL.tssB + 5, 1)]).toEqual([SEL.tss, 0x8b, 0x8b]);
    expect(m.s.cr0 & 8).toBe(8);
    m.exec(0xcf);
    expect([Number(m.s.rip), m.s.selector(TR), m.s.rflags & NT]).toEqual([CODE + 7, SEL.tss, 0]);
    expect(m.read(GDT + SEL.tssB + 5, 1)).toBe(0x89);
    expect(m.read(TSS_B + 0x20, 4)).toBe(0x5001);
  });

  it('JMP frees the old task, and a busy target is #GP(selector)', () => {
    const m = prepare();
    m.exec(...farJump(SEL.tssB));
    expect([m.s.selector(TR), m.read(GDT + SEL.tss + 5, 1)]).toEqual([SEL.tssB, 0x89]);
    m.exec(...farJump(SEL.tssB));
    expect([m.vector, m.stack(1, 4)[0]]).toEqual([GP, SEL.tssB]);
  });

  it('a bad segment of the new task is #TS there, after the switch', () => {
    const m = prepare();
    m.write32(TSS_B + 0x50, SEL.data3); // SS of level 3 for CS of level 0
    m.setGate(TS, 0x85, SEL.tss);
    m.exec(...farJump(SEL.tssB));
    // Its handler is the first task again, entered through a task gate with the error code on its stack.
    expect([m.s.selector(TR), m.read(TSS, 2)]).toEqual([SEL.tss, SEL.tssB]);
    expect(m.stack(1, 4)[0]).toBe(SEL.data3 & 0xfffc);
  });

  it('loads the LDT, whose segments are usable at once', () => {
    const m = prepare();
    m.write64(LDT + 8, descriptor(0x1_0000, 0xffff, 0x93, 4));
    m.write32(TSS_B + 0x54, 0x0c); // DS in the LDT
    m.exec(...farJump(SEL.tssB));
    expect([m.s.selector(DS), Number(m.s.segBase(DS))]).toEqual([0x0c, 0x1_0000]);
  });
});
