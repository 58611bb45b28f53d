/**
 * Regions: the decoded instructions that the compiler joins into one function, as a graph of basic blocks.
 *
 * A region grows from a hot record over branches, calls and returns, and to where indirect jumps went last, over records that the
 * interpreter has decoded already: the compiler decodes nothing, so that both engines meet the same records (which cycle mode prices).
 * It may go on in other pages that the software TLB knows for execution now; when it runs, it looks there again each time that it
 * goes to another page. Whatever is not in the region is an exit: a tail call to the record's handler.
 */

import type { LinearMemory } from '../../../mem/linear-memory.js';
import { TLB_ENTRIES, TLB_ENTRY, TLB_ENTRY_BYTES } from '../../../mmu/tlb.js';
import { MODE, S } from '../../state.js';
import { CODE_PAGE_TABLE } from '../code-cache.js';
import type { HandlerInfo, Handlers } from '../handlers.js';
import { JUMPED, P, PAGE_HEADER, R, RECORD_BYTES, RF_SAME_PAGE } from '../record.js';

/** Bounds of one region: they bound the time that compiling it takes. */
const MAX_INSTRUCTIONS = 200, MAX_BLOCKS = 80;
const MAX_PAGES = 4;
/** Return addresses that one RET is compared with. */
const MAX_SITES = 4;

export interface Step {
  readonly record: number;
  /** Absent: the record only fetches a new cache line (cycle mode). */
  readonly info: HandlerInfo | undefined;
}

/** A page of code that a region has part of. */
export interface CodePage {
  /** Linear-memory address of the page structure. */
  readonly structure: number;
  readonly hpaPage: number;
  /** Distance of its linear address from that of the head's page, in bytes. */
  readonly distance: number;
  /** AttributionPort. */
  readonly account: number;
}

/** Where control goes: to a block of the region, or out to a record. */
export interface Edge {
  to: Block | undefined;
  /** Record of the target; 0 when it is not known while compiling. */
  readonly record: number;
  /** The target's page. */
  readonly page: CodePage | undefined;
  /** `to` is a block in front of several (structure.ts): which of them is meant. */
  choice: number | undefined;
  /** The region ends there only because it is long enough; nothing but looks behind such an end can tell that it is hot (compiler.ts). */
  readonly more?: boolean;
}

export interface Block {
  readonly first: number;
  /** Absent: the block is in front of others, and has no code. */
  readonly page: CodePage | undefined;
  readonly steps: Step[];
  /** How the last step ends: `next` and `goto` go on without a branch, `page` in the next page or behind the longest run; `choose`: by the edge that led here (structure.ts). */
  end: 'branchIf' | 'branch' | 'jump' | 'next' | 'goto' | 'page' | 'choose';
  /** The `goto` or `pageEnd` record that the block ends with. */
  ending: number;
  taken: Edge | undefined;
  fall: Edge | undefined;
  /** Likely targets of an indirect jump: a return's call sites, where others have gone before. */
  sites: Edge[];
  /** All of them: see `edgesOf`. */
  edges: readonly Edge[] | undefined;
  // filled by registers.ts: registers that may be changed and not stored where it begins
  dirty: number;
  // filled by structure.ts
  order: number;
  parent: Block | undefined;
  forward: number;
  loop: boolean;
}

/** The ways on from a block; from then on it has these. */
export function edgesOf(b: Block): readonly Edge[] {
  if (b.edges !== undefined) return b.edges;
  const out: Edge[] = [];
  if (b.taken !== undefined) out.push(b.taken);
  if (b.fall !== undefined) out.push(b.fall);
  for (const site of b.sites) out.push(site);
  return (b.edges = out);
}

export const newBlock = (first: number, page?: CodePage): Block => ({
  first, page, steps: [], end: 'next', ending: 0, taken: undefined, fall: undefined, sites: [], edges: undefined, dirty: 0, order: -1, parent: undefined, forward: 0, loop: false,
});

/** Makes a block end before one of its steps: what comes there is no part of the region. */
export function cut(b: Block, step: number): void {
  const { record } = b.steps[step]!;
  b.steps.length = step;
  b.end = 'next';
  b.ending = 0;
  b.taken = b.edges = undefined;
  b.fall = { to: undefined, record, page: undefined, choice: undefined, more: true };
  b.sites = [];
}

/** Reads records for the compiler. */
export class RegionReader {
  constructor(
    private readonly m: LinearMemory,
    private readonly handlers: Handlers,
    /** The interpreter's handler of a record (that of a region may be in its place). */
    private readonly handlerOf: (record: number) => number,
  ) {}

