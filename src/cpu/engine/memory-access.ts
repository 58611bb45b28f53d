/**
 * Memory as a vCPU sees it, where the inline software-TLB probe does not do: misses, page crossings, devices, code pages, and
 * everything that TypeScript reads and writes.
 *
 * Emitted code gets an address to load from or store to. For what is not plain memory that is SCRATCH_DATA: a read finds the
 * data there, a write leaves it there and `commit` carries it out.
 */

import type { LinearMemory } from '../../mem/linear-memory.js';
import type { PhysicalMemory } from '../../mem/physical.js';
import type { Mmu } from '../../mmu/mmu.js';
import { TAG_READ, TAG_WRITE, TLB_ENTRIES, TLB_ENTRY_BYTES, type TlbPool, WITHHELD } from '../../mmu/tlb.js';
import { FAULT, OK, READ, WRITE } from '../../mmu/format.js';
import { AC_, EVENT_TYPE, GUEST_EVENT, PFV } from '../events.js';
import type { PlatformPort, TimingPort } from '../ports.js';
import { PROBE, type ProbePort } from '../ports.js';
import { S, SCRATCH_DATA } from '../state.js';
import { high32, low32, wide } from '../wide.js';
import type { CodeCache } from './code-cache.js';
import type { Watchpoints } from './watchpoints.js';

/** What the accesses need of their vCPU. */
export interface AccessHost {
  readonly id: number;
  readonly platform: PlatformPort;
  readonly probe: ProbePort;
  readonly timing: TimingPort | null;
  now(): number;
  charge(cycles: number): void;
  /** A nested fault that `mmu.nestedFault` describes: performs the exit. */
  nestedFault(): void;
  /** Data breakpoints are armed: checks one access. */
  readonly watch: ((hi: number, lo: number, size: number, write: boolean) => void) | undefined;
  /** Misaligned accesses of this vCPU's user code raise #AC(0) now. */
  readonly alignmentChecked: boolean;
  /** The software TLB that accesses with these rights may look into, or 0 when every one needs the walk. */
  tlbFor(user: boolean, implicit: boolean): number;
}

export class MemoryAccess {
  /** Pieces of a store that `commit` is to carry out: host-physical address and length, two at the most. */
  private readonly pieceHpa = new Float64Array(2);
  private readonly pieceLength = new Int32Array(2);
  private pieces = 0;

  constructor(
    private readonly m: LinearMemory,
    private readonly phys: PhysicalMemory,
    private readonly mmu: Mmu,
    private readonly tlb: TlbPool,
    private readonly cache: CodeCache,
    private readonly host: AccessHost,
    private readonly watchpoints: Watchpoints,
  ) {}

  /**
   * The linear-memory address for an access of `size` bytes, or 0 when an exception is pending or a VM exit happened.
   * @param access READ, WRITE or both @param implicit supervisor access to a system structure
   */
  resolve(hi: number, lo: number, size: number, access: number, user: boolean, implicit: boolean): number {
    this.host.watch?.(hi, lo, size, (access & WRITE) !== 0);
    if (user && this.host.alignmentChecked && size <= 8 && (lo & (size - 1)) !== 0) {
      this.exception(AC_, 0);
      return 0;
    }
    const room = 4096 - (lo & 0xfff);
    const at = room < size ? this.resolveCrossing(hi, lo, size, room, access, user, implicit) : this.resolveInPage(hi, lo, size, access, user, implicit);
    if (at !== 0 && this.watchpoints.any) {
      this.watchpoints.note(hi, lo, size, access);
      if ((access & WRITE) !== 0) this.tellStore(at, size);
    }
    return at;
  }
  /** Tells listeners of a store; one that waits in the scratch slot goes to its pieces. */
  private tellStore(at: number, size: number): void {
    if (at !== SCRATCH_DATA) return this.watchpoints.stored(at, size);
    for (let i = 0; i < this.pieces; i++) {
      const to = this.phys.address(this.pieceHpa[i]!);
      if (to >= 0) this.watchpoints.stored(to, this.pieceLength[i]!);
    }
  }
  private resolveInPage(hi: number, lo: number, size: number, access: number, user: boolean, implicit: boolean): number {
    const known = this.withheld(hi, lo, (access & WRITE) !== 0, user, implicit);
    if (known !== 0) return known;
    if (!this.translate(hi, lo, access, user, implicit)) return 0;
    const { hpa } = this.mmu;
    const at = this.phys.address(hpa);
    const write = (access & WRITE) !== 0;
    if (at >= 0 && (!write || (this.phys.writable(hpa) && !this.cache.isCodePage(Math.floor(hpa / 4096))))) {
      const tlb = this.host.tlbFor(user, implicit);
      if (tlb !== 0) this.tlb.fill(tlb, hi, lo, this.mmu);
      return at;
    }
    if (access & READ) this.readPiece(hpa, size, SCRATCH_DATA);
    this.pieces = 0;
    if (write) this.addPiece(hpa, size);
    return SCRATCH_DATA;
  }

