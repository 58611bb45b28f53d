/**
 * Regions: the decoded instructions that the compiler joins into one function, as a graph of basic blocks.
 *
 * A region grows from a hot record over direct branches, calls and returns within its code page, over records that the
 * interpreter has decoded already: the compiler decodes nothing, so that both engines meet the same records (which cycle mode
 * prices). Whatever is not in the region is an exit: a tail call to the record's handler.
 */

import type { LinearMemory } from '../../../mem/linear-memory.js';
import type { HandlerInfo, Handlers } from '../handlers.js';
import { PAGE_HEADER, R, RECORD_BYTES, RF_SAME_PAGE } from '../record.js';

/** Bounds of one region: they bound the time that compiling it takes. */
export const MAX_INSTRUCTIONS = 300, MAX_BLOCKS = 96;
/** Return addresses that one RET is compared with. */
const MAX_SITES = 4;

export interface Step {
  readonly record: number;
  /** Absent: the record only fetches a new cache line (cycle mode). */
  readonly info: HandlerInfo | undefined;
}

/** Where control goes: to a block of the region, or out to a record. */
export interface Edge {
  to: Block | undefined;
  /** Record of the target; 0 when it is not known while compiling. */
  readonly record: number;
  /** `to` is a block in front of several (structure.ts): which of them is meant. */
  choice: number | undefined;
}

export interface Block {
  readonly first: number;
  readonly steps: Step[];
  /** How the last step ends: `next` and `goto` go on without a branch; `choose`: by the edge that led here (structure.ts). */
  end: 'branchIf' | 'branch' | 'jump' | 'next' | 'goto' | 'choose';
  taken: Edge | undefined;
  fall: Edge | undefined;
  /** Possible targets of a return, with their offsets in the page. */
  sites: Edge[];
  // filled by structure.ts
  order: number;
  parent: Block | undefined;
  forward: number;
  loop: boolean;
}

export const edgesOf = (b: Block): Edge[] => [...(b.taken !== undefined ? [b.taken] : []), ...(b.fall !== undefined ? [b.fall] : []), ...b.sites];

export const newBlock = (first: number): Block => ({
  first, steps: [], end: 'next', taken: undefined, fall: undefined, sites: [], order: -1, parent: undefined, forward: 0, loop: false,
});

/** Reads records for the compiler. */
export class RegionReader {
  constructor(
    private readonly m: LinearMemory,
    private readonly handlers: Handlers,
    /** The interpreter's handler of a record (that of a region may be in its place). */
    private readonly handlerOf: (record: number) => number,
  ) {}

  /** The record that a relative branch within the page goes to, or 0. */
  private target(page: number, record: number): number {
    const { u32, u8, i32 } = this.m;
    if ((u8[record + R.flags]! & RF_SAME_PAGE) === 0) return 0;
    return u32[(page + PAGE_HEADER + 4 * i32[(record + R.disp) >>> 2]!) >>> 2]!;
  }

  /** The blocks of the region that grows from `head`; the first is the head's. Undefined when the head itself cannot be compiled. */
  read(page: number, head: number): Block[] | undefined {
    const { u32 } = this.m;
    const { base } = this.handlers;
    const seen = new Map<number, HandlerInfo | undefined>();
    const joins = new Set<number>();
    const leaders = new Set<number>([head]);
    const sites: number[] = [];
    const queue = [head];
    for (let instructions = 0; queue.length > 0 && instructions < MAX_INSTRUCTIONS && leaders.size <= MAX_BLOCKS; ) {
      let r = queue.shift()!;
      while (!seen.has(r) && instructions < MAX_INSTRUCTIONS) {
        const handler = this.handlerOf(r);
        if (handler === base.line) {
          seen.set(r, undefined);
          r += RECORD_BYTES;
          continue;
        }
        if (handler === base.goto) {
          const to = u32[(r + R.target) >>> 2]!;
          joins.add(r);
          leaders.add(to);
          queue.push(to);
          break;
        }
        const info = this.handlers.info(handler);
        if (info === undefined) break;
        seen.set(r, info);
        instructions++;
        const next = r + RECORD_BYTES, { ends } = info.usage;
        if (ends === 'branchIf' || ends === 'branch') {
          const to = this.target(page, r);
          if (to !== 0) {
            leaders.add(to);
            queue.push(to);
          }
          // A branch that stores is a call: its return address follows.
          if (ends === 'branchIf' || info.usage.stores) leaders.add(next);
          if (ends === 'branch') {
            if (info.usage.stores && to !== 0) {
              sites.push(next);
              queue.push(next);
            }
            break;
          }
        }
        if (ends === 'jump') break;
        r = next;
      }
    }
    return seen.has(head) ? this.blocks(page, seen, [...leaders].filter((l) => seen.has(l) || joins.has(l)), sites) : undefined;
  }

  private blocks(page: number, seen: ReadonlyMap<number, HandlerInfo | undefined>, leaders: readonly number[], sites: readonly number[]): Block[] {
    const { u32 } = this.m;
    const { base } = this.handlers;
    const byFirst = new Map<number, Block>();
    // The head is the first leader.
    for (const l of leaders) byFirst.set(l, newBlock(l));
    const edge = (record: number): Edge => ({ to: byFirst.get(record), record, choice: undefined });
    for (const block of byFirst.values()) {
      for (let r = block.first; ; r += RECORD_BYTES) {
        if (r !== block.first && byFirst.has(r)) {
          block.fall = edge(r);
          break;
        }
        if (!seen.has(r)) {
          // A goto is an arrival at its target, anything else an exit to the record itself.
          const joins = this.handlerOf(r) === base.goto ? u32[(r + R.target) >>> 2]! : 0;
          if (joins !== 0 && byFirst.has(joins)) {
            block.end = 'goto';
            block.fall = edge(joins);
          } else block.fall = { to: undefined, record: r, choice: undefined };
          break;
        }
        const info = seen.get(r);
        block.steps.push({ record: r, info });
        const ends = info?.usage.ends;
        if (ends === undefined) continue;
        block.end = ends;
        if (ends !== 'jump') block.taken = edge(this.target(page, r));
        if (ends === 'branchIf') block.fall = edge(r + RECORD_BYTES);
        if (ends === 'jump' && info!.spec.name === 'RET') block.sites = sites.filter((s) => byFirst.has(s)).slice(0, MAX_SITES).map(edge);
        break;
      }
    }
    return [...byFirst.values()];
  }
}
