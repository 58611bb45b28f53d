/**
 * What a person can ask of a stopped machine, and what they get. The terminal stepper, the browser page and the gdb stub all speak
 * through it: the types are plain data, so that they cross a worker's border or a file unchanged.
 *
 * 64-bit values and addresses are strings, `0x` and hexadecimal digits without leading zeros. Cycles and counts are numbers.
 */

/**
 * A point of a run: instructions retired by all vCPUs since power-on, then events (an exception or interrupt delivered, a VM exit
 * without an instruction) since the last of them. Totally ordered; the same in every replay of the run.
 */
export interface Position {
  readonly instructions: number;
  readonly events: number;
}

/** How far a step goes; each also backwards. */
export const STEP_KINDS = [
  'instruction', // one instruction, or one event that comes instead
  'line', // until the source line changes, into calls
  'over', // as `line`, but calls (and VM exits, for a guest) run to their end
  'out', // until the running function returns
  'exit', // until the next VM exit has happened: the host's first instruction is next
  'entry', // until the next VM entry has happened: the guest's first instruction is next
  'hypercall', // until the next hypercall: its SYSCALL or VMCALL is next
  'event', // until the next interrupt or exception is delivered
  'domain', // until code of another domain runs
] as const;
export type StepKind = (typeof STEP_KINDS)[number];
export type Direction = 'forward' | 'back';

/** What ends a `continue`, beside the end of the run. Each has a number by which it is removed. */
export type StopPoint = { readonly id: number; readonly enabled: boolean } & StopCondition;
export type StopCondition =
  | { readonly kind: 'breakpoint'; readonly linear: string; readonly where?: string }
  | { readonly kind: 'watchpoint'; readonly linear: string; readonly bytes: number; readonly read: boolean; readonly write: boolean; readonly where?: string }
  /** A VM exit with this reason (the manual's name, case-insensitive); absent: any. */
  | { readonly kind: 'exit-reason'; readonly reason?: string }
  | { readonly kind: 'cycle'; readonly cycle: number };

/** Why the machine stands where it stands. `sentence` is for people and always there. */
export interface StopView {
  readonly kind: 'start' | 'step' | 'breakpoint' | 'watchpoint' | 'exit-reason' | 'cycle' | 'interrupted' | 'ended' | 'beginning';
  readonly sentence: string;
  readonly point?: number;
}

/** Where a processor stands. */
export interface PlaceView {
  readonly vcpu: number;
  /** Program whose code it is: `hypervisor`, `dom0`, `guest`, or an image's name; `unknown` where no image has the page. */
  readonly level: string;
  /** In VMX non-root operation, or between VMRUN and #VMEXIT. */
  readonly inGuest: boolean;
  readonly cpl: number;
  readonly rip: string;
  readonly linear: string;
  readonly symbol?: string;
  /** Bytes from the symbol's start. */
  readonly offset?: number;
  readonly file?: string;
  readonly line?: number;
  /** Where the line's function stands in a caller's place: the lines of the calls, innermost first. */
  readonly inlinedIn?: readonly { readonly file: string; readonly line: number }[];
}

export interface RegisterView {
  readonly name: string;
  readonly value: string;
  readonly bits: number;
  /** Other than at the previous stop. */
  readonly changed: boolean;
  /** Names of the bits that are set, where the register has them (RFLAGS, CR0, EFER ...). */
  readonly decoded?: string;
}
export interface RegisterGroupView {
  readonly title: string;
  readonly registers: readonly RegisterView[];
}

export interface DisassemblyLineView {
  readonly linear: string;
  readonly bytes: string;
  readonly text: string;
  readonly current: boolean;
  readonly breakpoint: boolean;
  /** Set where a symbol starts. */
  readonly symbol?: string;
  readonly file?: string;
  readonly line?: number;
}

export interface SourceView {
  /** Path relative to the repository. */
  readonly file: string;
  readonly line: number;
  /** The whole file; absent when it is not at hand. */
  readonly text?: string;
}

