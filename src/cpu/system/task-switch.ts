/**
 * Hardware task switches, between 16- and 32-bit task-state segments in any combination.
 *
 * SDM 3A ch. 7 "Task Management": §7.2.1 "Task-State Segment (TSS)", §7.3 "Task Switching", §7.4 "Task Linking", §7.6 "16-Bit Task-State Segment (TSS)".
 *
 * Everything before the commit point can fault in the old task without a trace; from there on faults (#TS, #NP, #SS, #GP) belong to
 * the new task. Deviations: a fault while the old TSS is being written may leave part of it written, as nobody can see it before the
 * switch is restarted.
 */

import type { Cpu } from '../cpu.js';
import { GP, GUEST_EVENT, NP, SSV, TS } from '../events.js';
import {
  CR0_PG, CR0_TS, CS, DS, ES, FS, GS, LDTR, NT, S, SS, TR, VM,
} from '../state.js';
import { checkRip, loadCs } from './code-segment.js';
import { loadCr3 } from './paging-registers.js';
import { DR6_BT } from './debug.js';
import {
  AR_S, AR_UNUSABLE, type Descriptor, SYS, dplOf, isCode, isConforming, isNull, isPresent, isSystem, isWritableData, markAccessed, readDescriptor,
  readSystem, setBusy, typeOf, writeSystem,
} from './descriptors.js';
import { dataSegmentAllowed, loadRealSegment, setNullSegment, setSegment } from './segments.js';
import { Stack } from './stack.js';

export type TaskSwitchReason = 'call' | 'jmp' | 'iret' | 'gate';

export interface TaskSwitchOrigin {
  /** RIP that the old task resumes at. */
  readonly returnRip: bigint;
  /** RFLAGS that the old task resumes with. */
  readonly rflags: number;
  /** Error code to push on the new task's stack. */
  readonly error?: number;
}

/** Byte offsets in the two formats. `regs` are EAX ECX EDX EBX ESP EBP ESI EDI, `segs` ES CS SS DS (FS GS), each `step` apart. */
const TSS32 = { limit: 0x67, cr3: 0x1c, ip: 0x20, flags: 0x24, regs: 0x28, segs: 0x48, segCount: 6, ldt: 0x60, trap: 0x64, step: 4 } as const;
const TSS16 = { limit: 0x2b, cr3: -1, ip: 0x0e, flags: 0x10, regs: 0x12, segs: 0x22, segCount: 4, ldt: 0x2a, trap: -1, step: 2 } as const;
type TssLayout = typeof TSS32 | typeof TSS16;
const layoutOf = (d: { attr: number }): TssLayout => (typeOf(d) >= SYS.tss32 ? TSS32 : TSS16);
/** The TSS stores segment registers in register-number order. */
const SEGMENTS = [ES, CS, SS, DS, FS, GS];

interface TaskImage {
  readonly cr3: number;
  readonly ip: number;
  readonly flags: number;
  readonly regs: number[];
  readonly segs: number[];
  readonly ldt: number;
  readonly trap: boolean;
}

/** Finds and checks the descriptor of the new task. */
function readTssDescriptor(cpu: Cpu, selector: number, reason: TaskSwitchReason): Descriptor {
  const vector = reason === 'iret' ? TS : GP;
  const error = selector & 0xfffc;
  if (isNull(selector) || selector & 4) cpu.raise(vector, error);
  const d = readDescriptor(cpu, selector, vector);
  const type = typeOf(d);
  const fits = reason === 'iret' ? type === SYS.tss16Busy || type === SYS.tss32Busy : type === SYS.tss16 || type === SYS.tss32;
  if (!isSystem(d) || !fits) cpu.raise(vector, error);
  return d;
}

function readImage(cpu: Cpu, d: Descriptor, l: TssLayout): TaskImage {
  const at = (offset: number): number => readSystem(cpu, d.base, offset, l.step);
  const word = (offset: number): number => readSystem(cpu, d.base, offset, 2);
  return {
    cr3: l.cr3 < 0 ? 0 : at(l.cr3),
    ip: at(l.ip),
    flags: at(l.flags),
    regs: Array.from({ length: 8 }, (_, i) => at(l.regs + i * l.step)),
    segs: Array.from({ length: 6 }, (_, i) => (i < l.segCount ? word(l.segs + i * l.step) : 0)),
    ldt: word(l.ldt),
    trap: l.trap >= 0 && (word(l.trap) & 1) !== 0,
  };
}

function saveOldTask(cpu: Cpu, reason: TaskSwitchReason, origin: TaskSwitchOrigin): void {
  const s = cpu.s;
  const l = layoutOf({ attr: s.segAttr(TR) });
  const base = s.segBase(TR);
  if (s.segLimit(TR) < l.limit) cpu.raise(TS, s.selector(TR) & 0xfffc);
  const flags = reason === 'iret' ? origin.rflags & ~NT : origin.rflags;
  writeSystem(cpu, base, l.ip, l.step, Number(origin.returnRip & 0xffff_ffffn));
  writeSystem(cpu, base, l.flags, l.step, flags);
  for (let i = 0; i < 8; i++) writeSystem(cpu, base, l.regs + i * l.step, l.step, s.gpr32(i));
  for (let i = 0; i < l.segCount; i++) writeSystem(cpu, base, l.segs + i * l.step, 2, s.selector(SEGMENTS[i]!));
}

/**
 * Switches to the task whose TSS `selector` names. Gate and descriptor privilege have been checked by the caller.
 * Throws GUEST_EVENT after a VM exit or a fault.
 */
