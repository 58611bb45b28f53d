/** The VGA's digital-to-analogue converter: 256 colours of 18 bits behind ports 0x3c6-0x3c9 (FreeVGA, "VGA DAC Operation"). */

const READING = 3, WRITING = 0;

export class Dac {
  /** Red, green, blue of each colour, 6 bits each. */
  readonly colours = new Uint8Array(256 * 3);
  mask = 0;
  private state = WRITING;
  private readAt = 0;
  private writeAt = 0;

  reset(): void {
    this.colours.fill(0);
    this.mask = this.state = this.readAt = this.writeAt = 0;
  }

  ioRead(port: number): number {
    switch (port) {
      case 0x3c6: return this.mask;
      case 0x3c7: return this.state;
      case 0x3c8: return Math.floor(this.writeAt / 3);
    }
    const value = this.colours[this.readAt]!;
    this.readAt = (this.readAt + 1) % this.colours.length;
    return value;
  }

  ioWrite(port: number, value: number): void {
    switch (port) {
      case 0x3c6:
        this.mask = value;
        return;
      case 0x3c7:
        this.state = READING;
        this.readAt = 3 * value;
        return;
      case 0x3c8:
        this.state = WRITING;
        this.writeAt = 3 * value;
        return;
    }
    this.colours[this.writeAt] = value & 0x3f;
    this.writeAt = (this.writeAt + 1) % this.colours.length;
  }
}
