/**
 * From bytes to records. iced-x86 decodes; this file turns its instruction into the fields that handlers read.
 *
 * A run is decoded from one entry point until control cannot fall through, an instruction that is already decoded follows, or
 * the page ends. An instruction that crosses the page's end becomes a `straddle` record: the run loop executes it alone.
 */

import { Code, Decoder, DecoderError, FlowControl, Instruction, OpKind, Register, RegisterExt } from 'iced-x86';
import type { LinearMemory } from '../../mem/linear-memory.js';
import { ZERO_SLOT } from '../../mem/layout.js';
import type { EncodingSet } from '../isa/advertised.js';
import { insnFor } from '../insn.js';
import { CS, DS, ES, FS, GS, MODE, S, SEG, SS, gprAddress, segAddress } from '../state.js';
import type { CodeCache } from './code-cache.js';
import { formOf } from './forms.js';
import type { Handlers } from './handlers.js';
import type { Addressing } from './interpreter-builder.js';
import { PAGE_HEADER, R, RECORD_BYTES, RF_HINT_SHIFT, RF_LOCK, RF_REP, RF_REPNE, RF_SAME_PAGE } from './record.js';

const BITNESS = { [MODE.bits16]: 16, [MODE.bits32]: 32, [MODE.bits64]: 64 } as const;
const MAX_RUN = 512;
const NO_MORE_BYTES = DecoderError.NoMoreBytes;
const ENDS = new Set<number>([FlowControl.UnconditionalBranch, FlowControl.IndirectBranch, FlowControl.Return]);
const SEGMENTS: Record<number, number> = {
  [Register.ES]: ES, [Register.CS]: CS, [Register.SS]: SS, [Register.DS]: DS, [Register.FS]: FS, [Register.GS]: GS,
};
const HIGH_BYTE: Record<number, number> = { [Register.AH]: 0, [Register.CH]: 1, [Register.DH]: 2, [Register.BH]: 3 };

