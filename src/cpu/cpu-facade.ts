/**
 * The `Cpu` that helpers, mmu, extensions and machine hold: one vCPU's parts, its time, exceptions, memory, mode and translations.
 * What runs it comes on top: emitted-code-host.ts, code-fetch.ts, vcpu.ts.
 *
 * Invariant: time is `sliceStart + sliceBudget - left`, kept in the state, so that it is exact inside helpers too.
 */

import type { LinearMemory } from '../mem/linear-memory.js';
import type { PhysicalMemory } from '../mem/physical.js';
import type { PagingContext } from '../mmu/context.js';
import { OK, READ, WRITE } from '../mmu/format.js';
import { Mmu } from '../mmu/mmu.js';
import type { Cpu } from './cpu.js';
import type { Engine } from './engine/engine.js';
import { MemoryAccess } from './engine/memory-access.js';
import { EVENT_TYPE, GUEST_EVENT, NM, UD } from './events.js';
import { LEAVE } from './insn.js';
import type { AttributionPort, PlatformPort, ProbePort, TimingPort, VirtPort } from './ports.js';
import type { CpuidTable, MsrTable } from './registers.js';
import {
  AC, CR0_AM, CR0_EM, CR0_PG, CR0_TS, CR0_WP, CR4_OSFXSR, CR4_PAE, CR4_PCIDE, CR4_PGE, CR4_PSE, CR4_SMAP, CR4_SMEP, CS, CpuState, EFER_LMA,
  EFER_NXE, MODE, S, SEG, SS, segAddress,
} from './state.js';
import { dataBreakpointsActive, noteDataAccess } from './system/debug.js';
import { checkedLinear, refreshAllFastLimits } from './system/segments.js';

export interface VcpuConfig {
  readonly id: number;
  readonly engine: Engine;
  readonly platform: PlatformPort;
  readonly virt: VirtPort | null;
  readonly timing: TimingPort | null;
  readonly probe: ProbePort;
  /** Absent: cycles are not attributed. */
  readonly attribution?: AttributionPort | undefined;
  readonly cpuid: CpuidTable;
  readonly msrs: MsrTable;
  /** MAXPHYADDR, 32 to 52. */
  readonly physicalAddressBits: number;
  /** 1-GByte pages; PML4E/PDPTE bit 8 reserved (AMD); EPT options: see MmuOptions. */
  readonly gigabytePages: boolean;
  readonly bit8Reserved: boolean;
  readonly eptExecuteOnly?: boolean;
  readonly eptGigabytePages?: boolean;
}

export class CpuFacade implements Cpu {
  readonly id: number;
  readonly m: LinearMemory;
  readonly s: CpuState;
  readonly phys: PhysicalMemory;
  readonly platform: PlatformPort;
  readonly virt: VirtPort | null;
  readonly timing: TimingPort | null;
  readonly probe: ProbePort;
  readonly attribution: AttributionPort | undefined;
  readonly msrs: MsrTable;
  readonly cpuid: CpuidTable;
  readonly physicalAddressBits: number;
  readonly mmu: Mmu;
  readonly memory: MemoryAccess;
  readonly engine: Engine;
  cr4Allowed = 0;
  eferAllowed = 0;
  addressSpaceTag = 0;
  nmiPending = false;
  initPending = false;
  sipiVector = -1;
  /** Set with VcpuExit `stopped`. */
  stopReason: { what: string; address: string } | undefined;
  watch: ((hi: number, lo: number, size: number, write: boolean) => void) | undefined;

  /** CR0.AM, RFLAGS.AC and CPL 3: misaligned data accesses raise #AC(0). */
  alignmentChecked = false;

  private readonly noteForDebug = (hi: number, lo: number, size: number, write: boolean): void =>
    noteDataAccess(this, (BigInt(hi) << 32n) | BigInt(lo >>> 0), size, write);
  private readonly context: { -readonly [K in keyof PagingContext]: PagingContext[K] };
  protected user = false;
  /** How the TLB in use was chosen: see `modeChanged`. */
  protected closeLook = false;
  private pcid = 0;
  private variant = 0;
  private supervisorTlb = 0;
  protected charged = 0;
  /** Cycles taken out of `left` so that the chain leaves early; the slice still has them. */
  protected withheld = 0;
  /** A VM exit happened, and no instruction retired. */
  protected exited = false;

