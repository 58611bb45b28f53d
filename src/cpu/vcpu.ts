/**
 * One virtual processor: the run loop, and the `Cpu` that helpers, mmu, extensions and machine hold.
 *
 * The loop delivers what is pending, looks at events in the manual's order (SDM 3A §6.9 "Priority Among Simultaneous Exceptions
 * and Interrupts"), then lets a chain of records run until something leaves: a helper, a fault, an instruction that is not
 * decoded, or the end of the slice. Interrupts are looked at where blocks end.
 *
 * Invariants: time is `sliceStart + sliceBudget - left`, kept in the state, so that it is exact inside helpers too. Every pass
 * of the loop takes at least one cycle, so that no guest can stop time.
 */

import type { LinearMemory } from '../mem/linear-memory.js';
import type { PhysicalMemory } from '../mem/physical.js';
import { Mmu } from '../mmu/mmu.js';
import { TLB_ENTRIES, TLB_ENTRY_BYTES } from '../mmu/tlb.js';
import { FETCH, OK, READ, WRITE } from '../mmu/format.js';
import type { PagingContext } from '../mmu/context.js';
import type { Cpu } from './cpu.js';
import type { EmittedCodeHost, Engine } from './engine/engine.js';
import { STEP_RECORD } from './engine/code-cache.js';
import { codeName } from './engine/forms.js';
import { helperById } from './engine/helpers.js';
import { MemoryAccess } from './engine/memory-access.js';
import { P, PAGE_HEADER, R, RECORD_BYTES, RF_SAME_PAGE } from './engine/record.js';
import { RecordView } from './engine/record-view.js';
import { EVENT_TYPE, GP, GUEST_EVENT, NM, UD } from './events.js';
import { LEAVE } from './insn.js';
import { PROBE, type AttributionPort, type PlatformPort, type ProbePort, type TimingPort, type VirtPort } from './ports.js';
import { MsrTable, type CpuidTable } from './registers.js';
import {
  AC, ACTIVITY, CR0_AM, CR0_EM, CR0_PG, CR0_TS, CR0_WP, CR4_OSFXSR, CR4_PAE, CR4_PCIDE, CR4_PGE, CR4_PSE, CR4_SMAP, CR4_SMEP, CS, CpuState, EFER_LMA, EFER_NXE, IF, MODE, S,
  SEG, SS, STATE_BYTES, TF, segAddress,
} from './state.js';
import { afterInstruction, beginInstruction, dataBreakpointsActive, debugStepNeeded, noteDataAccess, takeWaitingTrap } from './system/debug.js';
import { deliverEvent, deliverPending } from './system/delivery.js';
import { initState, resetState, startBySipi } from './system/reset.js';
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

/** Why `run` returned. `stopped`: something is not implemented; `stopReason` says what and where. */
export type VcpuExit = 'slice' | 'halt' | 'shutdown' | 'wait-for-sipi' | 'stopped';

export class Vcpu implements Cpu, EmittedCodeHost {
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
  /** Instructions retired since power-on, up to the last return of `run`. */
  instructions = 0;
  watch: ((hi: number, lo: number, size: number, write: boolean) => void) | undefined;

  /** CR0.AM, RFLAGS.AC and CPL 3: misaligned data accesses raise #AC(0). */
  alignmentChecked = false;

