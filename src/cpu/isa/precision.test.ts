/** Faults in the middle of instructions: nothing may have changed but what the manual lets change. The last byte of memory is at 7FFFFFH. */

import { describe, expect, it } from 'vitest';
import { TestMachine } from '../../../test/support/machine-with.js';
import { GP, PFV, UD } from '../events.js';
import { RAX, RBX, RCX, RDI, RDX, RSI, RSP } from '../state.js';

const CODE = 0x20_0000;
const t = new TestMachine();
const reg = (i: number): bigint => t.vcpu.s.gpr(i);
const NON_CANONICAL = 0x8000_0000_0000n;

describe('a fault leaves the state before the instruction', () => {
  it('POP to memory keeps RSP', () => {
    expect(t.execute([0x8f, 0x00], { [RAX]: 0x80_0000n, [RSP]: 0x30_0000n })).toEqual({ rip: CODE, fault: PFV });
    expect(reg(RSP)).toBe(0x30_0000n);
  });
  it('PUSH from memory that is not there keeps RSP', () => {
    expect(t.execute([0xff, 0x30], { [RAX]: 0x80_0000n, [RSP]: 0x30_0000n }).fault).toBe(PFV);
    expect(reg(RSP)).toBe(0x30_0000n);
  });
  it('XADD keeps its register', () => {
    expect(t.execute([0x48, 0x0f, 0xc1, 0x08], { [RAX]: 0x7f_fffcn, [RCX]: 5n }).fault).toBe(PFV);
    expect(reg(RCX)).toBe(5n);
  });
  it('CMPXCHG8B across the end of memory keeps registers and the half that is there', () => {
    t.phys.write(0x7f_fffc, Uint8Array.of(1, 2, 3, 4));
    expect(t.execute([0x0f, 0xc7, 0x0f], { [RDI]: 0x7f_fffcn, [RAX]: 7n, [RDX]: 8n, [RBX]: 9n }).fault).toBe(PFV);
    expect([reg(RAX), reg(RDX)]).toEqual([7n, 8n]);
    expect([...t.phys.read(0x7f_fffc, 4)]).toEqual([1, 2, 3, 4]);
  });
  it('CMPXCHG16B wants an aligned operand', () => {
    expect(t.execute([0x48, 0x0f, 0xc7, 0x0f], { [RDI]: 0x30_0008n }).fault).toBe(GP);
  });
  it('indirect CALL to a non-canonical address keeps RSP', () => {
    expect(t.execute([0xff, 0xd0], { [RAX]: NON_CANONICAL, [RSP]: 0x30_0800n })).toEqual({ rip: CODE, fault: GP });
    expect(reg(RSP)).toBe(0x30_0800n);
  });
  it('RET to a non-canonical address keeps RSP', () => {
    t.phys.write(0x30_0000, Uint8Array.of(0, 0, 0, 0, 0, 0x80, 0, 0));
    expect(t.execute([0xc3], { [RSP]: 0x30_0000n })).toEqual({ rip: CODE, fault: GP });
    expect(reg(RSP)).toBe(0x30_0000n);
  });
  it('a division that does not fit keeps RAX and RDX', () => {
    expect(t.execute([0x48, 0xf7, 0xf9], { [RAX]: 1n << 63n, [RDX]: (1n << 64n) - 1n, [RCX]: (1n << 64n) - 1n }).fault).toBe(0);
    expect(reg(RAX)).toBe(1n << 63n);
  });
});

describe('LOCK', () => {
  it.each([
    ['a register destination', [0xf0, 0x01, 0xd8]],
    ['CMP', [0xf0, 0x39, 0x07]],
    ['MOV', [0xf0, 0x89, 0x07]],
    ['BT', [0xf0, 0x0f, 0xa3, 0x07]],
  ])('is undefined with %s', (_, code) => expect(t.execute(code, { [RDI]: 0x30_0000n }).fault).toBe(UD));
  it('is defined with ADD to memory', () => expect(t.execute([0xf0, 0x01, 0x07], { [RDI]: 0x30_0000n }).fault).toBe(-1));
});

describe('16-bit code', () => {
  it('wraps the stack pointer at 64 KiB, and keeps the upper half of RSP', () => {
    t.execute([0x50], { [RAX]: 0x1234n, [RSP]: 0xabcd_0000n }, 16, 0xa000);
    expect(reg(RSP)).toBe(0xabcd_fffen);
    expect([...t.phys.read(0xfffe, 2)]).toEqual([0x34, 0x12]);
  });
  it('RET imm16 and LEAVE work in the 16-bit stack', () => {
    t.phys.write(0xc000, Uint8Array.of(0x40, 0xa0));
    t.phys.write(0xa040, Uint8Array.of(0xf4, 0xeb, 0xfe));
    expect(t.execute([0xc2, 0x06, 0x00], { [RSP]: 0xabcd_c000n }, 16, 0xa000)).toEqual({ rip: 0xa040, fault: -1 });
    expect(reg(RSP)).toBe(0xabcd_c008n);
    t.phys.write(0xc000, Uint8Array.of(0x11, 0x22));
    t.execute([0xc9], { 5: 0x7777_c000n }, 16, 0xa000);
    expect([reg(RSP) & 0xffffn, reg(5)]).toEqual([0xc002n, 0x7777_2211n]);
  });
  it('string pointers wrap at 64 KiB', () => {
    t.phys.write(0xfffe, Uint8Array.of(1, 2));
    t.phys.write(0, Uint8Array.of(3, 4));
    t.execute([0xf3, 0xa4], { [RSI]: 0xfffen, [RDI]: 0xc000n, [RCX]: 4n }, 16, 0xa000);
    expect([...t.phys.read(0xc000, 4)]).toEqual([1, 2, 3, 4]);
    expect([reg(RSI), reg(RDI), reg(RCX)]).toEqual([2n, 0xc004n, 0n]);
  });
});

it('MOV from a segment register writes 16 bits to memory and a whole register', () => {
  t.phys.write(0x30_0000, new Uint8Array(8).fill(0xff));
  t.execute([0x48, 0x8c, 0xd8, 0x48, 0x8c, 0x1e], { [RAX]: (1n << 64n) - 1n, [RSI]: 0x30_0000n });
  expect(reg(RAX)).toBe(0x10n);
  expect([...t.phys.read(0x30_0000, 4)]).toEqual([0x10, 0, 0xff, 0xff]);
});
