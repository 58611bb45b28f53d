/**
 * The x87 unit as its instructions see it: register stack, tags, status and control words, exceptions.
 *
 * SDM 1 chapter 8 "Programming with the x87 FPU", §8.1.3 "x87 FPU Status Register", §8.5 "x87 FPU Floating-Point Exception
 * Conditions"; APM 1 §6 "x87 Floating-Point Programming". An unmasked exception sets ES; the next waiting instruction raises #MF.
 * Tags in the state are 0 (not empty) or 3 (empty) or what FLDENV loaded; the classes are computed when FNSTENV wants them.
 *
 * The instruction and data pointers are kept for every instruction, the opcode only when an exception is unmasked (SDM 1
 * §8.1.9.1 "Fopcode Compatibility Sub-mode", off).
 */

import type { Cpu } from '../cpu.js';
import { MF } from '../events.js';
import { EXTENDED, NAN, UNSUPPORTED, indefinite, quiet, unpack, type Unpacked } from '../fp/format.js';
import { DE, IE, PE, ZE, type Environment } from '../fp/round.js';
import type { InsnView } from '../insn-view.js';
import { CR0_NE, CS, S } from '../state.js';
import { requireX87 } from './sse-available.js';

export const C0 = 0x100, C1 = 0x200, C2 = 0x400, C3 = 0x4000, FSW_SF = 0x40, FSW_ES = 0x80, FSW_B = 0x8000, TOP = 0x3800, TOP_SHIFT = 11;
const ALL_EXCEPTIONS = 0x3f;
export const INDEFINITE = indefinite(EXTENDED);
/** State fields: emitted code has read the memory operand (then 1; the helper clears it), and what it read. */
export const MEMORY_READ = S.scratch + 40, MEMORY_VALUE = S.scratch + 48;
const PRECISION = [24, 64, 53, 64] as const;

/** Raises #MF when an unmasked exception waits. */
export function checkPending(cpu: Cpu): void {
  if ((cpu.s.get32(S.fsw) & FSW_ES) === 0) return;
  if ((cpu.s.cr0 & CR0_NE) === 0) cpu.notImplemented('an x87 exception reported through FERR# and IRQ 13 (CR0.NE is 0)');
  cpu.raise(MF);
}

/** ES and B follow from flags and masks. */
export function updateSummary(cpu: Cpu): void {
  const { s } = cpu;
  const fsw = s.get32(S.fsw);
  s.set32(S.fsw, fsw & ~s.get32(S.fcw) & ALL_EXCEPTIONS ? fsw | FSW_ES | FSW_B : fsw & ~(FSW_ES | FSW_B));
}

export class Fpu {
  private readonly s;

  /** Begins an x87 instruction: availability, waiting exceptions. Read memory operands next, then call `start`. */
  constructor(
    readonly cpu: Cpu,
    readonly insn: InsnView,
  ) {
    this.s = cpu.s;
    requireX87(cpu);
    checkPending(cpu);
  }
  /** No fault can follow: notes the instruction and operand addresses, clears C1 (FCOMI and FCMOV keep it). */
  start(clear = true): this {
    const { s, insn } = this;
    s.set64(S.fip, s.rip);
    s.set32(S.fcs, s.selector(CS));
    for (let i = 0; i < insn.opCount; i++)
      if (insn.isMemory(i)) {
        s.set64(S.fdp, insn.ea());
        s.set32(S.fds, s.selector(insn.segment));
      }
    if (clear) this.codes(0, C1);
    return this;
  }

  // ---- stack

  get top(): number {
    return (this.s.get32(S.fsw) >> TOP_SHIFT) & 7;
  }
  set top(v: number) {
    this.s.set32(S.fsw, (this.s.get32(S.fsw) & ~TOP) | ((v & 7) << TOP_SHIFT));
  }
  private physical(i: number): number {
    return (this.top + i) & 7;
  }
  isEmpty(i: number): boolean {
    return ((this.s.get32(S.ftw) >> (2 * this.physical(i))) & 3) === 3;
  }
  setEmpty(i: number): void {
    this.s.set32(S.ftw, this.s.get32(S.ftw) | (3 << (2 * this.physical(i))));
  }
  /** The 80 bits of ST(i). */
  get(i: number): bigint {
    const at = S.st + 16 * this.physical(i);
    return this.s.get64(at) | ((this.s.get64(at + 8) & 0xffffn) << 64n);
  }
  value(i: number): Unpacked {
    return unpack(EXTENDED, this.get(i));
  }
  put(i: number, bits: bigint): void {
    const p = this.physical(i), at = S.st + 16 * p;
    this.s.set64(at, BigInt.asUintN(64, bits));
    this.s.set64(at + 8, bits >> 64n);
    this.s.set32(S.ftw, this.s.get32(S.ftw) & ~(3 << (2 * p)));
  }
  push(bits: bigint): void {
    this.top = this.top - 1;
    this.put(0, bits);
  }
  pop(): void {
    this.setEmpty(0);
    this.top = this.top + 1;
  }

