import { describe, expect, it } from 'vitest';
import { DB, GP, UD } from '../events.js';
import { CR0_PE, CR0_PG, CR4_PAE, CS, EFER_LMA, EFER_LME, GS, IF, IOPL_SHIFT, RAX, RCX, RDI, RDX, S, SS, TR, segAddress } from '../state.js';
import { CODE, IDT, SEL, SystemMachine, TSS } from './fixture.js';
import { SHADOW_MOV_SS, SHADOW_STI } from './flags.js';

const MOV_CR0_RAX = [0x0f, 0x22, 0xc0], MOV_CR3_RAX = [0x0f, 0x22, 0xd8], MOV_CR4_RAX = [0x0f, 0x22, 0xe0];
const WRMSR = [0x0f, 0x30], RDMSR = [0x0f, 0x32];

const withRax = (mode: 'protected' | 'long', rax: bigint): SystemMachine => {
  const m = new SystemMachine(mode);
  m.s.setGpr(RAX, rax);
  return m;
};
const faulted = (m: SystemMachine, ...bytes: number[]): boolean => {
  m.exec(...bytes);
  return m.vector === GP;
};

describe('control registers', () => {
  it.each([
    ['CR0: PG without PE', 'protected', 0x8000_0010n, MOV_CR0_RAX],
    ['CR0: NW without CD', 'protected', 0x2000_0011n, MOV_CR0_RAX],
    ['CR0: upper half', 'long', 0x1_8000_0011n, MOV_CR0_RAX],
    ['CR0: paging off in 64-bit mode', 'long', 0x11n, MOV_CR0_RAX],
    ['CR4: a bit that is not offered', 'protected', 0x100_0000n, MOV_CR4_RAX],
    ['CR4: PAE off in IA-32e mode', 'long', 0n, MOV_CR4_RAX],
    ['CR3: beyond MAXPHYADDR', 'long', 1n << 40n, MOV_CR3_RAX],
  ] as const)('#GP(0): %s', (_name, mode, value, bytes) => {
    const m = withRax(mode, value);
    const before = [m.s.cr0, m.s.cr4, m.s.get64(S.cr3)];
    expect(faulted(m, ...bytes)).toBe(true);
    expect([m.s.cr0, m.s.cr4, m.s.get64(S.cr3)]).toEqual(before);
  });

  it('CR0.PG with EFER.LME activates IA-32e mode; EFER.LME cannot change after', () => {
    const m = withRax('protected', 0x8000_0011n);
    m.write64(0x6000, 0x7007n);
    m.write64(0x7000, 0x87n | (1n << 7n));
    m.write64(0x7000, 0x8007n);
    m.write64(0x8000, 0x87n);
    m.s.set64(S.cr3, 0x6000n);
    m.s.set64(S.cr4, BigInt(CR4_PAE));
    m.s.set64(S.efer, BigInt(EFER_LME));
    m.exec(...MOV_CR0_RAX);
    expect([m.s.efer, m.s.longMode, m.s.mode64]).toEqual([EFER_LME | EFER_LMA, true, false]);
    m.s.setGpr(RCX, 0xc000_0080n);
    m.s.setGpr(RAX, 0n);
    m.s.setGpr(RDX, 0n);
    m.define(SEL.free, 0x00af_9b00_0000_ffffn);
    m.write64(IDT + 16 * GP, 0x0002_8e00_0058_00d0n, 0n); // a 64-bit handler
    m.exec(...WRMSR);
    expect([m.vector, m.s.efer]).toEqual([GP, EFER_LME | EFER_LMA]);
  });

  it('enabling PAE paging with a reserved PDPTE bit is #GP(0)', () => {
    const m = withRax('protected', BigInt((CR0_PE | CR0_PG) >>> 0));
    m.write64(0x6000, 0x7003n); // bit 1 is reserved
    m.s.set64(S.cr3, 0x6000n);
    m.s.set64(S.cr4, BigInt(CR4_PAE));
    expect(faulted(m, ...MOV_CR0_RAX)).toBe(true);
  });

  it('LMSW sets PE but does not clear it', () => {
    const m = withRax('protected', 0xen);
    m.exec(0x0f, 0x01, 0xf0);
    expect(m.s.cr0 & 0xf).toBe(0xf);
  });

  it('MOV DR with GD set raises #DB with BD and clears GD', () => {
    const m = new SystemMachine('protected');
    m.s.set64(S.dr + 56, 0x2400n);
    m.exec(0x0f, 0x23, 0xc0);
    expect([m.vector, m.s.get32(S.dr + 48) & 0xe000, m.s.get32(S.dr + 56)]).toEqual([DB, 0x2000, 0x400]);
  });

  it('CR1 and CR5 do not exist', () => {
    const m = new SystemMachine('protected');
    m.exec(0x0f, 0x20, 0xc8);
    expect(m.vector).toBe(UD);
  });
});

