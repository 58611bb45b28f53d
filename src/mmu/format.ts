/**
 * Bits of paging-structure entries, page-fault error codes and kinds of access.
 *
 * An entry is handled as two 32-bit halves; masks here name the half they belong to where it is not the low one. SDM 3A §4.5
 * "4-Level Paging and 5-Level Paging", §4.7 "Page-Fault Exceptions"; SDM 3C §29.3.2 "EPT Translation Mechanism".
 */

/** Kinds of access, as the EPT-violation exit qualification numbers them (bits 0 to 2). May be combined. */
export const READ = 1, WRITE = 2, FETCH = 4;

export const PTE_P = 1, PTE_W = 2, PTE_U = 4, PTE_PWT = 8, PTE_PCD = 16, PTE_A = 32, PTE_D = 64, PTE_PS = 128, PTE_G = 256;
/** The PAT bit: bit 7 of an entry that maps a 4-KByte page, bit 12 of one that maps a larger page. */
export const PTE_PAT_4K = 128, PTE_PAT_LARGE = 1 << 12;
/** XD (Intel) or NX (AMD), in the high half. */
export const PTE_NX_HI = 0x8000_0000 | 0;

export const EPT_R = 1, EPT_W = 2, EPT_X = 4, EPT_IPAT = 64, EPT_PS = 128, EPT_A = 256, EPT_D = 512;

/** Page-fault error code. */
export const PF_P = 1, PF_W = 2, PF_U = 4, PF_RSVD = 8, PF_ID = 16;

/** What `translate` returns. */
export const OK = 0, FAULT = 1, NESTED_FAULT = 2;
export type Status = typeof OK | typeof FAULT | typeof NESTED_FAULT;

/** Memory types as PAT, MTRRs and EPT encode them. SDM 3A §11.3 "Methods of Caching Available". */
export const UC = 0, WC = 1, WT = 4, WP = 5, WB = 6, UC_MINUS = 7;

/** 2^32: the weight of an entry's high half in a physical address. */
export const HIGH = 0x1_0000_0000;

/**
 * Mask, for an entry's high half, of address bits at and above MAXPHYADDR up to bit 51, which must be zero.
 * @param physicalAddressBits MAXPHYADDR, 32 to 52
 */
export function reservedHigh(physicalAddressBits: number): number {
  return 0x000f_ffff & ~(2 ** (physicalAddressBits - 32) - 1);
}

/**
 * The memory type of an access whose PAT type is `pat` and whose EPT (in the place of the MTRR) type is `ept`.
 * SDM 3A §11.5.2.2 "Selecting Memory Types for Pentium III and More Recent Processor Families", table 11-7.
 */
export function combineTypes(pat: number, ept: number): number {
  if (pat === WC) return WC;
  if (pat === UC || ept === UC) return UC;
  if (pat === UC_MINUS) return ept === WC ? WC : UC;
  if (ept === WB) return pat;
  if (pat === WB) return ept;
  if (pat === ept) return pat;
  return UC; // mixtures of WT, WP and WC that leave no common cached behaviour
}
