/**
 * A processor for tests: the real engine over 2 MiB of memory, with a host in 64-bit mode (or 32-bit, for the bases that need it)
 * and a valid VMCS for each kind of guest. Tests give machine code as bytes.
 *
 *     0x01000 host page tables     0x05000 VMXON region   0x06000 VMCS          0x07000 another region
 *     0x08000 I/O bitmaps A, B     0x0a000 MSR bitmap     0x0b000 EPT tables    0x0f000 MSR lists
 *     0x10000 host code            0x11000 host's exit handler (HLT)            0x12000 operands
 *     0x20000 guest code           0x21000 guest's IDT    0x22000 guest's handlers  0x24000 guest's GDT
 */

import '../cpu/isa/index.js';
import type { Cpu } from '../cpu/cpu.js';
import { Engine } from '../cpu/engine/engine.js';
import { MsrTable } from '../cpu/registers.js';
import { CS, DS, EFER_LMA, EFER_LME, EFER_NXE, EFER_SCE, ES, FS, GS, RSP, S, SEG, SS, TR, gprAddress, segAddress } from '../cpu/state.js';
import { Vcpu } from '../cpu/vcpu.js';
import { LinearMemory } from '../mem/linear-memory.js';
import { PhysicalMemory } from '../mem/physical.js';
import { ALL_FEATURES, type FeatureName, type VmxOptions } from './capabilities.js';
import { ENTRY, EXIT, PROC } from './controls.js';
import type { BaseName } from './entry-checks.js';
import { F, type FieldName, SEGMENTS } from './fields.js';
import { createVmx, type VmxPort } from './index.js';

export const AT = {
  pageTables: 0x1000, vmxon: 0x5000, vmcs: 0x6000, other: 0x7000, ioA: 0x8000, ioB: 0x9000, msrBitmap: 0xa000, ept: 0xb000, msrs: 0xf000,
  host: 0x10000, handler: 0x11000, operands: 0x12000, hostStack: 0x1f000,
  guest: 0x20000, idt: 0x21000, handlers: 0x22000, gdt: 0x24000, guestStack: 0x2f000,
} as const;

const HLT = 0xf4;
export const CPUID = [0x0f, 0xa2];
export const VMLAUNCH = [0x0f, 0x01, 0xc2], VMRESUME = [0x0f, 0x01, 0xc3], VMCALL = [0x0f, 0x01, 0xc1];

/** Memory and engine are shared by all fixtures of a test file: making the interpreter is what costs. */
let shared: { memory: LinearMemory; phys: PhysicalMemory; engine: Engine } | undefined;

function machine(): NonNullable<typeof shared> {
  if (shared !== undefined) return shared;
  const memory = new LinearMemory(0x20_0000), phys = new PhysicalMemory(memory);
  return (shared = { memory, phys, engine: new Engine(memory, phys) });
}

export class Fixture {
  readonly m: LinearMemory;
  readonly phys: PhysicalMemory;
  readonly x: VmxPort;
  readonly cpu: Vcpu;
  readonly probed: number[][] = [];
  readonly io: string[] = [];
  /** External interrupt that the platform asserts, or -1. */
  interrupt = -1;
  time = 0;

