import { Mnemonic } from 'iced-x86';
import { describe, expect, it } from 'vitest';
import { PROBE } from '../cpu/ports.js';
import { CS, EFER_LMA, EFER_LME, EFER_SVME, IF, RSP, S, SEG, TF, VM, segAddress, CR0_PG, CR0_PE, CR4_PAE, DS, FS, SS } from '../cpu/state.js';
import { VMCB, VMCB_SEG, V_INTR_MASKING, V_IGN_TPR, V_IRQ } from './fields.js';
import { INTERCEPTS } from './intercepts.js';
import { HOST_NEXT, Raised, VMCB_PA, fixture, type Fixture } from './fixture.js';

const misc1 = (f: Fixture, name: keyof typeof INTERCEPTS): void =>
  f.v.setU32(VMCB.INTERCEPT_MISC1, f.v.u32(VMCB.INTERCEPT_MISC1) | (1 << INTERCEPTS[name][1]));
const raised = (fn: () => unknown): [number, number | undefined] => {
  try {
    fn();
  } catch (e) {
    if (e instanceof Raised) return [e.vector, e.error];
    throw e;
  }
  return [-1, undefined];
};

describe('VMRUN and #VMEXIT', () => {
  it('loads the guest, and a #VMEXIT saves it and brings the host back', () => {
    const f = fixture();
    misc1(f, 'HLT');
    f.enter();
    expect(f.cpu.inGuest).toBe(true);
    expect(f.cpu.addressSpaceTag).toBe(1);
    expect([f.s.rip, f.s.gpr(0), f.s.gpr(RSP)]).toEqual([0x7c00n, 0x1234n, 0x6000n]);
    expect(f.s.get32(S.efer) & EFER_LMA).toBe(0);
    expect(f.s.segAttr(CS)).toBe(0xc09b);
    f.s.setGpr(0, 0x5678n);
    f.s.rflags = 0x2 | IF | 1;
    f.svm.instruction(f.cpu, 'HLT');
    expect([f.v.u64(VMCB.RAX), f.v.u64(VMCB.RIP), f.v.u64(VMCB.RFLAGS)]).toEqual([0x5678n, 0x7c00n, BigInt(0x203)]);
    expect(f.v.u16(VMCB.CS + VMCB_SEG.attrib)).toBe(0xc9b);
    expect([f.s.rip, f.s.gpr(0), f.s.gpr(RSP)]).toEqual([HOST_NEXT, BigInt(VMCB_PA), 0x8_0000n]);
    expect(f.s.longMode).toBe(true);
    expect(f.s.get64(S.dr + 56)).toBe(0x400n);
    expect(f.s.cpl).toBe(0);
    expect(f.svm.gif).toBe(false);
    expect(f.cpu.addressSpaceTag).toBe(0);
    expect(f.probed.map((r) => r[0])).toEqual([PROBE.vmHandlerEnd, PROBE.vmEntry, PROBE.vmExit, PROBE.vmHandlerStart]);
  });

  it('with host RFLAGS.TF the trace trap comes after the #VMEXIT', () => {
    const f = fixture();
    misc1(f, 'HLT');
    f.s.rflags = TF;
    f.enter();
    expect(f.s.get32(S.pending)).toBe(0);
    f.svm.instruction(f.cpu, 'HLT');
    expect([f.s.get32(S.pending), f.s.get32(S.pendingVector), f.s.get64(S.pendingAddress)]).toEqual([1, 1, 0x4000n]);
  });

  it('takes CPL from the VMCB, 0 in real mode and 3 in virtual-8086 mode', () => {
    const cpl = (prepare: (f: Fixture) => void): number => {
      const f = fixture();
      f.v.setU8(VMCB.CPL, 2);
      prepare(f);
      f.enter();
      return f.s.cpl;
    };
    expect(cpl(() => undefined)).toBe(2);
    expect(cpl((f) => f.v.setU32(VMCB.CR0, 0))).toBe(0);
    expect(cpl((f) => f.v.setU32(VMCB.RFLAGS, VM))).toBe(3);
  });

  it('canonicalises segment bases, and P=0 makes a data segment null but never CS', () => {
    const f = fixture();
    f.v.setU64(VMCB.DS + VMCB_SEG.base, 0x1234_8000_0000_0000n);
    f.v.setU16(VMCB.SS + VMCB_SEG.attrib, 0);
    f.v.setU16(VMCB.CS + VMCB_SEG.attrib, 0xc1b);
    f.enter();
    expect(f.s.segBase(DS)).toBe(0xffff_8000_0000_0000n);
    expect(f.s.segAttr(SS) & 0x1_0000).not.toBe(0);
    expect(f.s.segAttr(CS) & 0x1_0080).toBe(0x80);
  });

  it('computes EFER.LMA from LME and PG', () => {
    const f = fixture();
    f.v.setU32(VMCB.EFER, EFER_SVME | EFER_LME);
    f.v.setU32(VMCB.CR0, CR0_PG | CR0_PE);
    f.v.setU32(VMCB.CR4, CR4_PAE);
    f.enter();
    expect(f.s.longMode).toBe(true);
  });

  it('switches PAT only with nested paging, which uses the host\'s paging mode', () => {
    const f = fixture();
    f.v.setU32(VMCB.NP_ENABLE, 1);
    f.v.setU64(VMCB.N_CR3, 0x9000n);
    f.v.setU64(VMCB.G_PAT, 0n);
    f.enter();
    expect(f.svm.nested).toEqual({ format: 'npt', root: 0x9000, ad: false, levels: 4, nx: true, pse: true });
    expect(f.s.get64(S.pat)).toBe(0n);
    f.s.set64(S.pat, 6n);
    f.svm.nestedFault(f.cpu, {
      gpa: 0x1_2345_6000, gla: 0n, glaValid: false, onTable: true, read: true, write: false, fetch: false, present: true,
      permissions: 0, user: true, misconfiguration: false, reserved: false,
    });
    expect(f.v.u64(VMCB.EXITCODE)).toBe(0x400n);
    expect(f.v.u64(VMCB.EXITINFO1)).toBe(0x2_0000_0007n);
    expect(f.v.u64(VMCB.EXITINFO2)).toBe(0x1_2345_6000n);
    expect(f.v.u64(VMCB.G_PAT)).toBe(6n);
    expect(f.s.get64(S.pat)).toBe(0x0007_0406_0007_0406n);
    expect(f.svm.nested).toBeNull();
  });

  it('TLB_CONTROL 1 flushes everything, 3 the guest\'s entries', () => {
    const flushed = (command: number): string[] => {
      const f = fixture();
      f.v.setU8(VMCB.TLB_CONTROL, command);
      f.enter();
      return f.flushed;
    };
    expect([0, 1, 3].map(flushed)).toEqual([[], ['all'], ['tag 1']]);
  });

  it('a snapshot taken in the guest restores the extension', () => {
    const f = fixture();
    misc1(f, 'HLT');
    f.enter();
    const saved = f.svm.snapshot();
    f.svm.instruction(f.cpu, 'HLT');
    f.svm.restore(saved);
    f.s.set32(S.guest, 1);
    expect(f.svm.instruction(f.cpu, 'HLT')).toBe(true);
  });
});

