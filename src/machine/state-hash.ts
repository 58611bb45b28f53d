/**
 * A hash of the machine's state: what the architecture and the devices define, and nothing of how the engine got there. Two runs of
 * one configuration that stand at the same position have the same hash, however they were cut, stepped or restored, and on every host.
 *
 * Fields of objects count by name and value, in the order in which they were made; objects that several refer to are named by the
 * order in which they were met. Functions are not looked into: events of the queue count by their time and order.
 */

import { CpuFacade } from '../cpu/cpu-facade.js';
import { Engine } from '../cpu/engine/engine.js';
import { flagsOf, S, STATE_BASE_WORD } from '../cpu/state.js';
import type { Vcpu } from '../cpu/vcpu.js';
import { SectorStore } from '../devices/ata/sector-store.js';
import type { Position } from './config.js';
import { EventQueue } from './event-queue.js';
import { Hasher } from './page-hash.js';
import type { Platform } from './platform.js';
import type { Processor } from './processor.js';

/** What is hashed. */
export interface HashedMachine {
  readonly position: Position;
  readonly cycles: number;
  readonly queue: EventQueue;
  readonly platform: Platform;
  readonly processors: readonly Processor[];
}

/** Architectural fields of the state window: address and bytes. Status flags and pending events are dealt with apart. */
const FIELDS: readonly (readonly [at: number, bytes: number])[] = [
  [S.gpr, 128], [S.rip, 8], [S.seg, 256], [S.gdtrBase, 8], [S.idtrBase, 8], [S.gdtrLimit, 4], [S.idtrLimit, 4], [S.cr0, 8], [S.cr2, 8], [S.cr3, 8],
  [S.cr4, 8], [S.cr8, 8], [S.dr, 64], [S.xcr0, 8], [S.efer, 8], [S.star, 8], [S.lstar, 8], [S.cstar, 8], [S.sfmask, 8], [S.kernelGsBase, 8],
  [S.sysenterCs, 8], [S.sysenterEsp, 8], [S.sysenterEip, 8], [S.pat, 8], [S.tscAux, 8], [S.tscOffset, 8], [S.debugctl, 8], [S.pdpte, 32], [S.cpl, 4],
  [S.interruptShadow, 4], [S.activity, 4], [S.nmiBlocked, 4], [S.guest, 4], [S.pending, 4], [S.pendingDebug, 4], [S.mxcsr, 4], [S.fcw, 4], [S.fsw, 4],
  [S.ftw, 4], [S.fop, 4], [S.fip, 8], [S.fdp, 8], [S.fcs, 4], [S.fds, 4], [S.st, 128], [S.xmm, 512], [S.msr, 768],
];
const PENDING: readonly number[] = [S.pendingVector, S.pendingType, S.pendingHasError, S.pendingError, S.pendingLength, S.pendingAddress, S.pendingAddress + 4];
/** Looked at apart, or the engine's. */
const APART: readonly (new (...args: never[]) => object)[] = [EventQueue, Engine, CpuFacade];
/** Fields of Platform that say who asks, not what is. */
const NOT_STATE = new Set(['current']);

/** 128 bits in hexadecimal. @param memory the hash of guest memory */
export function stateHash(machine: HashedMachine, memory: Int32Array, outside: (o: object) => boolean): string {
  const h = new Hasher();
  h.f64(machine.position.instructions);
  h.f64(machine.position.events);
  h.f64(machine.cycles);
  h.words(memory);
  for (const e of machine.queue.waiting()) {
    h.f64(e.at);
    h.f64(e.sequence);
  }
  const objects = new ObjectHash(h, outside);
  for (const p of machine.processors) {
    hashRegisters(h, p.vcpu);
    objects.add(p.extension?.port);
  }
  objects.add(machine.platform);
  return h.hex;
}

function hashRegisters(h: Hasher, vcpu: Vcpu): void {
  const words = vcpu.stateWords(), at = (address: number): number => (address >>> 2) - STATE_BASE_WORD;
  for (const [address, bytes] of FIELDS) for (let i = at(address), end = i + bytes / 4; i < end; i++) h.word(words[i]!);
  const res = at(S.flagsRes), aux = at(S.flagsAux);
  h.word(flagsOf(words[res]!, words[res + 1]!, words[aux]!, words[aux + 1]!, words[at(S.rflagsRest)]!));
  if (words[at(S.pending)] !== 0) for (const address of PENDING) h.word(words[at(address)]!);
  h.word((vcpu.nmiPending ? 1 : 0) | (vcpu.initPending ? 2 : 0));
  h.word(vcpu.sipiVector);
}

class ObjectHash {
  private readonly names = new Map<object, number>();

  constructor(private readonly h: Hasher, private readonly outside: (o: object) => boolean) {}

  add(root: unknown): void {
    const stack: unknown[] = [root];
    while (stack.length > 0) {
      const o = stack.pop();
      if (typeof o === 'object' && o !== null) this.object(o, stack);
      else this.plain(o);
    }
  }

  private plain(v: unknown): void {
    const { h } = this;
    if (typeof v === 'number') h.f64(v);
    else if (typeof v === 'boolean') h.word(v ? 1 : 2);
    else if (typeof v === 'string') h.text(v);
    else if (typeof v === 'bigint') h.bigint(v);
    else h.word(3);
  }

  private object(o: object, stack: unknown[]): void {
    const { h } = this, known = this.names.get(o);
    if (known !== undefined) return h.word(known);
    if (this.outside(o) || APART.some((type) => o instanceof type)) return h.word(4);
    this.names.set(o, this.names.size + 16);
    if (o instanceof SectorStore) {
      for (const [lba, bytes] of o.entries()) {
        h.f64(lba);
        h.bytes(bytes);
      }
    } else if (typeof (o as { saveState?: unknown }).saveState === 'function') h.word(5);
    else if (ArrayBuffer.isView(o)) this.typed(o as unknown as ArrayLike<number | bigint>);
    else if (Array.isArray(o)) {
      h.word(o.length);
      for (const v of o) stack.push(v);
    } else if (o instanceof Map || o instanceof Set) {
      h.word(o.size);
      for (const [k, v] of o.entries()) stack.push(k, v);
    } else if (typeof (o as { action?: unknown }).action === 'function') {
      const e = o as { at: number; pending: boolean };
      h.f64(e.at);
      h.word(e.pending ? 1 : 2);
    } else
      for (const [k, v] of Object.entries(o)) {
        if (NOT_STATE.has(k)) continue;
        h.text(k);
        stack.push(v);
      }
  }

  private typed(a: ArrayLike<number | bigint>): void {
    if (typeof a[0] === 'bigint') for (let i = 0; i < a.length; i++) this.h.bigint(a[i] as bigint);
    else if (a instanceof Float64Array) for (const v of a) this.h.f64(v);
    else this.h.bytes(a as ArrayLike<number>);
  }
}
