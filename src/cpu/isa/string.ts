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
import { allForms, insn, LEAVE, NEXT, opCodeInfo, type HelperResult, type InsnHelper } from '../insn.js';
import type { InsnView } from '../insn-view.js';
import { DF, ES, gprAddress, RAX, RCX, RDI, RSI, S, TF, ZF } from '../state.js';
import { setRegister } from './stack-pointer.js';
import { DONE, ELEMENTS_AT_ONCE, stringBody, type ElementBytes, type StringKind } from './string-inline.js';
import { copyElements, fillElements, moveElement, stretch, type Stretch } from './string-page.js';

/** The string instruction under way: there is one at a time. */
class StringRun {
  cpu!: Cpu;
  size = 0;
  width = 0;
  segment = 0;
  down = false;
  readonly source: Stretch = { at: 0, elements: 0, linearHi: 0, linearLo: 0, noted: false };
  readonly destination: Stretch = { at: 0, elements: 0, linearHi: 0, linearLo: 0, noted: false };

  begin(cpu: Cpu, insn: InsnView, size: number): void {
    this.cpu = cpu;
    this.size = size;
    this.width = insn.addressWidth;
    this.segment = insn.segment;
    this.down = (cpu.m.u32[S.rflagsRest >>> 2] & DF) !== 0;
  }
  private offset(register: number): bigint {
    return BigInt.asUintN(this.width, this.cpu.s.gpr(register));
  }
  /** rCX, exactly below 2^53 and near enough above. */
  get count(): number {
    const { u32 } = this.cpu.m;
    const w = gprAddress(RCX) >>> 2;
    return this.width === 16 ? u32[w] & 0xffff : this.width === 32 ? u32[w] : u32[w + 1] * 0x1_0000_0000 + u32[w];
  }
  /** Adds to a register at the address size. */
  add(register: number, change: number): void {
    const { u32 } = this.cpu.m;
    const w = gprAddress(register) >>> 2;
    const old = u32[w];
    const sum = old + change;
    if (this.width === 16) {
      u32[w] = (old & 0xffff_0000) | (sum & 0xffff);
      return;
    }
    u32[w] = sum;
    u32[w + 1] = this.width === 32 ? 0 : u32[w + 1] + Math.floor(sum / 0x1_0000_0000);
  }
  /** Moves a pointer register over `elements` elements. */
  advance(register: number, elements: number): void {
    this.add(register, this.down ? -elements * this.size : elements * this.size);
  }
  findSource(): boolean {
    return stretch(this.cpu, this.source, this.segment, RSI, this.size, this.width, this.down, false);
  }
  findDestination(write: boolean): boolean {
    return stretch(this.cpu, this.destination, ES, RDI, this.size, this.width, this.down, write);
  }
  /** `elements` of a stretch are gone through: who watches is told. Cycle mode: what caches and TLBs add. */
  charge(side: Stretch, elements: number, write: boolean): void {
    const { timing } = this.cpu;
    if (timing === null && !side.noted) return;
    const bytes = elements * this.size, back = this.down ? bytes - this.size : 0;
    if (side.noted) this.cpu.noteAccess(side.linearHi, side.linearLo - back, side.at - back, bytes, write);
    if (timing === null) return;
    const linear = (BigInt(side.linearHi) << 32n) | BigInt(side.linearLo);
    this.cpu.charge(timing.span(side.at - back, linear - BigInt(back), bytes, write));
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
const run = new StringRun();

/**
 * Does one or more elements, at most `most`, registers other than rCX included, and returns how many. `until` is the ZF
 * that ends a repetition of comparisons, undefined when nothing does; a step ends with the first element that gives it.
 */
type Step = (most: number, until: boolean | undefined) => number;

const movs: Step = (most) => {
  const { source, destination } = run;
  let done = 0;
  if (run.findDestination(true) && run.findSource()) {
    const n = Math.min(most, destination.elements, source.elements);
    done = copyElements(run.cpu.m.u8, destination.at, source.at, n, run.size, run.down);
    if (done > 0) {
      run.charge(source, done, false);
      run.charge(destination, done, true);
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

const stos: Step = (most) => {
  let done = 1;
  if (run.findDestination(true)) {
    done = Math.min(most, run.destination.elements);
    fillElements(run.cpu.m.u8, run.destination.at, done, run.size, gprAddress(RAX), run.down);
    run.charge(run.destination, done, true);
  } else run.writeDestination(BigInt.asUintN(run.size * 8, run.cpu.s.gpr(RAX)));
  run.advance(RDI, done);
  return done;
};

const lods: Step = () => {
  const { cpu, size } = run;
  if (run.findSource()) {
    moveElement(cpu.m.u8, gprAddress(RAX), run.source.at, size);
    if (size === 4) cpu.m.u32[(gprAddress(RAX) >>> 2) + 1] = 0;
    run.charge(run.source, 1, false);
  } else setRegister(cpu, RAX, size * 8, run.readSource());
  run.advance(RSI, 1);
  return 1;
};

/** Status flags of x - y, in the form that state.ts describes. */
function compareFlags(cpu: Cpu, x: bigint, y: bigint, width: number): void {
  const difference = BigInt.asUintN(width, x - y);
  const borrows = BigInt.asUintN(width, (~x & y) | ((~x | y) & difference));
  cpu.s.set64(S.flagsRes, BigInt.asUintN(64, BigInt.asIntN(width, difference)));
  // To the bit what setArithmeticFlags leaves.
  cpu.s.set64(S.flagsAux, width === 64 ? borrows & ~7n : (borrows << BigInt(64 - width)) | (borrows & 8n));
}

/** Value of `size` bytes at a linear-memory address. */
function valueAt(u8: Uint8Array, at: number, size: number): bigint {
  if (size === 1) return BigInt(u8[at]);
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
const comparison = (twoStrings: boolean): Step => (most, until) => {
  const { cpu, size, source, destination } = run;
  const { u8 } = cpu.m;
  let done = 1;
  if (run.findDestination(false) && (!twoStrings || run.findSource())) {
    const step = run.down ? -size : size;
    const other = twoStrings ? source.at : gprAddress(RAX);
    const otherStep = twoStrings ? step : 0;
    const n = Math.min(most, destination.elements, twoStrings ? source.elements : most);
    if (n > 1 && until !== undefined) done = Math.max(1, countWhile(u8, !until, destination.at, step, other, otherStep, n, size));
    run.charge(destination, done, false);
    if (twoStrings) run.charge(source, done, false);
    const last = done - 1;
    compareFlags(cpu, valueAt(u8, other + last * otherStep, size), valueAt(u8, destination.at + last * step, size), size * 8);
  } else {
    const x = twoStrings ? run.readSource() : BigInt.asUintN(size * 8, cpu.s.gpr(RAX));
    compareFlags(cpu, x, run.readDestination(), size * 8);
  }
  run.advance(RDI, done);
  if (twoStrings) run.advance(RSI, done);
  return done;
};
const cmps = comparison(true);
const scas = comparison(false);

/** Runs under a prefix: rCX counts down, at the address size. */
function repeat(step: Step, until: boolean | undefined): HelperResult {
  const { cpu } = run;
  let turn = (cpu.m.u32[S.rflagsRest >>> 2] & TF) !== 0 ? 1 : ELEMENTS_AT_ONCE - cpu.m.u32[DONE >>> 2]!;
  for (let left = run.count; left > 0; left = run.count) {
    if (turn === 0) return LEAVE;
    const done = step(Math.min(left, turn), until);
    turn -= done;
    run.add(RCX, -done);
    if (cpu.timing !== null) cpu.charge(cpu.timing.string(done * run.size));
    if (until !== undefined && ((cpu.s.rflags & ZF) !== 0) === until) break;
  }
  return NEXT;
}

const stringHelper = (size: number, step: Step, compares: boolean): InsnHelper => (cpu, insn) => {
  run.begin(cpu, insn, size);
  if (insn.hasRep || insn.hasRepne) return repeat(step, compares ? insn.hasRepne : undefined);
  step(1, undefined);
  return NEXT;
};

const STRINGS: readonly (readonly [name: string, mnemonics: readonly Mnemonic[], step: Step, kind: StringKind])[] = [
  ['MOVS', [Mnemonic.Movsb, Mnemonic.Movsw, Mnemonic.Movsd, Mnemonic.Movsq], movs, { source: true, destination: 'write' }],
  ['STOS', [Mnemonic.Stosb, Mnemonic.Stosw, Mnemonic.Stosd, Mnemonic.Stosq], stos, { source: false, destination: 'write' }],
  ['LODS', [Mnemonic.Lodsb, Mnemonic.Lodsw, Mnemonic.Lodsd, Mnemonic.Lodsq], lods, { source: true, destination: 'none' }],
  ['CMPS', [Mnemonic.Cmpsb, Mnemonic.Cmpsw, Mnemonic.Cmpsd, Mnemonic.Cmpsq], cmps, { source: true, destination: 'read' }],
  ['SCAS', [Mnemonic.Scasb, Mnemonic.Scasw, Mnemonic.Scasd, Mnemonic.Scasq], scas, { source: false, destination: 'read' }],
];
for (const [name, mnemonics, step, kind] of STRINGS) {
  for (const mnemonic of mnemonics) {
    for (const form of allForms(mnemonic)) {
      if (/xmm/.test(Code[form])) continue; // MOVSD and CMPSD of SSE2 share the mnemonic
      const size = ((opCodeInfo(form).operandSize || 8) / 8) as ElementBytes;
      insn(name, { forms: [form], body: stringBody(kind, size, stringHelper(size, step, kind.destination === 'read')) });
    }
  }
}
