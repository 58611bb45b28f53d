/**
 * Decoded code: one structure per physical page and code size, and the records of its instructions, in the linear memory.
 *
 *     CODE_PAGE_TABLE   u32 per host-physical page below 4 GiB: its first page structure, 0 = none (4 MiB)
 *     behind it         page structures and records, allocated upwards; all given up at once when full
 *
 * Invariants: a page in the table is write-protected in every software TLB, so that every store to it, by a vCPU or a device,
 * comes through `written`. Dropping a page patches its records to `refetch`, so that a chain running in it leaves before the
 * next instruction; the memory itself is reused only by `reset`, which the run loop calls between chains.
 */

import type { LinearMemory } from '../../mem/linear-memory.js';
import { RECORD_BASE, RECORD_SIZE } from '../../mem/layout.js';
import { S } from '../state.js';
import { P, PAGE_HEADER, PAGE_STRUCT_BYTES, RECORD_BYTES } from './record.js';

export const CODE_PAGE_TABLE = RECORD_BASE;
const ARENA = CODE_PAGE_TABLE + 4 * (1 << 20);
/** Two records outside any page: a single instruction and what follows it (single steps, page-crossing instructions). */
export const STEP_RECORD = ARENA;
const FIRST_FREE = ARENA + 4 * RECORD_BYTES;
const ARENA_END = RECORD_BASE + RECORD_SIZE;

/** What the structures of a physical page have in common: a store drops them all. */
interface CodePage {
  /** First record and number of each decoded run. */
  runs: [number, number][];
  /** One bit per byte that a decoded instruction covers. */
  readonly covered: Uint32Array;
  /** Its copy in the last saved state, until it changes. */
  saved?: SavedPage | undefined;
}
interface SavedPage {
  readonly runs: readonly [number, number][];
  readonly covered: Uint32Array;
}
export interface CodeCacheState {
  readonly bytes: number;
  readonly next: number;
  readonly stats: CodeCache['stats'];
  /** Page number, its first structure, and what the structures have in common. */
  readonly pages: readonly (readonly [hpaPage: number, first: number, page: SavedPage])[];
}

export class CodeCache {
  private next = FIRST_FREE;
  private readonly pages = new Map<number, CodePage>();
  /** Called when a page gets its first code: the TLBs take its write permission away. */
  protect: (hpaPage: number) => void = () => {};
  /** Called when all records have been given up and their memory is about to be used again. */
  /** Called before a page is dropped: the compiler gives up what it made of it. */
  onDrop: ((hpaPage: number) => void) | undefined;
  onReset: (() => void) | undefined;
  /** Account of a new code page: AttributionPort. */
  classify: (hpaPage: number, linear: number) => number = () => 0;
  /** Pages dropped because they were written to, and resets for want of room. */
  readonly stats = { pages: 0, dropped: 0, resets: 0, records: 0 };

  constructor(private readonly m: LinearMemory) {}

  isCodePage(hpaPage: number): boolean {
    return this.m.u32[(CODE_PAGE_TABLE >>> 2) + hpaPage] !== 0;
  }
  /** Is there room for another page and a long run? */
  get full(): boolean {
    return this.next + PAGE_STRUCT_BYTES + 4200 * RECORD_BYTES > ARENA_END;
  }
  /** Drops everything. Only between chains. */
  reset(): void {
    for (const hpaPage of [...this.pages.keys()]) this.drop(hpaPage);
    this.onReset?.();
    this.next = FIRST_FREE;
    this.stats.resets++;
  }

  /** The structure of a page for `mode`, made when there is none. @param bytes linear-memory address of the page @param linear low bits (as a number) of its linear address */
  page(hpaPage: number, mode: number, bytes: number, linear: number): number {
    const { u32 } = this.m;
    const slot = (CODE_PAGE_TABLE >>> 2) + hpaPage, first = u32[slot]!;
    for (let at = first; at !== 0; at = u32[(at + P.next) >>> 2]!) if (u32[(at + P.mode) >>> 2] === mode) return at;
    const address = this.next;
    this.next += PAGE_STRUCT_BYTES;
    this.m.u8.fill(0, address, this.next);
    u32[(address + P.mode) >>> 2] = mode;
    u32[(address + P.hpaPage) >>> 2] = hpaPage;
    u32[(address + P.bytes) >>> 2] = bytes;
    u32[(address + P.account) >>> 2] = this.classify(hpaPage, linear);
    u32[(address + P.next) >>> 2] = first;
    u32[slot] = address;
    if (first === 0) {
      this.pages.set(hpaPage, { runs: [], covered: new Uint32Array(128) });
      this.protect(hpaPage);
    }
    this.stats.pages++;
    return address;
  }

