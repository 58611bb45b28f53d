import { beforeAll, describe, expect, it } from 'vitest';
import { Engine } from '../cpu/engine/engine.js';
import '../cpu/isa/index.js';
import type { PlatformPort } from '../cpu/ports.js';
import { MsrTable } from '../cpu/registers.js';
import { CR0_ET, CR0_PE, CR0_PG, CR4_PAE, CS, DS, EFER_LMA, EFER_LME, EFER_NXE, EFER_SCE, EFER_SVME, ES, GS, IF, RAX, RBX, RSP, S, SS } from '../cpu/state.js';
import { setSegment } from '../cpu/system/segments.js';
import { Vcpu } from '../cpu/vcpu.js';
import { LinearMemory } from '../mem/linear-memory.js';
import { PhysicalMemory } from '../mem/physical.js';
import { VMCB, VMCB_SEG, V_IGN_TPR, V_IRQ, VmcbView } from './fields.js';
import { ALL_CAPABILITIES, createSvm, type Svm } from './index.js';
import { INTERCEPTS, MISC1, type InterceptName } from './intercepts.js';

/*
 * A 64-bit host with 2-MByte identity pages and a 32-bit guest, both real code on the engine.
 *
 *   0x1000 host code   0x3000 VMCB   0x4000 host save area   0x5000 host PML4, PDPT, PD   0x8000 host IDT   0x9000 host stack, GDT
 *   0x10000 IOPM       0x14000 MSRPM 0x20000 guest code      0x21000 guest IDT            0x23000 guest stack
 *   0x30000 nested tables
 */
const HOST = 0x1000, PML4 = 0x5000, HOST_IDT = 0x8000, HOST_GDT = 0x9c00, GUEST = 0x2_0000, GUEST_IDT = 0x2_1000, HANDLER = 0x2_0800, GUEST_STACK = 0x2_3000, NPT = 0x3_0000;
const VMCB_PA = 0x3000;

let memory: LinearMemory, phys: PhysicalMemory, engine: Engine;
beforeAll(() => {
  memory = new LinearMemory(0x20_0000);
  phys = new PhysicalMemory(memory);
  engine = new Engine(memory, phys);
});

interface World {
  readonly vcpu: Vcpu;
  readonly svm: Svm;
  readonly v: VmcbView;
  /** Drives the interrupt line of the processor; acknowledged once. */
  interrupt: number | undefined;
  run(): string;
}

const bytes = (text: string): Uint8Array => Uint8Array.from(text.split(/\s+/).filter((t) => t !== '').map((t) => parseInt(t, 16)));
const code = (at: number, text: string): void => phys.write(at, bytes(text));
const u32 = (at: number, v: number): void => phys.write(at, Uint8Array.of(v, v >>> 8, v >>> 16, v >>> 24));
const u64 = (at: number, low: number, high = 0): void => (u32(at, low), u32(at + 4, high));

/** 2-MByte identity map of the first GByte below `at`. */
function identity(at: number, flags: number): void {
  u64(at, at + 0x1000 + flags);
  u64(at + 0x1000, at + 0x2000 + flags);
  for (let i = 0; i < 512; i++) u64(at + 0x2000 + 8 * i, (i << 21) | 0x80 | flags);
}

/** A 32-bit interrupt gate of the guest. */
const gate = (vector: number, handler: number, dpl = 0): void =>
  u64(GUEST_IDT + 8 * vector, (8 << 16) | (handler & 0xffff), (handler & 0xffff_0000) | 0x8e00 | (dpl << 13));

