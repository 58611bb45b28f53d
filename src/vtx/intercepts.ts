/**
 * VMX non-root operation: what leaves the guest, and what behaves differently inside it.
 *
 * SDM 3C chapter 26 "VMX Non-Root Operation": §26.1 "Instructions That Cause VM Exits", §26.2 "Other Causes of VM Exits",
 * §26.3 "Changes to Instruction Behavior in VMX Non-Root Operation", §26.5 "Features Specific to VMX Non-Root Operation".
 * `VmxPort` is what the processor calls; its methods decide and leave the work to exit.ts.
 *
 * Instructions are a table: which control makes each exit, and how its qualification is made.
 */

import type { Cpu } from '../cpu/cpu.js';
import { DB, DFV, EVENT_TYPE, MC, PFV, UD } from '../cpu/events.js';
import type { EventVerdict, InterceptInfo, InterceptOp, NestedFault, VirtPort } from '../cpu/ports.js';
import { ACTIVITY, CR0_PE, CR4_VMXE, IF, S } from '../cpu/state.js';
import { CR3_TARGETS } from './capabilities.js';
import { EVENT, EXIT, FEATURE_CONTROL, PIN, PROC, PROC2, REASON } from './controls.js';
import { type ExitInformation, timerLeft, vmExit } from './exit.js';
import { F } from './fields.js';
import { type InformationFormat, instructionInformation } from './instruction-information.js';
import { Vmx } from './vmx.js';

/** When an instruction exits, and what the exit carries. */
interface Rule {
  readonly reason: number;
  /** Absent: always. */
  readonly when?: (x: Vmx, cpu: Cpu) => boolean;
  /** The instruction does not exist in the guest unless this holds: #UD. */
  readonly exists?: (x: Vmx) => boolean;
  readonly format?: InformationFormat;
  readonly identity?: number;
  readonly qualification?: (cpu: Cpu, info: InterceptInfo) => bigint;
}

const proc = (bit: number) => (x: Vmx): boolean => (x.c.proc & bit) !== 0;
const proc2 = (bit: number) => (x: Vmx): boolean => (x.c.proc2 & bit) !== 0;
const table = (reason: number, format: InformationFormat, identity: number): Rule => ({
  reason,
  when: proc2(PROC2.descriptorTableExiting),
  format,
  identity,
});
const vmxInstruction = (reason: number, format?: InformationFormat): Rule => (format === undefined ? { reason } : { reason, format });