  /** Room for `count` records of a run in the page; the caller fills them. */
  allocate(hpaPage: number, count: number): number {
    const at = this.next;
    this.next += count * RECORD_BYTES;
    this.addRun(hpaPage, at, count);
    this.stats.records += count;
    return at;
  }

  /** Records of the instructions that begin at this offset, of all pages and code sizes. */
  *recordsAt(off: number): IterableIterator<number> {
    const { u32 } = this.m;
    for (const hpaPage of this.pages.keys())
      for (let page = u32[(CODE_PAGE_TABLE >>> 2) + hpaPage]!; page !== 0; page = u32[(page + P.next) >>> 2]!) {
        const record = u32[(page + PAGE_HEADER + 4 * off) >>> 2]!;
        if (record !== 0) yield record;
      }
  }

  /** Adds records that another page owns to those that a store to this page makes stale (a page-crossing instruction). */
  share(hpaPage: number, first: number, count: number): void {
    this.addRun(hpaPage, first, count);
  }
  private addRun(hpaPage: number, first: number, count: number): void {
    const page = this.pages.get(hpaPage)!;
    page.runs.push([first, count]);
    page.saved = undefined;
  }

  /** Notes that bytes [from, to) of the page are decoded. */
  cover(hpaPage: number, from: number, to: number): void {
    const page = this.pages.get(hpaPage)!, { covered } = page;
    page.saved = undefined;
    for (let i = from; i < to && i < 4096; i++) covered[i >>> 5]! |= 1 << (i & 31);
  }

  /** Bytes of physical memory have been written: drops the page when a decoded instruction lies there. */
  written(hpa: number, length: number): void {
    for (let at = hpa, end = hpa + length; at < end; ) {
      const hpaPage = Math.floor(at / 4096);
      const stop = Math.min(end, (hpaPage + 1) * 4096);
      const page = this.pages.get(hpaPage);
      if (page !== undefined) {
        for (let i = at % 4096, n = i + (stop - at); i < n; i++) {
          if ((page.covered[i >>> 5]! & (1 << (i & 31))) !== 0) {
            this.drop(hpaPage);
            this.stats.dropped++;
            break;
          }
        }
      }
      at = stop;
    }
  }

  private drop(hpaPage: number): void {
    const page = this.pages.get(hpaPage)!;
    const { u32 } = this.m;
    u32[S.leaveRegion >>> 2] = 1;
    this.onDrop?.(hpaPage);
    u32[(CODE_PAGE_TABLE >>> 2) + hpaPage] = 0;
    for (const [first, count] of page.runs)
      for (let i = 0; i < count; i++) u32[(first + i * RECORD_BYTES) >>> 2] = this.refetchHandler;
    this.pages.delete(hpaPage);
  }

  // ---- saving (machine/object-state.ts); structures and records are in the linear memory, see `used`

  /** Linear-memory addresses of all records and structures: [from, to). */
  get used(): { readonly from: number; readonly to: number } {
    return { from: ARENA, to: this.next };
  }
  saveState(): CodeCacheState {
    const pages: [number, number, SavedPage][] = [];
    let bytes = 0;
    for (const [hpaPage, page] of this.pages) {
      if (page.saved === undefined) {
        page.saved = { runs: page.runs.slice(), covered: page.covered.slice() };
        bytes += page.runs.length * 40 + page.covered.byteLength;
      }
      pages.push([hpaPage, this.m.u32[(CODE_PAGE_TABLE >>> 2) + hpaPage]!, page.saved]);
    }
    return { bytes: bytes + 32 * pages.length, next: this.next, stats: { ...this.stats }, pages };
  }
  loadState(state: CodeCacheState): void {
    const { u32 } = this.m, table = CODE_PAGE_TABLE >>> 2;
    for (const hpaPage of this.pages.keys()) u32[table + hpaPage] = 0;
    const before = new Map(this.pages);
    this.pages.clear();
    for (const [hpaPage, first, saved] of state.pages) {
      u32[table + hpaPage] = first;
      const now = before.get(hpaPage);
      this.pages.set(hpaPage, now?.saved === saved ? now : { runs: saved.runs.slice(), covered: saved.covered.slice(), saved });
    }
    this.next = state.next;
    Object.assign(this.stats, state.stats);
  }

  /** Table index of the `refetch` handler. */
  refetchHandler = 0;
}
