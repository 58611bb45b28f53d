/**
 * A stopped vCPU as gdb sees it: a copy of its state, its memory, and its extension. Looking changes nothing of the machine.
 */

import { MODE, S, CpuState } from '../../cpu/state.js';
import type { Vcpu } from '../../cpu/vcpu.js';
import type { Machine } from '../../machine/machine.js';
import { LinearReader } from '../linear-reader.js';

const LOW_32 = 0xffff_ffffn, PAGE = 4096;

/** Bytes `from` to `to` of something lie together from a physical address on. */
export interface Piece {
  readonly hpa: number;
  readonly from: number;
  readonly to: number;
}

export class VcpuContext {
  readonly state: CpuState;
  readonly vcpu: Vcpu;
  readonly reader: LinearReader;

  /** @param id of a vCPU that the machine has */
  constructor(readonly machine: Machine, id: number) {
    this.vcpu = machine.processors[id]!.vcpu;
    this.state = CpuState.copyOf(this.vcpu.copyState());
    this.reader = new LinearReader(machine.phys, this.state, this.inGuest ? (this.vcpu.virt?.nested ?? null) : null);
  }

  /** In VMX non-root operation, or between VMRUN and #VMEXIT. */
  get inGuest(): boolean {
    return this.state.get32(S.guest) !== 0;
  }

  /** Linear address of the next instruction: RIP, with the base of CS outside 64-bit mode. */
  get linearPc(): bigint {
    const { state } = this;
    return state.mode64 ? state.rip : (state.rip + state.get64(S.csBase)) & LOW_32;
  }

  /** Reads linear memory; what cannot be read is left out at the end. */
  readLinear(linear: bigint, length: number): Uint8Array {
    const address = this.reachable(linear);
    if (address === undefined) return new Uint8Array(0);
    const { bytes, readable } = this.reader.read(address, length);
    return bytes.subarray(0, readable);
  }

  /** Where bytes at a linear address lie; undefined when not all of them can be written: not mapped, firmware, or a device's. */
  writablePieces(linear: bigint, length: number): Piece[] | undefined {
    const address = this.reachable(linear);
    if (address === undefined) return undefined;
    const pieces: Piece[] = [];
    for (let done = 0; done < length; ) {
      const at = BigInt.asUintN(64, address + BigInt(done)), hpa = this.reader.physical(at);
      if (hpa < 0 || !this.machine.phys.writable(hpa)) return undefined;
      const to = Math.min(length, done + PAGE - Number(at & 0xfffn));
      pieces.push({ hpa, from: done, to });
      done = to;
    }
    return pieces;
  }

  /** The address as the processor's mode has it; undefined for one that is not canonical. */
  private reachable(linear: bigint): bigint | undefined {
    if (this.state.get32(S.mode) !== MODE.bits64 && !this.state.longMode) return linear & LOW_32;
    return BigInt.asUintN(64, BigInt.asIntN(48, linear)) === linear ? linear : undefined;
  }
}

/** Reads physical memory; what is not memory is left out at the end. */
export function readPhysical(machine: Machine, hpa: number, length: number): Uint8Array {
  let end = hpa;
  while (end < hpa + length && machine.phys.address(end) >= 0) end = Math.min(hpa + length, (Math.floor(end / PAGE) + 1) * PAGE);
  return machine.phys.read(hpa, end - hpa);
}

/** The same for a physical address. */
export function physicalPieces(machine: Machine, hpa: number, length: number): Piece[] | undefined {
  for (let at = hpa; at < hpa + length; at = (Math.floor(at / PAGE) + 1) * PAGE) if (!machine.phys.writable(at)) return undefined;
  return [{ hpa, from: 0, to: length }];
}
