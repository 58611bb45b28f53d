/**
 * From bytes to records.
 *
 * A run is decoded from one entry point until control cannot fall through, an instruction that is already decoded follows, or
 * the page ends. An instruction that crosses the page's end becomes a `straddle` record: the run loop executes it alone.
 * What this machine or another of the process has decoded before is found in decoded.ts; encoding.ts asks iced-x86 for the rest.
 */

import { Decoder, DecoderError, Instruction } from 'iced-x86';
import type { LinearMemory } from '../../mem/linear-memory.js';
import type { EncodingSet } from '../isa/advertised.js';
import type { CodeCache } from './code-cache.js';
import { Decoded, MAX_LENGTH, WORDS, type BaseHandler, type Run, type RunEnd } from './decoded.js';
import { BITNESS, EncodingReader, fillRecord } from './encoding.js';
import type { HandlerInfo, Handlers } from './handlers.js';
import { PAGE_HEADER, R, RECORD_BYTES, RF_HINT_SHIFT } from './record.js';

const MAX_RUN = 512;
const NO_MORE_BYTES = DecoderError.NoMoreBytes;
const LINE = 64;
const OFF = R.off / 4;

/** What the decoder asks of the timing core. */
interface RunTiming {
  readonly prices: string;
  timed(i: Instruction): object;
  schedule(run: readonly object[], offsets: readonly number[], ways: readonly number[], costs: Uint16Array, hints: Uint8Array): void;
}

/** What decoding in one code size needs. */
interface Mode {
  readonly known: Decoded;
  readonly reader: EncodingReader;
}

export class InstructionDecoder {
  private readonly insn = new Instruction();
  private readonly costs = new Uint16Array(MAX_RUN);
  private readonly hints = new Uint8Array(MAX_RUN);
  /** The records of the run that is being decoded: a line may come before each instruction. */
  private readonly draft = new Int32Array(2 * (MAX_RUN + 1) * WORDS);
  private readonly modes: Mode[] = [];

  /** Called with a page structure and the offsets of instructions that have been entered in it. */
  onDecoded: ((page: number, offsets: readonly number[]) => void) | undefined;

  constructor(
    private readonly m: LinearMemory,
    private readonly cache: CodeCache,
    private readonly handlers: Handlers,
    /** Cycle mode: prices runs. */
    private readonly timing?: RunTiming,
    /** The processor's encodings; absent: all that are described. */
    private readonly encodings?: EncodingSet,
  ) {}

  private mode(mode: number): Mode {
    const made = this.modes[mode];
    if (made !== undefined) return made;
    const { handlers, encodings, timing } = this;
    return (this.modes[mode] = {
      known: Decoded.for(`${mode} ${encodings?.key ?? 'all'} ${timing?.prices ?? 'functional'}`),
      reader: new EncodingReader(mode, (s, c, a, b) => handlers.kind(s, c, a, b), encodings, timing === undefined ? undefined : (i) => timing.timed(i)),
    });
  }

  /**
   * Decodes a run of the page and enters its instructions in the page structure.
   * @param bytesAt linear-memory address of the page @param off offset of the first instruction
   * @returns the first record
   */
  run(page: number, hpaPage: number, bytesAt: number, off: number, mode: number): number {
    const { u32, u8, i32 } = this.m, { handlers } = this, { known } = this.mode(mode);
    const slots = (page + PAGE_HEADER) >>> 2;
    let run = known.run(u8, u32, bytesAt, off, slots);
    if (run === undefined) known.addRun(off, (run = this.decode(bytesAt, off, slots, mode)));
    const { end, why, places, offsets } = run, count = run.handlers.length, straddles = why === 'straddle';
    const first = this.cache.allocate(hpaPage, count + 1), last = first + count * RECORD_BYTES;
    i32.set(run.words, first >>> 2);
    for (let i = 0, at = first >>> 2; i < count; i++, at += WORDS) i32[at] = this.index(run.handlers[i]!);
    for (let i = 0; i < offsets.length; i++) u32[slots + offsets[i]!] = first + places[i]! * RECORD_BYTES;
    this.last(last, end, straddles, why === 'join' ? u32[slots + end]! : 0);
    if (straddles) u32[slots + end] = last;
    handlers.install();
    this.onDecoded?.(page, straddles ? [...offsets, end] : offsets);
    this.cache.cover(hpaPage, off, straddles ? 4096 : end);
    return first;
  }
  private index(h: HandlerInfo | BaseHandler): number {
    return typeof h === 'string' ? this.handlers.base[h] : this.handlers.index(h);
  }

