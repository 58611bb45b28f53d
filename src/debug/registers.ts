/**
 * The registers of a stopped vCPU, in groups, with the names of bits that are set.
 *
 * SDM 1 §3.4 "Basic Program Execution Registers"; SDM 3A §2.3 "System Flags and Fields in the EFLAGS Register", §2.5 "Control
 * Registers", §2.4 "Memory-Management Registers", §17.2 "Debug Registers"; SDM 4 chapter 2 "Model-Specific Registers (MSRs)".
 */

import { type CpuState, S, SEG, segAddress } from '../cpu/state.js';
import type { RegisterGroupView, RegisterView } from './api.js';

export const GENERAL = ['RAX', 'RCX', 'RDX', 'RBX', 'RSP', 'RBP', 'RSI', 'RDI', 'R8', 'R9', 'R10', 'R11', 'R12', 'R13', 'R14', 'R15'] as const;
const SEGMENTS = ['ES', 'CS', 'SS', 'DS', 'FS', 'GS', 'LDTR', 'TR'] as const;

type Bits = Readonly<Record<number, string>>;
const RFLAGS_BITS: Bits = {
  0: 'CF', 2: 'PF', 4: 'AF', 6: 'ZF', 7: 'SF', 8: 'TF', 9: 'IF', 10: 'DF', 11: 'OF', 14: 'NT', 16: 'RF', 17: 'VM', 18: 'AC', 19: 'VIF', 20: 'VIP', 21: 'ID',
};
const CR0_BITS: Bits = { 0: 'PE', 1: 'MP', 2: 'EM', 3: 'TS', 4: 'ET', 5: 'NE', 16: 'WP', 18: 'AM', 29: 'NW', 30: 'CD', 31: 'PG' };
const CR4_BITS: Bits = {
  0: 'VME', 1: 'PVI', 2: 'TSD', 3: 'DE', 4: 'PSE', 5: 'PAE', 6: 'MCE', 7: 'PGE', 8: 'PCE', 9: 'OSFXSR', 10: 'OSXMMEXCPT', 11: 'UMIP', 13: 'VMXE', 14: 'SMXE',
  16: 'FSGSBASE', 17: 'PCIDE', 18: 'OSXSAVE', 20: 'SMEP', 21: 'SMAP',
};
const EFER_BITS: Bits = { 0: 'SCE', 8: 'LME', 10: 'LMA', 11: 'NXE', 12: 'SVME', 13: 'LMSLE', 14: 'FFXSR' };
const DR6_BITS: Bits = { 0: 'B0', 1: 'B1', 2: 'B2', 3: 'B3', 13: 'BD', 14: 'BS', 15: 'BT' };
const DR7_BITS: Bits = { 0: 'L0', 1: 'G0', 2: 'L1', 3: 'G1', 4: 'L2', 5: 'G2', 6: 'L3', 7: 'G3', 8: 'LE', 9: 'GE', 13: 'GD' };
const MXCSR_BITS: Bits = { 0: 'IE', 1: 'DE', 2: 'ZE', 3: 'OE', 4: 'UE', 5: 'PE', 6: 'DAZ', 7: 'IM', 8: 'DM', 9: 'ZM', 10: 'OM', 11: 'UM', 12: 'PM', 15: 'FZ' };
const FSW_BITS: Bits = { 0: 'IE', 1: 'DE', 2: 'ZE', 3: 'OE', 4: 'UE', 5: 'PE', 6: 'SF', 7: 'ES', 8: 'C0', 9: 'C1', 10: 'C2', 14: 'C3', 15: 'B' };
const FCW_BITS: Bits = { 0: 'IM', 1: 'DM', 2: 'ZM', 3: 'OM', 4: 'UM', 5: 'PM' };

function bitNames(value: bigint, bits: Bits): string {
  return Object.entries(bits).filter(([bit]) => (value >> BigInt(bit)) & 1n).map(([, name]) => name).join(' ');
}