describe('instructions', () => {
  it.each([Mnemonic.Vmrun, Mnemonic.Vmload, Mnemonic.Vmsave, Mnemonic.Stgi, Mnemonic.Clgi, Mnemonic.Invlpga])(
    '%s: #UD without EFER.SVME, in real and virtual-8086 mode; #GP(0) with CPL > 0',
    (mnemonic) => {
      const f = fixture();
      f.s.set32(S.cpl, 3);
      expect(raised(() => f.run(mnemonic))).toEqual([13, 0]);
      f.s.set32(S.efer, EFER_LMA | EFER_LME);
      expect(raised(() => f.run(mnemonic))).toEqual([6, undefined]);
      f.s.set32(S.efer, EFER_SVME);
      f.s.set32(S.cr0, 0);
      expect(raised(() => f.run(mnemonic))).toEqual([6, undefined]);
      f.s.set32(S.cr0, CR0_PE);
      f.s.rflags = VM;
      expect(raised(() => f.run(mnemonic))).toEqual([6, undefined]);
    },
  );

  it.each([0x3001n, 1n << 40n, 0xa_0000n, 0x8000_0000_0000_3000n])('VMRUN and VMSAVE of %s raise #GP(0)', (rax) => {
    const f = fixture();
    f.s.setGpr(0, rax);
    expect(raised(() => f.run(Mnemonic.Vmrun))).toEqual([13, 0]);
    expect(raised(() => f.run(Mnemonic.Vmsave))).toEqual([13, 0]);
  });

  it('VMLOAD and VMSAVE use rAX cut to the address size, and move FS, system-call MSRs and canonical bases', () => {
    const f = fixture();
    f.s.setGpr(0, 0xffff_ffff_0000_3000n);
    f.v.setU64(VMCB.FS + VMCB_SEG.base, 0x8000_1234_5678n);
    f.v.setU16(VMCB.FS + VMCB_SEG.attrib, 0xc93);
    f.v.setU64(VMCB.STAR, 0x1234_5678_9abc_def0n);
    f.v.setU64(VMCB.LSTAR, 0x9000_0000_0000n);
    f.run(Mnemonic.Vmload, 32);
    expect(f.s.segBase(FS)).toBe(0xffff_8000_1234_5678n);
    expect(f.s.get64(S.star)).toBe(0x1234_5678_9abc_def0n);
    expect(f.s.get64(S.lstar)).toBe(0xffff_9000_0000_0000n);
    f.s.set32(segAddress(FS) + SEG.limit, 0x77);
    f.run(Mnemonic.Vmsave, 32);
    expect(f.v.u32(VMCB.FS + VMCB_SEG.limit)).toBe(0x77);
    expect(f.v.u64(VMCB.LSTAR)).toBe(0xffff_9000_0000_0000n);
  });

  it('CLGI and STGI switch GIF; VMRUN sets it', () => {
    const f = fixture();
    f.run(Mnemonic.Clgi);
    expect(f.svm.globalInterruptFlag(f.cpu)).toBe(false);
    f.run(Mnemonic.Stgi);
    expect(f.svm.globalInterruptFlag(f.cpu)).toBe(true);
    f.run(Mnemonic.Clgi);
    f.enter();
    expect(f.svm.gif).toBe(true);
  });

  it('VMMCALL is #UD unless a guest runs it and it is intercepted', () => {
    const f = fixture();
    expect(raised(() => f.run(Mnemonic.Vmmcall))).toEqual([6, undefined]);
    f.v.setU32(VMCB.INTERCEPT_MISC2, 3);
    f.v.setU8(VMCB.CPL, 3);
    f.enter();
    f.run(Mnemonic.Vmmcall);
    expect(f.v.u32(VMCB.EXITCODE)).toBe(0x81);
  });

  it('INVLPGA flushes one page of one ASID; SKINIT is not there', () => {
    const f = fixture();
    f.s.setGpr(0, 0x1234_5000n);
    f.s.setGpr(1, 7n);
    f.run(Mnemonic.Invlpga);
    expect(f.flushed).toEqual(['tag 7 at 12345000']);
    expect(raised(() => f.run(Mnemonic.Skinit))).toEqual([6, undefined]);
  });
});