/** The instructions that leave a guest. */
export const RULES: Readonly<Partial<Record<InterceptOp, Rule>>> = {
  CPUID: { reason: REASON.CPUID },
  GETSEC: { reason: REASON.GETSEC },
  INVD: { reason: REASON.INVD },
  XSETBV: { reason: REASON.XSETBV },
  HLT: { reason: REASON.HLT, when: proc(PROC.hltExiting) },
  INVLPG: { reason: REASON.INVLPG, when: proc(PROC.invlpgExiting), qualification: (_cpu, i) => i.value ?? 0n },
  MONITOR: { reason: REASON.MONITOR, when: proc(PROC.monitorExiting) },
  // Bit 0: the address-range hardware is armed; this machine's MONITOR arms nothing that a guest could wait for.
  MWAIT: { reason: REASON.MWAIT, when: proc(PROC.mwaitExiting), qualification: () => 0n },
  PAUSE: { reason: REASON.PAUSE, when: pauseExits },
  RDPMC: { reason: REASON.RDPMC, when: proc(PROC.rdpmcExiting) },
  RDTSC: { reason: REASON.RDTSC, when: proc(PROC.rdtscExiting) },
  RDTSCP: { reason: REASON.RDTSCP, when: proc(PROC.rdtscExiting), exists: proc2(PROC2.enableRdtscp) },
  INVPCID: { reason: REASON.INVPCID, when: proc(PROC.invlpgExiting), exists: proc2(PROC2.enableInvpcid), format: 'memory-reg2' },
  WBINVD: { reason: REASON.WBINVD, when: proc2(PROC2.wbinvdExiting) },
  RDRAND: { reason: REASON.RDRAND, when: proc2(PROC2.rdrandExiting), format: 'random' },
  RDSEED: { reason: REASON.RDSEED, when: proc2(PROC2.rdseedExiting), format: 'random' },
  SGDT: table(REASON.GDTR_IDTR_ACCESS, 'gdtr-idtr', 0),
  SIDT: table(REASON.GDTR_IDTR_ACCESS, 'gdtr-idtr', 1),
  LGDT: table(REASON.GDTR_IDTR_ACCESS, 'gdtr-idtr', 2),
  LIDT: table(REASON.GDTR_IDTR_ACCESS, 'gdtr-idtr', 3),
  SLDT: table(REASON.LDTR_TR_ACCESS, 'ldtr-tr', 0),
  STR: table(REASON.LDTR_TR_ACCESS, 'ldtr-tr', 1),
  LLDT: table(REASON.LDTR_TR_ACCESS, 'ldtr-tr', 2),
  LTR: table(REASON.LDTR_TR_ACCESS, 'ldtr-tr', 3),
  VMCALL: vmxInstruction(REASON.VMCALL),
  VMLAUNCH: vmxInstruction(REASON.VMLAUNCH),
  VMRESUME: vmxInstruction(REASON.VMRESUME),
  VMXOFF: vmxInstruction(REASON.VMXOFF),
  VMCLEAR: vmxInstruction(REASON.VMCLEAR, 'memory'),
  VMPTRLD: vmxInstruction(REASON.VMPTRLD, 'memory'),
  VMPTRST: vmxInstruction(REASON.VMPTRST, 'memory'),
  VMXON: vmxInstruction(REASON.VMXON, 'memory'),
  VMREAD: vmxInstruction(REASON.VMREAD, 'vmread-vmwrite'),
  VMWRITE: vmxInstruction(REASON.VMWRITE, 'vmread-vmwrite'),
  INVEPT: vmxInstruction(REASON.INVEPT, 'memory-reg2'),
  INVVPID: vmxInstruction(REASON.INVVPID, 'memory-reg2'),
};

/** §25.6.13 "Controls for PAUSE-Loop Exiting": at CPL 0, a loop of PAUSEs no further than the gap apart, longer than the window. */
function pauseExits(x: Vmx, cpu: Cpu): boolean {
  if (x.c.proc & PROC.pauseExiting) return true;
  if ((x.c.proc2 & PROC2.pauseLoopExiting) === 0 || cpu.s.cpl !== 0) return false;
  const now = cpu.now();
  if (x.lastPause === 0 || now - x.lastPause > x.get32(F.PLE_GAP)) x.firstPause = now;
  x.lastPause = now;
  return now - x.firstPause > x.get32(F.PLE_WINDOW);
}

const IA32_FEATURE_CONTROL = 0x3a;
const FEATURE_CONTROL_DEFINED = BigInt(FEATURE_CONTROL.lock | FEATURE_CONTROL.vmxOutsideSmx);
const ACCESS = { write: 0, read: 1, clts: 2, lmsw: 3 } as const;
const TASK_SWITCH_SOURCE = { call: 0, iret: 1, jmp: 2, gate: 3 } as const;
const CR0_TS = 8, MOV_SS_SHADOW = 2;
const bit = (bitmap: Uint8Array, at: number, n: number): boolean => (bitmap[at + (n >>> 3)]! & (1 << (n & 7))) !== 0;

/** The processor's VT-x, as the cpu sees it. */
export class VmxPort extends Vmx implements VirtPort {
  /**
   * Offers VT-x on the vCPU whose `virt` this is: CR4.VMXE, IA32_FEATURE_CONTROL and the capability MSRs. vCPUs may share one
   * MsrTable: the MSRs are defined once. CPUID.1:ECX.VMX is the profile's.
   */
  attach(cpu: Cpu): void {
    cpu.cr4Allowed |= CR4_VMXE;
    if (cpu.msrs.get(IA32_FEATURE_CONTROL) !== undefined) return;
    const of = (c: Cpu): Vmx => c.virt as VmxPort;
    cpu.msrs.define(IA32_FEATURE_CONTROL, {
      name: 'IA32_FEATURE_CONTROL',
      read: (c) => BigInt(of(c).featureControl),
      write: (c, v) => {
        if ((of(c).featureControl & FEATURE_CONTROL.lock) !== 0 || (v & ~FEATURE_CONTROL_DEFINED) !== 0n) return false;
        of(c).featureControl = Number(v);
        return true;
      },
    });
    this.caps.define(cpu.msrs);
  }

