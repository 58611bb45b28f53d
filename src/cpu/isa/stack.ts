/**
 * PUSH POP (not POP to segment registers) PUSHA POPA ENTER LEAVE. SDM 2 and APM 3, under those names. No flags.
 *
 * Invariant: RSP and RBP change only when no fault can follow.
 */

import { Code, Mnemonic } from 'iced-x86';
import type { Cpu } from '../cpu.js';
import { allForms, helper, insn, NEXT, type InsnHelper } from '../insn.js';
import { CS, DS, ES, FS, GS, RAX, RBP, RDI, RSP, SEG, segAddress, SS } from '../state.js';
import { setRegister, stackAt, stackWidth } from './stack-pointer.js';

const PUSH_SREG: readonly (readonly [segment: number, width: 16 | 32 | 64, form: number])[] = [
  [ES, 16, Code.Pushw_ES], [ES, 32, Code.Pushd_ES], [CS, 16, Code.Pushw_CS], [CS, 32, Code.Pushd_CS],
  [SS, 16, Code.Pushw_SS], [SS, 32, Code.Pushd_SS], [DS, 16, Code.Pushw_DS], [DS, 32, Code.Pushd_DS],
  [FS, 16, Code.Pushw_FS], [FS, 32, Code.Pushd_FS], [FS, 64, Code.Pushq_FS],
  [GS, 16, Code.Pushw_GS], [GS, 32, Code.Pushd_GS], [GS, 64, Code.Pushq_GS],
];
const pushSregForms = PUSH_SREG.map(([, , form]) => form);

insn('PUSH', {
  forms: allForms(Mnemonic.Push).filter((form) => !pushSregForms.includes(form)),
  body: (s, src) => s.push(src.read()),
});
for (const [segment, width, form] of PUSH_SREG) {
  insn('PUSH Sreg', {
    forms: [form],
    body: (s) => {
      const selector = s.getState(segAddress(segment) + SEG.selector, 32);
      s.push(width === 16 ? s.trunc(selector, 16) : width === 64 ? s.zext(selector, 64) : selector);
    },
  });
}

/** POP to memory: the manual computes the address with RSP already moved. */
const popMemory: InsnHelper = (cpu, insn) => {
  const size = insn.operandWidth / 8;
  const width = stackWidth(cpu);
  const old = cpu.s.gpr(RSP);
  const value = cpu.readSegment(SS, BigInt.asUintN(width, old), size);
  const movedRsp = old + BigInt(size);
  setRegister(cpu, RSP, width, movedRsp);
  const offset = insn.ea();
  cpu.s.setGpr(RSP, old);
  cpu.writeSegment(insn.segment, offset, size, value);
  setRegister(cpu, RSP, width, movedRsp);
  return NEXT;
};

insn('POP', {
  forms: [Code.Pop_r16, Code.Pop_r32, Code.Pop_r64, Code.Pop_rm16, Code.Pop_rm32, Code.Pop_rm64],
  body: (s, dst) => {
    if (dst.isMemory) s.helper(popMemory);
    else dst.write(s.pop(dst.width as 16 | 32 | 64));
  },
});

insn('LEAVE', {
  forms: allForms(Mnemonic.Leave),
  perMode: true,
  body: (s) => {
    const width = s.operandWidth as 16 | 32 | 64;
    const frame = stackAt(s, RBP);
    const caller = s.load(SS, frame.offset, width);
    frame.setRsp(s.add(frame.offset, s.c(64, width / 8)));
    s.setReg(RBP, caller);
  },
});

/** Pushes in a helper: keeps the offset to itself until `commit`. */
class Pusher {
  private readonly width: 16 | 32 | 64;
  private top: bigint;
  constructor(private readonly cpu: Cpu, private readonly size: number) {
    this.width = stackWidth(cpu);
    this.top = BigInt.asUintN(this.width, cpu.s.gpr(RSP));
  }
  get offset(): bigint {
    return this.top;
  }
  /** `offset` cut to the stack's width. */
  at(offset: bigint): bigint {
    return BigInt.asUintN(this.width, offset);
  }
  push(value: bigint): void {
    this.reserve(this.size);
    this.cpu.writeSegment(SS, this.top, this.size, BigInt.asUintN(this.size * 8, value));
  }
  reserve(bytes: number): void {
    this.top = this.at(this.top - BigInt(bytes));
  }
  commit(): void {
    setRegister(this.cpu, RSP, this.width, this.top);
  }
}

const pusha: InsnHelper = (cpu, insn) => {
  const stack = new Pusher(cpu, insn.operandWidth / 8);
  for (let r = RAX; r <= RDI; r++) stack.push(cpu.s.gpr(r)); // RSP among them as it was before
  stack.commit();
  return NEXT;
};
insn('PUSHA', { forms: [Code.Pushaw, Code.Pushad], body: helper(pusha) });

const popa: InsnHelper = (cpu, insn) => {
  const size = insn.operandWidth / 8;
  const width = stackWidth(cpu);
  const top = cpu.s.gpr(RSP);
  const at = (i: number) => BigInt.asUintN(width, top + BigInt(i * size));
  const values: bigint[] = [];
  for (let i = 0; i < 8; i++) values.push(cpu.readSegment(SS, at(i), size));
  for (let i = 0; i < 8; i++) if (RDI - i !== RSP) setRegister(cpu, RDI - i, size * 8, values[i]);
  setRegister(cpu, RSP, width, top + BigInt(8 * size));
  return NEXT;
};
insn('POPA', { forms: [Code.Popaw, Code.Popad], body: helper(popa) });

const enter: InsnHelper = (cpu, insn) => {
  const size = insn.operandWidth / 8;
  const level = Number(insn.immediate(1)) & 31;
  const stack = new Pusher(cpu, size);
  stack.push(cpu.s.gpr(RBP));
  const frame = stack.offset;
  let link = cpu.s.gpr(RBP);
  for (let i = 1; i < level; i++) {
    link -= BigInt(size);
    stack.push(cpu.readSegment(SS, stack.at(link), size));
  }
  if (level > 0) stack.push(frame);
  stack.reserve(Number(insn.immediate(0)));
  // The manual: ENTER faults when a write at the final stack pointer would.
  cpu.writeSegment(SS, stack.offset, size, cpu.readSegment(SS, stack.offset, size));
  stack.commit();
  setRegister(cpu, RBP, size * 8, frame);
  return NEXT;
};
insn('ENTER', { forms: allForms(Mnemonic.Enter), body: helper(enter) });