describe('MSRs', () => {
  it('VM_HSAVE_PA takes page-aligned physical addresses only', () => {
    const f = fixture(), msr = f.cpu.msrs.get(0xc001_0117)!;
    expect([0x5000n, 0x5001n, 1n << 40n].map((v) => msr.write!(f.cpu, v))).toEqual([true, false, false]);
    expect(msr.read(f.cpu)).toBe(0x5000n);
  });

  it('VM_CR.SVMDIS makes EFER.SVME reserved, LOCK keeps it, and the right key unlocks', () => {
    const f = fixture(), vmCr = f.cpu.msrs.get(0xc001_0114)!, key = f.cpu.msrs.get(0xc001_0118)!;
    expect(vmCr.write!(f.cpu, 0x10n)).toBe(false); // EFER.SVME is one
    f.s.set32(S.efer, 0);
    key.write!(f.cpu, 42n);
    expect(vmCr.write!(f.cpu, 0x18n)).toBe(true);
    expect(f.cpu.eferAllowed & EFER_SVME).toBe(0);
    vmCr.write!(f.cpu, 0n);
    expect(vmCr.read(f.cpu)).toBe(0x18n);
    key.write!(f.cpu, 41n);
    expect(vmCr.read(f.cpu)).toBe(0x18n);
    key.write!(f.cpu, 42n);
    vmCr.write!(f.cpu, 0n);
    expect(f.cpu.eferAllowed & EFER_SVME).not.toBe(0);
    expect(vmCr.write!(f.cpu, 0x20n)).toBe(false);
  });
});

