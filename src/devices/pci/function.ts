/**
 * One PCI function: its 256 bytes of configuration space and what its base address registers map.
 *
 * PCI Local Bus Specification 2.2, chapter 6 "Configuration Space": §6.1 "Configuration Space Organization", §6.2.5 "Base Addresses".
 * Invariant: a region is claimed in the I/O space exactly while its BAR holds an address and the command register enables it.
 */

import type { IoSpace, Release } from '../io-space.js';
import type { InterruptLine, MmioDevice, PortDevice, Width } from '../ports.js';

export const PCI_COMMAND = 0x04, PCI_STATUS = 0x06, PCI_BAR0 = 0x10, PCI_INTERRUPT_LINE = 0x3c, PCI_INTERRUPT_PIN = 0x3d;
export const COMMAND_IO = 1, COMMAND_MEMORY = 2, COMMAND_MASTER = 4;
const COMMAND_INTX_DISABLE = 1 << 10, STATUS_INTERRUPT = 1 << 3;

/** Identity, as the configuration header gives it. */
export interface PciIdentity {
  readonly vendor: number;
  readonly device: number;
  /** Class code, subclass and programming interface, 24 bits. */
  readonly classCode: number;
  readonly revision: number;
  readonly subsystemVendor?: number;
  readonly subsystem?: number;
  /** INTA-INTD as 1-4; 0 = the function has no interrupt. */
  readonly interruptPin?: number;
  /** The device has more than one function. */
  readonly multifunction?: boolean;
}

interface Bar {
  readonly index: number;
  readonly size: number;
  readonly io: boolean;
  readonly claim: (space: IoSpace, base: number) => Release;
  release: Release | undefined;
  at: number;
}

export class PciFunction {
  readonly config = new Uint8Array(256);
  private readonly writable = new Uint8Array(256);
  /** Bits that a one written clears. */
  private readonly writeOneClears = new Uint8Array(256);
  private readonly bars: Bar[] = [];
  private space: IoSpace | undefined;
  private intx: InterruptLine | undefined;
  private asserted = false;
  /** Called after each write, with the first byte's offset: for registers with an effect of their own. */
  onConfigWrite: ((offset: number, size: Width) => void) | undefined;

  constructor(identity: PciIdentity) {
    this.put16(0x00, identity.vendor);
    this.put16(0x02, identity.device);
    this.config[0x08] = identity.revision;
    this.config[0x09] = identity.classCode & 0xff;
    this.put16(0x0a, identity.classCode >> 8);
    this.config[0x0e] = identity.multifunction ? 0x80 : 0;
    this.put16(0x2c, identity.subsystemVendor ?? 0);
    this.put16(0x2e, identity.subsystem ?? 0);
    this.config[PCI_INTERRUPT_PIN] = identity.interruptPin ?? 0;
    this.allowWrites(PCI_COMMAND, [0x07, 0x05]); // I/O, memory, master, SERR#, INTx disable
    this.allowWrites(0x0c, [0xff, 0xff]); // cache line size, latency timer
    this.allowWrites(PCI_INTERRUPT_LINE, [0xff]);
    this.writeOneClears[PCI_STATUS + 1] = 0xf9;
  }

  put16(offset: number, value: number): void {
    this.config[offset] = value & 0xff;
    this.config[offset + 1] = value >> 8;
  }
  get16(offset: number): number {
    return this.config[offset] | (this.config[offset + 1] << 8);
  }
  get32(offset: number): number {
    return (this.get16(offset) | (this.get16(offset + 2) << 16)) >>> 0;
  }

  /** Makes bits of successive bytes writable. */
  allowWrites(offset: number, masks: readonly number[]): void {
    masks.forEach((mask, i) => (this.writable[offset + i] = mask));
  }

  /** Gives BAR `index` to a memory-mapped device. `size` is a power of two of at least 16 bytes. */
  memoryBar(index: number, size: number, device: MmioDevice): void {
    this.addBar({ index, size, io: false, claim: (space, base) => space.claimMmio(base, size, device), release: undefined, at: -1 });
  }

  /** Gives BAR `index` to a device behind ports; `factory` makes the device for a base port. */
  ioBar(index: number, size: number, width: Width, device: (base: number) => PortDevice): void {
    this.addBar({ index, size, io: true, claim: (space, base) => space.claimPorts(base, size, device(base), width), release: undefined, at: -1 });
  }

  private addBar(bar: Bar): void {
    this.bars.push(bar);
    const offset = PCI_BAR0 + 4 * bar.index, mask = ~(bar.size - 1) >>> 0;
    this.config[offset] = bar.io ? 1 : 0;
    this.allowWrites(offset, [mask & 0xff, (mask >>> 8) & 0xff, (mask >>> 16) & 0xff, mask >>> 24]);
  }

  /** Size and kind of each BAR, for firmware that assigns addresses. */
  get regions(): readonly { readonly index: number; readonly size: number; readonly io: boolean }[] {
    return this.bars;
  }

  connect(space: IoSpace, intx: InterruptLine): void {
    this.space = space;
    this.intx = intx;
  }

  /** RST#: command, BARs and interrupt line return to zero. */
  resetConfig(): void {
    this.put16(PCI_COMMAND, 0);
    for (const bar of this.bars) for (let i = 0; i < 4; i++) this.config[PCI_BAR0 + 4 * bar.index + i] &= ~this.writable[PCI_BAR0 + 4 * bar.index + i];
    this.config[PCI_INTERRUPT_LINE] = 0;
    this.setInterrupt(false);
    this.remap();
  }

  get busMaster(): boolean {
    return (this.config[PCI_COMMAND] & COMMAND_MASTER) !== 0;
  }

  /** Drives the function's INTx pin. */
  setInterrupt(asserted: boolean): void {
    this.asserted = asserted;
    this.driveIntx();
  }

  private driveIntx(): void {
    this.config[PCI_STATUS] = this.asserted ? this.config[PCI_STATUS] | STATUS_INTERRUPT : this.config[PCI_STATUS] & ~STATUS_INTERRUPT;
    this.intx?.set(this.asserted && (this.get16(PCI_COMMAND) & COMMAND_INTX_DISABLE) === 0);
  }

  readConfig(offset: number, size: Width): number {
    let value = 0;
    for (let i = 0; i < size; i++) value |= this.config[offset + i] << (8 * i);
    return value >>> 0;
  }

  writeConfig(offset: number, size: Width, value: number): void {
    for (let i = 0; i < size; i++) {
      const at = offset + i, byte = (value >>> (8 * i)) & 0xff, mask = this.writable[at];
      this.config[at] = ((this.config[at] & ~mask) | (byte & mask)) & ~(byte & this.writeOneClears[at]);
    }
    if (offset < 0x28) this.remap();
    if (offset < 0x08) this.driveIntx();
    this.onConfigWrite?.(offset, size);
  }

  private remap(): void {
    const command = this.config[PCI_COMMAND];
    for (const bar of this.bars) {
      const base = (this.get32(PCI_BAR0 + 4 * bar.index) & ~(bar.size - 1)) >>> 0;
      const enabled = (command & (bar.io ? COMMAND_IO : COMMAND_MEMORY)) !== 0 && base !== 0;
      const at = enabled && !(bar.io && base > 0xffff) ? base : -1;
      if (at === bar.at) continue;
      bar.release?.();
      bar.at = at;
      bar.release = at < 0 || this.space === undefined ? undefined : bar.claim(this.space, at);
    }
  }
}
