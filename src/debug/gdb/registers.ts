/**
 * The registers that gdb sees, in its order: number, name, width, type, and how each is read and written.
 *
 * gdb manual, G.5.14 "x86 Features": org.gnu.gdb.i386.core, .sse and .segments. Control and model-specific registers have features of our own.
 * The order is the register numbers'; a `g` packet holds the first GENERAL of them, the others are asked for one by one.
 *
 * Segment registers, control registers and MSRs are read-only here: a value written without what the instruction does besides would leave
 * a processor that cannot be.
 */

import { CR0_PE, CS, DS, ES, FS, GS, LDTR, S, SEG, segAddress, SS, TR, type CpuState } from '../../cpu/state.js';
import type { VcpuContext } from './context.js';
import { CONTROL_FLAGS, EFLAGS_FLAGS } from './register-flags.js';

export interface Register {
  readonly name: string;
  readonly bits: number;
  /** A type of gdb's, or one that the feature's `types` define. */
  readonly type: string;
  readonly group?: string;
  /** undefined: not available now. */
  read(c: VcpuContext): bigint | undefined;
  /** Changes the running vCPU's state (it is in the window). Absent: read-only. */
  write?(s: CpuState, value: bigint): void;
}

export interface Feature {
  readonly name: string;
  /** Definitions of types that only this feature uses, as XML. */
  readonly types: string;
  readonly registers: readonly Register[];
}

/** gdb's order of the general registers, as numbers of the manual's. */
const GPR_ORDER = [0, 3, 1, 2, 6, 7, 5, 4, 8, 9, 10, 11, 12, 13, 14, 15];
const GPR_NAMES = ['rax', 'rcx', 'rdx', 'rbx', 'rsp', 'rbp', 'rsi', 'rdi', ...Array.from({ length: 8 }, (_, i) => `r${i + 8}`)];

const word64 = (name: string, address: number, type = 'int64', group?: string): Register =>
  ({ name, bits: 64, type, ...(group === undefined ? {} : { group }), read: (c) => c.state.get64(address) });
const writable64 = (name: string, address: number, type: string): Register => ({ ...word64(name, address, type), write: (s, v) => s.set64(address, v) });
const writable32 = (name: string, address: number, type: string, group: string): Register =>
  ({ name, bits: 32, type, group, read: (c) => BigInt(c.state.get32(address)), write: (s, v) => s.set32(address, Number(BigInt.asUintN(32, v))) });
const selector = (name: string, index: number): Register => ({ name, bits: 32, type: 'int32', read: (c) => BigInt(c.state.selector(index)) });

/** The physical x87 register that ST(i) is. */
const stAddress = (s: CpuState, i: number): number => S.st + 16 * (((s.get32(S.fsw) >>> 11) + i) & 7);

const wide = (name: string, bits: number, type: string, at: (s: CpuState) => number): Register => ({
  name, bits, type,
  read: ({ state: s }) => s.get64(at(s)) | (BigInt.asUintN(bits - 64, s.get64(at(s) + 8)) << 64n),
  write(s, v) {
    s.set64(at(s), BigInt.asUintN(64, v));
    s.set64(at(s) + 8, BigInt.asUintN(bits - 64, v >> 64n));
  },
});

const CORE: Feature = {
  name: 'org.gnu.gdb.i386.core',
  types: EFLAGS_FLAGS,
  registers: [
    ...GPR_ORDER.map((n) => writable64(GPR_NAMES[n]!, S.gpr + 8 * n, n === 4 || n === 5 ? 'data_ptr' : 'int64')),
    writable64('rip', S.rip, 'code_ptr'),
    { name: 'eflags', bits: 32, type: 'eflags_bits', read: (c) => BigInt(c.state.rflags), write: (s, v) => void (s.rflags = Number(BigInt.asUintN(32, v))) },
    selector('cs', CS), selector('ss', SS), selector('ds', DS), selector('es', ES), selector('fs', FS), selector('gs', GS),
    ...Array.from({ length: 8 }, (_, i) => wide(`st${i}`, 80, 'i387_ext', (s) => stAddress(s, i))),
    writable32('fctrl', S.fcw, 'int', 'float'), writable32('fstat', S.fsw, 'int', 'float'), writable32('ftag', S.ftw, 'int', 'float'),
    writable32('fiseg', S.fcs, 'int', 'float'), writable32('fioff', S.fip, 'int', 'float'), writable32('foseg', S.fds, 'int', 'float'),
    writable32('fooff', S.fdp, 'int', 'float'), writable32('fop', S.fop, 'int', 'float'),
  ],
};

