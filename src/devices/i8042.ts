/**
 * The keyboard controller, with nothing plugged in, and the system control port 0x92.
 *
 * IBM PS/2 Technical Reference, "Keyboard and Auxiliary Device Controller"; 82371SB data sheet for port 0x92. Ports 0x60, 0x64, 0x92.
 * Systems use it for reset, the A20 gate and to find out that there is no keyboard.
 *
 * Deviations: the A20 gate is stored and read back, but address bit 20 always passes, as on processors without an A20M# pin.
 */

import type { InterruptLine, PortDevice } from './ports.js';

const STATUS_OUTPUT_FULL = 1, STATUS_SYSTEM = 4, STATUS_COMMAND = 8, STATUS_UNLOCKED = 0x10, STATUS_AUX = 0x20, STATUS_TIMEOUT = 0x40;
const OUT_RESET = 1, OUT_A20 = 2;
/** What the controller reports for a device that does not answer. */
const NO_ANSWER = 0xfe;

export class I8042 implements PortDevice {
  private status = STATUS_SYSTEM | STATUS_UNLOCKED;
  private data = 0;
  private commandByte = 0x74; // both interfaces disabled, translation on, system flag
  private outputPort = OUT_RESET | OUT_A20;
  private awaiting = 0;

  constructor(
    private readonly irq1: InterruptLine,
    private readonly irq12: InterruptLine,
    private readonly resetSystem: () => void,
  ) {}

  private reply(value: number, extra = 0): void {
    this.data = value;
    this.status = (this.status & ~(STATUS_AUX | STATUS_TIMEOUT)) | STATUS_OUTPUT_FULL | extra;
    if (extra & STATUS_AUX) this.irq12.set((this.commandByte & 2) !== 0);
    else this.irq1.set((this.commandByte & 1) !== 0);
  }

  ioRead(port: number): number {
    switch (port) {
      case 0x60:
        this.status &= ~(STATUS_OUTPUT_FULL | STATUS_AUX | STATUS_TIMEOUT);
        this.irq1.set(false);
        this.irq12.set(false);
        return this.data;
      case 0x64: return this.status;
      default: return this.outputPort & OUT_A20;
    }
  }

  ioWrite(port: number, _size: number, value: number): void {
    if (port === 0x60) this.writeData(value);
    else if (port === 0x64) this.command(value);
    else {
      this.outputPort = (this.outputPort & ~OUT_A20) | (value & OUT_A20);
      if (value & 1) this.resetSystem();
    }
  }

  private writeData(value: number): void {
    this.status &= ~STATUS_COMMAND;
    const command = this.awaiting;
    this.awaiting = 0;
    switch (command) {
      case 0x60: this.commandByte = value; return;
      case 0xd1:
        this.outputPort = value | OUT_RESET;
        if (!(value & OUT_RESET)) this.resetSystem();
        return;
      case 0xd2: return this.reply(value);
      case 0xd3: return this.reply(value, STATUS_AUX);
      case 0xd4: return this.reply(NO_ANSWER, STATUS_AUX | STATUS_TIMEOUT);
      default: return this.reply(NO_ANSWER, STATUS_TIMEOUT); // to the keyboard that is not there
    }
  }

  private command(value: number): void {
    this.status |= STATUS_COMMAND;
    this.awaiting = 0;
    switch (value) {
      case 0x20: return this.reply(this.commandByte);
      case 0x60: case 0xd1: case 0xd2: case 0xd3: case 0xd4: this.awaiting = value; return;
      case 0xa7: this.commandByte |= 0x20; return;
      case 0xa8: this.commandByte &= ~0x20; return;
      case 0xa9: case 0xab: return this.reply(0); // interface tests: no error found
      case 0xaa: return this.reply(0x55);
      case 0xad: this.commandByte |= 0x10; return;
      case 0xae: this.commandByte &= ~0x10; return;
      case 0xc0: return this.reply(0x80);
      case 0xd0: return this.reply(this.outputPort);
      case 0xdd: this.outputPort &= ~OUT_A20; return;
      case 0xdf: this.outputPort |= OUT_A20; return;
    }
    // 0xf0-0xff pulse output bits low; bit 0 is the processor's reset.
    if ((value & 0xf0) === 0xf0 && !(value & 1)) this.resetSystem();
  }
}
