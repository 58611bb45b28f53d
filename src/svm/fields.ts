/**
 * The virtual machine control block: where every field lies, what its bits mean, and a view of one block in guest-physical memory.
 *
 * APM 2 appendix B "Layout of VMCB": table B-1 (control area) and table B-2 (state-save area); the segment format is that of
 * APM 2 §15.5.1 "Basic Operation", "Segment State in the VMCB".
 *
 *     VMCB page  +000h  control area: intercepts, permission maps, ASID, virtual interrupts, exit information, injection
 *                +400h  state-save area: segments, control and debug registers, RIP, RSP, RAX, system-call MSRs
 *
 * Invariants: the block is always in guest-physical memory and nowhere else (no cached copy of the save area); a block is one
 * page, so one linear-memory address reaches all of it. Names are the manual's.
 */

import type { LinearMemory } from '../mem/linear-memory.js';

/** Byte offset and size in bytes of each field of the control area. */
export const CONTROL_FIELDS = {
  INTERCEPT_CR_READ: [0x000, 2],
  INTERCEPT_CR_WRITE: [0x002, 2],
  INTERCEPT_DR_READ: [0x004, 2],
  INTERCEPT_DR_WRITE: [0x006, 2],
  INTERCEPT_EXCEPTIONS: [0x008, 4],
  INTERCEPT_MISC1: [0x00c, 4],
  INTERCEPT_MISC2: [0x010, 4],
  PAUSE_FILTER_THRESHOLD: [0x03c, 2],
  PAUSE_FILTER_COUNT: [0x03e, 2],
  IOPM_BASE_PA: [0x040, 8],
  MSRPM_BASE_PA: [0x048, 8],
  TSC_OFFSET: [0x050, 8],
  GUEST_ASID: [0x058, 4],
  TLB_CONTROL: [0x05c, 1],
  V_INTR: [0x060, 4], // V_TPR, V_IRQ, V_INTR_PRIO, V_IGN_TPR, V_INTR_MASKING
  V_INTR_VECTOR: [0x064, 1],
  INTERRUPT_SHADOW: [0x068, 4],
  EXITCODE: [0x070, 8],
  EXITINFO1: [0x078, 8],
  EXITINFO2: [0x080, 8],
  EXITINTINFO: [0x088, 8],
  NP_ENABLE: [0x090, 8],
  EVENTINJ: [0x0a8, 8],
  N_CR3: [0x0b0, 8],
  LBR_VIRTUALIZATION_ENABLE: [0x0b8, 8],
  VMCB_CLEAN: [0x0c0, 4],
  NRIP: [0x0c8, 8],
  GUEST_INSTRUCTION_BYTES: [0x0d0, 16], // number of bytes fetched, then up to 15 bytes
} as const;

/** Byte offset (in the page) and size of each field of the state-save area; segment registers are 16 bytes, see VMCB_SEG. */
export const SAVE_FIELDS = {
  ES: [0x400, 16],
  CS: [0x410, 16],
  SS: [0x420, 16],
  DS: [0x430, 16],
  FS: [0x440, 16],
  GS: [0x450, 16],
  GDTR: [0x460, 16],
  LDTR: [0x470, 16],
  IDTR: [0x480, 16],
  TR: [0x490, 16],
  CPL: [0x4cb, 1],
  EFER: [0x4d0, 8],
  CR4: [0x548, 8],
  CR3: [0x550, 8],
  CR0: [0x558, 8],
  DR7: [0x560, 8],
  DR6: [0x568, 8],
  RFLAGS: [0x570, 8],
  RIP: [0x578, 8],
  RSP: [0x5d8, 8],
  RAX: [0x5f8, 8],
  STAR: [0x600, 8],
  LSTAR: [0x608, 8],
  CSTAR: [0x610, 8],
  SFMASK: [0x618, 8],
  KernelGsBase: [0x620, 8],
  SYSENTER_CS: [0x628, 8],
  SYSENTER_ESP: [0x630, 8],
  SYSENTER_EIP: [0x638, 8],
  CR2: [0x640, 8],
  G_PAT: [0x668, 8],
} as const;

type Table = Record<string, readonly [number, number]>;
const offsets = <T extends Table>(t: T): { readonly [K in keyof T]: number } =>
  Object.fromEntries(Object.entries(t).map(([name, [offset]]) => [name, offset])) as { [K in keyof T]: number };

