/**
 * What the cpu asks of parts it does not import: the platform, a virtualisation extension, the timing core, the probe.
 * The interfaces live with their caller; machine/ hands over the implementations.
 */

import type { Cpu } from './cpu.js';

/** Ports, memory-mapped devices and the interrupt controller, as one vCPU sees them. Physical addresses are numbers (< 2^52). */
export interface PlatformPort {
  ioRead(port: number, size: 1 | 2 | 4): number;
  ioWrite(port: number, size: 1 | 2 | 4, value: number): void;
  /** Reads at an address that is not RAM or ROM. Sizes above 4 are split by the caller. Unclaimed addresses read as all ones. */
  mmioRead(hpa: number, size: 1 | 2 | 4): number;
  mmioWrite(hpa: number, size: 1 | 2 | 4, value: number): void;
  /** Is an external interrupt asserted for this vCPU (PIC or local APIC, priority already considered)? */
  interruptPending(cpu: Cpu): boolean;
  /** Acknowledges it: the vector. */
  acknowledgeInterrupt(cpu: Cpu): number;
  /** The task-priority register behind CR8 (bits 3:0 are the class). */
  readTpr(cpu: Cpu): number;
  writeTpr(cpu: Cpu, value: number): void;
  /** The time-stamp counter was written: deadlines that are values of it move. Absent: there are none. */
  tscChanged?(cpu: Cpu): void;
}

/** Where an instruction that could leave a guest stands: enough for both manuals' exit information. */
export interface InterceptInfo {
  /** Register or control-register numbers, MSR index, port: as the operation needs. */
  readonly a?: number;
  readonly b?: number;
  readonly value?: bigint;
}

/** Operations that either extension can intercept. The names are the instruction's or the manual's event. */
export type InterceptOp =
  | 'CPUID' | 'HLT' | 'INVD' | 'WBINVD' | 'INVLPG' | 'INVPCID' | 'RDTSC' | 'RDTSCP' | 'RDPMC' | 'RSM' | 'PAUSE' | 'MONITOR' | 'MWAIT'
  | 'RDRAND' | 'RDSEED' | 'XSETBV' | 'GETSEC' | 'VMCALL' | 'VMCLEAR' | 'VMLAUNCH' | 'VMPTRLD' | 'VMPTRST' | 'VMREAD' | 'VMRESUME'
  | 'VMWRITE' | 'VMXOFF' | 'VMXON' | 'INVEPT' | 'INVVPID' | 'VMFUNC' | 'VMRUN' | 'VMMCALL' | 'VMLOAD' | 'VMSAVE' | 'STGI' | 'CLGI'
  | 'SKINIT' | 'INVLPGA' | 'PUSHF' | 'POPF' | 'IRET' | 'INTn' | 'ICEBP' | 'SGDT' | 'SIDT' | 'LGDT' | 'LIDT' | 'SLDT' | 'STR' | 'LLDT' | 'LTR';

/** What `VirtPort.pendingEvent` decided. */
export type EventVerdict = 'taken' | 'exit' | 'blocked' | 'deliver';

/**
 * The virtualisation extension in use while the vCPU is in a guest (`S.guest` = 1), or that its instructions act on.
 * A method that returns `true` has performed the VM exit: the state is the host's, and the caller leaves at once.
 * All of them are called with the state exact and RIP at the instruction.
 */
