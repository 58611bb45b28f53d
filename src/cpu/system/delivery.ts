/**
 * Delivery of interrupts and exceptions through the IDT, in every mode.
 *
 * SDM 3A ch. 6 "Interrupt and Exception Handling": §6.12 "Exception and Interrupt Handling", §6.13 "Error Code",
 * §6.14 "Exception and Interrupt Handling in 64-bit Mode"; §20.1.4 "Interrupt and Exception Handling" (real mode), §20.3 (virtual-8086).
 *
 * Invariants: nothing of the state changes before the last possible fault (task gates excepted: a task switch commits in the
 * middle, as the manual says). A fault on the way comes back here as a recorded exception and is combined by the double-fault table.
 * `deliverEvent` never throws.
 */

import type { Cpu } from '../cpu.js';
import { DB, DFV, EVENT_TYPE, GP, GUEST_EVENT, MC, NP, PFV, SSV, TS } from '../events.js';
import { PROBE } from '../ports.js';
import { high32, low32, wide } from '../wide.js';
import { AC, ACTIVITY, CS, DS, ES, FS, GS, IF, MODE, NT, RF, RSP, S, SS, TF, VM } from '../state.js';
import { checkRip, is64BitCode, loadCs, loadRealCs } from './code-segment.js';
import {
  AR_DB, type Descriptor, SYS, dplOf, isCode, isConforming, isNull, isPresent, isSystem, markAccessed, parseDescriptor, readDescriptor,
  readSystem, tableAddress, typeOf,
} from './descriptors.js';
import { commitDebugException } from './debug.js';
import { combine, hasErrorCode } from './exception-classes.js';
import { type InnerStack, legacyInnerStack, longInnerStack } from './inner-stack.js';
import { isRealMode, isV86, setNullSegment, setSegment } from './segments.js';
import { Stack, type StackSegment } from './stack.js';
import { switchTask } from './task-switch.js';

/** One event on its way through the IDT. */
interface Event {
  vector: number;
  /** EVENT_TYPE */
  type: number;
  hasError: boolean;
  error: number;
  /** Length of the instruction, for software interrupts and exceptions: the return address is behind it. */
  length: number;
  /** 1 when the event comes from outside the program: bit 0 of the error codes of faults on the way. */
  ext: 0 | 1;
}

/** Software interrupts and exceptions (INT n, INT3, INTO, INT1) return behind the instruction and, but for INT1, obey the gate's DPL. */
const isSoftware = (type: number): boolean => type >= EVENT_TYPE.softwareInterrupt;
const obeysDpl = (type: number): boolean => type === EVENT_TYPE.softwareInterrupt || type === EVENT_TYPE.software;

/**
 * Delivers an event, asking the extension first. For #PF and #DB the address or DR6 bits are in `S.pendingAddress`.
 * When it returns, the state is at the handler's first instruction, or after a VM exit, or in shutdown.
 * @param type EVENT_TYPE @param error error code, used if `hasError` (real mode pushes none)
 * @param length instruction length for software types, else 0
 */
export function deliverEvent(cpu: Cpu, vector: number, type: number, hasError: boolean, error: number, length: number): void {
  run(cpu, { vector, type, hasError, error, length, ext: obeysDpl(type) ? 0 : 1 }, false);
}

/** As `deliverEvent` for an event that a VM entry or VMRUN injects: not intercepted itself, CR2 and DR6 untouched. */
export function injectEvent(cpu: Cpu, vector: number, type: number, hasError: boolean, error: number, length: number): void {
  run(cpu, { vector, type, hasError, error, length, ext: obeysDpl(type) ? 0 : 1 }, true);
}

/** Delivers the exception that `cpu.raise` recorded in the state. */
export function deliverPending(cpu: Cpu): void {
  const s = cpu.s;
  s.set32(S.pending, 0);
  deliverEvent(cpu, s.get32(S.pendingVector), s.get32(S.pendingType), s.get32(S.pendingHasError) !== 0, s.get32(S.pendingError), s.get32(S.pendingLength));
}

