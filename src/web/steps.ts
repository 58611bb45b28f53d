/** The step kinds as buttons and keys. Lower case goes forward, with Shift the same step back. */

import { STEP_KINDS, type StepKind } from '../debug/api.js';

export interface StepButton {
  readonly kind: StepKind;
  readonly label: string;
  readonly key: string;
  /** What it does forward, and back. */
  readonly help: string;
  readonly back: string;
}

const TEXTS: Readonly<Record<StepKind, readonly [label: string, key: string, help: string, back: string]>> = {
  instruction: ['Instruction', 'i', 'one instruction, or one event that comes instead', 'one instruction, or one event that came instead'],
  line: ['Line', 'l', 'until the source line changes, into calls', 'to the source line before, into calls'],
  over: ['Over', 'o', 'until the source line changes; calls and VM exits run to their end', 'to the source line before; calls and VM exits are passed over'],
  out: ['Out', 'u', 'until the running function returns', 'to where the running function was called'],
  exit: ['VM exit', 'x', 'until the next VM exit has happened', 'to the VM exit before'],
  entry: ['VM entry', 'e', 'until the next VM entry has happened', 'to the VM entry before'],
  hypercall: ['Hypercall', 'h', 'until the next hypercall', 'to the hypercall before'],
  event: ['Event', 'v', 'until the next interrupt or exception is delivered', 'to the interrupt or exception before'],
  domain: ['Domain', 'd', 'until code of another domain runs', 'to where code of another domain ran'],
};

export const STEP_BUTTONS: readonly StepButton[] = STEP_KINDS.map((kind) => {
  const [label, key, help, back] = TEXTS[kind];
  return { kind, label, key, help, back };
});
