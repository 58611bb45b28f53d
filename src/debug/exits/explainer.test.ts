/**
 * The explainer on processors alone (src/vtx/fixture.ts, src/svm/fixture.ts): exits and refused entries that the comparison's hypervisor
 * never has, with facts that the test put into memory itself.
 */
import { describe, expect, it } from 'vitest';
import type { Cpu } from '../../cpu/cpu.js';
import { S } from '../../cpu/state.js';
import type { Machine } from '../../machine/machine.js';
import { fixture as svmFixture, IOPM_PA, MSRPM_PA, VMCB_PA } from '../../svm/fixture.js';
import { VMCB } from '../../svm/fields.js';
import { PIN, PROC } from '../../vtx/controls.js';
import { AT, Fixture, word } from '../../vtx/fixture.js';
import type { ExitView } from '../api.js';
import { ExitExplainer } from './explainer.js';
import type { LogOptions } from './log.js';

type Listener = (kind: number, cycle: number, vcpu: number, a: number, b: number, c: number, d: number) => void;

/** An explainer on a processor without a machine around it; each event has a position of its own. */
function listenTo(cpu: Cpu, port: object, extension: 'vmx' | 'svm', pending: () => number = () => -1, limits: LogOptions = {}): ExitExplainer {
  const listeners: { kinds: readonly number[]; listener: Listener }[] = [];
  let heard = 0;
  Object.assign(cpu.probe, {
    active: true,
    emit: (...r: Parameters<Listener>) => {
      for (const l of listeners) if (l.kinds.includes(r[0])) l.listener(...r);
      heard++;
    },
  });
  const machine = {
    extension, memory: cpu.m, phys: cpu.phys, current: 0, cycles: 0, processors: [{ vcpu: cpu, extension: { port } }], platform: { pendingVector: pending },
    watchpoints: { listen: () => () => undefined }, probe: { subscribe: (listener: Listener, kinds: readonly number[]) => (listeners.push({ kinds, listener }), () => undefined) },
    get position() {
      return { instructions: heard, events: 0 };
    },
  };
  const x = new ExitExplainer({ ...limits, place: (rip) => ({ file: `0x${rip.toString(16)}`, line: 1 }) });
  x.attach(machine as unknown as Machine);
  return x;
}

