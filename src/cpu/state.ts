/**
 * The architectural state of the running vCPU, at fixed addresses of the linear memory.
 *
 * One table gives the addresses that emitted code uses (`S.rip`, `S.gpr`) and, through `CpuState`, what TypeScript reads
 * and writes. Only one vCPU's state is in the window at a time; switching vCPUs copies the window out and in, so emitted
 * code has constant addresses (docs/adr/0001).
 *
 * Status flags live in two words, written by every arithmetic instruction and read by conditions:
 *   flagsRes  i64  the result, sign-extended: ZF = (res == 0), SF = sign(res) ^ aux.1, PF = even parity(res & 0xff) ^ aux.0
 *   flagsAux  i64  CF = bit 63, OF = bit 63 ^ bit 62, AF = bit 3; bit 1 and bit 0 correct SF and PF for values that
 *                  no result has (POPF). All other bits are zero.
 * `rflagsRest` holds all other RFLAGS bits in their own places (TF, IF, DF, IOPL, NT, RF, VM, AC, VIF, VIP, ID; bit 1 set).
 */

import type { LinearMemory } from '../mem/linear-memory.js';
import { STATE_BASE, STATE_SIZE } from '../mem/layout.js';

/** Byte sizes of the state's fields, in order; arrays as [element size, count]. Fields are aligned to their element size. */
const FIELDS = {
  gpr: [8, 16], // RAX RCX RDX RBX RSP RBP RSI RDI R8..R15, the manual's register numbers
  rip: 8, // of the instruction being executed; exact whenever TypeScript runs
  nextRip: 8, // of the instruction after it; set before each helper
  codeBase: 8, // linear address of the page that executes now, minus CS.base: RIP = codeBase + offset in page
  flagsRes: 8,
  flagsAux: 8,
  rflagsRest: 8,
  /** ES CS SS DS FS GS LDTR TR; 32 bytes each: see SEG. */
  seg: [32, 8],
  gdtrBase: 8,
  idtrBase: 8,
  gdtrLimit: 4,
  idtrLimit: 4,
  cr0: 8,
  cr2: 8,
  cr3: 8,
  cr4: 8,
  cr8: 8,
  dr: [8, 8],
  xcr0: 8,
  efer: 8,
  star: 8,
  lstar: 8,
  cstar: 8,
  sfmask: 8,
  kernelGsBase: 8,
  sysenterCs: 8,
  sysenterEsp: 8,
  sysenterEip: 8,
  pat: 8,
  tscAux: 8,
  tscOffset: 8, // TSC = cycles + tscOffset
  debugctl: 8,
  pdpte: [8, 4], // PAE paging: the four registers loaded with CR3
  cpl: 4,
  mode: 4, // CPU mode that decoding depends on: see MODE
  tlb: 4, // linear-memory address of the software TLB in use
  stackMask: 4, // outside 64-bit mode: 0xffff or 0xffff_ffff by SS.B
  flatSegments: 4, // outside 64-bit mode: bit i for each segment i with base 0, no limit and all rights; bit 6: the stack is 32 bits wide
  csBase: 8, // base that instruction fetch adds to RIP: CS.base, 0 in 64-bit mode
  interruptShadow: 4, // 0, 1 = by STI, 2 = by MOV SS / POP SS
  activity: 4, // see ACTIVITY
  nmiBlocked: 4,
  guest: 4, // 1 in VMX non-root operation or between VMRUN and #VMEXIT
  // A pending exception that the run loop is to deliver: see events.ts
  pending: 4, // 0 none, 1 yes
  pendingVector: 4,
  pendingType: 4,
  pendingHasError: 4,
  pendingError: 4,
  pendingLength: 4, // instruction length for software interrupts and exceptions
  pendingAddress: 8, // #PF: the faulting linear address (CR2 is written on delivery only); #DB: the DR6 bits to set
  pendingDebug: 4, // DR6 bits of debug traps that wait for the end of the instruction (or of MOV SS blocking)
  delivered: 4, // 1: this very instruction delivered an event, so no single-step trap follows it
  shadowArmed: 4, // 1: this very instruction set `interruptShadow`; the run loop keeps the shadow for one instruction more
  // Accounting of a slice: now = sliceStart + (sliceBudget - left)
  left: 4,
  sliceBudget: 4,
  sliceStart: 8, // f64 cycles
  instructions: 8, // f64, instructions retired (cycle mode and functional mode)
  retired: 4, // instructions since the run loop counted them last (cycle mode)
  /** 1: a stop came in the middle of a block. The record at RIP is next, its fetch has been charged, and no event is looked at before it. */
  midBlock: 4,
  /** Why a chain has left: see LEFT_BY. */
  leftBy: 4,
  account: 4, // of the code that executes: AttributionPort
  currentPage: 4, // address of the code-page structure that executes now
  sampleSpare: 4, // cycles of the slice withheld until the next look at the guest (regions/compiler.ts); a region may take them
  leaveRegion: 4, // not 0: a compiled region is to leave behind the running instruction; code was dropped, or a stop is wanted
  scratch: [8, 16], // arguments and results of memory slow paths and helpers
  /** Vectors that SSE and x87 instructions raise now: 0 none, 6 #UD, 7 #NM. By CR0.EM, CR0.TS, CR0.MP and CR4.OSFXSR. */
  sseTrap: 4,
  x87Trap: 4,
  mxcsr: 4,
  fcw: 4,
  fsw: 4, // with TOP
  ftw: 4, // full 16-bit tag word
  fop: 4,
  fip: 8,
  fdp: 8,
  fcs: 4,
  fds: 4,
  st: [16, 8], // physical x87 registers, 80 bits used; MMX aliases the low 64
  xmm: [16, 32], // XMM_STRIDE apart
  msr: [8, 96], // MSRs that only RDMSR and WRMSR look at: slots in system/msr-store.ts
} as const;