export interface VirtPort {
  /** An instruction, after the checks that the manual orders before the intercept (privilege, #UD). */
  instruction(cpu: Cpu, op: InterceptOp, info?: InterceptInfo): boolean;
  /** MOV to/from CR, LMSW, CLTS, SMSW. `reg` is the general register's number. */
  crAccess(cpu: Cpu, cr: number, kind: 'write' | 'read' | 'clts' | 'lmsw' | 'smsw', reg: number, value: bigint, linear?: bigint): boolean;
  /** The value that MOV from CR0/CR4 and SMSW see in a guest (VMX: read shadows); outside guests, or without shadows, `real`. */
  visibleCr?(cpu: Cpu, cr: 0 | 4, real: number): number;
  /** The value that a write of CR0/CR4 in a guest really stores (VMX: bits owned by the host keep theirs). After `crAccess`. */
  mergedCr?(cpu: Cpu, cr: 0 | 4, value: number): number;
  /** Bits of CR0/CR4 that the extension fixes (VMX operation, root and guest): false is #GP(0). */
  crValueAllowed?(cpu: Cpu, cr: 0 | 4, value: number): boolean;
  /** True when CR8 of the guest lives in `S.cr8` (V_TPR, TPR shadow) and not in the platform's local APIC. */
  virtualTpr?(cpu: Cpu): boolean;
  drAccess(cpu: Cpu, dr: number, write: boolean, reg: number): boolean;
  /** One port access (IN, OUT, INS, OUTS); `linear` is the memory operand's linear address for string forms. */
  io(cpu: Cpu, port: number, size: 1 | 2 | 4, input: boolean, string: boolean, rep: boolean, immediate: boolean, addressSize: number, segment: number, linear: bigint): boolean;
  msr(cpu: Cpu, index: number, write: boolean): boolean;
  /** An exception about to be delivered. For #PF `address` is the faulting address, for #DB the DR6 bits to set. */
  exception(cpu: Cpu, vector: number, type: number, hasError: boolean, error: number, address: bigint, length: number): boolean;
  /** Called while an event is delivered through the IDT, so that an exit in the middle records it (IDT-vectoring, EXITINTINFO). */
  beginDelivery(cpu: Cpu, vector: number, type: number, hasError: boolean, error: number, length: number): void;
  endDelivery(cpu: Cpu): void;
  taskSwitch(cpu: Cpu, selector: number, reason: 'call' | 'iret' | 'jmp' | 'gate', hasError: boolean, error: number): boolean;
  tripleFault(cpu: Cpu): boolean;
  /** A nested-paging fault (EPT violation or misconfiguration, nested page fault). Always exits. */
  nestedFault(cpu: Cpu, fault: NestedFault): void;
  /**
   * Called by the run loop before an instruction when something may be pending. Decides, in the manual's priority, on
   * exits for external interrupts, NMI, INIT, windows, preemption timer, MTF, and injects virtual interrupts.
   * 'taken': an exit that used the event up. 'exit': an exit for something else, or one that leaves the event pending (AMD), or a
   * virtual interrupt is pending in the state now: the run loop begins again. 'blocked': the event stays pending and is not
   * delivered to the guest. 'deliver': deliver it through the guest's IDT as usual. `event` is 'none' when only windows are to be
   * checked.
   */
  pendingEvent(cpu: Cpu, event: 'none' | 'external' | 'nmi' | 'init' | 'sipi' | 'smi', vector: number): EventVerdict;
  /** May the guest take interrupts at all now (AMD: GIF; Intel: true)? Consulted outside guests too. */
  globalInterruptFlag(cpu: Cpu): boolean;
  /** Nested-paging context for the mmu, or null. */
  readonly nested: NestedContext | null;
  /** Outside guests: INIT stays pending (VMX root operation). */
  blocksInit?(cpu: Cpu): boolean;
  /** While true (VMX monitor trap flag) the run loop executes the guest's instructions one by one and reports each with `stepped`. */
  readonly singleStep?: boolean;
  stepped?(cpu: Cpu): void;
  /** Cycle by which `pendingEvent` must be called (VMX-preemption timer), or Infinity. Counts while the guest halts, too. */
  readonly deadline?: number;
  /** RESET#: back to the power-on state, outside any guest. */
  reset?(cpu: Cpu): void;
  /** CPUID, MSR and TSC adjustments inside a guest. */
  /** What the guest that runs adds to the time-stamp counter: 64 bits as unsigned halves. */
  readonly tscOffsetLow: number;
  readonly tscOffsetHigh: number;
}

/** What nested translation needs. Both formats are walked by mmu/. */
export interface NestedContext {
  readonly format: 'ept' | 'npt';
  /** Physical address of the root table. */
  readonly root: number;
  /** EPT: accessed/dirty flags enabled (EPTP bit 6). */
  readonly ad: boolean;
  /** EPT: levels of the walk. NPT: taken from the host's paging mode (4 = long, 3 = PAE, 2 = 32-bit). */
  readonly levels: 2 | 3 | 4;
  /** NPT: host EFER.NXE and CR4.PSE. */
  readonly nx: boolean;
  readonly pse: boolean;
}

export interface NestedFault {
  readonly gpa: number;
  /** Guest linear address, when the fault happened on a translation of one. */
  readonly gla: bigint;
  readonly glaValid: boolean;
  /** The access was to a guest page-table entry (false: to the final page). */
  readonly onTable: boolean;
  readonly read: boolean;
  readonly write: boolean;
  readonly fetch: boolean;
  /** EPT: permissions found (bits 0-2 as in the exit qualification); NPT: present bit found. */
  readonly present: boolean;
  readonly permissions: number;
  readonly user: boolean;
  readonly misconfiguration: boolean;
  readonly reserved: boolean;
}

/**
 * Timing hooks that TypeScript parts call in cycle mode; all results are cycles. The emitted part is `timing/`'s own affair: cycle-mode
 * code imports its functions (timing/emit.ts) directly.
 */
