/** An operand whose record is known while compiling: registers by name, immediates as constants. */

import type { Operand, Val, Width } from '../../builder.js';
import type { OperandKind } from '../forms.js';
import { ACCESS_RMW, ACCESS_WRITE } from '../host-imports.js';
import type { Access } from '../interpreter-builder.js';
import { R } from '../record.js';
import type { RegionMemory } from './region-memory.js';

export class RegionOperand implements Operand {
  readonly width: Width;
  readonly isMemory: boolean;
  readonly isImmediate: boolean;
  private address: Val | undefined;
  private access: Access | undefined;

  constructor(
    private readonly b: RegionMemory,
    private readonly k: OperandKind,
    private readonly index: number,
  ) {
    this.width = k.width;
    this.isMemory = b.isMemory(k.kind);
    this.isImmediate = k.kind === 'imm' || k.kind === 'one';
  }

  ea(): Val {
    if (!this.isMemory) throw new Error('a register operand has no effective address');
    return (this.address ??= this.b.operandEa());
  }
  private get register(): number {
    const { k, b } = this;
    if (k.kind === 'fixed') return k.address;
    if (k.kind !== 'reg' && k.kind !== 'rm') throw new Error(`operand ${this.index} (${k.kind}) is no register`);
    return b.fieldI32(R.op + 4 * this.index);
  }
  read(): Val {
    const { b, k } = this;
    if (this.isMemory) {
      this.access = b.accessOperand(this.ea(), 0, this.width, b.readKind(this.index));
      return b.readAccess(this.access, this.width);
    }
    if (k.kind === 'one') return b.c(this.width, 1);
    if (k.kind === 'imm') return b.c(this.width, k.second ? b.fieldI32(R.target) : b.field64(R.imm));
    return b.getState(this.register, this.width as 8);
  }
  write(v: Val): void {
    const { b } = this;
    if (v.width !== this.width) throw new Error(`a ${v.width}-bit value for a ${this.width}-bit operand`);
    if (!this.isMemory) return b.writeRegisterAt(this.register, v);
    if (this.access?.kind === ACCESS_RMW) b.writeAccess(this.access, v);
    else b.accessOperand(this.ea(), 0, this.width, ACCESS_WRITE, v);
  }
  readAt(displacement: Val | number, width: Width): Val {
    return this.b.readAccess(this.b.accessOperand(this.ea(), displacement, width, this.b.readKind(this.index)), width);
  }
  writeAt(displacement: Val | number, v: Val): void {
    this.b.accessOperand(this.ea(), displacement, v.width, ACCESS_WRITE, v);
  }
}
