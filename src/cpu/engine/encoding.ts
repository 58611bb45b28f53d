/**
 * What decoding gives of one instruction, wherever it lies: the fields of its record, its handler, and its price. iced-x86 decodes; this
 * file turns its instruction into the fields that handlers read.
 *
 * SDM 2A §2.1 "Instruction Format for Protected Mode, Real-Address Mode, and Virtual-8086 Mode", §2.2 "IA-32e Mode".
 */

import { Code, type Decoder, FlowControl, type Instruction, OpKind, Register, RegisterExt } from 'iced-x86';
import { ZERO_SLOT } from '../../mem/layout.js';
import { type InsnSpec, insnFor } from '../insn.js';
import type { EncodingSet } from '../isa/advertised.js';
import { CS, DS, ES, FS, GS, MODE, S, SEG, SS, gprAddress, segAddress } from '../state.js';
import { formOf } from './forms.js';
import type { HandlerInfo } from './handlers.js';
import type { Addressing } from './interpreter-builder.js';
import { R, RECORD_BYTES, RF_LOCK, RF_REP, RF_REPNE, RF_SAME_PAGE } from './record.js';

export const BITNESS = { [MODE.bits16]: 16, [MODE.bits32]: 32, [MODE.bits64]: 64 } as const;

/** Instructions that differ in nothing but numbers, wherever they lie. */
export interface Encoding {
  /** Bytes. */
  readonly length: number;
  /** Bytes that all of them begin with. A displacement and an immediate follow; where these matter otherwise, they are in the head. */
  readonly head: number;
  /** Bytes of the displacement behind the head, signed, and how many bits of it are used. */
  readonly dispSize: number;
  readonly dispBits: 16 | 32 | 64;
  /** Bytes of the immediate, or a branch's displacement, behind that. */
  readonly immSize: number;
  readonly immSigned: boolean;
  /** The record at offset 0, without handler, cost, and what is behind the head. */
  readonly words: Int32Array;
  readonly handler: HandlerInfo | 'invalid' | 'unknown' | 'marker';
  /** `branch`: a near relative branch, whose target may lie in its own page. `data`: a RIP-relative operand. `R.disp` follows from where it lies. */
  readonly target: 'fixed' | 'branch' | 'data';
  /** Of an encoding that is all head: what `R.disp` becomes is this, plus the offset of the next instruction. */
  readonly displacement: number;
  /** Control does not fall through. */
  readonly ends: boolean;
  /** The same bytes elsewhere are this instruction, too. */
  readonly anywhere: boolean;
  /** Cycle mode: what the timing core knows of it (EngineTiming.timed). */
  readonly timed: object | undefined;
}

const ENDS = new Set<number>([FlowControl.UnconditionalBranch, FlowControl.IndirectBranch, FlowControl.Return]);
const SEGMENTS: Record<number, number> = {
  [Register.ES]: ES, [Register.CS]: CS, [Register.SS]: SS, [Register.DS]: DS, [Register.FS]: FS, [Register.GS]: GS,
};
const HIGH_BYTE: Record<number, number> = { [Register.AH]: 0, [Register.CH]: 1, [Register.DH]: 2, [Register.BH]: 3 };
const SCALES: readonly number[] = [0, 0, 1, 0, 2, 0, 0, 0, 3];

type RegisterField = readonly [address: number, number: number];
const registerFields = new Map<number, RegisterField>();

/** Address of the state field of a register operand and its number; address 0 for registers that only helpers touch. */
function registerField(reg: number): RegisterField {
  let field = registerFields.get(reg);
  if (field === undefined) registerFields.set(reg, (field = findRegister(reg)));
  return field;
}
function findRegister(reg: number): RegisterField {
  if (reg in HIGH_BYTE) return [gprAddress(HIGH_BYTE[reg]!) + 1, HIGH_BYTE[reg]! + 4];
  const n = RegisterExt.number(reg);
  if (RegisterExt.isGPR(reg)) {
    const full = RegisterExt.number(RegisterExt.fullRegister(reg));
    return [gprAddress(full), full];
  }
  if (RegisterExt.isSegmentRegister(reg)) return [segAddress(n) + SEG.selector, n];
  if (RegisterExt.isXMM(reg)) return [S.xmm + 32 * n, n];
  if (RegisterExt.isMM(reg)) return [S.st + 16 * n, n];
  return [0, n];
}

/** The handler of an encoding that is described. */
export type HandlerOf = (spec: InsnSpec, code: number, addressing: Addressing, codeSize: 16 | 32 | 64) => HandlerInfo;

export class EncodingReader {
  private readonly v = new DataView(new ArrayBuffer(RECORD_BYTES));
  private readonly bits: 16 | 32 | 64;
  private target: Encoding['target'] = 'fixed';
  private displacement = 0;
  private anywhere = true;

