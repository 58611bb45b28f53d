/**
 * What emitted code calls for a vCPU (signatures: engine/host-imports.ts): memory accesses that miss the software TLB, helpers,
 * exceptions, and cycle attribution.
 *
 * Invariants: RIP in the state is exact before anything that could look at it; no GUEST_EVENT passes through emitted code, the
 * result says that one is pending.
 */

import { WRITE } from '../mmu/format.js';
import { CpuFacade } from './cpu-facade.js';
import type { EmittedCodeHost } from './engine/engine.js';
import { codeName } from './engine/forms.js';
import { helperById } from './engine/helpers.js';
import { RecordView } from './engine/record-view.js';
import { R } from './engine/record.js';
import { GP, GUEST_EVENT } from './events.js';
import { LEAVE } from './insn.js';
import { MODE, S, SS, segAddress } from './state.js';
import { checkedLinear, isCanonicalHigh } from './system/segments.js';

export class EmittedCodeCalls extends CpuFacade implements EmittedCodeHost {
  private readonly view = new RecordView(this.m, this);

  /** The record whose instruction runs, while something that it called does. */
  protected get running(): number {
    return this.view.record;
  }
  /** Makes S.rip and S.nextRip those of a record. */
  private look(record: number): RecordView {
    const { u32, u16, u8 } = this.m;
    const wide = u32[S.mode >>> 2] === MODE.bits64;
    const off = u16[(record + R.off) >>> 1]!;
    const baseLo = u32[S.codeBase >>> 2]!, baseHi = u32[(S.codeBase >>> 2) + 1]!;
    const lo = baseLo + off;
    u32[S.rip >>> 2] = lo;
    u32[(S.rip >>> 2) + 1] = wide ? baseHi + (lo > 0xffff_ffff ? 1 : 0) : 0;
    const next = lo + u8[record + R.len]!;
    u32[S.nextRip >>> 2] = next;
    u32[(S.nextRip >>> 2) + 1] = wide ? baseHi + (next > 0xffff_ffff ? 1 : 0) : 0;
    return this.view.look(record);
  }
  access(record: number, lo: number, hi: number, packed: number): number {
    this.look(record);
    this.engine.slowCalls++;
    const size = packed & 0xff;
    const kind = (packed >> 8) & 3;
    if (this.m.u32[S.mode >>> 2] === MODE.bits64 && !isCanonicalHigh(hi)) return this.notCanonical(record);
    try {
      return this.memory.resolve(hi >>> 0, lo >>> 0, size, kind, this.user, false);
    } catch (e) {
      if (e !== GUEST_EVENT) throw e;
      return 0;
    }
  }
  /** #SS(0) for accesses through the stack segment, else #GP(0). SDM 1 §3.3.7.1 "Canonical Addressing". */
  private notCanonical(record: number): 0 {
    this.record(this.m.u8[record + R.segment] === SS ? 12 : GP, 0);
    return 0;
  }
  segmentAccess(record: number, offset: number, segment: number, packed: number): number {
    this.look(record);
    try {
      const size = packed & 0xff, kind = (packed >> 8) & 3;
      const index = (segment - segAddress(0)) / 32;
      const linear = checkedLinear(this, index, BigInt(offset >>> 0), size, (kind & WRITE) !== 0);
      return this.memory.resolve(0, Number(linear & 0xffff_ffffn), size, kind, this.user, false);
    } catch (e) {
      if (e !== GUEST_EVENT) throw e;
      return 0;
    }
  }
  commit(): number {
    this.memory.commit();
    return 0;
  }
  helper(record: number, id: number): number {
    const view = this.look(record);
    this.engine.slowCalls++;
    try {
      const result = helperById(id)(this, view);
      // A helper that leaves does not come back to its record: it is charged here.
      if (result === LEAVE) this.chargeRecord(record);
      return result;
    } catch (e) {
      if (e !== GUEST_EVENT) throw e;
      if (this.s.get32(S.pending) === 0) {
        this.exited = true;
        this.charge(1);
      }
      return LEAVE;
    }
  }
  private chargeRecord(record: number): void {
    const { i32, u16, u32 } = this.m;
    if (this.engine.timing !== undefined) {
      i32[S.left >>> 2]! -= u16[(record + R.cost) >>> 1]!;
      u32[S.retired >>> 2]!++;
    } else i32[S.left >>> 2]!--;
  }
  arrive(account: number, left: number): number {
    const { i32 } = this.m;
    i32[S.left >>> 2] = left;
    this.m.u32[S.account >>> 2] = account;
    this.attribution?.arrive(account, this.now());
    return 0;
  }
  leaveAfterInstruction(): void {}
  breakpoint(record: number): number {
    return this.engine.handlerOf(record);
  }
  raiseFrom(record: number, vector: number, error: number): number {
    this.look(record);
    if (vector >= 0) this.record(vector, error < 0 ? undefined : error);
    else this.stop(`instruction ${codeName(this.view.code)} is not implemented`);
    return 0;
  }
}
