/**
 * One look at a stopped vCPU: its registers, memory, program and source line, each found when asked for.
 *
 * Invariant: a look is of one moment. Whoever lets the machine run takes another.
 */

import { CS, type CpuState, CpuState as State, MODE, S } from '../cpu/state.js';
import type { NestedContext } from '../mmu/context.js';
import type { Machine } from '../machine/machine.js';
import type { PlaceView } from './api.js';
import { type InstructionFacts, instructionAt } from './disassembly.js';
import { LinearReader } from './linear-reader.js';
import type { Located, Programs } from './programs.js';
import type { ElfSymbol, SourceLine } from './symbols.js';
import { hex } from './walk.js';

export const UNKNOWN = 'unknown';

export class Look {
  readonly state: CpuState;
  readonly nested: NestedContext | null;
  readonly reader: LinearReader;
  readonly rip: bigint;
  readonly linear: bigint;
  private located: Located | undefined | null = null;
  /** Page by page, what `locate` found: a disassembly asks for the same page again and again. */
  private readonly pages = new Map<bigint, Located>();

  constructor(machine: Machine, private readonly programs: Programs, readonly vcpu: number) {
    const cpu = machine.processors[vcpu].vcpu;
    this.state = State.copyOf(cpu.copyState());
    this.nested = this.inGuest ? (cpu.virt?.nested ?? null) : null;
    this.reader = new LinearReader(machine.phys, this.state, this.nested);
    this.rip = this.state.rip;
    this.linear = this.bits === 64 ? this.rip : BigInt.asUintN(32, this.rip + this.codeBase);
  }

  get inGuest(): boolean {
    return this.state.get32(S.guest) !== 0;
  }
  /** Code size: 16, 32 or 64. */
  get bits(): number {
    const mode = this.state.get32(S.mode);
    return mode === MODE.bits64 ? 64 : mode === MODE.bits32 ? 32 : 16;
  }
  /** What the code segment adds to RIP. */
  get codeBase(): bigint {
    return this.bits === 64 ? 0n : this.state.segBase(CS);
  }
  get rsp(): bigint {
    return this.state.gpr(4);
  }
  get rbp(): bigint {
    return this.state.gpr(5);
  }
  /** Whose code it is, and where that lies. */
  get program(): Located | undefined {
    return (this.located = this.located === null ? this.locate(this.linear) : this.located);
  }
  private locate(linear: bigint): Located | undefined {
    const page = linear >> 12n, known = this.pages.get(page) ?? this.programs.locate(this.reader, linear, linear === this.linear ? this.space : undefined);
    if (known !== undefined) this.pages.set(page, known);
    return known;
  }
  /** The address space, when one program alone has it: a guest's, or that of a domain outside ring 0. */
  private get space(): string | undefined {
    return this.inGuest || this.state.cpl !== 0 ? `${this.inGuest} ${this.state.get64(S.cr3)}` : undefined;
  }
  get level(): string {
    return this.program?.program.name ?? UNKNOWN;
  }
  get symbol(): ElfSymbol | undefined {
    const p = this.program;
    return p?.program.symbols.at(BigInt.asUintN(64, this.linear - p.bias));
  }
  /** Linear address of the function's first instruction. */
  get functionStart(): bigint | undefined {
    const s = this.symbol;
    return s === undefined ? undefined : BigInt.asUintN(64, s.address + this.program!.bias);
  }
  get line(): SourceLine | undefined {
    const p = this.program;
    return p?.program.symbols.line(BigInt.asUintN(64, this.linear - p.bias));
  }
  /** Lines of the inlined calls that the place is in, innermost first. */
  get callLines(): { file: string; line: number }[] {
    const p = this.program;
    return p === undefined ? [] : p.program.symbols.lineChain(BigInt.asUintN(64, this.linear - p.bias)).slice(1);
  }
  /** The address begins a statement, or an inlined call. */
  get atStatement(): boolean {
    const l = this.line;
    if (l === undefined) return false;
    const { program, bias } = this.program!, link = BigInt.asUintN(64, this.linear - bias);
    return (l.statement && l.begin === link) || program.symbols.callBegins(link);
  }
  get instruction(): InstructionFacts | undefined {
    return instructionAt(this.reader, this.linear, this.bits);
  }

  private programAt(linear: bigint): Located | undefined {
    return linear === this.linear ? this.program : (this.locate(linear) ?? this.programs.owning(linear));
  }
  /** Symbol and offset of any address, by the program whose code or data it is. */
  symbolAt(linear: bigint): { name: string; offset: number; start: bigint } | undefined {
    const p = this.programAt(linear) ?? this.program;
    if (p === undefined) return undefined;
    const link = BigInt.asUintN(64, linear - p.bias), s = p.program.symbols.at(link);
    if (s === undefined || (s.size > 0 && link >= s.address + BigInt(s.size))) return undefined;
    const offset = link - s.address;
    return offset > 0xf_ffffn ? undefined : { name: s.name, offset: Number(offset), start: linear - offset };
  }
  lineAt(linear: bigint): { file: string; line: number } | undefined {
    const p = this.programAt(linear);
    const l = p?.program.symbols.line(BigInt.asUintN(64, linear - p.bias));
    return l === undefined ? undefined : { file: l.file, line: l.line };
  }

  get place(): PlaceView {
    const symbol = this.symbolAt(this.linear), line = this.line, inlinedIn = this.callLines;
    return {
      vcpu: this.vcpu, level: this.level, inGuest: this.inGuest, cpl: this.state.cpl, rip: hex(this.rip), linear: hex(this.linear),
      ...(symbol === undefined ? {} : { symbol: symbol.name, offset: symbol.offset }), ...(line === undefined ? {} : { file: line.file, line: line.line }),
      ...(inlinedIn.length === 0 ? {} : { inlinedIn }),
    };
  }
}
