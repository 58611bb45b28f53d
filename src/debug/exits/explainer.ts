/**
 * Why did it exit: listens to a machine, keeps what each VM exit and failed VM entry was, and says it in a sentence when asked.
 *
 * Invariants: listening changes nothing in the run; every answer holds for where the machine stands, after going back too: what lies
 * behind that position is not shown, and playing it again adds nothing. Sentences are composed when asked for, from recorded facts.
 */

import type { ControlBlockView, ExitView, Position } from '../api.js';
import type { RunLimits } from '../../machine/config.js';
import type { Machine } from '../../machine/machine.js';
import { PROBE, type ProbeKind } from '../../machine/probe.js';
import { exitName } from '../../svm/intercepts.js';
import { VMEXIT_INVALID } from '../../svm/intercepts.js';
import { VMCB } from '../../svm/fields.js';
import { ERROR, REASON, REASON_NAMES } from '../../vtx/controls.js';
import { blockOf } from '../control-block/block.js';
import { BlockHistory } from '../control-block/history.js';
import { controlBlock } from '../control-block/view.js';
import { Capture } from './capture.js';
import { ControlWrites } from './control-writes.js';
import { entryFailure } from './entry-failures.js';
import { type ControlPlace, detail, type Detail, type Explanation, type FailedRule, Subject } from './explanation.js';
import { failedRule } from './failed-rule.js';
import { ExitFacts, KIND, RECORD_WORDS } from './facts.js';
import { ExitLog, type ExitRow, isBefore, type LogOptions, type ReasonSummary } from './log.js';
import { Stores, type Travel } from './stores.js';
import { explainSvm } from './svm-sentences.js';
import { explainVmx } from './vmx-sentences.js';
import { plainHex } from './words.js';

export interface ExplainerOptions extends LogOptions {
  /** Source of a linear address of the hypervisor, from its symbols. @param stack words on top of the stack there, top first: a small function returns to one of them */
  readonly place?: (linear: bigint, stack?: readonly bigint[]) => { readonly file: string; readonly line: number } | undefined;
}

const KINDS: readonly ProbeKind[] = [PROBE.vmExit, PROBE.vmEntry, PROBE.vmEntryFailed, PROBE.vmHandlerStart, PROBE.vmHandlerEnd, PROBE.vmwrite];

/** What `learnFrom` asks of a Timeline. */
export interface LearningHistory {
  readonly beginning: Position;
  readonly position: Position;
  goTo(p: Position): void;
  run(limits: RunLimits): unknown;
}
const MOST_COMPOSED = 1024;

/** The name that `Machine.exitCounts` has for an exit, or that of a refused entry. */
export function reasonName(kind: number, code: number): string {
  if (kind === KIND.svmExit) return exitName(code);
  if (kind === KIND.vmxEntryRefused) return `VM_ENTRY_REFUSED_${code}`;
  return REASON_NAMES[code] ?? String(code);
}

export class ExitExplainer {
  private readonly log: ExitLog;
  private readonly writes = new ControlWrites();
  private readonly blocks = new BlockHistory();
  /** Views that will not change but for their stamps, by number. */
  private readonly composed = new Map<number, ExitView>();
  private readonly failures = new Map<number, FailedRule>();
  private machine: Machine | undefined;
  private capture: Capture | undefined;
  private stores: Stores | undefined;
  private detach: (() => void) | undefined;

  constructor(private readonly options: ExplainerOptions = {}) {
    this.log = new ExitLog(RECORD_WORDS, options);
  }

  /** Starts listening. @returns the function that ends it */
  attach(machine: Machine): () => void {
    this.detach?.();
    this.machine = machine;
    this.capture = new Capture(machine);
    const stores = (this.stores = new Stores(machine));
    const endBlocks = this.blocks.attach(machine), end = machine.probe.subscribe((kind, cycle, vcpu, a, _b, c, d) => this.event(kind, cycle, vcpu, a, c, d), KINDS);
    this.detach = () => {
      endBlocks();
      stores.end();
      end();
    };
    return () => this.detach?.();
  }

  // --- listening

