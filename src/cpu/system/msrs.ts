/**
 * The model-specific registers of the processor core, for both vendors.
 *
 * SDM 4 ch. 2 "Model-Specific Registers (MSRs)", §2.1 "Architectural MSRs"; APM 2 appendix A "MSR Cross-Reference"; BKDG for AMD
 * Family 10h, "MSRs". Registers of the local APIC, VMX and SVM are defined by their own folders.
 *
 * Deviations: memory types (MTRR, PAT), IA32_MISC_ENABLE and configuration bits are stored and checked but change nothing; last-branch records and
 * performance counters do not count. What is not defined here or by another part is #GP(0).
 */

import type { Cpu } from '../cpu.js';
import { type Msr, type MsrTable, fieldMsr } from '../registers.js';
import { CR0_PG, EFER_LMA, EFER_LME, EFER_NXE, FS, GS, S, SEG, segAddress } from '../state.js';
import { MACHINE_CHECK_BANKS, SLOT, getSlot, setSlot } from './msr-store.js';
import { defineMtrrs, isMemoryType } from './mtrr.js';
import { readTsc } from './processor.js';
import { isCanonicalHigh } from './segments.js';

export interface CoreMsrOptions {
  readonly vendor: 'GenuineIntel' | 'AuthenticAMD';
  /** Registers that features bring: those that CPUID shows. */
  readonly rdtscp: boolean;
  readonly tscAdjust: boolean;
  readonly longMode: boolean;
}

const slot = (name: string, at: number, ok: (v: bigint, cpu: Cpu) => boolean = () => true): Msr => ({
  name,
  read: (cpu) => getSlot(cpu.s, at),
  write(cpu, v) {
    if (!ok(v, cpu)) return false;
    setSlot(cpu.s, at, v);
    return true;
  },
});
const constant = (name: string, v: bigint): Msr => ({ name, read: () => v });
const fits32 = (_low: number, high: number): boolean => high === 0;
const canonical = (_low: number, high: number): boolean => isCanonicalHigh(high);

/** IA32_EFER: only allowed bits; LME is fixed while paging is on; LMA is the processor's own. */
export function writeEfer(cpu: Cpu, value: bigint): boolean {
  const s = cpu.s;
  if (value >> 32n !== 0n || Number(value) & ~cpu.eferAllowed) return false;
  const old = s.efer;
  const next = (Number(value) & ~EFER_LMA) | (old & EFER_LMA);
  if ((old ^ next) & EFER_LME && s.cr0 & CR0_PG) return false;
  s.set64(S.efer, BigInt(next >>> 0));
  if ((old ^ next) & EFER_NXE) cpu.flushTlb('context');
  cpu.modeChanged();
  return true;
}

/** A segment base as an MSR. */
const segmentBase = (name: string, index: number): Msr => fieldMsr(name, segAddress(index) + SEG.base, canonical);

const isPat = (low: number, high: number): boolean => {
  for (let i = 0; i < 64; i += 8) {
    const type = ((i < 32 ? low : high) >>> (i & 31)) & 0xff;
    if (!isMemoryType(type) && type !== 7) return false;
  }
  return true;
};

function writeTsc(cpu: Cpu, v: bigint): void {
  const s = cpu.s;
  const offset = BigInt.asUintN(64, v - BigInt(Math.floor(cpu.now())));
  setSlot(s, SLOT.tscAdjust, getSlot(s, SLOT.tscAdjust) + offset - s.get64(S.tscOffset));
  s.set64(S.tscOffset, offset);
  cpu.platform.tscChanged?.(cpu);
}

function defineLongMode(t: MsrTable): void {
  t.define(0xc000_0080, { name: 'IA32_EFER', read: (cpu) => BigInt(cpu.s.efer), write: writeEfer });
  t.define(0xc000_0081, fieldMsr('IA32_STAR', S.star));
  t.define(0xc000_0082, fieldMsr('IA32_LSTAR', S.lstar, canonical));
  t.define(0xc000_0083, fieldMsr('IA32_CSTAR', S.cstar, canonical));
  t.define(0xc000_0084, fieldMsr('IA32_FMASK', S.sfmask, fits32));
  t.define(0xc000_0100, segmentBase('IA32_FS_BASE', FS));
  t.define(0xc000_0101, segmentBase('IA32_GS_BASE', GS));
  t.define(0xc000_0102, fieldMsr('IA32_KERNEL_GS_BASE', S.kernelGsBase, canonical));
}

