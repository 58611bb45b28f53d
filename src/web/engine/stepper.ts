/** What the worker needs of a debug session: a stop shown, a move carried out in pieces, and questions about a stopped machine. */

import type { Direction, DisassemblyLineView, ExitView, Position, StateView, StepKind, StopCondition, StopPoint, WalkView } from '../../debug/api.js';
import type { MemoryView } from '../protocol.js';

export type Move =
  | { readonly kind: 'step'; readonly step: StepKind; readonly direction: Direction; readonly count: number }
  | { readonly kind: 'continue'; readonly direction: Direction }
  | { readonly kind: 'position'; readonly position: Position }
  | { readonly kind: 'cycle'; readonly cycle: number };

export interface Stepper {
  /** Starts a move; `piece` carries it on. */
  begin(move: Move): void;
  /** A bounded piece of the move; true when it has come to its end. */
  piece(): boolean;
  /** Ends the move where the machine stands. */
  interrupt(): void;
  state(): StateView;
  walk(linear: string): WalkView;
  memory(linear: string, bytes: number): MemoryView;
  disassemble(linear: string, lines: number): readonly DisassemblyLineView[];
  /** An address from a number, a symbol or `file:line`. @throws for what is none of these */
  resolve(text: string): string;
  stops(): readonly StopPoint[];
  addStop(condition: StopCondition): void;
  removeStop(id: number): void;
  exits(count: number): readonly ExitView[];
  input(bytes: Uint8Array): void;
  save(): Uint8Array;
}
