/**
 * IN, OUT, INS and OUTS: permission, interception, breakpoints, and the repeated forms.
 *
 * SDM 1 ch. 18 "Input/Output": §18.5.1 "I/O Privilege Level", §18.5.2 "I/O Permission Bit Map"; SDM 2, "IN", "OUT", "INS", "OUTS".
 *
 * Invariant: a repeated form moves its registers after each iteration, so that a fault, an exit or an interrupt finds them exact.
 */

import type { Cpu } from '../cpu.js';
import { GP } from '../events.js';
import type { InsnView } from '../insn-view.js';
import { type HelperResult, LEAVE, NEXT } from '../insn.js';
import { PROBE } from '../ports.js';
import { DF, ES, RAX, RCX, RDI, RDX, RSI, S, TF, TR } from '../state.js';
import { SYS, readSystem, typeOf } from './descriptors.js';
import { noteIoAccess } from './debug.js';
import { iopl, isAmd } from './privilege.js';
import { isRealMode, isV86 } from './segments.js';
import { operandBytes } from './operand-size.js';

type PortSize = 1 | 2 | 4;

/** Before an access: I/O breakpoints, and in cycle mode the time that the bus takes. */
function beginAccess(cpu: Cpu, port: number, size: PortSize, kind: 'port-read' | 'port-write'): void {
  noteIoAccess(cpu, port, size);
  if (cpu.timing !== null) cpu.charge(cpu.timing.device(kind, port));
}

function readPort(cpu: Cpu, port: number, size: PortSize): number {
  const v = cpu.platform.ioRead(port, size) >>> 0;
  if (cpu.probe.active) cpu.probe.emit(PROBE.ioRead, cpu.now(), cpu.id, port, size, v, 0);
  return v;
}
function writePort(cpu: Cpu, port: number, size: PortSize, v: number): void {
  if (cpu.probe.active) cpu.probe.emit(PROBE.ioWrite, cpu.now(), cpu.id, port, size, v, 0);
  cpu.platform.ioWrite(port, size, v);
}

/** Iterations of a repeated form before the run loop may look at pending events again. */
const ITERATIONS = 64;

/** #GP(0) unless IOPL or the I/O permission bit map of the TSS allows the ports. */
export function requirePort(cpu: Cpu, port: number, size: PortSize): void {
  const s = cpu.s;
  if (isRealMode(s) || (s.cpl <= iopl(cpu) && !isV86(s))) return;
  if (typeOf({ attr: s.segAttr(TR) }) < SYS.tss32) cpu.raise(GP, 0);
  const limit = s.segLimit(TR);
  if (limit < 0x67) cpu.raise(GP, 0);
  const at = readSystem(cpu, s.segBase(TR), 0x66, 2) + (port >>> 3);
  // Two bytes are always read: ports that straddle a byte need both.
  if (at + 1 > limit) cpu.raise(GP, 0);
  const bits = readSystem(cpu, s.segBase(TR), at, 2) >>> (port & 7);
  if (bits & ((1 << size) - 1)) cpu.raise(GP, 0);
}

const leaves = (cpu: Cpu, port: number, size: PortSize, input: boolean, immediate: boolean): boolean =>
  cpu.inGuest && cpu.virt !== null && cpu.virt.io(cpu, port, size, input, false, false, immediate, 0, 0, 0n);

/** The port operand: an immediate byte or DX. */
const portOf = (cpu: Cpu, insn: InsnView, operand: number, immediate: boolean): number =>
  immediate ? Number(insn.immediate(operand) & 0xffn) : cpu.s.gpr32(RDX) & 0xffff;

export const input =
  (immediate: boolean) =>
  (cpu: Cpu, insn: InsnView): HelperResult => {
    const size = operandBytes(insn) as PortSize;
    const port = portOf(cpu, insn, 1, immediate);
    requirePort(cpu, port, size);
    if (leaves(cpu, port, size, true, immediate)) return LEAVE;
    beginAccess(cpu, port, size, 'port-read');
    const v = readPort(cpu, port, size);
    const s = cpu.s;
    if (size === 4) s.setGpr32(RAX, v);
    else s.set32(S.gpr, ((s.gpr32(RAX) & (size === 1 ? ~0xff : ~0xffff)) | v) >>> 0);
    return NEXT;
  };