  private exit(cpu: Cpu, reason: number, info: ExitInformation): true {
    vmExit(this, cpu, reason, info);
    return true;
  }

  instruction(cpu: Cpu, op: InterceptOp, info: InterceptInfo = {}): boolean {
    if (op === 'IRET') this.noteIret(cpu);
    const rule = RULES[op];
    if (rule === undefined) return false;
    if (rule.exists !== undefined && !rule.exists(this)) cpu.raise(UD);
    if (rule.when !== undefined && !rule.when(this, cpu)) return false;
    if (rule.format === undefined)
      return this.exit(cpu, rule.reason, { instruction: true, qualification: rule.qualification?.(cpu, info) ?? 0n });
    const { information, displacement } = instructionInformation(cpu, rule.format, rule.identity);
    return this.exit(cpu, rule.reason, { instruction: true, information, qualification: displacement });
  }

  /** IRET with virtual NMIs or without NMI exiting ends blocking by NMI; §28.2.3 wants to know when it then faults. */
  private noteIret(cpu: Cpu): void {
    this.iretUnblocked = cpu.s.get32(S.nmiBlocked) !== 0;
    this.iretKeepsBlocking = this.iretUnblocked && (this.c.pin & (PIN.nmiExiting | PIN.virtualNmis)) === PIN.nmiExiting;
  }

  crAccess(cpu: Cpu, cr: number, kind: 'write' | 'read' | 'clts' | 'lmsw' | 'smsw', reg: number, value: bigint, linear?: bigint): boolean {
    if (!this.crExits(cr, kind, value)) return false;
    const access = kind === 'smsw' ? ACCESS.read : ACCESS[kind];
    let qualification = BigInt(cr | (access << 4));
    if (kind === 'lmsw') qualification |= (value & 0xffffn) << 16n | (linear !== undefined ? 1n << 6n : 0n);
    else if (kind !== 'clts') qualification |= BigInt(reg) << 8n;
    return this.exit(cpu, REASON.CR_ACCESS, { instruction: true, qualification, ...(linear !== undefined ? { linear } : {}) });
  }

  private crExits(cr: number, kind: 'write' | 'read' | 'clts' | 'lmsw' | 'smsw', value: bigint): boolean {
    const { c } = this;
    switch (cr) {
      case 0:
        if (kind === 'write') return ((value ^ c.cr0Shadow) & c.cr0Mask) !== 0n;
        if (kind === 'clts') return (Number(c.cr0Mask & c.cr0Shadow & 0xffffn) & CR0_TS) !== 0;
        if (kind === 'lmsw') {
          const mask = Number(c.cr0Mask & 15n), shadow = Number(c.cr0Shadow & 15n), source = Number(value & 15n);
          return (mask & source & ~shadow & CR0_PE) !== 0 || (mask & 14 & (source ^ shadow)) !== 0;
        }
        return false;
      case 3:
        if (kind === 'read') return (c.proc & PROC.cr3StoreExiting) !== 0;
        return (c.proc & PROC.cr3LoadExiting) !== 0 && !this.isCr3Target(value);
      case 4:
        return kind === 'write' && ((value ^ c.cr4Shadow) & c.cr4Mask) !== 0n;
      case 8:
        return (c.proc & (kind === 'read' ? PROC.cr8StoreExiting : PROC.cr8LoadExiting)) !== 0;
      default:
        return false;
    }
  }
  private isCr3Target(value: bigint): boolean {
    const count = Math.min(this.get32(F.CR3_TARGET_COUNT), CR3_TARGETS);
    for (let i = 0; i < count; i++) if (this.get(F.CR3_TARGET_VALUE_0 + 8 * i) === value) return true;
    return false;
  }