function run(cpu: Cpu, first: Event, injected: boolean): void {
  let ev = first;
  let asked = injected;
  for (;;) {
    if (!asked && intercepted(cpu, ev)) return;
    asked = false;
    if (!injected || ev !== first) recordAddress(cpu, ev);
    announce(cpu, ev);
    if (ev.type === EVENT_TYPE.nmi) cpu.s.set32(S.nmiBlocked, 1);
    if (cpu.inGuest) cpu.virt?.beginDelivery(cpu, ev.vector, ev.type, ev.hasError, ev.error, ev.length);
    const nested = attempt(cpu, ev);
    if (nested === 'left') return;
    if (nested === undefined) break;
    // The fault on the way is intercepted as itself before it is combined: SDM 3C "Exception Bitmap"; APM 2 §15.12.
    if (intercepted(cpu, nested)) return;
    if (nested.vector === PFV) cpu.s.set64(S.cr2, cpu.s.get64(S.pendingAddress));
    const outcome = combine(ev.type === EVENT_TYPE.hardware ? ev.vector : -1, nested.vector);
    if (outcome === 'shutdown') {
      if (!(cpu.inGuest && cpu.virt?.tripleFault(cpu))) shutDown(cpu);
      return;
    }
    asked = outcome === 'serial';
    ev = outcome === 'serial' ? nested : { vector: DFV, type: EVENT_TYPE.hardware, hasError: true, error: 0, length: 0, ext: 1 };
  }
  if (cpu.inGuest) cpu.virt?.endDelivery(cpu);
  cpu.s.set32(S.activity, ACTIVITY.active);
  cpu.s.set32(S.interruptShadow, 0);
  cpu.s.set32(S.delivered, 1);
  cpu.modeChanged();
}

/** Enters the shutdown state: only INIT, NMI or reset ends it. */
export function shutDown(cpu: Cpu): void {
  cpu.s.set32(S.activity, ACTIVITY.shutdown);
  cpu.kick();
}

function intercepted(cpu: Cpu, ev: Event): boolean {
  if (!cpu.inGuest || cpu.virt === null) return false;
  if (ev.type !== EVENT_TYPE.hardware && ev.type !== EVENT_TYPE.software && ev.type !== EVENT_TYPE.privilegedSoftware) return false;
  const address = ev.vector === PFV || (ev.vector === DB && ev.type === EVENT_TYPE.hardware) ? cpu.s.get64(S.pendingAddress) : 0n;
  return cpu.virt.exception(cpu, ev.vector, ev.type, ev.hasError, ev.error, address, ev.length);
}

function recordAddress(cpu: Cpu, ev: Event): void {
  if (ev.type !== EVENT_TYPE.hardware) return;
  if (ev.vector === PFV) cpu.s.set64(S.cr2, cpu.s.get64(S.pendingAddress));
  else if (ev.vector === DB) commitDebugException(cpu, Number(cpu.s.get64(S.pendingAddress) & 0xffff_ffffn));
}

function announce(cpu: Cpu, ev: Event): void {
  if (!cpu.probe.active) return;
  const kind = ev.type === EVENT_TYPE.hardware ? PROBE.exception : PROBE.interrupt;
  cpu.probe.emit(kind, cpu.now(), cpu.id, ev.vector, Number(cpu.s.rip), ev.error, Number(cpu.s.get64(S.cr2)));
}

/** Delivers once. @returns undefined when done, 'left' after a VM exit, else the exception met on the way. */
function attempt(cpu: Cpu, ev: Event): Event | 'left' | undefined {
  const s = cpu.s;
  const cplBefore = s.cpl;
  try {
    if (isRealMode(s)) deliverReal(cpu, ev);
    else if (s.longMode) deliverLong(cpu, ev);
    else deliverProtected(cpu, ev);
    const kind = isSoftware(ev.type) ? 'software' : ev.type === EVENT_TYPE.hardware ? 'exception' : 'interrupt';
    if (cpu.timing !== null) cpu.charge(cpu.timing.delivery(kind, s.cpl !== cplBefore));
    return undefined;
  } catch (e) {
    if (e !== GUEST_EVENT) throw e;
    if (s.get32(S.pending) === 0) return 'left';
    s.set32(S.pending, 0);
    const vector = s.get32(S.pendingVector);
    let error = s.get32(S.pendingError);
    if (vector === TS || vector === NP || vector === SSV || vector === GP) error |= ev.ext;
    return { vector, type: EVENT_TYPE.hardware, hasError: hasErrorCode(vector), error, length: 0, ext: 1 };
  }
}

