/**
 * Saving and restoring the floating-point and vector state: FXSAVE, FXRSTOR, LDMXCSR, STMXCSR.
 *
 * SDM 1 §10.5 "FXSAVE and FXRSTOR Instructions", table 13-1 "Format of the Legacy XSAVE area"; APM 2 §11.4.4 "Saving Media and
 * x87 State". The 64-bit forms (REX.W) keep 64-bit instruction and data pointers.
 */

import { Code, Mnemonic } from 'iced-x86';
import type { Cpu } from '../cpu.js';
import { GP, NM, UD } from '../events.js';
import { NEXT, allForms, helper, insn, type HelperResult } from '../insn.js';
import type { InsnView } from '../insn-view.js';
import { CR0_EM, CR0_TS, EFER_LMA, S } from '../state.js';
import { requireSseHelper } from './sse-available.js';

/** All bits of MXCSR that exist: DAZ is bit 6. */
export const MXCSR_MASK = 0xffff;
const EFER_FFXSR = 1 << 14;

/** Availability and alignment. Returns the linear address of the area. */
function begin(cpu: Cpu, insn: InsnView): bigint {
  const { s } = cpu;
  if (s.cr0 & CR0_EM) cpu.raise(UD);
  if (s.cr0 & CR0_TS) cpu.raise(NM);
  const linear = cpu.linearAddress(insn.segment, insn.ea(), 16, false);
  if (linear & 15n) cpu.raise(GP, 0);
  return linear;
}

const AREA_BYTES = 416;

/**
 * The linear-memory address of the area when it is plain memory in one page, in 64-bit mode (no limits to check piece by piece);
 * else 0. Context switches save and restore all the time, and nearly always in such an area.
 */
const plainArea = (cpu: Cpu, linear: bigint, write: boolean): number => (cpu.s.mode64 ? cpu.plainMemory(linear, AREA_BYTES, write) : 0);

/** Copies `bytes` (a multiple of 4, both ends aligned) within the linear memory. */
function copy(cpu: Cpu, to: number, from: number, bytes: number): void {
  const { u32 } = cpu.s.m;
  for (let i = 0; i < bytes; i += 4) u32[(to + i) >>> 2] = u32[(from + i) >>> 2]!;
}

/** XMM registers that the instruction moves: eight outside 64-bit mode; none with EFER.FFXSR at CPL 0 in 64-bit mode. */
function vectorCount(cpu: Cpu): number {
  const { s } = cpu;
  if (!s.mode64) return 8;
  return s.cpl === 0 && (s.efer & EFER_FFXSR) !== 0 && (s.efer & EFER_LMA) !== 0 ? 0 : 16;
}

/** The abridged tag byte: bit i set when physical register i is not empty. */
const abridge = (full: number): number => {
  let tags = 0;
  for (let i = 0; i < 8; i++) if (((full >> (2 * i)) & 3) !== 3) tags |= 1 << i;
  return tags;
};

/** The full tag of one register by its contents: 0 valid, 1 zero, 2 special. */
export function tagOf(significand: bigint, exponentSign: number): number {
  const e = exponentSign & 0x7fff;
  if (e === 0x7fff) return 2;
  if (e === 0) return significand === 0n ? 1 : 2;
  return significand >> 63n ? 0 : 2;
}

function fxsave(cpu: Cpu, i: InsnView): HelperResult {
  const { s } = cpu;
  const plain = plainArea(cpu, begin(cpu, i), true);
  const at = i.ea();
  const wide = i.code === Code.Fxsave64_m512byte;
  const top = (s.get32(S.fsw) >> 11) & 7;
  const put = (offset: number, size: 2 | 8, v: bigint): void => {
    if (plain === 0) cpu.writeSegment(i.segment, at + BigInt(offset), size, v);
    else if (size === 8) s.set64(plain + offset, v);
    else s.m.u16[(plain + offset) >>> 1] = Number(v & 0xffffn);
  };
  // The last byte first: if the area ends in a page that cannot be written, nothing has changed.
  if (plain === 0) cpu.writeSegment(i.segment, at + 408n, 8, cpu.readSegment(i.segment, at + 408n, 8));
  put(0, 2, BigInt(s.get32(S.fcw)));
  put(2, 2, BigInt(s.get32(S.fsw)));
  put(4, 2, BigInt(abridge(s.get32(S.ftw))));
  put(6, 2, BigInt(s.get32(S.fop)));
  if (wide) {
    put(8, 8, s.get64(S.fip));
    put(16, 8, s.get64(S.fdp));
  } else {
    put(8, 8, (s.get64(S.fip) & 0xffff_ffffn) | (BigInt(s.get32(S.fcs)) << 32n));
    put(16, 8, (s.get64(S.fdp) & 0xffff_ffffn) | (BigInt(s.get32(S.fds)) << 32n));
  }
  put(24, 8, BigInt(s.get32(S.mxcsr)) | (BigInt(MXCSR_MASK) << 32n));
  for (let r = 0; r < 8; r++) {
    const from = S.st + 16 * ((top + r) & 7);
    put(32 + 16 * r, 8, s.get64(from));
    put(40 + 16 * r, 8, s.get64(from + 8) & 0xffffn);
  }
  for (let r = 0, n = vectorCount(cpu); r < n; r++) {
    if (plain !== 0) {
      copy(cpu, plain + 160 + 16 * r, S.xmm + 32 * r, 16);
      continue;
    }
    put(160 + 16 * r, 8, s.get64(S.xmm + 32 * r));
    put(168 + 16 * r, 8, s.get64(S.xmm + 32 * r + 8));
  }
  return NEXT;
}

