/**
 * What a description uses, found by running it once over a builder that takes notes: registers that it names itself, operands
 * that it writes, what it asks of the state, and how it ends. The interpreter asks for write permission by it; the
 * compiler decides by it which registers a region holds in locals. What the builder emits on the way is the handler, unless the
 * description reads memory that it also writes: then it runs a second time, as it is known now what is written.
 */

import type { FunctionEmitter } from '../../wasm/function.js';
import type { Val } from '../builder.js';
import type { InsnHelper, InsnSpec } from '../insn.js';
import { S, XMM_STRIDE, gprAddress } from '../state.js';
import { InterpreterBuilder, type Access, type Variant } from './interpreter-builder.js';

/** Registers that a region may hold in locals: bit 0-15 the general registers, bit 16-31 the XMM registers; -1 for other state. */
export function slotOf(address: number): number {
  if (address >= S.gpr && address < gprAddress(16)) return (address - S.gpr) >>> 3;
  if (address >= S.xmm && address < S.xmm + 16 * XMM_STRIDE) return 16 + Math.floor((address - S.xmm) / XMM_STRIDE);
  return -1;
}

export interface Usage {
  /** Registers (bits of `slotOf`) that the description reads or writes by name, not through an operand. */
  readonly named: number;
  /** Those of them that it writes. */
  readonly namedWritten: number;
  /** Operands that it writes. */
  readonly written: ReadonlySet<number>;
  readonly stores: boolean;
  /** It asks whether SSE or x87 instructions trap (the state fields that say so). */
  readonly asksTraps: ReadonlySet<number>;
  /** The transfer that it ends in; absent: it goes on with the next instruction. */
  readonly ends: 'branchIf' | 'branch' | 'jump' | undefined;
  /** The helpers that it calls. */
  readonly helpers: readonly InsnHelper[];
}

class UsageProbe extends InterpreterBuilder {
  named = 0;
  namedWritten = 0;
  stores = false;
  ends: Usage['ends'];
  readonly helpers: InsnHelper[] = [];
  readonly asksTraps = new Set<number>();
  /** Operands that were read as if the body did not write them. */
  private readonly readOnly = new Set<number>();

  override isWritten(index: number): boolean {
    this.readOnly.add(index);
    return false;
  }
  /** Was an operand read for which the code would be another had it been known that the body writes it? */
  misread(written: ReadonlySet<number>): boolean {
    for (const i of this.readOnly) if (written.has(i)) return true;
    return false;
  }
  private note(address: number, write: boolean): void {
    const slot = slotOf(address);
    if (slot < 0) return;
    this.named |= 1 << slot;
    if (write) this.namedWritten |= 1 << slot;
  }
  override getState(address: number, width: 8 | 16 | 32 | 64 | 128): Val {
    if (address === S.sseTrap || address === S.x87Trap) this.asksTraps.add(address);
    this.note(address, false);
    return super.getState(address, width);
  }
  override setState(address: number, v: Val): void {
    this.note(address, true);
    super.setState(address, v);
  }
  override writeRegister(address: () => void, offset: number, v: Val): void {
    if (offset !== 0) this.note(offset, true);
    super.writeRegister(address, offset, v);
  }
  override writeAccess(a: Access, v: Val): void {
    this.stores = true;
    super.writeAccess(a, v);
  }
  override call(fn: InsnHelper): void {
    this.helpers.push(fn);
    super.call(fn);
  }
  override branchIf(condition: Val): void {
    this.ends = 'branchIf';
    super.branchIf(condition);
  }
  override branch(): void {
    this.ends = 'branch';
    super.branch();
  }
  override jump(rip: Val): void {
    this.ends = 'jump';
    super.jump(rip);
  }
}

/** The handler of one description applied to one way of addressing, and what was noted on the way. */
export function emitHandler(spec: InsnSpec, v: Variant): { readonly usage: Usage; readonly code: FunctionEmitter } {
  const p = new UsageProbe(v);
  spec.body(p, ...p.operands());
  const written = p.writes();
  const usage = { named: p.named, namedWritten: p.namedWritten, written, stores: p.stores, asksTraps: p.asksTraps, ends: p.ends, helpers: p.helpers };
  if (!p.misread(written)) return { usage, code: p.finishBody() };
  // Reads of operands that the body also writes ask for write permission.
  const b = new InterpreterBuilder(v, written);
  spec.body(b, ...b.operands());
  return { usage, code: b.finishBody() };
}