function defineTime(t: MsrTable, o: CoreMsrOptions): void {
  t.define(0x10, {
    name: 'IA32_TIME_STAMP_COUNTER',
    read: readTsc,
    write(cpu, v) {
      writeTsc(cpu, v);
      return true;
    },
  });
  if (o.rdtscp) t.define(0xc000_0103, fieldMsr('IA32_TSC_AUX', S.tscAux, fits32));
  if (o.tscAdjust)
    t.define(0x3b, {
      name: 'IA32_TSC_ADJUST',
      read: (cpu) => getSlot(cpu.s, SLOT.tscAdjust),
      write(cpu, v) {
        const s = cpu.s;
        s.set64(S.tscOffset, BigInt.asUintN(64, s.get64(S.tscOffset) + v - getSlot(s, SLOT.tscAdjust)));
        setSlot(s, SLOT.tscAdjust, v);
        cpu.platform.tscChanged?.(cpu);
        return true;
      },
    });
}

/** Machine-check registers: banks that never report anything. SDM 3B ch. 15 "Machine-Check Architecture". */
function defineMachineCheck(t: MsrTable, amd: boolean): void {
  const banks = amd ? 6 : MACHINE_CHECK_BANKS;
  const MCG_CTL_P = 0x100n;
  t.define(0x179, constant('IA32_MCG_CAP', BigInt(banks) | (amd ? MCG_CTL_P : 0n)));
  t.define(0x17a, slot('IA32_MCG_STATUS', SLOT.mcgStatus, (v) => v < 8n));
  if (amd) t.define(0x17b, slot('IA32_MCG_CTL', SLOT.mcgCtl));
  const MC_STATUS_WRITE_ENABLE = 1n << 18n;
  const zeroOnly = (v: bigint, cpu: Cpu): boolean => v === 0n || (amd && (getSlot(cpu.s, SLOT.hwcr) & MC_STATUS_WRITE_ENABLE) !== 0n);
  // "Only all ones or all zeroes"; bit 10 alone may differ, which old kernels clear in bank 4.
  const allOrNone = (v: bigint): boolean => v === 0n || (v | 0x400n) === 0xffff_ffff_ffff_ffffn;
  for (let i = 0; i < banks; i++) {
    t.define(0x400 + 4 * i, slot(`IA32_MC${i}_CTL`, SLOT.mcCtl + i, allOrNone));
    t.define(0x401 + 4 * i, slot(`IA32_MC${i}_STATUS`, SLOT.mcStatus + i, zeroOnly));
    t.define(0x402 + 4 * i, slot(`IA32_MC${i}_ADDR`, SLOT.mcAddr + i));
    t.define(0x403 + 4 * i, slot(`IA32_MC${i}_MISC`, SLOT.mcMisc + i));
  }
}

/** Fast strings, thermal control, 11 and 12 (below), SpeedStep, MONITOR, CPUID limit, xTPR, XD disable, turbo. */
const MISC_ENABLE_KNOWN = 1n | (1n << 3n) | (1n << 11n) | (1n << 12n) | (1n << 16n) | (1n << 18n) | (1n << 22n) | (1n << 23n) | (1n << 34n) | (1n << 38n);
const MISC_ENABLE_FAST_STRINGS = 1n, MISC_ENABLE_BTS_UNAVAILABLE = 1n << 11n, MISC_ENABLE_PEBS_UNAVAILABLE = 1n << 12n;
export const MISC_ENABLE_RESET = MISC_ENABLE_FAST_STRINGS | MISC_ENABLE_BTS_UNAVAILABLE | MISC_ENABLE_PEBS_UNAVAILABLE;