describe('VT-x', () => {
  const ready = (base?: Parameters<Fixture['ready']>[0]): { t: Fixture; x: ExitExplainer } => {
    const t = new Fixture().ready(base);
    return { t, x: listenTo(t.cpu, t.x, 'vmx', () => t.interrupt) };
  };
  const proc = (t: Fixture, bits: number): number => (t.x.caps.proc.must1 | bits) >>> 0;
  const last = (x: ExitExplainer): ExitView => x.last()!;

  it('OUT by a bit of I/O bitmap A', () => {
    const { t, x } = ready();
    t.set({ PRIMARY_PROCESSOR_BASED_CONTROLS: proc(t, PROC.useIoBitmaps), IO_BITMAP_A: AT.ioA, IO_BITMAP_B: AT.ioB });
    t.write(AT.ioA + 0x3e, [0x80]);
    t.launch([0x66, 0xba, 0xf7, 0x01, 0xb0, 0x20, 0xee]); // mov dx, 0x1f7; mov al, 0x20; out dx, al
    expect(last(x).sentence).toBe('OUT 0x1F7 (AL = 0x20) in ring 0 exited because bit 7 of byte 0x3E of I/O bitmap A is set.');
    expect(last(x).details).toContainEqual({ name: 'instruction', value: 'OUT DX, AL' });
  });
  it('a wide access whose last port lies in I/O bitmap B', () => {
    const { t, x } = ready();
    t.set({ PRIMARY_PROCESSOR_BASED_CONTROLS: proc(t, PROC.useIoBitmaps), IO_BITMAP_A: AT.ioA, IO_BITMAP_B: AT.ioB });
    t.write(AT.ioB, [0x01]);
    t.launch([0x66, 0xba, 0xfe, 0x7f, 0xed]); // mov dx, 0x7ffe; in eax, dx
    expect(last(x).sentence).toBe('IN 0x7FFE (4 bytes) in ring 0 exited because bit 0 of byte 0x0 of I/O bitmap B (port 0x8000) is set.');
  });
  it('RDMSR by a bit of the MSR bitmaps', () => {
    const { t, x } = ready();
    t.set({ PRIMARY_PROCESSOR_BASED_CONTROLS: proc(t, PROC.useMsrBitmaps), MSR_BITMAPS: AT.msrBitmap });
    t.write(AT.msrBitmap + (0x277 >> 3), [1 << (0x277 & 7)]);
    t.launch([0xb9, ...word(0x277), 0x0f, 0x32]);
    expect(last(x).sentence).toBe('RDMSR of 0x277 (IA32_PAT) in ring 0 exited because bit 7 of byte 0x4E of the MSR bitmaps (read bitmap for low MSRs) is set.');
  });
  it('says which VMWRITE set the bit, not which wrote the field last', () => {
    const { t, x } = ready();
    t.vmwrite(0x4002, proc(t, PROC.hltExiting));
    const setter = AT.host;
    t.write(0x1_8000, [0]); // other code may lie anywhere
    t.vmwrite(0x4002, proc(t, PROC.hltExiting | PROC.rdtscExiting));
    t.launch([0xf4]);
    expect(last(x).sentence).toBe(`HLT in ring 0 exited because "HLT exiting" (bit 7 of the primary processor-based VM-execution controls) is 1; the hypervisor asked for it in 0x${setter.toString(16)}:1.`);
  });
  it('an exception, with the instruction and the bit of the bitmap', () => {
    const { t, x } = ready();
    t.set({ EXCEPTION_BITMAP: 1 << 6 });
    t.launch([0x0f, 0x0b]);
    expect(last(x).sentence).toBe('#UD (invalid opcode) by UD2 in ring 0 exited because bit 6 (#UD) of the exception bitmap is 1.');
  });
  it('an external interrupt that stays pending, with its vector', () => {
    const { t, x } = ready();
    t.set({ PIN_BASED_CONTROLS: (t.x.caps.pin.must1 | PIN.externalInterruptExiting) >>> 0 });
    t.interrupt = 0x31;
    t.launch([0x90]);
    expect(last(x).sentence).toBe('External interrupt 0x31 before NOP in ring 0 exited because "External-interrupt exiting" (bit 0 of the pin-based VM-execution controls) is 1.');
  });
  it('an EPT misconfiguration, with the entry as it lies in memory', () => {
    const { t, x } = ready('real');
    t.write64(AT.ept + 0x3000 + 8 * 0x30, 0x3_0032); // the page at 0x30000: written but not read
    t.launch([0x66, 0xb8, ...word(0x3000), 0x8e, 0xd8, 0xa0, 0x00, 0x00]); // mov eax, 0x3000; mov ds, ax; mov al, [0]
    expect(last(x).sentence).toBe(`An access at guest-physical 0x30000 by MOV AL, [0] in real mode exited because the EPT PTE at 0x${(AT.ept + 0x3180).toString(16).toUpperCase()} holds 0x30032, which allows writing but not reading.`);
  });
  it('an EPT violation, with the entry that does not allow it, though those below would', () => {
    const { t, x } = ready('real');
    t.write64(AT.ept + 0x2000, AT.ept + 0x3005); // the page directory's entry: read and execute
    t.launch([0x66, 0xb8, ...word(0x3000), 0x8e, 0xd8, 0xa2, 0x00, 0x00]); // mov eax, 0x3000; mov ds, ax; mov [0], al
    expect(last(x).sentence).toBe(
      `A write at guest-physical 0x30000 (linear 0x30000) by MOV [0], AL in real mode exited because the EPT entries for the address allow reading and execution only: the EPT PDE at 0x${(AT.ept + 0x2000).toString(16).toUpperCase()} holds 0x${(AT.ept + 0x3005).toString(16).toUpperCase()}.`,
    );
  });
  it('MOV to CR0 in a guest whose host owns TS', () => {
    const { t, x } = ready();
    t.set({ CR0_GUEST_HOST_MASK: 8, CR0_READ_SHADOW: 0 });
    t.launch([0xb8, ...word(0x8000_0039), 0x0f, 0x22, 0xc0]);
    expect(last(x).sentence).toBe('MOV CR0, RAX with 0x80000039 in ring 0 exited because TS of the value differs from the CR0 read shadow, and the CR0 guest/host mask gives this bit to the host.');
  });

  it('a refused entry: VM-instruction error 7, with field, value and rule', () => {
    const { t, x } = ready();
    t.set({ CR3_TARGET_COUNT: 5 });
    t.launch();
    expect(last(x).sentence).toBe('VM entry failed with VM-instruction error 7 (invalid control field) because CR3_TARGET_COUNT is 0x5, which breaks the rule "must not be greater than 4".');
    expect(x.histogram()).toEqual([]); // it was no exit
  });
  it('a refused entry: VM-instruction error 8', () => {
    const { t, x } = ready();
    t.set({ HOST_IA32_SYSENTER_ESP: 1n << 47n });
    t.launch();
    expect(last(x).sentence).toBe('VM entry failed with VM-instruction error 8 (invalid host-state field) because HOST_IA32_SYSENTER_ESP is 0x800000000000, which breaks the rule "must be canonical".');
    expect(last(x).section).toMatch(/^SDM 3C ".+"$/);
  });
  it('a refused entry: exit reason 33 with its qualification', () => {
    const { t, x } = ready();
    t.set({ VMCS_LINK_POINTER: 0x1001 });
    t.launch();
    expect(last(x).sentence).toMatch(/^VM entry failed with exit reason 33 and bit 31 set \(VM-entry failure due to invalid guest state\) because VMCS_LINK_POINTER is 0x1001, which breaks the rule ".+"\.$/);
    expect(last(x).details).toContainEqual({ name: 'qualification', value: '4 (VMCS link pointer)' });
    expect(x.histogram().map((r) => [r.reason, r.count])).toEqual([['ENTRY_FAILURE_GUEST_STATE', 1]]);
  });
  it('says so when the facts of an exit have been overwritten', () => {
    const t = new Fixture().ready(), x = listenTo(t.cpu, t.x, 'vmx', undefined, { facts: 2 });
    t.launch([0xf4, 0xf4, 0xf4]);
    const first = x.list(0, 1)[0]!.sentence;
    const exits = t.x.exitCounts[12];
    for (let i = 0; i < 3; i++) t.resume();
    expect([first.startsWith('HLT in ring 0'), exits]).toEqual([true, 1]);
    expect(x.list(0, 1)[0]!.sentence).toMatch(/^HLT at 0x20000; its facts are no longer kept/);
  });
  it('from the state alone, for who did not listen', () => {
    const t = new Fixture().ready();
    t.launch([0xf4]);
    const x = listenTo(t.cpu, t.x, 'vmx');
    expect(x.last()).toBeUndefined();
    expect(x.explainHere()?.sentence).toMatch(/^HLT in ring 0 exited because "HLT exiting"/);
  });
});