function world(hostCode = '0f 01 d8 f4' /* vmrun; hlt */, capabilities = ALL_CAPABILITIES): World {
  phys.write(0, new Uint8Array(0x6_0000));
  const w = { interrupt: undefined } as { interrupt: number | undefined };
  const platform: PlatformPort = {
    ioRead: () => 0xff, ioWrite: () => undefined, mmioRead: () => 0xffff_ffff, mmioWrite: () => undefined, readTpr: () => 0, writeTpr: () => undefined,
    interruptPending: () => w.interrupt !== undefined,
    acknowledgeInterrupt: () => {
      const v = w.interrupt!;
      w.interrupt = undefined;
      return v;
    },
  };
  const svm = createSvm({ memory, capabilities });
  const vcpu = new Vcpu({
    id: 0, engine, platform, virt: svm, timing: null, probe: { active: false, emit: () => undefined }, msrs: new MsrTable(),
    cpuid: { vendor: 'AuthenticAMD', leaf: () => ({ eax: 0, ebx: 0, ecx: 0, edx: 0 }) }, physicalAddressBits: 40, gigabytePages: false, bit8Reserved: false,
  });
  engine.current = undefined;
  vcpu.cr4Allowed = 0x7ff;
  vcpu.eferAllowed = EFER_SCE | EFER_LME | EFER_NXE;
  svm.attach(vcpu);
  vcpu.reset(true);
  const s = vcpu.s;
  s.set32(S.guest, 0);
  s.set32(S.cr0, (CR0_PG | CR0_PE | CR0_ET) >>> 0);
  s.set32(S.cr4, CR4_PAE);
  s.set64(S.cr3, BigInt(PML4));
  s.set32(S.efer, EFER_LMA | EFER_LME | EFER_NXE | EFER_SVME);
  setSegment(s, CS, 8, 0n, 0xffff_ffff, 0xa09b);
  for (const i of [ES, SS, DS]) setSegment(s, i, 16, 0n, 0xffff_ffff, 0xc093);
  u64(HOST_GDT + 8, 0x0000_ffff, 0x00af_9b00);
  u64(HOST_GDT + 16, 0x0000_ffff, 0x00cf_9300);
  s.set64(S.gdtrBase, BigInt(HOST_GDT));
  s.set32(S.gdtrLimit, 0x17);
  s.set64(S.idtrBase, BigInt(HOST_IDT));
  s.set32(S.idtrLimit, 0xfff);
  s.rip = BigInt(HOST);
  s.rflags = 2;
  s.setGpr(RSP, 0x9800n);
  s.setGpr(RAX, BigInt(VMCB_PA));
  identity(PML4, 3);
  code(HOST, hostCode);
  svm.hsavePa = 0x4000;
  vcpu.modeChanged();
  vcpu.flushTlb('all');
  const v = new VmcbView(memory, phys.address(VMCB_PA));
  guestIn(v);
  let now = 0;
  return Object.assign(w, {
    vcpu, svm, v,
    run(): string {
      const end = vcpu.run(now, 1000);
      now += vcpu.elapsed;
      return end;
    },
  });
}

function guestIn(v: VmcbView): void {
  v.setU32(VMCB.INTERCEPT_MISC2, 0b11); // VMRUN, VMMCALL
  v.setU32(VMCB.GUEST_ASID, 1);
  v.setU32(VMCB.IOPM_BASE_PA, 0x1_0000);
  v.setU32(VMCB.MSRPM_BASE_PA, 0x1_4000);
  v.setU32(VMCB.EFER, EFER_SVME);
  v.setU32(VMCB.CR0, CR0_PE | CR0_ET);
  v.setU32(VMCB.RFLAGS, 2);
  v.setU32(VMCB.RIP, GUEST);
  v.setU32(VMCB.RSP, GUEST_STACK);
  v.setU64(VMCB.G_PAT, 0x0007_0406_0007_0406n);
  v.setU32(VMCB.IDTR + VMCB_SEG.base, GUEST_IDT);
  v.setU32(VMCB.IDTR + VMCB_SEG.limit, 0x7ff);
  v.setU32(VMCB.GDTR + VMCB_SEG.base, 0x2_2000);
  v.setU32(VMCB.GDTR + VMCB_SEG.limit, 0x17);
  u64(0x2_2008, 0x0000_ffff, 0x00cf_9b00);
  u64(0x2_2010, 0x0000_ffff, 0x00cf_9300);
  for (const [offset, selector, attrib] of [[VMCB.CS, 8, 0xc9b], [VMCB.DS, 16, 0xc93], [VMCB.ES, 16, 0xc93], [VMCB.SS, 16, 0xc93]] as const) {
    v.setU16(offset + VMCB_SEG.selector, selector);
    v.setU16(offset + VMCB_SEG.attrib, attrib);
    v.setU32(offset + VMCB_SEG.limit, 0xffff_ffff);
  }
}