  private event(kind: ProbeKind, cycle: number, vcpu: number, a: number, c: number, d: number): void {
    const machine = this.machine!;
    const p = machine.position;
    switch (kind) {
      case PROBE.vmExit: {
        const svm = machine.extension === 'svm';
        const failed = svm ? a === VMEXIT_INVALID : a === REASON.ENTRY_FAILURE_GUEST_STATE || a === REASON.ENTRY_FAILURE_MSR_LOADING;
        this.exit(p, cycle, vcpu, svm ? KIND.svmExit : KIND.vmxExit, a, failed);
        break;
      }
      case PROBE.vmEntryFailed:
        // The other failures are announced as exits, too.
        if (machine.extension === 'vmx' && (a === ERROR.entryControls || a === ERROR.entryHostState)) this.exit(p, cycle, vcpu, KIND.vmxEntryRefused, a, true);
        break;
      case PROBE.vmHandlerStart:
        this.log.handlerStarts(vcpu, cycle);
        break;
      case PROBE.vmHandlerEnd:
        this.log.handlerEnded(vcpu, cycle);
        break;
      case PROBE.vmEntry:
        this.log.resumed(p, vcpu, c, cycle);
        this.stores!.entered(vcpu);
        break;
      case PROBE.vmwrite:
        this.writes.wrote(p, c, a, d, () => machine.processors[vcpu].vcpu.s.rip);
    }
  }

  private exit(p: Position, cycle: number, vcpu: number, kind: number, code: number, failed: boolean): void {
    if (!this.log.isNew(p)) {
      const again = this.log.revive(p);
      if (again !== undefined) this.capture!.record(again, vcpu, code, kind === KIND.vmxEntryRefused);
      return;
    }
    const words = this.log.add(p, vcpu, kind, code, cycle);
    if (!this.capture!.record(words, vcpu, code, kind === KIND.vmxEntryRefused)) return;
    const f = new ExitFacts(words);
    this.log.describe(f.blockAt, f.rip, !failed);
    if (!failed) return;
    const rule = failedRule(this.machine!, vcpu, f);
    if (rule !== undefined) this.failures.set(this.log.end - 1, rule);
  }

  // --- asking

  /** The last exit or failed entry before where the machine stands. */
  last(): ExitView | undefined {
    const { now } = this, row = this.log.row(this.log.endAt(now) - 1, now);
    return row === undefined ? undefined : this.view(row);
  }
  /**
   * Exits up to where the machine stands.
   * @param from number of the first, counted from power-on; below 0: counted from the end. @param n how many at most
   */
  list(from: number, n: number): ExitView[] {
    const { now } = this, end = this.log.endAt(now);
    const first = Math.max(this.log.first, from < 0 ? end + from : from);
    const out: ExitView[] = [];
    for (let i = first; i < Math.min(end, first + n); i++) out.push(this.view(this.log.row(i, now)!));
    return out;
  }
  /** Exits so far. */
  get count(): number {
    return this.log.endAt(this.now);
  }
  /** Exits by reason up to where the machine stands, most frequent first. */
  histogram(): ReasonSummary[] {
    return this.log.histogram(this.now, reasonName).filter((r) => !r.reason.startsWith('VM_ENTRY_REFUSED_'));
  }
  /**
   * The exit of the control block in use, from the machine's state alone: for when nobody listened. Right only while the host has executed
   * nothing since the exit.
   */
  explainHere(vcpu = 0): ExitView | undefined {
    const { machine } = this;
    const block = machine === undefined ? undefined : blockOf(machine, vcpu);
    if (machine === undefined || block === undefined || machine.processors[vcpu].vcpu.inGuest) return undefined;
    const words = new Uint32Array(RECORD_WORDS), f = new ExitFacts(words);
    const capture = this.capture!;
    capture.record(words, vcpu, 0);
    const svm = block.kind === 'VMCB', code = svm ? new ExitFacts(words).block32(VMCB.EXITCODE) | 0 : f.vmcs32('EXIT_REASON') & 0xffff;
    capture.record(words, vcpu, code);
    const p = this.now, cycle = machine.cycles;
    return this.compose({
      number: -1, position: p, vcpu, kind: svm ? KIND.svmExit : KIND.vmxExit, code, rip: new ExitFacts(words).rip, leaves: cycle, starts: cycle, ends: -1, resumes: -1,
    }, words);
  }
  /** Would `learn` tell who set the control of the last exit, which is in memory and was set before anybody listened to its page? */
  get canLearn(): boolean {
    const end = this.log.endAt(this.now), row = this.log.row(end - 1, this.now), control = row === undefined ? undefined : this.explanationOf(row)?.control;
    return control?.kind === 'memory' && this.stores!.lacksPast(control.address);
  }
  /**
   * Plays the run once more up to where guests were first entered, to learn who set up VMCBs and bitmaps; then back to here.
   * @param beginning as far back as `travel` can go
   */
  learn(beginning: Position, travel: Travel): void {
    this.stores?.learn(beginning, travel);
  }
  /** The same by a history: past breakpoints, and back to the very cycle. */
  learnFrom(history: LearningHistory): void {
    const { cycles } = this.machine!;
    this.learn(history.beginning, {
      goTo: (p) => history.goTo(p),
      runTo: (p) => {
        while (isBefore(history.position, p)) history.run({ position: p });
      },
    });
    // It may have stood where the machine idles: a position lasts until something comes.
    if (this.machine!.cycles < cycles) history.run({ cycle: cycles, exact: true });
  }
  /** Forgets what came after where the machine stands: the run takes another way from here (input was given). */
  forgetFuture(): void {
    this.composed.clear();
    this.log.forget(this.now);
    this.writes.forget(this.now);
    this.stores?.forget(this.now);
  }

