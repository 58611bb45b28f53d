/**
 * Instruction descriptions: how a file in isa/ says which encodings an instruction has and what they do.
 *
 * `forms` are iced-x86 `Code` values: one per encoding and operand size. Operand kinds and widths come from iced's
 * OpCodeInfo; the engine derives the register, memory and immediate variants of a form from them.
 */

import { Code, CodeExt, Mnemonic, type OpCodeInfo } from 'iced-x86';
import type { Body } from './builder.js';
import type { Cpu } from './cpu.js';
import type { InsnView } from './insn-view.js';

/** What a helper tells the engine. `next`: go on with the following instruction. `leave`: RIP in the state says where (or an event is pending). */
export const NEXT = 0;
export const LEAVE = 1;
export type HelperResult = typeof NEXT | typeof LEAVE;

/** A TypeScript helper: rare or huge instructions. May throw `GUEST_EVENT` (see events.ts) after recording the event. */
export type InsnHelper = (cpu: Cpu, insn: InsnView) => HelperResult;

export interface InsnSpec {
  readonly name: string;
  readonly forms: readonly number[];
  readonly body: Body;
  /** LOCK prefix allowed on memory destinations (else #UD). */
  readonly lockable: boolean;
  /** Emit one variant per code size (bodies that look at `codeSize`). */
  readonly perMode: boolean;
  /** The instruction ends a basic block: branches, helpers that change mode or mapping. */
  readonly endsBlock: boolean;
  /** Privileged: #GP(0) unless CPL is 0 (checked by the helper, listed for the support page). */
  readonly cpl0: boolean;
  readonly exits?: InsnExits;
}

/** When the instruction leaves a guest: names of the manuals. Printed and tested as data; the vtx and svm tables implement it. */
export interface InsnExits {
  readonly vmx?: { readonly reason: string; readonly when: string };
  readonly svm?: { readonly code: string; readonly when: string };
}

const registry = new Map<number, InsnSpec>();

/** The description of an iced `Code`, or undefined when the machine does not implement it. */
export const insnFor = (code: number): InsnSpec | undefined => registry.get(code);
export const allInsns = (): ReadonlySet<InsnSpec> => new Set(registry.values());

type InsnInit = { forms: readonly number[]; body: Body; exits?: InsnExits } & Partial<
  Pick<InsnSpec, 'lockable' | 'perMode' | 'endsBlock' | 'cpl0'>
>;

/** Registers a description. A form described twice is a programming error. */
export function insn(name: string, d: InsnInit): InsnSpec {
  const spec: InsnSpec = { name, lockable: false, perMode: false, endsBlock: false, cpl0: false, ...d };
  for (const f of spec.forms) {
    if (registry.has(f)) throw new Error(`${Code[f]} is described by ${registry.get(f)!.name} and ${name}`);
    registry.set(f, spec);
  }
  return spec;
}

const NOT_LEGACY = /^(VEX|EVEX|MVEX|XOP|D3NOW)_/;
let byMnemonic: Map<number, number[]> | undefined;
const infos = new Map<number, OpCodeInfo>();

/** iced's description of an encoding. */
export function opCodeInfo(code: number): OpCodeInfo {
  let info = infos.get(code);
  if (info === undefined) infos.set(code, (info = CodeExt.opCode(code)));
  return info;
}

/** Every legacy-encoded (not VEX, EVEX, XOP, 3DNow!) `Code` of a mnemonic. */
export function allForms(mnemonic: Mnemonic): readonly number[] {
  if (byMnemonic === undefined) {
    byMnemonic = new Map();
    for (const [name, value] of Object.entries(Code)) {
      // Names are looked at first: asking iced for the description of each costs every process 30 ms.
      if (typeof value !== 'number' || NOT_LEGACY.test(name)) continue;
      const info = opCodeInfo(value);
      if (info.encoding !== 0) continue;
      const list = byMnemonic.get(info.mnemonic);
      if (list === undefined) byMnemonic.set(info.mnemonic, [value]);
      else list.push(value);
    }
  }
  const forms = byMnemonic.get(mnemonic);
  if (forms === undefined) throw new Error(`no legacy encoding of ${Mnemonic[mnemonic]}`);
  return forms;
}

/** A body that is one helper call. */
export const helper =
  (fn: InsnHelper): Body =>
  (s) =>
    s.helper(fn);
