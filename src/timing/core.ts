/**
 * The timing core of a machine: the modelled caches, TLBs and predictors of its vCPUs, and the prices of everything else.
 *
 * Cycle-mode code calls the emitted functions (`functions`, emit.ts); TypeScript parts call this class through the cpu's TimingPort.
 * Invariants: deterministic; nothing here changes architectural state, except that a walk sets accessed flags as any walk does.
 */

import type { Instruction } from 'iced-x86';
import type { HitTables } from '../cpu/engine/regions/region-timing.js';
import type { TimingPort, TransitionParts } from '../cpu/ports.js';
import type { LinearMemory } from '../mem/linear-memory.js';
import type { PhysicalMemory } from '../mem/physical.js';
import type { Mmu } from '../mmu/mmu.js';
import { OK, READ, FETCH } from '../mmu/format.js';
import { BlockCost, type TimedInstruction } from './block-cost.js';
import { ACCESS_FETCH, ACCESS_WRITE, instantiateTiming, type TimingFunctions } from './emit.js';
import { COUNTERS, CURRENT_BLOCK, F, counterOffset, layOut, type Counter, type Table, type TimingLayout } from './layout.js';
import type { TimingProfile } from './profile.js';
import { TransitionCost, type MinimalTransitions, type TransitionKind } from './transition.js';

const LOCAL_APIC_PAGE = 0xfee0_0000;
const LAST_TAG = 0xfff;
const WALKS = counterOffset('walks'), WALK_CYCLES = counterOffset('walkCycles');
const PAGE = 0xffff_f000 | 0, LARGE_PAGE = 0xffe0_0000 | 0;

/** What the core needs of a vCPU to walk its page tables when a modelled TLB misses. */
export interface Walker {
  readonly mmu: Mmu;
  /** CPL 3? */
  isUser(): boolean;
}

export class TimingCore implements TimingPort {
  /** The emitted functions, to be imported by cycle-mode code. */
  readonly functions: TimingFunctions;
  readonly layout: TimingLayout;

  private readonly blocks: BlockCost;
  private readonly transitions: TransitionCost | null;
  private readonly walkers: (Walker | undefined)[] = [];
  /** Number of each address space (vCPU, tag, PCID) in TLB keys. */
  private readonly spaces = new Map<number, number>();
  private lastSpace = 0;
  /** vCPU and tag of each number; number 0 is nobody's. */
  private readonly vcpuOf = new Int16Array(LAST_TAG + 1).fill(-1);
  private readonly tagOf = new Int32Array(LAST_TAG + 1);
  /** The key of the space selected last. */
  private selected = -1;
  private current = 0;
  private currentVcpu = 0;

  /**
   * @param cpus number of vCPUs
   * @param minimal what the extension counts in its minimal transitions; null for a processor without one
   */
  constructor(
    private readonly m: LinearMemory,
    private readonly phys: PhysicalMemory,
    readonly profile: TimingProfile,
    private readonly cpus: number,
    minimal: MinimalTransitions | null,
  ) {
    this.layout = layOut(profile, cpus);
    this.blocks = new BlockCost(profile);
    this.transitions = minimal === null ? null : new TransitionCost(profile, minimal);
    m.u8.fill(0, CURRENT_BLOCK, this.layout.block(cpus));
    // Two-bit counters begin at "weakly not taken".
    for (let c = 0; c < cpus; c++) m.u8.fill(1, this.layout.block(c) + this.layout.counters, this.layout.block(c) + this.layout.counters + profile.figures['predictor.counters']);
    this.functions = instantiateTiming(profile, this.layout, m.memory, (lo, hi, flags) => this.tlbMiss(lo, hi, flags));
    this.select(0, 0, 0);
  }

  /** Linear-memory addresses of all tables: [from, to). */
  get tables(): { readonly from: number; readonly to: number } {
    return { from: CURRENT_BLOCK, to: this.layout.block(this.cpus) };
  }

  /** Says how to walk the tables of a vCPU. */
  attach(vcpu: number, walker: Walker): void {
    this.walkers[vcpu] = walker;
  }

  /** The vCPU and address space that run from now on: at every switch of vCPU, guest and host, or PCID. */
  select(vcpu: number, tag: number, pcid: number): void {
    const key = (vcpu * 0x10000 + tag) * 4096 + pcid;
    if (key === this.selected) return;
    this.selected = key;
    let space = this.spaces.get(key);
    if (space === undefined) {
      if (this.lastSpace === LAST_TAG) this.forgetSpaces();
      this.spaces.set(key, (space = ++this.lastSpace));
      this.vcpuOf[space] = vcpu;
      this.tagOf[space] = tag;
    }
    this.currentVcpu = vcpu;
    this.current = this.layout.block(vcpu);
    this.m.u32[CURRENT_BLOCK >>> 2] = this.current;
    this.m.u32[(this.current + F.tag) >>> 2] = space;
    this.m.u32[(this.current + F.tag + 4) >>> 2] = 0;
  }