export const output =
  (immediate: boolean) =>
  (cpu: Cpu, insn: InsnView): HelperResult => {
    const size = operandBytes(insn) as PortSize;
    const port = portOf(cpu, insn, 0, immediate);
    requirePort(cpu, port, size);
    if (leaves(cpu, port, size, false, immediate)) return LEAVE;
    beginAccess(cpu, port, size, 'port-write');
    const v = cpu.s.gpr32(RAX);
    writePort(cpu, port, size, size === 1 ? v & 0xff : size === 2 ? v & 0xffff : v);
    // A device may have raised an interrupt, or stopped the machine.
    return cpu.finish();
  };

/** An index or count register at address size. */
const index = (cpu: Cpu, reg: number, width: number): bigint => BigInt.asUintN(width, cpu.s.gpr(reg));
function setIndex(cpu: Cpu, reg: number, width: number, v: bigint): void {
  const s = cpu.s;
  if (width === 16) s.setGpr(reg, (s.gpr(reg) & ~0xffffn) | (v & 0xffffn));
  else s.setGpr(reg, BigInt.asUintN(width, v));
}

interface StringIo {
  readonly port: number;
  readonly size: PortSize;
  readonly width: number;
  readonly step: bigint;
  readonly rep: boolean;
  readonly segment: number;
}

/**
 * Offers one INS or OUTS to the extension. Intel's exit reports the linear address and so comes after the checks of the segment, AMD's
 * comes before them. @returns true after a VM exit
 */
const stringLeaves = (cpu: Cpu, io: StringIo, input: boolean, segment: number, linear: bigint): boolean =>
  cpu.inGuest && cpu.virt !== null && cpu.virt.io(cpu, io.port, io.size, input, true, io.rep, false, io.width, segment, linear);

/** One INS. @returns false after a VM exit */
function inputOnce(cpu: Cpu, io: StringIo): boolean {
  const offset = index(cpu, RDI, io.width);
  if (isAmd(cpu) && stringLeaves(cpu, io, true, ES, 0n)) return false;
  const linear = cpu.linearAddress(ES, offset, io.size, true);
  if (!isAmd(cpu) && stringLeaves(cpu, io, true, ES, linear)) return false;
  // The memory must be proved writable before the device is asked: a port read cannot be taken back.
  cpu.writeLinear(linear, io.size, cpu.readLinear(linear, io.size));
  beginAccess(cpu, io.port, io.size, 'port-read');
  cpu.writeLinear(linear, io.size, BigInt(readPort(cpu, io.port, io.size)));
  setIndex(cpu, RDI, io.width, offset + io.step);
  return true;
}

/** One OUTS. @returns false after a VM exit */
function outputOnce(cpu: Cpu, io: StringIo): boolean {
  const offset = index(cpu, RSI, io.width);
  if (isAmd(cpu) && stringLeaves(cpu, io, false, io.segment, 0n)) return false;
  const linear = cpu.linearAddress(io.segment, offset, io.size, false);
  if (!isAmd(cpu) && stringLeaves(cpu, io, false, io.segment, linear)) return false;
  const v = Number(cpu.readLinear(linear, io.size));
  beginAccess(cpu, io.port, io.size, 'port-write');
  writePort(cpu, io.port, io.size, v);
  setIndex(cpu, RSI, io.width, offset + io.step);
  return true;
}

function stringIo(cpu: Cpu, insn: InsnView, once: (cpu: Cpu, io: StringIo) => boolean): HelperResult {
  const s = cpu.s;
  const size = operandBytes(insn) as PortSize;
  const rep = insn.hasRep || insn.hasRepne;
  const io: StringIo = {
    port: s.gpr32(RDX) & 0xffff, size, rep, width: insn.addressWidth, segment: insn.segment,
    step: BigInt(s.get32(S.rflagsRest) & DF ? -size : size),
  };
  if (rep && index(cpu, RCX, io.width) === 0n) return NEXT;
  requirePort(cpu, io.port, size);
  if (!rep) return once(cpu, io) ? cpu.finish() : LEAVE;
  const most = s.get32(S.rflagsRest) & TF ? 1 : ITERATIONS;
  for (let n = 0; n < most; n++) {
    if (!once(cpu, io)) return LEAVE;
    const left = index(cpu, RCX, io.width) - 1n;
    setIndex(cpu, RCX, io.width, left);
    if (left === 0n) return cpu.finish();
    cpu.charge(1);
  }
  return LEAVE; // RIP is still here: the run loop comes back after looking at events
}

export const ins = (cpu: Cpu, insn: InsnView): HelperResult => stringIo(cpu, insn, inputOnce);
export const outs = (cpu: Cpu, insn: InsnView): HelperResult => stringIo(cpu, insn, outputOnce);
