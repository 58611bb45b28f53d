/**
 * The writer of the protocol-buffers wire format that these files need of a library; the caller hands one in (`protobufjs/minimal` has
 * it), because the layers below cli/ and web/ use no package.
 */

/** A 64-bit number above 2^53, in halves. */
export interface Halves {
  readonly low: number;
  readonly high: number;
  readonly unsigned: boolean;
}

export interface ProtoWriter {
  uint32(value: number): ProtoWriter;
  int32(value: number): ProtoWriter;
  uint64(value: number | Halves): ProtoWriter;
  int64(value: number | Halves): ProtoWriter;
  bool(value: boolean): ProtoWriter;
  string(value: string): ProtoWriter;
  /** Begins a message inside the message; `ldelim` ends it. */
  fork(): ProtoWriter;
  ldelim(): ProtoWriter;
  finish(): Uint8Array;
  reset(): ProtoWriter;
}

/** Tags of fields: number and wire type. */
export const varintField = (number: number): number => number << 3;
export const lengthField = (number: number): number => (number << 3) | 2;

export const halvesOf = (value: bigint): Halves => ({ low: Number(BigInt.asIntN(32, value)), high: Number(BigInt.asIntN(32, value >> 32n)), unsigned: true });