type FieldName = keyof typeof FIELDS;

function layOut(): { [K in FieldName]: number } & { end: number } {
  let at = STATE_BASE;
  const out: Record<string, number> = {};
  for (const [name, f] of Object.entries(FIELDS)) {
    const [size, count] = typeof f === 'number' ? [f, 1] : f;
    const align = Math.min(size, 16);
    at = (at + align - 1) & -align;
    out[name] = at;
    at += size * count;
  }
  out['end'] = at;
  if (at > STATE_BASE + STATE_SIZE) throw new Error('the CPU state does not fit its window');
  // A copy: V8 keeps an object that properties were added to by name as a hash table, and this one is read everywhere.
  return { ...out } as { [K in FieldName]: number } & { end: number };
}

/** Linear-memory address of each field of the running vCPU's state. */
export const S = layOut();

/** Thirty-two bytes of `S.scratch` that memory slow paths use (see engine/host-imports.ts); helpers use the rest. */
export const SCRATCH_DATA = S.scratch + 64;

/** Bytes from one XMM register to the next: there is room for the upper halves of YMM. */
export const XMM_STRIDE = 32;

/** Bytes that a switch of vCPUs copies. */
export const STATE_BYTES = S.end - STATE_BASE;
/** Index of the window's first 32-bit word in the linear memory. */
export const STATE_BASE_WORD = STATE_BASE >>> 2;

/** Offsets inside one of the eight 32-byte segment entries of `S.seg`. */
export const SEG = {
  base: 0, // u64
  limit: 8, // u32, in bytes
  attr: 12, // u32, the VMX access-rights format: type 3:0, S 4, DPL 6:5, P 7, AVL 12, L 13, D/B 14, G 15, unusable 16
  selector: 16, // u32
  limitRead: 20, // u32: highest offset that may be read without a closer look; 0 with noRead set means look closer
  limitWrite: 24, // u32: the same for writes
  /** 1 when reads (bit 0) or writes (bit 1) of this segment always need the closer look (null, expand-down, execute-only ...) */
  slow: 28, // u32
} as const;

export const ES = 0, CS = 1, SS = 2, DS = 3, FS = 4, GS = 5, LDTR = 6, TR = 7;
export const RAX = 0, RCX = 1, RDX = 2, RBX = 3, RSP = 4, RBP = 5, RSI = 6, RDI = 7;

export const segAddress = (index: number): number => S.seg + index * 32;
export const gprAddress = (index: number): number => S.gpr + index * 8;