  /** Where a relative branch goes, or undefined when that is not decoded, or in a page that the region cannot have. */
  private target(pages: CodePage[], page: CodePage, record: number): Place | undefined {
    const { u8, view } = this.m;
    const displacement = Number(view.getBigInt64(record + R.disp, true));
    if ((u8[record + R.flags]! & RF_SAME_PAGE) !== 0) return this.place(page, displacement);
    // A 16-bit operand size cuts the target.
    if (u8[record + R.operandWidth] === 16) return undefined;
    return this.elsewhere(pages, page, displacement);
  }
  /** Where an indirect jump has gone last. */
  private jumped(pages: CodePage[], page: CodePage, record: number): Place[] {
    const places: Place[] = [];
    for (const at of JUMPED) {
      const displacement = this.m.i32[(record + at) >>> 2]!;
      const to = displacement === 0 ? undefined : this.elsewhere(pages, page, displacement);
      if (to !== undefined) places.push(to);
    }
    return places;
  }
  private place(page: CodePage, off: number): Place | undefined {
    const record = this.m.u32[(page.structure + PAGE_HEADER + 4 * off) >>> 2]!;
    return record === 0 ? undefined : { record, page };
  }
  /** The record at a distance from a page's beginning, in another page. */
  private elsewhere(pages: CodePage[], from: CodePage, displacement: number): Place | undefined {
    const distance = from.distance + Math.floor(displacement / 4096) * 4096, off = displacement & 4095;
    let page = pages.find((p) => p.distance === distance);
    if (page === undefined) {
      page = pages.length < MAX_PAGES ? this.mapped(distance) : undefined;
      if (page === undefined) return undefined;
      pages.push(page);
    }
    return this.place(page, off);
  }
  /** The decoded page at a distance from the one that runs now, if the software TLB has it for execution. */
  private mapped(distance: number): CodePage | undefined {
    const { u32, u64 } = this.m;
    const wide = u32[S.mode >>> 2] === MODE.bits64;
    const linear = BigInt.asUintN(wide ? 64 : 32, u64[S.codeBase >>> 3]! + u64[S.csBase >>> 3]! + BigInt(distance));
    const entry = u32[S.tlb >>> 2]! + Number((linear >> 12n) & BigInt(TLB_ENTRIES - 1)) * TLB_ENTRY_BYTES;
    if (u64[(entry + TLB_ENTRY.tagExec) >>> 3] !== linear) return undefined;
    const hpaPage = u32[(entry + TLB_ENTRY.hpaPage) >>> 2]!;
    let at = u32[(CODE_PAGE_TABLE >>> 2) + hpaPage]!;
    while (at !== 0 && u32[(at + P.mode) >>> 2] !== u32[S.mode >>> 2]) at = u32[(at + P.next) >>> 2]!;
    return at === 0 ? undefined : this.page(at, distance);
  }
  /** A record of the page that runs now. */
  here(record: number): Place {
    return { record, page: this.page(this.m.u32[S.currentPage >>> 2]!, 0) };
  }
  /** The first instruction at a record, if that is in a page near the one that runs now. */
  near(record: number): Place | undefined {
    if (record === 0) return undefined;
    const at = this.instruction(record), off = this.m.u16[(at + R.off) >>> 1]!;
    for (let pages = -MAX_PAGES; off < 4096 && pages <= MAX_PAGES; pages++) {
      const page = this.mapped(4096 * pages), found = page === undefined ? undefined : this.place(page, off);
      if (found?.record === at) return found;
    }
    return undefined;
  }
  private page(structure: number, distance: number): CodePage {
    const { u32 } = this.m;
    return { structure, distance, hpaPage: u32[(structure + P.hpaPage) >>> 2]!, account: u32[(structure + P.account) >>> 2]! };
  }

