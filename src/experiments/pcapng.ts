/** Captures of the wire in the pcapng format. IETF draft "PCAP Next Generation (pcapng) Capture File Format"; time stamps in nanoseconds. */

const SHB = 0x0a0d0d0a, IDB = 1, EPB = 6, BYTE_ORDER = 0x1a2b3c4d, LINKTYPE_ETHERNET = 1, OPT_TSRESOL = 9, OPT_END = 0;

/** A capture that is written as it comes: nothing is kept. */
export class PcapngWriter {
  /**
   * @param frequencyHz cycles a second: time stamps are cycles since power-on
   * @param sink takes each block of the file, in order
   */
  constructor(private readonly frequencyHz: number, private readonly sink: (block: Uint8Array) => void) {
    this.block(SHB, 16, (v) => {
      v.setUint32(0, BYTE_ORDER, true);
      v.setUint16(4, 1, true);
      v.setBigInt64(8, -1n, true);
    });
    this.block(IDB, 20, (v) => {
      v.setUint16(0, LINKTYPE_ETHERNET, true);
      v.setUint16(8, OPT_TSRESOL, true);
      v.setUint16(10, 1, true);
      v.setUint8(12, 9);
      v.setUint16(16, OPT_END, true);
    });
  }

  private block(type: number, bodyBytes: number, fill: (v: DataView) => void): void {
    const length = 12 + bodyBytes;
    const bytes = new Uint8Array(length), v = new DataView(bytes.buffer);
    v.setUint32(0, type, true);
    v.setUint32(4, length, true);
    fill(new DataView(bytes.buffer, 8, bodyBytes));
    v.setUint32(length - 4, length, true);
    this.sink(bytes);
  }

  add(frame: Uint8Array, cycle: number): void {
    const ns = BigInt(Math.round((cycle * 1e9) / this.frequencyHz));
    const padded = (frame.length + 3) & ~3;
    this.block(EPB, 20 + padded, (v) => {
      v.setUint32(4, Number(ns >> 32n), true);
      v.setUint32(8, Number(ns & 0xffff_ffffn), true);
      v.setUint32(12, frame.length, true);
      v.setUint32(16, frame.length, true);
      new Uint8Array(v.buffer, v.byteOffset + 20, frame.length).set(frame);
    });
  }
}