  constructor(c: VcpuConfig) {
    this.id = c.id;
    this.engine = c.engine;
    this.m = c.engine.m;
    this.phys = c.engine.phys;
    this.s = new CpuState(this.m);
    this.platform = c.platform;
    this.virt = c.virt;
    this.timing = c.timing;
    this.probe = c.probe;
    this.attribution = c.attribution;
    this.cpuid = c.cpuid;
    this.msrs = c.msrs;
    this.physicalAddressBits = c.physicalAddressBits;
    this.mmu = new Mmu(this.m, this.phys, {
      physicalAddressBits: c.physicalAddressBits,
      gigabytePages: c.gigabytePages,
      bit8Reserved: c.bit8Reserved,
      eptExecuteOnly: c.eptExecuteOnly ?? false,
      eptGigabytePages: c.eptGigabytePages ?? false,
      pdpteRegisters: S.pdpte,
    });
    this.memory = new MemoryAccess(this.m, this.phys, this.mmu, this.engine.tlb, this.engine.cache, this, this.engine.watchpoints);
    this.context = { paging: 'none', cr3Lo: 0, cr3Hi: 0, wp: false, pse: false, pge: false, smep: false, smap: false, ac: false, nx: false, nested: null };
  }

  // ---- time

  protected get left(): number {
    return this.m.i32[S.left >>> 2]!;
  }
  now(): number {
    const { m } = this;
    return m.view.getFloat64(S.sliceStart, true) + m.i32[S.sliceBudget >>> 2]! - m.i32[S.left >>> 2]!;
  }
  charge(cycles: number): void {
    this.m.i32[S.left >>> 2]! -= cycles;
    this.charged += cycles;
  }
  kick(): void {
    const { i32 } = this.m, rest = i32[S.left >>> 2]! + this.withheld + i32[S.sampleSpare >>> 2]!;
    if (rest <= 0) return;
    i32[S.sliceBudget >>> 2]! -= rest;
    i32[S.left >>> 2]! -= rest;
  }
  get inGuest(): boolean {
    return this.m.u32[S.guest >>> 2] !== 0;
  }

  // ---- exceptions, memory and mode

  protected record(vector: number, error: number | undefined): void {
    const { s } = this;
    s.set32(S.pending, 1);
    s.set32(S.pendingVector, vector);
    s.set32(S.pendingType, EVENT_TYPE.hardware);
    s.set32(S.pendingHasError, error === undefined ? 0 : 1);
    s.set32(S.pendingError, error ?? 0);
    s.set32(S.pendingLength, 0);
  }
  raise(vector: number, errorCode?: number): never {
    this.record(vector, errorCode);
    throw GUEST_EVENT;
  }
  finish(): 1 {
    this.s.set64(S.rip, this.s.nextRip);
    return LEAVE;
  }
  readLinear(linear: bigint, size: number, supervisor = false): bigint {
    return this.memory.read(linear, size, !supervisor && this.user, supervisor);
  }
  writeLinear(linear: bigint, size: number, value: bigint, supervisor = false): void {
    this.memory.write(linear, size, value, !supervisor && this.user, supervisor);
  }
  plainMemory(linear: bigint, size: number, write: boolean): number {
    return this.memory.plain(linear, size, write, this.user);
  }
  withheldTag(linHi: number, linLo: number, write: boolean): boolean {
    return this.memory.withheld(linHi, linLo, write, this.user, false) !== 0;
  }
  noteAccess(linHi: number, linLo: number, at: number, bytes: number, write: boolean): void {
    this.engine.watchpoints.note(linHi, linLo, bytes, write ? WRITE : READ);
    if (write) this.engine.watchpoints.stored(at, bytes);
  }
  linearAddress(segment: number, offset: bigint, size: number, write: boolean): bigint {
    return checkedLinear(this, segment, offset, size, write);
  }
  readSegment(segment: number, offset: bigint, size: number): bigint {
    return this.readLinear(checkedLinear(this, segment, offset, size, false), size);
  }
  writeSegment(segment: number, offset: bigint, size: number, value: bigint): void {
    this.writeLinear(checkedLinear(this, segment, offset, size, true), size, value);
  }
  readPhys(hpa: number, size: 1 | 2 | 4 | 8): bigint {
    return this.memory.readPhys(hpa, size);
  }
  writePhys(hpa: number, size: 1 | 2 | 4 | 8, value: bigint): void {
    this.memory.writePhys(hpa, size, value);
  }
  readGuestPhys(gpa: number, size: 4 | 8): bigint {
    if (this.mmu.translatePhysical(gpa, READ) === OK) return this.memory.readPhys(this.mmu.hpa, size);
    this.nestedFault();
    throw GUEST_EVENT;
  }
  nestedFault(): void {
    if (this.virt === null) throw new Error('nested fault without an extension');
    this.exited = true;
    this.virt.nestedFault(this, this.mmu.nestedFault);
  }

