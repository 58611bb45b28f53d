/**
 * What COM1 said, with the cycle of each byte, kept over time travel: going back shows less of it, going forward again more.
 *
 * A replay writes the same bytes at the same cycles again; the log knows them by that. Input makes another future: `forget` drops
 * what lies ahead.
 */
export class ConsoleLog {
  private bytes = new Uint8Array(4096);
  private cycles = new Float64Array(4096);
  private length = 0;
  /** The next byte that a replay would write, if the log has it. */
  private next = 0;

  add(byte: number, cycle: number): void {
    const { next } = this;
    if (next < this.length ? this.cycles[next] !== cycle : next > 0 && this.cycles[next - 1]! > cycle) this.rewound(cycle - 1);
    if (this.next < this.length) {
      if (this.cycles[this.next] === cycle && this.bytes[this.next] === byte) {
        this.next++;
        return;
      }
      this.length = this.next; // another future than the one remembered
    }
    if (this.length === this.bytes.length) this.grow();
    this.bytes[this.length] = byte;
    this.cycles[this.length++] = cycle;
    this.next = this.length;
  }

  /** The machine stands at `cycle`: what it writes next comes after what it had written by then. */
  rewound(cycle: number): void {
    this.next = this.lengthAt(cycle);
  }
  /** The future will be another one. */
  forget(cycle: number): void {
    this.length = this.next = this.lengthAt(cycle);
  }
  /** Bytes written up to and with a cycle. */
  upTo(cycle: number): Uint8Array {
    return this.bytes.subarray(0, this.lengthAt(cycle));
  }
  private lengthAt(cycle: number): number {
    let low = 0, high = this.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.cycles[middle]! <= cycle) low = middle + 1;
      else high = middle;
    }
    return low;
  }
  private grow(): void {
    const bytes = new Uint8Array(this.bytes.length * 2), cycles = new Float64Array(bytes.length);
    bytes.set(this.bytes);
    cycles.set(this.cycles);
    this.bytes = bytes;
    this.cycles = cycles;
  }
}