  constructor(readonly options: VmxOptions = { ...ALL_FEATURES, timerShift: 5 }) {
    const { memory, phys, engine } = machine();
    this.m = memory;
    this.phys = phys;
    engine.cache.reset();
    engine.tlb.flushAll(0);
    this.m.u8.fill(0, this.phys.address(0), this.phys.address(0) + 0xa_0000);
    this.x = createVmx({ memory: this.m, capabilities: options });
    const msrs = new MsrTable();
    this.cpu = new Vcpu({
      id: 0,
      engine,
      platform: {
        ioRead: (port, size) => (this.io.push(`in ${port} ${size}`), 0),
        ioWrite: (port, size, v) => void this.io.push(`out ${port} ${size} ${v}`),
        mmioRead: () => 0xffff_ffff,
        mmioWrite: () => undefined,
        interruptPending: () => this.interrupt >= 0,
        acknowledgeInterrupt: () => {
          const v = this.interrupt;
          this.interrupt = -1;
          return v;
        },
        readTpr: () => 0,
        writeTpr: () => undefined,
      },
      virt: this.x,
      timing: null,
      probe: { active: true, emit: (...r) => void this.probed.push(r) },
      cpuid: { vendor: 'GenuineIntel', leaf: () => ({ eax: 0x106a5, ebx: -1, ecx: -1, edx: -1 }) },
      msrs,
      physicalAddressBits: 36,
      gigabytePages: true,
      bit8Reserved: false,
      eptExecuteOnly: true,
      eptGigabytePages: true,
    });
    const { cpu } = this;
    cpu.activate();
    cpu.reset();
    cpu.cr4Allowed = 0x17_27ff;
    cpu.eferAllowed = EFER_SCE | EFER_LME | EFER_NXE;
    this.x.attach(cpu);
    msrs.define(0x277, { name: 'IA32_PAT', read: (c) => c.s.get64(S.pat), write: (c, v) => (c.s.set64(S.pat, v), true) });
    msrs.define(0xc000_0081, { name: 'IA32_STAR', read: (c) => c.s.get64(S.star), write: (c, v) => (c.s.set64(S.star, v), v !== 0xbadn) });
    this.hostState(true);
  }

  /** The host: paging by identity with 2-MByte pages, flat segments, level 0. */
  hostState(long: boolean): void {
    const { s } = this.cpu;
    this.write64(AT.pageTables, AT.pageTables + 0x1007);
    this.write64(AT.pageTables + 0x1000, AT.pageTables + 0x2007);
    this.write64(AT.pageTables + 0x2000, 0x87n);
    // For a 32-bit host and PAE guests: PDPTEs at 0x4000 (their reserved bits clear).
    this.write64(0x4000, AT.pageTables + 0x2001);
    s.set64(S.pdpte, BigInt(AT.pageTables + 0x2001));
    s.set64(S.cr0, 0x8000_0031n);
    s.set64(S.cr3, long ? BigInt(AT.pageTables) : 0x4000n);
    s.set64(S.cr4, 0x2020n);
    s.set64(S.efer, long ? BigInt(EFER_LMA | EFER_LME) : 0n);
    s.set32(S.guest, 0);
    const segment = (i: number, selector: number, rights: number): void => {
      s.set32(segAddress(i) + SEG.selector, selector);
      s.set32(segAddress(i) + SEG.attr, rights);
      s.set32(segAddress(i) + SEG.limit, 0xffff_ffff);
      s.set64(segAddress(i) + SEG.base, 0n);
    };
    segment(CS, 8, long ? 0xa09b : 0xc09b);
    for (const i of [ES, SS, DS, FS, GS]) segment(i, 0x10, 0xc093);
    segment(TR, 0x18, 0x8b);
    s.set32(S.cpl, 0);
    s.setGpr(RSP, BigInt(AT.hostStack));
    this.cpu.modeChanged();
  }

  write(hpa: number, bytes: readonly number[]): void {
    this.phys.write(hpa, Uint8Array.from(bytes));
  }
  write64(hpa: number, v: bigint | number): void {
    this.cpu.writePhys(hpa, 8, BigInt(v));
  }

  /** Runs host code (a HLT is added) until the processor halts, stops, or `cycles` have passed. */
  host(bytes: readonly number[], cycles = 1000): string {
    this.write(AT.host, [...bytes, HLT]);
    this.cpu.s.rip = BigInt(AT.host);
    this.cpu.s.set32(S.activity, 0);
    return this.go(cycles);
  }
  go(cycles = 1000): string {
    const end = this.cpu.run(this.time, cycles);
    this.time += this.cpu.elapsed;
    return end;
  }
  /** An instruction with the memory operand [0x12000], in 64-bit code: sets the operand, runs it, returns CF | ZF << 1. */
  onPointer(prefix: readonly number[], reg: number, pointer: bigint | number): number {
    this.write64(AT.operands, BigInt(pointer));
    this.host([...prefix, 0x04 | (reg << 3), 0x25, ...word(AT.operands)]);
    return this.status;
  }
  get status(): number {
    const f = this.cpu.s.rflags;
    return (f & 1) | ((f & 0x40) >> 5);
  }

