/**
 * The compiler: finds hot code by looking where the guest is every `sample` cycles or a few less, makes regions of it, and installs them.
 *
 * A region is installed by putting its table index in the place of its first record's handler; the interpreter's chain runs into
 * it like into any other handler. The interpreter's own index is kept, so that a region can be taken out again: when its page is
 * dropped, when there are too many, or when someone wants to see the records as the interpreter has them (snapshots).
 *
 * Invariant: regions change nothing that a guest, a clock or a snapshot could see. Where they are and when they were made is
 * therefore free to depend on anything; it depends on cycles, and on what the process has compiled and seen before (templates.ts).
 */

import type { LinearMemory } from '../../../mem/linear-memory.js';
import { Wasm, type WasmModule } from '../../../wasm/host.js';
import { MODE, S } from '../../state.js';
import { CODE_PAGE_TABLE } from '../code-cache.js';
import { FETCH_AT, FETCH_LINE, IMPORT_INDEX, TIMING_INDEX } from '../host-imports.js';
import type { Handlers } from '../handlers.js';
import { P, PAGE_HEADER, R } from '../record.js';
import { SLOW_INDEX } from '../shared-functions.js';
import { valueOf } from './places.js';
import { moduleOf, RegionInMaking, type Workshop } from './region-in-making.js';
import type { HitTables } from './region-timing.js';
import { type Place, RegionReader } from './region.js';
import { Templates } from './templates.js';

/** While a region is being compiled, looks come so many times as often (a shift): each is a step. */
const STEP_SHIFT = 2;
/**
 * So many times as hot must a place be in a process that has regions of an earlier one: compiling the first few costs it most, as the compiler's
 * own code is cold, and what is worth it in the usual run is there.
 */
const WHEN_TRAINED = 4;
const nowhere = (): boolean => false;

export interface CompilerOptions {
  /** Cycles between two looks at where the guest is. */
  readonly sample: number;
  /** Instructions that must have been interpreted before looks that found a place before it is compiled; 0: whatever a chain begins with is compiled at once. */
  readonly threshold: number;
  /** The same for a place that some region has already, though it begins elsewhere: the guest will come to its beginning. */
  readonly coveredThreshold: number;
  /** Cycles that a region runs before the loop has its turn: then the host's optimised code can take the place of the first. */
  readonly longest: number;
  /** Regions and bytes of WebAssembly that are kept at most; beyond, the coldest are given up. The host needs about ten bytes for each of these. */
  readonly maxRegions: number;
  readonly maxBytes: number;
  /** Host milliseconds, for the statistics. */
  readonly stopwatch?: () => number;
  /** Called where a module of so many bytes is made: returns what `make` returns. */
  readonly making?: <T>(bytes: number, make: () => T) => T;
}
export const DEFAULT_COMPILER: CompilerOptions = { sample: 10_000, threshold: 15_000, coveredThreshold: 110_000, longest: 500_000, maxRegions: 2000, maxBytes: 12 << 20 };
/**
 * In cycle mode a region gains less than in functional mode, and its code is twice as long: the host needs 5 to 20 ms for one, on all its
 * threads. 1,200,000 instructions are some 40 ms of interpreting. Looks are rare: with many, places reach the threshold by many small
 * amounts that are hot only together. docs/performance.md has other numbers.
 */
export const CYCLE_COMPILER: CompilerOptions = { ...DEFAULT_COMPILER, sample: 100_000, threshold: 1_200_000, coveredThreshold: 1_200_000 };

/** `--engine compiler`: as little as possible is interpreted. For tests, and to see what compiling costs. */
export const EAGER_COMPILER: CompilerOptions = { ...DEFAULT_COMPILER, sample: 500, threshold: 0 };

export interface CompilerStats {
  /** Regions made since the start, those of them that some machine of the process had compiled before, and those installed now. */
  compiled: number;
  shared: number;
  regions: number;
  /** WebAssembly bytes of the regions installed now. */
  bytes: number;
  /** Looks at where the guest was, and how many of them found it in a region. */
  samples: number;
  hits: number;
  /** Guest instructions that regions made since the start have. */
  instructions: number;
  /** Regions given up to make room for others. */
  evictions: number;
  /** Host milliseconds that compiling took in all, and the longest of its steps, between which the guest runs; 0 without a stopwatch. */
  milliseconds: number;
  longest: number;
}

