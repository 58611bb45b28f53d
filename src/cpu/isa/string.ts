/**
 * MOVS STOS LODS CMPS SCAS, alone and with REP, REPE, REPNE.
 *
 * SDM 1 §7.3.9.2 "Repeated String Operations", SDM 2 and APM 3 under the mnemonics. A repetition keeps the registers exact
 * after every element, so a fault leaves RIP at the instruction and the registers at the element that faulted. After
 * ELEMENTS_AT_ONCE elements (one with TF set) it gives the run loop its turn, with RIP still at the instruction: that is
 * where interrupts come in. The limit counts elements and nothing else, so that it never depends on what is cached.
 */

import { Code, Mnemonic } from 'iced-x86';
import type { Cpu } from '../cpu.js';
import { allForms, helper, insn, LEAVE, NEXT, opCodeInfo, type HelperResult, type InsnHelper } from '../insn.js';
import type { InsnView } from '../insn-view.js';
import { DF, ES, gprAddress, RAX, RCX, RDI, RSI, S, TF, ZF } from '../state.js';
import { setRegister } from './stack-pointer.js';
import { copyElements, fillElements, stretch, type Stretch } from './string-page.js';

const ELEMENTS_AT_ONCE = 4096;

/** One string instruction under way. */
class StringRun {
  readonly width: number;
  readonly segment: number;
  readonly down: boolean;
  readonly source: Stretch = { at: 0, elements: 0, linear: 0n };
  readonly destination: Stretch = { at: 0, elements: 0, linear: 0n };
  constructor(readonly cpu: Cpu, insn: InsnView, readonly size: number) {
    this.width = insn.addressWidth;
    this.segment = insn.segment;
    this.down = (cpu.m.u32[S.rflagsRest >>> 2] & DF) !== 0;
  }

  offset(register: number): bigint {
    return BigInt.asUintN(this.width, this.cpu.s.gpr(register));
  }
  /** Moves a pointer register over `elements` elements. */
  advance(register: number, elements: number): void {
    const bytes = BigInt(elements * this.size);
    setRegister(this.cpu, register, this.width, this.cpu.s.gpr(register) + (this.down ? -bytes : bytes));
  }
  findSource(): Stretch {
    stretch(this.cpu, this.source, this.segment, this.offset(RSI), this.size, this.width, this.down, false);
    return this.source;
  }
  findDestination(write: boolean): Stretch {
    stretch(this.cpu, this.destination, ES, this.offset(RDI), this.size, this.width, this.down, write);
    return this.destination;
  }
  /** Cycle mode: what caches and TLBs add when `elements` of a stretch are gone through. */
  charge(side: Stretch, elements: number, write: boolean): void {
    const { timing } = this.cpu;
    if (timing === null) return;
    const bytes = elements * this.size, back = this.down ? bytes - this.size : 0;
    this.cpu.charge(timing.span(side.at - back, side.linear - BigInt(back), bytes, write));
  }
  readSource(): bigint {
    return this.cpu.readSegment(this.segment, this.offset(RSI), this.size);
  }
  readDestination(): bigint {
    return this.cpu.readSegment(ES, this.offset(RDI), this.size);
  }
  writeDestination(value: bigint): void {
    this.cpu.writeSegment(ES, this.offset(RDI), this.size, value);
  }
}

/**
 * Does one or more elements, at most `most`, registers other than rCX included, and returns how many. `until` is the ZF
 * that ends a repetition of comparisons, undefined when nothing does; a step ends with the first element that gives it.
 */
type Step = (run: StringRun, most: number, until: boolean | undefined) => number;

const movs: Step = (run, most) => {
  let done = 0;
  if (most > 1 && run.findDestination(true).elements > 0 && run.findSource().elements > 0) {
    const n = Math.min(most, run.destination.elements, run.source.elements);
    done = copyElements(run.cpu.m.u8, run.destination.at, run.source.at, n, run.size, run.down);
    if (done > 0) {
      run.charge(run.source, done, false);
      run.charge(run.destination, done, true);
    }
  }
  if (done === 0) {
    run.writeDestination(run.readSource());
    done = 1;
  }
  run.advance(RSI, done);
  run.advance(RDI, done);
  return done;
};

const stos: Step = (run, most) => {
  const value = BigInt.asUintN(run.size * 8, run.cpu.s.gpr(RAX));
  let done = 1;
  if (most > 1 && run.findDestination(true).elements > 0) {
    done = Math.min(most, run.destination.elements);
    fillElements(run.cpu.m.u8, run.destination.at, done, run.size, value, run.down);
    run.charge(run.destination, done, true);
  } else run.writeDestination(value);
  run.advance(RDI, done);
  return done;
};

const lods: Step = (run) => {
  setRegister(run.cpu, RAX, run.size * 8, run.readSource());
  run.advance(RSI, 1);
  return 1;
};

/** Status flags of x - y, in the form that state.ts describes. */
function compareFlags(cpu: Cpu, x: bigint, y: bigint, width: number): void {
  const difference = BigInt.asUintN(width, x - y);
  const borrows = BigInt.asUintN(width, (~x & y) | ((~x | y) & difference));
  cpu.s.set64(S.flagsRes, BigInt.asUintN(64, BigInt.asIntN(width, difference)));
  const top = BigInt.asUintN(64, borrows << BigInt(64 - width)) & 0xc000_0000_0000_0000n;
  cpu.s.set64(S.flagsAux, top | (borrows & 8n));
}