/** Address of the state field of a register operand and its number; address 0 for registers that only helpers touch. */
function registerField(reg: number): [number, number] {
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

interface RunTiming {
  schedule(run: readonly Instruction[], costs: Uint16Array, hints: Uint8Array): void;
}
const LINE = 64;

export class InstructionDecoder {
  private readonly insn = new Instruction();
  private readonly costs = new Uint16Array(MAX_RUN);
  private readonly hints = new Uint8Array(MAX_RUN);

  /** Called with a page structure and the offsets of instructions that have been entered in it. */
  onDecoded: ((page: number, offsets: readonly number[]) => void) | undefined;

  constructor(
    private readonly m: LinearMemory,
    private readonly cache: CodeCache,
    private readonly handlers: Handlers,
    /** Cycle mode: prices runs. */
    private readonly timing?: RunTiming,
    /** The processor's encodings; absent: all that are described. */
    private readonly encodings?: EncodingSet,
  ) {}

  /**
   * Decodes a run of the page and enters its instructions in the page structure.
   * @param bytesAt linear-memory address of the page @param off offset of the first instruction
   * @returns the first record
   */
  run(page: number, hpaPage: number, bytesAt: number, off: number, mode: number): number {
    const { u32, u8 } = this.m;
    const slots = (page + PAGE_HEADER) >>> 2;
    const bytes = u8.slice(bytesAt + off, bytesAt + 4096);
    const decoder = new Decoder(BITNESS[mode as 0], bytes, this.encodings?.decoderOptions ?? 0);
    decoder.ip = BigInt(off);
    const draft = new DataView(new ArrayBuffer(2 * (MAX_RUN + 1) * RECORD_BYTES));
    const offsets: number[] = []; // of instructions
    const places: number[] = []; // their places among the run's records
    const timed: Instruction[] = [];
    let at = off, count = 0;
    let join = 0, straddles = false;
    while (offsets.length < MAX_RUN) {
      if (at === 4096) break;
      if ((join = u32[slots + at]!) !== 0) break;
      decoder.decodeOut(this.insn);
      if (decoder.lastError === NO_MORE_BYTES) {
        straddles = true;
        break;
      }
      if (this.timing !== undefined) {
        timed.push(this.insn.clone());
        if (at !== off && Math.floor(at / LINE) !== Math.floor(offsets[offsets.length - 1]! / LINE)) this.line(draft, count++ * RECORD_BYTES, at);
      }
      const end = this.fill(draft, count * RECORD_BYTES, at, mode, 1);
      offsets.push(at);
      places.push(count++);
      at += this.insn.length;
      if (end) break;
    }
    decoder.free();
    if (this.timing !== undefined) this.price(this.timing, timed, draft, places);
    const first = this.cache.allocate(hpaPage, count + 1);
    u8.set(new Uint8Array(draft.buffer, 0, count * RECORD_BYTES), first);
    offsets.forEach((o, i) => (u32[slots + o] = first + places[i]! * RECORD_BYTES));
    this.last(first + count * RECORD_BYTES, at, straddles, join);
    if (straddles) {
      u32[slots + at] = first + count * RECORD_BYTES;
      offsets.push(at);
    }
    this.onDecoded?.(page, offsets);
    this.cache.cover(hpaPage, off, straddles ? 4096 : at);
    return first;
  }

  /** A record that fetches a new cache line before the instruction that follows it. */
  private line(v: DataView, at: number, off: number): void {
    v.setUint32(at + R.handler, this.handlers.base.line, true);
    v.setUint16(at + R.off, off, true);
  }
  private price(timing: RunTiming, run: Instruction[], v: DataView, places: readonly number[]): void {
    if (run.length === 0) return;
    timing.schedule(run, this.costs, this.hints);
    places.forEach((p, i) => {
      const at = p * RECORD_BYTES;
      v.setUint16(at + R.cost, this.costs[i]!, true);
      v.setUint8(at + R.flags, v.getUint8(at + R.flags) | (this.hints[i]! << RF_HINT_SHIFT));
    });
    for (const i of run) i.free();
  }

  /** The record behind a run. */
  private last(record: number, off: number, straddles: boolean, join: number): void {
    const { u32, u16 } = this.m;
    const { base } = this.handlers;
    u32.fill(0, record >>> 2, (record + RECORD_BYTES) >>> 2);
    u32[record >>> 2] = straddles ? base.straddle : join !== 0 ? base.goto : base.pageEnd;
    u16[(record + R.off) >>> 1] = off;
    u32[(record + R.target) >>> 2] = join;
  }

  /**
   * Decodes one instruction from up to 15 bytes into the record at `record`, with a `pageEnd` record behind it.
   * @returns false when the bytes are not enough
   */
  single(bytes: Uint8Array, record: number, off: number, mode: number): boolean {
    const decoder = new Decoder(BITNESS[mode as 0], bytes, this.encodings?.decoderOptions ?? 0);
    decoder.ip = BigInt(off);
    decoder.decodeOut(this.insn);
    const short = decoder.lastError === NO_MORE_BYTES;
    decoder.free();
    if (short) return false;
    this.fill(this.m.view, record, off, mode, 0);
    if (this.timing !== undefined) {
      const copy = this.insn.clone();
      this.price(this.timing, [copy], new DataView(this.m.view.buffer, record, RECORD_BYTES), [0]);
    }
    this.last(record + RECORD_BYTES, off + this.insn.length, false, 0);
    return true;
  }

  /** Fills one record from `this.insn`. Returns true when control does not fall through. */
  private fill(v: DataView, at: number, off: number, mode: number, samePage: 0 | 1): boolean {
    const i = this.insn;
    for (let o = 0; o < RECORD_BYTES; o += 8) v.setBigInt64(at + o, 0n, true);
    v.setUint16(at + R.off, off, true);
    v.setUint8(at + R.len, i.length);
    v.setUint16(at + R.code, i.code, true);
    const invalid = i.code === Code.INVALID || this.encodings?.has(i.code) === false;
    const spec = invalid ? undefined : insnFor(i.code);
    if (spec === undefined) {
      v.setUint32(at + R.handler, invalid ? this.handlers.base.invalid : this.handlers.base.unknown, true);
      return true;
    }
    v.setUint8(at + R.flags, (i.hasRepPrefix ? RF_REP : 0) | (i.hasRepnePrefix ? RF_REPNE : 0) | (i.hasLockPrefix ? RF_LOCK : 0));
    v.setUint8(at + R.operandWidth, formOf(i.code).operandWidth);
    v.setUint16(at + R.cost, 1, true);
    const addressing = this.operandFields(v, at, mode);
    if (i.hasLockPrefix && (!spec.lockable || addressing === 'register')) {
      v.setUint32(at + R.handler, this.handlers.base.invalid, true);
      return true;
    }
    this.branchTarget(v, at, off, samePage);
    if (isMarker(i)) {
      v.setUint32(at + R.handler, this.handlers.base.marker, true);
      return false;
    }
    v.setUint32(at + R.handler, this.handlers.index(spec, i.code, addressing, BITNESS[mode as 0]), true);
    return ENDS.has(i.flowControl);
  }

  /** Registers, immediates and the memory operand; returns how the memory operand is addressed. */
  private operandFields(v: DataView, at: number, mode: number): Addressing {
    const i = this.insn;
    let addressing: Addressing = 'register';
    let immediates = 0;
    v.setInt32(at + R.base, ZERO_SLOT, true);
    v.setInt32(at + R.index, ZERO_SLOT, true);
    v.setInt32(at + R.segBase, ZERO_SLOT, true);
    v.setUint8(at + R.addressWidth, BITNESS[mode as 0]);
    for (let k = 0; k < i.opCount; k++) {
      const kind = i.opKind(k);
      if (kind === OpKind.Register) {
        const [address, n] = registerField(i.opRegister(k));
        if (k < 3) v.setInt32(at + R.op + 4 * k, address, true);
        v.setUint8(at + R.reg + k, n);
      } else if (kind === OpKind.Memory) {
        addressing = this.memoryFields(v, at, mode);
      } else if (kind >= OpKind.Immediate8 && kind <= OpKind.Immediate32to64) {
        if (immediates++ === 0) v.setBigUint64(at + R.imm, i.immediate(k), true);
        else v.setUint32(at + R.target, Number(i.immediate(k) & 0xffff_ffffn), true);
      } else if (kind >= OpKind.MemorySegSI && kind <= OpKind.MemoryESRDI) this.stringFields(v, at, kind, mode);
      else if (kind === OpKind.FarBranch16 || kind === OpKind.FarBranch32) {
        v.setBigUint64(at + R.imm, BigInt(kind === OpKind.FarBranch16 ? i.farBranch16 : i.farBranch32), true);
        v.setUint32(at + R.target, i.farBranchSelector, true);
      }
    }
    return addressing;
  }

  private memoryFields(v: DataView, at: number, mode: number): Addressing {
    const i = this.insn;
    const { memoryBase: base, memoryIndex: index } = i;
    let disp = i.memoryDisplacement;
    const ripRelative = base === Register.RIP || base === Register.EIP;
    if (ripRelative) v.setInt32(at + R.base, S.codeBase, true);
    else if (base !== Register.None) v.setInt32(at + R.base, registerField(base)[0], true);
    if (index !== Register.None) v.setInt32(at + R.index, registerField(index)[0], true);
    // No registers and no 64-bit displacement: the size follows from the displacement's; iced says it in its own way.
    const width = this.addressWidth(mode);
    if (width !== 64 && !ripRelative) disp = BigInt.asUintN(width, disp);
    v.setBigUint64(at + R.disp, BigInt.asUintN(64, disp), true);
    v.setUint8(at + R.scale, [0, 0, 1, 0, 2, 0, 0, 0, 3][i.memoryIndexScale]!);
    v.setUint8(at + R.addressWidth, width);
    return this.segmentField(v, at, SEGMENTS[i.memorySegment]!, mode, index === Register.None && width === 64);
  }
  private addressWidth(mode: number): 16 | 32 | 64 {
    const i = this.insn;
    const reg = i.memoryBase !== Register.None ? i.memoryBase : i.memoryIndex;
    if (reg !== Register.None) {
      const size = RegisterExt.size(reg);
      return size === 8 ? 64 : size === 4 ? 32 : 16;
    }
    const d = i.memoryDisplSize;
    if (d === 8) return 64;
    if (d === 2) return 16;
    if (d === 4) return mode === MODE.bits64 && !hasAddressPrefix(this.insn) ? 64 : 32;
    return BITNESS[mode as 0];
  }
  private segmentField(v: DataView, at: number, segment: number, mode: number, simple: boolean): Addressing {
    v.setUint8(at + R.segment, segment);
    if (mode !== MODE.bits64) {
      v.setInt32(at + R.segBase, segAddress(segment), true);
      return 'segmented';
    }
    const based = segment === FS || segment === GS;
    if (based) v.setInt32(at + R.segBase, segAddress(segment), true);
    return simple && !based ? 'flat' : 'full';
  }
  /** String operands: helpers want the segment and the address size. */
  private stringFields(v: DataView, at: number, kind: number, mode: number): void {
    const wide = kind === OpKind.MemorySegRSI || kind === OpKind.MemorySegRDI || kind === OpKind.MemoryESRDI;
    const narrow = kind === OpKind.MemorySegSI || kind === OpKind.MemorySegDI || kind === OpKind.MemoryESDI;
    v.setUint8(at + R.addressWidth, wide ? 64 : narrow ? 16 : 32);
    const es = kind === OpKind.MemoryESDI || kind === OpKind.MemoryESEDI || kind === OpKind.MemoryESRDI;
    // With a source and a destination the source's segment is the one that can vary.
    if (!es) this.segmentField(v, at, SEGMENTS[this.insn.memorySegment]!, mode, false);
    else if (v.getInt32(at + R.segBase, true) === ZERO_SLOT && mode !== MODE.bits64) this.segmentField(v, at, ES, mode, false);
  }

  /** Near relative branches: the target relative to S.codeBase, and whether it lies in this page. */
  private branchTarget(v: DataView, at: number, off: number, samePage: 0 | 1): void {
    const i = this.insn;
    const kind = i.op0Kind;
    if (kind !== OpKind.NearBranch16 && kind !== OpKind.NearBranch32 && kind !== OpKind.NearBranch64) return;
    const width = kind === OpKind.NearBranch16 ? 16 : kind === OpKind.NearBranch32 ? 32 : 64;
    const next = off + i.length;
    const target = next + Number(BigInt.asIntN(width, i.nearBranchTarget - BigInt(next)));
    v.setBigInt64(at + R.disp, BigInt(target), true);
    v.setUint8(at + R.operandWidth, width);
    if (samePage !== 0 && target >= 0 && target < 4096) v.setUint8(at + R.flags, v.getUint8(at + R.flags) | RF_SAME_PAGE);
  }
}

/** XCHG BX,BX: does nothing, and is how a guest marks a point for the probe (see marker.ts). */
const isMarker = (i: Instruction): boolean =>
  i.code === Code.Xchg_rm16_r16 && i.op0Kind === OpKind.Register && i.op0Register === Register.BX && i.op1Register === Register.BX;

/** Does a 64-bit mode instruction without address registers have the address-size prefix? Then its address is cut to 32 bits. */
function hasAddressPrefix(i: Instruction): boolean {
  // iced reports displacement size 4 with and without the prefix; with it the displacement is zero-extended, without sign-extended.
  return i.memoryDisplacement === (i.memoryDisplacement & 0x7fff_ffffn) ? false : i.memoryDisplacement <= 0xffff_ffffn;
}