/** RFLAGS as pushed: fault-class exceptions show RF = 1. SDM 3B §17.3.1.1 "Instruction-Breakpoint Exception Condition". */
function flagsImage(cpu: Cpu, ev: Event): number {
  const fault = ev.type === EVENT_TYPE.hardware && ev.vector !== DB && ev.vector !== DFV && ev.vector !== MC;
  return (fault ? cpu.s.rflags | RF : cpu.s.rflags) >>> 0;
}

/** The address that the handler returns to. */
function returnRip(cpu: Cpu, ev: Event): bigint {
  const s = cpu.s;
  if (!isSoftware(ev.type)) return s.rip;
  const bits = s.get32(S.mode) === MODE.bits64 ? 64 : s.get32(S.mode) === MODE.bits32 ? 32 : 16;
  return BigInt.asUintN(bits, s.rip + BigInt(ev.length));
}

function deliverReal(cpu: Cpu, ev: Event): void {
  const s = cpu.s;
  if (ev.vector * 4 + 3 > s.get32(S.idtrLimit)) cpu.raise(GP, ev.vector * 8 + 2);
  const stack = Stack.current(cpu);
  stack.push(BigInt(s.rflags & 0xffff), 2);
  stack.push(BigInt(s.selector(CS)), 2);
  stack.push(returnRip(cpu, ev), 2);
  const offset = readSystem(cpu, s.get64(S.idtrBase), ev.vector * 4, 2);
  const selector = readSystem(cpu, s.get64(S.idtrBase), ev.vector * 4 + 2, 2);
  if (offset > s.segLimit(CS)) cpu.raise(GP, 0);
  stack.commit();
  loadRealCs(cpu, selector);
  s.rflags = s.rflags & ~(IF | TF | RF | AC);
  s.rip = BigInt(offset);
}

/** Checks that hold for every gate; returns its first doubleword pair. */
function readGate(cpu: Cpu, ev: Event, size: 8 | 16): Descriptor {
  const s = cpu.s;
  const error = ev.vector * 8 + 2;
  if (ev.vector * size + size - 1 > s.get32(S.idtrLimit)) cpu.raise(GP, error);
  const raw = cpu.readLinear(tableAddress(cpu, s.get64(S.idtrBase), ev.vector * size), 8, true);
  const gate = parseDescriptor(low32(raw), high32(raw));
  const type = typeOf(gate);
  const interruptOrTrap = type === SYS.interruptGate32 || type === SYS.trapGate32;
  const legacy = type === SYS.taskGate || type === SYS.interruptGate16 || type === SYS.trapGate16;
  if (!isSystem(gate) || !(interruptOrTrap || (size === 8 && legacy))) cpu.raise(GP, error);
  if (obeysDpl(ev.type) && dplOf(gate) < s.cpl) cpu.raise(GP, error);
  if (!isPresent(gate)) cpu.raise(NP, error);
  return gate;
}

/** The handler's code segment: type, privilege and presence. */
function readHandlerSegment(cpu: Cpu, selector: number): Descriptor {
  if (isNull(selector)) cpu.raise(GP, 0);
  const error = selector & 0xfffc;
  const d = readDescriptor(cpu, selector, GP);
  if (!isCode(d) || dplOf(d) > cpu.s.cpl) cpu.raise(GP, error);
  if (cpu.s.longMode && (!is64BitCode(cpu, d) || (d.attr & AR_DB) !== 0)) cpu.raise(GP, error);
  if (!isPresent(d)) cpu.raise(NP, error);
  return d;
}

