/**
 * The exact path of SSE arithmetic: helpers that compute lanes with cpu/fp and post MXCSR exceptions.
 *
 * Emitted code puts the operands at ARG_A and ARG_B (128 bits each), calls, and takes the result from ARG_A. SDM 1 §11.5.3
 * "Handling SIMD Floating-Point Exceptions in Software": unmasked exceptions that are known before the operation (invalid,
 * denormal, divide by zero) in any lane keep the others from being reported.
 */

import type { Cpu } from '../cpu.js';
import { DOUBLE, SINGLE } from '../fp/format.js';
import { DE, IE, ZE, type Environment } from '../fp/round.js';
import { UD, XM } from '../events.js';
import { NEXT, type InsnHelper } from '../insn.js';
import type { InsnView } from '../insn-view.js';
import { CR4_OSXMMEXCPT, S } from '../state.js';

/** Where emitted code and helpers exchange operands: not the part that memory slow paths use. */
export const ARG_A = S.scratch, ARG_B = S.scratch + 16;

export type LaneWidth = 32 | 64;
export const formatOf = (width: LaneWidth): typeof SINGLE => (width === 32 ? SINGLE : DOUBLE);

const MXCSR_DAZ = 1 << 6, MXCSR_FTZ = 1 << 15;

/** The environment that MXCSR describes, no flags yet. */
export function environment(cpu: Cpu): Environment {
  const mxcsr = cpu.s.get32(S.mxcsr);
  return {
    rounding: (mxcsr >> 13) & 3,
    masks: (mxcsr >> 7) & 0x3f,
    daz: (mxcsr & MXCSR_DAZ) !== 0,
    ftz: (mxcsr & MXCSR_FTZ) !== 0,
    flags: 0,
    up: false,
  };
}

/** Adds the flags to MXCSR; raises #XM (#UD without CR4.OSXMMEXCPT) if one is unmasked. */
export function post(cpu: Cpu, env: Environment): void {
  let { flags } = env;
  const early = IE | DE | ZE;
  if (flags & ~env.masks & early) flags &= early;
  cpu.s.set32(S.mxcsr, cpu.s.get32(S.mxcsr) | flags);
  if (flags & ~env.masks) cpu.raise(cpu.s.cr4 & CR4_OSXMMEXCPT ? XM : UD);
}

export const getLane = (cpu: Cpu, at: number, width: LaneWidth, i: number): bigint =>
  width === 64 ? cpu.m.view.getBigUint64(at + 8 * i, true) : BigInt(cpu.m.view.getUint32(at + 4 * i, true));
export function setLane(cpu: Cpu, at: number, width: LaneWidth, i: number, v: bigint): void {
  if (width === 64) cpu.m.view.setBigUint64(at + 8 * i, v, true);
  else cpu.m.view.setUint32(at + 4 * i, Number(v), true);
}

/** What one lane of a result is. */
export type Lane = (env: Environment, a: bigint, b: bigint, insn: InsnView, index: number) => bigint;

/**
 * A helper that computes `lanes` result lanes of `to` bits from operand lanes of `from` bits; other lanes of ARG_A become zero
 * when `clear`, else keep what they hold.
 */
export const laneHelper = (lanes: number, from: LaneWidth, to: LaneWidth, lane: Lane, clear = false): InsnHelper => (cpu, insn) => {
  const env = environment(cpu);
  const out: bigint[] = [];
  for (let i = 0; i < lanes; i++) out.push(lane(env, getLane(cpu, ARG_A, from, i), getLane(cpu, ARG_B, from, i), insn, i));
  post(cpu, env);
  if (clear) cpu.m.u8.fill(0, ARG_A, ARG_A + 16);
  out.forEach((v, i) => setLane(cpu, ARG_A, to, i, v));
  return NEXT;
};