  /**
   * The blocks of the region that grows from `head` in a page, that of the head first. Undefined when the head itself cannot be compiled.
   * @param stops records that it does not go on with
   */
  read({ page: first, record: head }: Place, stops: (record: number) => boolean): Block[] | undefined {
    const { base } = this.handlers, pages = [first];
    const seen = new Map<number, HandlerInfo | undefined>();
    // Records that are no instructions, but say where the next one is.
    const joins = new Set<number>();
    const leaders = new Map<number, CodePage>([[head, first]]);
    const sites: Place[] = [];
    const queue: Place[] = [{ record: head, page: first }];
    const lead = (to: Place | undefined): void => {
      if (to === undefined) return;
      leaders.set(to.record, to.page);
      queue.push(to);
    };
    for (let instructions = 0; queue.length > 0 && instructions < MAX_INSTRUCTIONS && leaders.size <= MAX_BLOCKS; ) {
      let { record: r, page } = queue.shift()!;
      while (!seen.has(r) && instructions < MAX_INSTRUCTIONS) {
        const handler = this.handlerOf(r);
        if (r !== head && stops(r)) break;
        if (handler === base.line) {
          seen.set(r, undefined);
          r += RECORD_BYTES;
          continue;
        }
        if (handler === base.goto || handler === base.pageEnd) {
          joins.add(r);
          lead(this.joined(pages, page, r));
          break;
        }
        const info = this.handlers.info(handler);
        if (info === undefined) break;
        seen.set(r, info);
        instructions++;
        const next = r + RECORD_BYTES, { ends } = info.usage;
        if (ends === 'branchIf' || ends === 'branch') {
          const to = this.target(pages, page, r);
          lead(to);
          // A branch that stores is a call: its return address follows.
          if (ends === 'branchIf') leaders.set(next, page);
          else if (info.usage.stores && to !== undefined) {
            lead({ record: next, page });
            sites.push({ record: next, page });
          }
          if (ends === 'branch') break;
        }
        if (ends === 'jump') {
          if (info.spec.name === 'RET') break;
          const places = this.jumped(pages, page, r);
          for (const to of places) lead(to);
          if (info.usage.stores && places.length > 0) {
            lead({ record: next, page });
            sites.push({ record: next, page });
          }
          break;
        }
        r = next;
      }
    }
    if (!seen.has(head)) return undefined;
    const known = new Map([...leaders].filter(([l]) => seen.has(l) || joins.has(l)));
    return this.blocks(pages, known, seen, sites);
  }
  /** Where a `goto` or `pageEnd` record leads. */
  private joined(pages: CodePage[], page: CodePage, record: number): Place | undefined {
    const { u32, u16 } = this.m;
    if (this.handlerOf(record) === this.handlers.base.goto) return { record: u32[(record + R.target) >>> 2]!, page };
    const off = u16[(record + R.off) >>> 1]!;
    return off < 4096 ? this.place(page, off) : this.elsewhere(pages, page, off);
  }

  private blocks(pages: CodePage[], leaders: ReadonlyMap<number, CodePage>, seen: ReadonlyMap<number, HandlerInfo | undefined>, sites: readonly Place[]): Block[] {
    const { base } = this.handlers;
    const byFirst = new Map<number, Block>();
    // The head is the first leader.
    for (const [l, page] of leaders) byFirst.set(l, newBlock(l, page));
    const edge = (record: number, page: CodePage): Edge => ({ to: byFirst.get(record), record, page, choice: undefined });
    const out = (record: number): Edge => ({ to: undefined, record, page: undefined, choice: undefined, more: this.goesOn(record) });
    const edgeTo = (to: Place | undefined): Edge => (to === undefined ? out(0) : edge(to.record, to.page));
    for (const block of byFirst.values()) {
      const page = block.page!;
      for (let r = block.first; ; r += RECORD_BYTES) {
        if (r !== block.first && byFirst.has(r)) {
          block.fall = edge(r, page);
          break;
        }
        if (!seen.has(r)) {
          const handler = this.handlerOf(r);
          const joins = handler === base.goto || handler === base.pageEnd ? this.joined(pages, page, r) : undefined;
          if (joins !== undefined && byFirst.has(joins.record)) {
            block.end = handler === base.goto ? 'goto' : 'page';
            block.ending = r;
            block.fall = edgeTo(joins);
          } else block.fall = out(r);
          break;
        }
        const info = seen.get(r);
        block.steps.push({ record: r, info });
        const ends = info?.usage.ends;
        if (ends === undefined) continue;
        block.end = ends;
        if (ends !== 'jump') block.taken = edgeTo(this.target(pages, page, r));
        if (ends === 'branchIf') block.fall = edge(r + RECORD_BYTES, page);
        if (ends === 'jump') {
          const places = info!.spec.name === 'RET' ? sites : this.jumped(pages, page, r);
          block.sites = places.filter((s) => byFirst.has(s.record)).slice(0, MAX_SITES).map(edgeTo);
        }
        break;
      }
    }
    return [...byFirst.values()];
  }
  /** What a record leads to that is only a new cache line or a way to other records. */
  private instruction(record: number): number {
    const { base } = this.handlers;
    if (this.handlerOf(record) === base.goto) record = this.m.u32[(record + R.target) >>> 2]!;
    return this.handlerOf(record) === base.line ? record + RECORD_BYTES : record;
  }
  /** Can what comes at a record be compiled? */
  private goesOn(record: number): boolean {
    return record !== 0 && this.handlers.info(this.handlerOf(this.instruction(record))) !== undefined;
  }
}

/** A record and its page. */
export interface Place {
  readonly record: number;
  readonly page: CodePage;
}
