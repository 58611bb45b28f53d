/**
 * What the vCPUs of one machine share: function table, decoded code, software TLBs, and the window that holds the running
 * vCPU's state. Host imports of emitted code act on `current`.
 */

import type { Instruction } from 'iced-x86';
import type { LinearMemory } from '../../mem/linear-memory.js';
import type { PhysicalMemory } from '../../mem/physical.js';
import { TlbPool } from '../../mmu/tlb.js';
import type { EncodingSet } from '../isa/advertised.js';
import { Watchpoints } from './watchpoints.js';
import { Breakpoints } from './breakpoints.js';
import { CodeCache } from './code-cache.js';
import { RunControl } from '../run-control.js';
import { InstructionDecoder } from './decoder.js';
import { Handlers } from './handlers.js';
import type { TimingImport } from './host-imports.js';
import { JumpCache } from './jump-cache.js';
import { Compiler, type CompilerOptions } from './regions/compiler.js';
import type { HitTables } from './regions/region-timing.js';

/** The host side of emitted code, one vCPU's. Signatures: host-imports.ts. */
export interface EmittedCodeHost {
  readonly id: number;
  access(record: number, lo: number, hi: number, packed: number): number;
  segmentAccess(record: number, offset: number, segment: number, packed: number): number;
  commit(): number;
  helper(record: number, id: number): number;
  arrive(account: number, left: number): number;
  breakpoint(record: number): number;
  leaveAfterInstruction(): void;
  raiseFrom(record: number, vector: number, error: number): number;
}

/** What cycle mode needs of the timing core (timing/core.ts implements it). */
export interface EngineTiming {
  /** The functions of TIMING_IMPORTS. */
  readonly functions: object;
  /** Its tables, for compiled code that looks into them itself. */
  readonly hits: HitTables;
  /** Names the prices: two with the same name price alike. */
  readonly prices: string;
  /** What pricing wants to know of an instruction, wherever it lies. */
  timed(i: Instruction): object;
  /**
   * Prices a straight run of instructions, in the order of execution, when it is decoded.
   * @param run what `timed` gave of each, @param offsets where each lies in the page, @param ways of branches, from what follows to the target
   * @param costs receives the cycles of each, @param hints HINT_* bits (timing/emit.ts) of each, 3 bits
   */
  schedule(run: readonly object[], offsets: readonly number[], ways: readonly number[], costs: Uint16Array, hints: Uint8Array): void;
}

/**
 * For whoever puts something into records or software TLBs that is no part of the machine (compiled regions, breakpoints): takes it
 * out before a snapshot is taken and puts it back afterwards. A restored machine has none of it.
 */
export interface SnapshotHooks {
  beforeSnapshot?(): void;
  afterSnapshot?(): void;
  beforeRestore?(): void;
  afterRestore?(): void;
}

export class Engine {
  readonly cache: CodeCache;
  readonly tlb: TlbPool;
  readonly jumps: JumpCache;
  readonly handlers: Handlers;
  readonly decoder: InstructionDecoder;
  readonly breakpoints: Breakpoints;
  readonly watchpoints: Watchpoints;
  /** Where the run is, and where it is to stop. */
  readonly control: RunControl;
  readonly snapshotHooks: SnapshotHooks[] = [];
  /** How often emitted code has called helpers and slow memory accesses: a measure of what a run costs the host. */
  slowCalls = 0;
  /** Absent: everything is interpreted. */
  readonly compiler: Compiler | undefined;
  /** The vCPU whose state is in the window. */
  current: EmittedCodeHost | undefined;

  constructor(
    readonly m: LinearMemory,
    readonly phys: PhysicalMemory,
    /** Absent: functional mode, one instruction is one cycle. */
    readonly timing?: EngineTiming,
    /** The processor's encodings: what it does not advertise raises #UD. Absent: all that are described. */
    encodings?: EncodingSet,
    /** Absent: no compiler. */
    compiler?: CompilerOptions,
  ) {
    this.control = new RunControl(timing !== undefined);
    this.cache = new CodeCache(m);
    this.tlb = new TlbPool(m, phys);
    this.jumps = new JumpCache(m);
    this.watchpoints = new Watchpoints(this.tlb, () => this.current!.id, () => this.stopAfterInstruction());
    this.handlers = new Handlers(
      m,
      {
        access: (r: number, lo: number, hi: number, p: number) => this.current!.access(r, lo, hi, p),
        segmentAccess: (r: number, o: number, s: number, p: number) => this.current!.segmentAccess(r, o, s, p),
        commit: () => this.current!.commit(),
        helper: (r: number, id: number) => this.current!.helper(r, id),
        arrive: (a: number, l: number) => this.current!.arrive(a, l),
        breakpoint: (r: number) => this.current!.breakpoint(r),
        raise: (r: number, v: number, e: number) => this.current!.raiseFrom(r, v, e),
      },
      timing?.functions as Record<TimingImport, unknown> | undefined,
    );
    this.decoder = new InstructionDecoder(m, this.cache, this.handlers, timing, encodings);
    this.breakpoints = new Breakpoints(m, this.cache, this.handlers.base.breakpoint, this.handlers.base.refetch);
    this.decoder.onDecoded = (page, offsets) => this.breakpoints.decoded(page, offsets);
    for (const points of [this.breakpoints, this.watchpoints]) {
      const lift = (): void => (points.any ? points.lift() : undefined), lay = (): void => (points.any ? points.lay() : undefined);
      this.snapshotHooks.push({ beforeSnapshot: lift, afterSnapshot: lay, beforeRestore: lift, afterRestore: lay });
    }
    this.compiler = compiler === undefined ? undefined : new Compiler(m, this.handlers, timing?.hits, compiler);
    this.breakpoints.onChange = () => this.compiler?.evict();
    this.snapshotHooks.push({ beforeSnapshot: () => this.compiler?.hide(), afterSnapshot: () => this.compiler?.show(), beforeRestore: () => this.compiler?.evict() });
    this.snapshotHooks.push({ beforeRestore: () => this.jumps.forget() });
    this.cache.onDrop = (page) => {
      this.jumps.forget();
      this.compiler?.dropPage(page);
    };
    this.cache.onReset = () => {
      this.breakpoints.forget();
      this.compiler?.forget();
    };
    this.cache.refetchHandler = this.handlers.base.refetch;
    this.cache.protect = (page) => this.tlb.protectPage(page);
    this.tlb.isCodePage = (page) => this.cache.isCodePage(page);
    phys.onWrite = (hpa, length) => this.cache.written(hpa, length);
  }

  /** The run stops behind the instruction or event that is under way. Between runs nothing is, and nothing happens. */
  private stopAfterInstruction(): void {
    if (!this.control.running) {
      this.watchpoints.hit = undefined;
      return;
    }
    this.control.stopWanted = true;
    this.current!.leaveAfterInstruction();
  }

  /** The table index of what a record does, whatever stands in its place: a breakpoint, a compiled region. */
  handlerOf(record: number): number {
    const handler = this.breakpoints.handlerOf(record);
    return this.compiler?.handlerOf(record, handler) ?? handler;
  }
}