function fxrstor(cpu: Cpu, i: InsnView): HelperResult {
  const { s } = cpu;
  const plain = plainArea(cpu, begin(cpu, i), false);
  const at = i.ea();
  const wide = i.code === Code.Fxrstor64_m512byte;
  const words: bigint[] = [];
  if (plain !== 0) for (let o = 0; o < 160; o += 8) words.push(s.get64(plain + o));
  else for (let o = 0; o < AREA_BYTES; o += 8) words.push(cpu.readSegment(i.segment, at + BigInt(o), 8));
  const mxcsr = Number(words[3]! & 0xffff_ffffn);
  if (mxcsr & ~MXCSR_MASK) cpu.raise(GP, 0);
  const w0 = Number(words[0]! & 0xffff_ffffn), tags = Number((words[0]! >> 32n) & 0xffn);
  s.set32(S.fcw, w0 & 0xffff);
  s.set32(S.fsw, w0 >>> 16);
  s.set32(S.fop, Number((words[0]! >> 48n) & 0x7ffn));
  s.set64(S.fip, wide ? words[1]! : words[1]! & 0xffff_ffffn);
  s.set64(S.fdp, wide ? words[2]! : words[2]! & 0xffff_ffffn);
  if (!wide) {
    s.set32(S.fcs, Number((words[1]! >> 32n) & 0xffffn));
    s.set32(S.fds, Number((words[2]! >> 32n) & 0xffffn));
  }
  s.set32(S.mxcsr, mxcsr);
  const top = (w0 >>> 27) & 7;
  let full = 0;
  for (let r = 0; r < 8; r++) {
    const physical = (top + r) & 7, to = S.st + 16 * physical;
    const low = words[4 + 2 * r]!, high = words[5 + 2 * r]! & 0xffffn;
    s.set64(to, low);
    s.set64(to + 8, high);
    full |= (tags & (1 << physical) ? tagOf(low, Number(high)) : 3) << (2 * physical);
  }
  s.set32(S.ftw, full);
  for (let r = 0, n = vectorCount(cpu); r < n; r++) {
    if (plain !== 0) {
      copy(cpu, S.xmm + 32 * r, plain + 160 + 16 * r, 16);
      continue;
    }
    s.set64(S.xmm + 32 * r, words[20 + 2 * r]!);
    s.set64(S.xmm + 32 * r + 8, words[21 + 2 * r]!);
  }
  return NEXT;
}

export const fxsaveInsn = insn('FXSAVE', { forms: [...allForms(Mnemonic.Fxsave), ...allForms(Mnemonic.Fxsave64)], body: helper(fxsave) });
export const fxrstorInsn = insn('FXRSTOR', { forms: [...allForms(Mnemonic.Fxrstor), ...allForms(Mnemonic.Fxrstor64)], body: helper(fxrstor) });

export const ldmxcsr = insn('LDMXCSR', {
  forms: allForms(Mnemonic.Ldmxcsr),
  body: helper((cpu, i) => {
    requireSseHelper(cpu);
    const v = Number(cpu.readSegment(i.segment, i.ea(), 4));
    if (v & ~MXCSR_MASK) cpu.raise(GP, 0);
    cpu.s.set32(S.mxcsr, v);
    return NEXT;
  }),
});
export const stmxcsr = insn('STMXCSR', {
  forms: allForms(Mnemonic.Stmxcsr),
  body: helper((cpu, i) => {
    requireSseHelper(cpu);
    cpu.writeSegment(i.segment, i.ea(), 4, BigInt(cpu.s.get32(S.mxcsr)));
    return NEXT;
  }),
});