  // ---- TimingPort

  get prices(): string {
    return this.blocks.prices;
  }
  timed(i: Instruction): TimedInstruction {
    return this.blocks.timed(i);
  }
  schedule(run: readonly TimedInstruction[], offsets: readonly number[], ways: readonly number[], costs: Uint16Array, hints: Uint8Array): void {
    this.blocks.schedule(run, offsets, ways, costs, hints);
  }

  pageWalk(refs: ArrayLike<number>, count: number, cacheable: ArrayLike<number>): number {
    let cycles = 0;
    for (let i = 0; i < count; i++) {
      const at = this.phys.address(refs[i]!);
      if (at < 0) continue; // no memory answers: the access is the bus's time, which the fault that follows hides
      cycles += cacheable[i] !== 0 && this.inWalkCache(at) ? this.profile.figures['tlb.walk_cache.latency'] : this.functions.walkRead(at);
    }
    return cycles;
  }

  /** What compiled code looks at itself. */
  get hits(): HitTables {
    const { layout: l, profile: { figures: fig } } = this;
    return {
      current: CURRENT_BLOCK, block: this.cpus === 1 ? l.block(0) : undefined, ...F, mispredicts: counterOffset('mispredicts'),
      l1i: l.l1i, l1d: l.l1d, itlb: l.itlb, dtlb: l.dtlb, large: l.large,
      counters: l.counters, counterMask: fig['predictor.counters'] - 1, historyMask: 2 ** fig['predictor.history'] - 1,
      returns: l.returns, returnEntries: fig['predictor.returns'], mispredict: fig['core.mispredict'],
    };
  }

  /** Hears what each VM transition is charged. */
  onTransition: ((cycles: number) => void) | undefined;

  transition(kind: TransitionKind, parts: TransitionParts): number {
    if (this.transitions === null) throw new Error(`profile ${this.profile.name} has no virtualisation extension to price`);
    const cycles = this.transitions.cost(kind, parts);
    this.onTransition?.(cycles);
    return cycles;
  }

  delivery(kind: 'interrupt' | 'exception' | 'software', privilegeChange: boolean): number {
    const f = this.profile.figures;
    const base = kind === 'interrupt' ? f['delivery.interrupt'] : kind === 'exception' ? f['delivery.exception'] : f['delivery.software'];
    return base + (privilegeChange ? f['delivery.privilege_change'] : 0);
  }

  device(kind: 'port-read' | 'port-write' | 'mmio-read' | 'mmio-write', address: number): number {
    const f = this.profile.figures;
    if (kind[0] === 'm' && address - (address % 4096) === LOCAL_APIC_PAGE) return f['device.local_apic'];
    const ns = kind === 'port-read' ? f['device.port_read'] : kind === 'port-write' ? f['device.port_write'] : kind === 'mmio-read' ? f['device.mmio_read'] : f['device.mmio_write'];
    return Math.round((ns * f['frequency_hz']) / 1e9);
  }

  string(bytes: number): number {
    return this.functions.string(bytes);
  }

  data(address: number, linear: bigint, write: boolean): number {
    return this.functions.data(address, linear, write ? ACCESS_WRITE : 0);
  }

  span(address: number, linear: bigint, bytes: number, write: boolean): number {
    return this.functions.span(address, linear, bytes, write ? ACCESS_WRITE : 0);
  }

