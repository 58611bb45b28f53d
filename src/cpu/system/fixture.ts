/**
 * A small machine for tests of system instructions: one vCPU on the real engine, flat memory without paging outside long mode,
 * descriptor tables that tests fill, and no devices. Handlers are addresses only: a test looks at where RIP has gone.
 *
 *     0x1000 GDT   0x2000 IDT   0x3000 TSS   0x3800 a second TSS   0x4000 LDT   0x6000 page tables (long mode)   0x9000 code
 *     0x20000 + 16 * vector: handlers       0x30000 level-0 stack top   0x38000 IST1 top   0x40000 level-3 stack top   0x48000 current stack top
 */

import '../isa/index.js';
import { LinearMemory } from '../../mem/linear-memory.js';
import { PhysicalMemory } from '../../mem/physical.js';
import { Engine } from '../engine/engine.js';
import type { PlatformPort } from '../ports.js';
import { type CpuidTable, MsrTable } from '../registers.js';
import {
  CR0_PE, CR0_PG, CR4_DE, CR4_OSFXSR, CR4_PAE, CR4_PGE, CR4_PSE, CS, DS, EFER_LMA, EFER_LME, EFER_NXE, EFER_SCE, ES, FS, GS, LDTR, RSP, S, SS, TR,
} from '../state.js';
import { Vcpu } from '../vcpu.js';
import { defineCoreMsrs } from './msrs.js';
import { setSegment } from './segments.js';

export const GDT = 0x1000, IDT = 0x2000, TSS = 0x3000, TSS_B = 0x3800, LDT = 0x4000, CODE = 0x9000, HANDLERS = 0x2_0000;
export const STACK0 = 0x3_0000, STACK_IST = 0x3_8000, STACK3 = 0x4_0000, STACK = 0x4_8000;
const PML4 = 0x6000;

/** Selectors of the descriptors that every test machine has. */
export const SEL = { code0: 0x08, data0: 0x10, code3: 0x1b, data3: 0x23, tss: 0x28, tssB: 0x38, ldt: 0x48, free: 0x58 } as const;

/** An 8-byte descriptor. @param access byte 5: P DPL S type @param flags G D/B L AVL */
export const descriptor = (base: number, limit: number, access: number, flags: number): bigint =>
  (BigInt(base >>> 24) << 56n) | (BigInt(flags) << 52n) | (BigInt((limit >>> 16) & 0xf) << 48n) | (BigInt(access) << 40n) |
  (BigInt(base & 0xff_ffff) << 16n) | BigInt(limit & 0xffff);
/** A gate. @param access byte 5 @param low byte 4: parameter count or IST */
export const gate = (selector: number, offset: number, access: number, low = 0): bigint =>
  (BigInt(offset >>> 16) << 48n) | (BigInt(access) << 40n) | (BigInt(low) << 32n) | (BigInt(selector) << 16n) | BigInt(offset & 0xffff);

const cpuid: CpuidTable = { vendor: 'GenuineIntel', leaf: () => ({ eax: 0x106a5, ebx: 0, ecx: 0, edx: 0 }) };

export class SystemMachine {
  readonly vcpu: Vcpu;
  readonly phys: PhysicalMemory;
  /** Port writes as [port, size, value]; reads answer with `input`. */
  readonly outputs: [number, number, number][] = [];
  input = 0;
  private time = 0;

  constructor(readonly mode: 'real' | 'protected' | 'long') {
    const m = new LinearMemory(0x20_0000);
    this.phys = new PhysicalMemory(m);
    const platform: PlatformPort = {
      ioRead: () => this.input,
      ioWrite: (port, size, value) => void this.outputs.push([port, size, value]),
      mmioRead: () => 0xffff_ffff, mmioWrite: () => {},
      interruptPending: () => false, acknowledgeInterrupt: () => 0, readTpr: () => 0, writeTpr: () => {},
    };
    const msrs = new MsrTable();
    defineCoreMsrs(msrs, { vendor: 'GenuineIntel', rdtscp: true, tscAdjust: true, longMode: true });
    this.vcpu = new Vcpu({
      id: 0, engine: new Engine(m, this.phys), platform, virt: null, timing: null, probe: { active: false, emit: () => {} }, cpuid, msrs,
      physicalAddressBits: 40, gigabytePages: false, bit8Reserved: false,
    });
    this.vcpu.cr4Allowed = CR4_PAE | CR4_PSE | CR4_PGE | CR4_DE | CR4_OSFXSR;
    this.vcpu.eferAllowed = EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE;
    this.vcpu.reset(true);
    if (mode === 'real') this.startReal();
    else this.startProtected(mode === 'long');
  }

  get s() {
    return this.vcpu.s;
  }
  /** General register `i`. */
  reg(i: number): number {
    return Number(this.s.gpr(i));
  }