  visibleCr(_cpu: Cpu, cr: 0 | 4, real: number): number {
    const mask = this.mask(cr);
    return ((real & ~mask) | (Number((cr === 0 ? this.c.cr0Shadow : this.c.cr4Shadow) & 0xffff_ffffn) & mask)) >>> 0;
  }
  mergedCr(cpu: Cpu, cr: 0 | 4, value: number): number {
    const mask = this.mask(cr), real = cr === 0 ? cpu.s.cr0 : cpu.s.cr4;
    return ((value & ~mask) | (real & mask)) >>> 0;
  }
  private mask(cr: 0 | 4): number {
    return Number((cr === 0 ? this.c.cr0Mask : this.c.cr4Mask) & 0xffff_ffffn);
  }
  /** §24.8 "Restrictions on VMX Operation"; in a guest PE and PG are free if it is unrestricted. */
  crValueAllowed(cpu: Cpu, cr: 0 | 4, value: number): boolean {
    if (!this.on) return true;
    if (cr === 4) return this.cr4Ok(cpu, value);
    const unrestricted = cpu.inGuest && (this.c.proc2 & PROC2.unrestrictedGuest) !== 0;
    return (~value & this.caps.cr0Fixed1s(unrestricted)) === 0;
  }
  virtualTpr(): boolean {
    return false;
  }

  drAccess(cpu: Cpu, dr: number, write: boolean, reg: number): boolean {
    if ((this.c.proc & PROC.movDrExiting) === 0) return false;
    return this.exit(cpu, REASON.MOV_DR, { instruction: true, qualification: BigInt(dr | (write ? 0 : 1 << 4) | (reg << 8)) });
  }

  io(cpu: Cpu, port: number, size: 1 | 2 | 4, input: boolean, string: boolean, rep: boolean, immediate: boolean, addressSize: number, segment: number, linear: bigint): boolean {
    if (!this.ioExits(cpu, port, size)) return false;
    const qualification =
      (size - 1) | (input ? 1 << 3 : 0) | (string ? 1 << 4 : 0) | (rep ? 1 << 5 : 0) | (immediate ? 1 << 6 : 0);
    const information = string ? ((addressSize === 64 ? 2 : addressSize === 32 ? 1 : 0) << 7) | (input ? 0 : segment << 15) : 0;
    return this.exit(cpu, REASON.IO_INSTRUCTION, {
      instruction: true,
      qualification: BigInt(qualification) | (BigInt(port) << 16n),
      information,
      linear: string ? linear : 0n,
    });
  }
  private ioExits(cpu: Cpu, port: number, size: number): boolean {
    const { c } = this;
    if ((c.proc & PROC.useIoBitmaps) === 0) return (c.proc & PROC.unconditionalIoExiting) !== 0;
    if (port + size > 0x10000) return true;
    for (let p = port; p < port + size; p++) if (this.bitmapBit(cpu, p < 0x8000 ? c.ioBitmapA : c.ioBitmapB, p & 0x7fff)) return true;
    return false;
  }
  /** A bit of a bitmap in physical memory; outside RAM all bits read as ones. */
  private bitmapBit(cpu: Cpu, hpa: number, n: number): boolean {
    const at = cpu.phys.address(hpa);
    return at < 0 || bit(this.m.u8, at, n);
  }

  msr(cpu: Cpu, index: number, write: boolean): boolean {
    if (!this.msrExits(cpu, index, write)) return false;
    return this.exit(cpu, write ? REASON.WRMSR : REASON.RDMSR, { instruction: true });
  }
  private msrExits(cpu: Cpu, index: number, write: boolean): boolean {
    if ((this.c.proc & PROC.useMsrBitmaps) === 0) return true;
    const low = index >>> 0 <= 0x1fff, high = index >>> 0 >= 0xc000_0000 && index >>> 0 <= 0xc000_1fff;
    if (!low && !high) return true;
    return this.bitmapBit(cpu, this.c.msrBitmap + (write ? 2048 : 0) + (high ? 1024 : 0), index & 0x1fff);
  }