  flush(scope: 'page' | 'context' | 'all', tag: number, linear = 0n): void {
    const l = this.layout;
    if (scope === 'page') {
      const lo = Number(linear & 0xffff_f000n), hi = Number((linear >> 32n) & 0xffffn);
      for (const t of [l.itlb, l.dtlb, l.tlb2]) this.flushPage(t, tag, lo, hi, 12);
      this.flushPage(l.large, tag, lo, hi, 21);
    } else for (const t of [l.itlb, l.dtlb, l.tlb2, l.large]) this.flushTable(t, scope === 'all' ? -1 : tag);
    this.clear(l.walkCache);
  }
  /** Empties entries of the running vCPU, of a tag or (-1) of all. */
  private flushTable(t: Table, tag: number): void {
    const { u32 } = this.m, at = (this.current + t.at) >>> 2, end = at + 2 * t.sets * t.ways;
    for (let w = at; w < end; w += 2) if (this.isOf(u32[w]! & LAST_TAG, tag)) u32[w] = u32[w + 1] = 0;
  }
  /** The same for a page, which can be in one set only. */
  private flushPage(t: Table, tag: number, lo: number, hi: number, shift: 12 | 21): void {
    const { u32 } = this.m, first = this.setOf(t, lo, shift), mask = shift === 12 ? PAGE : LARGE_PAGE;
    for (let w = first; w < first + 2 * t.ways; w += 2)
      if (this.isOf(u32[w]! & LAST_TAG, tag) && ((u32[w]! ^ lo) & mask) === 0 && u32[w + 1] === hi) u32[w] = u32[w + 1] = 0;
  }
  /** Is it the number of a space of the running vCPU, of this tag or (-1) of any? */
  private isOf(space: number, tag: number): boolean {
    return this.vcpuOf[space] === this.currentVcpu && (tag < 0 || this.tagOf[space] === tag);
  }
  /** Index of the first word of the set that a page is in. */
  private setOf(t: Table, linLo: number, shift: 12 | 21): number {
    const page = shift === 12 ? linLo >>> 12 : linLo >>> 21; // sets are few: bits above 31 never choose one
    return (this.current + t.at + (page & (t.sets - 1)) * t.ways * 8) >>> 2;
  }

  /** Events of a vCPU so far. */
  counters(vcpu: number): Record<Counter, number> {
    const out = {} as Record<Counter, number>;
    for (const c of COUNTERS) out[c] = Number(this.m.u64[(this.layout.block(vcpu) + counterOffset(c)) >>> 3]!);
    return out;
  }

  // ---- modelled TLB and walk cache

  /** No TLB has the page: walks, enters it, and returns what the walk took. */
  private tlbMiss(linLo: number, linHi: number, flags: number): number {
    const walker = this.walkers[this.currentVcpu];
    if (walker === undefined) return 0;
    const { mmu } = walker, fetch = (flags & ACCESS_FETCH) !== 0;
    const status = mmu.translate(linHi, linLo, fetch ? FETCH : READ, walker.isUser());
    const t = mmu.tables, cycles = this.pageWalk(t.refs, t.refCount, t.cacheable);
    this.count(WALKS, 1);
    this.count(WALK_CYCLES, cycles);
    if (status === OK) this.enter(linLo, linHi, mmu.tlbPageShift, fetch);
    return cycles;
  }

  private enter(linLo: number, linHi: number, pageShift: number, fetch: boolean): void {
    const l = this.layout;
    if (pageShift >= 21) return this.insert(l.large, linLo, linHi, 21);
    this.insert(fetch ? l.itlb : l.dtlb, linLo, linHi, 12);
    this.insert(l.tlb2, linLo, linHi, 12);
  }

  private insert(t: Table, linLo: number, linHi: number, shift: 12 | 21): void {
    const { u32 } = this.m, first = this.setOf(t, linLo, shift);
    for (let w = first + 2 * t.ways - 1; w >= first + 2; w--) u32[w] = u32[w - 2]!;
    u32[first] = (linLo & (shift === 12 ? PAGE : LARGE_PAGE)) | (u32[(this.current + F.tag) >>> 2]! & LAST_TAG);
    u32[first + 1] = linHi & 0xffff;
  }

  /** Looks an entry up in the walk cache, entering it when it is not there. */
  private inWalkCache(address: number): boolean {
    const { u32 } = this.m, t = this.layout.walkCache, first = (this.current + t.at) >>> 2;
    let at = first;
    const last = first + t.ways - 1;
    while (at < last && u32[at] !== address) at++;
    const found = u32[at] === address;
    for (; at > first; at--) u32[at] = u32[at - 1]!;
    u32[first] = address;
    return found;
  }

  private clear(t: Table): void {
    const at = (this.current + t.at) >>> 2;
    this.m.u32.fill(0, at, at + t.sets * t.ways);
  }

  /** All numbers are used up: empties every TLB and begins anew. */
  private forgetSpaces(): void {
    const l = this.layout;
    for (let v = 0; v < this.cpus; v++)
      for (const t of [l.itlb, l.dtlb, l.tlb2, l.large]) this.m.u8.fill(0, l.block(v) + t.at, l.block(v) + t.at + 8 * t.sets * t.ways);
    this.spaces.clear();
    this.vcpuOf.fill(-1);
    this.lastSpace = 0;
  }

  private count(offset: number, by: number): void {
    const at = (this.current + offset) >>> 2, sum = this.m.u32[at]! + by;
    this.m.u32[at] = sum;
    if (sum >= 0x1_0000_0000) this.m.u32[at + 1]!++;
  }
}
