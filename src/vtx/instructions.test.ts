import { Code } from 'iced-x86';
import { describe, expect, it } from 'vitest';
import nehalem from '../../profiles/nehalem-2008.json' with { type: 'json' };
import { insnFor } from '../cpu/insn.js';
import { S, gprAddress } from '../cpu/state.js';
import { ALL_FEATURES, Capabilities, FEATURES, parseVmxOptions } from './capabilities.js';
import { PROC, PROC2, REASON } from './controls.js';
import { FIELDS } from './fields.js';
import { AT, Fixture, VMCALL, VMLAUNCH, without } from './fixture.js';

const VMXOFF = [0x0f, 0x01, 0xc4];
/** Vector of the exception that host code raised: its IDT is empty, so the first exception ends in shutdown; the probe saw it. */
const exceptionOf = (t: Fixture): number | undefined => t.probed.find((r) => r[0] === 5)?.[3];

describe('VMXON and VMXOFF', () => {
  it('need IA32_FEATURE_CONTROL locked and enabled', () => {
    const t = new Fixture();
    t.x.featureControl = 1;
    t.vmxon();
    expect([exceptionOf(t), t.x.on]).toEqual([13, false]);
  });
  it('want an aligned region with our revision identifier', () => {
    const t = new Fixture();
    expect(t.vmxon(AT.vmxon + 8)).toBe(1);
    t.write64(AT.other, 0x1234);
    expect(t.vmxon(AT.other)).toBe(1);
    expect(t.vmxon()).toBe(0);
    expect([t.vmxon(), t.x.on]).toEqual([1, true]); // again: VMfail, without a current VMCS invalid
  });
  it('VMX operation fixes CR0.NE and CR4.VMXE', () => {
    const t = new Fixture();
    t.vmxon();
    t.host([0x0f, 0x20, 0xe0, 0x0f, 0xba, 0xf0, 13, 0x0f, 0x22, 0xe0]); // MOV RAX, CR4; BTR EAX, 13; MOV CR4, RAX
    expect(exceptionOf(t)).toBe(13);
  });
  it('outside VMX operation the instructions are #UD', () => {
    const t = new Fixture();
    t.host(VMLAUNCH);
    expect(exceptionOf(t)).toBe(6);
    const u = new Fixture();
    u.vmxon();
    expect(u.host(VMXOFF)).toBe('halt');
    u.host(VMCALL);
    expect(exceptionOf(u)).toBe(6);
  });
});

describe('VMCLEAR, VMPTRLD, VMPTRST', () => {
  it('fail with their error numbers', () => {
    const t = new Fixture().ready();
    const error = (): bigint => t.vmread(0x4400);
    expect([t.vmclear(AT.vmcs + 1), error()]).toEqual([2, 2n]);
    expect([t.vmclear(1n << 36n), error()]).toEqual([2, 2n]);
    expect([t.vmclear(AT.vmxon), error()]).toEqual([2, 3n]);
    expect([t.vmptrld(AT.vmcs + 1), error()]).toEqual([2, 9n]);
    expect([t.vmptrld(AT.vmxon), error()]).toEqual([2, 10n]);
    t.write64(AT.other, t.x.caps.revision + 1);
    expect([t.vmptrld(AT.other), error()]).toEqual([2, 11n]);
    t.write64(AT.other, BigInt(t.x.caps.revision) | 0x8000_0000n);
    expect([t.vmptrld(AT.other), error()]).toEqual([2, 11n]);
    t.host(VMCALL);
    expect(error()).toBe(1n);
    expect([t.vmxon(), error()]).toEqual([2, 15n]);
  });
  it('each VMCS keeps its own fields', () => {
    const t = new Fixture().ready();
    t.write64(AT.other, t.x.caps.revision);
    t.vmwrite(0x681e, 0x1111);
    t.vmptrld(AT.other);
    t.vmwrite(0x681e, 0x2222);
    t.vmptrld(AT.vmcs);
    expect(t.vmread(0x681e)).toBe(0x1111n);
    expect(t.onPointer([0x0f, 0xc7], 7, 0)).toBe(0); // VMPTRST
    expect(t.cpu.readPhys(AT.operands, 8)).toBe(BigInt(AT.vmcs));
    t.vmclear(AT.vmcs);
    t.onPointer([0x0f, 0xc7], 7, 0);
    expect(t.cpu.readPhys(AT.operands, 8)).toBe(0xffff_ffff_ffff_ffffn);
  });
});