/** Offset of each field in the VMCB page. */
export const VMCB = { ...offsets(CONTROL_FIELDS), ...offsets(SAVE_FIELDS) };

/** Offsets inside one segment register of the save area (GDTR and IDTR use limit and base only). */
export const VMCB_SEG = { selector: 0, attrib: 2, limit: 4, base: 8 } as const;

/** Bits of the 32-bit word at V_INTR. APM 2 §15.21 "Interrupt and Local APIC Support". */
export const V_TPR_MASK = 0xff;
export const V_IRQ = 1 << 8;
export const V_INTR_PRIO_SHIFT = 16;
export const V_IGN_TPR = 1 << 20;
export const V_INTR_MASKING = 1 << 24;

/** TLB_CONTROL. APM 2 §15.16.1 "TLB Flush", table 15-9. */
export const TLB_CONTROL = { nothing: 0, flushAll: 1, flushGuest: 3, flushGuestNonGlobal: 7 } as const;

/** EVENTINJ and EXITINTINFO. APM 2 §15.20 "Event Injection", §15.7.2 "Intercepts During IDT Interrupt Delivery". */
export const EVENT_VALID = 0x8000_0000;
export const EVENT_ERROR_VALID = 1 << 11;
export const EVENT_TYPE_SHIFT = 8;

/** Bytes of the permission maps. APM 2 §15.10.1 "I/O Permissions Map", §15.11 "MSR Intercepts". */
export const IOPM_BYTES = 0x3000;
export const MSRPM_BYTES = 0x2000;

/** One VMCB (or host save area) where it lies in the linear memory. `at` may be moved to another block. */
export class VmcbView {
  /** @param at linear-memory address of the block's page */
  constructor(readonly m: LinearMemory, public at = 0) {}

  private written(): void {
    this.m.dirty[this.at >>> 12] = 1;
  }

  u8(offset: number): number {
    return this.m.u8[this.at + offset]!;
  }
  setU8(offset: number, v: number): void {
    this.m.u8[this.at + offset] = v;
    this.written();
  }
  u16(offset: number): number {
    return this.m.u16[(this.at + offset) >>> 1]!;
  }
  setU16(offset: number, v: number): void {
    this.m.u16[(this.at + offset) >>> 1] = v;
    this.written();
  }
  u32(offset: number): number {
    return this.m.u32[(this.at + offset) >>> 2]!;
  }
  setU32(offset: number, v: number): void {
    this.m.u32[(this.at + offset) >>> 2] = v;
    this.written();
  }
  /** Upper half of a 64-bit field. */
  high(offset: number): number {
    return this.u32(offset + 4);
  }
  u64(offset: number): bigint {
    return this.m.u64[(this.at + offset) >>> 3]!;
  }
  setU64(offset: number, v: bigint): void {
    this.m.u64[(this.at + offset) >>> 3] = v;
    this.written();
  }
  setHalves(offset: number, low: number, high: number): void {
    this.setU32(offset, low);
    this.setU32(offset + 4, high);
  }
  /** A 64-bit field as a number: exact below 2^53, enough for physical addresses. */
  address(offset: number): number {
    return this.high(offset) * 0x1_0000_0000 + this.u32(offset);
  }
  /** Copies a 64-bit field to the linear-memory address `to` (a field of the CPU state). */
  load64(offset: number, to: number): void {
    const { u32 } = this.m;
    const from = (this.at + offset) >>> 2;
    u32[to >>> 2] = u32[from]!;
    u32[(to >>> 2) + 1] = u32[from + 1]!;
  }
  /** Copies the 64 bits at the linear-memory address `from` into a field. */
  store64(offset: number, from: number): void {
    const { u32 } = this.m;
    const to = (this.at + offset) >>> 2;
    u32[to] = u32[from >>> 2]!;
    u32[to + 1] = u32[(from >>> 2) + 1]!;
    this.written();
  }
  /** As `load64`, with bit 47 copied into bits 63:48: "VMRUN and #VMEXIT canonicalize ... all base addresses". */
  loadCanonical(offset: number, to: number): void {
    this.load64(offset, to);
    const { i32 } = this.m;
    i32[(to >>> 2) + 1] = (i32[(to >>> 2) + 1]! << 16) >> 16;
  }
}
