/**
 * Regions' code for every machine of the process: what one machine has compiled, another installs without compiling.
 *
 * The comparison runs the same hypervisor and dom0 on one machine after the other, and a machine that was restored or reset meets the same
 * code again. A region's module therefore has no address of a record or page structure in it, and no table index: it imports them as
 * globals ("places"), and a template says how to find each in another machine: by its page and offset, or so many records behind one
 * that has an offset.
 *
 * Invariant: a template is installed only where everything holds that was compiled into it: the pages' physical addresses and accounts,
 * every word of every record that the region has (notes of where branches and jumps have gone apart), and the handlers of all. So it is the module that
 * compiling there could have made; where more has been decoded since, that would only have had more blocks.
 */

import type { LinearMemory } from '../../../mem/linear-memory.js';
import type { WasmModule } from '../../../wasm/host.js';
import { S } from '../../state.js';
import { CODE_PAGE_TABLE } from '../code-cache.js';
import type { HandlerInfo, Handlers } from '../handlers.js';
import { JUMPED, P, PAGE_HEADER, R, RECORD_BYTES } from '../record.js';
import type { Assumed } from './assumed.js';
import type { Place } from './places.js';
import { type Block, edgesOf } from './region.js';
import type { HitTables } from './region-timing.js';

const WORDS = RECORD_BYTES / 4;
/** Words in which the interpreter notes where a branch, or an indirect jump, has gone: no part of the instruction. */
const LINK: readonly number[] = [R.target / 4], NOTES: readonly number[] = JUMPED.map((at) => at / 4), NONE: readonly number[] = [];
/** The longest way back, in records, to one that has an offset: those between are lines. */
const MAX_BEHIND = 400;
/** WebAssembly bytes that are kept; beyond, all templates are given up. The host needs some ten times as many (compiler.ts). */
const MAX_BYTES = 12 << 20;

/** A record by its page's number in the template, and its place there. */
interface RecordAt {
  readonly page: number;
  readonly offset: number;
  readonly behind: number;
}
/** What a record must be. */
interface Check {
  readonly record: number;
  /** An instruction's handler; else a record of this kind that leads to record `target` (-1: to none). */
  readonly info: HandlerInfo | undefined;
  readonly kind: 'line' | 'goto' | 'pageEnd';
  readonly target: number;
  /** An instruction's words; that of the handler does not count. */
  readonly words: Uint32Array;
}
export interface Template {
  readonly module: WasmModule;
  readonly bytes: number;
  readonly pages: readonly { readonly hpaPage: number; readonly bytes: number; readonly account: number }[];
  readonly records: readonly RecordAt[];
  readonly checks: readonly Check[];
  /** What the module imports: by kind, the number of a record or page. */
  readonly places: readonly { readonly kind: Place['kind']; readonly of: number }[];
  readonly assumed: Assumed;
}
/** A template's places in a machine, and its instructions' records there. */
export interface Found {
  readonly places: readonly number[];
  readonly records: readonly number[];
}

/** What the template needs of the machine that it comes from or goes to. */
export interface Site {
  readonly m: LinearMemory;
  readonly handlers: Handlers;
  /** The interpreter's handler of a record. */
  readonly interpreter: (record: number) => number;
}

const kindOf = (handler: number, { base }: Handlers): Check['kind'] | undefined =>
  handler === base.line ? 'line' : handler === base.goto ? 'goto' : handler === base.pageEnd ? 'pageEnd' : undefined;

/** Makes a template of a region that was just compiled. Undefined: one of its places cannot be found again. */
export function templateOf({ m, handlers, interpreter }: Site, order: readonly Block[], places: readonly Place[], assumed: Assumed, module: WasmModule, bytes: number): Template | undefined {
  const { u32, u16 } = m;
  const structures: number[] = [], pageOf = new Map<number, number>(), numbers = new Map<number, number>(), records: RecordAt[] = [], checks: Check[] = [];
  const numberOfPage = (structure: number): number => {
    const known = structures.indexOf(structure);
    return known >= 0 ? known : structures.push(structure) - 1;
  };
  for (const b of order) {
    if (b.page !== undefined) {
      pageOf.set(b.first, b.page.structure);
      for (const { record } of b.steps) pageOf.set(record, b.page.structure).set(record + RECORD_BYTES, b.page.structure);
      if (b.ending !== 0) pageOf.set(b.ending, b.page.structure);
    }
    for (const e of edgesOf(b)) if (e.record !== 0 && e.page !== undefined) pageOf.set(e.record, e.page.structure);
  }
  let lost = false;
  const numberOf = (record: number): number => {
    const known = numbers.get(record);
    if (known !== undefined) return known;
    const structure = pageOf.get(record);
    for (let behind = 0, r = record; structure !== undefined && behind < MAX_BEHIND; behind++, r -= RECORD_BYTES) {
      const offset = u16[(r + R.off) >>> 1]!;
      if (offset >= 4096 || u32[(structure + PAGE_HEADER + 4 * offset) >>> 2] !== r) continue;
      const n = records.push({ page: numberOfPage(structure), offset, behind }) - 1;
      numbers.set(record, n);
      return n;
    }
    lost = true;
    return 0;
  };
  numberOfPage(order[0]!.page!.structure);
  const none = new Uint32Array(0);
  for (const b of order) {
    for (const { record, info } of b.steps) {
      checks.push({ record: numberOf(record), info, kind: 'line', target: -1, words: info === undefined ? none : u32.slice(record >>> 2, (record >>> 2) + WORDS) });
    }
    if (b.ending === 0) continue;
    const kind = kindOf(interpreter(b.ending), handlers);
    if (kind === undefined) return undefined;
    checks.push({ record: numberOf(b.ending), info: undefined, kind, target: kind === 'goto' ? numberOf(b.fall!.record) : -1, words: none });
  }
  const found = places.map(({ kind, address }) => ({ kind, of: kind === 'page' ? numberOfPage(address) : numberOf(address) }));
  if (lost) return undefined;
  const pages = structures.map((s) => ({ hpaPage: u32[(s + P.hpaPage) >>> 2]!, bytes: u32[(s + P.bytes) >>> 2]!, account: u32[(s + P.account) >>> 2]! }));
  return { module, bytes, pages, records, checks, places: found, assumed };
}

