/**
 * A tiny machine for tests of single instructions: one vCPU at CPL 0 in long mode, 64-bit or compatibility code, everything
 * mapped one to one, no devices. Code ends in HLT; a fault ends in a HLT of its own, on its own stack.
 *
 *     0x01000  GDT   0x02000  IDT   0x03000  TSS   0x04000  one HLT a vector (16 bytes apart)   0x05000-0x05fff  fault stack
 *     0x06000-0x08fff  page tables: PML4, PDPT, PD with 2-MByte pages
 */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Vcpu } from '../../src/cpu/vcpu.js';
import { Engine } from '../../src/cpu/engine/engine.js';
import type { CompilerOptions } from '../../src/cpu/engine/regions/compiler.js';
import '../../src/cpu/isa/index.js';
import type { EncodingSet } from '../../src/cpu/isa/advertised.js';
import type { PlatformPort, ProbePort } from '../../src/cpu/ports.js';
import { MsrTable, type CpuidTable } from '../../src/cpu/registers.js';
import { ACTIVITY, CR0_PE, CR0_PG, CR4_OSFXSR, CR4_OSXMMEXCPT, CR4_PAE, CS, DS, EFER_LMA, EFER_LME, ES, FS, GS, RSP, S, SS, TR } from '../../src/cpu/state.js';
import { setSegment } from '../../src/cpu/system/segments.js';
import { LinearMemory } from '../../src/mem/linear-memory.js';
import { PhysicalMemory } from '../../src/mem/physical.js';
import { TimingCore } from '../../src/timing/core.js';
import { readTimingProfile } from '../../src/timing/profile.js';

const GDT = 0x1000, IDT = 0x2000, TSS = 0x3000, STUBS = 0x4000, FAULT_STACK = 0x6000, PML4 = 0x6000;
const CODE64 = 0x08, DATA = 0x10, CODE32 = 0x18, CODE16 = 0x20, TSS_SELECTOR = 0x28;
const HLT = 0xf4;
/** HLT, then a jump to itself, so that nothing behind it is decoded. */
export const END = [HLT, 0xeb, 0xfe];
const RAM_BYTES = 0x80_0000;
const VECTORS_WITH_ERROR = [8, 10, 11, 12, 13, 14, 17];

const nothing: PlatformPort = {
  ioRead: () => 0xffff_ffff,
  ioWrite: () => {},
  mmioRead: () => 0xffff_ffff,
  mmioWrite: () => {},
  interruptPending: () => false,
  acknowledgeInterrupt: () => 0,
  readTpr: () => 0,
  writeTpr: () => {},
};
const silent: ProbePort = { active: false, emit: () => {} };
const noLeaves: CpuidTable = { vendor: 'AuthenticAMD', leaf: () => ({ eax: 0, ebx: 0, ecx: 0, edx: 0 }) };

export class TestMachine {
  readonly vcpu: Vcpu;
  readonly phys: PhysicalMemory;
  private readonly m: LinearMemory;
  private time = 0;

  /** Cycle mode only. */
  readonly timing: TimingCore | undefined;

  /**
   * @param encodings of the processor; absent: all that are described @param compiler everything that can be compiled is
   * @param cycleMode the profile to take for it, and how many vCPUs the timing core is to have tables for
   */
  constructor(encodings?: EncodingSet, compiler?: CompilerOptions, cycleMode?: { readonly profile: string; readonly cpus: number }) {
    this.m = new LinearMemory(RAM_BYTES);
    this.phys = new PhysicalMemory(this.m);
    if (cycleMode !== undefined) {
      const profile = readTimingProfile(JSON.parse(readFileSync(join(import.meta.dirname, `../../profiles/${cycleMode.profile}.json`), 'utf8')));
      this.timing = new TimingCore(this.m, this.phys, profile, cycleMode.cpus, null);
    }
    this.vcpu = new Vcpu({
      id: 0,
      engine: new Engine(this.m, this.phys, this.timing, encodings, compiler),
      platform: nothing,
      virt: null,
      timing: this.timing ?? null,
      probe: silent,
      cpuid: noLeaves,
      msrs: new MsrTable(),
      physicalAddressBits: 40,
      gigabytePages: true,
      bit8Reserved: false,
    });
    this.timing?.attach(0, { mmu: this.vcpu.mmu, isUser: () => this.vcpu.s.cpl === 3 });
    this.buildTables();
    this.vcpu.reset();
  }
  /** The timing core's tables as they are. */
  get timingTables(): Uint8Array {
    return this.m.u8.slice(this.timing?.tables.from, this.timing?.tables.to ?? 0);
  }

