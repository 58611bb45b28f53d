/**
 * Where MSRs live that only RDMSR and WRMSR look at: slots of `S.msr`, so that they follow their vCPU and its snapshots.
 */

import type { CpuState } from '../state.js';
import { S } from '../state.js';

export const MTRR_VARIABLE = 8, MACHINE_CHECK_BANKS = 9;

/** First slot of each group; 8 bytes a slot. */
export const SLOT = {
  mtrrVariable: 0, // base and mask pairs: 16
  mtrrFixed: 16, // 11
  mtrrDefault: 27,
  miscEnable: 28,
  mcgStatus: 29,
  mcgCtl: 30,
  mcCtl: 31, // 9
  mcStatus: 40, // 9
  mcAddr: 49, // 9
  mcMisc: 58, // 9
  syscfg: 67,
  hwcr: 68,
  nbCfg: 69,
  perfControl: 70, // 4
  perfCounter: 74, // 4
  iorr: 78, // 4
  topMem: 82,
  topMem2: 83,
  configuration: 84, // LS, IC, DC, BU, DE: 5
  tscAdjust: 89,
  biosSignature: 90,
  intPending: 91,
  pStateControl: 92,
} as const;

export const slotAddress = (slot: number): number => S.msr + 8 * slot;
export const getSlot = (s: CpuState, slot: number): bigint => s.get64(slotAddress(slot));
export const setSlot = (s: CpuState, slot: number, v: bigint): void => s.set64(slotAddress(slot), BigInt.asUintN(64, v));
