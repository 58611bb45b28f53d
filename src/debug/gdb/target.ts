/** What all clients of one run share: the machine, its history, the registers it has, and how vCPUs are called. */

import type { Machine } from '../../machine/machine.js';
import { S } from '../../cpu/state.js';
import { Catchpoints } from './catchpoints.js';
import { VcpuContext } from './context.js';
import { controlBlockFeatures } from './control-block-registers.js';
import type { Timeline } from '../timeline.js';
import { type Feature, PROCESSOR_FEATURES, type Register } from './registers.js';
import { Resumer } from './resume.js';
import { targetDescription } from './target-description.js';

export interface TargetOptions {
  readonly machine: Machine;
  readonly history: Timeline;
  /** Programs that run, by name. */
  readonly programs?: readonly string[];
  /** Programs that gdb takes for another one, which is linked at the same addresses. */
  readonly hidden?: ReadonlyMap<string, string>;
  /** Whose code a vCPU executes: one of `programs`, or undefined. */
  readonly program?: (vcpu: number) => string | undefined;
  /** Why the last VM exit before now happened, in a sentence; undefined: there was none. */
  readonly explain?: () => string | undefined;
  /** The run takes another way from here: what was known of its future is wrong. */
  readonly changed?: () => void;
}

export class Target {
  readonly machine: Machine;
  readonly history: Timeline;
  readonly features: readonly Feature[];
  readonly registers: readonly Register[];
  readonly description: string;
  readonly catches = new Catchpoints();
  readonly resumer: Resumer;
  /** Programs in whose code breakpoints and watchpoints do not hold. */
  readonly ignored = new Set<string>();

  constructor(private readonly options: TargetOptions) {
    this.machine = options.machine;
    this.history = options.history;
    this.features = [...PROCESSOR_FEATURES, ...controlBlockFeatures(options.machine)];
    this.registers = this.features.flatMap((f) => f.registers);
    this.description = targetDescription(this.features);
    this.resumer = new Resumer(this.machine, this.history, this.catches, (vcpu) => this.ignored.size > 0 && this.ignored.has(options.program?.(vcpu) ?? ''));
  }

  /** What the user writes to registers and memory becomes a part of the history: replays write it, too. */
  edit(change: (machine: Machine) => void): void {
    this.history.edit(change);
    this.options.changed?.();
  }

  get vcpus(): number {
    return this.machine.processors.length;
  }
  context(vcpu: number): VcpuContext {
    return new VcpuContext(this.machine, vcpu);
  }

  /** `vCPU 0, guest, CPL 3`, for people. */
  describe(vcpu: number): string {
    const c = this.context(vcpu), activity = ['', ', halted', ', shut down', ', waiting for a start-up IPI'][c.state.get32(S.activity)] ?? '';
    const program = this.options.program?.(vcpu) ?? 'unknown code';
    return `vCPU ${vcpu}, ${program}${c.inGuest ? ' (guest mode)' : ''}, CPL ${c.state.cpl}${activity}`;
  }
  /** What gdb cannot know: that it shows another program's names. undefined: it does not. */
  mistaken(vcpu: number): string | undefined {
    const { hidden, program } = this.options;
    if (hidden === undefined || hidden.size === 0) return undefined;
    const name = program?.(vcpu) ?? '', taken = hidden.get(name);
    return taken === undefined ? undefined : `this is ${name}'s code, at addresses that ${taken} has, too: names and lines may be ${taken}'s`;
  }

  get programs(): readonly string[] {
    return this.options.programs ?? [];
  }
  explain(): string | undefined {
    return this.options.explain?.();
  }
}