describe('VMREAD and VMWRITE', () => {
  it.each(FIELDS.map((f) => [f.name, f] as const))('%s keeps as many bits as it has', (_name, f) => {
    const t = new Fixture().ready();
    expect(t.vmwrite(f.encoding, -1)).toBe(0);
    const bits = f.width === 'natural' ? 64 : f.width;
    expect(t.vmread(f.encoding)).toBe((1n << BigInt(bits)) - 1n);
    if (f.width === 64) {
      expect(t.vmwrite(f.encoding + 1, 0x1234_5678_9abcn)).toBe(0);
      expect([t.vmread(f.encoding), t.vmread(f.encoding + 1)]).toEqual([0x5678_9abc_ffff_ffffn, 0x5678_9abcn]);
    }
  });
  it('fail on fields that do not exist, that the processor lacks, and that are read-only', () => {
    const t = new Fixture(without('vpid', 'vmwrite-any-field')).ready();
    expect([t.vmwrite(0x0000, 1), t.get('VM_INSTRUCTION_ERROR')]).toEqual([2, 12n]);
    expect([t.vmwrite(0x4401, 1), t.get('VM_INSTRUCTION_ERROR')]).toEqual([2, 12n]);
    expect([t.vmwrite(0x1_0000_681e, 1), t.get('VM_INSTRUCTION_ERROR')]).toEqual([2, 12n]);
    expect([t.vmwrite(0x4402, 1), t.get('VM_INSTRUCTION_ERROR')]).toEqual([2, 13n]);
    t.vmread(0x7ffe);
    expect(t.status).toBe(2);
  });
  it('without a current VMCS are VMfailInvalid', () => {
    const t = new Fixture();
    t.vmxon();
    expect(t.vmwrite(0x681e, 1)).toBe(1);
  });
});

describe('INVEPT and INVVPID', () => {
  const run = (t: Fixture, opcode: number, type: number, low: bigint, high = 0n): number => {
    t.write64(AT.operands, low);
    t.write64(AT.operands + 8, high);
    t.cpu.s.set64(gprAddress(0), BigInt(type));
    t.host([0x66, 0x0f, 0x38, opcode, 0x04, 0x25, 0x00, 0x20, 0x01, 0x00]);
    return t.status;
  };
  it('check type and descriptor', () => {
    const t = new Fixture().ready();
    const invept = 0x80, invvpid = 0x81;
    expect([run(t, invept, 0, 0n), run(t, invept, 3, 0n), run(t, invept, 1, 0x1000n)]).toEqual([2, 2, 2]);
    expect([run(t, invept, 1, 0xb01en), run(t, invept, 2, 0n)]).toEqual([0, 0]);
    expect(t.get('VM_INSTRUCTION_ERROR')).toBe(28n);
    expect([run(t, invvpid, 4, 1n), run(t, invvpid, 1, 0n), run(t, invvpid, 1, 0x1_0001n), run(t, invvpid, 0, 1n, 1n << 47n)]).toEqual([2, 2, 2, 2]);
    expect([run(t, invvpid, 0, 1n, 0x1000n), run(t, invvpid, 1, 1n), run(t, invvpid, 2, 0n), run(t, invvpid, 3, 1n)]).toEqual([0, 0, 0, 0]);
  });
  it('are #UD on a processor without them', () => {
    const t = new Fixture(without('vpid')).ready();
    run(t, 0x81, 2, 0n);
    expect(exceptionOf(t)).toBe(6);
  });
});

describe('capabilities', () => {
  it('what is not offered cannot be set', () => {
    const c = new Capabilities({ features: [] });
    expect(c.proc.may1 & PROC.activateSecondaryControls).toBe(0);
    expect(new Capabilities({ features: ['secondary-controls', 'ept'] }).proc2.may1).toBe(PROC2.enableEpt);
    expect(() => new Capabilities({ features: ['unrestricted-guest'] })).toThrow('needs ept');
  });
  it('default1 bits are reported as ones', () => {
    const c = new Capabilities({ features: FEATURES });
    expect([c.pin.must1, c.proc.must1, c.exit.must1, c.entry.must1]).toEqual([0x16, 0x0400_6172, 0x3_6dfb, 0x11fb]);
    expect((c.basic >> 55n) & 1n).toBe(1n);
    expect(new Capabilities({ features: [] }).proc.must1).toBe(0x0401_e172);
  });
  it('nothing is offered whose instruction the machine lacks', () => {
    const offered = new Capabilities(ALL_FEATURES);
    expect([offered.has('rdrand-exiting'), insnFor(Code.Rdrand_r32) !== undefined]).toEqual([false, false]);
    expect([offered.has('invpcid'), insnFor(Code.Invpcid_r64_m128) !== undefined]).toEqual([true, true]);
  });
  it('a profile with an unknown feature gets one clear line', () => {
    expect(() => parseVmxOptions({ features: ['ept', 'warp'] }, 'x')).toThrow('profile x: unknown vmx feature "warp"');
  });
  it('the Nehalem profile names features that exist, without the later ones', () => {
    const c = new Capabilities(parseVmxOptions(nehalem.vmx, nehalem.name));
    expect([c.has('ept'), c.has('vpid'), c.has('unrestricted-guest'), c.misc & 0x20n]).toEqual([true, true, false, 0n]);
  });
  it('IA32_FEATURE_CONTROL locks itself', () => {
    const t = new Fixture(), msr = t.cpu.msrs.get(0x3a)!;
    expect([msr.write!(t.cpu, 2n), msr.write!(t.cpu, 5n), msr.write!(t.cpu, 5n), msr.read(t.cpu)]).toEqual([false, true, false, 5n]);
  });
});

