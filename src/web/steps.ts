/** The step kinds as buttons and keys. Lower case goes forward, with Shift the same step back. */

import { STEP_KINDS, type StepKind } from '../debug/api.js';

export interface StepButton {
  readonly kind: StepKind;
  readonly label: string;
  readonly key: string;
  readonly help: string;
}

const TEXTS: Readonly<Record<StepKind, readonly [label: string, key: string, help: string]>> = {
  instruction: ['Instruction', 'i', 'one instruction, or one event that comes instead'],
  line: ['Line', 'l', 'until the source line changes, into calls'],
  over: ['Over', 'o', 'until the source line changes; calls and VM exits run to their end'],
  out: ['Out', 'u', 'until the running function returns'],
  exit: ['VM exit', 'x', 'until the next VM exit has happened'],
  entry: ['VM entry', 'e', 'until the next VM entry has happened'],
  hypercall: ['Hypercall', 'h', 'until the next hypercall'],
  event: ['Event', 'v', 'until the next interrupt or exception is delivered'],
  domain: ['Domain', 'd', 'until code of another domain runs'],
};

export const STEP_BUTTONS: readonly StepButton[] = STEP_KINDS.map((kind) => {
  const [label, key, help] = TEXTS[kind];
  return { kind, label, key, help };
});
