/**
 * Who set a control that lies in memory: a bit of a VMCB, of a permission map, of an I/O or MSR bitmap.
 *
 * The pages become known when a guest is entered with them; from then on their stores are heard of. What set them up came before: `learn`
 * has that part of the run played once more, with the pages known. Knows nothing of the hypervisor.
 */

import type { Position } from '../api.js';
import { CR0_PG, CR4_PAE, RSP, S } from '../../cpu/state.js';
import type { Machine } from '../../machine/machine.js';
import { IOPM_BYTES, MSRPM_BYTES, VMCB } from '../../svm/fields.js';
import { PROC } from '../../vtx/controls.js';
import { F } from '../../vtx/fields.js';
import { blockOf } from '../control-block/block.js';
import { isBefore } from './log.js';
import { QuietWalker } from './quiet-walk.js';
import { type Storer, StoreLog } from './store-log.js';

const PAGE = 4096;
/** Words of the stack that are kept of a store. */
const STACK_WORDS = 4;
/** Bytes of a VMCB that hold intercepts and the addresses of the maps. */
const VMCB_CONTROLS = VMCB.TSC_OFFSET;
/** Pages followed at most: a hypervisor with many guests has a block and its maps for each. */
const MOST_PAGES = 256;

/** How a run is gone through. */
export interface Travel {
  /** To any position, whichever way is short. */
  goTo(p: Position): void;
  /** To a later position, through everything in between. */
  runTo(p: Position): void;
}

interface Followed {
  readonly hpaPage: number;
  readonly from: Position;
  readonly live: StoreLog;
  /** Of the run before `from`, once it has been learnt. */
  past: StoreLog | undefined;
  learnt: boolean;
  readonly end: () => void;
}

export class Stores {
  private readonly pages = new Map<number, Followed>();
  private readonly walker: QuietWalker;

  constructor(private readonly machine: Machine) {
    this.walker = new QuietWalker(machine.phys);
  }

  /** A guest has been entered: its block and its maps are known. */
  entered(vcpu: number): void {
    const { machine } = this, block = blockOf(machine, vcpu);
    if (block === undefined) return;
    const { u32 } = machine.memory, at = (offset: number): number => (block.at + offset) >>> 2;
    const address = (offset: number): number => u32[at(offset)]! + u32[at(offset) + 1]! * 0x1_0000_0000;
    if (block.kind === 'VMCB') {
      this.follow(block.address, VMCB_CONTROLS);
      this.follow(address(VMCB.IOPM_BASE_PA), IOPM_BYTES);
      this.follow(address(VMCB.MSRPM_BASE_PA), MSRPM_BYTES);
      return;
    }
    const proc = u32[at(F.PRIMARY_PROCESSOR_BASED_CONTROLS)]!;
    if ((proc & PROC.useIoBitmaps) !== 0) for (const f of [F.IO_BITMAP_A, F.IO_BITMAP_B]) this.follow(address(f), PAGE);
    if ((proc & PROC.useMsrBitmaps) !== 0) this.follow(address(F.MSR_BITMAPS), PAGE);
  }

  /** @param bytes from `hpa` on; stores elsewhere in the last page are of no interest */
  private follow(hpa: number, bytes: number): void {
    for (let page = Math.floor(hpa / PAGE); page < Math.ceil((hpa + bytes) / PAGE); page++) {
      if (this.pages.has(page) || this.pages.size >= MOST_PAGES) continue;
      const { machine } = this, at = machine.phys.address(page * PAGE);
      if (at < 0) continue;
      const from = machine.position, memory = machine.memory.u8.subarray(at, at + PAGE);
      const end = machine.watchpoints.listen(page, at >>> 12, (store, size) => {
        if (store - at < hpa + bytes - page * PAGE) this.heard(page, store - at, size);
      });
      this.pages.set(page, { hpaPage: page, from, live: new StoreLog(memory, from), past: undefined, learnt: false, end });
    }
  }

  private heard(page: number, from: number, bytes: number): void {
    const { machine } = this, f = this.pages.get(page)!, { position } = machine;
    const by = (): Storer => this.storer();
    f.live.heard(from, bytes, position, by);
    f.past?.heard(from, bytes, position, by);
  }

  private storer(): Storer {
    const { machine } = this, { s } = machine.processors[machine.current].vcpu, rsp = s.gpr(RSP);
    const paging = (s.cr0 & CR0_PG) === 0 ? 'none' : s.longMode ? '4-level' : (s.cr4 & CR4_PAE) !== 0 ? 'PAE' : '32-bit';
    const hpa = this.walker.translate({ paging, cr3: Number(s.get64(S.cr3) & 0xf_ffff_ffff_ffffn), root: -1, format: 'ept', levels: 4 }, Number(rsp >> 32n), Number(rsp & 0xffff_ffffn));
    const at = hpa < 0 || !s.mode64 ? -1 : machine.phys.address(hpa), stack: bigint[] = [];
    for (let i = 0; at >= 0 && i < STACK_WORDS && (hpa & (PAGE - 1)) + 8 * i <= PAGE - 8; i++) stack.push(machine.memory.view.getBigUint64(at + 8 * i, true));
    return { rip: s.rip, stack };
  }

  /** The store that gave the bits of `mask`, in the byte at a physical address, their value at `now`; undefined when it is not known. */
  lastChange(address: number, mask: number, now: Position): Storer | undefined {
    const f = this.pages.get(Math.floor(address / PAGE)), offset = address % PAGE;
    return f?.live.lastChange(offset, mask, now) ?? f?.past?.lastChange(offset, mask, now);
  }
  /** Is this byte's page followed, but not what came before? */
  lacksPast(address: number): boolean {
    const f = this.pages.get(Math.floor(address / PAGE));
    return f !== undefined && !f.learnt;
  }

  /**
   * Learns who set the pages up before they were followed.
   * @param beginning as far back as one can go
   */
  learn(beginning: Position, travel: Travel): void {
    const wanted = [...this.pages.values()].filter((f) => !f.learnt), here = this.machine.position;
    if (wanted.length === 0) return;
    let until = wanted[0]!.from;
    for (const f of wanted) if (isBefore(until, f.from)) until = f.from;
    travel.goTo(beginning);
    for (const f of wanted) {
      const at = this.machine.phys.address(f.hpaPage * PAGE);
      f.past = new StoreLog(this.machine.memory.u8.subarray(at, at + PAGE), beginning, f.from);
    }
    travel.runTo(until);
    for (const f of wanted) {
      f.past!.settle();
      f.learnt = true;
    }
    travel.goTo(here);
  }

  forget(p: Position): void {
    for (const f of this.pages.values()) f.live.forget(p);
  }
  /** Stops listening. */
  end(): void {
    for (const f of this.pages.values()) f.end();
    this.pages.clear();
  }
}