describe('instructions in a guest', () => {
  const info = (t: Fixture): [reason: number, qualification: bigint, information: number] => [
    Number(t.get('EXIT_REASON')), t.get('EXIT_QUALIFICATION'), Number(t.get('VM_EXIT_INSTRUCTION_INFORMATION')),
  ];
  it('VMPTRLD [RBX + 4 * RSI + 0x10] describes its operand', () => {
    const t = new Fixture().ready();
    t.launch([0x0f, 0xc7, 0x74, 0xb3, 0x10]);
    expect(info(t)).toEqual([REASON.VMPTRLD, 0x10n, 2 | (2 << 7) | (3 << 15) | (6 << 18) | (3 << 23)]);
  });
  it('VMREAD with register operands, VMWRITE from memory', () => {
    const t = new Fixture().ready();
    t.launch([0x0f, 0x78, 0xd1]); // VMREAD RCX, RDX: the field is in RDX
    expect([info(t)[0], info(t)[2] & 0xf000_0478]).toEqual([REASON.VMREAD, (2 << 28) | (1 << 10) | (1 << 3)]);
    t.set({ GUEST_RIP: AT.guest });
    t.write(AT.guest, [0x0f, 0x79, 0x15, 0x20, 0x00, 0x00, 0x00]); // VMWRITE RDX, [RIP + 0x20]
    t.host([0x0f, 0x01, 0xc3]);
    expect(info(t)).toEqual([REASON.VMWRITE, BigInt(AT.guest + 7 + 0x20), ((2 << 28) | (2 << 7) | (3 << 15) | (1 << 22) | (1 << 27)) >>> 0]);
  });
  it('SGDT and SLDT by "descriptor-table exiting"', () => {
    const t = new Fixture().ready();
    t.set({
      PRIMARY_PROCESSOR_BASED_CONTROLS: t.get('PRIMARY_PROCESSOR_BASED_CONTROLS') | BigInt(PROC.activateSecondaryControls >>> 0),
      SECONDARY_PROCESSOR_BASED_CONTROLS: PROC2.descriptorTableExiting,
    });
    t.launch([0x0f, 0x01, 0x5c, 0x24, 0x08]); // LIDT [RSP + 8]
    expect(info(t)).toEqual([REASON.GDTR_IDTR_ACCESS, 8n, (3 << 28) | (2 << 7) | (2 << 15) | (1 << 22) | (4 << 23)]);
    t.set({ GUEST_RIP: AT.guest });
    t.write(AT.guest, [0x0f, 0x00, 0xc1]); // SLDT ECX
    t.host([0x0f, 0x01, 0xc3]);
    expect([info(t)[0], info(t)[2] & 0x3000_0478]).toEqual([REASON.LDTR_TR_ACCESS, (1 << 10) | (1 << 3)]);
  });
  it('MOV CR: masks, shadows, targets', () => {
    const t = new Fixture().ready().set({ CR0_GUEST_HOST_MASK: 0xe000_0028, CR0_READ_SHADOW: 0x8000_0008, CR4_GUEST_HOST_MASK: 0x2000, CR3_TARGET_COUNT: 1, CR3_TARGET_VALUE_0: AT.pageTables });
    t.set({ PRIMARY_PROCESSOR_BASED_CONTROLS: t.get('PRIMARY_PROCESSOR_BASED_CONTROLS') | BigInt(PROC.cr3LoadExiting) });
    // MOV RAX, CR0; MOV RBX, CR4; MOV RCX, CR3; MOV CR3, RCX (a target); CLTS exits
    t.launch([0x0f, 0x20, 0xc0, 0x0f, 0x20, 0xe3, 0x0f, 0x20, 0xd9, 0x0f, 0x22, 0xd9, 0x0f, 0x06]);
    expect(info(t).slice(0, 2)).toEqual([REASON.CR_ACCESS, 2n << 4n]);
    expect([t.cpu.s.gpr(0), t.cpu.s.gpr(3)]).toEqual([0x8000_0019n, 0x20n]);
    t.set({ GUEST_RIP: AT.guest });
    t.write(AT.guest, [0x0f, 0x22, 0xda]); // MOV CR3, RDX
    t.cpu.s.set64(gprAddress(2), 0x9000n);
    t.host([0x0f, 0x01, 0xc3]);
    expect(info(t).slice(0, 2)).toEqual([REASON.CR_ACCESS, 3n | (2n << 8n)]);
  });
  it('I/O by bitmap, with the string forms described', () => {
    const t = new Fixture().ready().set({ IO_BITMAP_A: AT.ioA, IO_BITMAP_B: AT.ioB });
    t.set({ PRIMARY_PROCESSOR_BASED_CONTROLS: t.get('PRIMARY_PROCESSOR_BASED_CONTROLS') | BigInt(PROC.useIoBitmaps) });
    t.write(AT.ioA + (0x3f9 >> 3), [1 << (0x3f9 & 7)]);
    t.launch([0xb0, 0x41, 0xe6, 0x80, 0x66, 0xba, 0xf8, 0x03, 0xee, 0x66, 0xef]); // OUT 0x80, AL; MOV DX, 0x3f8; OUT DX, AL; OUT DX, AX
    expect(t.io).toEqual(['out 128 1 65', 'out 1016 1 65']);
    expect(info(t).slice(0, 2)).toEqual([REASON.IO_INSTRUCTION, (0x3f8n << 16n) | 1n]);
    t.set({ GUEST_RIP: AT.guest });
    t.write(AT.guest, [0x66, 0xba, 0xf9, 0x03, 0xbe, 0x00, 0x20, 0x01, 0x00, 0xb9, 4, 0, 0, 0, 0xf3, 0x6e]); // MOV DX; MOV ESI, 0x12000; MOV ECX, 4; REP OUTSB
    t.host([0x0f, 0x01, 0xc3]);
    expect(info(t)).toEqual([REASON.IO_INSTRUCTION, (0x3f9n << 16n) | (1n << 4n) | (1n << 5n), (2 << 7) | (3 << 15)]);
    expect(t.get('GUEST_LINEAR_ADDRESS')).toBe(0x12000n);
  });
  it('MSRs by bitmap', () => {
    const t = new Fixture().ready().set({ MSR_BITMAPS: AT.msrBitmap });
    t.set({ PRIMARY_PROCESSOR_BASED_CONTROLS: t.get('PRIMARY_PROCESSOR_BASED_CONTROLS') | BigInt(PROC.useMsrBitmaps) });
    t.write(AT.msrBitmap + 3072 + (0x81 >> 3), [1 << 1]); // writes of C0000081
    t.launch([0xb9, 0x81, 0x00, 0x00, 0xc0, 0x0f, 0x32, 0x0f, 0x30]); // MOV ECX; RDMSR; WRMSR
    expect([info(t)[0], t.get('GUEST_RIP')]).toEqual([REASON.WRMSR, BigInt(AT.guest + 7)]);
  });
  it('RDTSC with an offset; RDTSCP needs its control', () => {
    const t = new Fixture().ready().set({ TSC_OFFSET: 1n << 40n });
    t.set({ PRIMARY_PROCESSOR_BASED_CONTROLS: t.get('PRIMARY_PROCESSOR_BASED_CONTROLS') | BigInt(PROC.useTscOffsetting), EXCEPTION_BITMAP: 1 << 6 });
    t.launch([0x0f, 0x31, 0x0f, 0x01, 0xf9]);
    expect([t.cpu.s.gpr32(2) >= 0x100, info(t)[0], t.get('VM_EXIT_INTERRUPTION_INFORMATION')]).toEqual([true, 0, 0x8000_0306n]);
  });
  it('privilege comes first: HLT at level 3 is #GP, not an exit', () => {
    const t = new Fixture().ready().set({
      EXCEPTION_BITMAP: 1 << 13, GUEST_CS_SELECTOR: 0x1b, GUEST_SS_SELECTOR: 0x13, GUEST_CS_ACCESS_RIGHTS: 0xa0fb, GUEST_SS_ACCESS_RIGHTS: 0xc0f3,
    });
    for (const p of [0x1000, 0x2000, 0x3000]) t.write64(p, t.cpu.readPhys(p, 8) | 4n);
    t.launch([0xf4]);
    expect([t.get('EXIT_REASON'), t.get('VM_EXIT_INTERRUPTION_INFORMATION')]).toEqual([0n, 0x8000_0b0dn]);
    expect(t.cpu.s.get32(S.guest)).toBe(0);
  });
});