  /**
   * The address when the page's tag is withheld, else 0: as if the tag had been there. One that waits for the first store since a
   * snapshot is valid from now on; one for a watchpoint stays withheld, and whoever makes the access tells it.
   */
  withheld(hi: number, lo: number, write: boolean, user: boolean, implicit: boolean): number {
    const tlb = this.host.tlbFor(user, implicit), tag = write ? TAG_WRITE : TAG_READ;
    if (tlb === 0) return 0;
    const why = this.tlb.withheld(tlb, hi, lo, tag);
    if (why === 0) return 0;
    if ((why & WITHHELD.clean) !== 0) this.tlb.release(tlb, lo, tag, WITHHELD.clean);
    return this.tlb.addressIn(tlb, lo);
  }

  private resolveCrossing(hi: number, lo: number, size: number, room: number, access: number, user: boolean, implicit: boolean): number {
    const nextLo = (lo + room) >>> 0;
    const nextHi = nextLo === 0 ? this.highAfter(hi) : hi;
    if (!this.translate(hi, lo, access, user, implicit)) return 0;
    const first = this.mmu.hpa;
    if (!this.translate(nextHi, nextLo, access, user, implicit)) return 0;
    const second = this.mmu.hpa;
    if (access & READ) {
      this.readPiece(first, room, SCRATCH_DATA);
      this.readPiece(second, size - room, SCRATCH_DATA + room);
    }
    this.pieces = 0;
    if (access & WRITE) {
      this.addPiece(first, room);
      this.addPiece(second, size - room);
    }
    return SCRATCH_DATA;
  }
  /** Outside 64-bit mode linear addresses wrap at 4 GiB. */
  private highAfter(hi: number): number {
    return this.m.u32[S.mode >>> 2] === 2 ? (hi + 1) >>> 0 : 0;
  }
  private addPiece(hpa: number, length: number): void {
    this.pieceHpa[this.pieces] = hpa;
    this.pieceLength[this.pieces++] = length;
  }

  /** Carries out the store that lies in the scratch slot. */
  commit(): void {
    let from = SCRATCH_DATA;
    const n = this.pieces;
    this.pieces = 0;
    for (let i = 0; i < n; i++) {
      this.writePiece(this.pieceHpa[i]!, this.pieceLength[i]!, from);
      from += this.pieceLength[i]!;
    }
  }

  /** Translates; on failure records the page fault or has the exit performed. */
  translate(hi: number, lo: number, access: number, user: boolean, implicit: boolean): boolean {
    const status = this.mmu.translate(hi, lo, access, user, implicit);
    if (status === OK) return true;
    if (status === FAULT) this.pageFault(hi, lo, this.mmu.errorCode);
    else this.host.nestedFault();
    return false;
  }
  pageFault(hi: number, lo: number, error: number): void {
    const { u32 } = this.m;
    u32[S.pendingAddress >>> 2] = lo >>> 0;
    u32[(S.pendingAddress >>> 2) + 1] = hi >>> 0;
    this.exception(PFV, error);
  }
  private exception(vector: number, error: number): void {
    const { u32 } = this.m;
    u32[S.pending >>> 2] = 1;
    u32[S.pendingVector >>> 2] = vector;
    u32[S.pendingType >>> 2] = EVENT_TYPE.hardware;
    u32[S.pendingHasError >>> 2] = 1;
    u32[S.pendingError >>> 2] = error;
    u32[S.pendingLength >>> 2] = 0;
  }

  // ---- physical pieces: within a page, at any alignment

  /** Copies `length` bytes at `hpa` to the linear-memory address `to`; devices are read in their natural sizes. */
  readPiece(hpa: number, length: number, to: number): void {
    const at = this.phys.address(hpa);
    const { u8, view } = this.m;
    if (at >= 0) {
      u8.copyWithin(to, at, at + length);
      return;
    }
    for (let o = 0; o < length; ) {
      const size = deviceSize(hpa + o, length - o);
      const v = this.deviceRead(hpa + o, size);
      if (size === 4) view.setUint32(to + o, v, true);
      else if (size === 2) view.setUint16(to + o, v, true);
      else view.setUint8(to + o, v);
      o += size;
    }
  }
  writePiece(hpa: number, length: number, from: number): void {
    const at = this.phys.address(hpa);
    const { u8, view } = this.m;
    if (at >= 0) {
      // Writes to firmware are lost, as on a PC.
      if (!this.phys.writable(hpa)) return;
      u8.copyWithin(at, from, from + length);
      this.m.dirty[at >>> 12] = 1;
      this.cache.written(hpa, length);
      return;
    }
    for (let o = 0; o < length; ) {
      const size = deviceSize(hpa + o, length - o);
      const v = size === 4 ? view.getUint32(from + o, true) : size === 2 ? view.getUint16(from + o, true) : view.getUint8(from + o);
      this.deviceWrite(hpa + o, size, v);
      o += size;
    }
  }
  private deviceRead(hpa: number, size: 1 | 2 | 4): number {
    const { host } = this;
    if (host.timing !== null) host.charge(host.timing.device('mmio-read', hpa));
    const v = host.platform.mmioRead(hpa, size);
    if (host.probe.active) host.probe.emit(PROBE.mmioRead, host.now(), host.id, hpa, size, v, 0);
    return v;
  }
  private deviceWrite(hpa: number, size: 1 | 2 | 4, v: number): void {
    const { host } = this;
    if (host.timing !== null) host.charge(host.timing.device('mmio-write', hpa));
    if (host.probe.active) host.probe.emit(PROBE.mmioWrite, host.now(), host.id, hpa, size, v, 0);
    host.platform.mmioWrite(hpa, size, v);
  }

