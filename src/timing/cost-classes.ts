/**
 * Classes of instructions that cost the same, and which encodings belong to which.
 *
 * A profile gives a number of cycles for each class. `PIPELINED` classes are scheduled by block-cost.ts on the units of the core,
 * their number being the latency; all others are charged whole and nothing overlaps with them. What neither table names is
 * `alu` when it is an ordinary integer instruction and `microcoded` when it is not.
 */

import { Code, Mnemonic as M, type Instruction, OpKind, Register } from 'iced-x86';
import { opCodeInfo } from '../cpu/insn.js';

/** Units of the core that a pipelined class occupies for one cycle. */
export const PIPELINED = {
  alu: 'alu', // add, logic, moves, compares, shifts, set, conditional moves
  multiply: 'multiply', // IMUL of two or three operands
  multiply_wide: 'multiply', // MUL, IMUL of one operand
  branch: 'branch',
  fp_add: 'fp_add', // scalar and packed SSE add, subtract, compare, convert
  fp_multiply: 'fp_multiply',
  vector: 'vector', // SSE moves, logic, integer, shuffles
  x87: 'fp_add', // x87 add, multiply, load, store, compare
} as const;

/** Classes that nothing overlaps with: the figure is the whole cost. */
export const SERIAL = [
  'divide_32', 'divide_64', 'fp_divide', 'x87_divide', 'x87_transcendental', 'microcoded', 'string_start', 'string_bytes_16', 'locked', 'xchg_memory',
  'mfence', 'lfence', 'pause', 'pushf', 'popf', 'cli_sti', 'cpuid', 'rdtsc', 'rdpmc', 'mov_segment', 'far_transfer', 'syscall', 'sysret', 'software_interrupt',
  'iret', 'mov_cr', 'mov_cr3', 'mov_dr', 'rdmsr', 'wrmsr', 'invlpg', 'wbinvd', 'descriptor_table', 'port_io', 'hlt', 'vmread', 'vmwrite', 'vmcs_pointer', 'vmx_mode',
  'invalidate_guest', 'vmload', 'vmsave', 'gif', 'fxsave',
] as const;

export type PipelinedClass = keyof typeof PIPELINED;
export type CostClass = PipelinedClass | (typeof SERIAL)[number];
export const COST_CLASSES: readonly CostClass[] = [...(Object.keys(PIPELINED) as PipelinedClass[]), ...SERIAL];

/** Mnemonics by class; what is not here is found by `fallback`. */
const BY_CLASS: { readonly [K in CostClass]?: readonly number[] } = {
  multiply_wide: [M.Mul],
  divide_32: [M.Div, M.Idiv], // divide_64 for 64-bit operands
  fp_add: [
    M.Addss, M.Addsd, M.Addps, M.Addpd, M.Subss, M.Subsd, M.Subps, M.Subpd, M.Minss, M.Minsd, M.Minps, M.Minpd, M.Maxss, M.Maxsd, M.Maxps, M.Maxpd,
    M.Comiss, M.Comisd, M.Ucomiss, M.Ucomisd, M.Cmpss, M.Cmpps, M.Cmppd, M.Cvtsi2ss, M.Cvtsi2sd, M.Cvtss2si, M.Cvtsd2si, M.Cvttss2si, M.Cvttsd2si,
    M.Cvtss2sd, M.Cvtsd2ss, M.Cvtps2pd, M.Cvtpd2ps, M.Cvtdq2ps, M.Cvtdq2pd, M.Cvtps2dq, M.Cvttps2dq, M.Cvtpd2dq, M.Cvttpd2dq,
  ],
  fp_multiply: [M.Mulss, M.Mulsd, M.Mulps, M.Mulpd, M.Pmuludq, M.Pmullw, M.Pmulhw, M.Pmulhuw, M.Pmaddwd],
  fp_divide: [M.Divss, M.Divsd, M.Divps, M.Divpd, M.Sqrtss, M.Sqrtsd, M.Sqrtps, M.Sqrtpd],
  x87_divide: [M.Fdiv, M.Fdivp, M.Fdivr, M.Fdivrp, M.Fidiv, M.Fidivr, M.Fsqrt, M.Fprem, M.Fprem1],
  x87_transcendental: [M.Fsin, M.Fcos, M.Fsincos, M.Fptan, M.Fpatan, M.F2xm1, M.Fyl2x, M.Fyl2xp1, M.Fbld, M.Fbstp],
  string_start: [
    M.Movsb, M.Movsw, M.Movsq, M.Stosb, M.Stosw, M.Stosd, M.Stosq, M.Lodsb, M.Lodsw, M.Lodsd, M.Lodsq, M.Scasb, M.Scasw, M.Scasd, M.Scasq, M.Cmpsb, M.Cmpsw,
    M.Cmpsq,
  ],
  mfence: [M.Mfence],
  lfence: [M.Lfence, M.Sfence],
  pause: [M.Pause, M.Monitor, M.Mwait],
  pushf: [M.Pushf, M.Pushfd, M.Pushfq],
  popf: [M.Popf, M.Popfd, M.Popfq],
  cli_sti: [M.Cli, M.Sti, M.Cld, M.Std],
  cpuid: [M.Cpuid],
  rdtsc: [M.Rdtsc, M.Rdtscp],
  rdpmc: [M.Rdpmc],
  mov_segment: [M.Lds, M.Les, M.Lss, M.Lfs, M.Lgs, M.Swapgs, M.Lar, M.Lsl, M.Verr, M.Verw, M.Rdfsbase, M.Rdgsbase, M.Wrfsbase, M.Wrgsbase],
  far_transfer: [M.Retf],
  syscall: [M.Syscall, M.Sysenter],
  sysret: [M.Sysret, M.Sysretq, M.Sysexit, M.Sysexitq],
  software_interrupt: [M.Int, M.Int3, M.Into, M.Int1, M.Ud2],
  iret: [M.Iret, M.Iretd, M.Iretq],
  mov_cr: [M.Clts, M.Lmsw, M.Smsw],
  rdmsr: [M.Rdmsr],
  wrmsr: [M.Wrmsr],
  invlpg: [M.Invlpg, M.Invpcid],
  wbinvd: [M.Wbinvd, M.Invd],
  descriptor_table: [M.Lgdt, M.Lidt, M.Lldt, M.Ltr, M.Sgdt, M.Sidt, M.Sldt, M.Str],
  port_io: [M.In, M.Out, M.Insb, M.Insw, M.Insd, M.Outsb, M.Outsw, M.Outsd],
  hlt: [M.Hlt],
  vmread: [M.Vmread],
  vmwrite: [M.Vmwrite],
  vmcs_pointer: [M.Vmptrld, M.Vmptrst, M.Vmclear],
  vmx_mode: [M.Vmxon, M.Vmxoff],
  invalidate_guest: [M.Invept, M.Invvpid, M.Invlpga],
  vmload: [M.Vmload],
  vmsave: [M.Vmsave],
  gif: [M.Stgi, M.Clgi],
  fxsave: [M.Fxsave, M.Fxrstor, M.Fxsave64, M.Fxrstor64, M.Xsave, M.Xrstor, M.Fnsave, M.Frstor],
  microcoded: [
    M.Enter, M.Bound, M.Aaa, M.Aad, M.Aam, M.Aas, M.Daa, M.Das, M.Pusha, M.Pushad, M.Popa, M.Popad, M.Cmpxchg8b, M.Cmpxchg16b, M.Xlatb, M.Rcl, M.Rcr,
    M.Fninit, M.Fldcw, M.Fnstcw, M.Fldenv, M.Fnstenv, M.Fnclex, M.Emms, M.Ldmxcsr, M.Stmxcsr, M.Xgetbv, M.Xsetbv,
    // Their own cost; what leaving or entering a guest costs is charged by the transition.
    M.Vmcall, M.Vmmcall, M.Vmlaunch, M.Vmresume, M.Vmrun,
  ],
};

