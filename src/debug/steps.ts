/**
 * Steps forward: by instruction, source line, over calls, out of functions, and to events of the virtual machine.
 *
 * Frames are told apart by the stack pointer: a call of the same program has a lower one. Images are built with frame pointers, so the
 * return address of a function is found by RBP.
 */

import { S } from '../cpu/state.js';
import type { Machine } from '../machine/machine.js';
import { PROBE } from '../machine/probe.js';
import type { StepKind, StopView } from './api.js';
import type { Look } from './look.js';
import { type Accept, type Ended, type RunControl, STEPS_A_PAUSE } from './run-control.js';

/** Instructions that a line step takes through code without lines before it gives up. */
const MOST_WITHOUT_LINES = 1_000_000;

/** No frame is larger: RBP is no frame pointer then. */
const FARTHEST_FRAME = 0x1_0000n;

/** Where a line step began: it ends on another line, function or level. */
interface LineStart {
  readonly key: string;
  readonly level: string;
  readonly inGuest: boolean;
  readonly rsp: bigint;
}

/** What tells lines apart: the same line of an inlined function, called from elsewhere, is another one. */
export const lineKey = (l: Look): string =>
  `${l.level} ${l.functionStart ?? ''} ${l.line?.file ?? ''}:${l.line?.line ?? ''} ${l.callLines.map((c) => `${c.file}:${c.line}`).join(' ')}`;
const done = (sentence: string): StopView => ({ kind: 'step', sentence });

export class Steps {
  constructor(
    private readonly control: RunControl,
    private readonly look: () => Look,
  ) {}

  /** One step forward. */
  async step(kind: StepKind): Promise<StopView> {
    switch (kind) {
      case 'instruction': return this.control.stepOne() ?? done('One instruction.');
      case 'line': return this.line(false);
      case 'over': return this.line(true);
      case 'out': return this.out();
      // The host's first instruction is next when the exit is paid for.
      case 'exit': return this.toEvent([PROBE.vmExit], () => true, 'A VM exit.');
      case 'entry': return this.toEvent([PROBE.vmEntry], () => true, 'A VM entry.');
      case 'event': return this.toEvent([PROBE.interrupt, PROBE.exception], () => true, 'An interrupt or exception was delivered.');
      case 'hypercall': return this.hypercall();
      case 'domain': return this.domain();
    }
  }

  private view(ended: Ended, sentence: string): StopView {
    if (ended.kind === 'stop') return ended.view;
    return done(sentence);
  }

  private async toEvent(kinds: readonly (typeof PROBE)[keyof typeof PROBE][], accept: (kind: number, cycle: number, vcpu: number, a: number) => boolean, sentence: string): Promise<StopView> {
    return this.view(await this.control.run({ kinds, accept }), sentence);
  }

  /** SYSCALL or VMCALL is next: the event comes when it has been carried out, so one position back. */
  private async hypercall(): Promise<StopView> {
    const { control } = this;
    const first = control.stepOne(); // standing on one already: it does not count
    if (first !== undefined) return first;
    const ended = await control.run({ kinds: [PROBE.systemCall], accept: () => true });
    if (ended.kind === 'stop') return ended.view;
    control.history.back(1);
    return done('A hypercall is next.');
  }

  private async domain(): Promise<StopView> {
    const { control } = this, first = this.look();
    let last = domainOf(first), space = last === undefined ? undefined : first.state.get64(S.cr3);
    for (;;) {
      const ended = await control.run({ kinds: [PROBE.vmEntry, PROBE.privilege], accept: entersOther(control.machine, space) });
      if (ended.kind === 'stop') return ended.view;
      const look = this.look(), now = domainOf(look);
      if (now === undefined) continue;
      if (last !== undefined && now !== last) return done(`${now} runs.`);
      last = now;
      space = look.state.get64(S.cr3);
    }
  }

  /** Until the running function has returned. */
  private async out(): Promise<StopView> {
    const { control } = this, start = this.look(), back = returnAddress(start);
    if (back === undefined) return this.outByInstructions(start);
    for (;;) {
      const ended = await control.run({ held: [back] });
      if (ended.kind === 'stop') return ended.view;
      const now = this.look();
      if (now.level === start.level && now.rsp > start.rsp) return done(`Returned from ${start.symbol?.name ?? 'the function'}.`);
    }
  }
  /** Without a known return address: until a return has gone above the stack pointer. */
  private async outByInstructions(start: Look): Promise<StopView> {
    const { control } = this;
    for (let n = 1; ; n++) {
      const before = this.look(), returns = before.instruction?.flow === 'return' && before.level === start.level && before.rsp >= start.rsp;
      const stop = control.stepOne();
      if (stop !== undefined) return stop;
      if (returns) return done(`Returned from ${start.symbol?.name ?? 'the function'}.`);
      if (n % STEPS_A_PAUSE === 0) {
        await control.pause();
        if (control.takeInterrupt()) return control.interrupted;
      }
    }
  }

