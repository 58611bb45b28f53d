/**
 * The part of a region's builder that accesses memory: the software-TLB probe inline, and what happens where it misses.
 */

import { TLB_ENTRIES, TLB_ENTRY } from '../../../mmu/tlb.js';
import type { LinearMemory } from '../../../mem/linear-memory.js';
import { ZERO_SLOT } from '../../../mem/layout.js';
import { I32 } from '../../../wasm/opcodes.js';
import type { Val, Width } from '../../builder.js';
import { FS, GS, S, SCRATCH_DATA, SEG, SS, segAddress } from '../../state.js';
import { FLAT_STACK } from '../../system/segments.js';
import { V } from '../arithmetic-builder.js';
import { ACCESS_READ, ACCESS_RMW, ACCESS_WRITE, DATA_DEPENDENT, DATA_WRITE } from '../host-imports.js';
import type { Access } from '../interpreter-builder.js';
import { R, RF_HINT_SHIFT } from '../record.js';
import { type Assumed, pushNotAssumed } from './assumed.js';
import type { KnownPage, KnownPages } from './known-pages.js';
import { RegionFrame, type RegionImports } from './region-frame.js';

const ENTRY_MASK = (TLB_ENTRIES - 1) << 5;

export abstract class RegionMemory extends RegionFrame {
  /** Memory accesses of the instruction so far. */
  protected accesses = 0;
  protected pages!: KnownPages;
  /** The page that the next access is likely in. */
  private likely: KnownPage | undefined;

  constructor(
    m: LinearMemory, codeSize: 32 | 64, imports: RegionImports, used: number, written: number,
    protected readonly assumed: Assumed,
  ) {
    super(m, codeSize, imports, used, written);
  }
  /** If something is assumed, emits `otherwise` for the case that it does not hold. */
  protected unlessAssumed(otherwise: () => void): void {
    if (pushNotAssumed(this.f, this.assumed)) this.aside(otherwise);
  }
  override getState(address: number, width: 8 | 16 | 32 | 64 | 128): Val {
    if (address === S.stackMask && (this.assumed.flat & FLAT_STACK) !== 0) return this.c(32, 0xffff_ffff);
    return this.assumed.zero.has(address) ? this.c(width, 0) : super.getState(address, width);
  }