const classOfMnemonic = new Map<number, CostClass>();
for (const [c, list] of Object.entries(BY_CLASS)) for (const m of list!) classOfMnemonic.set(m, c as CostClass);

const isSegment = (r: number): boolean => r >= Register.ES && r <= Register.GS;
const isControl = (r: number): boolean => r >= Register.CR0 && r <= Register.CR15;
const isDebug = (r: number): boolean => r >= Register.DR0 && r <= Register.DR15;

/** The class of a decoded instruction. Depends on encoding, operand registers and the LOCK prefix. */
export function costClass(i: Instruction): CostClass {
  const m = i.mnemonic, memory = i.op0Kind === OpKind.Memory;
  if (i.hasLockPrefix) return 'locked';
  if (m === M.Xchg && memory) return 'xchg_memory';
  if (m === M.Mov) {
    const a = i.op0Kind === OpKind.Register ? i.op0Register : 0, b = i.op1Kind === OpKind.Register ? i.op1Register : 0;
    if (isSegment(a)) return 'mov_segment';
    if (isControl(a)) return a === Register.CR3 ? 'mov_cr3' : 'mov_cr';
    if (isControl(b)) return 'mov_cr';
    if (isDebug(a) || isDebug(b)) return 'mov_dr';
    return 'alu';
  }
  if (m === M.Imul) return i.opCount === 1 ? 'multiply_wide' : 'multiply';
  if (m === M.Pop && i.op0Kind === OpKind.Register && isSegment(i.op0Register)) return 'mov_segment';
  if (m === M.Jmp || m === M.Call) return isFar(i) ? 'far_transfer' : 'branch';
  // MOVSD and CMPSD name a string and an SSE instruction each.
  if (m === M.Movsd) return i.code === Code.Movsd_m32_m32 ? 'string_start' : 'vector';
  if (m === M.Cmpsd) return i.code === Code.Cmpsd_m32_m32 ? 'string_start' : 'fp_add';
  const named = classOfMnemonic.get(m);
  if (named === 'divide_32' && opCodeInfo(i.code).operandSize === 64) return 'divide_64';
  return named ?? fallback(i);
}

const isFar = (i: Instruction): boolean => i.isJmpFar || i.isJmpFarIndirect || i.isCallFar || i.isCallFarIndirect;

function fallback(i: Instruction): CostClass {
  if (i.flowControl !== 0) return 'branch';
  const r = i.op0Kind === OpKind.Register ? i.op0Register : i.opCount > 1 && i.op1Kind === OpKind.Register ? i.op1Register : 0;
  if ((r >= Register.XMM0 && r <= Register.XMM31) || (r >= Register.MM0 && r <= Register.MM7)) return 'vector';
  if (i.isPrivileged) return 'microcoded';
  return isX87(i.code) ? 'x87' : 'alu';
}

const x87 = new Map<number, boolean>();
/** The x87 escapes; 0F D8 and its like are vector instructions and have been dealt with. */
function isX87(code: number): boolean {
  let is = x87.get(code);
  if (is === undefined) x87.set(code, (is = /^(9B |o16 |o32 )*D[89A-F]/.test(opCodeInfo(code).opCodeString)));
  return is;
}