  private async line(over: boolean): Promise<StopView> {
    const { control } = this, first = this.look();
    const start: LineStart = { key: lineKey(first), level: first.level, inGuest: first.inGuest, rsp: first.rsp };
    let now = first;
    for (let n = 1; n <= MOST_WITHOUT_LINES; n++) {
      const stop = over ? await this.overOne(now, start) : control.stepOne();
      if (stop !== undefined) return stop;
      now = this.look();
      if (this.lineEnds(now, start, first.line === undefined)) return done(over ? 'The next line.' : 'Another line.');
      if (n % STEPS_A_PAUSE === 0) {
        await control.pause();
        if (control.takeInterrupt()) return control.interrupted;
      }
    }
    return done(`No source line in ${MOST_WITHOUT_LINES} instructions.`);
  }
  /** Code without lines is stepped by instruction. */
  private lineEnds(now: Look, start: LineStart, byInstruction: boolean): boolean {
    if (byInstruction) return true;
    return now.line !== undefined && now.atStatement && lineKey(now) !== start.key;
  }

  /** One instruction; what it calls, exits to or is interrupted by runs to its end. */
  private async overOne(from: Look, start: LineStart): Promise<StopView | undefined> {
    const { control } = this, instruction = from.instruction;
    if (instruction !== undefined && (instruction.flow === 'call' || instruction.flow === 'system')) return this.backIn(from, [from.linear + BigInt(instruction.length)]);
    let event = false;
    const end = control.machine.probe.subscribe(() => {
      event = true;
    }, [PROBE.interrupt, PROBE.exception]);
    const stop = control.stepOne();
    end();
    if (stop !== undefined) return stop;
    const now = this.look();
    const left = from.inGuest && !now.inGuest;
    if (!left && !(event && (now.level !== start.level || now.rsp < from.rsp))) return undefined;
    const back = [from.linear];
    if (instruction !== undefined) back.push(from.linear + BigInt(instruction.length));
    return this.backIn(from, back, left);
  }

  /** Runs until the program of `from` goes on in its frame at one of the addresses; or, after a VM exit, wherever its guest goes on. */
  private async backIn(from: Look, addresses: readonly bigint[], afterExit = false): Promise<StopView | undefined> {
    const { control } = this;
    for (;;) {
      const ended = afterExit
        ? await control.run({ held: addresses, kinds: [PROBE.vmEntry], accept: () => true })
        : await control.run({ held: addresses });
      if (ended.kind === 'stop') return ended.view;
      const now = this.look();
      if (now.inGuest !== from.inGuest || now.vcpu !== from.vcpu) continue;
      if (afterExit) return undefined;
      if (now.level === from.level && now.rsp >= from.rsp && addresses.includes(now.linear)) return undefined;
    }
  }
}

/** The program that runs, when it is one of a domain: in a guest, or not in ring 0. */
export const domainOf = (l: Look): string | undefined => (l.inGuest || l.state.cpl !== 0 ? l.level : undefined);

/** Does an event begin to run code that may be another domain's than that of an address space (CR3)? */
export const entersOther = (machine: Machine, space: bigint | undefined): Accept =>
  (kind, _cycle, vcpu) => kind === PROBE.vmEntry || machine.processors[vcpu].vcpu.s.get64(S.cr3) !== space;

/** Where the running function returns to: by the frame pointer, or by the stack pointer before it is set and after it is gone. */
export function returnAddress(l: Look): bigint | undefined {
  const start = l.functionStart, bytes = l.bits / 8, word = BigInt(bytes);
  if (start === undefined || bytes < 4) return undefined;
  if (l.linear === start || l.instruction?.flow === 'return') return l.reader.word(l.rsp, bytes);
  // `push rbp` is one byte, and `mov rbp, rsp` follows.
  if (l.linear === start + 1n) return l.reader.word(l.rsp + word, bytes);
  return l.rbp >= l.rsp && l.rbp - l.rsp < FARTHEST_FRAME ? l.reader.word(l.rbp + word, bytes) : undefined;
}