export interface TimingPort {
  /** The vCPU and address space that run from now on. */
  select(vcpu: number, tag: number, pcid: number): void;
  /** A data access made by TypeScript, at a linear-memory address: what caches and TLBs add. */
  data(address: number, linear: bigint, write: boolean): number;
  /** A page walk: the first `count` of `refs` are the physical addresses read, in order; `cacheable` as in mmu/refs.ts. */
  pageWalk(refs: ArrayLike<number>, count: number, cacheable: ArrayLike<number>): number;
  /** A world switch, as the list of its parts. */
  transition(kind: 'vm-entry' | 'vm-exit', parts: TransitionParts): number;
  /** An event delivered through an IDT. */
  delivery(kind: 'interrupt' | 'exception' | 'software', privilegeChange: boolean): number;
  /** A device access: what the processor waits for beyond the instruction. `address`: port or physical address. */
  device(kind: 'port-read' | 'port-write' | 'mmio-read' | 'mmio-write', address: number): number;
  /** Bytes moved by a repeated string instruction, beyond its start, as fast as the first-level cache allows. */
  string(bytes: number): number;
  /** What caches and TLBs add to a run of accesses within a page, from a linear-memory address on. */
  span(address: number, linear: bigint, bytes: number, write: boolean): number;
  /** Modelled TLB maintenance of the running vCPU. `tag` as in `Cpu.addressSpaceTag`; 'all' ignores it. */
  flush(scope: 'page' | 'context' | 'all', tag: number, linear?: bigint): void;
}

/** What a transition does, counted by the extension while it does it: the timing core prices each. */
export interface TransitionParts {
  readonly fieldsLoaded: number;
  readonly fieldsSaved: number;
  readonly segmentsLoaded: number;
  readonly checks: number;
  readonly msrsLoaded: number;
  readonly msrsSaved: number;
  readonly tlbFlushed: boolean;
  readonly injected: boolean;
}

/** Event kinds of the probe; each a fixed-layout record (kind, cycle, vcpu, a, b, c, d). */
export const PROBE = {
  vmExit: 1, // a = reason or exit code, b = RIP, c = qualification/EXITINFO1, d = EXITINFO2; VMX: guest-physical address if there is one, else instruction length
  vmEntry: 2, // a = injected event or 0, b = RIP, c = physical address of the VMCS or VMCB, d = root of the nested page tables or 0
  vmEntryFailed: 3,
  interrupt: 4, // a = vector, b = RIP
  exception: 5, // a = vector, b = RIP, c = error code, d = CR2
  ioRead: 6, // a = port, b = size, c = value
  ioWrite: 7,
  mmioRead: 8, // a = hpa, b = size, c = value
  mmioWrite: 9,
  marker: 10, // XCHG BX,BX with EAX = MARKER_MAGIC | code: a = code, b = RDI, c = RSI, d = RDX
  privilege: 11, // a return to an outer level (IRET, SYSRET, SYSEXIT, RET): a = new CPL, b = RIP of the instruction
  addressSpace: 12, // a = CR3
  halt: 13, // all vCPUs halted up to now, an event or where the run is cut: a = cycles skipped
  frameSent: 14, // a = length
  frameReceived: 15,
  systemCall: 17, // SYSCALL, VMCALL or VMMCALL carried out: a = RAX, b = RDI, c = RIP, d = 1 in a guest
  diskRequest: 16, // a = LBA, b = sectors, c = write
  // The two ends of the hypervisor's handler; vmExit and vmEntry are the guest's.
  vmHandlerStart: 18, // the price of a VM exit is paid: the host's first instruction is next. a = reason or exit code
  vmHandlerEnd: 19, // VMLAUNCH, VMRESUME or VMRUN begins, before its checks
  vmwrite: 20, // VMWRITE carried out: a = field encoding, c = the VMCS's physical address, d = value; RIP in the state is exact
} as const;
export type ProbeKind = (typeof PROBE)[keyof typeof PROBE];

/**
 * Who the cycles belong to. Each code page has an account (`classify`, asked when its first instruction is decoded); the engine
 * tells when execution arrives on a page of another account. Cycles that belong to nobody's code are told apart by `exclude`.
 */
export interface AttributionPort {
  /** Account of a code page: owner << 8 | part; part 0: whichever part of the owner ran before. 0: unknown, stays where it was. */
  classify(hpaPage: number, linear: number): number;
  /** Execution has reached a page of this account at `cycle`. */
  arrive(account: number, cycle: number): void;
}

export interface ProbePort {
  /** False when nobody listens: callers test it first. */
  readonly active: boolean;
  emit(kind: ProbeKind, cycle: number, vcpu: number, a: number, b: number, c: number, d: number): void;
}