interface Installed {
  readonly record: number;
  /** The interpreter's handler of the record. */
  readonly handler: number;
  readonly slot: number;
  /** Host-physical pages that it has code of. */
  readonly pages: readonly number[];
  readonly bytes: number;
  /** All its records. */
  readonly records: readonly number[];
  /** The look (a number of `samples`) that found the guest in it last, or behind which it was made. */
  used: number;
}

export class Compiler {
  /** Cycles until the next look at the guest, between runs (exact-run.ts). */
  untilLook: number;
  /** Chains are to say where they begin: it compiles whatever does, or a look found a chain that had ended by itself, and sees where the next begins. */
  attentive: boolean;
  /** Whatever a chain begins with is compiled at once. */
  private readonly eager: boolean;
  /** S.retired at the last look. */
  private counted = 0;
  readonly stats: CompilerStats = { compiled: 0, shared: 0, regions: 0, bytes: 0, samples: 0, hits: 0, instructions: 0, evictions: 0, milliseconds: 0, longest: 0 };
  private readonly installed = new Map<number, Installed>();
  /** How many regions have a record. */
  private readonly covered = new Map<number, number>();
  private readonly byPage = new Map<number, Set<number>>();
  private readonly templates: Templates;
  /** Records that cannot be compiled. */
  private readonly refused = new Set<number>();
  /** Slots of regions that are gone, and the handlers that they stood for. */
  private readonly removed = new Map<number, number>();
  private readonly workshop: Workshop;
  /** The region that is being compiled, a step at a look; one at a time. */
  private making: RegionInMaking | undefined;
  private readonly inCycleMode: boolean;

  constructor(
    private readonly m: LinearMemory,
    private readonly handlers: Handlers,
    /** Cycle mode: the timing core's tables. */
    hits: HitTables | undefined,
    readonly options: CompilerOptions = DEFAULT_COMPILER,
  ) {
    this.attentive = this.eager = options.threshold === 0;
    this.untilLook = this.interval;
    const interpreter = (record: number): number => this.handlerOf(record, m.u32[(record + R.handler) >>> 2]!);
    this.inCycleMode = hits !== undefined;
    this.templates = Templates.for(hits);
    const { commit, helper, raise, arrive, branchSlow, dispatch } = IMPORT_INDEX, { dataLine, jump, span, string } = TIMING_INDEX;
    const imports = {
      commit, helper, raise, arrive, branchSlow, dispatch, ...SLOW_INDEX,
      ...(hits === undefined ? {} : { timing: { dataLine, jump, span, string, fetchAt: FETCH_AT, fetchLine: FETCH_LINE }, hits }),
    };
    this.workshop = { m, handlers, interpreter, reader: new RegionReader(m, handlers, interpreter), imports, making: options.making };
  }

  /** The interpreter's handler of a record that a region begins with, else what is given. */
  handlerOf(record: number, otherwise: number): number {
    return this.installed.get(record)?.handler ?? otherwise;
  }

  // ---- looking where the guest is

