/**
 * A run as `xentrace` would have recorded it, for `xenalyze` and other readers of that format.
 *
 * Event numbers are those of Xen's public/trace.h. Domains are numbered as a Xen host numbers them: of the programs the first is the
 * hypervisor, the others are domains 0, 1, ... in the order in which they were given; a guest under VT-x or SVM is a domain for each nested
 * page table, from 1, with a virtual processor for each VMCS or VMCB. Idle time is the idle domain's.
 *
 * Exits of both extensions are event TRC_HVM_VMEXIT64, as in Xen up to 4.18: `xenalyze` has to be told with `--svm-mode` that the reasons
 * are AMD's, and every version of it then reads them.
 *
 * Deviations: a domain that does not run is shown as blocked (who waits in the scheduler's queue cannot be seen from outside) until it
 * runs again; what a read gives is not known when its exit is recorded, and written as 0.
 */

import { S } from '../../cpu/state.js';
import { IDLE, ownerOf } from '../../machine/attribution.js';
import type { Machine } from '../../machine/machine.js';
import { PROBE } from '../../machine/probe.js';
import type { ByteSink } from './byte-stream.js';
import { type ExitFacts, exitFacts } from './exit-facts.js';
import { guestEcx, guestRax, guestRip, injectedError, interruptionInformation } from './guest-state.js';
import { subscribeMerged } from './merged-halts.js';
import type { ProgramAccounts } from './program-accounts.js';
import { XentraceRecords } from './xentrace-records.js';

const FLAG_64 = 0x100;
const SCHED_RUNSTATE_CHANGE = 0x0002_1001;
const PV_TRAP = 0x0020_1003, PV_PAGE_FAULT = 0x0020_1004, PV_HYPERCALL_V2 = 0x0020_100d, HYPERCALL_ARGUMENT_0 = 0x2 << 20, HYPERCALL_OPS = 0xf_ffff;
const HVM_VMENTRY = 0x0008_1001, HVM_VMEXIT64 = 0x0008_1102;
const HANDLER = 0x0008_2000;
const H = {
  injectException: HANDLER + 0x03, injectInterrupt: HANDLER + 0x04, crRead64: HANDLER + FLAG_64 + 0x08, crWrite64: HANDLER + FLAG_64 + 0x09, drRead: HANDLER + 0x0a,
  drWrite: HANDLER + 0x0b, msrRead: HANDLER + 0x0c, msrWrite: HANDLER + 0x0d, cpuid: HANDLER + 0x0e, interrupt: HANDLER + 0x0f, vmmcall: HANDLER + 0x12, hlt: HANDLER + 0x13,
  invlpg64: HANDLER + FLAG_64 + 0x14, portRead: HANDLER + 0x16, rdtsc: HANDLER + 0x1a, npf: HANDLER + 0x21, trap: HANDLER + 0x23, portWrite: HANDLER + 0x216,
};
/** Run states of public/vcpu.h. */
const RUNNING = 0, RUNNABLE = 1, BLOCKED = 2;
const IDLE_DOMAIN = 32767, NOTHING_MAPPED = 1, EVENT_EXTERNAL = 0, EVENT_EXCEPTION = 3, PAGE_FAULT = 14, USER = 3;
/** Exit reasons that are failed entries, not exits: Xen's handler does not record them as exits either. */
const VMX_ENTRY_FAILURES: readonly number[] = [33, 34];

interface DomainCpu {
  readonly domain: number;
  readonly vcpu: number;
  started: boolean;
  /** An exit is recorded, and no entry yet. */
  left: boolean;
}
const halves = (value: bigint): [number, number] => [Number(value & 0xffff_ffffn), Number((value >> 32n) & 0xffff_ffffn)];
const numberHalves = (value: number): [number, number] => [value % 0x1_0000_0000, Math.floor(value / 0x1_0000_0000)];

export class XentraceFile {
  private readonly records: XentraceRecords;
  private readonly ends: (() => void)[];
  private readonly idle: DomainCpu[];
  private readonly current: DomainCpu[];
  /** The guest that each vCPU entered last. */
  private readonly entered: (DomainCpu | undefined)[] = [];
  private readonly blocks = new Map<number, DomainCpu>();
  private readonly roots = new Map<number, { domain: number; cpus: number }>();
  private readonly outside = new Map<number, DomainCpu>();
  private readonly waitsForVector: boolean[] = [];

  /** Starts writing the machine's events to `sink`. */
  constructor(private readonly machine: Machine, private readonly programs: ProgramAccounts, sink: ByteSink) {
    const { processors, attribution } = machine;
    this.records = new XentraceRecords(sink, processors.length);
    this.idle = processors.map((_, vcpu) => ({ domain: IDLE_DOMAIN, vcpu, started: false, left: false }));
    this.current = [...this.idle];
    const { flush, end } = subscribeMerged(machine.probe, (kind, cycle, vcpu, a, b, c, d) => this.event(kind, cycle, vcpu, a, b, c, d),
      [PROBE.vmEntry, PROBE.vmExit, PROBE.systemCall, PROBE.exception, PROBE.interrupt, PROBE.halt]);
    this.ends = [end];
    if (attribution !== undefined)
      this.ends.push(attribution.subscribe((account, cycle) => {
        flush();
        this.arrived(account, cycle);
      }));
  }

