/** A growing byte buffer with the encodings of the WebAssembly binary format (LEB128, names, vectors). */
export class Bytes {
  private buffer: Uint8Array;
  length = 0;

  constructor(capacity = 256) {
    this.buffer = new Uint8Array(capacity);
  }

  private room(n: number): void {
    if (this.length + n <= this.buffer.length) return;
    const grown = new Uint8Array(Math.max(this.buffer.length * 2, this.length + n));
    grown.set(this.buffer.subarray(0, this.length));
    this.buffer = grown;
  }
  u8(v: number): this {
    this.room(1);
    this.buffer[this.length++] = v;
    return this;
  }
  raw(bytes: ArrayLike<number>): this {
    this.room(bytes.length);
    this.buffer.set(bytes, this.length);
    this.length += bytes.length;
    return this;
  }
  append(other: Bytes): this {
    return this.raw(other.view());
  }
  /** Unsigned LEB128 of a number below 2^32. */
  u32(v: number): this {
    v >>>= 0;
    this.room(5);
    while (v > 0x7f) {
      this.buffer[this.length++] = (v & 0x7f) | 0x80;
      v >>>= 7;
    }
    this.buffer[this.length++] = v;
    return this;
  }
  name(text: string): this {
    this.u32(text.length);
    for (let i = 0; i < text.length; i++) this.u8(text.charCodeAt(i));
    return this;
  }
  view(): Uint8Array {
    return this.buffer.subarray(0, this.length);
  }
}