  /**
   * A chain has ended in which a region took the cycles that the look had withheld. True: the look comes now, because what came
   * behind the region used up those that it left.
   */
  ran(exhausted: boolean): boolean {
    const { stats } = this, region = this.installed.get(this.handlers.entered.value);
    if (region !== undefined) region.used = stats.samples;
    if (exhausted) return true;
    stats.samples++;
    stats.hits++;
    this.interpreted();
    return false;
  }
  /** Cycles to the next look: never the same number twice, or a loop that divides it would be looked at in one place for good. */
  get interval(): number {
    const { sample } = this.options;
    if (this.making !== undefined) return sample >>> STEP_SHIFT;
    const random = Math.imul(this.stats.samples, 0x9e37_79b1) >>> 16;
    return sample - ((random * (sample >>> 3)) >>> 16);
  }
  /**
   * A look at where the guest is, or a step of the region that is being compiled: behind a chain, with RIP exact.
   * @param blockEnd the chain ended because its cycles were used up, not for a reason of its own
   */
  sample(blockEnd: boolean): void {
    const { stats, making } = this;
    if (making !== undefined) {
      this.interpreted();
      return this.goOn(making);
    }
    stats.samples++;
    const record = blockEnd ? this.recordHere() : 0;
    if (record === 0) this.attentive = true;
    else this.seen(record);
  }
  /** A look has found the guest at a record of the page that runs. */
  private seen(record: number): void {
    const { installed, options } = this, instructions = this.interpreted();
    let place: Place | undefined = this.workshop.reader.here(record);
    if (installed.has(record)) {
      // What led here from the region before has no beginning that looks could find, if that region has ended in the middle of something.
      const before = this.handlers.entered.value;
      if (installed.has(before) || (place = this.workshop.reader.near(before)) === undefined || installed.has(place.record)) return;
    }
    if (this.refused.has(place.record)) return;
    if (this.installKnown(place)) return;
    const { seen } = this.templates, n = this.numberOf(place), sum = (seen.get(n) ?? 0) + instructions;
    const threshold = this.covered.has(place.record) ? options.coveredThreshold : options.threshold;
    if (sum < (this.templates.trained ? WHEN_TRAINED * threshold : threshold)) {
      seen.set(n, sum);
      return;
    }
    // What goes on behind another region leaves that its own, or a loop would be compiled again from each place where one ends.
    const stops = place.record === record ? nowhere : (r: number) => installed.has(r);
    if (this.eager) return this.compile(place, stops);
    this.making = new RegionInMaking(this.workshop, place, stops);
    this.goOn(this.making);
  }
  /** A look while a region is being compiled: its next step. Other places keep their counts, and come next. */
  private goOn(making: RegionInMaking): void {
    this.timed(() => this.step(making));
  }
  /** A region is half made. */
  get busy(): boolean {
    return this.making !== undefined;
  }
  /**
   * Instructions since the last look. Cycles would say something else: a place that waits for a device has many, and gains nothing from being
   * compiled.
   */
  private interpreted(): number {
    if (!this.inCycleMode) return this.options.sample;
    const retired = this.m.u32[S.retired >>> 2]!, since = retired - this.counted;
    this.counted = retired;
    // The count begins again now and then.
    return since < 0 ? retired : since;
  }
  /** A chain is about to begin at a record of the current page: a look may wait for that; or nothing is to be interpreted that can be compiled. */
  entering(record: number): void {
    if (this.m.u32[S.mode >>> 2] === MODE.bits16) return;
    const { eager } = this;
    this.attentive = eager;
    if (eager) {
      if (!this.installed.has(record) && !this.refused.has(record)) this.compile(this.workshop.reader.here(record), nowhere);
    } else if (this.making === undefined) this.seen(record);
  }
  /** The decoded record at RIP if it lies in the page that ran last, else 0. */
  private recordHere(): number {
    const { u32 } = this.m;
    const page = u32[S.currentPage >>> 2]!;
    if (page === 0 || u32[(page + P.mode) >>> 2] !== u32[S.mode >>> 2] || u32[S.mode >>> 2] === MODE.bits16) return 0;
    const off = (u32[S.rip >>> 2]! - u32[S.codeBase >>> 2]!) >>> 0;
    if (off > 4095) return 0;
    // A structure that was dropped has no place in the table any more.
    let at = u32[(CODE_PAGE_TABLE >>> 2) + u32[(page + P.hpaPage) >>> 2]!]!;
    while (at !== 0 && at !== page) at = u32[(at + P.next) >>> 2]!;
    return at === 0 ? 0 : u32[(page + PAGE_HEADER + 4 * off) >>> 2]!;
  }

