/**
 * What the vCPUs of one machine share: function table, decoded code, software TLBs, and the window that holds the running
 * vCPU's state. Host imports of emitted code act on `current`.
 */

import type { LinearMemory } from '../../mem/linear-memory.js';
import type { PhysicalMemory } from '../../mem/physical.js';
import { TlbPool } from '../../mmu/tlb.js';
import { CodeCache } from './code-cache.js';
import { InstructionDecoder } from './decoder.js';
import { Handlers } from './handlers.js';

/** The host side of emitted code, one vCPU's. Signatures: host-imports.ts. */
export interface EmittedCodeHost {
  access(record: number, lo: number, hi: number, packed: number): number;
  segmentAccess(record: number, offset: number, segment: number, packed: number): number;
  commit(): number;
  helper(record: number, id: number): number;
  raiseFrom(record: number, vector: number, error: number): number;
}

export interface EngineOptions {
  /** Cycle mode: handlers charge the static cost of their record and call the modelled caches. */
  readonly timing: boolean;
}

export class Engine {
  readonly cache: CodeCache;
  readonly tlb: TlbPool;
  readonly handlers: Handlers;
  readonly decoder: InstructionDecoder;
  /** The vCPU whose state is in the window. */
  current: EmittedCodeHost | undefined;

  constructor(
    readonly m: LinearMemory,
    readonly phys: PhysicalMemory,
    readonly options: EngineOptions = { timing: false },
  ) {
    this.cache = new CodeCache(m);
    this.tlb = new TlbPool(m, phys);
    this.handlers = new Handlers(
      m,
      {
        access: (r: number, lo: number, hi: number, p: number) => this.current!.access(r, lo, hi, p),
        segmentAccess: (r: number, o: number, s: number, p: number) => this.current!.segmentAccess(r, o, s, p),
        commit: () => this.current!.commit(),
        helper: (r: number, id: number) => this.current!.helper(r, id),
        raise: (r: number, v: number, e: number) => this.current!.raiseFrom(r, v, e),
      },
      options.timing,
    );
    this.decoder = new InstructionDecoder(m, this.cache, this.handlers);
    this.cache.refetchHandler = this.handlers.base.refetch;
    this.cache.protect = (page) => this.tlb.protectPage(page);
    this.tlb.isCodePage = (page) => this.cache.isCodePage(page);
    phys.onWrite = (hpa, length) => this.cache.written(hpa, length);
  }
}