/** What decoding depends on besides the bytes: the code size. */
export const MODE = { bits16: 0, bits32: 1, bits64: 2 } as const;

/**
 * How a chain of records ended, for one that was made to leave where it would have gone on: 0 at a helper, a fault or a miss, where the
 * run loop is to look at everything; else bits. `samePage`: the branch goes to a record of its own page.
 */
export const LEFT_BY = { blockEnd: 1, stopRecord: 2, breakpoint: 4, samePage: 8 } as const;

/** SDM 3C §25.4.2 "Guest Non-Register State", activity state. */
export const ACTIVITY = { active: 0, hlt: 1, shutdown: 2, waitForSipi: 3 } as const;

export const CF = 1 << 0, PF = 1 << 2, AF = 1 << 4, ZF = 1 << 6, SF = 1 << 7, TF = 1 << 8, IF = 1 << 9, DF = 1 << 10, OF = 1 << 11;
export const IOPL_SHIFT = 12, IOPL = 3 << 12, NT = 1 << 14, RF = 1 << 16, VM = 1 << 17, AC = 1 << 18, VIF = 1 << 19, VIP = 1 << 20, ID = 1 << 21;
export const STATUS_FLAGS = CF | PF | AF | ZF | SF | OF;

export const CR0_PE = 1, CR0_MP = 2, CR0_EM = 4, CR0_TS = 8, CR0_ET = 16, CR0_NE = 32, CR0_WP = 1 << 16, CR0_AM = 1 << 18, CR0_NW = 1 << 29, CR0_CD = 1 << 30, CR0_PG = 0x8000_0000;
export const CR4_VME = 1, CR4_PVI = 2, CR4_TSD = 4, CR4_DE = 8, CR4_PSE = 16, CR4_PAE = 32, CR4_MCE = 64, CR4_PGE = 128, CR4_PCE = 256, CR4_OSFXSR = 512, CR4_OSXMMEXCPT = 1024, CR4_UMIP = 1 << 11, CR4_VMXE = 1 << 13, CR4_SMXE = 1 << 14, CR4_FSGSBASE = 1 << 16, CR4_PCIDE = 1 << 17, CR4_OSXSAVE = 1 << 18, CR4_SMEP = 1 << 20, CR4_SMAP = 1 << 21;
export const EFER_SCE = 1, EFER_LME = 1 << 8, EFER_LMA = 1 << 10, EFER_NXE = 1 << 11, EFER_SVME = 1 << 12;

const parity = (v: number): number => {
  v ^= v >> 4;
  v ^= v >> 2;
  v ^= v >> 1;
  return ~v & 1; // 1 = even number of ones
};

/** RFLAGS from its parts: the halves of `flagsRes` and `flagsAux`, and `rflagsRest`. */
export function flagsOf(lo: number, hi: number, auxLo: number, auxHi: number, rest: number): number {
  let f = rest;
  if (auxHi < 0) f |= CF;
  if ((auxHi ^ (auxHi << 1)) < 0) f |= OF;
  if (auxLo & 8) f |= AF;
  if (lo === 0 && hi === 0) f |= ZF;
  if ((hi < 0 ? 1 : 0) ^ ((auxLo >> 1) & 1)) f |= SF;
  if (parity(lo & 0xff) ^ (auxLo & 1)) f |= PF;
  return f >>> 0;
}

/**
 * TypeScript's view of the state window. 64-bit values are BigInt here (cold code); warm code reads `m.u32` at `S.x >> 2`.
 * It also serves a copy of the window in a buffer of its own (`copyOf`), for those who only look.
 */
export class CpuState {
  constructor(readonly m: Pick<LinearMemory, 'u8' | 'u16' | 'u32' | 'i32' | 'u64' | 'view'>) {}

  /** A state that stands by itself. @param bytes STATE_BYTES of a vCPU's window (`Vcpu.copyState`) */
  static copyOf(bytes: Uint8Array): CpuState {
    const buffer = new ArrayBuffer(STATE_BASE + ((STATE_BYTES + 15) & ~15)), u8 = new Uint8Array(buffer);
    u8.set(bytes, STATE_BASE);
    return new CpuState({ u8, u16: new Uint16Array(buffer), u32: new Uint32Array(buffer), i32: new Int32Array(buffer), u64: new BigUint64Array(buffer), view: new DataView(buffer) });
  }

