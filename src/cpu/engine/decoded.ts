/**
 * What the process has decoded: single instructions by their bytes, and whole runs by their bytes and offset in the page. Machines of the same
 * kind (processor, prices, code size) share it, so the second one that runs a hypervisor decodes none of it again.
 *
 * Invariant: what is found here is what decoding would give. Nothing in it belongs to a machine: handlers are `HandlerInfo`s, not table indices.
 */

import { RECORD_BYTES } from './record.js';
import type { Encoding } from './encoding.js';
import type { HandlerInfo } from './handlers.js';

/** Handlers that are no instructions' and may stand in a run. */
export type BaseHandler = 'line' | 'invalid' | 'unknown' | 'marker';

/** Why a run ends: `join` where an instruction follows that is decoded already, `straddle` where one crosses the page's end. */
export type RunEnd = 'transfer' | 'length' | 'page' | 'join' | 'straddle';

export interface Run {
  /** The run's bytes, and those behind it that decoding depended on. */
  readonly bytes: Uint8Array;
  /** Its records, without table indices. */
  readonly words: Int32Array;
  /** Of each record. */
  readonly handlers: readonly (HandlerInfo | BaseHandler)[];
  /** Offset in the page of each instruction, and its place among the records. */
  readonly offsets: readonly number[];
  readonly places: readonly number[];
  /** Offset behind the last instruction. */
  readonly end: number;
  readonly why: RunEnd;
}

/** Beyond these everything is given up: guests may make code without end. */
const MAX_ENCODINGS = 1 << 15, MAX_RUN_BYTES = 8 << 20;
/** The longest instruction. SDM 2A §2.3.11 "AVX Instruction Length" says the same of all: 15 bytes. */
export const MAX_LENGTH = 15;

const key = (bytes: Uint8Array, from: number, to: number, off: number): number => {
  let k = 0;
  for (let i = 0; i < 4; i++) k = k * 256 + (from + i < to ? bytes[from + i]! : 0);
  return k * 4096 + off;
};

export class Decoded {
  private static readonly all = new Map<string, Decoded>();
  /** @param kind everything that decoding depends on besides the bytes */
  static for(kind: string): Decoded {
    let made = this.all.get(kind);
    if (made === undefined) this.all.set(kind, (made = new Decoded()));
    return made;
  }

  /** A tree of heads: from node * 256 + byte to a node, or to the complement of an encoding's number. A head says where it ends. */
  private readonly edges = new Map<number, number>();
  private nodes = 1;
  private readonly encodings: Encoding[] = [];
  private readonly runs = new Map<number, Run[]>();
  private runBytes = 0;

  /** The instruction that bytes[from, to) begin with, if one like it has been seen. */
  encoding(bytes: Uint8Array, from: number, to: number): Encoding | undefined {
    const { edges } = this;
    for (let at = from, node = 0; at < to; at++) {
      const next = edges.get(node * 256 + bytes[at]!);
      if (next === undefined) return undefined;
      if (next < 0) {
        const e = this.encodings[~next]!;
        return from + e.length <= to ? e : undefined;
      }
      node = next;
    }
    return undefined;
  }
  addEncoding(bytes: Uint8Array, from: number, e: Encoding): void {
    const { edges } = this;
    if (this.encodings.length === MAX_ENCODINGS) {
      edges.clear();
      this.encodings.length = 0;
      this.nodes = 1;
    }
    let node = 0;
    for (let at = from; at < from + e.head - 1; at++) {
      const edge = node * 256 + bytes[at]!;
      let next = edges.get(edge);
      if (next === undefined) edges.set(edge, (next = this.nodes++));
      node = next;
    }
    edges.set(node * 256 + bytes[from + e.head - 1]!, ~(this.encodings.push(e) - 1));
  }

  /**
   * The run from an offset on, if it has been decoded with the same instructions around it.
   * @param page linear-memory address of the page's bytes @param slots index in `u32` of the page structure's records by offset
   */
  run(u8: Uint8Array, u32: Uint32Array, page: number, off: number, slots: number): Run | undefined {
    const list = this.runs.get(key(u8, page + off, page + 4096, off));
    if (list === undefined) return undefined;
    for (let i = list.length - 1; i >= 0; i--) if (fits(list[i]!, u8, u32, page + off, slots)) return list[i];
    return undefined;
  }
  addRun(off: number, run: Run): void {
    this.runBytes += run.words.byteLength + run.bytes.length;
    if (this.runBytes > MAX_RUN_BYTES) {
      this.runs.clear();
      this.runBytes = run.words.byteLength + run.bytes.length;
    }
    const k = key(run.bytes, 0, run.bytes.length, off), list = this.runs.get(k);
    if (list === undefined) this.runs.set(k, [run]);
    else list.push(run);
  }
}

function fits(run: Run, u8: Uint8Array, u32: Uint32Array, at: number, slots: number): boolean {
  const { bytes, offsets, why } = run;
  for (let i = 0; i < bytes.length; i++) if (bytes[i] !== u8[at + i]) return false;
  for (let i = 0; i < offsets.length; i++) if (u32[slots + offsets[i]!] !== 0) return false;
  return why === 'join' ? u32[slots + run.end] !== 0 : why === 'straddle' ? u32[slots + run.end] === 0 : true;
}

/** Words of a record. */
export const WORDS = RECORD_BYTES / 4;