export function switchTask(cpu: Cpu, selector: number, reason: TaskSwitchReason, origin: TaskSwitchOrigin): void {
  const s = cpu.s;
  const d = readTssDescriptor(cpu, selector, reason);
  if (cpu.inGuest && cpu.virt?.taskSwitch(cpu, selector, reason, origin.error !== undefined, origin.error ?? 0)) throw GUEST_EVENT;
  const error = selector & 0xfffc;
  if (!isPresent(d)) cpu.raise(NP, error);
  const l = layoutOf(d);
  if (d.limit < l.limit) cpu.raise(TS, error);

  const image = readImage(cpu, d, l);
  const old = s.selector(TR);
  const nesting = reason === 'call' || reason === 'gate';
  saveOldTask(cpu, reason, origin);
  if (!nesting) setBusy(cpu, old, false);
  if (nesting) writeSystem(cpu, d.base, 0, 2, old);
  if (reason !== 'iret') setBusy(cpu, selector, true);

  commit(cpu, selector, d, image, nesting, l);
  loadTaskSegments(cpu, image);
  if (origin.error !== undefined) {
    const stack = Stack.current(cpu);
    stack.push(BigInt(origin.error), l.step);
    stack.commit();
  }
  if (image.trap) s.set32(S.pendingDebug, s.get32(S.pendingDebug) | DR6_BT);
  cpu.modeChanged();
}

/** The commit point: from here on the new task runs. Segment registers hold their selectors but are not usable yet. */
function commit(cpu: Cpu, selector: number, d: Descriptor, image: TaskImage, nesting: boolean, l: TssLayout): void {
  const s = cpu.s;
  setSegment(s, TR, selector, d.base, d.limit, d.attr | 2);
  s.set64(S.cr0, BigInt((s.cr0 | CR0_TS) >>> 0));
  if (l === TSS32 && s.cr0 & CR0_PG && !loadCr3(cpu, BigInt(image.cr3))) cpu.raise(TS, selector & 0xfffc);
  s.set64(S.dr + 56, s.get64(S.dr + 56) & ~0x155n); // L0-L3 and LE
  s.rip = BigInt(image.ip);
  s.rflags = nesting ? image.flags | NT : image.flags;
  image.regs.forEach((v, i) => s.setGpr32(i, v));
  const v86 = (image.flags & VM) !== 0 && l === TSS32;
  s.set32(S.cpl, v86 ? 3 : image.segs[1]! & 3);
  SEGMENTS.forEach((seg, i) => setSegment(s, seg, image.segs[i]!, 0n, 0, AR_UNUSABLE));
  setSegment(s, LDTR, image.ldt, 0n, 0, AR_UNUSABLE);
  cpu.modeChanged();
}

function loadTaskLdt(cpu: Cpu, selector: number): void {
  if (isNull(selector)) return;
  const error = selector & 0xfffc;
  if (selector & 4) cpu.raise(TS, error);
  const d = readDescriptor(cpu, selector, TS);
  if (d.attr & AR_S || typeOf(d) !== SYS.ldt || !isPresent(d)) cpu.raise(TS, error);
  setSegment(cpu.s, LDTR, selector, d.base, d.limit, d.attr);
}

/** Loads and checks all segment registers of the new task, in the order LDTR, CS, SS, then the data segments. */
function loadTaskSegments(cpu: Cpu, image: TaskImage): void {
  const s = cpu.s;
  loadTaskLdt(cpu, image.ldt);
  if (s.rflags & VM) {
    SEGMENTS.forEach((seg, i) => loadRealSegment(s, seg, image.segs[i]!));
    cpu.modeChanged();
    return;
  }
  const [, cs, ss] = image.segs as [number, number, number];
  const cpl = cs & 3;
  if (isNull(cs)) cpu.raise(TS, cs & 0xfffc);
  const code = readDescriptor(cpu, cs, TS);
  if (!isCode(code) || (isConforming(code) ? dplOf(code) > cpl : dplOf(code) !== cpl)) cpu.raise(TS, cs & 0xfffc);
  if (!isPresent(code)) cpu.raise(NP, cs & 0xfffc);

  if (isNull(ss)) cpu.raise(TS, ss & 0xfffc);
  const stack = readDescriptor(cpu, ss, TS);
  if (!isWritableData(stack) || dplOf(stack) !== cpl || (ss & 3) !== cpl) cpu.raise(TS, ss & 0xfffc);
  if (!isPresent(stack)) cpu.raise(SSV, ss & 0xfffc);
  loadCs(cpu, cs, code, cpl);
  setSegment(s, SS, ss, stack.base, stack.limit, markAccessed(cpu, ss, stack));
  cpu.modeChanged();

  for (const i of [0, 3, 4, 5]) loadTaskData(cpu, SEGMENTS[i]!, image.segs[i]!);
  checkRip(cpu, code, s.rip);
}

function loadTaskData(cpu: Cpu, index: number, selector: number): void {
  if (isNull(selector)) {
    setNullSegment(cpu.s, index, selector);
    return;
  }
  const d = readDescriptor(cpu, selector, TS);
  if (!dataSegmentAllowed(d, selector & 3, cpu.s.cpl)) cpu.raise(TS, selector & 0xfffc);
  if (!isPresent(d)) cpu.raise(NP, selector & 0xfffc);
  setSegment(cpu.s, index, selector, d.base, d.limit, markAccessed(cpu, selector, d));
}