  /** Ends what is open, and writes the rest. */
  finish(): void {
    for (const end of this.ends) end();
    const now = this.machine.cycles;
    this.current.forEach((cpu, processor) => {
      for (const guest of this.blocks.values()) {
        if (!guest.left || (guest !== cpu && processor !== 0)) continue;
        this.runState(processor, guest, guest === cpu ? RUNNING : BLOCKED, RUNNABLE, now);
        guest.left = false;
      }
    });
    this.records.finish();
  }

  // --- who runs -------------------------------------------------------------------------------------------------------------

  private runState(processor: number, cpu: DomainCpu, from: number, to: number, cycle: number): void {
    this.records.record(processor, SCHED_RUNSTATE_CHANGE | (to << 4) | (from << 8), cycle, (cpu.domain << 16) | cpu.vcpu);
  }
  private switchTo(processor: number, next: DomainCpu, cycle: number): void {
    const before = this.current[processor]!;
    if (before === next && next.started) return;
    const idle = this.idle[processor]!;
    if (!idle.started) {
      idle.started = true;
      this.runState(processor, idle, RUNNABLE, RUNNING, cycle);
      if (next === idle) return;
    }
    this.runState(processor, before, RUNNING, BLOCKED, cycle);
    // The readers take the first change of a virtual processor as its beginning, and want it to run then.
    if (next.started) this.runState(processor, next, BLOCKED, RUNNABLE, cycle);
    next.started = true;
    this.runState(processor, next, RUNNABLE, RUNNING, cycle);
    this.current[processor] = next;
  }
  private outsideCpu(domain: number, vcpu: number): DomainCpu {
    const key = domain * 256 + vcpu;
    let cpu = this.outside.get(key);
    if (cpu === undefined) this.outside.set(key, (cpu = { domain, vcpu, started: false, left: false }));
    return cpu;
  }
  private arrived(account: number, cycle: number): void {
    const vcpu = this.machine.platform.current, domain = this.programs.domainOf(ownerOf(account));
    if (account === IDLE || domain === undefined || this.machine.processors[vcpu]!.vcpu.inGuest) return;
    this.switchTo(vcpu, this.outsideCpu(domain, vcpu), cycle);
  }
  /** The virtual processor behind a VMCS or VMCB. */
  private guestCpu(block: number, root: number): DomainCpu {
    let cpu = this.blocks.get(block);
    if (cpu !== undefined) return cpu;
    const key = root === 0 ? -1 - block : root;
    let domain = this.roots.get(key);
    if (domain === undefined) this.roots.set(key, (domain = { domain: this.freeDomain(), cpus: 0 }));
    this.blocks.set(block, (cpu = { domain: domain.domain, vcpu: domain.cpus++, started: false, left: false }));
    return cpu;
  }
  private freeDomain(): number {
    const taken = new Set([...this.outside.values(), ...this.blocks.values()].map((c) => c.domain));
    let domain = 1;
    while (taken.has(domain)) domain++;
    return domain;
  }

  // --- what happens ---------------------------------------------------------------------------------------------------------

  private event(kind: number, cycle: number, vcpu: number, a: number, b: number, c: number, d: number): void {
    switch (kind) {
      case PROBE.vmEntry: return this.entry(cycle, vcpu, a, c, d);
      case PROBE.vmExit: return this.exit(cycle, vcpu, a, c, d);
      case PROBE.systemCall: return this.systemCall(cycle, vcpu, a, b, d);
      case PROBE.exception: return this.exception(cycle, vcpu, a, c, d);
      case PROBE.interrupt: return this.interrupt(cycle, vcpu, a);
      case PROBE.halt: return this.halt(cycle, vcpu, a);
    }
  }

  private entry(cycle: number, processor: number, injected: number, block: number, root: number): void {
    const cpu = this.guestCpu(block, root), type = (injected >>> 8) & 7, vector = injected & 0xff;
    this.entered[processor] = cpu;
    this.waitsForVector[processor] = false;
    this.switchTo(processor, cpu, cycle);
    if (injected !== 0 && type === EVENT_EXTERNAL) this.records.record(processor, H.injectInterrupt, cycle, vector, 0);
    else if (injected !== 0 && type === EVENT_EXCEPTION) this.records.record(processor, H.injectException, cycle, vector, injectedError(this.machine.processors[processor]!));
    this.records.record(processor, HVM_VMENTRY, cycle);
    cpu.left = false;
  }

