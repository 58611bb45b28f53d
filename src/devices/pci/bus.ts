/**
 * PCI bus 0 and configuration mechanism #1, with the reset control register in between.
 *
 * PCI Local Bus Specification 2.2 §3.2.2.3.2 "Software Generation of Configuration Transactions"; 82371SB data sheet, "RC, Reset
 * Control Register" (port 0xcf9). CONFIG_ADDRESS is written only by a 32-bit access to 0xcf8.
 */

import { allOnes } from '../io-space.js';
import type { PortDevice, Width } from '../ports.js';
import type { PciFunction } from './function.js';

export class PciBus implements PortDevice {
  private readonly functions: (PciFunction | undefined)[] = new Array<undefined>(256).fill(undefined);
  private address = 0;
  private resetControl = 0;

  constructor(private readonly resetSystem: () => void) {}

  /** @param slot device number 0-31; @param fn function number 0-7 */
  add(slot: number, fn: number, pciFunction: PciFunction): void {
    this.functions[(slot << 3) | fn] = pciFunction;
  }

  /** Every function, with its device number. */
  *all(): IterableIterator<{ slot: number; fn: number; device: PciFunction }> {
    for (let i = 0; i < 256; i++) {
      const device = this.functions[i];
      if (device !== undefined) yield { slot: i >> 3, fn: i & 7, device };
    }
  }

  reset(): void {
    this.address = this.resetControl = 0;
    for (const { device } of this.all()) device.resetConfig();
  }

  private get selected(): PciFunction | undefined {
    const { address } = this;
    return address >>> 31 === 1 && ((address >>> 16) & 0xff) === 0 ? this.functions[(address >>> 8) & 0xff] : undefined;
  }

  ioRead(port: number, size: Width): number {
    if (port === 0xcf8 && size === 4) return this.address;
    if (port === 0xcf9 && size === 1) return this.resetControl;
    if (port < 0xcfc) return allOnes(size);
    return this.selected?.readConfig((this.address & 0xfc) + (port & 3), size) ?? allOnes(size);
  }

  ioWrite(port: number, size: Width, value: number): void {
    if (port === 0xcf8 && size === 4) this.address = (value & 0x80ff_fffc) >>> 0;
    else if (port === 0xcf9 && size === 1) {
      if (value & 4 && !(this.resetControl & 4)) this.resetSystem();
      this.resetControl = value & 2;
    } else if (port >= 0xcfc) this.selected?.writeConfig((this.address & 0xfc) + (port & 3), size, value);
  }
}
