/** An operand that is looked up in the decoded record at run time: one handler serves all registers and addresses of a form. */

import type { Operand, Val, Width } from '../builder.js';
import type { OperandKind } from './forms.js';
import { ACCESS_READ, ACCESS_RMW, ACCESS_WRITE } from './host-imports.js';
import type { Access, InterpreterBuilder } from './interpreter-builder.js';
import { R } from './record.js';

export class InterpreterOperand implements Operand {
  readonly width: Width;
  readonly isMemory: boolean;
  readonly isImmediate: boolean;
  wasWritten = false;
  private address: Val | undefined;
  private access: Access | undefined;

  constructor(
    private readonly b: InterpreterBuilder,
    private readonly k: OperandKind,
    readonly index: number,
  ) {
    this.width = k.width;
    this.isMemory = k.kind === 'mem' || (k.kind === 'rm' && b.variant.addressing !== 'register');
    this.isImmediate = k.kind === 'imm' || k.kind === 'one';
  }

  ea(): Val {
    if (!this.isMemory) throw new Error('a register operand has no effective address');
    return (this.address ??= this.b.operandEa());
  }
  read(): Val {
    const { b, k } = this;
    if (this.isMemory) {
      const kind = b.isWritten(this.index) ? ACCESS_RMW : ACCESS_READ;
      this.access = b.accessOperand(this.ea(), 0, this.width, kind);
      return b.readAccess(this.access, this.width);
    }
    switch (k.kind) {
      case 'fixed':
        return b.getState(k.address, this.width as 8);
      case 'one':
        return b.c(this.width, 1);
      case 'imm':
        if (k.second) return b.field(R.target, this.width as 8);
        return b.field(R.imm, this.width as 8);
      case 'reg':
      case 'rm':
        b.pushRegisterAddress(this.index);
        return b.loadAt(this.width, 0);
      default:
        throw new Error(`operand ${this.index} (${k.kind}) cannot be read by a body`);
    }
  }
  write(v: Val): void {
    const { b, k } = this;
    this.wasWritten = true;
    if (v.width !== this.width) throw new Error(`a ${v.width}-bit value for a ${this.width}-bit operand`);
    if (this.isMemory) {
      const a = this.access?.kind === ACCESS_RMW ? this.access : b.accessOperand(this.ea(), 0, this.width, ACCESS_WRITE);
      return b.writeAccess(a, v);
    }
    const address = (): void => {
      if (k.kind === 'fixed') b.f.i32(0);
      else if (k.kind === 'reg' || k.kind === 'rm') b.pushRegisterAddress(this.index);
      else throw new Error(`operand ${this.index} (${k.kind}) cannot be written by a body`);
    };
    b.writeRegister(address, k.kind === 'fixed' ? k.address : 0, v);
  }
  readAt(displacement: Val | number, width: Width): Val {
    const a = this.b.accessOperand(this.ea(), displacement, width, this.b.isWritten(this.index) ? ACCESS_RMW : ACCESS_READ);
    return this.b.readAccess(a, width);
  }
  writeAt(displacement: Val | number, v: Val): void {
    this.wasWritten = true;
    this.b.writeAccess(this.b.accessOperand(this.ea(), displacement, v.width, ACCESS_WRITE), v);
  }
}
