import { describe, expect, it } from 'vitest';
import { multibootImage } from '../../test/support/multiboot-image.js';
import { loadProfile } from '../../test/support/path-machine.js';
import { exitWith, le32, outb, tickProgram } from '../../test/support/tick-program.js';
import { S } from '../cpu/state.js';
import type { NestedContext } from '../mmu/context.js';
import { FETCH, NESTED_FAULT } from '../mmu/format.js';
import type { MachineConfig } from './config.js';
import { Machine } from './machine.js';
import { type Profile, parseProfile } from './profile.js';

const profile = loadProfile('barcelona-2007');

function run(code: readonly number[], extra: Partial<MachineConfig> = {}) {
  const out: number[] = [];
  const machine = new Machine({
    memoryBytes: 16 << 20, profile, boot: { kind: 'image', image: { name: 'test', bytes: multibootImage(code) } }, serial: (b) => out.push(b), ...extra,
  });
  const stop = machine.run({ instructions: 5_000_000 });
  return { machine, stop, text: String.fromCharCode(...out) };
}

describe('machine', () => {
  it('starts a Multiboot image, prints on COM1 and ends by the debug-exit port', () => {
    const { stop, text } = run([...outb(0x3f8, 0x48), ...outb(0x3f8, 0x69), ...exitWith(3)]);
    expect([stop, text]).toEqual([{ kind: 'debug-exit', value: 3 }, 'Hi']);
  });

  it('powers off through PM1a control', () => {
    expect(run([0x66, 0xba, 0x04, 0x06, 0x66, 0xb8, 0x00, 0x20, 0x66, 0xef]).stop).toEqual({ kind: 'power-off' });
  });

  it('reports a triple fault with its address', () => {
    const { stop } = run([0x0f, 0x01, 0x1d, 0, 0, 0, 0, 0x0f, 0x0b]); // lidt of zeros; ud2
    expect(stop).toEqual({ kind: 'shutdown', what: 'triple fault', address: '10:0x100027' });
  });

  it('says when a halted machine can never wake', () => {
    expect(run([0xfa, 0xf4]).stop).toMatchObject({ kind: 'shutdown', what: 'halted with interrupts off' });
  });

  it('HLT skips to the timer interrupt, and a run cut into pieces takes the same cycles', () => {
    const code = tickProgram(3);
    const whole = run(code);
    expect(whole.stop).toEqual({ kind: 'debug-exit', value: 7 });
    const ticks = (whole.machine.cycles / whole.machine.frequencyHz) * 1193182;
    expect(ticks).toBeGreaterThan(3000);
    expect(ticks).toBeLessThan(3010);
    const pieces = new Machine({ memoryBytes: 16 << 20, profile, boot: { kind: 'image', image: { name: 'test', bytes: multibootImage(code) } } });
    for (let n = 7; pieces.run({ instructions: n }).kind === 'limit'; n += 7);
    expect([pieces.cycles, pieces.instructions]).toEqual([whole.machine.cycles, whole.machine.instructions]);
  });

  it('EPT entries may be what IA32_VMX_EPT_VPID_CAP says, and nothing else', () => {
    const intel = loadProfile('nehalem-2008');
    const walk = (vmx: unknown): unknown[] => {
      const image = { name: 'test', bytes: multibootImage([0xf4]) };
      const { phys, processors } = new Machine({ memoryBytes: 16 << 20, profile: { ...intel, vmx } as Profile, boot: { kind: 'image', image } });
      const { vcpu } = processors[0];
      const put = (hpa: number, entry: number): void => phys.write(hpa, Uint8Array.from(le32(entry)));
      const nested: NestedContext = { format: 'ept', root: 0x20_0000, ad: false, levels: 4, nx: false, pse: false };
      vcpu.mmu.setContext({ paging: 'none', cr3Lo: 0, cr3Hi: 0, wp: false, pse: false, pge: false, smep: false, smap: false, ac: false, nx: false, nested });
      put(0x20_0000, 0x20_1007);
      const misconfigured = (pdpte: number): boolean => {
        put(0x20_1000, pdpte);
        return vcpu.mmu.translate(0, 0x5456, FETCH, false) === NESTED_FAULT && vcpu.mmu.nestedFault.misconfiguration;
      };
      const cap = vcpu.msrs.get(0x48c)!.read(vcpu);
      put(0x20_2000, 0x20_3007);
      put(0x20_3000 + 8 * 5, 0x5034); // execute-only, write-back
      const executeOnly = misconfigured(0x20_2007), gigabyte = misconfigured(0xb7);
      return [(cap & 1n) !== 0n, !executeOnly, (cap & (1n << 17n)) !== 0n, !gigabyte];
    };
    const { features } = intel['vmx'] as { features: string[] };
    expect(walk(intel['vmx'])).toEqual([true, true, false, false]);
    expect(walk({ features: [...features.filter((f) => f !== 'ept-execute-only'), 'ept-1g-pages'] })).toEqual([false, false, true, true]);
  });

  it('a guest that halts is asked at the deadline of its extension', () => {
    const machine = new Machine({ memoryBytes: 16 << 20, profile, boot: { kind: 'image', image: { name: 'test', bytes: multibootImage([0xfb, 0xf4]) } } });
    const { vcpu } = machine.processors[0], asked: number[] = [];
    Object.assign(vcpu.virt!, { deadline: 5000, pendingEvent: () => (asked.push(vcpu.now()), 'blocked') });
    vcpu.s.set32(S.guest, 1);
    machine.run({ cycle: 9000 });
    expect(asked.filter((cycle) => cycle > 10 && cycle < 9000)).toEqual([5000]);
  });

  it('a TSC deadline moves with a write of the TSC', () => {
    const code = [0xb9, ...le32(0x10), 0xb8, ...le32(1_000_000), 0x31, 0xd2, 0x0f, 0x30, 0xeb, 0xfe]; // mov ecx, 0x10; mov eax, 1000000; xor edx, edx; wrmsr; jmp $
    const machine = new Machine({ memoryBytes: 16 << 20, profile, boot: { kind: 'image', image: { name: 'test', bytes: multibootImage(code) } } });
    const apic = machine.platform.lapics[0];
    apic.mmioWrite(0xf0, 4, 0x1ff);
    apic.mmioWrite(0x320, 4, (2 << 17) | 0x40); // LVT timer: TSC-deadline mode, vector 0x40
    apic.tscDeadline = 1_005_000n;
    machine.run({ cycle: 4000 });
    expect(apic.pendingVector).toBe(-1);
    machine.run({ cycle: 6000 });
    expect(apic.pendingVector).toBe(0x40);
  });

  it("cycle mode counts the local APIC timer at the profile's rate", () => {
    const machine = new Machine({ memoryBytes: 16 << 20, profile, mode: 'cycle', boot: { kind: 'image', image: { name: 'test', bytes: multibootImage([0xeb, 0xfe]) } } });
    const apic = machine.platform.lapics[0], rate = (profile.platform as { apic_timer_hz: { value: number } }).apic_timer_hz.value;
    apic.mmioWrite(0x3e0, 4, 0xb); // divide by 1
    apic.mmioWrite(0x380, 4, 0xffff_ffff);
    machine.run({ cycle: machine.frequencyHz / 1000 });
    expect(Math.abs((0xffff_ffff - apic.mmioRead(0x390, 4)) / (rate / 1000) - 1)).toBeLessThan(0.06);
  });

  it('an image that is started directly finds RAM size and number of processors in the configuration device', () => {
    const select = (key: number): number[] => [0x66, 0xba, 0x10, 0x05, 0x66, 0xb8, key, 0, 0x66, 0xef, 0x42]; // mov dx, 0x510; mov ax, key; out dx, ax; inc edx
    const ram = [...select(3), 0xec, 0xec, 0xec, 0xec, 0xe6, 0xe9]; // in al, dx (4 times); out 0xe9, al
    const out: number[] = [];
    const { stop } = run([...ram, ...select(5), 0xec, 0xe6, 0xf4], { cpus: 3, memoryBytes: 32 << 20, debugConsole: (b) => out.push(b) });
    expect([stop, out]).toEqual([{ kind: 'debug-exit', value: 3 }, [2]]);
  });

  it('INIT and SIPI start a second processor in real mode', () => {
    const store = (address: number, value: number): number[] => [0xc7, 0x05, ...le32(address), ...le32(value)]; // mov dword [address], value
    const { stop, machine } = run([
      ...store(0x8000, 0x9000_06c6), ...store(0x8004, 0x0000_f45a), // mov byte [0x9000], 0x5a; hlt
      ...store(0xfee0_0310, 1 << 24), ...store(0xfee0_0300, 0x4500), ...store(0xfee0_0300, 0x4608),
      0x80, 0x3d, ...le32(0x9000), 0x5a, 0x75, 0xf7, // wait: cmp byte [0x9000], 0x5a; jne wait
      ...exitWith(1),
    ], { cpus: 2 });
    expect(stop).toEqual({ kind: 'debug-exit', value: 1 });
    expect(machine.processors[1].vcpu.instructions).toBeGreaterThanOrEqual(2);
  });

  it('a reset through port 0xcf9 starts the image again, with devices as at power-on', () => {
    // CMOS byte 0x40 counts the starts, as it survives; the PIC mask does not.
    const { stop } = run([
      0xb0, 0x40, 0xe6, 0x70, 0xe4, 0x71, 0xfe, 0xc0, 0xe6, 0x71, 0x3c, 0x02, 0x74, 0x10, // count; cmp al, 2; je second
      ...outb(0x21, 0x55), 0x66, 0xba, 0xf9, 0x0c, 0xb0, 0x06, 0xee, 0xf4, 0x90, // mask; reset; hlt
      0xe4, 0x21, 0xe6, 0xf4, // second: in al, 0x21; out 0xf4, al
    ]);
    expect(stop).toEqual({ kind: 'debug-exit', value: 0xfb });
  });

  it('the platform figures of a profile are needed, and named when missing', () => {
    const part = parseProfile({ name: 'half', frequency_hz: 1e9 }, 'half.json');
    expect(() => run([0xf4], { profile: part })).toThrow('profile half: figure "platform.apic_timer_hz" is missing');
  });

  it('firmware starts at the reset vector, and PAM lets it replace itself by RAM', () => {
    const rom = new Uint8Array(65536).fill(0x90);
    // f000:0000 (through the copy below 1 MiB): PAM0 = RAM, write and read 0xf8000, exit with what is read.
    rom.set([
      0x66, 0xb8, 0x58, 0x00, 0x00, 0x80, 0xba, 0xf8, 0x0c, 0x66, 0xef, // mov eax, 0x80000058; mov dx, 0xcf8; out dx, eax
      0xba, 0xfd, 0x0c, 0xb0, 0x30, // mov dx, 0xcfd; mov al, 0x30 (done from RAM: the code is copied first)
      0x50, 0x52, 0xb8, 0x00, 0x00, 0x8e, 0xc0, 0xb8, 0x00, 0xf0, 0x8e, 0xd8, 0x31, 0xf6, 0xbf, 0x00, 0x70, 0xb9, 0x80, 0x00, 0xf3, 0xa4, 0x5a, 0x58, // copy 128 bytes to 0x7000
      0xea, 0x2d, 0x70, 0x00, 0x00, // jmp 0000:702d
      0xee, 0xc6, 0x06, 0x00, 0x80, 0x2a, 0xa0, 0x00, 0x80, 0xe6, 0xf4, 0xf4, // out dx, al; mov byte [0x8000], 42; mov al, [0x8000]; out 0xf4, al
    ]);
    rom.set([0xea, 0x00, 0x00, 0x00, 0xf0], 0xfff0); // jmp f000:0000
    const machine = new Machine({ memoryBytes: 16 << 20, profile, boot: { kind: 'firmware', firmware: { name: 'rom', bytes: rom } } });
    expect(machine.run({ instructions: 1000 })).toEqual({ kind: 'debug-exit', value: 42 });
    expect(machine.phys.read(0xf_8000, 1)).toEqual(Uint8Array.of(42));
  });
});
