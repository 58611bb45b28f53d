/**
 * Regions' code for every machine of the process, and of later ones: what one machine has compiled, another installs without compiling.
 *
 * A template is plain data, so that whoever runs machines may keep templates and give them to the next process of the same program
 * (`Templates.made`, `Templates.keep`).
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
import type { Handlers } from '../handlers.js';
import { JUMPED, P, PAGE_HEADER, R, RECORD_BYTES } from '../record.js';
import type { Assumed } from './assumed.js';
import { type Place, valueOf } from './places.js';
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
  /** HandlerInfo.key of an instruction; else -1: a record of this kind that leads to record `target` (-1: to none). */
  readonly key: number;
  readonly kind: 'line' | 'goto' | 'pageEnd';
  readonly target: number;
}
export interface Template {
  /** A module of WebAssembly. */
  readonly wasm: Uint8Array;
  readonly pages: readonly { readonly hpaPage: number; readonly bytes: number; readonly account: number }[];
  readonly records: readonly RecordAt[];
  readonly checks: readonly Check[];
  /** The words of each check's record, if that is an instruction; that of the handler does not count. */
  readonly words: Uint32Array;
  /** What the module imports: by kind, the number of a record or page; of a helper, also which of those it is that the record's instruction calls. */
  readonly places: readonly { readonly kind: Place['kind']; readonly of: number; readonly helper: number }[];
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
export function templateOf({ m, handlers, interpreter }: Site, order: readonly Block[], places: readonly Place[], assumed: Assumed, wasm: Uint8Array): Template | undefined {
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
  const words: number[] = [];
  const check = (record: number, key: number, kind: Check['kind'], target = -1): void => {
    checks.push({ record: numberOf(record), key, kind, target });
    for (let w = 0; w < WORDS; w++) words.push(key < 0 ? 0 : u32[(record >>> 2) + w]!);
  };
  for (const b of order) {
    for (const { record, info } of b.steps) check(record, info?.key ?? -1, 'line');
    if (b.ending === 0) continue;
    const kind = kindOf(interpreter(b.ending), handlers);
    if (kind === undefined) return undefined;
    check(b.ending, -1, kind, kind === 'goto' ? numberOf(b.fall!.record) : -1);
  }
  const found = places.map(({ kind, address, helper }) => {
    const index = helper === undefined ? 0 : handlers.info(interpreter(address))!.usage.helpers.indexOf(helper);
    lost ||= index < 0;
    return { kind, of: kind === 'page' ? numberOfPage(address) : numberOf(address), helper: index };
  });
  if (lost) return undefined;
  const pages = structures.map((s) => ({ hpaPage: u32[(s + P.hpaPage) >>> 2]!, bytes: u32[(s + P.bytes) >>> 2]!, account: u32[(s + P.account) >>> 2]! }));
  return { wasm, pages, records, checks, words: Uint32Array.from(words), places: found, assumed };
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
  for (const [i, { record, key, kind, target }] of t.checks.entries()) {
    const at = records[record]!, handler = interpreter(at);
    if (key < 0) {
      if (kindOf(handler, handlers) !== kind || (target >= 0 && u32[(at + R.target) >>> 2] !== records[target])) return undefined;
    } else {
      const info = handlers.info(handler);
      if (info === undefined || info.key !== key) return undefined;
      const { ends } = info.usage, noted = ends === 'jump' ? NOTES : ends === undefined ? NONE : LINK;
      for (let w = 1; w < WORDS; w++) if (t.words[i * WORDS + w] !== u32[(at >>> 2) + w] && !noted.includes(w)) return undefined;
    }
    if (key >= 0 || kind === 'line') instructions.push(at);
  }
  const places = t.places.map(({ kind, of, helper }) => {
    const address = (kind === 'page' ? structures : records)[of]!;
    return valueOf({ kind, address, ...(kind === 'helper' ? { helper: handlers.info(interpreter(address))!.usage.helpers[helper]! } : {}) }, interpreter);
  });
  return { places, records: instructions };
}

/** Templates of machines whose regions have the same constants of the timing core, with the places where their regions begin. */
export interface TemplateSet {
  readonly constants: string;
  readonly templates: readonly { readonly place: number; readonly template: Template }[];
}

/** Templates, and how often places have been seen, for machines whose regions have the same constants of the timing core. */
export class Templates {
  private static readonly all = new Map<string, Templates>();
  /** @param hits cycle mode: the timing core's tables, which are constants in regions */
  static for(hits: HitTables | undefined): Templates {
    return this.of(JSON.stringify(hits ?? null));
  }
  private static of(constants: string): Templates {
    const known = this.all.get(constants);
    if (known !== undefined) return known;
    const made = new Templates();
    this.all.set(constants, made);
    return made;
  }
  /** Takes over what an earlier process of this same program has made; of another one, it would be wrong code. */
  static keep(sets: readonly TemplateSet[]): void {
    for (const { constants, templates } of sets) {
      const here = this.of(constants);
      for (const { place, template } of templates) here.hold(place, template);
      here.trained = true;
    }
  }
  /** What has been made since the last call. */
  static made(): TemplateSet[] {
    return [...this.all].map(([constants, t]) => ({ constants, templates: t.fresh.splice(0) })).filter(({ templates }) => templates.length > 0);
  }

  /** How often the beginnings of regions have been seen, by place, while they were not compiled. */
  readonly seen = new Map<number, number>();
  private readonly byPlace = new Map<number, Template[]>();
  private readonly fresh: { place: number; template: Template }[] = [];
  private readonly modules = new WeakMap<Template, WasmModule>();
  private bytes = 0;
  /** There are templates of an earlier process: what they leave to be compiled is little. */
  trained = false;

  /** A number for the place of a region's beginning: the same in every machine. */
  static placeOf(m: LinearMemory, structure: number, record: number): number {
    return (m.u32[(structure + P.hpaPage) >>> 2]! * 4096 + m.u16[(record + R.off) >>> 1]!) * 4 + m.u32[(structure + P.mode) >>> 2]!;
  }
  /** Adds what was just compiled. */
  add(place: number, template: Template, module: WasmModule): void {
    this.hold(place, template);
    this.modules.set(template, module);
    this.fresh.push({ place, template });
  }
  private hold(place: number, t: Template): void {
    if (this.bytes + t.wasm.length > MAX_BYTES) {
      this.byPlace.clear();
      this.fresh.length = 0;
      this.bytes = 0;
    }
    this.bytes += t.wasm.length;
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
  /** A template's module; `make` makes it of its bytes where there is none yet. */
  moduleOf(t: Template, make: (wasm: Uint8Array) => WasmModule): WasmModule {
    let module = this.modules.get(t);
    if (module === undefined) this.modules.set(t, (module = make(t.wasm)));
    return module;
  }
}