it('RESET# ends a guest, sets GIF and allows EFER.SVME again', () => {
  const f = fixture();
  f.enter();
  f.svm.gif = false;
  f.svm.vmCr = 0x10;
  f.cpu.eferAllowed = 0;
  f.svm.reset(f.cpu);
  expect([f.svm.gif, f.svm.asid, f.svm.vmCr, f.svm.hsavePa, f.cpu.eferAllowed]).toEqual([true, 0, 0, 0, EFER_SVME]);
});

describe('exceptions', () => {
  const withIntercept = (vectors: number): Fixture => {
    const f = fixture();
    f.v.setU32(VMCB.INTERCEPT_EXCEPTIONS, vectors);
    f.enter();
    f.s.set64(S.nextRip, 0x7c01n);
    return f;
  };

  it('#PF carries error code and address', () => {
    const f = withIntercept(1 << 14);
    expect(f.svm.exception(f.cpu, 13, 3, true, 0, 0n)).toBe(false);
    expect(f.svm.exception(f.cpu, 14, 3, true, 6, 0xffff_8000_0000_1000n)).toBe(true);
    expect([f.v.u64(VMCB.EXITCODE), f.v.u64(VMCB.EXITINFO1), f.v.u64(VMCB.EXITINFO2)]).toEqual([0x4en, 6n, 0xffff_8000_0000_1000n]);
    expect(f.v.u64(VMCB.NRIP)).toBe(0n);
  });

  it('INT3 is intercepted with NRIP; INT n and ICEBP are not', () => {
    const f = withIntercept(0xffff_ffff);
    expect(f.svm.exception(f.cpu, 3, 4, false, 0, 0n)).toBe(false);
    expect(f.svm.exception(f.cpu, 1, 5, false, 0, 0n)).toBe(false);
    expect(f.svm.exception(f.cpu, 3, 6, false, 0, 0n)).toBe(true);
    expect([f.v.u64(VMCB.EXITCODE), f.v.u64(VMCB.RIP), f.v.u64(VMCB.NRIP)]).toEqual([0x43n, 0x7c00n, 0x7c01n]);
  });

  it('an exit while an event is delivered records it in EXITINTINFO', () => {
    const f = withIntercept(1 << 14);
    f.svm.beginDelivery(f.cpu, 13, 3, true, 0x18);
    f.svm.exception(f.cpu, 14, 3, true, 2, 0x1000n);
    expect(f.v.u64(VMCB.EXITINTINFO)).toBe(0x18_8000_0b0dn);
    const g = withIntercept(1 << 14);
    g.svm.beginDelivery(g.cpu, 0x80, 4, false, 0);
    g.svm.endDelivery(g.cpu);
    g.svm.exception(g.cpu, 14, 3, true, 2, 0x1000n);
    expect(g.v.u64(VMCB.EXITINTINFO)).toBe(0n);
  });

  it('#DB shows DR6 and DR7 as its handler would', () => {
    const f = withIntercept(2);
    f.s.set64(S.dr + 56, 0x2400n);
    f.svm.exception(f.cpu, 1, 3, false, 0, 0x4001n);
    expect([f.v.u64(VMCB.DR6), f.v.u64(VMCB.DR7)]).toEqual([0xffff_4ff1n, 0x400n]);
  });

  it('a task switch and a shutdown', () => {
    const f = fixture();
    misc1(f, 'TASK_SWITCH');
    f.enter();
    expect(f.svm.tripleFault(f.cpu)).toBe(false);
    expect(f.svm.taskSwitch(f.cpu, 0x28, 'jmp', false, 0)).toBe(true);
    expect([f.v.u64(VMCB.EXITINFO1), f.v.u64(VMCB.EXITINFO2)]).toEqual([0x28n, 1n << 38n]);
  });
});

