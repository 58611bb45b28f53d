/**
 * What page and worker say to each other. Everything is plain data: the worker owns the machine, the page only shows.
 *
 * Each request has one answer with its number. Between them the worker sends notices: progress of a run, console bytes, the screen. `interrupt` is
 * heard while another request runs; all others are answered in order.
 */

import type { Direction, ExitView, Position, StateView, StepKind, StopCondition, StopPoint, WalkView } from '../debug/api.js';
import type { MemoryView } from '../debug/session.js';
import type { ExtensionName, PathName } from '../experiments/paths.js';
import type { TimeMode } from '../machine/config.js';
import type { NoScreen, Screen } from '../machine/screen.js';
import type { TimelineWindow } from './timeline/window.js';

/** A run of the comparison, as `xenolith compare` would make it. */
export interface ExperimentSpec {
  readonly kind: 'experiment';
  readonly path: PathName;
  readonly extension: ExtensionName;
  readonly workload: string;
  readonly mode: TimeMode;
  readonly seed: number;
}
/** An image of the user's own. */
export interface ImageSpec {
  readonly kind: 'image';
  readonly name: string;
  readonly sha256: string;
  readonly commandLine: string;
  readonly modules: readonly { readonly name: string; readonly sha256: string; readonly commandLine: string }[];
  readonly profile: string;
  readonly mode: TimeMode;
  readonly seed: number;
}
export type MachineSpec = ExperimentSpec | ImageSpec;

/** Bytes of a file that the page hands over. */
export interface FileBytes {
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly sha256: string;
}

export interface FileText {
  readonly name: string;
  readonly text: string;
}

/** Everything that the worker needs of the build's files. */
export interface Assets {
  readonly images: Readonly<Record<string, FileBytes>>;
  readonly profiles: Readonly<Record<string, unknown>>;
}

export interface Statistics {
  readonly instructions: number;
  readonly cycles: number;
  readonly frequencyHz: number;
  readonly exits: readonly { readonly reason: string; readonly count: number }[];
  /** Cycles by owner; absent in functional mode, where cycles say nothing. */
  readonly cyclesBy?: readonly { readonly name: string; readonly cycles: number }[];
}

export type { MemoryView };

export interface Requests {
  start: { args: { spec: MachineSpec; assets: Assets; files: readonly FileBytes[]; position?: Position; session?: FileText }; result: StateView };
  step: { args: { step: StepKind; direction: Direction; count: number }; result: StateView };
  continue: { args: { direction: Direction }; result: StateView };
  goTo: { args: { position: Position } | { cycle: number }; result: StateView };
  /** `text` is an address as people write it: a number, `$register`, a symbol, `file:line`. */
  walk: { args: { text: string }; result: WalkView };
  memory: { args: { text: string; bytes: number }; result: MemoryView };
  stops: { args: Record<never, never>; result: readonly StopPoint[] };
  addStop: { args: { condition: StopCondition }; result: readonly StopPoint[] };
  /** A breakpoint, or with `watch` a watchpoint, where a text says. */
  addStopAt: { args: { text: string; watch?: { bytes: number; read: boolean; write: boolean } }; result: readonly StopPoint[] };
  removeStop: { args: { id: number }; result: readonly StopPoint[] };
  exits: { args: { count: number }; result: readonly ExitView[] };
  timeline: { args: { from: number; to: number; columns: number }; result: TimelineWindow };
  statistics: { args: Record<never, never>; result: Statistics };
  input: { args: { bytes: Uint8Array }; result: StateView };
  /** The text of a session file. */
  save: { args: Record<never, never>; result: string };
}
export type RequestName = keyof Requests;

export type Request = { [N in RequestName]: { readonly id: number; readonly name: N; readonly args: Requests[N]['args'] } }[RequestName];
export type ToWorker = Request | { readonly interrupt: true };

export type FromWorker =
  | { readonly kind: 'answer'; readonly id: number; readonly result: unknown }
  | { readonly kind: 'failed'; readonly id: number; readonly message: string; readonly users: boolean }
  | { readonly kind: 'progress'; readonly position: Position; readonly cycle: number }
  /** COM1 from its beginning was cut to `keep` bytes, then got `bytes`. */
  | { readonly kind: 'console'; readonly keep: number; readonly bytes: Uint8Array }
  /** The text screen, whenever it is another than last time. */
  | { readonly kind: 'screen'; readonly screen: Screen | NoScreen }
  | { readonly kind: 'ready' };
