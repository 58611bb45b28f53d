/**
 * AMD's secure virtual machine as the cpu's virtualisation extension: what the cpu asks, answered from the controls that VMRUN loaded.
 *
 * APM 2 chapter 15 "Secure Virtual Machine": §15.7 "Intercept Operation" to §15.14 "Miscellaneous Intercepts", §15.21 "Interrupt
 * and Local APIC Support", §15.25 "Nested Paging". One object for each vCPU.
 *
 * Deviations: LBR virtualisation, decode assists, AVIC, virtual GIF, virtual NMI, TSC scaling, SMM, SKINIT and #SX (INIT
 * redirection) are neither implemented nor advertised; FERR_FREEZE never happens, because the model has no legacy FERR freeze.
 */

import './instructions.js';
import type { Cpu } from '../cpu/cpu.js';
import { BP, BR, DB, EVENT_TYPE, OFV, PFV } from '../cpu/events.js';
import type { InterceptInfo, InterceptOp, NestedFault, VirtPort } from '../cpu/ports.js';
import { ACTIVITY, CR0_MP, CR0_TS, CR4_SMEP, IF, RF, S } from '../cpu/state.js';
import type { LinearMemory } from '../mem/linear-memory.js';
import type { SvmCapabilities } from './capabilities.js';
import { exitGuest, type ExitInfo } from './exit.js';
import { EVENT_ERROR_VALID, EVENT_TYPE_SHIFT, EVENT_VALID, VMCB, V_IGN_TPR, V_INTR_MASKING, V_INTR_PRIO_SHIFT, V_IRQ } from './fields.js';
import {
  CR_WORD, DR_WORD, EXCEPTION_WORD, INTERCEPTS, OPERATION_INTERCEPT, VMEXIT_CR0_READ, VMEXIT_CR0_WRITE, VMEXIT_DR0_READ,
  VMEXIT_DR0_WRITE, VMEXIT_EXCP0, VMEXIT_NPF, type InterceptName,
} from './intercepts.js';
import { VM_CR_R_INIT, applySvmDisable, defineSvmMsrs } from './msrs.js';
import { DR6, DR7 } from './save-area.js';
import { SvmRegisters } from './state.js';

export { ALL_CAPABILITIES, capabilitiesFromCpuid, cpuidFromCapabilities, type SvmCapabilities } from './capabilities.js';
export { exitName } from './intercepts.js';
export { MINIMAL_TRANSITIONS } from './transition-parts.js';

const NEXT_RIP: ExitInfo = { nextRip: true };
const DR7_GD = 1 << 13;

export interface SvmOptions {
  /** The machine's memory. */
  readonly memory: LinearMemory;
  readonly capabilities: SvmCapabilities;
}

export class Svm extends SvmRegisters implements VirtPort {
  /** Makes the extension known to its vCPU: EFER.SVME may be written, the SVM registers exist. Call once, before the first instruction. */
  attach(cpu: Cpu): void {
    applySvmDisable(this, cpu);
    defineSvmMsrs(cpu.msrs, this);
  }

  /** RESET#: GIF is one, the SVM registers are zero, and no guest runs. */
  reset(cpu: Cpu): void {
    this.powerOn();
    applySvmDisable(this, cpu);
  }

  // ---- instructions

  instruction(cpu: Cpu, op: InterceptOp, info?: InterceptInfo): boolean {
    if (!cpu.inGuest) return false;
    if (op === 'PAUSE') return this.pause(cpu);
    if (op === 'MWAIT' && info?.a === 1 && this.intercepted('MWAIT_CONDITIONAL')) return this.exitInstruction(cpu, 'MWAIT_CONDITIONAL');
    const name = OPERATION_INTERCEPT[op];
    return name !== undefined && this.intercepted(name) && this.exitInstruction(cpu, name);
  }

  private exitInstruction(cpu: Cpu, name: InterceptName): boolean {
    exitGuest(this, cpu, INTERCEPTS[name][2], NEXT_RIP);
    return true;
  }

  /** APM 2 §15.14.4 "Pause Intercept Filtering". */
  private pause(cpu: Cpu): boolean {
    if (this.pauseThreshold !== 0) {
      const now = cpu.now(), since = now - this.lastPause;
      this.lastPause = now;
      if (since > this.pauseThreshold) {
        this.pauseCount = this.pauseReload;
        return false;
      }
    }
    if (this.pauseCount > 0) {
      this.pauseCount--;
      return false;
    }
    return this.intercepted('PAUSE') && this.exitInstruction(cpu, 'PAUSE');
  }