  private decode(bytesAt: number, off: number, slots: number, mode: number): Run {
    const { u32, u8 } = this.m, { draft } = this, { known, reader } = this.mode(mode);
    const handlers: (HandlerInfo | BaseHandler)[] = [], offsets: number[] = [], places: number[] = [], timed: object[] = [], ways: number[] = [];
    let at = off, why: RunEnd = 'length', beyond = 0;
    let decoder: Decoder | undefined;
    while (offsets.length < MAX_RUN) {
      if (at === 4096) why = 'page';
      else if (u32[slots + at] !== 0) why = 'join';
      if (why !== 'length') break;
      let e = known.encoding(u8, bytesAt + at, bytesAt + 4096);
      if (e === undefined) {
        decoder ??= new Decoder(BITNESS[mode as 0], u8.slice(bytesAt + off, bytesAt + 4096), this.encodings?.decoderOptions ?? 0);
        decoder.position = at - off;
        decoder.ip = BigInt(at);
        decoder.decodeOut(this.insn);
        if (decoder.lastError === NO_MORE_BYTES) {
          why = 'straddle';
          break;
        }
        e = reader.read(this.insn, at, decoder, u8, bytesAt + at);
        if (e.anywhere) known.addEncoding(u8, bytesAt + at, e);
      }
      if (e.timed !== undefined) {
        timed.push(e.timed);
        if (at !== off && Math.floor(at / LINE) !== Math.floor(offsets[offsets.length - 1]! / LINE)) {
          draft.fill(0, handlers.length * WORDS, (handlers.length + 1) * WORDS);
          draft[handlers.length * WORDS + OFF] = at;
          handlers.push('line');
        }
      }
      ways.push(fillRecord(draft, handlers.length * WORDS, e, at, u8, bytesAt + at, true));
      offsets.push(at);
      places.push(handlers.push(e.handler) - 1);
      at += e.length;
      if (e.ends) {
        why = 'transfer';
        if (!e.anywhere) beyond = MAX_LENGTH;
        break;
      }
    }
    decoder?.free();
    if (this.timing !== undefined) this.price(this.timing, timed, offsets, ways, new DataView(draft.buffer), places);
    const to = why === 'straddle' ? 4096 : Math.min(4096, at + beyond);
    return { bytes: u8.slice(bytesAt + off, bytesAt + to), words: draft.slice(0, handlers.length * WORDS), handlers, offsets, places, end: at, why };
  }

  private price(timing: RunTiming, run: readonly object[], offsets: readonly number[], ways: readonly number[], v: DataView, places: readonly number[]): void {
    const { costs, hints } = this;
    timing.schedule(run, offsets, ways, costs, hints);
    for (let i = 0; i < run.length; i++) {
      const at = places[i]! * RECORD_BYTES;
      v.setUint16(at + R.cost, costs[i]!, true);
      v.setUint8(at + R.flags, v.getUint8(at + R.flags) | (hints[i]! << RF_HINT_SHIFT));
    }
  }

  /** The record behind a run. */
  private last(record: number, off: number, straddles: boolean, join: number): void {
    const { u32, u16 } = this.m;
    const { base } = this.handlers;
    u32.fill(0, record >>> 2, (record + RECORD_BYTES) >>> 2);
    u32[record >>> 2] = straddles ? base.straddle : join !== 0 ? base.goto : base.pageEnd;
    u16[(record + R.off) >>> 1] = off;
    u32[(record + R.target) >>> 2] = join;
  }

  /**
   * Decodes one instruction from up to 15 bytes into the record at `record`, with a `pageEnd` record behind it.
   * @returns false when the bytes are not enough
   */
  single(bytes: Uint8Array, record: number, off: number, mode: number): boolean {
    const { m } = this, { known, reader } = this.mode(mode);
    let e = known.encoding(bytes, 0, bytes.length);
    if (e === undefined) {
      const decoder = new Decoder(BITNESS[mode as 0], bytes, this.encodings?.decoderOptions ?? 0);
      decoder.ip = BigInt(off);
      decoder.decodeOut(this.insn);
      const short = decoder.lastError === NO_MORE_BYTES;
      if (!short) e = reader.read(this.insn, off, decoder, bytes, 0);
      decoder.free();
      if (e === undefined) return false;
      if (e.anywhere) known.addEncoding(bytes, 0, e);
    }
    const way = fillRecord(m.i32, record >>> 2, e, off, bytes, 0, false);
    m.u32[record >>> 2] = this.index(e.handler);
    if (e.timed !== undefined) this.price(this.timing!, [e.timed], [off], [way], new DataView(m.view.buffer, record, RECORD_BYTES), [0]);
    this.last(record + RECORD_BYTES, off + e.length, false, 0);
    this.handlers.install();
    return true;
  }
}
