/**
 * The file that Xen's `xentrace` writes: records of up to seven words, in windows of one processor each.
 *
 * Xen's public/trace.h ("struct t_rec", "Trace classes"). A record is a header (event in bits 27:0, number of extra words in 30:28, bit 31:
 * a time stamp follows), the time stamp counter in two words, and the extra words. A window begins with TRC_TRACE_CPU_CHANGE: the
 * processor, and the bytes that follow.
 *
 * Invariants: the windows of one round stand in the order of the processors, as the readers want it; a round is written when one
 * processor's window is full, so what is held is bounded.
 */

import { type ByteSink, ByteStream } from './byte-stream.js';

const TRC_TRACE_CPU_CHANGE = 0x0001_f003;
const EXTRA_SHIFT = 28, HAS_CYCLES = 0x8000_0000, WINDOW_WORDS = 8192, MOST_WORDS = 10;

export class XentraceRecords {
  private readonly out: ByteStream;
  private readonly windows: Uint32Array[];
  private readonly filled: number[];

  constructor(sink: ByteSink, processors: number) {
    this.out = new ByteStream(sink);
    this.windows = Array.from({ length: processors }, () => new Uint32Array(WINDOW_WORDS));
    this.filled = this.windows.map(() => 0);
  }

  /** @param extra at most seven words */
  record(processor: number, event: number, cycle: number, ...extra: number[]): void {
    if (this.filled[processor]! + MOST_WORDS > WINDOW_WORDS) this.round();
    const words = this.windows[processor]!;
    let at = this.filled[processor]!;
    words[at++] = (HAS_CYCLES | (extra.length << EXTRA_SHIFT) | event) >>> 0;
    words[at++] = cycle % 0x1_0000_0000;
    words[at++] = Math.floor(cycle / 0x1_0000_0000);
    for (const word of extra) words[at++] = word;
    this.filled[processor] = at;
  }
  private round(): void {
    this.windows.forEach((words, processor) => {
      const length = this.filled[processor]!;
      if (length === 0) return;
      this.out.u32((2 << EXTRA_SHIFT) | TRC_TRACE_CPU_CHANGE);
      this.out.u32(processor);
      this.out.u32(4 * length);
      for (let i = 0; i < length; i++) this.out.u32(words[i]!);
      this.filled[processor] = 0;
    });
  }
  finish(): void {
    this.round();
    this.out.flush();
  }
}
