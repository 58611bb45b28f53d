/**
 * What the composers of both extensions give: a sentence made of facts, the manual's section, the facts one by one, and the place of the
 * control that made it exit.
 */

import type { ExitFacts } from './facts.js';
import { instructionOf, type ShownInstruction } from './instruction.js';
import { plainHex } from './words.js';

export interface Detail {
  readonly name: string;
  readonly value: string;
}

/** Where the hypervisor set what made it exit: a field of the VMCS, or bytes in physical memory. */
export type ControlPlace =
  /** `mask`: the bits of the low 32 that count; 0: the whole field. */
  | { readonly kind: 'vmcs'; readonly encoding: number; readonly mask: number }
  /** `mask`: bits of the byte at the address that count. */
  | { readonly kind: 'memory'; readonly address: number; readonly mask: number };

export interface Explanation {
  /** Without a full stop, and without who asked for it. */
  readonly text: string;
  /** Manual, section and title of the rule. */
  readonly section: string;
  /** Absent for what always exits. */
  readonly control?: ControlPlace;
  readonly details: readonly Detail[];
}

/** A VM entry that was refused: what the tables of checks say about it. */
export interface FailedRule {
  readonly id: string;
  readonly rule: string;
  readonly section: string;
  /** Fields that the rule is about, with their values. */
  readonly fields: readonly { readonly name: string; readonly value: bigint }[];
  /** VM-instruction error (VT-x), or 0. */
  readonly error: number;
}

/** What a composer may use: the facts, and names that only the machine knows. */
export class Subject {
  private decoded: ShownInstruction | undefined;
  constructor(
    readonly facts: ExitFacts,
    /** Name of an MSR on this processor. */
    readonly msrName: (index: number) => string | undefined,
    readonly failed?: FailedRule | undefined,
  ) {}
  get instruction(): ShownInstruction {
    return (this.decoded ??= instructionOf(this.facts));
  }
  /** `0xC0000080 (IA32_EFER)`, in running text. */
  msr(index: number): string {
    const name = this.msrName(index);
    return `0x${index.toString(16).toUpperCase()}${name === undefined ? '' : ` (${name})`}`;
  }
}

/** A cause: the clause after "because", with its place and section. */
export interface Cause {
  readonly clause: string;
  readonly section: string;
  readonly control?: ControlPlace;
}

/** "WHAT WHERE exited because CLAUSE". */
export const exited = (s: Subject, what: string, cause: Cause, details: readonly Detail[] = []): Explanation => ({
  text: `${what} ${s.facts.where} exited because ${cause.clause}`,
  section: cause.section,
  ...(cause.control === undefined ? {} : { control: cause.control }),
  details,
});

export const detail = (name: string, value: string | number | bigint): Detail => ({ name, value: typeof value === 'string' ? value : plainHex(value) });
