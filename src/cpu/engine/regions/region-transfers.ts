/**
 * The part of a region's builder that goes with a transfer of control: what it is charged, whether the chain has to be left there, and
 * whether the page that it leads to is still the one that was compiled.
 */

import { I32 } from '../../../wasm/opcodes.js';
import type { Val } from '../../builder.js';
import { S } from '../../state.js';
import { R } from '../record.js';
import { HINT_RETURN } from '../host-imports.js';
import { LEFT } from './region-frame.js';
import { RegionMemory } from './region-memory.js';
import type { Block, CodePage, Edge } from './region.js';

export abstract class RegionTransfers extends RegionMemory {
  /** The block that is being emitted. */
  protected block!: Block;

  // ---- what is charged

  /** The fetch of a record. @param newLine it is not the instruction that is being emitted which leads there */
  protected chargeFetch(record: number, page = this.block.page!, newLine = false): void {
    this.timing?.fetch(record, page, newLine ? 0 : this.record, this.block.page!);
  }
  private get nextOffset(): number {
    return this.offset + this.fieldU8(R.len);
  }
  protected chargeAlways(): void {
    this.timing?.always(this.nextOffset, this.hint);
  }
  protected chargeJump(rip: Val): void {
    const { timing, hint } = this;
    if (timing === undefined) return;
    const low = this.trunc(rip, 32);
    if ((hint & HINT_RETURN) !== 0) {
      const target = this.f.local(I32);
      this.get(low).f.set(target);
      timing.returned(target);
    } else timing.jump(this.offset, () => void this.get(low), this.nextOffset, hint);
  }

  // ---- whether to go on

  /** Puts on the wasm stack: the slice is used up, or the region is to be left. */
  protected mustLeave(): void {
    this.f.get(LEFT).i32(0).op('i32.le_s');
    if (this.called) this.f.i32(0).mem('i32.load', S.leaveRegion).op('i32.or');
  }
  protected distanceTo(page: CodePage): number {
    return page.distance - this.block.page!.distance;
  }
  /** ORs: a page is not in the software TLB for execution any more, where the dispatcher would leave, or it is another one. */
  protected pageMoved(page: CodePage): void {
    const { f } = this;
    f.get(this.codeBase).i32(0).mem('i64.load', S.csBase).op('i64.add');
    const distance = this.distanceTo(page);
    if (distance !== 0) f.i64(BigInt(distance)).op('i64.add');
    if (!this.is64) f.i64(0xffff_ffffn).op('i64.and');
    f.set(this.wide);
    const entry = this.tlbEntry(() => f.get(this.wide));
    f.get(entry).mem('i64.load', 24).get(this.wide).op('i64.ne').op('i32.or');
    f.get(entry).mem('i32.load', 20).i32(page.hpaPage).op('i32.ne').op('i32.or');
  }
  /** What comes with an edge's target: its page, if that is another one, becomes the one that runs; the fetch. */
  protected arrive(e: Edge, newLine = false): void {
    const { f } = this;
    const page = e.page!, distance = this.distanceTo(page);
    if (page !== this.block.page) {
      if (this.timing !== undefined && page.account !== 0) {
        f.i32(0).mem('i32.load', S.account).i32(page.account).op('i32.ne').if();
        f.i32(page.account).get(LEFT).call(this.imports.arrive).op('drop').end();
      }
      f.get(this.codeBase).i64(BigInt(distance)).op('i64.add');
      if (!this.is64) f.i64(0xffff_ffffn).op('i64.and');
      f.set(this.codeBase);
      f.i32(0).get(this.codeBase).mem('i64.store', S.codeBase);
      f.i32(0).i32(page.structure).mem('i32.store', S.currentPage);
    }
    this.chargeFetch(e.record, page, newLine);
  }
}
