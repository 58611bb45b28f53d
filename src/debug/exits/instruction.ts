/** The instruction of an exit, decoded from the bytes that were kept of it. iced-x86 decodes and formats. */

import { Decoder, DecoderOptions, Formatter, FormatterSyntax, Mnemonic, OpKind, Register, RegisterExt } from 'iced-x86';
import type { ExitFacts } from './facts.js';
import { hex, registerName } from './words.js';

export interface ShownInstruction {
  /** As an assembler writes it; `unknown` when its bytes could not be read. */
  readonly text: string;
  /** The mnemonic alone. */
  readonly name: string;
  readonly length: number;
  /** General registers that are its operands, with their values cut to the operand's size: `EAX = 0x5`. */
  readonly operands: readonly string[];
}

const UNKNOWN: ShownInstruction = { text: 'unknown', name: 'an instruction', length: 0, operands: [] };
let formatter: Formatter | undefined;

function theFormatter(): Formatter {
  if (formatter !== undefined) return formatter;
  formatter = new Formatter(FormatterSyntax.Intel);
  formatter.uppercaseMnemonics = formatter.uppercaseRegisters = formatter.uppercasePrefixes = true;
  formatter.hexPrefix = '0x';
  formatter.hexSuffix = '';
  formatter.addLeadingZeroToHexNumbers = false;
  formatter.spaceAfterOperandSeparator = true;
  return formatter;
}

export function instructionOf(f: ExitFacts): ShownInstruction {
  const bytes = f.instructionBytes;
  if (bytes.length === 0) return UNKNOWN;
  const decoder = new Decoder(f.bitness, bytes, DecoderOptions.None);
  decoder.ip = f.rip;
  const i = decoder.decode();
  try {
    if (i.isInvalid) return UNKNOWN;
    const operands: string[] = [];
    for (let op = 0; op < i.opCount; op++) {
      if (i.opKind(op) !== OpKind.Register) continue;
      const r = i.opRegister(op);
      if (!RegisterExt.isGPR(r)) continue;
      operands.push(`${nameOf(r)} = ${hex(valueOf(f, r))}`);
    }
    const text = theFormatter().format(i);
    return { text, name: Mnemonic[i.mnemonic]!.toUpperCase(), length: i.length, operands };
  } finally {
    i.free();
    decoder.free();
  }
}

const HIGH_BYTES: readonly Register[] = [Register.AH, Register.CH, Register.DH, Register.BH];
const nameOf = (r: Register): string => Register[r]!;
function valueOf(f: ExitFacts, r: Register): bigint {
  const high = HIGH_BYTES.indexOf(r);
  if (high >= 0) return (f.gpr(high) >> 8n) & 0xffn;
  return BigInt.asUintN(RegisterExt.size(r) * 8, f.gpr(RegisterExt.number(RegisterExt.fullRegister(r))));
}

/** Part of RAX that an operand of `size` bytes uses, by name and value: `AL = 0x20`. */
export function accumulator(f: ExitFacts, size: number): { readonly name: string; readonly value: bigint } {
  const name = size === 1 ? 'AL' : size === 2 ? 'AX' : size === 4 ? 'EAX' : registerName(0);
  return { name, value: BigInt.asUintN(size * 8, f.gpr(0)) };
}