describe('injection', () => {
  const injected = (event: bigint, prepare: (f: Fixture) => void = () => undefined): Fixture => {
    const f = fixture();
    f.v.setU64(VMCB.EVENTINJ, event);
    prepare(f);
    f.enter();
    return f;
  };
  const pending = (f: Fixture): number[] => [S.pending, S.pendingVector, S.pendingType, S.pendingHasError, S.pendingError].map((a) => f.s.get32(a));

  it.each([
    [0x8000_0030n, [1, 0x30, 0, 0, 0]],
    [0x8000_02ffn, [1, 2, 2, 0, 0]],
    [0x10_8000_0b0dn, [1, 13, 3, 1, 0x10]],
    [0x8000_0303n, [1, 3, 6, 0, 0]], // behaves like INT3: checks the gate's DPL
    [0x8000_0480n, [1, 0x80, 4, 0, 0]],
  ])('EVENTINJ = %s becomes pending', (event, expected) => {
    const f = injected(event);
    expect(pending(f)).toEqual(expected);
  });

  it('is not subject to intercepts, but what its delivery raises is; EVENTINJ.V is cleared by the exit', () => {
    const f = injected(0x8000_0b0dn, (g) => g.v.setU32(VMCB.INTERCEPT_EXCEPTIONS, 0xffff_ffff));
    expect(f.svm.exception(f.cpu, 13, 3, true, 0, 0n)).toBe(false);
    f.svm.beginDelivery(f.cpu, 13, 3, true, 0);
    expect(f.svm.exception(f.cpu, 13, 3, true, 0, 0n)).toBe(true);
    expect(f.v.u32(VMCB.EXITINTINFO)).toBe(0x8000_0b0d);
    expect(f.v.u32(VMCB.EVENTINJ)).toBe(0xb0d);
    expect(f.s.get32(S.pending)).toBe(0);
  });

  it('a software interrupt returns to NRIP', () => {
    const f = injected(0x8000_0480n, (g) => g.v.setU64(VMCB.NRIP, 0x7c02n));
    expect(f.s.get32(S.pendingLength)).toBe(2);
  });

  it('an injected NMI does not block NMIs', () => {
    const f = injected(0x8000_0202n);
    f.svm.beginDelivery(f.cpu, 2, 2, false, 0);
    f.s.set32(S.nmiBlocked, 1);
    f.svm.endDelivery(f.cpu);
    expect(f.s.get32(S.nmiBlocked)).toBe(0);
  });
});