  // ---- control and status

  /** Sets the condition bits `set` and clears the rest of `mask`. */
  codes(set: number, mask: number): void {
    this.s.set32(S.fsw, (this.s.get32(S.fsw) & ~mask) | set);
  }
  get control(): number {
    return this.s.get32(S.fcw);
  }
  /** Significand bits that the arithmetic instructions round to. */
  get precision(): number {
    return PRECISION[(this.control >> 8) & 3]!;
  }
  environment(): Environment {
    return { rounding: (this.control >> 10) & 3, masks: this.control & ALL_EXCEPTIONS, daz: false, ftz: false, flags: 0, up: false };
  }
  /**
   * Posts flags. Returns false when an unmasked exception keeps the instruction from changing its destination and the stack:
   * invalid, denormal, divide by zero; with `memory` also overflow and underflow.
   */
  post(env: Environment, memory = false): boolean {
    const { cpu, s } = this;
    let { flags } = env;
    const unmasked = flags & ~env.masks & ALL_EXCEPTIONS;
    const early = unmasked & (IE | DE | ZE);
    if (early !== 0) flags &= IE | DE | ZE;
    const stopped = early !== 0 || (memory && (unmasked & ~PE) !== 0);
    // A store that does not happen is not inexact.
    if (stopped) flags &= ~PE;
    if (unmasked !== 0) this.noteOpcode();
    s.set32(S.fsw, s.get32(S.fsw) | flags);
    if (flags & PE && env.up) this.codes(C1, C1);
    updateSummary(cpu);
    return !stopped;
  }
  /** A stack fault. Returns true when it is masked: the destination becomes the indefinite value. */
  stackFault(overflow: boolean): boolean {
    this.codes(FSW_SF | (overflow ? C1 : 0), FSW_SF | C1);
    return this.post({ ...this.environment(), flags: IE });
  }
  /** FOP: the low three bits of the ESC byte and the ModRM byte. */
  private noteOpcode(): void {
    const { cpu, s } = this;
    let at = s.rip + s.get64(S.csBase);
    for (let n = 0; n < 14; n++, at++) {
      const byte = Number(cpu.readLinear(at, 1));
      if (byte < 0xd8 || byte > 0xdf) continue;
      s.set32(S.fop, ((byte & 7) << 8) | Number(cpu.readLinear(at + 1n, 1)));
      return;
    }
  }

  // ---- memory

  load(size: 2 | 4 | 8): bigint {
    const { u32, u64 } = this.cpu.m;
    if (u32[MEMORY_READ >>> 2] !== 0) {
      u32[MEMORY_READ >>> 2] = 0;
      return BigInt.asUintN(8 * size, u64[MEMORY_VALUE >>> 3]!);
    }
    return this.cpu.readSegment(this.insn.segment, this.insn.ea(), size);
  }
  load80(): bigint {
    const at = this.insn.ea();
    const low = this.cpu.readSegment(this.insn.segment, at, 8);
    return low | (this.cpu.readSegment(this.insn.segment, at + 8n, 2) << 64n);
  }
  store(size: 2 | 4 | 8, v: bigint): void {
    this.cpu.writeSegment(this.insn.segment, this.insn.ea(), size, v);
  }
  store80(v: bigint): void {
    const { segment } = this.insn, at = this.insn.ea();
    const far = at + 8n;
    // A fault in the far part must find the near part unwritten.
    this.cpu.writeSegment(segment, far, 2, this.cpu.readSegment(segment, far, 2));
    this.cpu.writeSegment(segment, at, 8, BigInt.asUintN(64, v));
    this.cpu.writeSegment(segment, far, 2, v >> 64n);
  }
}

/**
 * The result when an operand is a NaN or unsupported, else null. SDM 1 table 4-7: of two NaNs of a kind the larger significand,
 * then the positive one; a QNaN rather than an SNaN.
 */
export function nanResult(env: Environment, ...operands: Unpacked[]): bigint | null {
  if (operands.some((u) => u.kind === UNSUPPORTED)) {
    env.flags |= IE;
    return INDEFINITE;
  }
  const nans = operands.filter((u) => u.kind === NAN);
  if (nans.length === 0) return null;
  if (nans.some((u) => u.signalling)) env.flags |= IE;
  const quietOnes = nans.filter((u) => !u.signalling);
  const [a, b] = quietOnes.length > 0 ? quietOnes : nans;
  if (b === undefined) return quiet(EXTENDED, a!.bits);
  const fa = a!.bits & (2n ** 64n - 1n), fb = b.bits & (2n ** 64n - 1n);
  return quiet(EXTENDED, fa > fb || (fa === fb && !a!.sign) ? a!.bits : b.bits);
}
export const noteDenormals = (env: Environment, ...operands: Unpacked[]): void => {
  if (operands.some((u) => u.denormal)) env.flags |= DE;
};