  crAccess(cpu: Cpu, cr: number, kind: 'write' | 'read' | 'clts' | 'lmsw' | 'smsw', _reg: number, value: bigint): boolean {
    if (!cpu.inGuest) return false;
    const word = this.intercepts[CR_WORD]!;
    if (kind === 'read' || kind === 'smsw') {
      if (((word >>> cr) & 1) === 0) return false;
      exitGuest(this, cpu, VMEXIT_CR0_READ + cr, NEXT_RIP);
      return true;
    }
    if ((word >>> (16 + cr)) & 1) {
      exitGuest(this, cpu, VMEXIT_CR0_WRITE + cr, NEXT_RIP);
      return true;
    }
    if (cr === 0 && this.intercepted('CR0_SEL_WRITE') && this.selective(cpu, kind, value)) return this.exitInstruction(cpu, 'CR0_SEL_WRITE');
    // Without V_INTR_MASKING "writes to CR8 affect both the APIC's TPR and the V_TPR register".
    if (cr === 8 && value < 16n && (this.vIntr & V_INTR_MASKING) === 0) this.vIntr = (this.vIntr & ~0xff) | (Number(value) & 0xf);
    return false;
  }

  /** "Only if a bit other than CR0.TS or CR0.MP is being changed"; LMSW always, CLTS never. */
  private selective(cpu: Cpu, kind: 'write' | 'clts' | 'lmsw', value: bigint): boolean {
    if (kind !== 'write') return kind === 'lmsw';
    return ((cpu.s.cr0 ^ Number(BigInt.asUintN(32, value))) & ~(CR0_TS | CR0_MP)) !== 0;
  }

  drAccess(cpu: Cpu, dr: number, write: boolean): boolean {
    if (!cpu.inGuest || ((this.intercepts[DR_WORD]! >>> (write ? 16 + dr : dr)) & 1) === 0) return false;
    exitGuest(this, cpu, (write ? VMEXIT_DR0_WRITE : VMEXIT_DR0_READ) + dr, NEXT_RIP);
    return true;
  }

  // ---- permission maps

  /** APM 2 §15.10 "IOIO Intercepts". One bit for each byte of the access; a port beyond FFFFh uses the bits after the map. */
  io(
    cpu: Cpu, port: number, size: 1 | 2 | 4, input: boolean, string: boolean, rep: boolean, _immediate: boolean, addressSize: number,
    segment: number,
  ): boolean {
    if (!cpu.inGuest || !this.intercepted('IOIO')) return false;
    const at = this.iopm + (port >>> 3);
    const bits = this.mapByte(cpu, at) | (this.mapByte(cpu, at + 1) << 8);
    if ((bits & (((1 << size) - 1) << (port & 7))) === 0) return false;
    const width = string ? addressSize : 16 << cpu.s.get32(S.mode); // IN and OUT have no address: the mode's size
    const info1 =
      (port << 16) | (string ? (input ? 0 : segment) << 10 : 0) | ((width >>> 4) << 7) | (size << 4) |
      (rep ? 8 : 0) | (string ? 4 : 0) | (input ? 1 : 0);
    const next = cpu.s.m.u32, i = S.nextRip >>> 2;
    exitGuest(this, cpu, INTERCEPTS.IOIO[2], { info1, info2: next[i]!, info2High: next[i + 1]!, nextRip: true });
    return true;
  }

  /** APM 2 §15.11 "MSR Intercepts". Registers outside the three ranges are always intercepted. */
  msr(cpu: Cpu, index: number, write: boolean): boolean {
    if (!cpu.inGuest || !this.intercepted('MSR') || !this.msrIntercepted(cpu, index >>> 0, write)) return false;
    exitGuest(this, cpu, INTERCEPTS.MSR[2], { info1: write ? 1 : 0, nextRip: true });
    return true;
  }

  private msrIntercepted(cpu: Cpu, index: number, write: boolean): boolean {
    const range = MSR_RANGES.indexOf(index - (index & 0x1fff));
    if (range < 0) return true;
    const bit = (index & 0x1fff) * 2 + (write ? 1 : 0);
    return ((this.mapByte(cpu, this.msrpm + range * 0x800 + (bit >>> 3)) >>> (bit & 7)) & 1) !== 0;
  }

