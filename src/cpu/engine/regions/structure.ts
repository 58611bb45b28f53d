/**
 * From a graph of blocks to WebAssembly's structured control: dominator tree, loops, and where forward branches meet.
 *
 * K. D. Cooper, T. J. Harvey, K. Kennedy, "A Simple, Fast Dominance Algorithm" (2001); N. Ramsey, "Beyond Relooper: Recursive
 * Translation of Unstructured Control Flow to Structured Control Flow" (ICFP 2022); R. Tarjan, "Depth-First Search and Linear Graph
 * Algorithms" (1972) for the loops. A loop that can be entered at several blocks (the returns of a recursive function make such
 * loops) gets one more block in front, which every way to these goes through. Most graphs have none, and only those that have are searched.
 */

import { type Block, edgesOf, newBlock } from './region.js';

/** Blocks in reverse postorder, with `order`, `parent` (immediate dominator), `forward` (forward edges in) and `loop` filled. */
export function analyse(entry: Block): Block[] {
  // A block of its own to begin with, so that the entry may be part of a loop.
  const start = newBlock(entry.first, entry.page);
  start.fall = { to: entry, record: entry.first, page: entry.page, choice: undefined };
  let order = inOrder(start);
  if (!reducible(order)) {
    const all = order.slice().reverse();
    for (let i = 0; i < all.length; i++) all[i]!.order = i;
    singleEntries(all.slice(), all);
    order = inOrder(start);
    if (!reducible(order)) throw new Error('a loop has two entries');
  }
  for (const b of order)
    for (const e of edgesOf(b)) {
      if (e.to === undefined) continue;
      if (e.to.order > b.order) e.to.forward++;
      else e.to.loop = true;
    }
  return order;
}

/** The blocks in reverse postorder, with `order` and `parent`. */
function inOrder(entry: Block): Block[] {
  const order: Block[] = [], open: Block[] = [entry];
  // Where each open block's next edge is, from the last to the first.
  const next = [edgesOf(entry).length];
  const reached = new Set(open);
  while (open.length > 0) {
    const at = open.length - 1, i = --next[at]!;
    if (i < 0) {
      order.push(open.pop()!);
      next.pop();
      continue;
    }
    const { to } = edgesOf(open[at]!)[i]!;
    if (to === undefined || reached.has(to)) continue;
    reached.add(to);
    open.push(to);
    next.push(edgesOf(to).length);
  }
  order.reverse();
  for (let i = 0; i < order.length; i++) {
    order[i]!.order = i;
    order[i]!.parent = undefined;
  }
  dominators(order);
  return order;
}
/** Every edge backwards goes to a block that dominates where it comes from. */
function reducible(order: readonly Block[]): boolean {
  for (const b of order) for (const { to } of edgesOf(b)) if (to !== undefined && to.order <= b.order && !dominates(to, b)) return false;
  return true;
}

/** Gives every loop among `blocks` one entry, then the loops that remain without that entry. @param all blocks of the region, numbered by `order`; grows */
function singleEntries(blocks: readonly Block[], all: Block[]): void {
  for (const loop of loops(blocks, all.length)) {
    const inside = new Set(loop), entries = new Set<Block>();
    for (const b of all) if (!inside.has(b)) for (const { to } of edgesOf(b)) if (to !== undefined && inside.has(to)) entries.add(to);
    if (entries.size > 1) {
      putInFront([...entries], all);
      singleEntries(loop, all);
    } else singleEntries(loop.filter((b) => !entries.has(b)), all);
  }
}
/** Adds a block through which every edge to the entries goes: the edge says which. */
function putInFront(entries: readonly Block[], all: Block[]): void {
  const front = newBlock(0);
  for (const b of all)
    for (const e of edgesOf(b)) {
      const at = e.to === undefined ? -1 : entries.indexOf(e.to);
      if (at < 0) continue;
      e.to = front;
      e.choice = at;
    }
  front.end = 'choose';
  front.sites = entries.map((to) => ({ to, record: 0, page: undefined, choice: undefined }));
  front.order = all.push(front) - 1;
}

/** Strongly connected components with an edge inside. @param count of all blocks */
function loops(blocks: readonly Block[], count: number): Block[][] {
  // By the block's number: 0 for one that is not among them, -1 for one that has not been visited.
  const index = new Int32Array(count), low = new Int32Array(count), isOpen = new Uint8Array(count);
  for (const b of blocks) index[b.order] = -1;
  const open: Block[] = [], out: Block[][] = [];
  let visited = 0;
  const visit = (b: Block): void => {
    const n = b.order;
    let itself = false;
    index[n] = low[n] = ++visited;
    open.push(b);
    isOpen[n] = 1;
    for (const { to } of edgesOf(b)) {
      if (to === undefined || index[to.order] === 0) continue;
      itself ||= to === b;
      if (index[to.order] === -1) {
        visit(to);
        low[n] = Math.min(low[n]!, low[to.order]!);
      } else if (isOpen[to.order] !== 0) low[n] = Math.min(low[n]!, index[to.order]!);
    }
    if (low[n] !== index[n]) return;
    const component: Block[] = [];
    for (let top: Block | undefined; top !== b; ) {
      component.push((top = open.pop()!));
      isOpen[top.order] = 0;
    }
    if (component.length > 1 || itself) out.push(component);
  };
  for (const b of blocks) if (index[b.order] === -1) visit(b);
  return out;
}

/** Fills `parent`; that of the entry is undefined. */
function dominators(order: readonly Block[]): void {
  const preds: Block[][] = order.map(() => []);
  for (const b of order) for (const { to } of edgesOf(b)) if (to !== undefined) preds[to.order]!.push(b);
  const entry = order[0]!;
  entry.parent = entry;
  for (let changed = true; changed; ) {
    changed = false;
    for (let i = 1; i < order.length; i++) {
      const b = order[i]!;
      let parent: Block | undefined;
      for (const p of preds[i]!) if (p.parent !== undefined) parent = parent === undefined ? p : meet(p, parent);
      if (parent === b.parent) continue;
      b.parent = parent;
      changed = true;
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
  // Who dominates comes first in the order.
  let x: Block | undefined = b;
  while (x !== undefined && x.order > a.order) x = x.parent;
  return x === a;
}
