/**
 * The card's 64-word serial EEPROM and its two interfaces, and the copper PHY behind MDIC.
 *
 * Software Developer's Manual chapter 5 "EEPROM Interface", §13.4.3 "EEPROM/Flash Control & Data Register", §13.4.4 "EEPROM Read
 * Register"; Microwire protocol of the 93C46. PHY: IEEE 802.3 clause 22 registers; identification of the 88E1000.
 */

const EECD_SK = 1, EECD_CS = 2, EECD_DI = 4, EECD_DO = 8, EECD_REQUEST = 0x40, EECD_GRANT = 0x80, EECD_PRESENT = 0x100;
const EERD_START = 1, EERD_DONE = 0x10;
/** Start bit and opcode of a read, then six address bits. */
const READ_OPCODE = 6, ADDRESS_BITS = 6, COMMAND_BITS = 3 + ADDRESS_BITS;
/** All words sum to this. */
const CHECKSUM = 0xbaba;

export class Eeprom {
  private readonly words = new Uint16Array(64).fill(0xffff);
  private control = 0;
  private shiftIn = 0;
  private bitsIn = 0;
  private reading = false;
  /** Bit of the memory that DO shows, while reading; one less until the clock falls. */
  private bitOut = 0;
  private readWord = 0;

  constructor(mac: readonly number[], vendor: number, device: number) {
    for (let i = 0; i < 3; i++) this.words[i] = mac[2 * i] | (mac[2 * i + 1] << 8);
    this.words.set([0x0000, 0xffff, 0x0000, 0x0000, 0x0000, 0x3000, 0x1000, 0x6403, device, vendor, device, vendor, 0x3040], 3);
    let sum = 0;
    for (let i = 0; i < 63; i++) sum += this.words[i];
    this.words[63] = CHECKSUM - sum;
  }

  get mac(): number[] {
    return [0, 1, 2].flatMap((i) => [this.words[i] & 0xff, this.words[i] >> 8]);
  }

  /** EECD: the Microwire pins. */
  get pins(): number {
    const out = !this.reading || (this.words[(this.bitOut >> 4) & 63] >> (15 - (this.bitOut & 15))) & 1 ? EECD_DO : 0;
    return this.control | EECD_PRESENT | out | (this.control & EECD_REQUEST ? EECD_GRANT : 0);
  }
  set pins(value: number) {
    const old = this.control;
    this.control = value & (EECD_SK | EECD_CS | EECD_DI | EECD_REQUEST);
    if (!(value & EECD_CS)) {
      this.shiftIn = this.bitsIn = 0;
      this.reading = false;
      return;
    }
    const rising = value & ~old & EECD_SK, falling = ~value & old & EECD_SK;
    if (falling && this.reading) this.bitOut++;
    if (!rising || this.reading) return;
    const bit = value & EECD_DI ? 1 : 0;
    if (this.bitsIn === 0 && bit === 0) return; // still waiting for the start bit
    this.shiftIn = (this.shiftIn << 1) | bit;
    // The word's first bit follows the falling edge of the clock that took the last address bit.
    if (++this.bitsIn !== COMMAND_BITS || this.shiftIn >> ADDRESS_BITS !== READ_OPCODE) return;
    this.reading = true;
    this.bitOut = ((this.shiftIn & 63) << 4) - 1;
  }

  /** EERD: one word at a time; done at once. */
  get read(): number {
    return this.readWord;
  }
  set read(value: number) {
    const address = (value >> 8) & 0xff;
    this.readWord = value & EERD_START ? (this.words[address & 63] << 16) | (address << 8) | EERD_DONE : value & ~EERD_DONE;
  }
}

const PHY_CONTROL = 0, PHY_RESET = 0x8000, PHY_RESTART = 0x0200;
const MDIC_WRITE = 1, MDIC_READ = 2, MDIC_READY = 1 << 28, MDIC_ERROR = 1 << 30, MDIC_INTERRUPT = 1 << 29;
const PHY_ADDRESS = 1;
const PHY_DEFAULT: Readonly<Record<number, number>> = {
  0: 0x1140, 1: 0x796d, 2: 0x0141, 3: 0x0c20, 4: 0x0de1, 5: 0xcde1, 6: 0x000f, 9: 0x0e00, 10: 0x3c00, 15: 0x3000, 16: 0x0360, 17: 0xac00, 20: 0x0d60,
};
/** Status registers cannot be written. */
const PHY_READ_ONLY = new Set([1, 2, 3, 5, 6, 10, 15, 17]);

export class Phy {
  private readonly registers = new Uint16Array(32);
  private mdic = MDIC_READY;

  constructor() {
    this.reset();
  }

  reset(): void {
    this.registers.fill(0);
    for (const [r, v] of Object.entries(PHY_DEFAULT)) this.registers[Number(r)] = v;
  }

  get command(): number {
    return this.mdic;
  }

  /** A write of MDIC. Returns whether the access asks for an interrupt, and whether the link was renegotiated. */
  execute(value: number): { interrupt: boolean; relinked: boolean } {
    const register = (value >> 16) & 31, operation = (value >> 26) & 3;
    let result = value & 0x0fff_ffff, relinked = false;
    if (((value >> 21) & 31) !== PHY_ADDRESS) result |= MDIC_ERROR;
    else if (operation === MDIC_READ) result = (result & ~0xffff) | this.registers[register];
    else if (operation === MDIC_WRITE && !PHY_READ_ONLY.has(register)) {
      const written = value & 0xffff;
      if (register === PHY_CONTROL) {
        if (written & PHY_RESET) this.reset();
        else this.registers[PHY_CONTROL] = written & ~PHY_RESTART;
        relinked = (written & (PHY_RESET | PHY_RESTART)) !== 0;
      } else this.registers[register] = written;
    }
    this.mdic = result | MDIC_READY;
    return { interrupt: (value & MDIC_INTERRUPT) !== 0, relinked };
  }
}
