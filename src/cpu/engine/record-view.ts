/** `InsnView` over a record: what helpers see of the instruction they carry out. */

import type { LinearMemory } from '../../mem/linear-memory.js';
import type { Cpu } from '../cpu.js';
import type { InsnView } from '../insn-view.js';
import { formOf } from './forms.js';
import { cut, wide } from '../wide.js';
import { R, RF_LOCK, RF_REP, RF_REPNE } from './record.js';

export class RecordView implements InsnView {
  private at = 0;
  private readonly v: DataView;

  constructor(
    private readonly m: LinearMemory,
    private readonly cpu: Cpu,
  ) {
    this.v = m.view;
  }
  /** Points the view at a record. */
  look(record: number): this {
    this.at = record;
    return this;
  }
  get record(): number {
    return this.at;
  }

  get code(): number {
    return this.v.getUint16(this.at + R.code, true);
  }
  get length(): number {
    return this.m.u8[this.at + R.len]!;
  }
  get operandWidth(): number {
    return this.m.u8[this.at + R.operandWidth]!;
  }
  get addressWidth(): number {
    return this.m.u8[this.at + R.addressWidth]!;
  }
  get opCount(): number {
    return formOf(this.code).operands.length;
  }
  isMemory(i: number): boolean {
    const k = formOf(this.code).operands[i]!.kind;
    return k === 'mem' || (k === 'rm' && this.v.getInt32(this.at + R.op + 4 * i, true) === 0);
  }
  register(i: number): number {
    return this.m.u8[this.at + R.reg + i]!;
  }
  immediate(i: number): bigint {
    const k = formOf(this.code).operands[i]!;
    if (k.kind === 'one') return 1n;
    if (k.kind === 'imm' && k.second) return BigInt(this.v.getUint32(this.at + R.target, true));
    return BigInt.asUintN(k.width, this.v.getBigUint64(this.at + R.imm, true));
  }
  ea(): bigint {
    const { u64 } = this.m;
    const base = u64[this.v.getInt32(this.at + R.base, true) >>> 3]!;
    const index = u64[this.v.getInt32(this.at + R.index, true) >>> 3]!, scale = this.m.u8[this.at + R.scale]!;
    const displacement = wide(this.v.getUint32(this.at + R.disp, true), this.v.getUint32(this.at + R.disp + 4, true));
    return cut(this.addressWidth, base + (scale === 0 ? index : index << BigInt(scale)) + displacement);
  }
  get segment(): number {
    return this.m.u8[this.at + R.segment]!;
  }
  private get flags(): number {
    return this.m.u8[this.at + R.flags]!;
  }
  get hasRep(): boolean {
    return (this.flags & RF_REP) !== 0;
  }
  get hasRepne(): boolean {
    return (this.flags & RF_REPNE) !== 0;
  }
  get hasLock(): boolean {
    return (this.flags & RF_LOCK) !== 0;
  }
  get farSelector(): number {
    return this.v.getUint32(this.at + R.target, true) & 0xffff;
  }
  get farOffset(): number {
    return this.v.getUint32(this.at + R.imm, true);
  }
  registerAddress(i: number): number {
    return this.isMemory(i) ? 0 : this.address(i);
  }
  width(i: number): number {
    return formOf(this.code).operands[i]!.width;
  }
  read(i: number): bigint {
    const k = formOf(this.code).operands[i]!;
    if (k.kind === 'imm' || k.kind === 'one') return this.immediate(i);
    if (this.isMemory(i)) return this.cpu.readSegment(this.segment, this.ea(), k.width / 8);
    const a = this.address(i);
    switch (k.width) {
      case 8:
        return BigInt(this.v.getUint8(a));
      case 16:
        return BigInt(this.v.getUint16(a, true));
      case 32:
        return BigInt(this.v.getUint32(a, true));
      default:
        return this.v.getBigUint64(a, true);
    }
  }
  write(i: number, value: bigint): void {
    const k = formOf(this.code).operands[i]!;
    if (this.isMemory(i)) return this.cpu.writeSegment(this.segment, this.ea(), k.width / 8, BigInt.asUintN(k.width, value));
    const a = this.address(i);
    switch (k.width) {
      case 8:
        return this.v.setUint8(a, Number(value & 0xffn));
      case 16:
        return this.v.setUint16(a, Number(value & 0xffffn), true);
      default:
        return this.v.setBigUint64(a, BigInt.asUintN(k.width, value), true);
    }
  }
  private address(i: number): number {
    const k = formOf(this.code).operands[i]!;
    if (k.kind === 'fixed') return k.address;
    const a = this.v.getInt32(this.at + R.op + 4 * i, true);
    if (a === 0) throw new Error(`operand ${i} of code ${this.code} is not in a register that can be read here`);
    return a;
  }
}