  // ---- for TypeScript

  /** The linear-memory address if the software TLB knows the page, else 0. @param tag 0 to read, 2 to write (words in an entry) */
  private probe(hi: number, lo: number, size: number, tag: 0 | 2, user: boolean, implicit: boolean): number {
    const tlb = this.host.tlbFor(user, implicit);
    if (tlb === 0 || (lo & 0xfff) + size > 4096) return 0;
    const { i32 } = this.m;
    const w = (tlb >>> 2) + ((lo >>> 12) & (TLB_ENTRIES - 1)) * (TLB_ENTRY_BYTES / 4);
    return i32[w + tag] === (lo & ~0xfff) && i32[w + tag + 1] === (hi | 0) ? (i32[w + 4]! + lo) >>> 0 : 0;
  }

  /** The linear-memory address of `size` bytes that the software TLB knows as plain memory for the access, all in one page; else 0. The access is made. */
  plain(linear: bigint, size: number, write: boolean, user: boolean): number {
    const hi = high32(linear), lo = low32(linear), known = this.probe(hi, lo, size, write ? 2 : 0, user, false);
    if (known !== 0 || (lo & 0xfff) + size > 4096) return known;
    const at = this.withheld(hi, lo, write, user, false);
    if (at !== 0 && this.watchpoints.any) {
      this.watchpoints.note(hi, lo, size, write ? WRITE : READ);
      if (write) this.watchpoints.stored(at, size);
    }
    return at;
  }
  /** Reads 1, 2, 4 or 8 bytes; throws GUEST_EVENT on a fault. */
  read(linear: bigint, size: number, user: boolean, implicit: boolean): bigint {
    const hi = high32(linear), lo = low32(linear);
    const known = this.probe(hi, lo, size, 0, user, implicit);
    if (known !== 0) return load(this.m, known, size);
    const at = this.resolve(hi, lo, size, READ, user, implicit);
    if (at === 0) throw GUEST_EVENT;
    return load(this.m, at, size);
  }
  write(linear: bigint, size: number, value: bigint, user: boolean, implicit: boolean): void {
    const hi = high32(linear), lo = low32(linear);
    const known = this.probe(hi, lo, size, 2, user, implicit);
    if (known !== 0) {
      store(this.m, known, size, value);
      return;
    }
    const at = this.resolve(hi, lo, size, WRITE, user, implicit);
    if (at === 0) throw GUEST_EVENT;
    store(this.m, at, size, value);
    if (at === SCRATCH_DATA) this.commit();
  }
  readPhys(hpa: number, size: number): bigint {
    const at = this.phys.address(hpa);
    if (at >= 0 && (hpa & 0xfff) + size <= 4096) return load(this.m, at, size);
    this.readPiece(hpa, size, SCRATCH_DATA);
    return load(this.m, SCRATCH_DATA, size);
  }
  writePhys(hpa: number, size: number, value: bigint): void {
    store(this.m, SCRATCH_DATA, size, value);
    this.writePiece(hpa, size, SCRATCH_DATA);
  }
}

/** The largest natural access at an address: devices see aligned 4-, 2- and 1-byte accesses. */
const deviceSize = (hpa: number, left: number): 1 | 2 | 4 => (left >= 4 && (hpa & 3) === 0 ? 4 : left >= 2 && (hpa & 1) === 0 ? 2 : 1);

function load({ view }: LinearMemory, at: number, size: number): bigint {
  if (size === 8) return wide(view.getUint32(at, true), view.getUint32(at + 4, true));
  return wide(size === 4 ? view.getUint32(at, true) : size === 2 ? view.getUint16(at, true) : view.getUint8(at), 0);
}
function store({ view }: LinearMemory, at: number, size: number, value: bigint): void {
  const low = low32(value);
  if (size === 8) {
    view.setUint32(at, low, true);
    view.setUint32(at + 4, high32(value), true);
  } else if (size === 4) view.setUint32(at, low, true);
  else if (size === 2) view.setUint16(at, low, true);
  else view.setUint8(at, low);
}
