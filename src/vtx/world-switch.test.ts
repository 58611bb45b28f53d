import { describe, expect, it } from 'vitest';
import { CR0_PG, RSP, S, gprAddress } from '../cpu/state.js';
import { ENTRY, EXIT, PIN, PROC, PROC2, REASON } from './controls.js';
import { AT, CPUID, Fixture, VMCALL } from './fixture.js';

const exitOf = (t: Fixture): [reason: number, qualification: bigint, length: number] => [
  Number(t.get('EXIT_REASON')), t.get('EXIT_QUALIFICATION'), Number(t.get('VM_EXIT_INSTRUCTION_LENGTH')),
];
const EXTERNAL = (v: number): number => (0x8000_0000 | v) >>> 0;

describe('a round trip', () => {
  it('VMLAUNCH, CPUID in the guest, exit to the host, VMRESUME behind it', () => {
    const t = new Fixture().ready();
    expect(t.launch([0x48, 0xff, 0xc0, ...CPUID, 0x48, 0xff, 0xc0, ...VMCALL])).toBe('halt'); // INC RAX; CPUID; INC RAX; VMCALL
    expect(exitOf(t)).toEqual([REASON.CPUID, 0n, 2]);
    expect([t.get('GUEST_RIP'), t.cpu.s.gpr(0)]).toEqual([BigInt(AT.guest + 3), 1n]);
    expect([t.cpu.s.rip, t.cpu.s.gpr(RSP), t.cpu.inGuest, t.x.launched]).toEqual([BigInt(AT.handler + 1), BigInt(AT.hostStack), false, true]);
    t.set({ GUEST_RIP: AT.guest + 5 });
    t.resume();
    expect(exitOf(t)).toEqual([REASON.VMCALL, 0n, 3]);
    expect(t.cpu.s.gpr(0)).toBe(2n);
    expect(t.x.exitTable()).toEqual({ CPUID: 1, VMCALL: 1 });
    expect(t.x.entryCount).toBe(2);
  });

  it('VMLAUNCH wants a clear VMCS and VMRESUME a launched one', () => {
    const t = new Fixture().ready();
    t.resume();
    expect([t.status, t.get('VM_INSTRUCTION_ERROR')]).toEqual([2, 5n]);
    t.launch();
    t.launch();
    expect([t.status, t.get('VM_INSTRUCTION_ERROR')]).toEqual([2, 4n]);
    t.vmclear(AT.vmcs);
    t.launch();
    expect([t.status, t.x.currentPointer]).toEqual([1, -1]); // no current VMCS: VMfailInvalid
  });

  it('blocking by MOV SS refuses VM entry with error 26', () => {
    const t = new Fixture().ready();
    t.host([0x8e, 0xd0, 0x0f, 0x01, 0xc2]); // MOV SS, EAX (null); VMLAUNCH
    expect([t.status, t.get('VM_INSTRUCTION_ERROR')]).toEqual([2, 26n]);
  });

  it.each(['compat', 'pae', 'virtual-8086', 'real', 'host32'] as const)('works for the %s guest', (base) => {
    const t = new Fixture().ready(base);
    // 32-bit paging: a directory of 4-MByte pages.
    if (base === 'virtual-8086') {
      for (let i = 0; i < 4; i++) t.cpu.writePhys(0x13000 + 4 * i, 4, BigInt(0x87 + i * 0x40_0000));
      t.set({ GUEST_CR3: 0x13000, GUEST_CR4: 0x2010, GUEST_RIP: 0, GUEST_CS_SELECTOR: AT.guest >> 4, GUEST_CS_BASE: AT.guest });
    }
    expect(t.launch(CPUID)).toBe('halt');
    expect(exitOf(t)).toEqual([REASON.CPUID, 0n, 2]);
    expect([t.cpu.s.longMode, t.cpu.s.mode64]).toEqual(base === 'host32' ? [false, false] : [true, true]);
  });

  it('a real-mode guest may turn on protection, and an exit shows it', () => {
    const t = new Fixture().ready('real').set({ CR0_GUEST_HOST_MASK: 0x20, CR0_READ_SHADOW: 0x20 });
    // MOV EAX, CR0; OR AL, 1; MOV CR0, EAX; CPUID
    t.launch([0x0f, 0x20, 0xc0, 0x0c, 0x01, 0x0f, 0x22, 0xc0, ...CPUID]);
    expect(exitOf(t)[0]).toBe(REASON.CPUID);
    expect(t.get('GUEST_CR0')).toBe(0x31n);
  });

  it('loads and saves IA32_EFER and IA32_PAT by their controls', () => {
    const t = new Fixture().ready();
    t.set({
      VM_ENTRY_CONTROLS: t.x.caps.entry.must1 | ENTRY.ia32eModeGuest | ENTRY.loadEfer | ENTRY.loadPat,
      VM_EXIT_CONTROLS: t.x.caps.exit.must1 | EXIT.hostAddressSpaceSize | EXIT.loadEfer | EXIT.savePat | EXIT.loadPat | EXIT.saveEfer,
      GUEST_IA32_EFER: 0xd01, GUEST_IA32_PAT: 0x0606_0606_0606_0606n, HOST_IA32_EFER: 0x500, HOST_IA32_PAT: 0x0007_0406_0007_0406n,
    });
    t.launch([0xb9, 0x77, 2, 0, 0, 0x0f, 0x32, ...CPUID]); // MOV ECX, 0x277; RDMSR exits (no MSR bitmaps)
    expect(exitOf(t)[0]).toBe(REASON.RDMSR);
    expect([t.get('GUEST_IA32_EFER'), t.get('GUEST_IA32_PAT')]).toEqual([0xd01n, 0x0606_0606_0606_0606n]);
    expect([t.cpu.s.efer, t.cpu.s.get64(S.pat)]).toEqual([0x500, 0x0007_0406_0007_0406n]);
  });

  it('MSR lists load on entry, store and load on exit; a bad entry is exit reason 34', () => {
    const STAR = 0xc000_0081, t = new Fixture().ready();
    t.write64(AT.msrs, STAR);
    t.write64(AT.msrs + 8, 0x1111);
    t.write64(AT.msrs + 32, STAR);
    t.write64(AT.msrs + 40, 0x2222);
    t.write64(AT.msrs + 64, STAR);
    t.set({
      VM_ENTRY_MSR_LOAD_COUNT: 1, VM_ENTRY_MSR_LOAD_ADDRESS: AT.msrs, VM_EXIT_MSR_LOAD_COUNT: 1, VM_EXIT_MSR_LOAD_ADDRESS: AT.msrs + 32,
      VM_EXIT_MSR_STORE_COUNT: 1, VM_EXIT_MSR_STORE_ADDRESS: AT.msrs + 64,
    });
    t.launch();
    expect([t.cpu.readPhys(AT.msrs + 72, 8), t.cpu.s.get64(S.star)]).toEqual([0x1111n, 0x2222n]);
    t.write64(AT.msrs + 8, 0xbad); // the fixture's register refuses it
    t.resume();
    expect(exitOf(t).slice(0, 2)).toEqual([0x8000_0022, 1n]);
    expect(t.cpu.s.get64(S.star)).toBe(0x2222n);
  });

  it('a bad MSR in the exit list is a VMX abort', () => {
    const t = new Fixture().ready().set({ VM_EXIT_MSR_LOAD_COUNT: 1, VM_EXIT_MSR_LOAD_ADDRESS: AT.msrs });
    t.write64(AT.msrs, 0x1234_5678);
    expect(t.launch()).toBe('shutdown');
    expect(t.cpu.readPhys(AT.vmcs + 4, 4)).toBe(4n);
  });
});