describe('interrupts', () => {
  const guest = (vIntr: number, rflags: number, prepare: (f: Fixture) => void = () => undefined): Fixture => {
    const f = fixture();
    f.v.setU32(VMCB.V_INTR, vIntr);
    f.v.setU8(VMCB.V_INTR_VECTOR, 0x41);
    f.v.setU32(VMCB.RFLAGS, rflags);
    prepare(f);
    f.enter();
    return f;
  };
  const ask = (f: Fixture, event: 'none' | 'external' | 'nmi' = 'none'): string => f.svm.pendingEvent(f.cpu, event, -1);

  it('GIF zero holds everything back', () => {
    const f = fixture();
    f.run(Mnemonic.Clgi);
    expect(ask(f, 'nmi')).toBe('blocked');
  });

  it.each([
    // V_INTR word, guest IF, host IF: physical interrupt
    [0, IF, 0, 'deliver'],
    [0, 0, IF, 'blocked'],
    [V_INTR_MASKING, 0, IF, 'deliver'],
    [V_INTR_MASKING, IF, 0, 'blocked'],
  ])('physical interrupt: V_INTR %s, guest IF %s, host IF %s -> %s', (vIntr, guestIf, hostIf, outcome) => {
    const f = guest(vIntr, guestIf, (g) => (g.s.rflags = hostIf));
    expect(ask(f, 'external')).toBe(outcome);
  });

  it('an intercepted INIT or NMI exits and stays pending, an INIT that is not ends the guest', () => {
    const f = guest(0, 0, (g) => misc1(g, 'INIT'));
    expect([f.svm.pendingEvent(f.cpu, 'init', -1), f.v.u32(VMCB.EXITCODE)]).toEqual(['exit', 0x63]);
    const g = guest(0, 0);
    expect([g.svm.pendingEvent(g.cpu, 'init', -1), g.cpu.inGuest, g.cpu.addressSpaceTag]).toEqual(['deliver', false, 0]);
  });

  it('an intercepted physical interrupt exits', () => {
    const f = guest(V_INTR_MASKING, 0, (g) => misc1(g, 'INTR'));
    expect(ask(f, 'external')).toBe('exit');
    expect(f.v.u32(VMCB.EXITCODE)).toBe(0x60);
  });

  it.each([
    ['priority above V_TPR', V_IRQ | (3 << 16) | 2, IF, 0, 1],
    ['priority equal to V_TPR', V_IRQ | (2 << 16) | 2, IF, 0, 0],
    ['V_IGN_TPR', V_IRQ | V_IGN_TPR | 15, IF, 0, 1],
    ['IF zero', V_IRQ | V_IGN_TPR, 0, 0, 0],
    ['interrupt shadow', V_IRQ | V_IGN_TPR, IF, 1, 0],
    ['no V_IRQ', V_IGN_TPR, IF, 0, 0],
  ] as const)('virtual interrupt: %s', (_what, vIntr, rflags, shadow, taken) => {
    const f = guest(vIntr, rflags, (g) => g.v.setU32(VMCB.INTERRUPT_SHADOW, shadow));
    ask(f);
    expect([f.s.get32(S.pending), f.s.get32(S.pendingVector)]).toEqual(taken ? [1, 0x41] : [0, 0]);
    f.svm.tripleFault(f.cpu);
  });

  it('a taken virtual interrupt leaves V_IRQ clear in the VMCB, an intercepted one leaves it set', () => {
    const f = guest(V_IRQ | V_IGN_TPR, IF, (g) => misc1(g, 'HLT'));
    ask(f);
    f.svm.instruction(f.cpu, 'HLT');
    expect(f.v.u32(VMCB.V_INTR) & V_IRQ).toBe(0);
    const g = guest(V_IRQ | V_IGN_TPR, IF, (h) => misc1(h, 'VINTR'));
    expect(ask(g)).toBe('exit');
    expect([g.v.u32(VMCB.EXITCODE), g.v.u32(VMCB.V_INTR) & V_IRQ]).toEqual([0x64, V_IRQ]);
  });

  it('with V_INTR_MASKING the guest\'s CR8 is V_TPR, without it a write goes to both', () => {
    const f = guest(V_INTR_MASKING | 5, 0, (g) => misc1(g, 'HLT'));
    expect([f.svm.virtualTpr(f.cpu), f.s.get32(S.cr8)]).toEqual([true, 5]);
    f.s.set32(S.cr8, 9);
    f.svm.instruction(f.cpu, 'HLT');
    expect([f.v.u8(VMCB.V_INTR), f.s.get32(S.cr8)]).toEqual([9, 0]);
    const g = guest(5, 0, (h) => misc1(h, 'HLT'));
    expect([g.svm.virtualTpr(g.cpu), g.svm.crAccess(g.cpu, 8, 'write', 0, 3n)]).toEqual([false, false]);
    g.svm.instruction(g.cpu, 'HLT');
    expect(g.v.u8(VMCB.V_INTR)).toBe(3);
  });

  it('the interrupt shadow is loaded and saved', () => {
    const f = guest(0, IF, (g) => (misc1(g, 'HLT'), g.v.setU32(VMCB.INTERRUPT_SHADOW, 1)));
    expect(f.s.get32(S.interruptShadow)).toBe(1);
    f.svm.instruction(f.cpu, 'HLT');
    expect([f.v.u32(VMCB.INTERRUPT_SHADOW), f.s.get32(S.interruptShadow)]).toEqual([1, 0]);
  });
});