  modeChanged(): void {
    const { s, context } = this, { u32 } = this.m;
    const { cr0, cr4, efer } = s;
    const long = (efer & EFER_LMA) !== 0;
    const csAttr = s.segAttr(CS);
    const mode = long && csAttr & 0x2000 ? MODE.bits64 : csAttr & 0x4000 ? MODE.bits32 : MODE.bits16;
    s.set32(S.mode, mode);
    const csBase = (segAddress(CS) + SEG.base) >>> 2;
    u32[S.csBase >>> 2] = mode === MODE.bits64 ? 0 : u32[csBase]!;
    u32[(S.csBase >>> 2) + 1] = mode === MODE.bits64 ? 0 : u32[csBase + 1]!;
    s.set32(S.stackMask, s.segAttr(SS) & 0x4000 ? 0xffff_ffff : 0xffff);
    this.user = s.cpl === 3;
    const nested = this.inGuest && this.virt !== null ? this.virt.nested : null;
    const ac = (s.get32(S.rflagsRest) & AC) !== 0;
    context.paging = (cr0 & CR0_PG) === 0 ? 'none' : long ? '4-level' : cr4 & CR4_PAE ? 'PAE' : '32-bit';
    context.cr3Lo = s.get32(S.cr3);
    context.cr3Hi = s.get32(S.cr3 + 4);
    context.wp = (cr0 & CR0_WP) !== 0;
    context.pse = (cr4 & CR4_PSE) !== 0;
    context.pge = (cr4 & CR4_PGE) !== 0;
    context.smep = (cr4 & CR4_SMEP) !== 0;
    context.smap = (cr4 & CR4_SMAP) !== 0;
    context.ac = ac;
    context.nx = (efer & EFER_NXE) !== 0;
    context.patLo = s.get32(S.pat);
    context.patHi = s.get32(S.pat + 4);
    context.nested = nested;
    context.pdpteFromMemory = nested?.format === 'npt';
    this.mmu.setContext(context);
    this.watch = dataBreakpointsActive(this) ? this.noteForDebug : undefined;
    this.alignmentChecked = this.user && ac && (cr0 & CR0_AM) !== 0;
    // Alignment checks and data breakpoints look at every access: a TLB that is never filled.
    const closeLook = this.watch !== undefined || this.alignmentChecked;
    const pcid = cr4 & CR4_PCIDE && long ? context.cr3Lo & 0xfff : 0;
    const variant =
      (this.user ? 1 : 0) | (context.wp ? 2 : 0) | (context.smap && !ac ? 4 : 0) | (context.smep ? 8 : 0) | (context.nx ? 16 : 0) |
      (context.paging === 'none' ? 32 : 0) | (closeLook ? 64 : 0) | (nested !== null ? 128 : 0);
    this.closeLook = closeLook;
    this.pcid = pcid;
    this.variant = variant;
    this.supervisorTlb = 0;
    s.set32(S.tlb, this.engine.tlb.select(this.id, this.addressSpaceTag, pcid, variant));
    // SDM 3A §2.5 "Control Registers", CR0.TS, CR0.EM; §13.1.4 "Emulation of Instructions that Use XMM Registers".
    const ts = (cr0 & CR0_TS) !== 0, em = (cr0 & CR0_EM) !== 0;
    s.set32(S.sseTrap, em || (cr4 & CR4_OSFXSR) === 0 ? UD : ts ? NM : 0);
    s.set32(S.x87Trap, em || ts ? NM : 0);
    this.timing?.select(this.id, this.addressSpaceTag, pcid);
    refreshAllFastLimits(s);
  }

  /**
   * User code's accesses as a supervisor (descriptor tables, stacks of handlers) have the supervisor's TLB, chosen when first
   * needed. With SMAP, implicit accesses have rights that no TLB of ours stands for.
   */
  tlbFor(user: boolean, implicit: boolean): number {
    if (this.closeLook || (implicit && this.context.smap)) return 0;
    if (user === this.user) return this.m.u32[S.tlb >>> 2]!;
    if (user) return 0;
    if (this.supervisorTlb === 0) this.supervisorTlb = this.engine.tlb.select(this.id, this.addressSpaceTag, this.pcid, this.variant & ~1);
    return this.supervisorTlb;
  }

  flushTlb(scope: 'page' | 'local' | 'context' | 'all', linear = 0n): void {
    const { tlb } = this.engine;
    this.timing?.flush(scope === 'local' ? 'context' : scope, this.addressSpaceTag, linear);
    if (scope === 'page') tlb.flushPage(this.id, this.addressSpaceTag, Number((linear >> 32n) & 0xffff_ffffn), Number(linear & 0xffff_ffffn));
    else if (scope === 'all') tlb.flushAll(this.id);
    else tlb.flushContext(this.id, this.addressSpaceTag, -1, scope === 'local');
  }
  flushTag(tag: number, linear?: bigint): void {
    const { tlb } = this.engine;
    this.timing?.flush(linear === undefined ? 'context' : 'page', tag, linear);
    if (linear !== undefined) tlb.flushPage(this.id, tag, Number((linear >> 32n) & 0xffff_ffffn), Number(linear & 0xffff_ffffn));
    else tlb.flushTag(this.id, tag);
  }

  notImplemented(what: string): never {
    this.stop(what);
    throw GUEST_EVENT;
  }
  protected stop(what: string): void {
    this.stopReason = { what, address: `${this.s.selector(CS).toString(16)}:0x${this.s.rip.toString(16)}` };
    this.kick();
  }
}