  /** Compiles the region that grows from a record, all of it now, and installs it. */
  private compile(head: Place, stops: (record: number) => boolean): void {
    if (this.installKnown(head)) return;
    const making = (this.making = new RegionInMaking(this.workshop, head, stops));
    this.timed(() => {
      while (this.making === making) this.step(making);
    });
  }
  /** Does the next step of a region, and installs it when it is done. */
  private step(making: RegionInMaking): void {
    const { done, value: built } = making.step();
    if (done !== true) return;
    const { head, pages } = making, { record } = head, place = this.numberOf(head);
    this.making = undefined;
    this.templates.seen.delete(place);
    if (built === undefined) {
      this.refused.add(record);
      return;
    }
    const { records, places, bytes, module, template } = built;
    if (template !== undefined) this.templates.add(place, template, module);
    this.install(record, module, bytes, places.map((p) => valueOf(p, this.workshop.interpreter)), pages, records);
  }
  private timed(work: () => void): void {
    const { stopwatch } = this.options, { stats } = this, began = stopwatch?.() ?? 0;
    work();
    const took = (stopwatch?.() ?? 0) - began;
    stats.milliseconds += took;
    stats.longest = Math.max(stats.longest, took);
  }
  private numberOf({ page, record }: Place): number {
    return Templates.placeOf(this.m, page.structure, record);
  }
  /** Installs a region that some machine of the process has compiled, if there is one for the record. */
  private installKnown(head: Place): boolean {
    const known = this.templates.find(this.numberOf(head), this.workshop, head.page.structure);
    if (known === undefined) return false;
    const { template, found } = known, { wasm, pages } = template;
    this.timed(() => {
      const module = this.templates.moduleOf(template, (bytes) => moduleOf(this.workshop, bytes));
      this.install(head.record, module, wasm.length, found.places, pages.map((p) => p.hpaPage), found.records);
    });
    this.stats.shared++;
    return true;
  }
  private install(record: number, module: WasmModule, bytes: number, places: readonly number[], pages: readonly number[], records: readonly number[]): void {
    const { m, handlers, stats } = this;
    this.makeRoom(bytes);
    const slot = handlers.put(new Wasm.Instance(module, { ...handlers.regionImports, constant: { ...places } }).exports['region']);
    const region: Installed = { record, handler: m.u32[(record + R.handler) >>> 2]!, slot, pages, bytes, records, used: stats.samples };
    for (const r of records) this.covered.set(r, (this.covered.get(r) ?? 0) + 1);
    this.installed.set(record, region);
    this.removed.delete(slot);
    for (const hpaPage of pages) {
      const list = this.byPage.get(hpaPage);
      if (list === undefined) this.byPage.set(hpaPage, new Set([record]));
      else list.add(record);
    }
    m.u32[(record + R.handler) >>> 2] = slot;
    stats.compiled++;
    stats.regions++;
    stats.bytes += bytes;
    stats.instructions += records.length;
  }

  /** A page of code is about to be dropped. */
  dropPage(hpaPage: number): void {
    if (this.making?.pages.includes(hpaPage) === true) this.making = undefined;
    const list = this.byPage.get(hpaPage);
    if (list === undefined) return;
    for (const record of [...list]) this.remove(this.installed.get(record)!);
  }
  private remove(r: Installed): void {
    const { handlers, stats } = this;
    this.installed.delete(r.record);
    for (const page of r.pages) this.byPage.get(page)?.delete(r.record);
    this.replace(r.record, r.slot, r.handler);
    handlers.remove(r.slot);
    this.removed.set(r.slot, r.handler);
    for (const x of r.records) {
      const n = this.covered.get(x)!;
      if (n > 1) this.covered.set(x, n - 1);
      else this.covered.delete(x);
    }
    stats.regions--;
    stats.bytes -= r.bytes;
  }
  /**
   * Room for a region of some bytes: when the house is full, those go that no look has found the guest in for longest, until a quarter
   * is free, so that this is rare.
   */
  private makeRoom(bytes: number): void {
    const { installed, stats, options: { maxRegions, maxBytes } } = this;
    if (installed.size < maxRegions && stats.bytes + bytes <= maxBytes) return;
    for (const r of [...installed.values()].sort((a, b) => a.used - b.used)) {
      if (installed.size < (3 / 4) * maxRegions && stats.bytes + bytes <= (3 / 4) * maxBytes) return;
      this.remove(r);
      stats.evictions++;
    }
  }
  /** Gives everything up; what is hot comes back. */
  evict(): void {
    for (const r of [...this.installed.values()]) this.remove(r);
    this.forget();
  }
  /** The records have been replaced (a reset of the code cache, a snapshot): nothing known of them holds. */
  forget(): void {
    this.making = undefined;
    this.byPage.clear();
    this.refused.clear();
  }
  /** Puts the interpreter's handlers back for a while; `show` installs the regions again. */
  hide(): void {
    for (const r of this.installed.values()) this.replace(r.record, r.slot, r.handler);
  }
  show(): void {
    for (const r of this.installed.values()) this.replace(r.record, r.handler, r.slot);
  }
  /** Changes a record's handler unless something else stands in its place. */
  private replace(record: number, from: number, to: number): void {
    const { u32 } = this.m, at = (record + R.handler) >>> 2;
    if (u32[at] === from) u32[at] = to;
  }
  /** A `stop` record is taken out again: what stands for `handler`, which it had replaced, now. */
  current(handler: number): number {
    return this.removed.get(handler) ?? handler;
  }
}