  /** @param encodings the processor's encodings; absent: all that are described @param timed what the timing core wants to know; absent: functional mode */
  constructor(
    private readonly mode: number,
    private readonly handlerOf: HandlerOf,
    private readonly encodings: EncodingSet | undefined,
    private readonly timed: ((i: Instruction) => object) | undefined,
  ) {
    this.bits = BITNESS[mode as 0];
  }

  /** @param off offset at which `decoder` has decoded the instruction, @param bytes its bytes, from `from` on */
  read(i: Instruction, off: number, decoder: Decoder, bytes: Uint8Array, from: number): Encoding {
    const { v } = this;
    for (let o = 0; o < RECORD_BYTES; o += 4) v.setInt32(o, 0, true);
    this.target = 'fixed';
    this.displacement = 0;
    this.anywhere = i.code !== Code.INVALID;
    const { handler, ends } = this.fill(i, off), { length } = i;
    const whole: Encoding = {
      length, head: length, dispSize: 0, dispBits: 64, immSize: 0, immSigned: false, words: new Int32Array(v.buffer.slice(0)), handler,
      target: this.target, displacement: this.displacement, ends, anywhere: this.anywhere, timed: this.timed?.(i),
    };
    const layout = whole.anywhere && typeof handler !== 'string' ? layoutOf(i, decoder, this.bits) : undefined;
    if (layout === undefined) return whole;
    const e: Encoding = { ...whole, ...layout };
    // A rule that is wrong for the encoding is not used.
    this.place(this.expected, whole, off, bytes, from);
    this.place(this.found, e, off, bytes, from);
    return this.found.every((x, n) => x === this.expected[n]) ? e : whole;
  }
  private readonly expected = new Int32Array(WORDS);
  private readonly found = new Int32Array(WORDS);
  private place(words: Int32Array, e: Encoding, off: number, bytes: Uint8Array, from: number): void {
    fillRecord(words, 0, e, off, bytes, from, true);
  }

  private fill(i: Instruction, off: number): Pick<Encoding, 'handler' | 'ends'> {
    const { v } = this, { code } = i;
    v.setUint8(R.len, i.length);
    v.setUint16(R.code, code, true);
    const invalid = code === Code.INVALID || this.encodings?.has(code) === false;
    const spec = invalid ? undefined : insnFor(code);
    if (spec === undefined) return { handler: invalid ? 'invalid' : 'unknown', ends: true };
    v.setUint8(R.flags, (i.hasRepPrefix ? RF_REP : 0) | (i.hasRepnePrefix ? RF_REPNE : 0) | (i.hasLockPrefix ? RF_LOCK : 0));
    v.setUint8(R.operandWidth, formOf(code).operandWidth);
    v.setUint16(R.cost, 1, true);
    const addressing = this.operandFields(i, off);
    if (i.hasLockPrefix && (!spec.lockable || addressing === 'register')) return { handler: 'invalid', ends: true };
    this.branchTarget(i, off);
    if (isMarker(i)) return { handler: 'marker', ends: false };
    return { handler: this.handlerOf(spec, code, addressing, this.bits), ends: ENDS.has(i.flowControl) };
  }

  /** Registers, immediates and the memory operand; returns how the memory operand is addressed. */
  private operandFields(i: Instruction, off: number): Addressing {
    const { v } = this, { opCount } = i;
    let addressing: Addressing = 'register';
    let immediates = 0;
    v.setInt32(R.base, ZERO_SLOT, true);
    v.setInt32(R.index, ZERO_SLOT, true);
    v.setInt32(R.segBase, ZERO_SLOT, true);
    v.setUint8(R.addressWidth, this.bits);
    for (let k = 0; k < opCount; k++) {
      const kind = i.opKind(k);
      if (kind === OpKind.Register) {
        const [address, n] = registerField(i.opRegister(k));
        if (k < 3) v.setInt32(R.op + 4 * k, address, true);
        v.setUint8(R.reg + k, n);
      } else if (kind === OpKind.Memory) {
        addressing = this.memoryFields(i, off);
      } else if (kind >= OpKind.Immediate8 && kind <= OpKind.Immediate32to64) {
        if (immediates++ === 0) v.setBigUint64(R.imm, i.immediate(k), true);
        else v.setUint32(R.target, Number(i.immediate(k) & 0xffff_ffffn), true);
      } else if (kind >= OpKind.MemorySegSI && kind <= OpKind.MemoryESRDI) this.stringFields(i, kind);
      else if (kind === OpKind.FarBranch16 || kind === OpKind.FarBranch32) {
        v.setBigUint64(R.imm, BigInt(kind === OpKind.FarBranch16 ? i.farBranch16 : i.farBranch32), true);
        v.setUint32(R.target, i.farBranchSelector, true);
      }
    }
    return addressing;
  }

