/**
 * What address translation depends on besides the tables: the mmu's side of the interfaces to the cpu.
 *
 * The mmu does not import cpu/: `NestedContext` and `NestedFault` have the same shape as those of the cpu's ports and meet them
 * structurally.
 */

export type PagingMode = 'none' | '32-bit' | 'PAE' | '4-level';

/** SDM 3C §29.3 "The Extended Page Table Mechanism (EPT)"; APM 2 §15.25 "Nested Paging". */
export interface NestedContext {
  readonly format: 'ept' | 'npt';
  /** Physical address of the root table. */
  readonly root: number;
  /** EPT: accessed and dirty flags enabled (EPTP bit 6). */
  readonly ad: boolean;
  /** Levels of the walk. NPT takes them from the host's paging mode: 4 = long, 3 = PAE, 2 = 32-bit. */
  readonly levels: 2 | 3 | 4;
  /** NPT: the host's EFER.NXE and CR4.PSE. */
  readonly nx: boolean;
  readonly pse: boolean;
}

/** The control bits that translation depends on. `setContext` copies them; the object may be reused. */
export interface PagingContext {
  readonly paging: PagingMode;
  /** CR3, low and high half (PCID and flag bits may be set; they are ignored). */
  readonly cr3Lo: number;
  readonly cr3Hi: number;
  /** CR0.WP */
  readonly wp: boolean;
  /** CR4.PSE, PGE, SMEP, SMAP */
  readonly pse: boolean;
  readonly pge: boolean;
  readonly smep: boolean;
  readonly smap: boolean;
  /** RFLAGS.AC: lets explicit supervisor accesses reach user pages under SMAP. */
  readonly ac: boolean;
  /** EFER.NXE */
  readonly nx: boolean;
  /** IA32_PAT; the power-on value when absent. */
  readonly patLo?: number;
  readonly patHi?: number;
  /** Nested paging in force, or null. */
  readonly nested: NestedContext | null;
  /**
   * PAE paging only: read the PDPTEs from memory at each walk, as AMD does for guests under nested paging (APM 2 §15.25.10
   * "Legacy PAE Mode"), and not from the four registers loaded with CR3 (SDM 3A §4.4.1 "PDPTE Registers").
   */
  readonly pdpteFromMemory?: boolean;
}

/** A failed nested translation. SDM 3C table 28-7 "Exit Qualification for EPT Violations"; APM 2 §15.25.6 "Nested versus Guest Page Faults, Fault Ordering". */
export interface NestedFault {
  readonly gpa: number;
  readonly gla: bigint;
  readonly glaValid: boolean;
  readonly onTable: boolean;
  readonly read: boolean;
  readonly write: boolean;
  readonly fetch: boolean;
  readonly present: boolean;
  readonly permissions: number;
  readonly user: boolean;
  readonly misconfiguration: boolean;
  readonly reserved: boolean;
}

export interface MmuOptions {
  /** MAXPHYADDR of the profile: 32 to 52. */
  readonly physicalAddressBits: number;
  /** 1-GByte pages in 4-level paging and NPT (CPUID.80000001H:EDX.Page1GB). */
  readonly gigabytePages: boolean;
  /** 1-GByte pages in EPT (IA32_VMX_EPT_VPID_CAP bit 17). */
  readonly eptGigabytePages?: boolean;
  /** Execute-only EPT entries are allowed (IA32_VMX_EPT_VPID_CAP bit 0). */
  readonly eptExecuteOnly?: boolean;
  /** Bit 8 of PML4Es and of PDPTEs that name a table must be zero (AMD; APM 2 §5.3.3 "4-Kbyte Page Translation"). Intel ignores it. */
  readonly bit8Reserved?: boolean;
  /** Linear-memory address of the four PDPTE registers (8 bytes each). */
  readonly pdpteRegisters: number;
}
