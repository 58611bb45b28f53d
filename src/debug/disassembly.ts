/**
 * Instructions around a place, as text in Intel's syntax.
 *
 * Backwards there is no certain reading of x86 code; lines before a place come from decoding onward from a known start of an
 * instruction: the function's.
 */

import { Decoder, DecoderOptions, FlowControl, Formatter, FormatterSyntax, type Instruction, OpKind } from 'iced-x86';
import type { DisassemblyLineView } from './api.js';
import type { LinearReader } from './linear-reader.js';
import { hex } from './walk.js';

/** No instruction is longer. */
export const LONGEST = 15;
/** Functions longer than this are not decoded from their start. */
const FARTHEST = 16384;

/** What the disassembly asks about addresses. */
export interface Names {
  /** Function and offset of a linear address. */
  symbol(linear: bigint): { name: string; offset: number; start: bigint } | undefined;
  line(linear: bigint): { file: string; line: number } | undefined;
  breakpoint(linear: bigint): boolean;
}

export interface Decoded {
  readonly linear: bigint;
  readonly bytes: Uint8Array;
  readonly text: string;
}

const formatter = (): Formatter => {
  const f = new Formatter(FormatterSyntax.Intel);
  f.hexPrefix = '0x';
  f.hexSuffix = '';
  f.uppercaseHex = false;
  f.spaceAfterOperandSeparator = true;
  return f;
};

/** ` <name+offset>` for the address that an instruction jumps to or names relative to RIP. */
function target(i: Instruction, names: Names): string {
  let address: bigint | undefined;
  if (i.flowControl === FlowControl.Call || i.flowControl === FlowControl.UnconditionalBranch || i.flowControl === FlowControl.ConditionalBranch) {
    if (i.op0Kind === OpKind.NearBranch64 || i.op0Kind === OpKind.NearBranch32 || i.op0Kind === OpKind.NearBranch16) address = i.nearBranchTarget;
  } else if (i.isIpRelMemoryOperand) address = i.ipRelMemoryAddress;
  if (address === undefined) return '';
  const s = names.symbol(BigInt.asUintN(64, address));
  return s === undefined ? '' : ` <${s.name}${s.offset === 0 ? '' : `+${s.offset}`}>`;
}

/** Decodes up to `count` instructions; stops at bytes that are none. @param bits 16, 32 or 64 @param rip of the first byte (differs from its linear address by the base of CS) */
export function decode(bytes: Uint8Array, linear: bigint, rip: bigint, bits: number, count: number, names: Names): Decoded[] {
  const out: Decoded[] = [], decoder = new Decoder(bits, bytes, DecoderOptions.None), f = formatter();
  decoder.ip = rip;
  try {
    while (out.length < count && decoder.canDecode) {
      const from = decoder.position, i = decoder.decode();
      if (i.isInvalid || i.length === 0) {
        i.free();
        break;
      }
      const at = linear + BigInt(from);
      out.push({ linear: at, bytes: bytes.slice(from, from + i.length), text: f.format(i) + target(i, names) });
      i.free();
    }
  } finally {
    decoder.free();
    f.free();
  }
  return out;
}

const spaced = (bytes: Uint8Array): string => [...bytes].map((b) => b.toString(16).padStart(2, '0')).join(' ');

function views(list: readonly Decoded[], current: bigint | undefined, names: Names): DisassemblyLineView[] {
  return list.map((d) => {
    const s = names.symbol(d.linear), line = names.line(d.linear);
    return {
      linear: hex(d.linear), bytes: spaced(d.bytes), text: d.text, current: d.linear === current, breakpoint: names.breakpoint(d.linear),
      ...(s !== undefined && s.offset === 0 ? { symbol: s.name } : {}), ...(line === undefined ? {} : line),
    };
  });
}

/** `count` instructions from an address on. */
export function disassemble(reader: LinearReader, linear: bigint, bits: number, base: bigint, count: number, names: Names, current?: bigint): DisassemblyLineView[] {
  const { bytes, readable } = reader.read(linear, count * LONGEST);
  return views(decode(bytes.subarray(0, readable), linear, BigInt.asUintN(64, linear - base), bits, count, names), current, names);
}

/** Instructions around the current one: `before` of the same function when its start is known, and `after` from it on. */
export function disassembleAround(reader: LinearReader, linear: bigint, bits: number, base: bigint, before: number, after: number, names: Names): DisassemblyLineView[] {
  const start = names.symbol(linear)?.start;
  let earlier: Decoded[] = [];
  if (start !== undefined && start < linear && linear - start <= BigInt(FARTHEST)) {
    const length = Number(linear - start), { bytes, readable } = reader.read(start, length);
    if (readable === length) {
      const all = decode(bytes, start, BigInt.asUintN(64, start - base), bits, Infinity, names), last = all[all.length - 1];
      // The start was one only if an instruction ends exactly where the current one begins.
      if (last !== undefined && last.linear + BigInt(last.bytes.length) === linear) earlier = all.slice(-before);
    }
  }
  return [...views(earlier, linear, names), ...disassemble(reader, linear, bits, base, after, names, linear)];
}

/** What stepping must know of an instruction. */
export interface InstructionFacts {
  readonly length: number;
  readonly flow: 'next' | 'branch' | 'call' | 'return' | 'system';
  readonly text: string;
}

/** The instruction at an address; undefined where none can be read. */
export function instructionAt(reader: LinearReader, linear: bigint, bits: number): InstructionFacts | undefined {
  const { bytes, readable } = reader.read(linear, LONGEST);
  const decoder = new Decoder(bits, bytes.subarray(0, readable), DecoderOptions.None), i = decoder.decode();
  try {
    if (i.isInvalid) return undefined;
    const flow = {
      [FlowControl.Next]: 'next', [FlowControl.UnconditionalBranch]: 'branch', [FlowControl.IndirectBranch]: 'branch', [FlowControl.ConditionalBranch]: 'branch',
      [FlowControl.Return]: 'return', [FlowControl.Call]: 'call', [FlowControl.IndirectCall]: 'call', [FlowControl.Interrupt]: 'system',
      [FlowControl.XbeginXabortXend]: 'next', [FlowControl.Exception]: 'next',
    } as const satisfies Record<FlowControl, InstructionFacts['flow']>;
    const f = formatter(), text = f.format(i), system = SYSTEM_CALLS.test(text);
    f.free();
    return { length: i.length, flow: system ? 'system' : flow[i.flowControl], text };
  } finally {
    i.free();
    decoder.free();
  }
}
/** Instructions that go to somebody else's code and come back behind themselves. iced counts SYSCALL among the calls, VMCALL among others. */
const SYSTEM_CALLS = /^(syscall|sysenter|vmcall|vmmcall|int|int1|int3|into)\b/;