  /** The VMCS or VMCB in use, with what the last transition and the hypervisor since then have changed. */
  controlBlock(vcpu = 0): ControlBlockView | undefined {
    return this.machine === undefined ? undefined : controlBlock(this.machine, vcpu, this.blocks);
  }

  private get now(): Position {
    return this.machine?.position ?? { instructions: 0, events: 0 };
  }

  // --- composing

  private view(row: ExitRow): ExitView {
    const known = this.composed.get(row.number);
    if (known !== undefined) return { ...known, stamps: stampsOf(row) };
    const view = this.compose(row, this.log.factsOf(row.number));
    // What was set before anybody listened may still be learnt.
    if (view.section === undefined || (view.askedBy === undefined && this.explanationOf(row)?.control !== undefined)) return view;
    if (this.composed.size >= MOST_COMPOSED) this.composed.clear();
    this.composed.set(row.number, view);
    return view;
  }

  private compose(row: ExitRow, words: Uint32Array | undefined): ExitView {
    const reason = reasonName(row.kind, row.code), subject = this.subjectOf(row, words);
    const e = subject === undefined ? undefined : explain(row, subject);
    const askedBy = e?.control === undefined ? undefined : this.askedBy(subject!.facts, e.control, row.position);
    const sentence = e === undefined ? `${reason} at ${plainHex(row.rip)}; its facts are no longer kept: go there to see them` : `${e.text}${askedBy === undefined ? '' : `; the hypervisor asked for it in ${askedBy.file}:${askedBy.line}`}`;
    return {
      position: row.position,
      cycle: row.leaves,
      vcpu: row.vcpu,
      reason,
      sentence: `${sentence}.`,
      details: [...common(row, subject), ...(e?.details ?? [])],
      ...(askedBy === undefined ? {} : { askedBy }),
      ...(e === undefined ? {} : { section: e.section }),
      ...(row.number < 0 ? {} : { number: row.number }),
      stamps: stampsOf(row),
    };
  }

  private subjectOf(row: ExitRow, words: Uint32Array | undefined): Subject | undefined {
    return words === undefined ? undefined : new Subject(new ExitFacts(words), (i) => this.machine?.processors[row.vcpu]?.vcpu.msrs.get(i)?.name, this.failures.get(row.number));
  }
  private explanationOf(row: ExitRow): Explanation | undefined {
    const subject = this.subjectOf(row, this.log.factsOf(row.number));
    return subject === undefined ? undefined : explain(row, subject);
  }

  private askedBy(f: ExitFacts, control: ControlPlace, before: Position): { file: string; line: number } | undefined {
    if (control.kind === 'memory') {
      const by = this.stores?.lastChange(control.address, control.mask, before);
      return by === undefined ? undefined : this.options.place?.(by.rip, by.stack);
    }
    const rip = this.writes.lastChange(f.blockAt, control.encoding, control.mask, before);
    return rip === undefined ? undefined : this.options.place?.(rip);
  }
}

const stampsOf = (row: ExitRow): NonNullable<ExitView['stamps']> => ({ guestLeaves: row.leaves, handlerStarts: row.starts, handlerEnds: row.ends, guestResumes: row.resumes });

const explain = (row: ExitRow, s: Subject): Explanation | undefined =>
  row.kind === KIND.vmxEntryRefused ? entryFailure(s) : s.facts.svm ? explainSvm(s) : explainVmx(s);

/** Facts that every exit has. */
function common(row: ExitRow, s: Subject | undefined): Detail[] {
  const out = [detail('reason', `${row.code}`), detail('RIP', row.rip)];
  if (s === undefined) return out;
  if (s.instruction.length > 0) out.push(detail('instruction', s.instruction.text));
  const { facts } = s;
  if (!facts.svm && facts.kind === KIND.vmxExit) out.push(detail('exit qualification', facts.vmcs('EXIT_QUALIFICATION')), detail('instruction length', String(facts.vmcs32('VM_EXIT_INSTRUCTION_LENGTH'))));
  if (facts.svm) out.push(detail('EXITINFO1', facts.block64(VMCB.EXITINFO1)), detail('EXITINFO2', facts.block64(VMCB.EXITINFO2)));
  return out;
}
export type { Explanation, ReasonSummary };