  vmxon(pointer: number = AT.vmxon): number {
    if ((this.x.featureControl & 1) === 0) this.x.featureControl = 5;
    this.write64(AT.vmxon, this.x.caps.revision);
    return this.onPointer([0xf3, 0x0f, 0xc7], 6, pointer);
  }
  vmclear(pointer: bigint | number): number {
    return this.onPointer([0x66, 0x0f, 0xc7], 6, pointer);
  }
  vmptrld(pointer: bigint | number): number {
    return this.onPointer([0x0f, 0xc7], 6, pointer);
  }
  /** VMREAD RBX, RAX */
  vmread(encoding: number): bigint {
    const { s } = this.cpu;
    s.set64(gprAddress(0), BigInt(encoding));
    s.set64(gprAddress(3), 0xdead_beef_dead_beefn);
    this.host([0x0f, 0x78, 0xc3]);
    return s.gpr(3);
  }
  /** VMWRITE RAX, RBX */
  vmwrite(encoding: number, value: bigint | number): number {
    const { s } = this.cpu;
    s.set64(gprAddress(0), BigInt(encoding));
    s.set64(gprAddress(3), BigInt.asUintN(64, BigInt(value)));
    this.host([0x0f, 0x79, 0xc3]);
    return this.status;
  }

  /** VMX operation with a current, clear VMCS that holds `base`. */
  ready(base: BaseName = 'long'): this {
    if (base === 'host32') this.hostState(true);
    if (this.vmxon() !== 0) throw new Error('VMXON failed');
    this.write64(AT.vmcs, this.x.caps.revision);
    this.vmclear(AT.vmcs);
    if (this.vmptrld(AT.vmcs) !== 0) throw new Error('VMPTRLD failed');
    this.fill(base);
    return this;
  }

  set(fields: Partial<Record<FieldName, bigint | number>>): this {
    for (const [name, v] of Object.entries(fields)) this.x.set(F[name as FieldName], BigInt.asUintN(64, BigInt(v)));
    this.x.dirty = ~0;
    return this;
  }
  get(name: FieldName): bigint {
    return this.x.get(F[name]);
  }

  /** Guest code at 0x20000; VMLAUNCH, then whatever happens until the host's handler halts. */
  launch(guest: readonly number[] = CPUID, cycles = 1000): string {
    this.write(AT.guest, guest);
    return this.host(VMLAUNCH, cycles);
  }
  resume(cycles = 1000): string {
    return this.host(VMRESUME, cycles);
  }

