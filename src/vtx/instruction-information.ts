/**
 * VM-exit instruction information, and the exit qualification of instructions with a memory operand.
 *
 * SDM 3C §28.2.5 "Information for VM Exits Due to Instruction Execution", its tables "Format of the VM-Exit
 * Instruction-Information Field as Used for ...". The engine's records do not keep base and index registers apart from their
 * addresses, so the instruction is decoded once more here: exits of this kind are rare.
 */

import { Code, Decoder, DecoderOptions, type Instruction, Mnemonic, OpKind, Register, RegisterExt } from 'iced-x86';
import type { Cpu } from '../cpu/cpu.js';
import { CS, MODE, S } from '../cpu/state.js';

/** Which of the manual's formats an instruction uses. */
export type InformationFormat = 'memory' | 'memory-reg2' | 'vmread-vmwrite' | 'gdtr-idtr' | 'ldtr-tr' | 'random';

export interface InstructionInformation {
  readonly information: number;
  /** Displacement of the memory operand (for RIP-relative ones, the effective address); 0 without memory operand. */
  readonly displacement: bigint;
}

const NO_INDEX = 1 << 22, NO_BASE = 1 << 27, IS_REGISTER = 1 << 10;

/** Runs `use` on the instruction at RIP; its bytes were just executed, so reading them cannot fault in a new way. */
function decoded<T>(cpu: Cpu, use: (i: Instruction) => T): T {
  const { s } = cpu;
  const mode = s.get32(S.mode);
  const bitness = mode === MODE.bits64 ? 64 : mode === MODE.bits32 ? 32 : 16;
  const length = Number(BigInt.asUintN(64, s.nextRip - s.rip) & 0xfn);
  const base = bitness === 64 ? 0n : s.segBase(CS);
  const bytes = Uint8Array.from({ length }, (_, i) => Number(cpu.readLinear(BigInt.asUintN(bitness === 64 ? 64 : 32, base + s.rip + BigInt(i)), 1, true)));
  const decoder = new Decoder(bitness, bytes, DecoderOptions.None);
  decoder.ip = s.rip;
  const instruction = decoder.decode();
  try {
    return use(instruction);
  } finally {
    instruction.free();
    decoder.free();
  }
}

/** iced numbers of ES CS SS DS FS GS are the encoding's. */
const segmentNumber = (r: Register): number => Math.max(0, RegisterExt.number(r));

function addressSize(i: Instruction, bitness: number): number {
  const r = i.memoryBase !== Register.None ? i.memoryBase : i.memoryIndex;
  if (r === Register.EIP) return 1;
  if (r === Register.RIP) return 2;
  const bits = r !== Register.None ? RegisterExt.size(r) * 8 : i.memoryDisplSize * 8 || bitness;
  return bits >= 64 ? 2 : bits === 32 ? 1 : 0;
}

function memoryBits(i: Instruction, bitness: number): number {
  const scale = Math.log2(i.memoryIndexScale);
  let v = scale | (addressSize(i, bitness) << 7) | (segmentNumber(i.memorySegment) << 15);
  v |= i.memoryIndex === Register.None ? NO_INDEX : RegisterExt.number(i.memoryIndex) << 18;
  const base = i.memoryBase;
  v |= base === Register.None || base === Register.RIP || base === Register.EIP ? NO_BASE : RegisterExt.number(base) << 23;
  return v;
}

const isMemory = (i: Instruction, op: number): boolean => i.opKind(op) === OpKind.Memory;
const register = (i: Instruction, op: number): number => RegisterExt.number(i.opRegister(op));
const operandBits = (i: Instruction, op: number): number => RegisterExt.size(i.opRegister(op)) * 8;

/**
 * @param identity instruction identity (bits 29:28) of the descriptor-table formats
 */
export function instructionInformation(cpu: Cpu, format: InformationFormat, identity = 0): InstructionInformation {
  const mode = cpu.s.get32(S.mode);
  const bitness = mode === MODE.bits64 ? 64 : mode === MODE.bits32 ? 32 : 16;
  return decoded(cpu, (i) => {
    const memoryOperand = [0, 1].find((op) => op < i.opCount && isMemory(i, op));
    const memory = memoryOperand !== undefined;
    let v = memory ? memoryBits(i, bitness) : IS_REGISTER;
    switch (format) {
      case 'memory-reg2':
        v |= register(i, 0) << 28;
        break;
      case 'vmread-vmwrite': {
        // VMREAD r/m, field   VMWRITE field, r/m: Reg2 names the field, Reg1 the other operand when it is a register.
        const field = i.mnemonic === Mnemonic.Vmwrite ? 0 : 1;
        v |= register(i, field) << 28;
        if (!memory) v |= register(i, 1 - field) << 3;
        break;
      }
      case 'gdtr-idtr':
        v |= identity << 28;
        if (bitness !== 64 && !SIXTEEN_BIT.has(i.code)) v |= 1 << 11;
        break;
      case 'ldtr-tr':
        v |= identity << 28;
        if (!memory) v |= register(i, 0) << 3;
        break;
      case 'random': {
        const bits = operandBits(i, 0);
        v = (register(i, 0) << 3) | ((bits === 64 ? 2 : bits === 32 ? 1 : 0) << 11);
        break;
      }
      case 'memory':
        break;
    }
    // iced gives the effective address itself for RIP-relative operands, which is what the qualification holds.
    return { information: v >>> 0, displacement: memory ? BigInt.asUintN(64, i.memoryDisplacement) : 0n };
  });
}

const SIXTEEN_BIT: ReadonlySet<number> = new Set([Code.Sgdt_m1632_16, Code.Sidt_m1632_16, Code.Lgdt_m1632_16, Code.Lidt_m1632_16]);
