/**
 * Copies of the linear memory's pages, shared between snapshots as long as a page does not change.
 *
 * Two kinds of page. Of guest memory, `LinearMemory.dirty` says which pages may differ from the image taken or restored last; only
 * those are looked at. Pages that emitted code writes without a trace (state window, timing tables, decoded records) are compared.
 *
 * Invariants: a page that is nowhere in an image is all zeros. Pages and groups are never changed once an image has them. A group or
 * page counts whoever holds it, so that `bytes` is what all images together occupy.
 */

import type { LinearMemory } from '../mem/linear-memory.js';
import { PAGE_SHIFT, PAGE_SIZE, ROM_BASE } from '../mem/layout.js';
import { hashPage, HASH_WORDS } from './page-hash.js';

const WORDS = PAGE_SIZE / 4;
/** Pages in a group: an image holds a list of groups, which it shares as a whole where nothing changed. */
const GROUP = 64;
const FIRST_TRACKED = ROM_BASE >>> PAGE_SHIFT;

interface Page {
  readonly words: Int32Array;
  holders: number;
  hash: Int32Array | undefined;
}
interface Group {
  readonly pages: (Page | undefined)[];
  holders: number;
}

/** What one snapshot holds of the memory. */
export interface Image {
  readonly groups: readonly (Group | undefined)[];
  /** Bytes of the pages that no image before had. */
  readonly bytes: number;
}

/** Linear-memory bytes [from, to) that are compared; page-aligned by `pagesOf`. */
export interface Range {
  readonly from: number;
  readonly to: number;
}

export class MemoryImages {
  /** Bytes of all pages that images hold. */
  bytes = 0;
  private base: Image = { groups: [], bytes: 0 };
  private readonly i32: Int32Array;

  constructor(private readonly m: LinearMemory) {
    this.i32 = m.i32;
    this.base = { groups: new Array<Group | undefined>(Math.ceil(m.dirty.length / GROUP)).fill(undefined), bytes: 0 };
  }

  /** Copies what has changed. The image belongs to the caller until `release`. */
  save(compared: readonly Range[]): Image {
    const groups = this.base.groups.slice(), fresh = new Set<number>(), before = this.bytes;
    const look = (page: number): void => {
      const g = Math.floor(page / GROUP), known = groups[g]?.pages[page % GROUP];
      if (this.equals(page, known)) return;
      if (!fresh.has(g)) {
        fresh.add(g);
        groups[g] = { pages: groups[g]?.pages.slice() ?? new Array<Page | undefined>(GROUP).fill(undefined), holders: 0 };
      }
      groups[g]!.pages[page % GROUP] = this.copy(page);
    };
    for (const page of this.dirtyPages()) look(page);
    for (const r of compared) for (let page = r.from >>> PAGE_SHIFT; page < (r.to + PAGE_SIZE - 1) >>> PAGE_SHIFT; page++) look(page);
    for (const g of fresh) for (const p of groups[g]!.pages) if (p !== undefined && p.holders++ === 0) this.bytes += PAGE_SIZE;
    this.m.dirty.fill(0);
    const image = { groups, bytes: this.bytes - before };
    this.retain(image);
    this.setBase(image);
    return image;
  }

  /** Writes an image back. @param compared the ranges that it was saved with */
  restore(image: Image, compared: readonly Range[]): void {
    const { groups } = image, { dirty } = this.m;
    for (let g = 0; g < groups.length; g++) {
      if (groups[g] === this.base.groups[g]) continue;
      for (let i = 0, page = g * GROUP; i < GROUP; i++, page++)
        if (page >= FIRST_TRACKED && groups[g]?.pages[i] !== this.base.groups[g]?.pages[i]) this.put(page, groups[g]?.pages[i]);
    }
    for (const page of this.dirtyPages()) this.put(page, groups[Math.floor(page / GROUP)]?.pages[page % GROUP]);
    for (const r of compared)
      for (let page = r.from >>> PAGE_SHIFT; page < (r.to + PAGE_SIZE - 1) >>> PAGE_SHIFT; page++) this.put(page, groups[Math.floor(page / GROUP)]?.pages[page % GROUP]);
    dirty.fill(0);
    this.setBase(image);
  }

  /** Gives an image up. */
  release(image: Image): void {
    for (const g of image.groups) if (g !== undefined && --g.holders === 0) for (const p of g.pages) if (p !== undefined && --p.holders === 0) this.bytes -= PAGE_SIZE;
  }

  /** A hash of all guest memory as it is now; does not depend on which images there are. */
  hash(): Int32Array {
    const sum = new Int32Array(HASH_WORDS), here = new Int32Array(HASH_WORDS), { dirty } = this.m;
    const add = (page: number, h: Int32Array): void => {
      for (let i = 0; i < HASH_WORDS; i++) sum[i]! += Math.imul(h[i]! ^ page, 0x9e37_79b1 + 2 * i) ^ (h[i]! >>> 15);
    };
    this.base.groups.forEach((group, g) => {
      for (let i = 0; i < GROUP; i++) {
        const page = g * GROUP + i, p = group?.pages[i];
        if (p === undefined || page < FIRST_TRACKED || dirty[page] !== 0) continue;
        add(page, (p.hash ??= hashPage(p.words, 0, new Int32Array(HASH_WORDS))));
      }
    });
    for (const page of this.dirtyPages()) if (!this.equals(page, undefined)) add(page, hashPage(this.i32, page * WORDS, here));
    return sum;
  }

  /** Guest pages that differ from the image saved or restored last without being marked: none, if everybody marks what they write. */
  unmarked(): number[] {
    const out: number[] = [];
    for (let page = FIRST_TRACKED; page < this.m.dirty.length; page++)
      if (this.m.dirty[page] === 0 && !this.equals(page, this.base.groups[Math.floor(page / GROUP)]?.pages[page % GROUP])) out.push(page);
    return out;
  }

  private retain(image: Image): void {
    for (const g of image.groups) if (g !== undefined) g.holders++;
  }
  private setBase(image: Image): void {
    this.retain(image);
    this.release(this.base);
    this.base = image;
  }

  private *dirtyPages(): IterableIterator<number> {
    const { dirty } = this.m;
    for (let page = dirty.indexOf(1, FIRST_TRACKED); page >= 0; page = dirty.indexOf(1, page + 1)) yield page;
  }

  private equals(page: number, known: Page | undefined): boolean {
    const { i32 } = this, at = page * WORDS;
    let differs = 0;
    if (known === undefined) {
      for (let i = at; i < at + WORDS; i += 8) {
        differs = i32[i]! | i32[i + 1]! | i32[i + 2]! | i32[i + 3]! | i32[i + 4]! | i32[i + 5]! | i32[i + 6]! | i32[i + 7]!;
        if (differs !== 0) return false;
      }
      return true;
    }
    const w = known.words;
    for (let i = 0, j = at; i < WORDS; i += 4, j += 4) {
      differs = (i32[j]! ^ w[i]!) | (i32[j + 1]! ^ w[i + 1]!) | (i32[j + 2]! ^ w[i + 2]!) | (i32[j + 3]! ^ w[i + 3]!);
      if (differs !== 0) return false;
    }
    return true;
  }
  private copy(page: number): Page | undefined {
    if (this.equals(page, undefined)) return undefined;
    return { words: this.i32.slice(page * WORDS, (page + 1) * WORDS), holders: 0, hash: undefined };
  }
  private put(page: number, known: Page | undefined): void {
    if (known === undefined) this.i32.fill(0, page * WORDS, (page + 1) * WORDS);
    else this.i32.set(known.words, page * WORDS);
  }
}
