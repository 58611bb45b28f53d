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
import { CR0_EM, CR0_TS, EFER_LMA, S, XMM_STRIDE } from '../state.js';
import { high32, low32, wide } from '../wide.js';
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

/** The full tag of one register by its contents, the significand as halves: 0 valid, 1 zero, 2 special. */
export function tagOf(low: number, high: number, exponentSign: number): number {
  const e = exponentSign & 0x7fff;
  if (e === 0x7fff) return 2;
  if (e === 0) return low === 0 && high === 0 ? 1 : 2;
  return high >>> 31 !== 0 ? 0 : 2;
}

function fxsave(cpu: Cpu, i: InsnView): HelperResult {
  const { s } = cpu, { u16, u32 } = s.m;
  const plain = plainArea(cpu, begin(cpu, i), true);
  const at = i.ea();
  const long = i.code === Code.Fxsave64_m512byte;
  const top = (s.get32(S.fsw) >> 11) & 7;
  const put = (offset: number, size: 2 | 8, low: number, high = 0): void => {
    if (plain === 0) cpu.writeSegment(i.segment, at + wide(offset, 0), size, wide(low, high));
    else if (size === 8) {
      u32[(plain + offset) >>> 2] = low;
      u32[(plain + offset + 4) >>> 2] = high;
    } else u16[(plain + offset) >>> 1] = low;
  };
  // The last byte first: if the area ends in a page that cannot be written, nothing has changed.
  if (plain === 0) cpu.writeSegment(i.segment, at + 408n, 8, cpu.readSegment(i.segment, at + 408n, 8));
  put(0, 2, s.get32(S.fcw));
  put(2, 2, s.get32(S.fsw));
  put(4, 2, abridge(s.get32(S.ftw)));
  put(6, 2, s.get32(S.fop));
  put(8, 8, s.get32(S.fip), long ? s.get32(S.fip + 4) : s.get32(S.fcs));
  put(16, 8, s.get32(S.fdp), long ? s.get32(S.fdp + 4) : s.get32(S.fds));
  put(24, 8, s.get32(S.mxcsr), MXCSR_MASK);
  for (let r = 0; r < 8; r++) {
    const from = S.st + 16 * ((top + r) & 7);
    put(32 + 16 * r, 8, s.get32(from), s.get32(from + 4));
    put(40 + 16 * r, 8, s.get32(from + 8) & 0xffff);
  }
  for (let r = 0, n = vectorCount(cpu); r < n; r++) {
    const from = S.xmm + XMM_STRIDE * r;
    put(160 + 16 * r, 8, s.get32(from), s.get32(from + 4));
    put(168 + 16 * r, 8, s.get32(from + 8), s.get32(from + 12));
  }
  return NEXT;
}

/** The area that FXRSTOR is reading, as words: nothing is changed before all of it has been read. */
const AREA = new Uint32Array(AREA_BYTES / 4);

function fxrstor(cpu: Cpu, i: InsnView): HelperResult {
  const { s } = cpu, { u32 } = s.m;
  const plain = plainArea(cpu, begin(cpu, i), false);
  const at = i.ea();
  const long = i.code === Code.Fxrstor64_m512byte;
  for (let w = 0; w < AREA.length; w += plain === 0 ? 2 : 1) {
    if (plain !== 0) {
      AREA[w] = u32[(plain >>> 2) + w]!;
      continue;
    }
    const v = cpu.readSegment(i.segment, at + wide(4 * w, 0), 8);
    AREA[w] = low32(v);
    AREA[w + 1] = high32(v);
  }
  const mxcsr = AREA[6]!;
  if (mxcsr & ~MXCSR_MASK) cpu.raise(GP, 0);
  const w0 = AREA[0]!, tags = AREA[1]! & 0xff;
  s.set32(S.fcw, w0 & 0xffff);
  s.set32(S.fsw, w0 >>> 16);
  s.set32(S.fop, (AREA[1]! >>> 16) & 0x7ff);
  s.set32(S.fip, AREA[2]!);
  s.set32(S.fip + 4, long ? AREA[3]! : 0);
  s.set32(S.fdp, AREA[4]!);
  s.set32(S.fdp + 4, long ? AREA[5]! : 0);
  if (!long) {
    s.set32(S.fcs, AREA[3]! & 0xffff);
    s.set32(S.fds, AREA[5]! & 0xffff);
  }
  s.set32(S.mxcsr, mxcsr);
  const top = (w0 >>> 27) & 7;
  let full = 0;
  for (let r = 0; r < 8; r++) {
    const physical = (top + r) & 7, to = S.st + 16 * physical;
    const low = AREA[8 + 4 * r]!, high = AREA[9 + 4 * r]!, exponentSign = AREA[10 + 4 * r]! & 0xffff;
    s.set32(to, low);
    s.set32(to + 4, high);
    s.set32(to + 8, exponentSign);
    s.set32(to + 12, 0);
    full |= (tags & (1 << physical) ? tagOf(low, high, exponentSign) : 3) << (2 * physical);
  }
  s.set32(S.ftw, full);
  for (let r = 0, n = vectorCount(cpu); r < n; r++)
    for (let w = 0; w < 4; w++) u32[((S.xmm + XMM_STRIDE * r) >>> 2) + w] = AREA[40 + 4 * r + w]!;
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