/** One field of a VMCS or VMCB. */
export interface FieldView {
  readonly name: string;
  readonly value: string;
  /** Plain words: what the field is for. */
  readonly meaning: string;
  /** Manual, section and title. */
  readonly section: string;
  /** Changed by the last transition (or by the hypervisor since), and its value before. */
  readonly changed: boolean;
  readonly before?: string;
  /** Who changed it: the processor in the transition itself, or the host's software since (both: software, later). */
  readonly changedBy?: 'transition' | 'hypervisor';
  /** The value in words, where it has some: names of bits that are set, of an exit reason, of an event. */
  readonly decoded?: string;
  /** Bits that have names, for control fields. */
  readonly bits?: readonly { readonly name: string; readonly bit: number; readonly set: boolean; readonly meaning: string }[];
}
export interface FieldGroupView {
  readonly title: string;
  readonly section: string;
  readonly fields: readonly FieldView[];
}
export interface ControlBlockView {
  readonly kind: 'VMCS' | 'VMCB';
  readonly address: string;
  readonly groups: readonly FieldGroupView[];
}

/** A VM exit, or a VM entry that failed, with its explanation. */
export interface ExitView {
  /** Where it is next: going there stands at the instruction that exits, or before the event; one step further it has happened. */
  readonly position: Position;
  readonly cycle: number;
  readonly vcpu: number;
  /** The manual's name. */
  readonly reason: string;
  /** One sentence composed from the facts: what the guest did, which control made it exit, who asked for that. */
  readonly sentence: string;
  /** Facts one by one: port, size, value, guest-physical address, RIP, qualification ... */
  readonly details: readonly { readonly name: string; readonly value: string }[];
  /** Where the hypervisor set the control that made it exit. */
  readonly askedBy?: { readonly file: string; readonly line: number };
  /** Manual, section and title of the rule that the sentence applies. */
  readonly section?: string;
  /** Number in the log, counted from power-on. */
  readonly number?: number;
  /** Cycles since power-on; -1: not yet. */
  readonly stamps?: { readonly guestLeaves: number; readonly handlerStarts: number; readonly handlerEnds: number; readonly guestResumes: number };
}

/** One entry of a page walk. */
export interface WalkStepView {
  /** The manual's name: PML4E, PDPTE, PDE, PTE, EPT PML4E ... */
  readonly structure: string;
  /** Guest-physical (or host-physical, outside guests) address of the entry, and what it holds. */
  readonly address: string;
  readonly entry: string;
  readonly index: number;
  /** Flags that are set: P R/W U/S A D PS G XD; EPT: R W X. */
  readonly flags: string;
  /** Under nested paging: how the entry's own address was translated. */
  readonly nested?: readonly WalkStepView[];
}
export interface WalkView {
  readonly linear: string;
  readonly steps: readonly WalkStepView[];
  /** Under nested paging: the walk of the final guest-physical address. */
  readonly final?: readonly WalkStepView[];
  readonly guestPhysical?: string;
  readonly hostPhysical?: string;
  readonly pageBytes?: number;
  /** Present when the translation ends: why, in a sentence. */
  readonly fault?: string;
}

/** Everything that a stop shows. Panes ask for more (`walk`, `memory`, `exits`) as they need it. */
export interface StateView {
  readonly position: Position;
  readonly cycle: number;
  readonly stop: StopView;
  readonly place: PlaceView;
  /** Places of all vCPUs, the current one among them. */
  readonly vcpus: readonly PlaceView[];
  readonly registers: readonly RegisterGroupView[];
  readonly disassembly: readonly DisassemblyLineView[];
  readonly source?: SourceView;
  /** The VMCS or VMCB in use; absent where there is none. */
  readonly control?: ControlBlockView;
  /** The last VM exit or failed entry before this point. */
  readonly lastExit?: ExitView;
  /** Bytes that snapshots occupy, and how many there are. */
  readonly history: { readonly bytes: number; readonly limit: number; readonly snapshots: number };
}

/** A stretch of the timeline: somebody had the processor from one cycle to another. */
export interface SpanView {
  readonly from: number;
  readonly to: number;
  readonly level: string;
  readonly vcpu: number;
}
/** A point of the timeline: exit, entry, hypercall, interrupt, exception, device access. */
export interface MomentView {
  readonly cycle: number;
  readonly vcpu: number;
  readonly kind: string;
  readonly text: string;
}