  fill(base: BaseName): void {
    const { caps } = this.x;
    for (const name of Object.keys(F)) this.x.set(F[name as FieldName], 0n);
    const long = base === 'long' || base === 'compat' || base === 'host32' ? base !== 'host32' : false;
    const host64 = base !== 'host32';
    if (!host64) this.hostState(false);
    this.set({
      PIN_BASED_CONTROLS: caps.pin.must1,
      PRIMARY_PROCESSOR_BASED_CONTROLS: caps.proc.must1 | PROC.hltExiting,
      VM_EXIT_CONTROLS: caps.exit.must1 | (host64 ? EXIT.hostAddressSpaceSize : 0),
      VM_ENTRY_CONTROLS: caps.entry.must1 | (long ? ENTRY.ia32eModeGuest : 0),
      HOST_CR0: 0x8000_0031n,
      HOST_CR3: this.cpu.s.get64(S.cr3),
      HOST_CR4: 0x2020,
      HOST_RSP: AT.hostStack,
      HOST_RIP: AT.handler,
      VMCS_LINK_POINTER: ~0n,
      GUEST_CR0: base === 'real' ? 0x30 : 0x8000_0031,
      GUEST_CR3: long ? AT.pageTables : 0x4000,
      GUEST_CR4: base === 'virtual-8086' || base === 'real' ? 0x2000 : 0x2020,
      GUEST_DR7: 0x400,
      GUEST_RSP: AT.guestStack,
      GUEST_RIP: AT.guest,
      GUEST_RFLAGS: base === 'virtual-8086' ? 0x2_0002 : 2,
      GUEST_IDTR_BASE: AT.idt,
      GUEST_IDTR_LIMIT: 0xfff,
      GUEST_GDTR_BASE: AT.gdt,
      GUEST_GDTR_LIMIT: 0xff,
    });
    for (const s of ['CS', 'SS', 'DS', 'ES', 'FS', 'GS', 'TR'] as const) this.set({ [`HOST_${s}_SELECTOR`]: s === 'CS' ? 8 : s === 'TR' ? 0x18 : 0x10 });
    for (const s of SEGMENTS) this.set(guestSegment(s, base));
    if (base === 'real')
      this.set({
        PRIMARY_PROCESSOR_BASED_CONTROLS: (caps.proc.must1 | PROC.hltExiting | PROC.activateSecondaryControls) >>> 0,
        SECONDARY_PROCESSOR_BASED_CONTROLS: 0x82,
        EPT_POINTER: this.eptIdentity(),
        GUEST_RIP: 0,
        GUEST_CS_SELECTOR: AT.guest >> 4,
        GUEST_CS_BASE: AT.guest,
      });
    this.write(AT.handler, [HLT]);
    // A flat GDT and a 64-bit IDT whose handlers at 0x22000 + 16 * vector are HLT.
    this.write64(AT.gdt + 8, 0x00af_9b00_0000_ffffn);
    this.write64(AT.gdt + 16, 0x00cf_9300_0000_ffffn);
    for (let v = 0; v < 256; v++) {
      const to = AT.handlers + 16 * v;
      this.write64(AT.idt + 16 * v, (BigInt(to >>> 16) << 48n) | 0x8e00_0008_0000n | BigInt(to & 0xffff));
      this.write(to, [HLT]);
    }
  }

  /** EPT that maps the first 2 MiB onto itself with 4-KByte pages; returns the EPT pointer (WB, 4 levels). */
  eptIdentity(): number {
    this.write64(AT.ept, AT.ept + 0x1007);
    this.write64(AT.ept + 0x1000, AT.ept + 0x2007);
    this.write64(AT.ept + 0x2000, AT.ept + 0x3007);
    for (let i = 0; i < 512; i++) this.write64(AT.ept + 0x3000 + 8 * i, i * 4096 + 0x37);
    return AT.ept | 0x1e;
  }
}

function guestSegment(s: (typeof SEGMENTS)[number], base: BaseName): Partial<Record<FieldName, number>> {
  const field = (selector: number, limit: number, rights: number, at = 0): Partial<Record<FieldName, number>> => ({
    [`GUEST_${s}_SELECTOR`]: selector,
    [`GUEST_${s}_LIMIT`]: limit,
    [`GUEST_${s}_ACCESS_RIGHTS`]: rights,
    [`GUEST_${s}_BASE`]: at,
  });
  if (s === 'LDTR') return field(0, 0, 0x1_0000);
  if (s === 'TR') return field(0x18, 0x67, 0x8b);
  if (base === 'virtual-8086') return field(0x1000, 0xffff, 0xf3, 0x1_0000);
  if (base === 'real') return field(0, 0xffff, s === 'CS' ? 0x9b : 0x93);
  if (s === 'CS') return field(8, 0xffff_ffff, base === 'long' ? 0xa09b : 0xc09b);
  return field(0x10, 0xffff_ffff, 0xc093);
}

/** A 32-bit little-endian word as bytes. */
export const word = (v: number): number[] => [v & 0xff, (v >> 8) & 0xff, (v >> 16) & 0xff, (v >>> 24) & 0xff];

/** Everything but some features. */
export const without = (...names: FeatureName[]): VmxOptions => ({ features: ALL_FEATURES.features.filter((f) => !names.includes(f)) });
export type { Cpu };