  get64(address: number): bigint {
    return this.m.u64[address >>> 3]!;
  }
  set64(address: number, v: bigint): void {
    this.m.u64[address >>> 3] = v;
  }
  get32(address: number): number {
    return this.m.u32[address >>> 2]!;
  }
  set32(address: number, v: number): void {
    this.m.u32[address >>> 2] = v;
  }

  gpr(i: number): bigint {
    return this.get64(gprAddress(i));
  }
  setGpr(i: number, v: bigint): void {
    this.set64(gprAddress(i), v);
  }
  /** Low 32 bits of a general register, as an unsigned number. */
  gpr32(i: number): number {
    return this.get32(gprAddress(i));
  }
  /** Writes 32 bits as an instruction does: the upper half becomes zero. */
  setGpr32(i: number, v: number): void {
    this.set32(gprAddress(i), v);
    this.set32(gprAddress(i) + 4, 0);
  }

  get rip(): bigint {
    return this.get64(S.rip);
  }
  set rip(v: bigint) {
    this.set64(S.rip, v);
  }
  get nextRip(): bigint {
    return this.get64(S.nextRip);
  }
  get cpl(): number {
    return this.get32(S.cpl);
  }
  get cr0(): number {
    return this.get32(S.cr0);
  }
  get cr4(): number {
    return this.get32(S.cr4);
  }
  get efer(): number {
    return this.get32(S.efer);
  }
  /** IA32_EFER.LMA */
  get longMode(): boolean {
    return (this.efer & EFER_LMA) !== 0;
  }
  /** 64-bit mode: long mode with a CS.L code segment */
  get mode64(): boolean {
    return this.get32(S.mode) === MODE.bits64;
  }

  segBase(i: number): bigint {
    return this.get64(segAddress(i) + SEG.base);
  }
  segLimit(i: number): number {
    return this.get32(segAddress(i) + SEG.limit);
  }
  segAttr(i: number): number {
    return this.get32(segAddress(i) + SEG.attr);
  }
  selector(i: number): number {
    return this.get32(segAddress(i) + SEG.selector);
  }

  /** The low 32 bits of RFLAGS, status flags materialised. */
  get rflags(): number {
    const { i32 } = this.m, res = S.flagsRes >>> 2, aux = S.flagsAux >>> 2;
    return flagsOf(i32[res]!, i32[res + 1]!, i32[aux]!, i32[aux + 1]!, i32[S.rflagsRest >>> 2]!);
  }
  /** Writes all of RFLAGS (bit 1 is forced to one, reserved bits to zero). */
  set rflags(v: number) {
    const { u32 } = this.m;
    u32[S.rflagsRest >>> 2] = (v & (TF | IF | DF | IOPL | NT | RF | VM | AC | VIF | VIP | ID)) | 2;
    u32[(S.rflagsRest >>> 2) + 1] = 0;
    // A result of 0 has PF set and SF clear, a result of 1 has both clear: aux bits 0 and 1 correct from there.
    const zero = (v & ZF) !== 0;
    u32[S.flagsRes >>> 2] = zero ? 0 : 1;
    u32[(S.flagsRes >>> 2) + 1] = 0;
    let auxLo = v & AF ? 8 : 0;
    if (v & SF) auxLo |= 2;
    if (((v & PF) !== 0) !== zero) auxLo |= 1;
    const cf = v & CF ? 1 : 0, of = v & OF ? 1 : 0;
    u32[S.flagsAux >>> 2] = auxLo;
    u32[(S.flagsAux >>> 2) + 1] = ((cf << 31) | ((cf ^ of) << 30)) >>> 0;
  }

  /** Copies the window to `store` (STATE_BYTES long). */
  save(store: Uint8Array): void {
    store.set(this.m.u8.subarray(STATE_BASE, STATE_BASE + STATE_BYTES));
  }
  /** Copies `store` into the window. */
  restore(store: Uint8Array): void {
    this.m.u8.set(store, STATE_BASE);
  }
}