  /** A byte of a permission map; where there is no memory it reads as all ones. */
  private mapByte(cpu: Cpu, hpa: number): number {
    const at = cpu.phys.address(hpa);
    return at < 0 ? 0xff : cpu.m.u8[at]!;
  }

  // ---- events

  /**
   * APM 2 §15.12 "Exception Intercepts". Only exceptions, INT3, INTO and BOUND check them; INT n, interrupts, NMI and ICEBP do not,
   * nor does an injected event.
   */
  exception(cpu: Cpu, vector: number, type: number, hasError: boolean, error: number, address: bigint): boolean {
    if (!cpu.inGuest) return false;
    if (this.injecting && vector === cpu.s.get32(S.pendingVector)) return false;
    if (type !== EVENT_TYPE.hardware && type !== EVENT_TYPE.software) return false;
    if (vector > 31 || ((this.intercepts[EXCEPTION_WORD]! >>> vector) & 1) === 0) return false;
    if (vector === DB) recordDebug(cpu, Number(BigInt.asUintN(32, address)));
    exitGuest(this, cpu, VMEXIT_EXCP0 + vector, {
      info1: hasError ? error : 0,
      ...(vector === PFV && { info2: Number(BigInt.asUintN(32, address)), info2High: Number(BigInt.asUintN(32, address >> 32n)) }),
      nextRip: type === EVENT_TYPE.software || vector === BP || vector === OFV || vector === BR,
    });
    return true;
  }

  /** EXITINTINFO for an exit before `endDelivery`. INT1, INT3 and INTO count as exceptions. */
  beginDelivery(_cpu: Cpu, vector: number, type: number, hasError: boolean, error: number): void {
    const kind = type === EVENT_TYPE.privilegedSoftware || type === EVENT_TYPE.software ? EVENT_TYPE.hardware : type;
    this.injecting = false;
    this.deliveryInfo = (EVENT_VALID | (hasError ? EVENT_ERROR_VALID : 0) | (kind << EVENT_TYPE_SHIFT) | vector) >>> 0;
    this.deliveryError = hasError ? error >>> 0 : 0;
  }

  endDelivery(cpu: Cpu): void {
    this.deliveryInfo = 0;
    if (!this.injectedNmi) return;
    this.injectedNmi = false;
    cpu.s.set32(S.nmiBlocked, this.nmiBlockedBefore);
  }

  /** APM 2 §15.14.1 "Task Switch Intercept". */
  taskSwitch(cpu: Cpu, selector: number, reason: 'call' | 'iret' | 'jmp' | 'gate', hasError: boolean, error: number): boolean {
    if (!cpu.inGuest || !this.intercepted('TASK_SWITCH')) return false;
    const info2High =
      (reason === 'iret' ? 1 << 4 : 0) | (reason === 'jmp' ? 1 << 6 : 0) | (hasError ? 1 << 12 : 0) | (cpu.s.rflags & RF ? 1 << 16 : 0);
    exitGuest(this, cpu, INTERCEPTS.TASK_SWITCH[2], { info1: selector & 0xffff, info2: hasError ? error : 0, info2High });
    return true;
  }

  /** APM 2 §15.14.3 "Shutdown Intercept". */
  tripleFault(cpu: Cpu): boolean {
    if (!cpu.inGuest || !this.intercepted('SHUTDOWN')) return false;
    exitGuest(this, cpu, INTERCEPTS.SHUTDOWN[2]);
    return true;
  }

  /**
   * APM 2 §15.25.6 "Nested versus Guest Page Faults, Fault Ordering". "Table walks for guest page tables are always treated as user
   * writes." The ID bit is as in a #PF error code: only when the host uses no-execute protection or SMEP.
   */
  nestedFault(cpu: Cpu, f: NestedFault): void {
    const fetchKnown = this.nested?.nx === true || (this.hsave.u32(VMCB.CR4) & CR4_SMEP) !== 0;
    const info1 =
      (f.present ? 1 : 0) | (f.write || f.onTable ? 2 : 0) | 4 | (f.reserved ? 8 : 0) | (f.fetch && !f.onTable && fetchKnown ? 0x10 : 0);
    exitGuest(this, cpu, VMEXIT_NPF, {
      info1,
      info1High: f.onTable ? 2 : 1,
      info2: f.gpa % 0x1_0000_0000,
      info2High: Math.floor(f.gpa / 0x1_0000_0000),
    });
  }

  // ---- interrupts

