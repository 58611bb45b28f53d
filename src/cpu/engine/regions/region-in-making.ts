/**
 * A region while it is compiled: in steps, between which the guest runs on, so that no step takes long.
 *
 * What the region is (records, pages, what is assumed of the state) is found in the first step, and taken from there. Records that it has do not change as
 * long as their page is not dropped, the code cache not reset and no breakpoint set; what the interpreter notes in them later (where
 * branches and jumps have gone) is no part of the region. So between two steps anything may happen: the guest may run elsewhere, in another
 * mode, on another vCPU. Where a page of the region is dropped, or all records are given up, the compiler forgets the region
 * (`Compiler.dropPage`, `Compiler.forget`), half-made as it is.
 *
 * Invariant: until the last step nothing outside has changed.
 */

import { Wasm, type WasmModule } from '../../../wasm/host.js';
import { DS, ES, MODE, S, SS } from '../../state.js';
import { FLAT_STACK } from '../../system/segments.js';
import { HANDLER_TYPE } from '../host-imports.js';
import { P } from '../record.js';
import { newModule } from '../shared-functions.js';
import type { Place as Constant } from './places.js';
import { RegionBuilder } from './region-builder.js';
import type { RegionImports } from './region-frame.js';
import type { Place, RegionReader } from './region.js';
import { registersOf } from './registers.js';
import { analyse } from './structure.js';
import { type Site, type Template, templateOf } from './templates.js';

/** Segments that a region may take for flat. */
const USUALLY_FLAT = (1 << ES) | (1 << SS) | (1 << DS) | FLAT_STACK;
/** Instructions that one step emits at most. */
const AT_ONCE = 24;

/** What making a region needs of its machine. */
export interface Workshop extends Site {
  readonly reader: RegionReader;
  readonly imports: RegionImports;
  /** Makes a module; CompilerOptions.making. */
  readonly making?: (<T>(bytes: number, make: () => T) => T) | undefined;
}
/** The module of a region's code. */
export function moduleOf({ making }: Workshop, wasm: Uint8Array): WasmModule {
  const make = (): WasmModule => new Wasm.Module(wasm);
  return making?.(wasm.length, make) ?? make();
}
export interface Built {
  readonly records: readonly number[];
  readonly places: readonly Constant[];
  readonly bytes: number;
  readonly module: WasmModule;
  readonly template: Template | undefined;
}

export class RegionInMaking {
  /** Host-physical pages that it has code of, when the first step is done. */
  readonly pages: number[] = [];
  private readonly steps: Generator<undefined, Built | undefined>;

  /** @param head what the region grows from @param stops records that it does not go on with */
  constructor(workshop: Workshop, readonly head: Place, stops: (record: number) => boolean) {
    this.steps = this.make(workshop, stops);
  }
  /** Does the next step. Done: with the region, or undefined where the record cannot be compiled. */
  step(): IteratorResult<undefined, Built | undefined> {
    return this.steps.next();
  }

  private *make(workshop: Workshop, stops: (record: number) => boolean): Generator<undefined, Built | undefined> {
    const { m, reader, imports } = workshop, { head, pages } = this;
    const blocks = reader.read(head, stops);
    if (blocks === undefined) return undefined;
    const zero = new Set<number>();
    for (const { page: of, steps } of blocks) {
      if (!pages.includes(of!.hpaPage)) pages.push(of!.hpaPage);
      for (const { info } of steps) if (info !== undefined) for (const field of info.usage.asksTraps) if (m.u32[field >>> 2] === 0) zero.add(field);
    }
    const wide = m.u32[(head.page.structure + P.mode) >>> 2] === MODE.bits64;
    const flat = wide ? 0 : m.u32[S.flatSegments >>> 2]! & USUALLY_FLAT;
    const assumed = { flat, zero };
    yield;
    const order = analyse(blocks[0]!);
    yield;
    const { used, written } = registersOf(m, order);
    const builder = new RegionBuilder(m, wide ? 64 : 32, imports, used, written, assumed);
    yield;
    builder.begin(order);
    do yield; while (builder.emit(AT_ONCE));
    yield;
    const { list } = builder.places, assembled = newModule();
    assembled.importGlobal = 'entered';
    assembled.importConstants(list.length);
    assembled.add(builder.code, HANDLER_TYPE.results, 'region');
    const wasm = assembled.finish();
    yield;
    const module = moduleOf(workshop, wasm);
    yield;
    const template = templateOf(workshop, builder.emitted, list, assumed, wasm);
    yield;
    const records: number[] = [];
    for (const { steps } of builder.emitted) for (const { record: r } of steps) records.push(r);
    return { records, places: list, bytes: wasm.length, module, template };
  }
}
