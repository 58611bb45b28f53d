/**
 * The part of a region's builder that goes with a transfer of control: what it is charged, whether the chain has to be left there, and
 * whether the page that it leads to is still the one that was compiled.
 */

import { TLB_ENTRY } from '../../../mmu/tlb.js';
import { I32 } from '../../../wasm/opcodes.js';
import type { Val } from '../../builder.js';
import { MODE, S } from '../../state.js';
import { HINT_RETURN } from '../host-imports.js';
import { JUMP, jumpEntry, jumpKeyOf } from '../jump-cache.js';
import { P, R } from '../record.js';
import { UNKNOWN } from './flag-kinds.js';
import { BY_HANDLER, BY_RIP, LEFT, REC } from './region-frame.js';
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
  /** Leaves to where `rip` leads, as `dispatch` does when the jump cache has it: by the record's handler, else by `dispatch`. */
  protected toCached(rip: Val): void {
    const { f } = this, { timing } = this.imports;
    // Here they are known, and the way out need not ask.
    if (this.kind !== UNKNOWN) this.settleFlags();
    this.get(rip);
    if (!this.is64) f.i32(0).mem('i64.load', S.csBase).op('i64.add').i64(0xffff_ffffn).op('i64.and');
    f.set(this.wide);
    const entry = this.tlbEntry(() => f.get(this.wide)), jump = f.local(I32);
    jumpEntry(f, this.wide);
    f.set(jump);
    f.get(jump).mem('i64.load', JUMP.key).get(this.wide);
    if (!this.is64) f.i64(jumpKeyOf(MODE.bits32)).op('i64.add');
    f.op('i64.eq');
    f.get(entry).mem('i64.load', TLB_ENTRY.tagExec).get(this.wide).i64(-4096n).op('i64.and').op('i64.eq').op('i32.and');
    f.get(entry).mem('i32.load', TLB_ENTRY.hpaPage).get(jump).mem('i32.load', JUMP.hpaPage).op('i32.eq').op('i32.and');
    f.get(LEFT).get(this.spare).op('i32.gt_s').op('i32.and');
    this.aside(() => {
      if (timing !== undefined) this.arriveOn(jump);
      f.i32(0);
      this.get(rip).f.get(this.wide).i64(4095n).op('i64.and').op('i64.sub').mem('i64.store', S.codeBase);
      f.i32(0).get(jump).mem('i32.load', JUMP.page).mem('i32.store', S.currentPage);
      f.get(jump).mem('i32.load', JUMP.record).set(REC);
      if (timing !== undefined) f.get(LEFT).get(REC).call(timing.fetchAt).op('i32.sub').set(LEFT);
      this.leave(BY_HANDLER);
    });
    this.leave(BY_RIP);
  }
  /** Tells when the account of the page in an entry of the jump cache is known and another than the one that runs. */
  private arriveOn(jump: number): void {
    const { f } = this, account = f.local(I32);
    f.get(jump).mem('i32.load', JUMP.page).mem('i32.load', P.account).tee(account).i32(0).mem('i32.load', S.account).op('i32.ne').get(account).i32(0).op('i32.ne').op('i32.and').if();
    f.get(account).get(LEFT).call(this.imports.arrive).op('drop').end();
  }
  protected distanceTo(page: CodePage): number {
    return page.distance - this.block.page!.distance;
  }
  /** ORs: a page is not in the software TLB for execution any more, where the dispatcher would leave, or it is another one. */
  protected pageMoved(page: CodePage): void {
    const { f } = this;
    f.get(this.codeBase);
    if (!this.is64) f.i32(0).mem('i64.load', S.csBase).op('i64.add');
    const distance = this.distanceTo(page);
    if (distance !== 0) f.i64(BigInt(distance)).op('i64.add');
    if (!this.is64) f.i64(0xffff_ffffn).op('i64.and');
    f.set(this.wide);
    const entry = this.tlbEntry(() => f.get(this.wide));
    f.get(entry).mem('i64.load', TLB_ENTRY.tagExec).get(this.wide).op('i64.ne').op('i32.or');
    f.get(entry).mem('i32.load', TLB_ENTRY.hpaPage).i32(page.hpaPage).op('i32.ne').op('i32.or');
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
      f.i32(0);
      this.places.get('page', page.structure).mem('i32.store', S.currentPage);
    }
    this.chargeFetch(e.record, page, newLine);
  }
}