/** Access rights of a segment in words: SDM 3C §25.4.1 "Guest Register State" has the format. */
function segmentText(s: CpuState, i: number): string {
  const attr = s.segAttr(i), at = segAddress(i);
  if (attr & 0x1_0000) return 'unusable';
  const words = [`base 0x${s.get64(at + SEG.base).toString(16)}`, `limit 0x${s.get32(at + SEG.limit).toString(16)}`];
  words.push(attr & 0x10 ? (attr & 8 ? 'code' : 'data') : `system type ${attr & 15}`, `DPL ${(attr >>> 5) & 3}`);
  if ((attr & 0x18) === 0x18) words.push(attr & 0x2000 ? '64-bit' : attr & 0x4000 ? '32-bit' : '16-bit');
  if ((attr & 0x80) === 0) words.push('not present');
  return words.join(', ');
}

interface Raw {
  readonly name: string;
  readonly value: bigint;
  readonly bits: number;
  readonly decoded?: string;
}
interface RawGroup {
  readonly title: string;
  readonly registers: readonly Raw[];
}

const wide = (s: CpuState, name: string, address: number, bits?: Bits): Raw => {
  const value = s.get64(address);
  return { name, value, bits: 64, ...(bits === undefined ? {} : { decoded: bitNames(value, bits) }) };
};
const narrow = (name: string, value: number, bits: number, names?: Bits): Raw => ({ name, value: BigInt(value), bits, ...(names === undefined ? {} : { decoded: bitNames(BigInt(value), names) }) });
/** 16 bytes of the state as one number, as wide as `bits`. */
const long = (s: CpuState, name: string, address: number, bits: number): Raw => ({ name, value: BigInt.asUintN(bits, s.get64(address) | (s.get64(address + 8) << 64n)), bits });

function groupsOf(s: CpuState): RawGroup[] {
  const flags = s.rflags, top = (s.get32(S.fsw) >>> 11) & 7;
  return [
    { title: 'General', registers: [...GENERAL.map((name, i) => wide(s, name, S.gpr + i * 8)), wide(s, 'RIP', S.rip)] },
    { title: 'Flags', registers: [{ name: 'RFLAGS', value: BigInt(flags), bits: 64, decoded: `${bitNames(BigInt(flags), RFLAGS_BITS)} IOPL=${(flags >>> 12) & 3}`.trim() }] },
    { title: 'Segments', registers: SEGMENTS.map((name, i) => ({ name, value: BigInt(s.selector(i)), bits: 16, decoded: segmentText(s, i) })) },
    {
      title: 'Control',
      registers: [
        wide(s, 'CR0', S.cr0, CR0_BITS), wide(s, 'CR2', S.cr2), wide(s, 'CR3', S.cr3), wide(s, 'CR4', S.cr4, CR4_BITS), wide(s, 'CR8', S.cr8), wide(s, 'XCR0', S.xcr0),
        wide(s, 'EFER', S.efer, EFER_BITS),
      ],
    },
    {
      title: 'System tables',
      registers: [wide(s, 'GDTR.base', S.gdtrBase), narrow('GDTR.limit', s.get32(S.gdtrLimit), 16), wide(s, 'IDTR.base', S.idtrBase), narrow('IDTR.limit', s.get32(S.idtrLimit), 16)],
    },
    { title: 'Debug', registers: [0, 1, 2, 3, 6, 7].map((n) => wide(s, `DR${n}`, S.dr + n * 8, n === 6 ? DR6_BITS : n === 7 ? DR7_BITS : undefined)) },
    {
      title: 'Model-specific',
      registers: [
        wide(s, 'STAR', S.star), wide(s, 'LSTAR', S.lstar), wide(s, 'CSTAR', S.cstar), wide(s, 'FMASK', S.sfmask), wide(s, 'FS.base', segAddress(4)), wide(s, 'GS.base', segAddress(5)),
        wide(s, 'KernelGSBase', S.kernelGsBase), wide(s, 'SYSENTER_CS', S.sysenterCs), wide(s, 'SYSENTER_ESP', S.sysenterEsp), wide(s, 'SYSENTER_EIP', S.sysenterEip),
        wide(s, 'PAT', S.pat), wide(s, 'TSC_AUX', S.tscAux), wide(s, 'DEBUGCTL', S.debugctl),
      ],
    },
    {
      title: 'x87',
      registers: [
        narrow('FCW', s.get32(S.fcw), 16, FCW_BITS), { ...narrow('FSW', s.get32(S.fsw), 16, FSW_BITS), decoded: `${bitNames(BigInt(s.get32(S.fsw)), FSW_BITS)} TOP=${top}`.trim() },
        narrow('FTW', s.get32(S.ftw), 16), ...Array.from({ length: 8 }, (_, i) => long(s, `ST${i}`, S.st + ((top + i) & 7) * 16, 80)),
      ],
    },
    { title: 'MMX', registers: Array.from({ length: 8 }, (_, i) => wide(s, `MM${i}`, S.st + i * 16)) },
    { title: 'SSE', registers: [narrow('MXCSR', s.get32(S.mxcsr), 32, MXCSR_BITS), ...Array.from({ length: 16 }, (_, i) => long(s, `XMM${i}`, S.xmm + i * 16, 128))] },
  ];
}