  /** Effective address of the memory operand, 64 bits. */
  operandEa(): Val {
    const width = this.fieldU8(R.addressWidth);
    const base = this.fieldI32(R.base), index = this.fieldI32(R.index), scale = this.fieldU8(R.scale);
    const disp = this.field64(R.disp);
    const simple = this.step.info!.variant.addressing === 'flat';
    let ea = base === ZERO_SLOT ? this.c(64, disp) : this.add(this.getState(base, 64), this.c(64, disp));
    if (simple) return ea;
    if (index !== ZERO_SLOT) ea = this.add(ea, this.shl(this.getState(index, 64), scale));
    return width === 64 ? ea : this.and(ea, this.c(64, (1n << BigInt(width)) - 1n));
  }
  /** The access at `ea` + displacement through the record's segment. */
  accessOperand(ea: Val, displacement: Val | number, width: Width, kind: number, stored?: Val): Access {
    const { addressing } = this.step.info!.variant;
    this.likely = this.pages.ofOperand(this.record);
    let at = ea;
    if (typeof displacement !== 'number' || displacement !== 0) {
      at = this.add(ea, typeof displacement === 'number' ? this.c(64, displacement) : displacement);
      const cut = this.fieldU8(R.addressWidth);
      if (addressing !== 'flat' && cut !== 64) at = this.and(at, this.c(64, (1n << BigInt(cut)) - 1n));
    }
    if (addressing === 'flat') return this.accessLinear(at, width, kind, stored);
    const segment = this.fieldI32(R.segBase);
    if (addressing === 'full') return this.accessLinear(segment === ZERO_SLOT ? at : this.add(at, this.getState(segment + SEG.base, 64)), width, kind, stored);
    return this.accessSegmented(segment, at, width, kind, stored);
  }
  /** Outside 64-bit mode: fast limit check, base. `segment` is the address of the segment's state entry. */
  private accessSegmented(segment: number, offset: Val, width: Width, kind: number, stored?: Val): Access {
    // The region is entered, and gone on with, only while the segment is flat: no limit, base 0.
    if (this.assumed.flat & (1 << ((segment - segAddress(0)) / 32))) return this.accessLinear(offset, width, kind, stored, segment);
    const { f } = this;
    const address = f.local(I32);
    const write = (kind & ACCESS_WRITE) !== 0, plain = this.missLeaves;
    f.i32(0).mem('i32.load', segment + SEG.slow).i32(kind).op('i32.and').op('i64.extend_i32_u');
    this.get(offset).f.i64(BigInt(width / 8 - 1)).op('i64.add');
    f.i32(0).mem('i64.load32_u', segment + (write ? SEG.limitWrite : SEG.limitRead));
    f.op('i64.gt_u').op('i64.extend_i32_u').op('i64.or').op('i64.eqz').if();
    this.get(offset).f.i32(0).mem('i64.load', segment + SEG.base).op('i64.add').i64(0xffff_ffffn).op('i64.and');
    const inner = this.accessLinear(this.take(64), width, kind);
    this.get(inner.address).f.set(address);
    f.op('else');
    if (plain) this.leaveHere();
    else this.slowPath(offset, width, kind, segment, address);
    f.end();
    const access: Access = { address: new V(32, address), kind, plain };
    if (stored !== undefined) this.writeAccess(access, stored);
    return access;
  }
  /**
   * A miss leaves the region: the interpreter does the instruction from its beginning, before which nothing has changed, and the chain
   * comes back to the region by itself. So regions have no calls in their loops, and the host keeps their registers. Not in cycle mode
   * behind an access that has been charged: that would be charged again.
   */
  protected get missLeaves(): boolean {
    return this.timing === undefined || this.accesses === 0;
  }
  /** What the interpreter does on a miss, as a call. @param linear or offset in the segment */
  private slowPath(linear: Val, width: Width, kind: number, segment: number, address: number): void {
    const { f } = this;
    this.storeSlowly();
    this.addRetired(this.retired);
    this.places.get('record', this.record);
    this.get(linear).f.i32((width / 8) | (kind << 8)).i32(segment);
    this.pushLeft();
    this.flagOperands();
    f.call(this.imports.slowAccess).tee(address).op('i32.eqz').usually(false).if();
    this.returnNow();
    f.end();
    this.restoreLeft();
    this.called = true;
    this.pages.forget();
  }
  private storeChecked(address: number, v: Val): void {
    const { f } = this;
    this.storeAt(new V(32, address), 0, v);
    f.get(address).i32(SCRATCH_DATA).op('i32.eq').usually(false).if();
    this.saveLeft();
    this.places.get('record', this.record).call(this.imports.commit).op('drop');
    this.restoreLeft();
    this.pages.forget();
    f.end();
  }
  /**
   * Software-TLB probe, as the interpreter's (mmu/tlb.ts has the entry's layout).
   * @param stored the value to store: then that is done, too @param segment outside 64-bit mode: of a flat segment
   */
  accessLinear(linear: Val, width: Width, kind: number, stored?: Val, segment = 0): Access {
    const { f } = this;
    const plain = this.missLeaves, write = (kind & ACCESS_WRITE) !== 0, { likely } = this, address = f.local(I32);
    this.likely = undefined;
    const probe = (): number => {
      const entry = this.tlbEntry(() => this.get(linear));
      this.pushPage(linear, width);
      f.get(entry).mem('i64.load', write ? TLB_ENTRY.tagWrite : TLB_ENTRY.tagRead);
      return entry;
    };
    const addressBy = (pushAddend: () => void): void => {
      this.get(linear).f.op('i32.wrap_i64');
      pushAddend();
      f.op('i32.add').set(address);
    };
    const remembered = plain && likely !== undefined && (likely.writable || !write) ? likely : undefined;
    const pageBit = (remembered && this.timing?.pageBit(remembered.index)) ?? 0;
    if (remembered !== undefined) {
      // An access that is not aligned could end in the page and begin in another: it is never taken to be there.
      this.get(linear).f.i64(BigInt(-4096 | (width / 8 - 1))).op('i64.and').get(remembered.tag).op('i64.ne').usually(false).if();
      const entry = probe();
      f.op('i64.ne').usually(false).if();
      this.leaveHere();
      f.end();
      // A page that must be writable is remembered by that tag: then it is right for reads, too.
      f.get(entry).mem('i64.load', remembered.writable ? TLB_ENTRY.tagWrite : TLB_ENTRY.tagRead).set(remembered.tag);
      f.get(entry).mem('i32.load', TLB_ENTRY.addend).set(remembered.addend);
      this.timing?.forgetPage(pageBit);
      f.end();
      addressBy(() => void f.get(remembered.addend));
    } else if (plain) {
      const entry = probe();
      f.op('i64.ne').usually(false).if();
      this.leaveHere();
      f.end();
      addressBy(() => void f.get(entry).mem('i32.load', TLB_ENTRY.addend));
    } else {
      const entry = probe();
      f.op('i64.eq').usually(true).if();
      addressBy(() => void f.get(entry).mem('i32.load', TLB_ENTRY.addend));
      f.op('else');
      this.slowPath(linear, width, kind, segment, address);
      f.end();
    }
    this.accesses++;
    this.timing?.data(address, () => void this.get(linear), plain && !this.is64, (this.hint & DATA_DEPENDENT) | (write ? DATA_WRITE : 0), pageBit);
    const access: Access = { address: new V(32, address), kind, plain };
    if (stored !== undefined) this.writeAccess(access, stored);
    return access;
  }
  protected get hint(): number {
    return this.fieldU8(R.flags) >>> RF_HINT_SHIFT;
  }
  readAccess(a: Access, width: Width): Val {
    this.get(a.address);
    return this.loadAt(width, 0);
  }
  writeAccess(a: Access, v: Val): void {
    this.changed = true;
    if (a.plain === true) this.storeAt(a.address, 0, v);
    else this.storeChecked((a.address as V).local, v);
  }
  private accessSegment(segment: number, offset: Val, width: Width, kind: number, stored?: Val): Access {
    this.likely = segment === SS ? this.pages.ofStack : undefined;
    if (this.codeSize !== 64) return this.accessSegmented(segAddress(segment), offset, width, kind, stored);
    const based = segment === FS || segment === GS;
    return this.accessLinear(based ? this.add(offset, this.getState(segAddress(segment) + SEG.base, 64)) : offset, width, kind, stored);
  }
  load(segment: number, offset: Val, width: Width): Val {
    return this.readAccess(this.accessSegment(segment, offset, width, ACCESS_READ), width);
  }
  store(segment: number, offset: Val, v: Val): void {
    this.accessSegment(segment, offset, v.width, ACCESS_WRITE, v);
  }
  /** Kinds of access that an operand wants. */
  readKind(index: number): number {
    return this.isWritten(index) ? ACCESS_RMW : ACCESS_READ;
  }
  /** Puts on the wasm stack the page of an access's last byte: another one than the first byte's is in no entry that is looked at. */
  private pushPage(linear: Val, width: Width): void {
    this.get(linear);
    if (width > 8) this.f.i64(BigInt(width / 8 - 1)).op('i64.add');
    this.f.i64(-4096n).op('i64.and');
  }
  /** The entry of the software TLB for the linear address that `push` puts on the wasm stack: a local with its address. */
  protected tlbEntry(push: () => void): number {
    const { f } = this;
    const entry = f.local(I32);
    f.get(this.tlb);
    push();
    f.op('i32.wrap_i64').i32(7).op('i32.shr_u').i32(ENTRY_MASK).op('i32.and').op('i32.add').set(entry);
    return entry;
  }
}