  /** §26.2 "Other Causes of VM Exits", exceptions: the bitmap, and for #PF the error-code mask and match. */
  exception(cpu: Cpu, vector: number, type: number, hasError: boolean, error: number, address: bigint, length: number): boolean {
    const { c } = this;
    if (vector === DB && type === EVENT_TYPE.hardware && this.mtf === 2 && this.delivery === null) {
      // The monitor trap flag comes before debug traps of the same instruction; they stay pending. §26.5.2 "Monitor Trap Flag".
      cpu.s.set32(S.pendingDebug, Number(address));
      return this.exit(cpu, REASON.MONITOR_TRAP_FLAG, {});
    }
    let exits = (c.exceptionBitmap & (1 << vector)) !== 0;
    if (vector === PFV && ((error & c.pageFaultMask) >>> 0) !== c.pageFaultMatch) exits = !exits;
    if (!exits) return false;
    // In real-address mode exceptions have no error code.
    const withError = hasError && (cpu.s.cr0 & CR0_PE) !== 0;
    const fault = type === EVENT_TYPE.hardware && vector !== DB && vector !== DFV && vector !== MC;
    return this.exit(cpu, REASON.EXCEPTION_OR_NMI, {
      qualification: vector === PFV || vector === DB ? address : 0n,
      interruption: this.interruption(vector, type, withError),
      interruptionError: withError ? error : 0,
      length: type >= EVENT_TYPE.softwareInterrupt ? length : 0,
      resume: fault,
      ignoreDelivery: vector === DFV,
    });
  }
  private interruption(vector: number, type: number, withError: boolean): number {
    const unblocked = this.iretUnblocked && this.delivery === null && type === EVENT_TYPE.hardware && vector !== DFV;
    return (EVENT.valid | vector | (type << 8) | (withError ? EVENT.errorCode : 0) | (unblocked ? EVENT.nmiUnblocking : 0)) >>> 0;
  }

  beginDelivery(cpu: Cpu, vector: number, type: number, hasError: boolean, error: number, length: number): void {
    const withError = hasError && (cpu.s.cr0 & CR0_PE) !== 0;
    const information = (EVENT.valid | vector | (type << 8) | (withError ? EVENT.errorCode : 0)) >>> 0;
    this.delivery = { information, hasError: withError, error: withError ? error : 0, length };
  }
  endDelivery(): void {
    this.delivery = null;
    // A fault and its delivery are one step of the monitor trap flag. §26.5.2 "Monitor Trap Flag".
    if (this.mtf === 1) this.mtf = 2;
  }

  taskSwitch(cpu: Cpu, selector: number, reason: 'call' | 'iret' | 'jmp' | 'gate', _hasError: boolean, _error: number): boolean {
    const qualification = (BigInt(TASK_SWITCH_SOURCE[reason]) << 30n) | BigInt(selector & 0xffff);
    return this.exit(cpu, REASON.TASK_SWITCH, reason === 'gate' ? { qualification } : { qualification, instruction: true });
  }
  tripleFault(cpu: Cpu): boolean {
    return this.exit(cpu, REASON.TRIPLE_FAULT, { ignoreDelivery: true });
  }

  /** §28.2.1 "Basic VM-Exit Information", "Exit Qualification for EPT Violations". */
  nestedFault(cpu: Cpu, f: NestedFault): void {
    const resume = this.delivery === null;
    const physical = BigInt(f.gpa);
    if (f.misconfiguration) {
      vmExit(this, cpu, REASON.EPT_MISCONFIGURATION, { physical, resume });
      return;
    }
    let q = (f.read ? 1 : 0) | (f.write ? 2 : 0) | (f.fetch ? 4 : 0) | ((f.permissions & 7) << 3);
    if (f.glaValid) q |= (1 << 7) | (f.onTable ? 0 : 1 << 8);
    if (this.iretUnblocked && this.delivery === null) q |= EVENT.nmiUnblocking;
    vmExit(this, cpu, REASON.EPT_VIOLATION, { qualification: BigInt(q), physical, linear: f.glaValid ? f.gla : 0n, resume });
  }

