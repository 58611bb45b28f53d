/** Operand kinds of an encoding, from iced's OpCodeInfo: what the engine must know to give a body its operands. */

import { Code, MemorySizeExt, OpCodeOperandKind as K } from 'iced-x86';
import { opCodeInfo } from '../insn.js';
import { CS, DS, ES, FS, GS, RAX, RCX, RDX, SEG, SS, gprAddress, segAddress } from '../state.js';
import type { Width } from '../builder.js';

export type OperandKind =
  | { readonly kind: 'reg'; readonly width: Width } // address in the record
  | { readonly kind: 'rm'; readonly width: Width } // register or memory
  | { readonly kind: 'mem'; readonly width: Width }
  | { readonly kind: 'imm'; readonly width: Width; readonly second: boolean }
  | { readonly kind: 'fixed'; readonly width: Width; readonly address: number }
  | { readonly kind: 'one'; readonly width: Width } // the constant 1 of shifts
  | { readonly kind: 'other'; readonly width: Width }; // branch targets, string operands, st, cr, dr ...: helpers and branch look at the record

export interface Form {
  readonly code: number;
  readonly operands: readonly OperandKind[];
  readonly operandWidth: 8 | 16 | 32 | 64;
  /** Has an operand that is register or memory (then there is one variant of each). */
  readonly hasRm: boolean;
  readonly hasMem: boolean;
}

/** Register or memory kinds, and plain register kinds, by name: their width. */
const widthIn = (name: string): Width => {
  const m = /^(?:r(8|16|32|64)|(xmm)|(mm))/.exec(name);
  return m === null ? 8 : m[1] !== undefined ? (Number(m[1]) as Width) : m[2] !== undefined ? 128 : 64;
};

function kindOf(kind: number, first: Width, memoryWidth: Width): OperandKind {
  switch (kind) {
    case K.al:
      return { kind: 'fixed', width: 8, address: gprAddress(RAX) };
    case K.cl:
      return { kind: 'fixed', width: 8, address: gprAddress(RCX) };
    case K.ax:
      return { kind: 'fixed', width: 16, address: gprAddress(RAX) };
    case K.dx:
      return { kind: 'fixed', width: 16, address: gprAddress(RDX) };
    case K.eax:
      return { kind: 'fixed', width: 32, address: gprAddress(RAX) };
    case K.rax:
      return { kind: 'fixed', width: 64, address: gprAddress(RAX) };
    case K.es:
    case K.cs:
    case K.ss:
    case K.ds:
    case K.fs:
    case K.gs: {
      const seg = { [K.es]: ES, [K.cs]: CS, [K.ss]: SS, [K.ds]: DS, [K.fs]: FS, [K.gs]: GS }[kind]!;
      return { kind: 'fixed', width: 16, address: segAddress(seg) + SEG.selector };
    }
    case K.imm8_const_1:
      return { kind: 'one', width: first };
    case K.imm8:
      return { kind: 'imm', width: 8, second: false };
    case K.imm16:
      return { kind: 'imm', width: 16, second: false };
    case K.imm32:
      return { kind: 'imm', width: 32, second: false };
    case K.imm8sex16:
      return { kind: 'imm', width: 16, second: false };
    case K.imm8sex32:
      return { kind: 'imm', width: 32, second: false };
    case K.imm8sex64:
    case K.imm32sex64:
    case K.imm64:
      return { kind: 'imm', width: 64, second: false };
    case K.mem:
    case K.mem_offs:
    case K.seg_rBX_al: // XLAT: iced decodes it as a memory operand
      return { kind: 'mem', width: memoryWidth };
    case K.seg_reg:
      return { kind: 'reg', width: 16 };
  }
  const name = K[kind]!;
  if (/_or_mem$/.test(name)) {
    // A vector register's memory form may be narrower than the register (MOVSS, CVTSD2SI ...): the body uses readAt for those.
    return { kind: 'rm', width: widthIn(name) };
  }
  if (/^(r8|r16|r32|r64|xmm|mm)_/.test(name)) return { kind: 'reg', width: widthIn(name) };
  return { kind: 'other', width: first };
}

const cache = new Array<Form | undefined>(0x2000).fill(undefined); // more than there are codes

/** The form of an iced `Code`. */
export function formOf(code: number): Form {
  let form = cache[code];
  if (form !== undefined) return form;
  const info = opCodeInfo(code);
  const bits = MemorySizeExt.size(info.memorySize) * 8;
  const memoryWidth = ([8, 16, 32, 64, 128].includes(bits) ? bits : 8) as Width;
  const operands: OperandKind[] = [];
  let immediates = 0;
  for (let i = 0; i < info.opCount; i++) {
    let k = kindOf(info.opKind(i), (operands[0]?.width ?? 8) as Width, memoryWidth);
    if (k.kind === 'imm' && immediates++ > 0) k = { ...k, second: true };
    operands.push(k);
  }
  const opSize = info.operandSize;
  const firstWidth = operands[0]?.width ?? 0;
  const operandWidth = (opSize !== 0 ? opSize : firstWidth === 16 || firstWidth === 32 || firstWidth === 64 ? firstWidth : 8) as Form['operandWidth'];
  form = {
    code,
    operands,
    operandWidth,
    hasRm: operands.some((o) => o.kind === 'rm'),
    hasMem: operands.some((o) => o.kind === 'rm' || o.kind === 'mem'),
  };
  cache[code] = form;
  return form;
}

export const codeName = (code: number): string => Code[code] ?? `code ${code}`;