  // ---- memory
  write64(at: number, ...values: bigint[]): void {
    values.forEach((v, i) => this.vcpu.writePhys(at + 8 * i, 8, v));
  }
  write32(at: number, ...values: number[]): void {
    values.forEach((v, i) => this.vcpu.writePhys(at + 4 * i, 4, BigInt(v >>> 0)));
  }
  write16(at: number, ...values: number[]): void {
    values.forEach((v, i) => this.vcpu.writePhys(at + 2 * i, 2, BigInt(v & 0xffff)));
  }
  read(at: number, size: 1 | 2 | 4 | 8): number {
    return Number(this.vcpu.readPhys(at, size));
  }
  /** `count` values of `size` bytes from the top of the stack. */
  stack(count: number, size: 2 | 4 | 8): number[] {
    const base = Number(this.s.segBase(SS));
    return Array.from({ length: count }, (_, i) => this.read(base + this.reg(RSP) + i * size, size));
  }

  /** Puts a descriptor into the GDT. */
  define(selector: number, value: bigint, high = 0n): void {
    this.write64(GDT + (selector & 0xfff8), value);
    if (this.mode === 'long' && high !== 0n) this.write64(GDT + (selector & 0xfff8) + 8, high);
  }
  /** An interrupt (0x8e), trap (0x8f) or other gate for a vector, to its handler. */
  setGate(vector: number, access = 0x8e, selector: number = SEL.code0, low = 0): void {
    const at = HANDLERS + 16 * vector;
    if (this.mode === 'long') this.write64(IDT + 16 * vector, gate(selector, at, access, low), 0n);
    else this.write64(IDT + 8 * vector, gate(selector, at, access, low));
  }

  // ---- running

  /** Executes one instruction that ends its block, and delivers the exception that it raised, if any. */
  exec(...bytes: number[]): void {
    const cs = this.s.segBase(CS);
    this.phys.write(Number(cs + this.s.rip), Uint8Array.from([...bytes, 0xf4]));
    this.run();
    if (this.s.get32(S.pending) !== 0) this.run();
  }
  run(cycles = 1): void {
    this.vcpu.run(this.time, cycles);
    this.time += this.vcpu.elapsed;
  }
  /** The vector whose handler RIP is at, or -1. */
  get vector(): number {
    const offset = Number(this.s.rip) - HANDLERS;
    return offset >= 0 && offset < 0x1000 && offset % 16 === 0 ? offset / 16 : -1;
  }

  // ---- set-up

  private startReal(): void {
    const { s } = this;
    setSegment(s, CS, 0, 0n, 0xffff, 0x9b);
    s.rip = BigInt(CODE);
    s.setGpr(RSP, 0x8000n);
    s.set32(S.idtrLimit, 0x3ff);
    this.vcpu.modeChanged();
  }

  private startProtected(long: boolean): void {
    const { s } = this;
    const code = long ? 0xa : 0xc;
    this.define(SEL.code0, descriptor(0, 0xf_ffff, 0x9b, code));
    this.define(SEL.data0, descriptor(0, 0xf_ffff, 0x93, 0xc));
    this.define(SEL.code3, descriptor(0, 0xf_ffff, 0xfb, code));
    this.define(SEL.data3, descriptor(0, 0xf_ffff, 0xf3, 0xc));
    this.define(SEL.tss, descriptor(TSS, 0x67, 0x8b, 0));
    this.define(SEL.tssB, descriptor(TSS_B, 0x67, 0x89, 0));
    this.define(SEL.ldt, descriptor(LDT, 0xff, 0x82, 0));
    for (let v = 0; v < 32; v++) this.setGate(v);
    if (long) {
      this.write64(TSS + 4, BigInt(STACK0));
      this.write64(TSS + 0x24, BigInt(STACK_IST));
      this.write64(PML4, BigInt(PML4 + 0x1000) | 7n);
      this.write64(PML4 + 0x1000, BigInt(PML4 + 0x2000) | 7n);
      this.write64(PML4 + 0x2000, 0x87n);
      s.set64(S.cr3, BigInt(PML4));
      s.set64(S.cr4, BigInt(CR4_PAE));
      s.set64(S.efer, BigInt(EFER_LME | EFER_LMA));
    } else {
      this.write32(TSS + 4, STACK0, SEL.data0);
    }
    s.set64(S.cr0, BigInt((CR0_PE | (long ? CR0_PG : 0)) >>> 0));
    s.set64(S.gdtrBase, BigInt(GDT));
    s.set32(S.gdtrLimit, 0x7f);
    s.set64(S.idtrBase, BigInt(IDT));
    s.set32(S.idtrLimit, long ? 0x1ff : 0xff);
    setSegment(s, TR, SEL.tss, BigInt(TSS), 0x67, 0x8b);
    setSegment(s, LDTR, 0, 0n, 0, 0x1_0000);
    this.setLevel(0);
    s.rip = BigInt(CODE);
  }

  /** Loads flat segments of privilege level 0 or 3, and a stack. */
  setLevel(cpl: 0 | 3): void {
    const { s } = this;
    const long = this.mode === 'long';
    const dpl = cpl === 3 ? 0x60 : 0;
    s.set32(S.cpl, cpl);
    setSegment(s, CS, cpl === 3 ? SEL.code3 : SEL.code0, 0n, 0xffff_ffff, (long ? 0xa09b : 0xc09b) | dpl);
    for (const i of [SS, DS, ES, FS, GS]) setSegment(s, i, cpl === 3 ? SEL.data3 : SEL.data0, 0n, 0xffff_ffff, 0xc093 | dpl);
    s.setGpr(RSP, BigInt(cpl === 3 ? STACK3 : STACK));
    this.vcpu.modeChanged();
  }
}
