/**
 * From CS:RIP to a decoded record: translation of the fetch, the code cache, and instructions that cross a page.
 *
 * SDM 3A §4.7 "Page-Fault Exceptions" for faults of fetches, §5.3 "Limit Checking" for the code segment's limit.
 */

import { FETCH } from '../mmu/format.js';
import { TLB_ENTRIES, TLB_ENTRY_BYTES } from '../mmu/tlb.js';
import { EmittedCodeCalls } from './emitted-code-host.js';
import { P, PAGE_HEADER, R } from './engine/record.js';
import { GP } from './events.js';
import { CS, MODE, S, SEG, segAddress } from './state.js';

export class CodeFetch extends EmittedCodeCalls {
  /** The record at CS:RIP, decoded if need be; 0 when a fault is pending. Sets S.codeBase and S.currentPage. */
  protected fetch(): number {
    const { m, engine } = this;
    const { u32 } = m;
    const mode = u32[S.mode >>> 2]!;
    const ripLo = u32[S.rip >>> 2]!, ripHi = u32[(S.rip >>> 2) + 1]!;
    let lo = ripLo, hi = ripHi;
    if (mode === MODE.bits64) {
      if (hi !== (((hi << 16) >> 16) >>> 0)) return this.fetchFault();
    } else {
      if (ripLo > u32[(segAddress(CS) + SEG.limit) >>> 2]! || ripHi !== 0) return this.fetchFault();
      lo = (ripLo + u32[S.csBase >>> 2]!) >>> 0;
      hi = 0;
    }
    const entry = (u32[S.tlb >>> 2]! + ((lo >>> 12) & (TLB_ENTRIES - 1)) * TLB_ENTRY_BYTES) >>> 2;
    if (u32[entry + 6] !== (lo & ~4095) >>> 0 || u32[entry + 7] !== hi) {
      if (!this.memory.translate(hi, lo, FETCH, this.user, false)) return 0;
      const { hpa } = this.mmu;
      if (this.phys.address(hpa) < 0) this.notImplemented(`instruction fetch from a device at physical address 0x${hpa.toString(16)}`);
      engine.tlb.fill(u32[S.tlb >>> 2]!, hi, lo, this.mmu);
      // Where every access is looked at, the entry serves fetches alone.
      if (this.closeLook) u32.fill(0xffff_ffff, entry, entry + 4);
    }
    const at = (u32[entry + 4]! + lo) >>> 0;
    const hpaPage = u32[entry + 5]!;
    if (engine.cache.full) engine.cache.reset();
    const page = engine.cache.page(hpaPage, mode, at - (lo & 4095), hi * 0x1_0000_0000 + ((lo & ~4095) >>> 0));
    const off = lo & 4095;
    const account = u32[(page + P.account) >>> 2]!;
    if (account !== 0 && account !== u32[S.account >>> 2]) this.arrive(account, this.left);
    u32[S.codeBase >>> 2] = ripLo - off;
    u32[(S.codeBase >>> 2) + 1] = ripLo < off ? ripHi - 1 : ripHi;
    u32[S.currentPage >>> 2] = page;
    const known = u32[(page + PAGE_HEADER + 4 * off) >>> 2]!;
    const record = known !== 0 ? known : engine.decoder.run(page, hpaPage, at - off, off, mode);
    // Nothing but a breakpoint takes the place of a straddle record's handler.
    const handler = u32[record >>> 2]!, { base } = engine.handlers;
    return handler === base.straddle || (handler === base.breakpoint && engine.handlerOf(record) === base.straddle) ? this.crossing(record) : record;
  }
  private fetchFault(): 0 {
    this.record(GP, 0);
    return 0;
  }
  /** The decoded form of a page-crossing instruction, in sequence with what follows it; 0 when a fault is pending. */
  private crossing(straddle: number): number {
    const { m, engine } = this;
    const { u32 } = m;
    const mode = u32[S.mode >>> 2]!;
    const off = m.u16[(straddle + R.off) >>> 1]!;
    const first = u32[(u32[S.currentPage >>> 2]! + P.hpaPage) >>> 2]!;
    const wide = mode === MODE.bits64;
    const linear = BigInt.asUintN(wide ? 64 : 32, (wide ? 0n : this.s.get64(S.csBase)) + this.s.rip + BigInt(4096 - off));
    const hi = Number(linear >> 32n), lo = Number(linear & 0xffff_ffffn);
    if (!this.memory.translate(hi, lo, FETCH, this.user, false)) return 0;
    const at = this.phys.address(this.mmu.hpa);
    if (at < 0) this.notImplemented(`instruction fetch from a device at physical address 0x${this.mmu.hpa.toString(16)}`);
    const second = (this.mmu.hpa / 4096) >>> 0;
    engine.tlb.fill(u32[S.tlb >>> 2]!, hi, lo, this.mmu);
    const known = u32[(straddle + R.target) >>> 2]!;
    if (known !== 0 && u32[(straddle + R.disp) >>> 2] === second && u32[known >>> 2] !== engine.handlers.base.refetch) return known;
    const bytes = new Uint8Array(15);
    const here = 4096 - off;
    bytes.set(m.u8.subarray(this.phys.address(first * 4096 + off), this.phys.address(first * 4096 + off) + here));
    bytes.set(m.u8.subarray(at, at + 15 - here), here);
    const record = engine.cache.allocate(first, 2);
    if (!engine.decoder.single(bytes, record, off, mode)) return this.fetchFault();
    engine.cache.page(second, mode, at, hi * 0x1_0000_0000 + lo);
    engine.cache.cover(second, 0, off + m.u8[record + R.len]! - 4096);
    engine.cache.share(second, record, 2);
    u32[(straddle + R.target) >>> 2] = record;
    u32[(straddle + R.disp) >>> 2] = second;
    return record;
  }
}
