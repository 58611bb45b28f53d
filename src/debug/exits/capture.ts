/**
 * Keeps the facts of a VM exit at the moment it is announced: copies, so that what runs later changes nothing.
 *
 * Called from a probe listener: the processor has written the control block and loaded the host's state; general registers other than
 * those in the block are still the guest's. Reads memory only; no accessed flag, no TLB, no device register is touched.
 */

import { CR4_PAE, S } from '../../cpu/state.js';
import type { Machine } from '../../machine/machine.js';
import { FETCH, READ, WRITE } from '../../mmu/format.js';
import { VMCB } from '../../svm/fields.js';
import { INTERCEPTS, VMEXIT_INVALID, VMEXIT_NPF } from '../../svm/intercepts.js';
import { PROC, PROC2, REASON } from '../../vtx/controls.js';
import { blockOf } from '../control-block/block.js';
import { BLOCK_WORD, ExitFacts, GPR_WORD, KIND, RECORD_WORDS, W } from './facts.js';
import { QuietWalker, type WalkContext } from './quiet-walk.js';
import { msrBit as svmMsrBit } from './svm-causes.js';
import { msrBit as vmxMsrBit } from './vmx-causes.js';

const HIGH = 0x1_0000_0000;
const GPRS = 16, LONGEST_INSTRUCTION = 15;
const IO_BITMAP_PORTS = 0x8000;

export class Capture {
  private readonly walker: QuietWalker;
  private readonly context: WalkContext = { paging: 'none', cr3: 0, root: -1, format: 'ept', levels: 4 };

  constructor(private readonly machine: Machine) {
    this.walker = new QuietWalker(machine.phys);
  }

  /**
   * Fills one record.
   * @param refused the entry ended with VMfail and `code` is the VM-instruction error
   * @returns false when there is no control block to read
   */
  record(words: Uint32Array, vcpu: number, code: number, refused = false): boolean {
    const block = blockOf(this.machine, vcpu);
    if (block === undefined) return false;
    const { u32 } = this.machine.memory, svm = block.kind === 'VMCB';
    words.fill(0, 0, RECORD_WORDS);
    words[W.kind] = svm ? KIND.svmExit : refused ? KIND.vmxEntryRefused : KIND.vmxExit;
    words[W.vcpu] = vcpu;
    words[W.code] = code;
    words[W.blockAt] = block.address % HIGH;
    words[W.blockAt + 1] = Math.floor(block.address / HIGH);
    words.set(u32.subarray(block.at >>> 2, (block.at + block.bytes) >>> 2), BLOCK_WORD);
    words.set(u32.subarray(S.gpr >>> 2, (S.gpr >>> 2) + 2 * GPRS), GPR_WORD);
    if (refused || code === VMEXIT_INVALID) return true;
    const f = new ExitFacts(words);
    this.guestContext(f, vcpu);
    this.instruction(f);
    if (svm) this.svmFacts(f);
    else this.vmxFacts(f);
    words[W.vector] = this.machine.platform.pendingVector(vcpu) + 1;
    return true;
  }

  private guestContext(f: ExitFacts, vcpu: number): void {
    const c = this.context;
    c.paging = f.paging;
    c.cr3 = Number(f.cr3 & 0xf_ffff_ffff_ffffn);
    c.format = f.svm ? 'npt' : 'ept';
    c.levels = 4;
    c.root = -1;
    if (!f.nestedPaging) return;
    if (!f.svm) c.root = Number(f.vmcs('EPT_POINTER') & ~0xfffn);
    else {
      // The nested tables have the host's paging mode, which is in force again.
      const { s } = this.machine.processors[vcpu].vcpu;
      c.levels = s.longMode ? 4 : (s.cr4 & CR4_PAE) !== 0 ? 3 : 2;
      c.root = Number(f.block64(VMCB.N_CR3) & (c.levels === 3 ? ~0x1fn : ~0xfffn));
    }
  }