  /** Descriptor tables, page tables and fault stubs, as they are at the start. */
  buildTables(): void {
    const words = (at: number, values: readonly bigint[]): void => {
      const bytes = new Uint8Array(values.length * 8);
      const view = new DataView(bytes.buffer);
      values.forEach((v, i) => view.setBigUint64(8 * i, v, true));
      this.phys.write(at, bytes);
    };
    words(GDT, [0n, 0x00af_9b00_0000_ffffn, 0x00cf_9300_0000_ffffn, 0x00cf_9b00_0000_ffffn, 0x000f_9b00_0000_ffffn]);
    const gates: bigint[] = [];
    for (let v = 0; v < 32; v++) {
      const at = BigInt(STUBS + 16 * v);
      gates.push((at & 0xffffn) | (BigInt(CODE64) << 16n) | (1n << 32n) | (0x8en << 40n) | ((at >> 16n) << 48n), 0n); // IST 1
      this.phys.write(STUBS + 16 * v, Uint8Array.of(HLT));
    }
    words(IDT, gates);
    this.phys.write(TSS, new Uint8Array(104));
    this.phys.write(TSS + 36, Uint8Array.of(FAULT_STACK & 0xff, FAULT_STACK >> 8, 0, 0, 0, 0, 0, 0));
    words(PML4, [BigInt(PML4 + 0x1000) | 7n]);
    words(PML4 + 0x1000, [BigInt(PML4 + 0x2000) | 7n]);
    words(PML4 + 0x2000, Array.from({ length: RAM_BYTES >> 21 }, (_, i) => (BigInt(i) << 21n) | 0x87n));
  }

  /** Long mode at CPL 0, code of 64, 32 or 16 bits, a 32-bit stack segment (16-bit for 16-bit code), RIP at `rip`. General registers and flags stay. */
  start(bits: 64 | 32 | 16, rip: number): void {
    const { s } = this.vcpu;
    this.vcpu.activate();
    s.set64(S.cr0, BigInt(CR0_PE) | BigInt(CR0_PG));
    s.set64(S.cr4, BigInt(CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT));
    s.set64(S.cr3, BigInt(PML4));
    s.set64(S.efer, BigInt(EFER_LME | EFER_LMA));
    s.set64(S.gdtrBase, BigInt(GDT));
    s.set32(S.gdtrLimit, 0x3f);
    s.set64(S.idtrBase, BigInt(IDT));
    s.set32(S.idtrLimit, 0x1ff);
    setSegment(s, CS, bits === 64 ? CODE64 : bits === 32 ? CODE32 : CODE16, 0n, 0xffff_ffff, bits === 64 ? 0xa09b : bits === 32 ? 0xc09b : 0x809b);
    for (const i of [SS, DS, ES, FS, GS]) setSegment(s, i, DATA, 0n, 0xffff_ffff, 0xc093);
    if (bits === 16) setSegment(s, SS, DATA, 0n, 0xffff_ffff, 0x8093);
    setSegment(s, TR, TSS_SELECTOR, BigInt(TSS), 0x67, 0x8b);
    s.set32(S.cpl, 0);
    s.set32(S.activity, ACTIVITY.active);
    s.rip = BigInt(rip);
    this.vcpu.modeChanged();
  }

  /**
   * Puts code at `at` and runs it to its end or to a fault, with the given general registers (others zero, RSP = 0x301800).
   * Returns what `runToHalt` returns.
   */
  execute(code: readonly number[], registers: Readonly<Record<number, bigint>> = {}, bits: 64 | 32 | 16 = 64, at = 0x20_0000): { rip: number; fault: number } {
    this.phys.write(at, Uint8Array.of(...code, ...END));
    this.start(bits, at);
    for (let i = 0; i < 16; i++) this.vcpu.s.setGpr(i, registers[i] ?? (i === RSP ? 0x30_1800n : 0n));
    return this.runToHalt(1_000_000);
  }

  /**
   * Runs until HLT. Returns the address of that HLT, or the vector of the fault that came before it (RSP and RFLAGS are then
   * put back to what the fault found).
   */
  runToHalt(maxCycles = 1000): { rip: number; fault: number } {
    const { vcpu } = this;
    const exit = vcpu.run(this.time, maxCycles);
    this.time += vcpu.elapsed;
    if (exit !== 'halt') {
      const at = vcpu.s.rip.toString(16);
      const why = vcpu.stopReason?.what ?? '';
      vcpu.stopReason = undefined;
      throw new Error(`no HLT but ${exit} at ${at} ${why}`);
    }
    const rip = Number(vcpu.s.rip) - 1;
    if (rip < STUBS || rip >= STUBS + 0x200) return { rip, fault: -1 };
    const fault = (rip - STUBS) / 16;
    const frame = FAULT_STACK - (VECTORS_WITH_ERROR.includes(fault) ? 48 : 40) + (VECTORS_WITH_ERROR.includes(fault) ? 8 : 0);
    vcpu.s.setGpr(RSP, vcpu.readPhys(frame + 24, 8));
    vcpu.s.rflags = Number(vcpu.readPhys(frame + 16, 8));
    return { rip: Number(vcpu.readPhys(frame, 8)), fault };
  }
}
