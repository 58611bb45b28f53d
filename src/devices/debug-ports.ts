/**
 * Two ports that exist only in emulators: the debug-exit device at 0xf4 and the debug console at 0xe9. They behave as
 * QEMU's isa-debug-exit (4 ports) and Bochs' console.
 */

import type { ByteSink, PortDevice, Width } from './ports.js';

export class DebugExit implements PortDevice {
  /** @param exit receives the value written; the command's exit status is (value << 1) | 1 */
  constructor(private readonly exit: (value: number) => void) {}
  ioRead(): number {
    return 0;
  }
  ioWrite(_port: number, _size: Width, value: number): void {
    this.exit(value);
  }
}

export class DebugConsole implements PortDevice {
  constructor(private readonly sink: ByteSink) {}
  ioRead(): number {
    return 0xe9; // how software finds out that it is there
  }
  ioWrite(_port: number, _size: Width, value: number): void {
    this.sink(value);
  }
}