  /**
   * §26.2 and §26.5 in the order of priority: INIT, monitor trap flag, preemption timer, NMI window, NMI, interrupt window,
   * external interrupt.
   */
  pendingEvent(cpu: Cpu, event: 'none' | 'external' | 'nmi' | 'init' | 'sipi' | 'smi', vector: number): EventVerdict {
    const { s } = cpu, { c } = this;
    this.settleIret(cpu);
    const activity = s.get32(S.activity);
    if (event === 'init') return activity === ACTIVITY.waitForSipi ? 'blocked' : (vmExit(this, cpu, REASON.INIT), 'taken');
    if (event === 'sipi') {
      if (activity !== ACTIVITY.waitForSipi) return 'blocked';
      vmExit(this, cpu, REASON.SIPI, { qualification: BigInt(vector & 0xff) });
      return 'taken';
    }
    if (activity === ACTIVITY.waitForSipi) return 'blocked';
    if (this.mtf === 2) {
      vmExit(this, cpu, REASON.MONITOR_TRAP_FLAG);
      return 'exit';
    }
    const shadow = s.get32(S.interruptShadow);
    // Debug traps of the last instruction come before everything below.
    if (s.get32(S.pendingDebug) !== 0 && shadow !== MOV_SS_SHADOW) return 'blocked';
    if (this.timerEnd !== Infinity && timerLeft(this, cpu) === 0) {
      vmExit(this, cpu, REASON.PREEMPTION_TIMER);
      return 'exit';
    }
    const nmiBlocked = s.get32(S.nmiBlocked) !== 0;
    if (c.proc & PROC.nmiWindowExiting && !nmiBlocked && shadow === 0) {
      vmExit(this, cpu, REASON.NMI_WINDOW);
      return 'exit';
    }
    if (event === 'nmi') {
      if ((c.pin & PIN.nmiExiting) === 0) return nmiBlocked || shadow !== 0 ? 'blocked' : 'deliver';
      const blocked = shadow !== 0 || (nmiBlocked && (c.pin & PIN.virtualNmis) === 0);
      if (blocked) return 'blocked';
      vmExit(this, cpu, REASON.EXCEPTION_OR_NMI, { interruption: this.interruption(2, EVENT_TYPE.nmi, false) });
      return 'taken';
    }
    if (activity === ACTIVITY.shutdown) return 'blocked';
    const open = shadow === 0 && (s.get32(S.rflagsRest) & IF) !== 0;
    if (open && c.proc & PROC.interruptWindowExiting) {
      vmExit(this, cpu, REASON.INTERRUPT_WINDOW);
      return 'exit';
    }
    if (event !== 'external') return 'deliver';
    if ((c.pin & PIN.externalInterruptExiting) === 0) return open ? 'deliver' : 'blocked';
    if (shadow !== 0) return 'blocked';
    const acknowledge = (c.exit & EXIT.acknowledgeInterrupt) !== 0;
    vmExit(this, cpu, REASON.EXTERNAL_INTERRUPT, acknowledge ? { interruption: this.interruption(cpu.platform.acknowledgeInterrupt(cpu), EVENT_TYPE.external, false) } : {});
    return 'exit';
  }

  /** After IRET: with "NMI exiting" and no virtual NMIs it has not changed blocking by NMI. §26.3, the entry on IRET. */
  private settleIret(cpu: Cpu): void {
    if (this.iretKeepsBlocking) cpu.s.set32(S.nmiBlocked, 1);
    this.iretKeepsBlocking = this.iretUnblocked = false;
  }

  globalInterruptFlag(): boolean {
    return true;
  }
  /** §24.8 "Restrictions on VMX Operation": INIT signals are blocked in VMX root operation. */
  blocksInit(cpu: Cpu): boolean {
    return this.on && !cpu.inGuest;
  }
  get tscOffsetLow(): number {
    return this.c.tscOffsetLow;
  }
  get tscOffsetHigh(): number {
    return this.c.tscOffsetHigh;
  }

  /** The run loop takes one instruction at a time while this holds (monitor trap flag). */
  get singleStep(): boolean {
    return this.mtf !== 0;
  }
  /** Cycle at which `pendingEvent` must be called (preemption timer), or Infinity. */
  get deadline(): number {
    return this.timerEnd === Infinity ? Infinity : this.timerDeadline;
  }
  /** The run loop has executed one instruction of the guest in single-step mode. */
  stepped(): void {
    if (this.mtf === 1) this.mtf = 2;
  }
}