/**
 * All groups. `changed` compares with an earlier state of the same vCPU.
 * @param before absent: nothing is marked
 */
export function registerViews(now: CpuState, before: CpuState | undefined): RegisterGroupView[] {
  const old = before === undefined ? undefined : groupsOf(before);
  return groupsOf(now).map((group, g) => ({
    title: group.title,
    registers: group.registers.map((r, i): RegisterView => ({
      name: r.name, value: `0x${r.value.toString(16)}`, bits: r.bits, changed: old !== undefined && old[g].registers[i].value !== r.value,
      ...(r.decoded === undefined ? {} : { decoded: r.decoded }),
    })),
  }));
}

/** Names that are asked for differently: parts of general registers, `PC`, `SP`, `EFLAGS`. */
const PARTS: readonly { readonly pattern: RegExp; readonly of: (m: RegExpExecArray) => string; readonly bits: number; readonly shift?: number }[] = [
  { pattern: /^E(AX|CX|DX|BX|SP|BP|SI|DI|IP|FLAGS)$/, of: (m) => `R${m[1]}`, bits: 32 },
  { pattern: /^(R(?:8|9|1[0-5]))D$/, of: (m) => m[1], bits: 32 },
  { pattern: /^(AX|CX|DX|BX|SP|BP|SI|DI)$/, of: (m) => `R${m[1]}`, bits: 16 },
  { pattern: /^([ABCD])L$/, of: (m) => `R${m[1]}X`, bits: 8 },
  { pattern: /^([ABCD])H$/, of: (m) => `R${m[1]}X`, bits: 8, shift: 8 },
];

/** The value of a register by name, in any case; undefined when there is none of that name. */
export function registerValue(s: CpuState, name: string): bigint | undefined {
  const wanted = name.toUpperCase(), alias = wanted === 'PC' ? 'RIP' : wanted;
  const all = groupsOf(s).flatMap((g) => g.registers);
  const found = all.find((r) => r.name.toUpperCase() === alias);
  if (found !== undefined) return found.value;
  for (const { pattern, of, bits, shift = 0 } of PARTS) {
    const m = pattern.exec(wanted);
    if (m === null) continue;
    const whole = all.find((r) => r.name === of(m));
    return whole === undefined ? undefined : BigInt.asUintN(bits, whole.value >> BigInt(shift));
  }
  return undefined;
}

/** Names of all registers, for completion. */
export const registerNames = (s: CpuState): string[] => groupsOf(s).flatMap((g) => g.registers.map((r) => r.name));