  private memoryFields(i: Instruction, off: number): Addressing {
    const { v } = this, { memoryBase: base, memoryIndex: index } = i;
    let disp = i.memoryDisplacement;
    const ripRelative = base === Register.RIP || base === Register.EIP;
    if (ripRelative) v.setInt32(R.base, S.codeBase, true);
    else if (base !== Register.None) v.setInt32(R.base, registerField(base)[0], true);
    if (index !== Register.None) v.setInt32(R.index, registerField(index)[0], true);
    // No registers and no 64-bit displacement: the size follows from the displacement's; iced says it in its own way.
    const width = this.addressWidth(i, base !== Register.None ? base : index);
    if (width !== 64 && !ripRelative) disp = BigInt.asUintN(width, disp);
    v.setBigUint64(R.disp, BigInt.asUintN(64, disp), true);
    if (base === Register.RIP) {
      this.target = 'data';
      this.displacement = Number(BigInt.asIntN(64, disp)) - off - i.length;
    } else if (ripRelative) this.anywhere = false; // cut to 32 bits by iced, where it lies
    v.setUint8(R.scale, SCALES[i.memoryIndexScale]!);
    v.setUint8(R.addressWidth, width);
    return this.segmentField(SEGMENTS[i.memorySegment]!, index === Register.None && width === 64);
  }
  private addressWidth(i: Instruction, reg: number): 16 | 32 | 64 {
    if (reg !== Register.None) {
      const size = RegisterExt.size(reg);
      return size === 8 ? 64 : size === 4 ? 32 : 16;
    }
    const d = i.memoryDisplSize;
    if (d === 8) return 64;
    if (d === 2) return 16;
    if (d === 4) return this.bits === 64 && !hasAddressPrefix(i) ? 64 : 32;
    return this.bits;
  }
  private segmentField(segment: number, simple: boolean): Addressing {
    const { v } = this;
    v.setUint8(R.segment, segment);
    if (this.mode !== MODE.bits64) {
      v.setInt32(R.segBase, segAddress(segment), true);
      return 'segmented';
    }
    const based = segment === FS || segment === GS;
    if (based) v.setInt32(R.segBase, segAddress(segment), true);
    return simple && !based ? 'flat' : 'full';
  }
  /** String operands: helpers want the segment and the address size. */
  private stringFields(i: Instruction, kind: number): void {
    const { v } = this;
    const wide = kind === OpKind.MemorySegRSI || kind === OpKind.MemorySegRDI || kind === OpKind.MemoryESRDI;
    const narrow = kind === OpKind.MemorySegSI || kind === OpKind.MemorySegDI || kind === OpKind.MemoryESDI;
    v.setUint8(R.addressWidth, wide ? 64 : narrow ? 16 : 32);
    const es = kind === OpKind.MemoryESDI || kind === OpKind.MemoryESEDI || kind === OpKind.MemoryESRDI;
    // With a source and a destination the source's segment is the one that can vary.
    if (!es) this.segmentField(SEGMENTS[i.memorySegment]!, false);
    else if (v.getInt32(R.segBase, true) === ZERO_SLOT && this.mode !== MODE.bits64) this.segmentField(ES, false);
  }

  /** Near relative branches: the target relative to what follows. */
  private branchTarget(i: Instruction, off: number): void {
    const kind = i.op0Kind;
    if (kind !== OpKind.NearBranch16 && kind !== OpKind.NearBranch32 && kind !== OpKind.NearBranch64) return;
    const width = kind === OpKind.NearBranch16 ? 16 : kind === OpKind.NearBranch32 ? 32 : 64;
    this.target = 'branch';
    this.displacement = Number(BigInt.asIntN(width, i.nearBranchTarget - BigInt(off + i.length)));
    this.v.setUint8(R.operandWidth, width);
  }
}

/**
 * Where the numbers of an instruction are that its handler and its price do not depend on; undefined: nowhere, or not for certain.
 * Immediates of 8 bits that are not extended stay in the head: what a shift by one reads and writes depends on it.
 */
