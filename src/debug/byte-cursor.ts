/** Reading DWARF's encodings from bytes, in order. DWARF 5 §7.6 "Variable Length Data". Reads past the end throw RangeError. */

export class ByteCursor {
  at = 0;
  private readonly view: DataView;

  constructor(readonly bytes: Uint8Array, at = 0) {
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.at = at;
  }

  u8(): number {
    return this.view.getUint8(this.at++);
  }
  i8(): number {
    return this.view.getInt8(this.at++);
  }
  u16(): number {
    return this.view.getUint16((this.at += 2) - 2, true);
  }
  u32(): number {
    return this.view.getUint32((this.at += 4) - 4, true);
  }
  u64(): bigint {
    return this.view.getBigUint64((this.at += 8) - 8, true);
  }
  /** An unsigned word of 1, 2, 4 or 8 bytes. */
  word(size: number): bigint {
    return size === 8 ? this.u64() : BigInt(size === 4 ? this.u32() : size === 2 ? this.u16() : this.u8());
  }
  /** Offset of a section: 4 bytes, or 8 in the 64-bit format. */
  offset(wide: boolean): number {
    return wide ? Number(this.u64()) : this.u32();
  }
  uleb(): number {
    let value = 0, scale = 1;
    for (;;) {
      const b = this.u8();
      value += (b & 0x7f) * scale;
      if (b < 0x80) return value;
      scale *= 128;
    }
  }
  sleb(): number {
    let value = 0, scale = 1;
    for (;;) {
      const b = this.u8();
      value += (b & 0x7f) * scale;
      scale *= 128;
      if (b < 0x80) return (b & 0x40) !== 0 ? value - scale : value;
    }
  }
  text(): string {
    const from = this.at;
    while (this.u8() !== 0);
    return utf8(this.bytes.subarray(from, this.at - 1));
  }
  skip(n: number): void {
    if (this.at + n > this.bytes.length) throw new RangeError('past the end');
    this.at += n;
  }
}

/** UTF-8 where the host's TextDecoder may not be asked for; bytes that are none are taken one by one. */
function utf8(bytes: Uint8Array): string {
  const plain = String.fromCharCode(...bytes);
  try {
    return decodeURIComponent(escape(plain));
  } catch {
    return plain;
  }
}

/** Each byte as `%xx`. */
const escape = (text: string): string => [...text].map((c) => `%${c.charCodeAt(0).toString(16).padStart(2, '0')}`).join('');
