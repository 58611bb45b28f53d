/**
 * Debug registers at work: breakpoints, single step, and the #DB exception.
 *
 * SDM 3B ch. 17 "Debug, Branch Profile, TSC, ...": §17.2 "Debug Registers", §17.3 "Debug Exceptions".
 *
 * How the run loop uses this: when `debugStepNeeded`, it runs one instruction at a time; before each `beginInstruction`, after each
 * `afterInstruction` with TF as it was before. The engine calls `noteDataAccess` for accesses while `dataBreakpointsActive`.
 *
 * Invariant: DR6 and DR7.GD change only when a #DB is really delivered (`commitDebugException`), never when it leaves a guest.
 */

import type { Cpu } from '../cpu.js';
import { DB, EVENT_TYPE } from '../events.js';
import { CR4_DE, CS, RF, S, TF } from '../state.js';

export const DR6_BD = 1 << 13, DR6_BS = 1 << 14, DR6_BT = 1 << 15, DR6_FIXED = 0xffff_0ff0;
export const DR7_GD = 1 << 13, DR7_FIXED = 1 << 10;
const MOV_SS_SHADOW = 2;

const dr7 = (cpu: Cpu): number => cpu.s.get32(S.dr + 56);
const enabled = (d: number, i: number): boolean => ((d >>> (2 * i)) & 3) !== 0;
const kindOf = (d: number, i: number): number => (d >>> (16 + 4 * i)) & 3;
const LENGTH = [1n, 2n, 8n, 4n];
const lengthOf = (d: number, i: number): bigint => LENGTH[(d >>> (18 + 4 * i)) & 3]!;
const KIND_EXECUTE = 0, KIND_WRITE = 1, KIND_IO = 2;

function anyEnabled(cpu: Cpu, test: (kind: number) => boolean): boolean {
  const d = dr7(cpu);
  if ((d & 0xff) === 0) return false;
  for (let i = 0; i < 4; i++) if (enabled(d, i) && test(kindOf(d, i))) return true;
  return false;
}

/**
 * Must instructions run one by one (TF, any armed breakpoint, RF to be cleared, or a debug trap that waits)? Data and I/O breakpoints
 * too: their traps belong to the end of the instruction, and a chain of records goes on to the end of its block.
 */
export function debugStepNeeded(cpu: Cpu): boolean {
  const s = cpu.s;
  if ((s.get32(S.rflagsRest) & (TF | RF)) !== 0 || s.get32(S.pendingDebug) !== 0) return true;
  return anyEnabled(cpu, (k) => k !== KIND_IO || (s.cr4 & CR4_DE) !== 0);
}

/**
 * Between instructions: a debug trap of the instruction before (task switch with the T flag, an instruction that an event ended)
 * becomes pending, unless MOV SS or POP SS holds it back. @returns true when a #DB trap is now pending
 */
export function takeWaitingTrap(cpu: Cpu): boolean {
  const s = cpu.s, bits = s.get32(S.pendingDebug);
  if (bits === 0 || s.get32(S.interruptShadow) === MOV_SS_SHADOW) return false;
  s.set32(S.pendingDebug, 0);
  holdDebugException(cpu, bits);
  return true;
}

/** Is any data breakpoint armed, so that every access needs `noteDataAccess`? */
export const dataBreakpointsActive = (cpu: Cpu): boolean => anyEnabled(cpu, (k) => k === KIND_WRITE || k === 3);

/**
 * Before an instruction: code breakpoints, unless RF suppresses them; RF is used up.
 * @returns true when a #DB fault is now pending and the instruction must not run.
 */
export function beginInstruction(cpu: Cpu): boolean {
  const s = cpu.s;
  s.set32(S.delivered, 0);
  const rest = s.get32(S.rflagsRest);
  if (rest & RF) {
    s.set32(S.rflagsRest, rest & ~RF);
    return false;
  }
  const hits = matchCode(cpu);
  if (hits === 0) return false;
  holdDebugException(cpu, hits);
  return true;
}

function matchCode(cpu: Cpu): number {
  const s = cpu.s, d = dr7(cpu);
  if ((d & 0xff) === 0) return 0;
  const linear = s.mode64 ? s.rip : BigInt.asUintN(32, s.segBase(CS) + s.rip);
  let hits = 0;
  for (let i = 0; i < 4; i++)
    if (enabled(d, i) && kindOf(d, i) === KIND_EXECUTE && s.get64(S.dr + 8 * i) === linear) hits |= 1 << i;
  return hits;
}

