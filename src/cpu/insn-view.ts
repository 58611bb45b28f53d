/** A decoded instruction as TypeScript helpers see it. One object per vCPU, pointed at the record of the moment. */

export interface InsnView {
  /** iced `Code`. */
  readonly code: number;
  /** Length in bytes, 1-15. */
  readonly length: number;
  /** Operand size in bits that the encoding has: 8, 16, 32, 64. */
  readonly operandWidth: number;
  /** Address size in bits: 16, 32, 64. */
  readonly addressWidth: number;
  readonly opCount: number;
  /** True when operand `i` is memory. */
  isMemory(i: number): boolean;
  /** Register number (0-15 general, 0-7 segment by ES CS SS DS FS GS, control, debug, xmm, mm, st) of register operand `i`. */
  register(i: number): number;
  /** The immediate operand `i`, sign- or zero-extended as encoded, as unsigned at operand width. */
  immediate(i: number): bigint;
  /** Effective address of the (one) memory operand, cut to address size. */
  ea(): bigint;
  /** Segment register number of the memory operand, after overrides. */
  readonly segment: number;
  readonly hasRep: boolean;
  readonly hasRepne: boolean;
  readonly hasLock: boolean;
  /** Target RIP of a near relative branch; target offset and selector of a direct far branch. */
  readonly farSelector: number;
  readonly farOffset: number;
  /** Reads or writes operand `i` (general register, immediate or memory) at its width. May throw GUEST_EVENT. */
  read(i: number): bigint;
  write(i: number, v: bigint): void;
  /** Linear-memory address of operand `i` in the state (its 64 bits), or 0 when it is memory. */
  registerAddress(i: number): number;
  /** Width in bits of operand `i`. */
  width(i: number): number;
}
