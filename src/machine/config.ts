/**
 * What a machine is built from, and how a run of it ends: the interface that experiments/, debug/ and cli/ program against.
 *
 * A configuration is plain data plus byte sources and sinks: files are opened by the caller, so that the core also runs where
 * there are none. The same configuration gives the same run, cycle for cycle: nothing in the machine is random (a SeededDisk makes its
 * contents from its own seed).
 */

import type { ByteSink, DiskBackend, FrameTap } from '../devices/ports.js';
import type { CodeClassifier } from './attribution.js';
import type { Profile } from './profile.js';

export type { ByteSink, DiskBackend, FrameTap } from '../devices/ports.js';

/** `functional`: one instruction is one cycle. `cycle`: the timing core prices everything. */
export type TimeMode = 'functional' | 'cycle';
export type EngineChoice = 'auto' | 'interpreter' | 'compiler';
export type NicModel = 'e1000' | 'none';

/** A file handed to the loader: its bytes, and the name that messages call it by. */
export interface NamedBytes {
  readonly name: string;
  readonly bytes: Uint8Array;
}

/** A Multiboot module or Linux initial RAM disk, with the text that follows its name. */
export interface BootModule extends NamedBytes {
  /** Module string: for Multiboot the whole command line of the module. */
  readonly commandLine: string;
}

/** What runs first: an image started directly, or firmware at the reset vector. */
export type Boot =
  | { readonly kind: 'image'; readonly image: NamedBytes; readonly commandLine?: string; readonly modules?: readonly BootModule[] }
  | { readonly kind: 'firmware'; readonly firmware: NamedBytes };

export interface DiskConfig {
  readonly backend: DiskBackend;
  /** Position on the IDE function: 0 = primary master, 1 = primary slave, 2 = secondary master, 3 = secondary slave. */
  readonly position?: 0 | 1 | 2 | 3;
}

export interface NicConfig {
  readonly model: NicModel;
  /** The card's station address; default 52:54:00:12:34:56. */
  readonly mac?: readonly number[];
  /** Sees every frame of the wire, for captures. */
  readonly tap?: FrameTap;
}

export interface MachineConfig {
  /** Guest RAM in bytes: a multiple of 64 KiB, at least 1 MiB, at most 3 GiB. */
  readonly memoryBytes: number;
  readonly profile: Profile;
  readonly boot: Boot;
  /** Number of vCPUs, 1 to 8. Default 1. */
  readonly cpus?: number;
  /** Default `functional`. */
  readonly mode?: TimeMode;
  /** Default `auto`. */
  readonly engine?: EngineChoice;
  readonly disks?: readonly DiskConfig[];
  /** Default: no card. */
  readonly nic?: NicConfig;
  /** Receives COM1's bytes. Default: dropped. */
  readonly serial?: ByteSink;
  /** Receives bytes written to the debug consoles, ports 0xe9 and 0x402. Default: dropped. */
  readonly debugConsole?: ByteSink;
  /** The real-time clock at power-on, seconds since 1970-01-01 UTC. Default 2020-01-01 00:00:00. */
  readonly startTime?: number;
  /** Says whose a code page is, for the attribution of cycles (`Machine.attribution`). Default: cycles are not attributed. */
  readonly classifyCode?: CodeClassifier;
  /** Host milliseconds, for the statistics of compiling alone: nothing depends on them. Default: they read 0. */
  readonly stopwatch?: () => number;
  /** Called where a compiled region's module of so many bytes is made: returns what `make` returns. For hosts that can be told how to treat it. */
  readonly makingRegion?: MakingRegion | undefined;
  /** Cycles a second; default the profile's. */
  readonly frequencyHz?: number;
}

export type MakingRegion = <T>(bytes: number, make: () => T) => T;

/**
 * A point of a run: instructions retired by all vCPUs since power-on, then events (an exception or interrupt delivered, a VM exit) since
 * the last of them. Totally ordered, and the same in every replay. The machine stands at it before the next instruction or event.
 */
export interface Position {
  readonly instructions: number;
  readonly events: number;
}

/**
 * Bounds of one call of `run`; whichever is reached first. Absent: no bound. Without `exact` the run goes on to the end of the block
 * (the next taken branch) in which the bound is reached.
 */
export interface RunLimits {
  /** Total instructions retired by all vCPUs since power-on. */
  readonly instructions?: number;
  /** Cycle since power-on. */
  readonly cycle?: number;
  /** Instead of `instructions`; always exact. */
  readonly position?: Position;
  /** Stop at the very instruction, or the first that ends at or after `cycle` (later only where a single block takes more than 30 000 cycles). */
  readonly exact?: boolean;
}

/** Why a run ended. */
export type StopReason =
  /** The guest wrote `value` to the debug-exit port. */
  | { readonly kind: 'debug-exit'; readonly value: number }
  /** ACPI S5. */
  | { readonly kind: 'power-off' }
  /** Triple fault of the boot processor without a listener, or every vCPU halted for good with nothing that could wake one. */
  | { readonly kind: 'shutdown'; readonly what: string; readonly address: string }
  /** The guest used something this machine does not have. `address` is CS:RIP or a linear address, for people. */
  | { readonly kind: 'not-implemented'; readonly what: string; readonly address: string }
  /** Before the instruction at a breakpoint (`Machine.breakpoints`); running on passes it. */
  | { readonly kind: 'breakpoint'; readonly vcpu: number; readonly linear: bigint }
  /** After the instruction (or event) that read or wrote (`write`) these bytes, some of them watched (`Machine.watchpoints`). */
  | { readonly kind: 'watchpoint'; readonly id: number; readonly vcpu: number; readonly linear: bigint; readonly bytes: number; readonly write: boolean }
  /** A bound of `RunLimits` was reached; `run` may be called again. */
  | { readonly kind: 'limit' }
  /** `requestStop` was called; `run` may be called again. */
  | { readonly kind: 'interrupted' };