const VECTOR_TYPES = `<vector id="v4f" type="ieee_single" count="4"/><vector id="v2d" type="ieee_double" count="2"/>
<vector id="v16i8" type="int8" count="16"/><vector id="v8i16" type="int16" count="8"/>
<vector id="v4i32" type="int32" count="4"/><vector id="v2i64" type="int64" count="2"/>
<union id="vec128"><field name="v4_float" type="v4f"/><field name="v2_double" type="v2d"/><field name="v16_int8" type="v16i8"/>
<field name="v8_int16" type="v8i16"/><field name="v4_int32" type="v4i32"/><field name="v2_int64" type="v2i64"/><field name="uint128" type="uint128"/></union>`;

const SSE: Feature = {
  name: 'org.gnu.gdb.i386.sse',
  types: VECTOR_TYPES,
  registers: [
    ...Array.from({ length: 16 }, (_, i) => wide(`xmm${i}`, 128, 'vec128', () => S.xmm + 16 * i)),
    writable32('mxcsr', S.mxcsr, 'int', 'vector'),
  ],
};

const SEGMENTS: Feature = {
  name: 'org.gnu.gdb.i386.segments',
  types: '',
  registers: [word64('fs_base', segAddress(FS) + SEG.base, 'int'), word64('gs_base', segAddress(GS) + SEG.base, 'int')],
};

const control = (name: string, address: number, type = 'int64'): Register => word64(name, address, type, 'control');
const word32 = (name: string, address: number): Register => ({ name, bits: 32, type: 'uint32', group: 'control', read: (c) => BigInt(c.state.get32(address)) });

/** Control registers, tables, debug registers, and where the processor stands. */
const CONTROL: Feature = {
  name: 'org.xenolith.control',
  types: CONTROL_FLAGS,
  registers: [
    control('cr0', S.cr0, 'cr0_bits'), control('cr2', S.cr2, 'data_ptr'), control('cr3', S.cr3), control('cr4', S.cr4, 'cr4_bits'),
    { name: 'cr8', bits: 64, type: 'int64', group: 'control', read: ({ vcpu, state }) => (vcpu.virt?.virtualTpr?.(vcpu) === true ? state.get64(S.cr8) : BigInt(vcpu.platform.readTpr(vcpu) & 0xf)) },
    control('efer', S.efer, 'efer_bits'), control('xcr0', S.xcr0),
    control('gdtr_base', S.gdtrBase), word32('gdtr_limit', S.gdtrLimit), control('idtr_base', S.idtrBase), word32('idtr_limit', S.idtrLimit),
    { ...selector('ldtr', LDTR), group: 'control' }, { ...selector('tr', TR), group: 'control' },
    ...[0, 1, 2, 3, 6, 7].map((n) => control(`dr${n}`, S.dr + 8 * n)),
    word32('cpl', S.cpl),
    { name: 'guest_mode', bits: 32, type: 'uint32', group: 'control', read: (c) => (c.inGuest ? 1n : 0n) },
    { name: 'protected_mode', bits: 32, type: 'uint32', group: 'control', read: (c) => BigInt(c.state.cr0 & CR0_PE) },
    { name: 'linear_pc', bits: 64, type: 'code_ptr', group: 'control', read: (c) => c.linearPc },
  ],
};

const msr = (name: string, address: number, type = 'int64'): Register => word64(name, address, type, 'msr');

const MSRS: Feature = {
  name: 'org.xenolith.msr',
  types: '',
  registers: [
    msr('star', S.star), msr('lstar', S.lstar, 'code_ptr'), msr('cstar', S.cstar, 'code_ptr'), msr('sfmask', S.sfmask), msr('kernel_gs_base', S.kernelGsBase),
    msr('sysenter_cs', S.sysenterCs), msr('sysenter_esp', S.sysenterEsp, 'data_ptr'), msr('sysenter_eip', S.sysenterEip, 'code_ptr'), msr('pat', S.pat),
    msr('tsc_aux', S.tscAux), msr('debugctl', S.debugctl),
    { name: 'tsc', bits: 64, type: 'int64', group: 'msr', read: (c) => BigInt.asUintN(64, BigInt(Math.floor(c.machine.cycles)) + c.state.get64(S.tscOffset)) },
  ],
};

/** What every machine has; the features of its virtualisation extension come behind. */
export const PROCESSOR_FEATURES: readonly Feature[] = [CORE, SSE, SEGMENTS, CONTROL, MSRS];
/** Registers in a `g` packet: those of gdb's own features. */
export const GENERAL = CORE.registers.length + SSE.registers.length + SEGMENTS.registers.length;