  private exit(cycle: number, processor: number, code: number, c: number, d: number): void {
    const { extension, processors } = this.machine, from = processors[processor]!, cpu = this.entered[processor], svm = extension === 'svm';
    if (cpu === undefined || code < 0 || (!svm && VMX_ENTRY_FAILURES.includes(code))) return;
    this.switchTo(processor, cpu, cycle);
    this.records.record(processor, HVM_VMEXIT64, cycle, code, ...halves(guestRip(from)));
    cpu.left = true;
    this.handler(cycle, processor, exitFacts(extension, code, c, d, guestEcx(from)), c);
  }

  /** What the hypervisor's handler would have recorded. */
  private handler(cycle: number, processor: number, f: ExitFacts, qualification: number): void {
    const from = this.machine.processors[processor]!, write = f.write === true;
    const put = (event: number, ...extra: number[]): void => this.records.record(processor, event, cycle, ...extra);
    const { s } = from.vcpu, rax = Number(guestRax(from) & 0xffff_ffffn);
    switch (f.cause) {
      case 'port': return put(write ? H.portWrite : H.portRead, f.port!, write ? rax & (2 ** (8 * f.bytes!) - 1) : 0);
      case 'memory': return put(H.npf, ...numberHalves(f.gpa!), 0xffff_ffff, 0xffff_ffff, qualification % 0x1_0000_0000, NOTHING_MAPPED);
      case 'control-register': return put(write ? H.crWrite64 : H.crRead64, f.register!, ...(f.general === undefined || !write ? [0, 0] : halves(s.gpr(f.general))));
      case 'debug-register': return put(write ? H.drWrite : H.drRead);
      case 'msr': return put(write ? H.msrWrite : H.msrRead, f.msr!, ...(write ? [rax, s.gpr32(2)] : [0, 0]));
      case 'hypercall': return put(H.vmmcall, rax);
      case 'interrupt': {
        const information = interruptionInformation(from);
        if (information >>> 31 !== 0) put(H.interrupt, information & 0xff);
        else this.waitsForVector[processor] = true;
        return;
      }
      case 'exception': return put(H.trap, f.vector ?? interruptionInformation(from) & 0xff);
      case 'other': break;
    }
    const named: Readonly<Record<string, () => void>> = {
      CPUID: () => put(H.cpuid, rax), HLT: () => put(H.hlt), INVLPG: () => put(H.invlpg64, ...numberHalves(qualification)), RDTSC: () => put(H.rdtsc, ...numberHalves(cycle)),
    };
    named[f.reason]?.();
  }

  /** Where the exit does not tell the vector, the host's interrupt does. */
  private interrupt(cycle: number, processor: number, vector: number): void {
    const cpu = this.entered[processor];
    if (!this.waitsForVector[processor] || cpu === undefined || this.current[processor] !== cpu || this.machine.processors[processor]!.vcpu.inGuest) return;
    this.waitsForVector[processor] = false;
    this.records.record(processor, H.interrupt, cycle, vector);
  }

  private systemCall(cycle: number, processor: number, rax: number, rdi: number, inGuest: number): void {
    if (inGuest === 1 || rax > HYPERCALL_OPS) return;
    this.ensureOutside(processor, cycle);
    const known = rdi < 2 ** 53;
    this.records.record(processor, PV_HYPERCALL_V2, cycle, rax | (known ? HYPERCALL_ARGUMENT_0 : 0), ...(known ? numberHalves(rdi) : []));
  }
  private exception(cycle: number, processor: number, vector: number, error: number, cr2: number): void {
    const { s, inGuest } = this.machine.processors[processor]!.vcpu;
    if (inGuest || s.cpl !== USER) return;
    this.ensureOutside(processor, cycle);
    const rip = halves(s.rip);
    if (vector === PAGE_FAULT) this.records.record(processor, PV_PAGE_FAULT | FLAG_64, cycle, ...rip, ...(cr2 < 2 ** 53 ? numberHalves(cr2) : halves(s.get64(S.cr2))), error);
    else this.records.record(processor, PV_TRAP | FLAG_64, cycle, ...rip, (vector & 0x7fff) | (error === 0 ? 0 : 0x8000 | (error << 16)));
  }
  /** A call or fault outside guests is a paravirtual domain's; without images it is domain 0's. */
  private ensureOutside(processor: number, cycle: number): void {
    const cpu = this.current[processor]!;
    if (cpu.domain === IDLE_DOMAIN || [...this.blocks.values()].includes(cpu)) this.switchTo(processor, this.outsideCpu(0, processor), cycle);
  }

  private halt(cycle: number, processor: number, cycles: number): void {
    const before = this.current[processor]!;
    this.switchTo(processor, this.idle[processor]!, cycle - cycles);
    if (this.machine.attribution === undefined) this.switchTo(processor, before, cycle);
  }
}