function defineIntel(t: MsrTable): void {
  t.define(0x17, constant('IA32_PLATFORM_ID', 0n));
  t.define(0x8b, slot('IA32_BIOS_SIGN_ID', SLOT.biosSignature));
  t.define(0x1a0, {
    name: 'IA32_MISC_ENABLE',
    read: (cpu) => getSlot(cpu.s, SLOT.miscEnable),
    write(cpu, v) {
      if (v & ~MISC_ENABLE_KNOWN) return false;
      setSlot(cpu.s, SLOT.miscEnable, v | (MISC_ENABLE_RESET & ~MISC_ENABLE_FAST_STRINGS));
      return true;
    },
  });
  t.define(0x1d9, fieldMsr('IA32_DEBUGCTL', S.debugctl, (low, high) => high === 0 && low < 4)); // LBR and BTF
}

function defineAmd(t: MsrTable): void {
  t.define(0x8b, slot('PATCH_LEVEL', SLOT.biosSignature, () => false));
  t.define(0x1d9, fieldMsr('DebugCtl', S.debugctl, (low, high) => high === 0 && low < 64));
  for (const [i, name] of ['LastBranchFromIP', 'LastBranchToIP', 'LastIntFromIP', 'LastIntToIP'].entries()) t.define(0x1db + i, constant(name, 0n));
  for (let i = 0; i < 4; i++) {
    t.define(0xc001_0000 + i, slot(`PerfEvtSel${i}`, SLOT.perfControl + i));
    t.define(0xc001_0004 + i, slot(`PerfCtr${i}`, SLOT.perfCounter + i, (v) => v >> 48n === 0n || v >> 48n === 0xffffn));
    t.define(0xc001_0016 + i, slot(i & 1 ? `IORRMask${i >> 1}` : `IORRBase${i >> 1}`, SLOT.iorr + i));
  }
  t.define(0xc001_0010, slot('SYSCFG', SLOT.syscfg));
  t.define(0xc001_0015, slot('HWCR', SLOT.hwcr));
  t.define(0xc001_001a, slot('TOP_MEM', SLOT.topMem));
  t.define(0xc001_001d, slot('TOM2', SLOT.topMem2));
  t.define(0xc001_001f, slot('NB_CFG', SLOT.nbCfg));
  t.define(0xc001_0020, { name: 'PATCH_LOADER', read: () => 0n, write: () => false });
  t.define(0xc001_0055, slot('Interrupt Pending and CMP-Halt', SLOT.intPending));
  // One P-state, which is always the current one.
  t.define(0xc001_0061, constant('PStateCurLim', 0n));
  t.define(0xc001_0062, slot('PStateCtl', SLOT.pStateControl, (v) => v < 8n));
  t.define(0xc001_0063, constant('PStateStat', 0n));
  for (let i = 0; i < 5; i++) t.define(0xc001_0064 + i, constant(`PStateDef${i}`, i === 0 ? 1n << 63n : 0n));
  for (const [i, [index, name]] of ([[0xc001_1020, 'LS_CFG'], [0xc001_1021, 'IC_CFG'], [0xc001_1022, 'DC_CFG'], [0xc001_1023, 'BU_CFG'], [0xc001_1029, 'DE_CFG']] as const).entries())
    t.define(index, slot(name, SLOT.configuration + i));
}

/** Defines the core's registers in a vCPU's table. Others (APIC_BASE, x2APIC, VMX, SVM) come from their own parts. */
export function defineCoreMsrs(t: MsrTable, o: CoreMsrOptions): void {
  const amd = o.vendor === 'AuthenticAMD';
  defineTime(t, o);
  if (o.longMode) defineLongMode(t);
  t.define(0x174, fieldMsr('IA32_SYSENTER_CS', S.sysenterCs, fits32));
  t.define(0x175, fieldMsr('IA32_SYSENTER_ESP', S.sysenterEsp, canonical));
  t.define(0x176, fieldMsr('IA32_SYSENTER_EIP', S.sysenterEip, canonical));
  t.define(0x277, fieldMsr('IA32_PAT', S.pat, isPat));
  defineMtrrs(t);
  defineMachineCheck(t, amd);
  if (amd) defineAmd(t);
  else defineIntel(t);
}

/** Reset values of stored registers that are not zero. */
export function resetCoreMsrs(cpu: Cpu): void {
  setSlot(cpu.s, SLOT.miscEnable, MISC_ENABLE_RESET);
}