  private readonly noteAccess = (hi: number, lo: number, size: number, write: boolean): void =>
    noteDataAccess(this, (BigInt(hi) << 32n) | BigInt(lo >>> 0), size, write);
  private readonly view: RecordView;
  private readonly store = new Uint8Array(STATE_BYTES);
  private readonly context: { -readonly [K in keyof PagingContext]: PagingContext[K] };
  private user = false;
  /** How the TLB in use was chosen: see `modeChanged`. */
  private closeLook = false;
  private pcid = 0;
  private variant = 0;
  private supervisorTlb = 0;
  private charged = 0;

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
    this.memory = new MemoryAccess(this.m, this.phys, this.mmu, this.engine.tlb, this.engine.cache, this);
    this.view = new RecordView(this.m, this);
    this.context = { paging: 'none', cr3Lo: 0, cr3Hi: 0, wp: false, pse: false, pge: false, smep: false, smap: false, ac: false, nx: false, nested: null };
  }

  // ---- being the current one

  /** Brings this vCPU's state into the window. */
  activate(): void {
    const { engine } = this;
    if (engine.current === this) return;
    (engine.current as Vcpu | undefined)?.s.save((engine.current as Vcpu).store);
    this.s.restore(this.store);
    engine.current = this;
    this.modeChanged();
  }
  /** Power-on or RESET# state; `bootstrap` processors start at the reset vector, others wait for a SIPI. */
  reset(bootstrap = this.id === 0): void {
    this.activate();
    this.addressSpaceTag = 0;
    this.nmiPending = this.initPending = false;
    this.sipiVector = -1;
    this.virt?.reset?.(this);
    resetState(this, bootstrap);
    this.s.set32(S.activity, bootstrap ? ACTIVITY.active : ACTIVITY.waitForSipi);
    this.modeChanged();
  }

  // ---- time

  private get left(): number {
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
    const { i32 } = this.m;
    if (i32[S.left >>> 2]! <= 0) return;
    i32[S.sliceBudget >>> 2]! -= i32[S.left >>> 2]!;
    i32[S.left >>> 2] = 0;
  }
  get inGuest(): boolean {
    return this.m.u32[S.guest >>> 2] !== 0;
  }

  // ---- the run loop

  /**
   * Runs until `maxCycles` have passed (or a few more: an instruction is not cut), or something else ends the slice.
   * @param start cycles since power-on at which the slice begins
   */
  run(start: number, maxCycles: number): VcpuExit {
    this.activate();
    const { m } = this;
    m.view.setFloat64(S.sliceStart, start, true);
    m.i32[S.sliceBudget >>> 2] = m.i32[S.left >>> 2] = maxCycles;
    m.u32[S.retired >>> 2] = 0;
    this.charged = 0;
    const exit = this.loop();
    this.instructions += this.engine.timing !== undefined ? m.u32[S.retired >>> 2]! : m.i32[S.sliceBudget >>> 2]! - this.left - this.charged;
    return exit;
  }
  /** Cycles that the last `run` took. */
  get elapsed(): number {
    return this.m.i32[S.sliceBudget >>> 2]! - this.left;
  }

  private loop(): VcpuExit {
    const { m, s } = this;
    while (this.left > 0) {
      if (this.stopReason !== undefined) return 'stopped';
      try {
        if (s.get32(S.pending) !== 0) {
          this.charge(1);
          deliverPending(this);
          continue;
        }
        if (this.handleEvents()) continue;
        const activity = m.u32[S.activity >>> 2]!;
        if (activity !== ACTIVITY.active) return activity === ACTIVITY.hlt ? 'halt' : activity === ACTIVITY.shutdown ? 'shutdown' : 'wait-for-sipi';
        const shadow = m.u32[S.interruptShadow >>> 2]!;
        if (shadow !== 0 || debugStepNeeded(this) || (this.inGuest && this.virt?.singleStep === true)) {
          this.step();
          continue;
        }
        if (this.inGuest) this.cutToDeadline();
        const record = this.fetch();
        if (record === 0) continue;
        this.engine.handlers.enter(record, this.left);
      } catch (e) {
        if (e !== GUEST_EVENT) throw e;
      }
    }
    return this.stopReason === undefined ? 'slice' : 'stopped';
  }

  /** Events between instructions. True when the state has changed and the loop is to begin again. */
  private handleEvents(): boolean {
    const { s, virt } = this;
    const gif = virt === null || virt.globalInterruptFlag(this);
    if (gif && ((this.initPending && virt?.blocksInit?.(this) !== true) || this.sipiVector >= 0)) return this.startupEvent();
    const shadow = s.get32(S.interruptShadow);
    if (s.get32(S.pendingDebug) !== 0) {
      // The monitor trap flag comes before traps of the last instruction, everything else after them.
      if (this.inGuest && virt!.singleStep === true && virt!.pendingEvent(this, 'none', -1) === 'exit') return true;
      if (takeWaitingTrap(this)) return true;
    }
    if (gif && this.nmiPending && s.get32(S.activity) !== ACTIVITY.waitForSipi) {
      const verdict = this.inGuest ? virt!.pendingEvent(this, 'nmi', 2) : 'deliver';
      if (verdict === 'taken') this.nmiPending = false;
      if (verdict === 'taken' || verdict === 'exit') return true;
      if (verdict === 'deliver' && s.get32(S.nmiBlocked) === 0 && shadow === 0) {
        this.nmiPending = false;
        return this.deliver(2, EVENT_TYPE.nmi);
      }
    }
    const activity = s.get32(S.activity);
    if (gif && (activity === ACTIVITY.active || activity === ACTIVITY.hlt) && this.platform.interruptPending(this)) {
      if (this.inGuest) {
        const verdict = virt!.pendingEvent(this, 'external', -1);
        if (verdict === 'exit') return true;
        if (verdict === 'deliver') return this.deliver(this.platform.acknowledgeInterrupt(this), EVENT_TYPE.external);
      } else if (this.interruptible(shadow)) return this.deliver(this.platform.acknowledgeInterrupt(this), EVENT_TYPE.external);
    }
    return this.inGuest && virt!.pendingEvent(this, 'none', -1) === 'exit';
  }
  private interruptible(shadow: number): boolean {
    return shadow === 0 && (this.s.get32(S.rflagsRest) & IF) !== 0;
  }
  private deliver(vector: number, type: number): true {
    this.s.set32(S.activity, ACTIVITY.active);
    this.charge(1);
    deliverEvent(this, vector, type, false, 0, 0);
    return true;
  }
  /** INIT and start-up IPIs. SDM 3A §8.4.2 "MP Initialization Protocol"; in a guest the extension decides. */
  private startupEvent(): boolean {
    const { s, virt } = this;
    const waiting = s.get32(S.activity) === ACTIVITY.waitForSipi;
    if (this.initPending && virt?.blocksInit?.(this) !== true) {
      if (this.inGuest) {
        const verdict = virt!.pendingEvent(this, 'init', -1);
        if (verdict === 'taken') this.initPending = false;
        if (verdict !== 'deliver') return verdict !== 'blocked';
      }
      this.initPending = false;
      const bootstrap = this.id === 0;
      initState(this, bootstrap);
      s.set32(S.activity, bootstrap ? ACTIVITY.active : ACTIVITY.waitForSipi);
      this.modeChanged();
      return true;
    }
    const vector = this.sipiVector;
    this.sipiVector = -1;
    if (!waiting) return false;
    if (this.inGuest) return virt!.pendingEvent(this, 'sipi', vector) !== 'blocked';
    startBySipi(this, vector);
    s.set32(S.activity, ACTIVITY.active);
    this.modeChanged();
    return true;
  }

  /** The record at CS:RIP, decoded if need be; 0 when a fault is pending. Sets S.codeBase and S.currentPage. */
  private fetch(): number {
    const { m, engine, s } = this;
    const { u32 } = m;
    const mode = u32[S.mode >>> 2]!;
    const ripLo = u32[S.rip >>> 2]!, ripHi = u32[(S.rip >>> 2) + 1]!;
    let lo = ripLo, hi = ripHi;
    if (mode === MODE.bits64) {
      if (hi !== (((hi << 16) >> 16) >>> 0)) return this.fetchFault();
    } else {
      if (ripLo > u32[(segAddress(CS) + SEG.limit) >>> 2]! || ripHi !== 0) return this.fetchFault();
      lo = (ripLo + u32[S.csBase >>> 2]!) >>> 0;
      hi = 0;
    }
    const entry = (u32[S.tlb >>> 2]! + ((lo >>> 12) & (TLB_ENTRIES - 1)) * TLB_ENTRY_BYTES) >>> 2;
    if (u32[entry + 6] !== (lo & ~4095) >>> 0 || u32[entry + 7] !== hi) {
      if (!this.memory.translate(hi, lo, FETCH, this.user, false)) return 0;
      const { hpa } = this.mmu;
      if (this.phys.address(hpa) < 0) this.notImplemented(`instruction fetch from a device at physical address 0x${hpa.toString(16)}`);
      engine.tlb.fill(u32[S.tlb >>> 2]!, hi, lo, this.mmu);
      // Where every access is looked at, the entry serves fetches alone.
      if (this.closeLook) u32.fill(0xffff_ffff, entry, entry + 4);
    }
    const at = (u32[entry + 4]! + lo) >>> 0;
    const hpaPage = u32[entry + 5]!;
    if (engine.cache.full) engine.cache.reset();
    const page = engine.cache.page(hpaPage, mode, at - (lo & 4095), hi * 0x1_0000_0000 + ((lo & ~4095) >>> 0));
    const off = lo & 4095;
    const account = u32[(page + P.account) >>> 2]!;
    if (account !== 0 && account !== u32[S.account >>> 2]) this.arrive(account, this.left);
    s.set64(S.codeBase, BigInt.asUintN(64, s.rip - BigInt(off)));
    u32[S.currentPage >>> 2] = page;
    const known = u32[(page + PAGE_HEADER + 4 * off) >>> 2]!;
    const record = known !== 0 ? known : engine.decoder.run(page, hpaPage, at - off, off, mode);
    return u32[record >>> 2] === engine.handlers.base.straddle ? this.crossing(record) : record;
  }
  private fetchFault(): 0 {
    this.record(GP, 0);
    return 0;
  }

  /** Ends the slice at the extension's deadline (VMX-preemption timer) if that comes first. */
  private cutToDeadline(): void {
    const deadline = this.virt?.deadline ?? Infinity;
    if (deadline === Infinity) return;
    const spare = this.left - Math.max(1, Math.ceil(deadline - this.now()));
    if (spare <= 0) return;
    const { i32 } = this.m;
    i32[S.sliceBudget >>> 2]! -= spare;
    i32[S.left >>> 2]! -= spare;
  }

  /** Executes exactly one instruction, then takes the traps that follow it. */
  private step(): void {
    const { m } = this;
    const single = this.inGuest && this.virt?.singleStep === true;
    if (beginInstruction(this)) return;
    const record = this.fetch();
    if (record === 0) return;
    m.u32[S.shadowArmed >>> 2] = 0;
    const stepped = (this.s.get32(S.rflagsRest) & TF) !== 0;
    const guest = m.u32[S.guest >>> 2]!;
    m.u8.copyWithin(STEP_RECORD, record, record + RECORD_BYTES);
    if ((m.u8[record + R.flags]! & RF_SAME_PAGE) !== 0) {
      // The copy must not link itself: records link to targets in their own page.
      m.u8[STEP_RECORD + R.flags]! &= ~RF_SAME_PAGE;
      m.u32[(STEP_RECORD + R.target) >>> 2] = 0;
    }
    // A branch that costs nothing would not end the step.
    if (m.u16[(STEP_RECORD + R.cost) >>> 1] === 0) m.u16[(STEP_RECORD + R.cost) >>> 1] = 1;
    this.stopAfter(m.u16[(record + R.off) >>> 1]! + m.u8[record + R.len]!);
    this.enterOne();
    // A fault or VM exit is not the end of an instruction, and a VM entry belongs to the other side's flags.
    if (m.u32[S.pending >>> 2] !== 0 || m.u32[S.guest >>> 2] !== guest) return;
    if (single) this.virt?.stepped?.(this);
    afterInstruction(this, stepped);
    if (m.u32[S.shadowArmed >>> 2] === 0) m.u32[S.interruptShadow >>> 2] = 0;
  }
  private stopAfter(off: number): void {
    const { m } = this;
    m.u32.fill(0, (STEP_RECORD + RECORD_BYTES) >>> 2, (STEP_RECORD + 2 * RECORD_BYTES) >>> 2);
    m.u32[(STEP_RECORD + RECORD_BYTES) >>> 2] = this.engine.handlers.base.stop;
    m.u16[(STEP_RECORD + RECORD_BYTES + R.off) >>> 1] = off;
  }
  /** Runs the step record with a budget of one cycle, so that a taken branch leaves too; time stays right. */
  private enterOne(): void {
    const { i32 } = this.m;
    const spare = this.left - 1;
    i32[S.sliceBudget >>> 2]! -= spare;
    i32[S.left >>> 2] = 1;
    this.engine.handlers.enter(STEP_RECORD, 1);
    i32[S.sliceBudget >>> 2]! += spare;
    i32[S.left >>> 2]! += spare;
  }
  /** The decoded form of a page-crossing instruction, in sequence with what follows it; 0 when a fault is pending. */
  private crossing(straddle: number): number {
    const { m, engine } = this;
    const { u32 } = m;
    const mode = u32[S.mode >>> 2]!;
    const off = m.u16[(straddle + R.off) >>> 1]!;
    const first = u32[(u32[S.currentPage >>> 2]! + P.hpaPage) >>> 2]!;
    const wide = mode === MODE.bits64;
    const linear = BigInt.asUintN(wide ? 64 : 32, (wide ? 0n : this.s.get64(S.csBase)) + this.s.rip + BigInt(4096 - off));
    const hi = Number(linear >> 32n), lo = Number(linear & 0xffff_ffffn);
    if (!this.memory.translate(hi, lo, FETCH, this.user, false)) return 0;
    const at = this.phys.address(this.mmu.hpa);
    if (at < 0) this.notImplemented(`instruction fetch from a device at physical address 0x${this.mmu.hpa.toString(16)}`);
    const second = (this.mmu.hpa / 4096) >>> 0;
    engine.tlb.fill(u32[S.tlb >>> 2]!, hi, lo, this.mmu);
    const known = u32[(straddle + R.target) >>> 2]!;
    if (known !== 0 && u32[(straddle + R.disp) >>> 2] === second && u32[known >>> 2] !== engine.handlers.base.refetch) return known;
    const bytes = new Uint8Array(15);
    const here = 4096 - off;
    bytes.set(m.u8.subarray(this.phys.address(first * 4096 + off), this.phys.address(first * 4096 + off) + here));
    bytes.set(m.u8.subarray(at, at + 15 - here), here);
    const record = engine.cache.allocate(first, 2);
    if (!engine.decoder.single(bytes, record, off, mode)) return this.fetchFault();
    engine.cache.page(second, mode, at, hi * 0x1_0000_0000 + lo);
    engine.cache.cover(second, 0, off + m.u8[record + R.len]! - 4096);
    engine.cache.share(second, record, 2);
    u32[(straddle + R.target) >>> 2] = record;
    u32[(straddle + R.disp) >>> 2] = second;
    return record;
  }

  // ---- called by emitted code

  /** Makes S.rip and S.nextRip those of a record. */
  private look(record: number): RecordView {
    const { u32, u16, u8 } = this.m;
    const wide = u32[S.mode >>> 2] === MODE.bits64;
    const off = u16[(record + R.off) >>> 1]!;
    const baseLo = u32[S.codeBase >>> 2]!, baseHi = u32[(S.codeBase >>> 2) + 1]!;
    const lo = baseLo + off;
    u32[S.rip >>> 2] = lo;
    u32[(S.rip >>> 2) + 1] = wide ? baseHi + (lo > 0xffff_ffff ? 1 : 0) : 0;
    const next = lo + u8[record + R.len]!;
    u32[S.nextRip >>> 2] = next;
    u32[(S.nextRip >>> 2) + 1] = wide ? baseHi + (next > 0xffff_ffff ? 1 : 0) : 0;
    return this.view.look(record);
  }
  access(record: number, lo: number, hi: number, packed: number): number {
    this.look(record);
    const size = packed & 0xff;
    const kind = (packed >> 8) & 3;
    if (this.m.u32[S.mode >>> 2] === MODE.bits64) {
      const last = hi >>> 0, bits = last >>> 15;
      if (bits !== 0 && bits !== 0x1ffff) return this.notCanonical(record);
    }
    try {
      return this.memory.resolve(hi >>> 0, lo >>> 0, size, kind, this.user, false);
    } catch (e) {
      if (e !== GUEST_EVENT) throw e;
      return 0;
    }
  }
  /** #SS(0) for accesses through the stack segment, else #GP(0). SDM 1 §3.3.7.1 "Canonical Addressing". */
  private notCanonical(record: number): 0 {
    this.record(this.m.u8[record + R.segment] === SS ? 12 : GP, 0);
    return 0;
  }
  segmentAccess(record: number, offset: number, segment: number, packed: number): number {
    this.look(record);
    try {
      const size = packed & 0xff, kind = (packed >> 8) & 3;
      const index = (segment - segAddress(0)) / 32;
      const linear = checkedLinear(this, index, BigInt(offset >>> 0), size, (kind & WRITE) !== 0);
      return this.memory.resolve(0, Number(linear & 0xffff_ffffn), size, kind, this.user, false);
    } catch (e) {
      if (e !== GUEST_EVENT) throw e;
      return 0;
    }
  }
  commit(): number {
    this.memory.commit();
    return 0;
  }
  helper(record: number, id: number): number {
    const view = this.look(record);
    try {
      const result = helperById(id)(this, view);
      // A helper that leaves does not come back to its record: it is charged here.
      if (result === LEAVE) this.chargeRecord(record);
      return result;
    } catch (e) {
      if (e !== GUEST_EVENT) throw e;
      if (this.s.get32(S.pending) === 0) this.charge(1);
      return LEAVE;
    }
  }
  private chargeRecord(record: number): void {
    const { i32, u16, u32 } = this.m;
    if (this.engine.timing !== undefined) {
      i32[S.left >>> 2]! -= u16[(record + R.cost) >>> 1]!;
      u32[S.retired >>> 2]!++;
    } else i32[S.left >>> 2]!--;
  }
  arrive(account: number, left: number): number {
    const { i32 } = this.m;
    i32[S.left >>> 2] = left;
    this.m.u32[S.account >>> 2] = account;
    this.attribution?.arrive(account, this.now());
    return 0;
  }
  raiseFrom(record: number, vector: number, error: number): number {
    this.look(record);
    if (vector >= 0) this.record(vector, error < 0 ? undefined : error);
    else this.stop(`instruction ${codeName(this.view.code)} is not implemented`);
    return 0;
  }

  // ---- Cpu

  private record(vector: number, error: number | undefined): void {
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
    this.virt.nestedFault(this, this.mmu.nestedFault);
  }

  modeChanged(): void {
    const { s, context } = this;
    const { cr0, cr4, efer } = s;
    const long = (efer & EFER_LMA) !== 0;
    const csAttr = s.segAttr(CS);
    const mode = long && csAttr & 0x2000 ? MODE.bits64 : csAttr & 0x4000 ? MODE.bits32 : MODE.bits16;
    s.set32(S.mode, mode);
    s.set64(S.csBase, mode === MODE.bits64 ? 0n : s.segBase(CS));
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
    this.watch = dataBreakpointsActive(this) ? this.noteAccess : undefined;
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
  private stop(what: string): void {
    this.stopReason = { what, address: `${this.s.selector(CS).toString(16)}:0x${this.s.rip.toString(16)}` };
    this.kick();
  }
  /** Reports the skipped time of HLT to the probe. */
  skipped(cycles: number): void {
    if (this.probe.active) this.probe.emit(PROBE.halt, this.now(), this.id, cycles, 0, 0, 0);
  }
}