function layoutOf(i: Instruction, decoder: Decoder, bits: number): Pick<Encoding, 'head' | 'dispSize' | 'dispBits' | 'immSize' | 'immSigned'> | undefined {
  let immediates = 0, immSigned = false;
  let dispBits: Encoding['dispBits'] = 64;
  for (let k = i.opCount - 1; k >= 0; k--) {
    const kind = i.opKind(k);
    if (NUMBERS.has(kind)) {
      immediates++;
      immSigned = SIGNED.has(kind);
    } else if (kind === OpKind.Memory) {
      const { memoryBase: base, memoryIndex: index } = i, reg = base !== Register.None ? base : index;
      // Without registers the value says what size the address has (`hasAddressPrefix`).
      if (reg === Register.None && bits === 64) return undefined;
      dispBits = base === Register.RIP ? 64 : reg !== Register.None ? ((RegisterExt.size(reg) * 8) as 64) : i.memoryDisplSize === 2 ? 16 : 32;
    } else if (kind !== OpKind.Register) return undefined;
  }
  const c = decoder.getConstantOffsets(i);
  const { hasDisplacement, hasImmediate, hasImmediate2 } = c, dispSize = hasDisplacement ? c.displacementSize : 0, immSize = hasImmediate ? c.immediateSize : 0;
  const head = i.length - dispSize - immSize, inOrder = (!hasDisplacement || c.displacementOffset === head) && (!hasImmediate || c.immediateOffset === head + dispSize);
  c.free();
  if (hasImmediate2 || !inOrder || immediates !== Number(hasImmediate) || dispSize > 4 || head === i.length) return undefined;
  return { head, dispSize, dispBits, immSize, immSigned };
}
const SIGNED = new Set<number>([
  OpKind.Immediate8to16, OpKind.Immediate8to32, OpKind.Immediate8to64, OpKind.Immediate32to64, OpKind.NearBranch16, OpKind.NearBranch32, OpKind.NearBranch64,
]);
const NUMBERS = new Set<number>([...SIGNED, OpKind.Immediate16, OpKind.Immediate32, OpKind.Immediate64]);

/** Words of a record. `R.off` is the low half of its word, `R.flags` the highest byte of the same. */
const WORDS = RECORD_BYTES / 4, OFF = R.off / 4, FLAGS = OFF, DISP = R.disp / 4, IMM = R.imm / 4;

/** A little-endian number of 1, 2 or 4 bytes, signed. */
function signed(bytes: Uint8Array, at: number, size: number): number {
  if (size === 1) return (bytes[at]! << 24) >> 24;
  const low = bytes[at]! | (bytes[at + 1]! << 8);
  return size === 2 ? (low << 16) >> 16 : low | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
}

/**
 * The record of an instruction at an offset of its page, but for its handler.
 * @param at index of its first word @param bytes its bytes, from `from` on @param inPage its page runs on behind it
 * @returns a relative branch's way from the next instruction to its target
 */
export function fillRecord(i32: Int32Array, at: number, e: Encoding, off: number, bytes: Uint8Array, from: number, inPage: boolean): number {
  i32.set(e.words, at);
  i32[at + OFF]! |= off;
  let way = e.displacement;
  if (e.dispSize !== 0) {
    const disp = signed(bytes, from + e.head, e.dispSize);
    if (e.target === 'data') way = disp;
    i32[at + DISP] = e.dispBits === 16 ? disp & 0xffff : disp;
    i32[at + DISP + 1] = e.dispBits === 64 && disp < 0 ? -1 : 0;
  }
  if (e.immSize !== 0) {
    const place = from + e.head + e.dispSize, imm = signed(bytes, place, Math.min(4, e.immSize));
    if (e.target === 'branch') way = imm;
    else {
      i32[at + IMM] = e.immSize === 2 && !e.immSigned ? imm & 0xffff : imm;
      i32[at + IMM + 1] = e.immSize === 8 ? signed(bytes, place + 4, 4) : e.immSigned && imm < 0 ? -1 : 0;
    }
  }
  if (e.target === 'fixed') return 0;
  const target = off + e.length + way;
  i32[at + DISP] = target | 0;
  i32[at + DISP + 1] = Math.floor(target / 0x1_0000_0000) | 0;
  if (e.target === 'data') return 0;
  if (inPage && target >= 0 && target < 4096) i32[at + FLAGS]! |= RF_SAME_PAGE << 24;
  return way;
}

/** XCHG BX,BX: does nothing, and is how a guest marks a point for the probe (see marker.ts). */
const isMarker = (i: Instruction): boolean =>
  i.code === Code.Xchg_rm16_r16 && i.op0Kind === OpKind.Register && i.op0Register === Register.BX && i.op1Register === Register.BX;

/** Does a 64-bit mode instruction without address registers have the address-size prefix? Then its address is cut to 32 bits. */
function hasAddressPrefix(i: Instruction): boolean {
  // iced reports displacement size 4 with and without the prefix; with it the displacement is zero-extended, without sign-extended.
  return i.memoryDisplacement === (i.memoryDisplacement & 0x7fff_ffffn) ? false : i.memoryDisplacement <= 0xffff_ffffn;
}