/** Records data breakpoints that an access hits; the trap comes after the instruction. */
export function noteDataAccess(cpu: Cpu, linear: bigint, size: number, write: boolean): void {
  note(cpu, linear, BigInt(size), (kind) => kind === 3 || (write && kind === KIND_WRITE));
}

/** Records I/O breakpoints (CR4.DE = 1) that a port access hits. */
export function noteIoAccess(cpu: Cpu, port: number, size: number): void {
  if ((cpu.s.cr4 & CR4_DE) === 0) return;
  note(cpu, BigInt(port), BigInt(size), (kind) => kind === KIND_IO);
}

function note(cpu: Cpu, address: bigint, size: bigint, wanted: (kind: number) => boolean): void {
  const s = cpu.s, d = dr7(cpu);
  if ((d & 0xff) === 0) return;
  let hits = 0;
  for (let i = 0; i < 4; i++) {
    if (!enabled(d, i) || !wanted(kindOf(d, i))) continue;
    const length = lengthOf(d, i);
    const start = s.get64(S.dr + 8 * i) & ~(length - 1n);
    if (address < start + length && address + size > start) hits |= 1 << i;
  }
  if (hits === 0) return;
  s.set32(S.pendingDebug, s.get32(S.pendingDebug) | hits);
  cpu.kick();
}

/**
 * After an instruction has retired: single step and collected breakpoints.
 * @param stepped TF as it was before the instruction
 * @returns true when a #DB trap is now pending. After MOV SS and POP SS there is no single-step trap, and breakpoints wait for the
 *   next instruction. After an instruction that delivered an event (INT n) there is no single-step trap either: the handler's TF counts.
 */
export function afterInstruction(cpu: Cpu, stepped: boolean): boolean {
  const s = cpu.s;
  if (s.get32(S.shadowArmed) !== 0 && s.get32(S.interruptShadow) === MOV_SS_SHADOW) return false;
  const bits = s.get32(S.pendingDebug) | (stepped && s.get32(S.delivered) === 0 ? DR6_BS : 0);
  if (bits === 0) return false;
  s.set32(S.pendingDebug, 0);
  holdDebugException(cpu, bits);
  return true;
}

/**
 * For SYSCALL and SYSRET, where TF as it is at the end decides on the single-step trap. APM 2 §13.1.4 "Debug Breakpoints",
 * "Single Stepping".
 */
export function stepByFinalFlags(cpu: Cpu): void {
  const s = cpu.s;
  s.set32(S.delivered, 1);
  if ((s.get32(S.rflagsRest) & TF) === 0) return;
  holdDebugException(cpu, s.get32(S.pendingDebug) | DR6_BS);
  s.set32(S.pendingDebug, 0);
}

/** Makes a #DB the pending event. @param bits what its handler is to find in DR6 */
export function holdDebugException(cpu: Cpu, bits: number): void {
  const s = cpu.s;
  s.set32(S.pending, 1);
  s.set32(S.pendingVector, DB);
  s.set32(S.pendingType, EVENT_TYPE.hardware);
  s.set32(S.pendingHasError, 0);
  s.set32(S.pendingError, 0);
  s.set32(S.pendingLength, 0);
  s.set64(S.pendingAddress, BigInt(bits));
}

/** Raises #DB from inside an instruction (general detect). @param bits of DR6 */
export function raiseDebug(cpu: Cpu, bits: number): never {
  cpu.s.set64(S.pendingAddress, BigInt(bits));
  return cpu.raise(DB);
}

/** What delivering #DB does to DR6 and DR7: B0-B3 show this event, BD, BS and BT accumulate, GD is cleared. */
export function commitDebugException(cpu: Cpu, bits: number): void {
  const s = cpu.s;
  const dr6 = s.get32(S.dr + 48);
  s.set64(S.dr + 48, BigInt(((dr6 & ~0xf) | bits | DR6_FIXED) >>> 0));
  s.set64(S.dr + 56, BigInt((dr7(cpu) & ~DR7_GD) >>> 0));
}