function deliverProtected(cpu: Cpu, ev: Event): void {
  const s = cpu.s;
  const gate = readGate(cpu, ev, 8);
  const type = typeOf(gate);
  if (type === SYS.taskGate) {
    switchTask(cpu, gate.lo >>> 16, 'gate', {
      returnRip: returnRip(cpu, ev),
      rflags: flagsImage(cpu, ev),
      ...(ev.hasError ? { error: ev.error } : {}),
    });
    return;
  }
  const size = type >= SYS.interruptGate32 ? 4 : 2;
  const selector = gate.lo >>> 16;
  const offset = BigInt(size === 4 ? ((gate.hi & 0xffff_0000) | (gate.lo & 0xffff)) >>> 0 : gate.lo & 0xffff);
  const code = readHandlerSegment(cpu, selector);
  const v86 = isV86(s);
  const inner = !isConforming(code) && dplOf(code) < s.cpl;
  if (v86 && (!inner || dplOf(code) !== 0)) cpu.raise(GP, selector & 0xfffc);

  const flags = BigInt(flagsImage(cpu, ev));
  const cpl = inner ? dplOf(code) : s.cpl;
  let stack: Stack;
  let innerStack: InnerStack | undefined;
  if (inner) {
    const to = (innerStack = legacyInnerStack(cpu, cpl));
    stack = new Stack(cpu, to.segment, to.sp, to.selector & 0xfffc, true, false);
    if (v86) for (const seg of [GS, FS, DS, ES]) stack.push(BigInt(s.selector(seg)), size);
    stack.push(BigInt(s.selector(SS)), size);
    stack.push(s.gpr(RSP), size);
  } else {
    stack = Stack.current(cpu);
  }
  stack.push(flags, size);
  stack.push(BigInt(s.selector(CS)), size);
  stack.push(returnRip(cpu, ev), size);
  if (ev.hasError) stack.push(BigInt(ev.error), size);
  checkRip(cpu, code, offset);
  const ssAttr = innerStack === undefined ? 0 : markAccessed(cpu, innerStack.selector, innerStack.segment);

  loadCs(cpu, selector, code, cpl);
  let f = s.rflags & ~(TF | RF | NT | VM);
  if ((type & 1) === 0) f &= ~IF;
  s.rflags = f;
  if (innerStack !== undefined) setSegment(s, SS, innerStack.selector, innerStack.segment.base, innerStack.segment.limit, ssAttr);
  stack.commit();
  if (v86) for (const seg of [GS, FS, DS, ES]) setNullSegment(s, seg, 0);
  s.rip = offset;
}

/** In 64-bit mode a stack has neither base nor limit; this stands for it. */
const FLAT: StackSegment = { base: 0n, limit: 0xffff_ffff, attr: 0 };

function deliverLong(cpu: Cpu, ev: Event): void {
  const s = cpu.s;
  const gate = readGate(cpu, ev, 16);
  const upper = cpu.readLinear(tableAddress(cpu, s.get64(S.idtrBase), ev.vector * 16 + 8), 8, true);
  if (high32(upper) & 0x1f00) cpu.raise(GP, ev.vector * 8 + 2);
  const offset = wide((gate.hi & 0xffff_0000) | (gate.lo & 0xffff), low32(upper));
  const selector = gate.lo >>> 16;
  const ist = gate.hi & 7;
  const code = readHandlerSegment(cpu, selector);
  const inner = !isConforming(code) && dplOf(code) < s.cpl;
  const cpl = inner ? dplOf(code) : s.cpl;

  const from = ist !== 0 ? longInnerStack(cpu, ist + 3) : inner ? longInnerStack(cpu, cpl) : s.gpr(RSP);
  const stack = new Stack(cpu, FLAT, from & ~15n, 0, cpl !== 3, true);
  stack.push(wide(s.selector(SS), 0), 8);
  stack.push(s.gpr(RSP), 8);
  stack.push(wide(flagsImage(cpu, ev), 0), 8);
  stack.push(wide(s.selector(CS), 0), 8);
  stack.push(returnRip(cpu, ev), 8);
  if (ev.hasError) stack.push(wide(ev.error, 0), 8);
  checkRip(cpu, code, offset);

  loadCs(cpu, selector, code, cpl);
  if (inner) setNullSegment(s, SS, cpl);
  s.setGpr(RSP, stack.sp);
  let f = s.rflags & ~(TF | RF | NT | VM);
  if ((typeOf(gate) & 1) === 0) f &= ~IF;
  s.rflags = f;
  s.rip = offset;
}
