/**
 * One virtual processor: what helpers, the mmu, the extensions and the machine hold.
 *
 * This interface is the meeting point of the folders; cpu-facade.ts implements it.
 */

import type { LinearMemory } from '../mem/linear-memory.js';
import type { PhysicalMemory } from '../mem/physical.js';
import type { PlatformPort, ProbePort, TimingPort, VirtPort } from './ports.js';
import type { CpuState } from './state.js';
import type { CpuidTable, MsrTable } from './registers.js';

export interface Cpu {
  readonly id: number;
  readonly m: LinearMemory;
  readonly s: CpuState;
  readonly phys: PhysicalMemory;
  readonly platform: PlatformPort;
  /** The virtualisation extension of the profile, or null. */
  readonly virt: VirtPort | null;
  readonly timing: TimingPort | null;
  readonly probe: ProbePort;
  readonly msrs: MsrTable;
  readonly cpuid: CpuidTable;
  /** MAXPHYADDR of the profile. */
  readonly physicalAddressBits: number;

  /** CR4 bits that may be one: what the profile advertises and an extension adds (CR4.VMXE). Others are #GP(0). */
  cr4Allowed: number;
  /** IA32_EFER bits that may be written, EFER.SVME among them once an extension has added it. */
  eferAllowed: number;

  /** In a guest (VMX non-root operation, or between VMRUN and #VMEXIT)? */
  readonly inGuest: boolean;

  /** Cycles since power-on, exact also inside helpers. */
  now(): number;
  /** Charges cycles to the running instruction. */
  charge(cycles: number): void;
  /** Ends the current slice at the next block end, so that the run loop looks at pending events. */
  kick(): void;

  /** Records an exception and throws GUEST_EVENT. */
  raise(vector: number, errorCode?: number): never;
  /** The instruction is done: RIP = next RIP; returns LEAVE, so that the run loop looks at everything afresh. */
  finish(): 1;

  /** Linear memory, as the current CPL sees it (or as a supervisor, for descriptor tables and the like). Throw GUEST_EVENT on faults. Sizes 1, 2, 4, 8 bytes; 16 through two. */
  readLinear(linear: bigint, size: number, supervisor?: boolean): bigint;
  writeLinear(linear: bigint, size: number, value: bigint, supervisor?: boolean): void;
  /** Through a segment: base, limit, rights and canonical checks (#GP or #SS), then as above. */
  readSegment(segment: number, offset: bigint, size: number): bigint;
  writeSegment(segment: number, offset: bigint, size: number, value: bigint): void;
  /** The linear-memory address of bytes at a linear address when they are plain memory in one page and the access is known to be allowed; else 0, and nothing is known. */
  plainMemory(linear: bigint, size: number, write: boolean): number;
  /**
   * Whoever looks for a tag in the software TLB by himself and misses asks this: true when the entry is there, but withheld so that
   * somebody hears of the access. Then tell `noteAccess` which bytes were accessed.
   */
  withheldTag(linHi: number, linLo: number, write: boolean): boolean;
  noteAccess(linHi: number, linLo: number, at: number, bytes: number, write: boolean): void;
  /** Segment checks only: the linear address. */
  linearAddress(segment: number, offset: bigint, size: number, write: boolean): bigint;

  /** Physical memory without translation (VMCS, VMCB, page tables): RAM fast, devices through the platform. */
  readPhys(hpa: number, size: 1 | 2 | 4 | 8): bigint;
  writePhys(hpa: number, size: 1 | 2 | 4 | 8, value: bigint): void;

  /** As the page walker reads: through nested paging in a guest that has it (a nested fault exits and throws GUEST_EVENT), else as `readPhys`. */
  readGuestPhys(gpa: number, size: 4 | 8): bigint;

  /** To be called after any change of CR0, CR3, CR4, EFER, CPL, CS or guest/host: recomputes mode, software TLB in use, fast segment limits. */
  modeChanged(): void;
  /** Drops software translations: one page, the current tag's without global pages, everything of the current tag, or all tags. */
  flushTlb(scope: 'page' | 'local' | 'context' | 'all', linear?: bigint): void;
  /** Drops software translations of another tag (INVVPID, INVLPGA, INVEPT, ASID flush). */
  flushTag(tag: number, linear?: bigint): void;
  /** Tag of the address space in use: 0 = host, else VPID or ASID (or a tag of its own when the extension has none). */
  addressSpaceTag: number;

  /** Stops the machine with a message: what is not implemented, and where. Throws GUEST_EVENT. */
  notImplemented(what: string): never;
}