describe('MSRs', () => {
  const access = (index: number, value: bigint, bytes = WRMSR): SystemMachine => {
    const m = new SystemMachine('long');
    m.s.setGpr(RCX, BigInt(index));
    m.s.setGpr(RAX, value & 0xffff_ffffn);
    m.s.setGpr(RDX, value >> 32n);
    m.exec(...bytes);
    return m;
  };

  it.each([
    ['an index nobody defined', 0x1234, 0n], ['LSTAR, not canonical', 0xc000_0082, 1n << 47n], ['PAT with type 2', 0x277, 2n],
    ['EFER with an unknown bit', 0xc000_0080, 0x4000_0500n], ['TSC_AUX, upper half', 0xc000_0103, 1n << 32n],
  ])('#GP(0) on writing %s', (_name, index, value) => {
    expect(access(index, value).vector).toBe(GP);
  });

  it('WRMSR GS_BASE moves the segment; SWAPGS exchanges it', () => {
    const m = access(0xc000_0101, 0xffff_8000_0000_1000n);
    expect(m.s.segBase(GS)).toBe(0xffff_8000_0000_1000n);
    m.s.set64(S.kernelGsBase, 0x5000n);
    m.exec(0x0f, 0x01, 0xf8);
    expect([m.s.segBase(GS), m.s.get64(S.kernelGsBase)]).toEqual([0x5000n, 0xffff_8000_0000_1000n]);
  });

  it('a written TSC goes on from there', () => {
    const m = access(0x10, 1_000_000n);
    m.exec(...RDMSR);
    const tsc = m.reg(RAX);
    expect(tsc).toBeGreaterThanOrEqual(1_000_000);
    expect(tsc).toBeLessThan(1_000_100);
  });
});

describe('SYSCALL and SYSRET', () => {
  it('go to LSTAR and back, masking flags', () => {
    const m = new SystemMachine('long');
    m.setLevel(3);
    m.s.set64(S.efer, m.s.get64(S.efer) | 1n);
    m.s.set64(S.star, (0x0013n << 48n) | (0x0008n << 32n));
    m.s.set64(S.lstar, 0x5000n);
    m.s.set64(S.sfmask, BigInt(IF));
    m.s.rflags = IF | 3;
    m.exec(0x0f, 0x05);
    expect([Number(m.s.rip), m.s.cpl, m.s.selector(CS), m.s.selector(SS), m.s.rflags]).toEqual([0x5000, 0, 8, 0x10, 3]);
    expect([m.reg(RCX), m.reg(11)]).toEqual([CODE + 2, IF | 3]);
    m.exec(0x48, 0x0f, 0x07);
    expect([Number(m.s.rip), m.s.cpl, m.s.selector(CS), m.s.selector(SS), m.s.rflags]).toEqual([CODE + 2, 3, 0x23, 0x1b, IF | 3]);
  });
});

describe('ports', () => {
  it('level 3 needs IOPL or a clear bit in the permission map', () => {
    const m = new SystemMachine('protected');
    m.write16(TSS + 0x66, 0x68);
    m.phys.write(TSS + 0x68, Uint8Array.of(0xff, 0xfe, 0xff));
    m.s.set32(segAddress(TR) + 8, 0x6a);
    m.setLevel(3);
    m.exec(0xe6, 0x08); // bit 8 is clear
    expect([m.vector, m.outputs.length]).toEqual([-1, 1]);
    m.exec(0xe7, 0x08); // the 32-bit form needs bits 8 to 11
    expect([m.vector, m.outputs.length]).toEqual([GP, 1]);
    const n = new SystemMachine('protected');
    n.setLevel(3);
    n.s.rflags = (3 << IOPL_SHIFT) | 2;
    n.exec(0xe6, 0x08);
    expect(n.outputs).toEqual([[8, 1, 0]]);
  });

  it('REP INSB fills memory and leaves the registers behind the last byte', () => {
    const m = new SystemMachine('protected');
    m.input = 0xab;
    m.s.setGpr(RDI, 0x8000n);
    m.s.setGpr(RCX, 3n);
    m.exec(0xf3, 0x6c);
    expect([m.read(0x8000, 4), m.reg(RDI), m.reg(RCX)]).toEqual([0xab_abab, 0x8003, 0]);
  });
});

describe('interrupt flag', () => {
  it('STI shadows one instruction, only when IF was clear; MOV SS always', () => {
    const m = new SystemMachine('protected');
    m.exec(0xfb);
    expect([m.s.rflags & IF, m.s.get32(S.interruptShadow)]).toEqual([IF, SHADOW_STI]);
    m.exec(0x90);
    expect(m.s.get32(S.interruptShadow)).toBe(0);
    m.exec(0xfb);
    expect(m.s.get32(S.interruptShadow)).toBe(0);
    const n = withRax('protected', BigInt(SEL.data0));
    n.exec(0x8e, 0xd0);
    expect(n.s.get32(S.interruptShadow)).toBe(SHADOW_MOV_SS);
  });

  it('POPF at level 3 keeps IF and IOPL', () => {
    const m = new SystemMachine('protected');
    m.setLevel(3);
    m.s.setGpr(4, 0x8000n);
    m.write32(0x8000, IF | (3 << IOPL_SHIFT) | 0x41);
    m.exec(0x9d);
    expect(m.s.rflags).toBe(0x43);
  });
});