/** Value of `size` bytes at a linear-memory address. */
function valueAt(u8: Uint8Array, at: number, size: number): bigint {
  let v = 0n;
  for (let i = size - 1; i >= 0; i--) v = (v << 8n) | BigInt(u8[at + i]);
  return v;
}

/** How many of n elements from `a` equal (or, for `equal` false, differ from) those from `b`, before the first that does not. */
function countWhile(u8: Uint8Array, equal: boolean, a: number, aStep: number, b: number, bStep: number, n: number, size: number): number {
  for (let i = 0; i < n; i++) {
    let same = true;
    for (let k = 0; same && k < size; k++) same = u8[a + i * aStep + k] === u8[b + i * bStep + k];
    if (same !== equal) return i;
  }
  return n;
}

/** SCAS and CMPS. In a repetition, elements that do not end it are passed in one go; the flags are those of the last one. */
const comparison = (twoStrings: boolean): Step => (run, most, until) => {
  const { cpu, size } = run;
  const { u8 } = cpu.m;
  const width = size * 8;
  const pointers = twoStrings ? [RSI, RDI] : [RDI];
  if (most > 1 && until !== undefined && run.findDestination(false).elements > 0 && (!twoStrings || run.findSource().elements > 0)) {
    const step = run.down ? -size : size;
    const n = Math.min(most, run.destination.elements, twoStrings ? run.source.elements : most);
    const other = twoStrings ? run.source.at : gprAddress(RAX);
    const otherStep = twoStrings ? step : 0;
    const passed = countWhile(u8, !until, run.destination.at, step, other, otherStep, n, size);
    if (passed > 0) {
      run.charge(run.destination, passed, false);
      if (twoStrings) run.charge(run.source, passed, false);
      const last = passed - 1;
      compareFlags(cpu, valueAt(u8, other + last * otherStep, size), valueAt(u8, run.destination.at + last * step, size), width);
      for (const p of pointers) run.advance(p, passed);
      return passed;
    }
  }
  const x = twoStrings ? run.readSource() : BigInt.asUintN(width, cpu.s.gpr(RAX));
  const y = run.readDestination();
  compareFlags(cpu, x, y, width);
  for (const p of pointers) run.advance(p, 1);
  return 1;
};
const cmps = comparison(true);
const scas = comparison(false);

/** Runs under a prefix: rCX counts down, at the address size. */
function repeat(run: StringRun, step: Step, until: boolean | undefined): HelperResult {
  const { cpu } = run;
  let turn = (cpu.m.u32[S.rflagsRest >>> 2] & TF) !== 0 ? 1 : ELEMENTS_AT_ONCE;
  let left = run.offset(RCX);
  while (left > 0n) {
    if (turn === 0) return LEAVE;
    const done = step(run, left < BigInt(turn) ? Number(left) : turn, until);
    turn -= done;
    left -= BigInt(done);
    if (cpu.timing !== null) cpu.charge(cpu.timing.string(done * run.size));
    setRegister(cpu, RCX, run.width, left);
    if (until !== undefined && ((cpu.s.rflags & ZF) !== 0) === until) break;
  }
  return NEXT;
}

const stringHelper = (size: number, step: Step, compares: boolean): InsnHelper => (cpu, insn) => {
  const run = new StringRun(cpu, insn, size);
  if (insn.hasRep || insn.hasRepne) return repeat(run, step, compares ? insn.hasRepne : undefined);
  step(run, 1, undefined);
  return NEXT;
};

const STRINGS: readonly (readonly [name: string, mnemonics: readonly Mnemonic[], step: Step, compares: boolean])[] = [
  ['MOVS', [Mnemonic.Movsb, Mnemonic.Movsw, Mnemonic.Movsd, Mnemonic.Movsq], movs, false],
  ['STOS', [Mnemonic.Stosb, Mnemonic.Stosw, Mnemonic.Stosd, Mnemonic.Stosq], stos, false],
  ['LODS', [Mnemonic.Lodsb, Mnemonic.Lodsw, Mnemonic.Lodsd, Mnemonic.Lodsq], lods, false],
  ['CMPS', [Mnemonic.Cmpsb, Mnemonic.Cmpsw, Mnemonic.Cmpsd, Mnemonic.Cmpsq], cmps, true],
  ['SCAS', [Mnemonic.Scasb, Mnemonic.Scasw, Mnemonic.Scasd, Mnemonic.Scasq], scas, true],
];
for (const [name, mnemonics, step, compares] of STRINGS) {
  for (const mnemonic of mnemonics) {
    for (const form of allForms(mnemonic)) {
      if (/xmm/.test(Code[form])) continue; // MOVSD and CMPSD of SSE2 share the mnemonic
      const size = (opCodeInfo(form).operandSize || 8) / 8;
      insn(name, { forms: [form], body: helper(stringHelper(size, step, compares)) });
    }
  }
}
