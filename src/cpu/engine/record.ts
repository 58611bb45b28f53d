/**
 * Decoded-instruction records: 64 bytes each in the linear memory, one after another as the instructions follow each other.
 *
 * A handler finds in its record what varies between two instructions of one form: registers (as addresses of state fields),
 * address parts, immediate, branch target. Records are kept per physical code page (code-cache.ts); nothing in them depends
 * on the linear address: RIP is `S.codeBase` + `off`.
 */

export const RECORD_BYTES = 64;

/** Byte offsets in a record. */
export const R = {
  handler: 0, // u32: index in the function table
  off: 4, // u16: offset of the instruction in its page
  len: 6, // u8
  flags: 7, // u8: see RF_*
  op: 8, // 3 x i32: address of the register operand's state field
  base: 20, // i32: address of the base register's field, or ZERO_SLOT (RIP-relative: S.codeBase)
  index: 24, // i32
  scale: 28, // u8: 0-3
  segment: 29, // u8: 0-5
  addressWidth: 30, // u8: 16, 32, 64
  operandWidth: 31, // u8: 8, 16, 32, 64
  disp: 32, // i64: displacement; near branches: target relative to S.codeBase
  imm: 40, // i64: immediate as encoded and extended; direct far branches: offset
  target: 48, // u32: record of the branch target once known; else second immediate or far selector
  segBase: 52, // i32: address of the segment's entry in the state (its base comes first), or ZERO_SLOT
  code: 56, // u16: iced Code
  cost: 58, // u16: static cycles (cycle mode)
  reg: 60, // 4 x u8: register numbers of operands 0-3
} as const;

/**
 * Of indirect near jumps, which have one operand at most: where they went, relative to S.codeBase, the last place first, all different;
 * 0: not known. Hints for the compiler. i32 each.
 */
export const JUMPED = [48, 12, 16] as const;

export const RF_REP = 1, RF_REPNE = 2, RF_LOCK = 4, RF_SAME_PAGE = 8;
/** Hints of the timing core about the instruction, in bits 4-6 of the flags. */
export const RF_HINT_SHIFT = 4;

/** A code page decoded for one code size: 32 bytes of header, then for each byte offset the record that starts there (0 = none). */
export const PAGE_HEADER = 32;
export const P = {
  mode: 0, // u32: S.mode that the records are decoded for
  hpaPage: 4, // u32
  account: 8, // u32: AttributionPort
  bytes: 12, // u32: linear-memory address of the page's bytes
  next: 16, // u32: the structure of the same page for another code size (at most three), 0 = none
} as const;
export const PAGE_STRUCT_BYTES = PAGE_HEADER + 4 * 4096;