  /** The bytes at CS:RIP, as far as they can be read. */
  private instruction(f: ExitFacts): void {
    const { words } = f, { u8 } = this.machine.memory;
    let linear = f.linearRip, n = 0;
    while (n < LONGEST_INSTRUCTION) {
      const hpa = this.walker.translate(this.context, Number(linear >> 32n), Number(linear & 0xffff_ffffn));
      const at = hpa < 0 ? -1 : this.machine.phys.address(hpa);
      if (at < 0) break;
      const room = Math.min(LONGEST_INSTRUCTION - n, 4096 - (at & 0xfff));
      for (let i = 0; i < room; i++, n++) words[W.bytes + (n >>> 2)]! |= u8[at + i]! << (8 * (n & 3));
      linear = BigInt.asUintN(64, linear + BigInt(room));
    }
    words[W.count] = n;
  }

  private vmxFacts(f: ExitFacts): void {
    const { code } = f;
    if (code === REASON.IO_INSTRUCTION && (f.proc & PROC.useIoBitmaps) !== 0) {
      const port = Number((f.vmcs('EXIT_QUALIFICATION') >> 16n) & 0xffffn), high = port >= IO_BITMAP_PORTS;
      const a = Number(f.vmcs('IO_BITMAP_A')), b = Number(f.vmcs('IO_BITMAP_B'));
      const byte = (high ? b : a) + ((port % IO_BITMAP_PORTS) >>> 3);
      // An access that crosses from port 7FFFH to 8000H goes on in bitmap B.
      this.map(f.words, byte, port >>> 3 === (IO_BITMAP_PORTS - 1) >>> 3 ? b : byte + 1);
    }
    if ((code === REASON.RDMSR || code === REASON.WRMSR) && (f.proc & PROC.useMsrBitmaps) !== 0) {
      const place = vmxMsrBit(f.gpr32(1), code === REASON.WRMSR);
      if (place !== undefined) this.map(f.words, Number(f.vmcs('MSR_BITMAPS')) + place.byte);
    }
    if ((code === REASON.EPT_VIOLATION || code === REASON.EPT_MISCONFIGURATION) && (f.proc2 & PROC2.enableEpt) !== 0)
      // Bits 2:0 of the qualification are the access, as READ, WRITE and FETCH. A misconfigured entry ends the walk: the last one read.
      this.nestedEntry(f.words, Number(f.vmcs('GUEST_PHYSICAL_ADDRESS')), code === REASON.EPT_VIOLATION ? Number(f.vmcs('EXIT_QUALIFICATION') & 7n) : 0);
  }

  private svmFacts(f: ExitFacts): void {
    const { code } = f, info1 = f.block32(VMCB.EXITINFO1);
    const base = (offset: number): number => Number(f.block64(offset) & ~0xfffn);
    if (code === INTERCEPTS.IOIO[2]) this.map(f.words, base(VMCB.IOPM_BASE_PA) + (info1 >>> 19));
    if (code === INTERCEPTS.MSR[2]) {
      const place = svmMsrBit(f.gpr32(1), (info1 & 1) !== 0);
      if (place !== undefined) this.map(f.words, base(VMCB.MSRPM_BASE_PA) + place.byte);
    }
    // As in a page-fault error code: bit 1 a write, bit 4 a fetch.
    if (code === VMEXIT_NPF) this.nestedEntry(f.words, Number(f.block64(VMCB.EXITINFO2)), READ | ((info1 & 2) !== 0 ? WRITE : 0) | ((info1 & 16) !== 0 ? FETCH : 0));
  }

  private map(words: Uint32Array, byte: number, next = byte + 1): void {
    const { u8 } = this.machine.memory, at = this.machine.phys.address(byte), after = this.machine.phys.address(next);
    if (at < 0) return;
    words[W.mapAt] = byte % HIGH;
    words[W.mapAt + 1] = Math.floor(byte / HIGH);
    words[W.mapByte] = u8[at]! | ((after < 0 ? 0xff : u8[after]!) << 8);
    words[W.mapKnown] = 1;
  }

  /** @param access READ, WRITE and FETCH; 0: the last entry of the walk is wanted */
  private nestedEntry(words: Uint32Array, gpa: number, access: number): void {
    const { walker } = this;
    if (access === 0) walker.nested(this.context, gpa);
    else walker.deciding(this.context, gpa, access);
    const e = access === 0 ? walker : walker.found;
    words[W.level] = e.level;
    words[W.entryAt] = e.entryAt % HIGH;
    words[W.entryAt + 1] = Math.floor(e.entryAt / HIGH);
    words[W.entry] = e.lo;
    words[W.entry + 1] = e.hi;
  }
}
