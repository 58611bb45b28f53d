/**
 * From a graph of blocks to WebAssembly's structured control: dominator tree, loops, and where forward branches meet.
 *
 * K. D. Cooper, T. J. Harvey, K. Kennedy, "A Simple, Fast Dominance Algorithm" (2001); N. Ramsey, "Beyond Relooper: Recursive
 * Translation of Unstructured Control Flow to Structured Control Flow" (ICFP 2022); R. Tarjan, "Depth-First Search and Linear Graph
 * Algorithms" (1972) for the loops. A loop that can be entered at several blocks (the returns of a recursive function make such
 * loops) gets one more block in front, which every way to these goes through.
 */

import { type Block, edgesOf, newBlock } from './region.js';

/** Blocks in reverse postorder, with `order`, `parent` (immediate dominator), `forward` (forward edges in) and `loop` filled. */
export function analyse(entry: Block): Block[] {
  // A block of its own to begin with, so that the entry may be part of a loop.
  const start = newBlock(entry.first, entry.page);
  start.fall = { to: entry, record: entry.first, page: entry.page, choice: undefined };
  const all = postorder(start);
  singleEntries(all.slice(), all);
  const order = postorder(start).reverse();
  order.forEach((b, i) => (b.order = i));
  dominators(order);
  for (const b of order) {
    for (const to of successors(b)) {
      if (to.order > b.order) to.forward++;
      else if (dominates(to, b)) to.loop = true;
      else throw new Error('a loop has two entries');
    }
  }
  return order;
}

function postorder(entry: Block): Block[] {
  const out: Block[] = [], seen = new Set<Block>([entry]);
  const stack = [{ block: entry, next: successors(entry) }];
  while (stack.length > 0) {
    const top = stack[stack.length - 1]!, to = top.next.pop();
    if (to === undefined) {
      out.push(top.block);
      stack.pop();
    } else if (!seen.has(to)) {
      seen.add(to);
      stack.push({ block: to, next: successors(to) });
    }
  }
  return out;
}
const successors = (b: Block): Block[] => edgesOf(b).flatMap((e) => (e.to === undefined ? [] : [e.to]));

/** Gives every loop among `blocks` one entry, then the loops that remain without that entry. @param all blocks of the region; grows */
function singleEntries(blocks: readonly Block[], all: Block[]): void {
  for (const loop of loops(blocks)) {
    const inside = new Set(loop), entries = new Set<Block>();
    for (const b of all) if (!inside.has(b)) for (const to of successors(b)) if (inside.has(to)) entries.add(to);
    if (entries.size > 1) {
      putInFront([...entries], all);
      singleEntries(loop, all);
    } else singleEntries(loop.filter((b) => !entries.has(b)), all);
  }
}
/** Adds a block through which every edge to the entries goes: the edge says which. */
function putInFront(entries: readonly Block[], all: Block[]): void {
  const front = newBlock(0), place = new Map(entries.map((b, i) => [b, i]));
  for (const b of all)
    for (const e of edgesOf(b)) {
      const at = e.to === undefined ? undefined : place.get(e.to);
      if (at === undefined) continue;
      e.to = front;
      e.choice = at;
    }
  front.end = 'choose';
  front.sites = entries.map((to) => ({ to, record: 0, page: undefined, choice: undefined }));
  all.push(front);
}

/** Strongly connected components with an edge inside. */
function loops(blocks: readonly Block[]): Block[][] {
  const within = new Set(blocks), index = new Map<Block, number>(), low = new Map<Block, number>();
  const open: Block[] = [], isOpen = new Set<Block>(), out: Block[][] = [];
  const visit = (b: Block): void => {
    index.set(b, index.size);
    low.set(b, index.get(b)!);
    open.push(b);
    isOpen.add(b);
    for (const to of successors(b)) {
      if (!within.has(to)) continue;
      if (!index.has(to)) {
        visit(to);
        low.set(b, Math.min(low.get(b)!, low.get(to)!));
      } else if (isOpen.has(to)) low.set(b, Math.min(low.get(b)!, index.get(to)!));
    }
    if (low.get(b) !== index.get(b)) return;
    const component: Block[] = [];
    for (;;) {
      const top = open.pop()!;
      isOpen.delete(top);
      component.push(top);
      if (top === b) break;
    }
    if (component.length > 1 || successors(b).includes(b)) out.push(component);
  };
  for (const b of blocks) if (!index.has(b)) visit(b);
  return out;
}

function dominators(order: readonly Block[]): void {
  const preds = new Map<Block, Block[]>(order.map((b) => [b, []]));
  for (const b of order) for (const to of successors(b)) preds.get(to)!.push(b);
  const entry = order[0]!;
  entry.parent = entry;
  for (let changed = true; changed; ) {
    changed = false;
    for (const b of order) {
      if (b === entry) continue;
      let parent: Block | undefined;
      for (const p of preds.get(b)!) if (p.parent !== undefined) parent = parent === undefined ? p : meet(p, parent);
      if (parent !== b.parent) {
        b.parent = parent;
        changed = true;
      }
    }
  }
  entry.parent = undefined;
}
function meet(a: Block, b: Block): Block {
  while (a !== b) {
    while (a.order > b.order) a = a.parent!;
    while (b.order > a.order) b = b.parent!;
  }
  return a;
}
function dominates(a: Block, b: Block): boolean {
  for (let x: Block | undefined = b; x !== undefined; x = x.parent) if (x === a) return true;
  return false;
}
