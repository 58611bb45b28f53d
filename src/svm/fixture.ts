/**
 * A processor for unit tests: real memory, real state, no engine. A host in 64-bit mode with paging, a legal VMCB, and calls for
 * what the engine would do. Tests of behaviour that needs instructions use the real engine instead.
 */

import { Mnemonic } from 'iced-x86';
import type { Cpu } from '../cpu/cpu.js';
import { LEAVE, allForms, insnFor, type HelperResult, type InsnHelper } from '../cpu/insn.js';
import type { InsnView } from '../cpu/insn-view.js';
import type { Builder } from '../cpu/builder.js';
import { MsrTable } from '../cpu/registers.js';
import {
  CR0_ET, CR0_PE, CR0_PG, CR4_PAE, CR4_PSE, CS, CpuState, DS, EFER_LMA, EFER_LME, EFER_NXE, EFER_SCE, EFER_SVME, ES, IF, RSP, S, SEG, SS,
  segAddress,
} from '../cpu/state.js';
import { LinearMemory } from '../mem/linear-memory.js';
import { PhysicalMemory } from '../mem/physical.js';
import { ALL_CAPABILITIES, type SvmCapabilities } from './capabilities.js';
import { VMCB, VMCB_SEG, VmcbView } from './fields.js';
import { createSvm, type Svm } from './index.js';

export const VMCB_PA = 0x3000, HSAVE_PA = 0x4000, IOPM_PA = 0x10000, MSRPM_PA = 0x14000;
export const HOST_RIP = 0x10_0000n, HOST_NEXT = 0x10_0003n;

/** Thrown by `raise` in these tests: vector and error code. */
export class Raised extends Error {
  constructor(readonly vector: number, readonly error: number | undefined) {
    super(`exception ${vector}`);
  }
}

export interface Fixture {
  readonly cpu: Cpu;
  readonly svm: Svm;
  readonly s: CpuState;
  readonly v: VmcbView;
  /** Software-TLB flushes asked for, as text. */
  readonly flushed: string[];
  readonly probed: number[][];
  readonly charged: number[];
  /** Executes one of the SVM instructions; the state's RIP and next RIP are the host's. */
  run(mnemonic: Mnemonic, addressWidth?: number): HelperResult;
  /** VMRUN of the VMCB at VMCB_PA. */
  enter(): void;
}

let memory: LinearMemory | undefined;

/** A fresh processor over (shared, cleared) memory. */
export function fixture(capabilities: SvmCapabilities = ALL_CAPABILITIES): Fixture {
  memory ??= new LinearMemory(0x10_0000);
  const m = memory;
  const phys = new PhysicalMemory(m);
  m.u8.fill(0, phys.address(0), phys.address(0) + 0xa_0000);
  m.u8.fill(0, S.gpr, S.end);
  const s = new CpuState(m);
  const svm = createSvm({ memory: m, capabilities });
  const flushed: string[] = [], probed: number[][] = [], charged: number[] = [];
  let now = 0;
  const cpu = {
    id: 0, m, s, phys, virt: svm, timing: null, msrs: new MsrTable(), physicalAddressBits: 40,
    cr4Allowed: 0x7ff, eferAllowed: EFER_SCE | EFER_LME | EFER_NXE, addressSpaceTag: 0,
    probe: { active: true, emit: (...record: number[]) => void probed.push(record) },
    get inGuest() {
      return s.get32(S.guest) !== 0;
    },
    now: () => (now += 100),
    charge: (n: number) => void charged.push(n),
    raise(vector: number, error?: number): never {
      throw new Raised(vector, error);
    },
    finish(): 1 {
      s.rip = s.nextRip;
      return LEAVE;
    },
    modeChanged: () => undefined,
    flushTlb: (scope: string) => void flushed.push(scope),
    flushTag: (tag: number, linear?: bigint) => void flushed.push(linear === undefined ? `tag ${tag}` : `tag ${tag} at ${linear.toString(16)}`),
    notImplemented(what: string): never {
      throw new Error(what);
    },
  } as unknown as Cpu;
  svm.attach(cpu);
  hostState(s);
  svm.hsavePa = HSAVE_PA;
  const v = new VmcbView(m, phys.address(VMCB_PA));
  legalVmcb(v);
  const run = (mnemonic: Mnemonic, addressWidth = 64): HelperResult =>
    helperOf(mnemonic)(cpu, { addressWidth, length: 3 } as InsnView);
  const enter = (): void => {
    s.setGpr(0, BigInt(VMCB_PA));
    run(Mnemonic.Vmrun);
  };
  return { cpu, svm, s, v, flushed, probed, charged, run, enter };
}

/** The helper that a description consists of. */
function helperOf(mnemonic: Mnemonic): InsnHelper {
  let found: InsnHelper | undefined;
  const form = allForms(mnemonic)[0]!;
  insnFor(form)!.body({ helper: (fn: InsnHelper) => void (found = fn) } as unknown as Builder);
  return found!;
}

function hostState(s: CpuState): void {
  s.set32(S.cr0, CR0_PG | CR0_PE | CR0_ET);
  s.set64(S.cr3, 0x5000n);
  s.set32(S.cr4, CR4_PAE | CR4_PSE);
  s.set32(S.efer, EFER_LMA | EFER_LME | EFER_NXE | EFER_SVME);
  s.set64(S.pat, 0x0007_0406_0007_0406n);
  s.set64(S.dr + 56, 0x455n);
  s.rflags = IF;
  s.rip = HOST_RIP;
  s.set64(S.nextRip, HOST_NEXT);
  s.setGpr(RSP, 0x8_0000n);
  for (const [index, selector, attr] of [[ES, 0x10, 0xc093], [CS, 0x08, 0xa09b], [SS, 0x10, 0xc093], [DS, 0x10, 0xc093]] as const) {
    s.set32(segAddress(index) + SEG.selector, selector);
    s.set32(segAddress(index) + SEG.attr, attr);
    s.set32(segAddress(index) + SEG.limit, 0xffff_ffff);
  }
}

/** A 32-bit protected-mode guest without paging. */
function legalVmcb(v: VmcbView): void {
  v.setU32(VMCB.INTERCEPT_MISC2, 1);
  v.setU64(VMCB.IOPM_BASE_PA, BigInt(IOPM_PA));
  v.setU64(VMCB.MSRPM_BASE_PA, BigInt(MSRPM_PA));
  v.setU32(VMCB.GUEST_ASID, 1);
  v.setU64(VMCB.EFER, BigInt(EFER_SVME));
  v.setU64(VMCB.CR0, BigInt(CR0_PE | CR0_ET));
  v.setU64(VMCB.DR6, 0xffff_0ff0n);
  v.setU64(VMCB.DR7, 0x400n);
  v.setU64(VMCB.RFLAGS, 2n);
  v.setU64(VMCB.RIP, 0x7c00n);
  v.setU64(VMCB.RSP, 0x6000n);
  v.setU64(VMCB.RAX, 0x1234n);
  v.setU64(VMCB.G_PAT, 0x0007_0406_0007_0406n);
  for (const [offset, selector, attrib] of [[VMCB.CS, 8, 0xc9b], [VMCB.DS, 0x10, 0xc93], [VMCB.ES, 0x10, 0xc93], [VMCB.SS, 0x10, 0xc93]] as const) {
    v.setU16(offset + VMCB_SEG.selector, selector);
    v.setU16(offset + VMCB_SEG.attrib, attrib);
    v.setU32(offset + VMCB_SEG.limit, 0xffff_ffff);
  }
}

