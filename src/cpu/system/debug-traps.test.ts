import { describe, expect, it } from 'vitest';
import { DB } from '../events.js';
import { CR4_DE, RBX, S } from '../state.js';
import { CODE, SystemMachine } from './fixture.js';

const DR7 = S.dr + 56;
const INC_EBX = [0xff, 0xc3];

/** Runs the bytes and a HLT in one slice; where the #DB handler would return to, DR6's low bits, and EBX. */
function trap(m: SystemMachine, ...bytes: number[]): number[] {
  m.phys.write(CODE, Uint8Array.from([...bytes, 0xf4]));
  m.s.setGpr(RBX, 0n);
  // The handler halts.
  m.phys.write(0x2_0010, Uint8Array.of(0xf4));
  m.run(50);
  expect(Number(m.s.rip)).toBe(0x2_0000 + 16 * DB + 1);
  return [m.stack(1, 4)[0]! - CODE, m.s.get32(S.dr + 48) & 0xf, m.reg(RBX)];
}

describe('breakpoints are traps of the instruction that hits them (SDM 3B §17.3.1.2)', () => {
  it('data: after the instruction that wrote, in the middle of a block', () => {
    const m = new SystemMachine('protected');
    m.s.set64(S.dr, 0x8000n);
    m.s.set64(DR7, 0xd_0402n); // G0, write, 4 bytes
    m.vcpu.modeChanged();
    expect(trap(m, 0xa3, 0, 0x80, 0, 0, ...INC_EBX, ...INC_EBX)).toEqual([5, 1, 0]);
  });
  it('I/O: after the instruction that read the port', () => {
    const m = new SystemMachine('protected');
    m.s.set64(S.cr4, BigInt(CR4_DE));
    m.s.set64(S.dr + 8, 0x70n);
    m.s.set64(DR7, 0x20_0404n); // L1, I/O, one byte
    m.vcpu.modeChanged();
    expect(trap(m, 0xe4, 0x70, ...INC_EBX, ...INC_EBX)).toEqual([2, 2, 0]);
  });
  it('a trap that waited is taken before the next instruction', () => {
    const m = new SystemMachine('protected');
    m.s.set32(S.pendingDebug, 4);
    expect(trap(m, ...INC_EBX, ...INC_EBX)).toEqual([0, 4, 0]);
  });
});