  /** APM 2 §15.13 "Interrupt Intercepts", §15.21 "Interrupt and Local APIC Support". Physical interrupts go before virtual ones. */
  pendingEvent(cpu: Cpu, event: 'none' | 'external' | 'nmi' | 'init' | 'sipi' | 'smi', _vector: number): 'exit' | 'blocked' | 'deliver' {
    if (!this.gif) return 'blocked';
    if (!cpu.inGuest) return 'deliver';
    const s = cpu.s;
    if (this.injecting) return 'blocked'; // the injected event is taken "unconditionally before executing the first guest instruction"
    if (event === 'init') return this.init(cpu);
    if (s.get32(S.interruptShadow) !== 0) return 'blocked';
    const guestIf = (s.get32(S.rflagsRest) & IF) !== 0;
    switch (event) {
      case 'nmi':
        return s.get32(S.nmiBlocked) === 0 ? this.exitOrDeliver(cpu, 'NMI') : 'blocked';
      case 'external':
        return (this.vIntr & V_INTR_MASKING ? this.hostIf : guestIf) ? this.exitOrDeliver(cpu, 'INTR') : 'blocked';
      case 'none':
        return guestIf && this.virtualInterruptPending() ? this.takeVirtualInterrupt(cpu) : 'blocked';
      default:
        return 'blocked';
    }
  }

  /** The event stays pending ("#VMEXIT(NMI), NMI is still pending"; so with INIT): APM 2 tables 15-12 and 15-13. */
  private exitOrDeliver(cpu: Cpu, name: 'INTR' | 'NMI' | 'INIT'): 'exit' | 'deliver' {
    if (!this.intercepted(name)) return 'deliver';
    exitGuest(this, cpu, INTERCEPTS[name][2]);
    return 'exit';
  }

  /** An INIT that is not intercepted ends the guest with everything else: nothing is saved in the VMCB. */
  private init(cpu: Cpu): 'exit' | 'deliver' {
    if (this.intercepted('INIT')) return this.exitOrDeliver(cpu, 'INIT');
    if (this.vmCr & VM_CR_R_INIT) cpu.notImplemented('INIT redirection to #SX (VM_CR.R_INIT)');
    this.leaveGuest();
    cpu.s.set32(S.guest, 0);
    cpu.addressSpaceTag = 0;
    return 'deliver';
  }

  private virtualInterruptPending(): boolean {
    const v = this.vIntr;
    if ((v & V_IRQ) === 0) return false;
    return (v & V_IGN_TPR) !== 0 || ((v >>> V_INTR_PRIO_SHIFT) & 0xf) > this.vTpr();
  }

  private vTpr(): number {
    return this.vIntr & V_INTR_MASKING ? this.m.u32[S.cr8 >>> 2]! & 0xf : this.vIntr & 0xf;
  }

  /** "V_IRQ is cleared after checking for intercepts of virtual interrupts and before the IDT is accessed." Pending now, or exited. */
  private takeVirtualInterrupt(cpu: Cpu): 'exit' {
    if (this.intercepted('VINTR')) {
      exitGuest(this, cpu, INTERCEPTS.VINTR[2]);
      return 'exit';
    }
    const s = cpu.s;
    this.vIntr &= ~V_IRQ;
    s.set32(S.activity, ACTIVITY.active);
    s.set32(S.pending, 1);
    s.set32(S.pendingVector, this.vIntrVector);
    s.set32(S.pendingType, EVENT_TYPE.external);
    s.set32(S.pendingHasError, 0);
    s.set32(S.pendingLength, 0);
    return 'exit';
  }

  globalInterruptFlag(_cpu: Cpu): boolean {
    return this.gif;
  }

  virtualTpr(cpu: Cpu): boolean {
    return cpu.inGuest && (this.vIntr & V_INTR_MASKING) !== 0;
  }

}

/** First register of each range of the MSR permissions map, in the map's order. APM 2 table 15-8. */
const MSR_RANGES = [0, 0xc000_0000, 0xc001_0000];

/** "The value saved for DR6 and DR7 matches what would be visible to a #DB exception handler." */
function recordDebug(cpu: Cpu, bits: number): void {
  const { u32 } = cpu.m;
  u32[DR6 >>> 2] = (u32[DR6 >>> 2]! & ~0xf) | bits;
  u32[DR7 >>> 2]! &= ~DR7_GD;
}

/** An SVM extension for one vCPU. `attach` it before the vCPU runs. */
export const createSvm = (options: SvmOptions): Svm => new Svm(options.memory, options.capabilities);
