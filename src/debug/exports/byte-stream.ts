/**
 * Bytes on their way to a file. A writer fills one buffer and hands it to the sink when it is full.
 *
 * Invariant: what is held is bounded by CHUNK_BYTES, however long the trace.
 */

/** Takes a piece of the file, in order; the bytes are the writer's again when it returns. */
export type ByteSink = (chunk: Uint8Array) => void;

const CHUNK_BYTES = 65536;

export class ByteStream {
  private readonly chunk = new Uint8Array(CHUNK_BYTES);
  private readonly view = new DataView(this.chunk.buffer);
  private filled = 0;

  constructor(private readonly sink: ByteSink) {}

  /** Makes room for `bytes` more, at most CHUNK_BYTES; returns where. */
  private room(bytes: number): number {
    if (this.filled + bytes > CHUNK_BYTES) this.flush();
    const at = this.filled;
    this.filled += bytes;
    return at;
  }
  u32(value: number): void {
    this.view.setUint32(this.room(4), value >>> 0, true);
  }
  /** A natural number below 2^53, or a negative one's two's complement. */
  u64(value: number): void {
    this.u32(value % 0x1_0000_0000);
    this.u32(Math.floor(value / 0x1_0000_0000));
  }
  bytes(data: Uint8Array): void {
    for (let done = 0; done < data.length; ) {
      const n = Math.min(data.length - done, CHUNK_BYTES), at = this.room(n);
      this.chunk.set(data.subarray(done, done + n), at);
      done += n;
    }
  }
  /** Text, one byte a character below 256; others become a question mark. */
  text(line: string): void {
    const out = new Uint8Array(line.length);
    for (let i = 0; i < line.length; i++) {
      const code = line.charCodeAt(i);
      out[i] = code < 256 ? code : 63;
    }
    this.bytes(out);
  }
  flush(): void {
    if (this.filled > 0) this.sink(this.chunk.subarray(0, this.filled));
    this.filled = 0;
  }
}