describe('SVM', () => {
  const ready = () => {
    const f = svmFixture();
    return { f, x: listenTo(f.cpu, f.svm, 'svm') };
  };
  const misc1 = (bit: number): number => (1 << bit) >>> 0;

  it('a port access of two bytes whose second port is intercepted', () => {
    const { f, x } = ready();
    f.v.setU32(VMCB.INTERCEPT_MISC1, misc1(27));
    f.cpu.m.u8[f.cpu.phys.address(IOPM_PA + 0x7f)] = 0x01;
    f.enter();
    f.s.setGpr(0, 0xbeefn);
    f.cpu.virt!.io(f.cpu, 0x3f7, 2, false, false, false, false, 0, 0, 0n);
    expect(x.last()!.sentence).toBe('OUT 0x3F7 (AX = 0xBEEF) in ring 0 exited because bit 0 of byte 0x7F of the I/O permissions map (port 0x3F8) is set.');
  });
  it('WRMSR by its write bit', () => {
    const { f, x } = ready();
    f.v.setU32(VMCB.INTERCEPT_MISC1, misc1(28));
    f.cpu.m.u8[f.cpu.phys.address(MSRPM_PA + 0x800 + 0x20)] = 0x02;
    f.enter();
    f.s.setGpr(1, 0xc000_0080n);
    f.s.setGpr(0, 0x501n);
    f.s.setGpr(2, 0n);
    f.cpu.virt!.msr(f.cpu, 0xc000_0080, true);
    expect(x.last()!.sentence).toMatch(/^WRMSR of 0x501 to 0xC0000080( \(\w+\))? in ring 0 exited because bit 1 of byte 0x820 of the MSR permissions map \(its write bit\) is set\.$/);
  });
  it('HLT by its intercept, with the instruction as it lies in memory', () => {
    const { f, x } = ready();
    f.v.setU32(VMCB.INTERCEPT_MISC1, misc1(24));
    f.cpu.phys.write(0x7c00, Uint8Array.of(0xf4));
    f.enter();
    f.s.set64(S.nextRip, 0x7c01n);
    f.cpu.virt!.instruction(f.cpu, 'HLT');
    expect(x.last()!.sentence).toBe('HLT in ring 0 exited because "Intercept HLT instruction" (bit 24 of the VMCB\'s intercept word at offset 0xC) is 1.');
    expect(x.controlBlock()).toMatchObject({ kind: 'VMCB', address: `0x${VMCB_PA.toString(16)}` });
  });
  it('VMRUN that fails, with the fields and the rule', () => {
    const { f, x } = ready();
    f.v.setU32(VMCB.GUEST_ASID, 0);
    f.enter();
    expect(x.last()).toMatchObject({
      reason: 'INVALID', section: 'APM 2 §15.5.1 "Basic Operation"',
      sentence: 'VMRUN failed with VMEXIT_INVALID because GUEST_ASID is 0x0, which breaks the rule "ASID is not zero".',
    });
  });
});