describe('event injection', () => {
  it('an external interrupt goes through the guest IDT', () => {
    const t = new Fixture().ready().set({ VM_ENTRY_INTERRUPTION_INFORMATION: EXTERNAL(0x30), GUEST_RFLAGS: 0x202 });
    t.write(AT.handlers + 0x300, CPUID);
    t.launch([0x90]);
    expect(exitOf(t)[0]).toBe(REASON.CPUID);
    expect(t.get('GUEST_RIP')).toBe(BigInt(AT.handlers + 0x300));
    expect(t.cpu.readPhys(AT.guestStack - 8 - 40 + 8, 8) & 0xffffn).toBe(BigInt(AT.guest & 0xffff)); // RIP of the frame (stack aligned to 16)
    expect(t.get('VM_ENTRY_INTERRUPTION_INFORMATION')).toBe(BigInt(0x30)); // valid bit cleared
  });

  it('an injected exception is not subject to the exception bitmap, a fault on its way is', () => {
    const t = new Fixture().ready().set({ EXCEPTION_BITMAP: (1 << 13) | (1 << 11), VM_ENTRY_INTERRUPTION_INFORMATION: 0x8000_0b0d, VM_ENTRY_EXCEPTION_ERROR_CODE: 0x10 });
    t.write(AT.handlers + 16 * 13, CPUID);
    t.launch();
    expect(exitOf(t)[0]).toBe(REASON.CPUID);
    t.set({ VM_ENTRY_INTERRUPTION_INFORMATION: 0x8000_0b0d, GUEST_RIP: AT.guest });
    t.write64(AT.idt + 16 * 13, 0n); // not a gate: #GP(13 * 8 + 2 + EXT)
    t.resume();
    expect(exitOf(t)[0]).toBe(REASON.EXCEPTION_OR_NMI);
    expect([t.get('VM_EXIT_INTERRUPTION_INFORMATION'), t.get('VM_EXIT_INTERRUPTION_ERROR_CODE')]).toEqual([0x8000_0b0dn, 13n * 8n + 3n]);
    expect([t.get('IDT_VECTORING_INFORMATION'), t.get('IDT_VECTORING_ERROR_CODE')]).toEqual([0x8000_0b0dn, 0x10n]);
  });

  it('a software interrupt pushes the address behind the instruction', () => {
    const t = new Fixture().ready().set({ VM_ENTRY_INTERRUPTION_INFORMATION: 0x8000_0421, VM_ENTRY_INSTRUCTION_LENGTH: 2 });
    t.write(AT.handlers + 16 * 0x21, CPUID);
    t.launch();
    const rsp = Number(t.get('GUEST_RSP'));
    expect(t.cpu.readPhys(rsp, 8)).toBe(BigInt(AT.guest + 2));
  });

  it('an injected page fault leaves CR2 alone', () => {
    const t = new Fixture().ready().set({ VM_ENTRY_INTERRUPTION_INFORMATION: 0x8000_0b0e, VM_ENTRY_EXCEPTION_ERROR_CODE: 2 });
    t.cpu.s.set64(S.cr2, 0x5555n);
    t.write(AT.handlers + 16 * 14, CPUID);
    t.launch();
    expect([exitOf(t)[0], t.cpu.s.get64(S.cr2)]).toEqual([REASON.CPUID, 0x5555n]);
  });
});