const intercept = (w: World, ...names: InterceptName[]): void => {
  for (const name of names) {
    const [word, bit] = INTERCEPTS[name];
    const offset = word === MISC1 ? VMCB.INTERCEPT_MISC1 : VMCB.INTERCEPT_MISC2;
    w.v.setU32(offset, w.v.u32(offset) | (1 << bit));
  }
};
/** Runs until the host halts; the exit code. */
const exitCode = (w: World): number => {
  expect(w.run()).toBe('halt');
  expect(w.vcpu.inGuest).toBe(false);
  return w.v.u32(VMCB.EXITCODE);
};

describe('guest code', () => {
  it('an intercepted CPUID exits at the instruction, with NRIP behind it', () => {
    const w = world();
    intercept(w, 'CPUID');
    code(GUEST, 'b8 34 12 00 00  0f a2'); // mov eax, 0x1234; cpuid
    expect(exitCode(w)).toBe(0x72);
    expect([w.v.u64(VMCB.RIP), w.v.u64(VMCB.NRIP), w.v.u64(VMCB.RAX)]).toEqual([BigInt(GUEST + 5), BigInt(GUEST + 7), 0x1234n]);
    expect(w.vcpu.s.rip).toBe(BigInt(HOST + 4));
  });

  it('MOV to CR3, IN, RDMSR and a page fault exit with their codes and information', () => {
    const w = world();
    w.v.setU16(VMCB.INTERCEPT_CR_WRITE, 1 << 3);
    code(GUEST, '0f 22 d8'); // mov cr3, eax
    expect(exitCode(w)).toBe(0x13);

    const io = world();
    intercept(io, 'IOIO');
    phys.write(0x1_0000 + (0x3f8 >> 3), Uint8Array.of(1));
    code(GUEST, 'ba f8 03 00 00  ec'); // mov edx, 0x3f8; in al, dx
    expect(exitCode(io)).toBe(0x7b);
    expect([io.v.u32(VMCB.EXITINFO1), io.v.u32(VMCB.EXITINFO2)]).toEqual([(0x3f8 << 16) | (1 << 8) | (1 << 4) | 1, GUEST + 6]);

    const msr = world();
    intercept(msr, 'MSR');
    phys.write(0x1_4800 + 0x20, Uint8Array.of(1)); // C000_0080h, read
    code(GUEST, 'b9 80 00 00 c0  0f 32'); // mov ecx, 0xc0000080; rdmsr
    expect(exitCode(msr)).toBe(0x7c);
    expect(msr.v.u32(VMCB.EXITINFO1)).toBe(0);

    const pf = world();
    pf.v.setU32(VMCB.CR0, (CR0_PG | CR0_PE | CR0_ET) >>> 0);
    pf.v.setU32(VMCB.CR4, 0x10); // PSE
    pf.v.setU32(VMCB.CR3, 0x2_8000);
    pf.v.setU32(VMCB.INTERCEPT_EXCEPTIONS, 1 << 14);
    u32(0x2_8000, 0x83);
    code(GUEST, 'c6 05 10 00 40 00 01'); // mov byte [0x400010], 1
    expect(exitCode(pf)).toBe(0x4e);
    expect([pf.v.u32(VMCB.EXITINFO1), pf.v.u32(VMCB.EXITINFO2), pf.v.u32(VMCB.RIP), pf.v.u32(VMCB.CR2)]).toEqual([2, 0x40_0010, GUEST, 0]);
  });

  it.each<[string, (w: World) => void, string, number]>([
    ['MOV CR0 with a forbidden value: #GP, not the intercept', (w) => w.v.setU16(VMCB.INTERCEPT_CR_WRITE, 1), 'b8 10 00 00 80  0f 22 c0', 0x4d],
    ['MOV CR0 with an allowed value: the intercept', (w) => w.v.setU16(VMCB.INTERCEPT_CR_WRITE, 1), 'b8 11 00 00 00  0f 22 c0', 0x10],
    ['MOV CR4 with a reserved bit: #GP', (w) => w.v.setU16(VMCB.INTERCEPT_CR_WRITE, 1 << 4), 'b8 00 00 00 80  0f 22 e0', 0x4d],
    ['XSETBV without OSXSAVE: the intercept, not #UD', (w) => intercept(w, 'XSETBV'), '0f 01 d1', 0x8d],
    ['INSB to a null ES: the intercept, not #GP', (w) => {
      intercept(w, 'IOIO');
      phys.write(0x1_0000, Uint8Array.of(0xff));
    }, '31 c0 8e c0 ba 01 00 00 00  6c', 0x7b],
    ['INT n in virtual-8086 mode with IOPL 0: the intercept, not #GP', (w) => {
      intercept(w, 'SWINT');
      w.v.setU32(VMCB.RFLAGS, 0x2_0002);
      w.v.setU8(VMCB.CPL, 3);
      for (const segment of [VMCB.CS, VMCB.DS, VMCB.ES, VMCB.SS]) {
        w.v.setU16(segment + VMCB_SEG.selector, GUEST >> 4);
        w.v.setU16(segment + VMCB_SEG.attrib, 0xf3);
        w.v.setU32(segment + VMCB_SEG.base, GUEST);
        w.v.setU32(segment + VMCB_SEG.limit, 0xffff);
      }
      w.v.setU32(VMCB.RIP, 0);
    }, 'cd 40', 0x75],
  ])('order of checks: %s', (_what, prepare, text, exit) => {
    const w = world();
    w.v.setU32(VMCB.INTERCEPT_EXCEPTIONS, (1 << 13) | (1 << 6));
    prepare(w);
    code(GUEST, text);
    expect(exitCode(w)).toBe(exit);
  });

  it('a null selector leaves the base of GS as it is', () => {
    const w = world();
    setSegment(w.vcpu.s, GS, 16, 0x1234_5000n, 0xffff_ffff, 0xc093); // VMRUN does not load GS
    code(GUEST, '31 c0 8e e8  0f 01 d9'); // xor eax, eax; mov gs, eax; vmmcall
    expect(exitCode(w)).toBe(0x81);
    expect([w.vcpu.s.selector(GS), w.vcpu.s.segBase(GS)]).toEqual([0, 0x1234_5000n]);
  });

  it('an injected interrupt runs the guest\'s handler before its first instruction', () => {
    const w = world();
    w.v.setU64(VMCB.EVENTINJ, 0x8000_0030n);
    gate(0x30, HANDLER);
    code(GUEST, '0f 0b'); // ud2
    code(HANDLER, 'bb 55 00 00 00  0f 01 d9'); // mov ebx, 0x55; vmmcall
    expect(exitCode(w)).toBe(0x81);
    expect([w.vcpu.s.gpr32(RBX), w.v.u32(VMCB.RIP), w.v.u32(VMCB.RSP)]).toEqual([0x55, HANDLER + 5, GUEST_STACK - 12]);
  });

  it('a fault during delivery of an injected exception exits with EXITINTINFO', () => {
    const w = world();
    w.v.setU64(VMCB.EVENTINJ, 0x7_8000_0b0dn);
    w.v.setU32(VMCB.INTERCEPT_EXCEPTIONS, 1 << 11); // #NP
    u64(GUEST_IDT + 8 * 13, 8 << 16, 0x0e00); // gate not present
    expect(exitCode(w)).toBe(0x4b);
    expect(w.v.u64(VMCB.EXITINTINFO)).toBe(0x7_8000_0b0dn);
  });

  it('a virtual interrupt waits for STI and its shadow', () => {
    const w = world();
    w.v.setU32(VMCB.V_INTR, V_IRQ | V_IGN_TPR);
    w.v.setU8(VMCB.V_INTR_VECTOR, 0x41);
    gate(0x41, HANDLER);
    code(GUEST, '90 fb 90 90'); // nop; sti; nop; nop
    code(HANDLER, '8b 04 24  0f 01 d9'); // mov eax, [esp]; vmmcall
    expect(exitCode(w)).toBe(0x81);
    expect([w.v.u32(VMCB.RAX), w.v.u32(VMCB.V_INTR) & V_IRQ]).toEqual([GUEST + 3, 0]);
  });

  it('the VINTR intercept is taken when the window opens', () => {
    const w = world();
    intercept(w, 'VINTR');
    w.v.setU32(VMCB.V_INTR, V_IRQ | V_IGN_TPR);
    code(GUEST, 'fb 90 90'); // sti; nop; nop
    expect(exitCode(w)).toBe(0x64);
    expect([w.v.u32(VMCB.RIP), w.v.u32(VMCB.V_INTR) & V_IRQ]).toEqual([GUEST + 2, V_IRQ]);
  });

  it('an intercepted interrupt waits for the host\'s STGI', () => {
    const w = world('0f 01 d8  90  0f 01 dc  fb  90  f4'); // vmrun; nop; stgi; sti; nop; hlt
    intercept(w, 'INTR');
    w.v.setU32(VMCB.RFLAGS, IF | 2);
    u64(HOST_IDT + 16 * 0x77, (8 << 16) | 0x1800, 0x8e00);
    code(0x1800, '48 8b 1c 24  f4'); // mov rbx, [rsp]; hlt
    code(GUEST, '90 eb fd'); // nop; jmp back
    w.interrupt = 0x77;
    expect(w.run()).toBe('halt');
    expect(w.v.u32(VMCB.EXITCODE)).toBe(0x60);
    expect(w.vcpu.s.gpr(RBX)).toBe(BigInt(HOST + 9));
  });

  it('a triple fault exits when shutdown is intercepted', () => {
    const w = world();
    intercept(w, 'SHUTDOWN');
    w.v.setU32(VMCB.IDTR + VMCB_SEG.limit, 0);
    code(GUEST, '0f 0b'); // ud2
    expect(exitCode(w)).toBe(0x7f);
  });

  it('an intercepted exception while the guest single-steps does not trap in the host', () => {
    const w = world();
    intercept(w, 'CPUID');
    w.v.setU32(VMCB.RFLAGS, 0x102);
    code(GUEST, '0f a2'); // cpuid
    expect(exitCode(w)).toBe(0x72);
    expect(w.vcpu.s.rip).toBe(BigInt(HOST + 4));
  });

  it('nested paging maps the guest elsewhere, and a missing page exits with NPF', () => {
    const w = world();
    identity(NPT, 7);
    // One 4-KByte table for the first 2 MBytes: guest-physical 20000h is 28000h, everything else itself, 50000h missing.
    u64(NPT + 0x2000, NPT + 0x3007);
    for (let i = 0; i < 512; i++) u64(NPT + 0x3000 + 8 * i, (i << 12) | 7);
    u64(NPT + 0x3000 + 8 * 0x20, 0x2_8007);
    u64(NPT + 0x3000 + 8 * 0x50, 0);
    w.v.setU32(VMCB.NP_ENABLE, 1);
    w.v.setU32(VMCB.N_CR3, NPT);
    code(0x2_8000, 'bb 66 00 00 00  a1 10 00 05 00'); // mov ebx, 0x66; mov eax, [0x50010]
    expect(exitCode(w)).toBe(0x400);
    expect(w.vcpu.s.gpr32(RBX)).toBe(0x66);
    expect([w.v.u64(VMCB.EXITINFO1), w.v.u64(VMCB.EXITINFO2), w.v.u32(VMCB.RIP)]).toEqual([0x1_0000_0004n, 0x5_0010n, GUEST + 5]);
  });

  it('runs again after each exit: a counting guest', () => {
    // again: vmrun; mov dword [VMCB.RIP], GUEST; dec ecx; jnz again; hlt
    const w = world('0f 01 d8  c7 04 25 78 35 00 00 00 00 02 00  ff c9  75 ee  f4');
    code(GUEST, '43  0f 01 d9'); // inc ebx; vmmcall
    w.vcpu.s.setGpr(1, 5n);
    expect(exitCode(w)).toBe(0x81);
    expect([w.vcpu.s.gpr32(RBX), w.svm.entries, w.svm.exitCounts().get('VMMCALL')]).toEqual([5, 5, 5]);
  });
});
