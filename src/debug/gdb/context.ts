/**
 * A stopped vCPU as gdb sees it: a copy of its state, its memory, and its extension. Looking changes nothing of the machine; writing does what a
 * debugger's user asked for.
 */

import { MODE, S, CpuState } from '../../cpu/state.js';
import type { Vcpu } from '../../cpu/vcpu.js';
import type { Machine } from '../../machine/machine.js';
import { LinearReader } from '../linear-reader.js';

const LOW_32 = 0xffff_ffffn, PAGE = 4096;

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

  /** Writes all of `bytes`, or nothing and returns false: not mapped, firmware, or a device's. */
  writeLinear(linear: bigint, bytes: Uint8Array): boolean {
    const address = this.reachable(linear);
    if (address === undefined) return false;
    const parts: { hpa: number; from: number; to: number }[] = [];
    for (let done = 0; done < bytes.length; ) {
      const at = BigInt.asUintN(64, address + BigInt(done)), hpa = this.reader.physical(at);
      if (hpa < 0 || !this.machine.phys.writable(hpa)) return false;
      const to = Math.min(bytes.length, done + PAGE - (Number(at & 0xfffn)));
      parts.push({ hpa, from: done, to });
      done = to;
    }
    for (const { hpa, from, to } of parts) this.machine.phys.write(hpa, bytes.subarray(from, to));
    return true;
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

/** Writes all of `bytes` to RAM, or nothing and returns false. */
export function writePhysical(machine: Machine, hpa: number, bytes: Uint8Array): boolean {
  for (let at = hpa; at < hpa + bytes.length; at = (Math.floor(at / PAGE) + 1) * PAGE) if (!machine.phys.writable(at)) return false;
  machine.phys.write(hpa, bytes);
  return true;
}