describe('exits by events', () => {
  it('a page fault: address, error code, mask and match', () => {
    const t = new Fixture().ready().set({ EXCEPTION_BITMAP: 1 << 14 });
    t.launch([0x8a, 0x04, 0x25, 0x00, 0x00, 0x40, 0x00]); // MOV AL, [0x400000]: not mapped
    expect(exitOf(t).slice(0, 2)).toEqual([0, 0x40_0000n]);
    expect([t.get('VM_EXIT_INTERRUPTION_INFORMATION'), t.get('VM_EXIT_INTERRUPTION_ERROR_CODE')]).toEqual([0x8000_0b0en, 0n]);
    expect(t.get('GUEST_RFLAGS')).toBe(0x1_0002n); // RF of the image
    expect(t.cpu.s.get64(S.cr2)).toBe(0n);
    t.set({ PAGE_FAULT_ERROR_CODE_MASK: 1, PAGE_FAULT_ERROR_CODE_MATCH: 1 }); // only protection violations exit now
    t.write(AT.handlers + 16 * 14, CPUID);
    t.resume();
    expect([exitOf(t)[0], t.cpu.s.get64(S.cr2)]).toEqual([REASON.CPUID, 0x40_0000n]);
  });

  it('INT3 is a software exception with its length', () => {
    const t = new Fixture().ready().set({ EXCEPTION_BITMAP: 8 });
    t.launch([0xcc]);
    expect(exitOf(t)).toEqual([0, 0n, 1]);
    expect([t.get('VM_EXIT_INTERRUPTION_INFORMATION'), t.get('GUEST_RIP')]).toEqual([0x8000_0603n, BigInt(AT.guest)]);
  });

  it('a triple fault', () => {
    const t = new Fixture().ready().set({ GUEST_IDTR_LIMIT: 0 });
    t.launch([0x0f, 0x0b]); // UD2
    expect(exitOf(t)[0]).toBe(REASON.TRIPLE_FAULT);
    expect(t.get('IDT_VECTORING_INFORMATION')).toBe(0n);
  });

  it('external interrupts exit whatever IF is, and are acknowledged if asked', () => {
    const t = new Fixture().ready();
    t.set({ PIN_BASED_CONTROLS: t.x.caps.pin.must1 | PIN.externalInterruptExiting, VM_EXIT_CONTROLS: t.get('VM_EXIT_CONTROLS') | BigInt(EXIT.acknowledgeInterrupt) });
    t.interrupt = 0x41;
    t.launch([0xeb, 0xfe]); // spin
    expect(exitOf(t)[0]).toBe(REASON.EXTERNAL_INTERRUPT);
    expect([t.get('VM_EXIT_INTERRUPTION_INFORMATION'), t.interrupt]).toEqual([0x8000_0041n, -1]);
  });

  it('without "external-interrupt exiting" the guest takes them itself', () => {
    const t = new Fixture().ready().set({ GUEST_RFLAGS: 0x202 });
    t.write(AT.handlers + 16 * 0x41, CPUID);
    t.interrupt = 0x41;
    t.launch([0xeb, 0xfe]);
    expect([exitOf(t)[0], t.get('GUEST_RIP')]).toEqual([REASON.CPUID, BigInt(AT.handlers + 16 * 0x41)]);
  });

  it('the interrupt window opens behind the shadow of STI', () => {
    const t = new Fixture().ready();
    t.set({ PRIMARY_PROCESSOR_BASED_CONTROLS: t.get('PRIMARY_PROCESSOR_BASED_CONTROLS') | BigInt(PROC.interruptWindowExiting) });
    t.launch([0x90, 0xfb, 0x90, 0x90]); // NOP; STI; NOP; NOP
    expect([exitOf(t)[0], t.get('GUEST_RIP')]).toEqual([REASON.INTERRUPT_WINDOW, BigInt(AT.guest + 3)]);
    // An entry with blocking by STI lets one instruction pass.
    t.set({ GUEST_INTERRUPTIBILITY_STATE: 1, GUEST_RIP: AT.guest });
    t.resume();
    expect([exitOf(t)[0], t.get('GUEST_RIP')]).toEqual([REASON.INTERRUPT_WINDOW, BigInt(AT.guest + 1)]);
  });

  it('NMIs exit and block further ones in the host; virtual NMIs have a window', () => {
    const t = new Fixture().ready();
    t.set({ PIN_BASED_CONTROLS: t.x.caps.pin.must1 | PIN.nmiExiting | PIN.virtualNmis });
    t.cpu.s.set32(S.nmiBlocked, 1); // so that the host does not take it first
    t.cpu.nmiPending = true;
    t.launch([0xeb, 0xfe]);
    expect([exitOf(t)[0], t.get('VM_EXIT_INTERRUPTION_INFORMATION')]).toEqual([0, 0x8000_0202n]);
    expect(t.cpu.s.get32(S.nmiBlocked)).toBe(1);
    t.set({
      PRIMARY_PROCESSOR_BASED_CONTROLS: t.get('PRIMARY_PROCESSOR_BASED_CONTROLS') | BigInt(PROC.nmiWindowExiting),
      GUEST_INTERRUPTIBILITY_STATE: 8, GUEST_RIP: AT.guest, GUEST_RSP: AT.guestStack - 40,
    });
    // IRETQ to 0x20010 ends virtual-NMI blocking.
    [AT.guest + 0x10, 8, 2, AT.guestStack, 0x10].forEach((v, i) => t.write64(AT.guestStack - 40 + 8 * i, v));
    t.write(AT.guest, [0x48, 0xcf]);
    t.resume();
    expect([exitOf(t)[0], t.get('GUEST_RIP')]).toEqual([REASON.NMI_WINDOW, BigInt(AT.guest + 0x10)]);
  });

  it('an NMI outlives an exit for something else', () => {
    const t = new Fixture().ready();
    t.set({ PIN_BASED_CONTROLS: t.x.caps.pin.must1 | PIN.nmiExiting | PIN.virtualNmis });
    t.set({ PRIMARY_PROCESSOR_BASED_CONTROLS: t.get('PRIMARY_PROCESSOR_BASED_CONTROLS') | BigInt(PROC.nmiWindowExiting) });
    t.cpu.s.set32(S.nmiBlocked, 1); // so that the host does not take it before the entry
    t.cpu.nmiPending = true;
    t.launch([0xeb, 0xfe]);
    // Behind the exit the host takes it, and blocks further ones.
    expect([exitOf(t)[0], t.cpu.nmiPending, t.cpu.s.get32(S.nmiBlocked)]).toEqual([REASON.NMI_WINDOW, false, 1]);
  });

  it('the monitor trap flag exits after one instruction', () => {
    const t = new Fixture().ready();
    t.set({ PRIMARY_PROCESSOR_BASED_CONTROLS: t.get('PRIMARY_PROCESSOR_BASED_CONTROLS') | BigInt(PROC.monitorTrapFlag) });
    t.launch([0x48, 0xff, 0xc0, 0x90, 0x90]);
    expect([exitOf(t)[0], t.get('GUEST_RIP')]).toEqual([REASON.MONITOR_TRAP_FLAG, BigInt(AT.guest + 3)]);
    // With an injected event: before the handler's first instruction.
    t.set({ VM_ENTRY_INTERRUPTION_INFORMATION: EXTERNAL(0x30), GUEST_RFLAGS: 0x202 });
    t.resume();
    expect([exitOf(t)[0], t.get('GUEST_RIP')]).toEqual([REASON.MONITOR_TRAP_FLAG, BigInt(AT.handlers + 0x300)]);
  });

  it('a single-step trap of the same instruction stays pending behind the monitor trap flag', () => {
    const t = new Fixture().ready().set({ GUEST_RFLAGS: 0x102 });
    t.set({ PRIMARY_PROCESSOR_BASED_CONTROLS: t.get('PRIMARY_PROCESSOR_BASED_CONTROLS') | BigInt(PROC.monitorTrapFlag) });
    t.launch([0x90, 0x90]);
    expect([exitOf(t)[0], t.get('GUEST_RIP'), t.get('GUEST_PENDING_DEBUG_EXCEPTIONS')]).toEqual([REASON.MONITOR_TRAP_FLAG, BigInt(AT.guest + 1), 1n << 14n]);
  });

  it('the preemption timer counts TSC ticks shifted, and its rest is saved', () => {
    const t = new Fixture().ready();
    t.set({
      PIN_BASED_CONTROLS: t.x.caps.pin.must1 | PIN.preemptionTimer, VMX_PREEMPTION_TIMER_VALUE: 10,
      VM_EXIT_CONTROLS: t.get('VM_EXIT_CONTROLS') | BigInt(EXIT.savePreemptionTimer),
    });
    const before = t.time;
    t.launch([0xeb, 0xfe], 10000);
    while (t.cpu.inGuest) t.go(10000);
    expect(exitOf(t)[0]).toBe(REASON.PREEMPTION_TIMER);
    expect(t.get('VMX_PREEMPTION_TIMER_VALUE')).toBe(0n);
    expect(t.time - before).toBeLessThan(11 * 32 + 40);
    expect(t.time - before).toBeGreaterThan(9 * 32);
    t.set({ VMX_PREEMPTION_TIMER_VALUE: 1000, GUEST_RIP: AT.guest });
    t.write(AT.guest, CPUID);
    t.resume();
    expect(Number(t.get('VMX_PREEMPTION_TIMER_VALUE'))).toBeGreaterThan(990);
  });

  it('a pending debug exception is delivered before the first instruction', () => {
    const t = new Fixture().ready().set({ EXCEPTION_BITMAP: 2, GUEST_PENDING_DEBUG_EXCEPTIONS: 1 << 14 });
    t.launch();
    expect(exitOf(t).slice(0, 2)).toEqual([0, 0x4000n]);
    expect(t.get('GUEST_RIP')).toBe(BigInt(AT.guest));
  });

  it('single-stepping the guest over an exit does not trap in the host', () => {
    const t = new Fixture().ready().set({ GUEST_RFLAGS: 0x102 });
    expect(t.launch(CPUID)).toBe('halt');
    expect([exitOf(t)[0], t.cpu.s.rip]).toEqual([REASON.CPUID, BigInt(AT.handler + 1)]);
  });

  it('INIT waits in VMX root operation and exits from the guest', () => {
    const t = new Fixture().ready();
    t.cpu.initPending = true;
    expect(t.launch([0xeb, 0xfe])).toBe('halt');
    expect([exitOf(t)[0], t.cpu.initPending, t.cpu.s.rip]).toEqual([REASON.INIT, false, BigInt(AT.handler + 1)]);
  });

  it('HLT activity: entered halted, the guest wakes for an interrupt', () => {
    const t = new Fixture().ready().set({ GUEST_ACTIVITY_STATE: 1, GUEST_RFLAGS: 0x202 });
    expect(t.launch(CPUID)).toBe('halt');
    expect(t.cpu.inGuest).toBe(true);
    t.write(AT.handlers + 0x300, CPUID);
    t.interrupt = 0x30;
    t.go();
    expect([exitOf(t)[0], t.get('GUEST_ACTIVITY_STATE'), t.get('GUEST_RIP')]).toEqual([REASON.CPUID, 0n, BigInt(AT.handlers + 0x300)]);
  });
});

