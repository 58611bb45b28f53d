import { describe, expect, it } from 'vitest';
import { DB, DFV, EVENT_TYPE, GP, NP, TS } from '../events.js';
import { ACTIVITY, CS, DS, IF, NT, RF, S, SS, TF, VM } from '../state.js';
import { deliverEvent } from './delivery.js';
import { combine } from './exception-classes.js';
import { CODE, SEL, STACK, STACK0, STACK3, STACK_IST, SystemMachine, TSS } from './fixture.js';
import { setSegment } from './segments.js';

const UD2 = [0x0f, 0x0b];

describe('event delivery', () => {
  it('pushes FLAGS, CS and IP through the real-mode vector table', () => {
    const m = new SystemMachine('real');
    m.write16(0x21 * 4, 0x1234, 0x0100);
    m.s.rflags = IF | TF | 2;
    deliverEvent(m.vcpu, 0x21, EVENT_TYPE.softwareInterrupt, false, 0, 2);
    expect(m.stack(3, 2)).toEqual([CODE + 2, 0, IF | TF | 2]);
    expect([m.s.selector(CS), Number(m.s.rip), m.s.rflags]).toEqual([0x100, 0x1234, 2]);
  });

  it('switches to the level-0 stack of the TSS, with RF set in the image of a fault', () => {
    const m = new SystemMachine('protected');
    m.setLevel(3);
    m.s.rflags = IF | 2;
    m.exec(...UD2);
    expect(m.vector).toBe(6);
    expect(m.stack(5, 4)).toEqual([CODE, SEL.code3, IF | RF | 2, STACK3, SEL.data3]);
    expect([m.s.cpl, m.s.selector(SS), m.s.rflags & IF]).toEqual([0, SEL.data0, 0]);
    expect(m.reg(4)).toBe(STACK0 - 20);
  });

  it('keeps IF through a trap gate', () => {
    const m = new SystemMachine('protected');
    m.setGate(6, 0x8f);
    m.s.rflags = IF | NT | 2;
    m.exec(...UD2);
    expect([m.vector, m.s.rflags]).toEqual([6, IF | 2]);
  });

  it('refuses INT n below the DPL of the gate with #GP, IDT bit set and EXT clear', () => {
    const m = new SystemMachine('protected');
    m.setLevel(3);
    m.exec(0xcd, 0x06);
    expect([m.vector, m.stack(1, 4)[0]]).toEqual([GP, 6 * 8 + 2]);
  });

  it('sets EXT when an exception meets a gate that is not present', () => {
    const m = new SystemMachine('protected');
    m.setGate(6, 0x0e);
    m.exec(...UD2);
    expect([m.vector, m.stack(1, 4)[0]]).toEqual([NP, 6 * 8 + 3]);
  });

  it('makes a double fault of #NP while #GP is delivered, and shutdown of a third', () => {
    const m = new SystemMachine('protected');
    m.setGate(GP, 0x0e);
    m.s.set32(S.idtrLimit, 0xff);
    m.exec(0xcd, 0x40); // beyond the IDT: #GP
    expect([m.vector, m.stack(1, 4)[0]]).toEqual([DFV, 0]);
    const n = new SystemMachine('protected');
    n.s.set32(S.idtrLimit, 7);
    n.exec(0xcd, 0x40);
    expect(n.s.get32(S.activity)).toBe(ACTIVITY.shutdown);
  });

  it('reports a bad stack in the TSS as #TS with its selector', () => {
    const m = new SystemMachine('protected');
    m.write32(TSS + 8, SEL.data3); // DPL 3 for level 0
    m.setGate(TS, 0x85, SEL.tssB); // handled by a task: the stack of this one is useless
    m.write32(0x3800 + 0x20, 0x5000, 2);
    m.write32(0x3800 + 0x38, STACK);
    m.write32(0x3800 + 0x48, SEL.data0, SEL.code0, SEL.data0, SEL.data0, 0, 0);
    m.setLevel(3);
    m.exec(...UD2);
    expect([m.s.rip, m.s.selector(CS)]).toEqual([0x5000n, SEL.code0]);
    expect(m.stack(1, 4)).toEqual([(SEL.data3 & 0xfffc) | 1]);
  });

  it('aligns the stack in long mode and pushes SS:RSP even without a change of level', () => {
    const m = new SystemMachine('long');
    m.s.setGpr(4, BigInt(STACK - 3));
    m.exec(...UD2);
    expect(m.reg(4)).toBe(STACK - 16 - 40);
    expect(m.stack(5, 8)).toEqual([CODE, SEL.code0, RF | 2, STACK - 3, SEL.data0]);
  });

  it('takes the IST stack, loads a null SS with the new level, and wants a 64-bit handler', () => {
    const m = new SystemMachine('long');
    m.setGate(6, 0x8e, SEL.code0, 1);
    m.setLevel(3);
    m.exec(...UD2);
    expect([m.vector, m.reg(4), m.s.selector(SS), m.s.cpl]).toEqual([6, STACK_IST - 40, 0, 0]);
    const n = new SystemMachine('long');
    n.define(SEL.free, 0x00cf_9b00_0000_ffffn);
    n.setGate(6, 0x8e, SEL.free);
    n.exec(...UD2);
    expect([n.vector, n.stack(1, 8)[0]]).toEqual([GP, SEL.free | 1]);
  });

  it('leaves virtual-8086 mode for level 0 with all segments saved and cleared', () => {
    const m = new SystemMachine('protected');
    m.s.rflags = VM | IF | 2;
    m.s.set32(S.cpl, 3);
    for (let i = 0; i < 6; i++) setSegment(m.s, i, 0x100 + i, BigInt((0x100 + i) << 4), 0xffff, 0xf3);
    setSegment(m.s, CS, 0, 0n, 0xffff, 0xf3);
    m.vcpu.modeChanged();
    m.s.setGpr(4, 0xff0n);
    m.exec(...UD2);
    expect(m.vector).toBe(6);
    expect(m.stack(9, 4)).toEqual([CODE, 0, VM | RF | IF | 2, 0xff0, 0x102, 0x100, 0x103, 0x104, 0x105]);
    expect([m.s.selector(DS), m.s.rflags & VM]).toEqual([0, 0]);
  });

  it('single-steps: #DB after the instruction, BS set, TF clear in the handler', () => {
    const m = new SystemMachine('protected');
    m.s.rflags = TF | 2;
    m.exec(0x90);
    expect([m.vector, m.stack(3, 4)]).toEqual([DB, [CODE + 1, SEL.code0, TF | 2]]);
    expect([m.s.get32(S.dr + 48) & 0xf00f, m.s.rflags & TF]).toEqual([0x4000, 0]);
  });

  it('stops before the instruction at a code breakpoint, once: RF in the image lets it pass', () => {
    const m = new SystemMachine('protected');
    m.s.set64(S.dr, BigInt(CODE));
    m.s.set64(S.dr + 56, 0x401n);
    m.exec(0x90);
    expect([m.vector, m.stack(1, 4)[0], m.s.get32(S.dr + 48) & 0xf]).toEqual([DB, CODE, 1]);
    m.write32(m.reg(4) + 8, RF | 2);
    m.exec(0xcf); // IRET with RF set
    m.run(2);
    expect(m.s.rip).toBe(BigInt(CODE + 2)); // NOP and HLT ran
  });
});

describe('two exceptions', () => {
  it.each([
    [-1, GP, 'serial'], [6, 14, 'serial'], [GP, NP, 'double fault'], [GP, 14, 'serial'], [14, GP, 'double fault'], [14, 14, 'double fault'],
    [0, 10, 'double fault'], [DFV, GP, 'shutdown'], [DFV, 14, 'shutdown'], [GP, 6, 'serial'],
  ] as const)('%i then %i: %s', (first, second, outcome) => {
    expect(combine(first, second)).toBe(outcome);
  });
});