/** Where a template's places are in a machine whose page `structure` runs, if all of it is there as it was compiled. */
function find({ m, handlers, interpreter }: Site, t: Template, structure: number): Found | undefined {
  const { u32 } = m, mode = u32[S.mode >>> 2]!;
  if ((u32[S.flatSegments >>> 2]! & t.assumed.flat) !== t.assumed.flat) return undefined;
  for (const field of t.assumed.zero) if (u32[field >>> 2] !== 0) return undefined;
  const structures: number[] = [];
  for (const { hpaPage, bytes, account } of t.pages) {
    let at = structures.length === 0 ? structure : u32[(CODE_PAGE_TABLE >>> 2) + hpaPage]!;
    while (at !== 0 && u32[(at + P.mode) >>> 2] !== mode) at = u32[(at + P.next) >>> 2]!;
    if (at === 0 || u32[(at + P.hpaPage) >>> 2] !== hpaPage || u32[(at + P.bytes) >>> 2] !== bytes || u32[(at + P.account) >>> 2] !== account) return undefined;
    structures.push(at);
  }
  const records: number[] = [];
  for (const { page, offset, behind } of t.records) {
    const first = u32[(structures[page]! + PAGE_HEADER + 4 * offset) >>> 2]!;
    if (first === 0) return undefined;
    records.push(first + behind * RECORD_BYTES);
  }
  const instructions: number[] = [];
  for (const { record, info, kind, target, words } of t.checks) {
    const at = records[record]!, handler = interpreter(at);
    if (info === undefined) {
      if (kindOf(handler, handlers) !== kind || (target >= 0 && u32[(at + R.target) >>> 2] !== records[target])) return undefined;
    } else {
      if (handlers.info(handler) !== info) return undefined;
      const { ends } = info.usage, noted = ends === 'jump' ? NOTES : ends === undefined ? NONE : LINK;
      for (let w = 1; w < WORDS; w++) if (words[w] !== u32[(at >>> 2) + w] && !noted.includes(w)) return undefined;
    }
    if (info !== undefined || kind === 'line') instructions.push(at);
  }
  return { places: t.places.map(({ kind, of }) => (kind === 'page' ? structures[of]! : kind === 'record' ? records[of]! : interpreter(records[of]!))), records: instructions };
}

/** Templates, and how often places have been seen, for machines whose regions have the same constants of the timing core. */
export class Templates {
  private static readonly all = new Map<string, Templates>();
  /** @param hits cycle mode: the timing core's tables, which are constants in regions */
  static for(hits: HitTables | undefined): Templates {
    const key = JSON.stringify(hits ?? null), known = this.all.get(key);
    if (known !== undefined) return known;
    const made = new Templates();
    this.all.set(key, made);
    return made;
  }

  /** How often the beginnings of regions have been seen, by place, while they were not compiled. */
  readonly seen = new Map<number, number>();
  private readonly byPlace = new Map<number, Template[]>();
  private bytes = 0;

  /** A number for the place of a region's beginning: the same in every machine. */
  static placeOf(m: LinearMemory, structure: number, record: number): number {
    return (m.u32[(structure + P.hpaPage) >>> 2]! * 4096 + m.u16[(record + R.off) >>> 1]!) * 4 + m.u32[(structure + P.mode) >>> 2]!;
  }
  add(place: number, t: Template): void {
    if (this.bytes + t.bytes > MAX_BYTES) {
      this.byPlace.clear();
      this.bytes = 0;
    }
    this.bytes += t.bytes;
    const list = this.byPlace.get(place);
    if (list === undefined) this.byPlace.set(place, [t]);
    else list.push(t);
  }
  /** The newest template that can be installed where the page `structure` runs. */
  find(place: number, site: Site, structure: number): { template: Template; found: Found } | undefined {
    const list = this.byPlace.get(place);
    for (let i = list === undefined ? -1 : list.length - 1; i >= 0; i--) {
      const template = list![i]!, found = find(site, template, structure);
      if (found !== undefined) return { template, found };
    }
    return undefined;
  }
}