describe('EPT', () => {
  const ready = (): Fixture => {
    const t = new Fixture().ready();
    return t.set({
      PRIMARY_PROCESSOR_BASED_CONTROLS: t.get('PRIMARY_PROCESSOR_BASED_CONTROLS') | BigInt(PROC.activateSecondaryControls >>> 0),
      SECONDARY_PROCESSOR_BASED_CONTROLS: PROC2.enableEpt | PROC2.enableVpid, VIRTUAL_PROCESSOR_ID: 1, EPT_POINTER: t.eptIdentity(),
    });
  };
  it('a violation carries access, permissions and both addresses, and can be mended and resumed', () => {
    const t = ready();
    const entry = AT.ept + 0x3000 + 8 * 0x30;
    t.write64(entry, 0x30000 + 0x31); // read only
    t.launch([0xc6, 0x04, 0x25, 0x34, 0x02, 0x03, 0x00, 0x7e, ...CPUID]); // MOV BYTE [0x30234], 0x7E
    expect(exitOf(t).slice(0, 2)).toEqual([REASON.EPT_VIOLATION, BigInt(2 | (1 << 3) | (1 << 7) | (1 << 8))]);
    expect([t.get('GUEST_PHYSICAL_ADDRESS'), t.get('GUEST_LINEAR_ADDRESS')]).toEqual([0x30234n, 0x30234n]);
    expect(t.get('GUEST_RFLAGS')).toBe(0x1_0002n);
    t.write64(entry, 0x30000 + 0x37);
    t.resume();
    expect([exitOf(t)[0], t.cpu.readPhys(0x30234, 1)]).toEqual([REASON.CPUID, 0x7en]);
  });
  it('a violation on a guest page table, and a misconfiguration', () => {
    const t = ready();
    t.write64(AT.ept + 0x3000 + 8 * 1, 0); // the page of the guest's PML4
    t.launch();
    expect(exitOf(t)[0]).toBe(REASON.EPT_VIOLATION);
    expect(Number(exitOf(t)[1]) & ((1 << 8) | (1 << 7))).toBe(1 << 7);
    t.write64(AT.ept + 0x3000 + 8 * 1, 0x1000 + 0x32); // write without read
    t.resume();
    expect(exitOf(t)[0]).toBe(REASON.EPT_MISCONFIGURATION);
  });
  it('keeps translations by VPID until INVVPID or INVEPT', () => {
    const t = ready();
    const read = [0x8a, 0x04, 0x25, 0x34, 0x02, 0x03, 0x00, ...CPUID]; // MOV AL, [0x30234]; CPUID
    t.launch(read);
    t.write64(AT.ept + 0x3000 + 8 * 0x30, 0);
    t.set({ GUEST_RIP: AT.guest });
    t.resume();
    expect(exitOf(t)[0]).toBe(REASON.CPUID); // still cached
    t.write64(AT.operands, 0n);
    t.write64(AT.operands + 8, 0n);
    t.cpu.s.set64(gprAddress(0), 2n);
    t.host([0x66, 0x0f, 0x38, 0x80, 0x04, 0x25, 0x00, 0x20, 0x01, 0x00]); // INVEPT RAX, [0x12000]
    expect(t.status).toBe(0);
    t.set({ GUEST_RIP: AT.guest });
    t.resume();
    expect(exitOf(t)[0]).toBe(REASON.EPT_VIOLATION);
  });
  it('an exit saves the PDPTEs of a PAE guest', () => {
    const t = new Fixture().ready('pae');
    t.set({
      PRIMARY_PROCESSOR_BASED_CONTROLS: t.get('PRIMARY_PROCESSOR_BASED_CONTROLS') | BigInt(PROC.activateSecondaryControls >>> 0),
      SECONDARY_PROCESSOR_BASED_CONTROLS: PROC2.enableEpt, EPT_POINTER: t.eptIdentity(), GUEST_PDPTE0: AT.pageTables + 0x2001,
    });
    t.launch([0x0f, 0x20, 0xd8, 0x0f, 0x22, 0xd8, ...CPUID]); // MOV EAX, CR3; MOV CR3, EAX (exits: default1 without TRUE)
    expect(exitOf(t)[0]).toBe(REASON.CPUID);
    expect(t.get('GUEST_PDPTE0')).toBe(BigInt(AT.pageTables + 0x2001));
    expect(t.get('GUEST_CR0') & BigInt(CR0_PG)).not.toBe(0n);
  });
});
