/**
 * One vCPU as the machine assembles it: the processor, its extension, its registers by profile, and what its local APIC does to it.
 *
 * Invariant: nothing is advertised that is not plugged in: CPUID, CR4 and EFER bits come from the same profile.
 */

import '../cpu/isa/index.js';
import type { VcpuConfig } from '../cpu/cpu-facade.js';
import type { Engine } from '../cpu/engine/engine.js';
import { MsrTable } from '../cpu/registers.js';
import type { PlatformPort, AttributionPort, ProbePort, TimingPort, VirtPort } from '../cpu/ports.js';
import { ACTIVITY, CS, IF, S } from '../cpu/state.js';
import { cr4AllowedBy, eferAllowedBy, type ProfileCpuid } from '../cpu/system/cpuid.js';
import { defineCoreMsrs, resetCoreMsrs } from '../cpu/system/msrs.js';
import { Vcpu } from '../cpu/vcpu.js';
import type { ApicHost, LocalApic } from '../devices/lapic.js';
import { defineApicMsrs } from './apic-msrs.js';

/** A virtualisation extension as the machine holds it. */
export interface Extension {
  readonly port: VirtPort & { attach(cpu: Vcpu): void };
  /** What its capabilities say about EPT entries. */
  readonly mmu?: Pick<VcpuConfig, 'eptExecuteOnly' | 'eptGigabytePages'>;
  /** Exits since power-on, by the manual's name. */
  exitCounts(): Map<string, number>;
}

export interface ProcessorConfig {
  readonly id: number;
  readonly engine: Engine;
  readonly platform: PlatformPort;
  readonly extension: Extension | null;
  readonly timing: TimingPort | null;
  readonly probe: ProbePort;
  readonly attribution?: AttributionPort | undefined;
  readonly cpuid: ProfileCpuid;
  readonly lapic: () => LocalApic;
}

const bit = (register: number, n: number): boolean => ((register >>> n) & 1) !== 0;

export class Processor implements ApicHost {
  readonly vcpu: Vcpu;
  readonly extension: Extension | null;
  /** The TSC offset while another vCPU's state is in the window. */
  private lastTscOffset = 0n;

  constructor(private readonly c: ProcessorConfig) {
    const { cpuid } = c, extended = cpuid.fixed(0x8000_0001), one = cpuid.fixed(1);
    const amd = cpuid.vendor === 'AuthenticAMD', gigabytePages = bit(extended.edx, 26);
    this.extension = c.extension;
    this.vcpu = new Vcpu({
      id: c.id, engine: c.engine, platform: c.platform, virt: c.extension?.port ?? null, timing: c.timing, probe: c.probe, attribution: c.attribution, cpuid, msrs: new MsrTable(),
      physicalAddressBits: cpuid.physicalAddressBits, gigabytePages, bit8Reserved: amd, ...c.extension?.mmu,
    });
    this.vcpu.cr4Allowed = cr4AllowedBy(cpuid);
    this.vcpu.eferAllowed = eferAllowedBy(cpuid);
    defineCoreMsrs(this.vcpu.msrs, {
      vendor: cpuid.vendor, rdtscp: bit(extended.edx, 27), tscAdjust: bit(cpuid.fixed(7).ebx, 1), longMode: bit(extended.edx, 29),
    });
    defineApicMsrs(this.vcpu.msrs, c.lapic, { x2apic: bit(one.ecx, 21), tscDeadline: bit(one.ecx, 24) });
    c.extension?.port.attach(this.vcpu);
  }

  /** RESET#: the boot processor starts at the reset vector, the others wait. */
  reset(): void {
    this.vcpu.reset(this.c.id === 0);
    resetCoreMsrs(this.vcpu);
    this.remember();
  }

  /** While a guest halts: the cycle by which its extension wants to be asked (VMX-preemption timer). Else Infinity. */
  wakeAt = Infinity;

  /** Ends a slice: keeps what others may ask while this vCPU is not in the window. */
  remember(): void {
    const { inGuest, s, virt } = this.vcpu;
    this.wakeAt = inGuest && s.get32(S.activity) === ACTIVITY.hlt ? (virt?.deadline ?? Infinity) : Infinity;
    this.lastTscOffset = BigInt.asIntN(64, this.vcpu.s.get64(S.tscOffset));
  }

  /** CS:RIP, for people. */
  get address(): string {
    this.vcpu.activate();
    return `${this.vcpu.s.selector(CS).toString(16)}:0x${this.vcpu.s.rip.toString(16)}`;
  }

  /** Halted with interrupts off and no NMI on its way: only another processor could wake it. */
  get haltedForGood(): boolean {
    this.vcpu.activate();
    const { s, nmiPending, initPending, inGuest } = this.vcpu, activity = s.get32(S.activity);
    if (activity === ACTIVITY.waitForSipi) return true;
    return activity === ACTIVITY.hlt && !inGuest && !nmiPending && !initPending && (s.get32(S.rflagsRest) & IF) === 0;
  }

  private get inWindow(): boolean {
    return this.c.engine.current === this.vcpu;
  }

  // --- from the local APIC --------------------------------------------------------------------------------------------------

  interruptChanged(): void {
    // The APIC says this while it is being built, too.
    if (this.vcpu !== undefined && this.inWindow && this.c.platform.interruptPending(this.vcpu)) this.vcpu.kick();
  }
  nmi(): void {
    this.vcpu.nmiPending = true;
    if (this.inWindow) this.vcpu.kick();
  }
  smi(): void {
    // There is no system-management mode, as on a machine whose firmware never set up a handler.
  }
  init(): void {
    this.vcpu.initPending = true;
    if (this.inWindow) this.vcpu.kick();
  }
  startUp(vector: number): void {
    this.vcpu.sipiVector = vector;
    if (this.inWindow) this.vcpu.kick();
  }
  tscOffset(): bigint {
    return this.inWindow ? BigInt.asIntN(64, this.vcpu.s.get64(S.tscOffset)) : this.lastTscOffset;
  }
}
