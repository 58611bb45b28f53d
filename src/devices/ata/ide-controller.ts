/**
 * The PIIX3 IDE function: two channels at their ISA addresses, bus mastering through BAR 4.
 *
 * Intel 82371SB (PIIX3) data sheet, "IDE Controller (Function 1)". Primary 0x1f0-0x1f7, 0x3f6, IRQ 14; secondary 0x170-0x177, 0x376,
 * IRQ 15. BAR 4: 16 ports, eight for each channel.
 *
 * Deviation: the channels decode their ports whatever the IDETIM registers say; timing registers are kept without effect.
 */

import type { IoSpace } from '../io-space.js';
import type { DeviceClock, DiskBackend, DmaPort, InterruptLine } from '../ports.js';
import { PciFunction } from '../pci/function.js';
import { AtaDrive } from './drive.js';
import { IdeChannel } from './channel.js';

export interface IdeConfig {
  readonly io: IoSpace;
  readonly clock: DeviceClock;
  readonly dma: DmaPort;
  /** Seconds before a command's first byte, and bytes a second. */
  readonly latency: number;
  readonly bytesPerSecond: number;
  /** IRQ 14 and 15. */
  readonly irqs: readonly [InterruptLine, InterruptLine];
  /** Primary master and slave, secondary master and slave. */
  readonly disks: readonly (DiskBackend | undefined)[];
  /** Told of each media access. */
  readonly seen: (lba: number, sectors: number, write: boolean) => void;
}

const CHANNELS = [{ command: 0x1f0, control: 0x3f6 }, { command: 0x170, control: 0x376 }];

export class IdeController {
  readonly function = new PciFunction({ vendor: 0x8086, device: 0x7010, classCode: 0x010180, revision: 0, subsystemVendor: 0x1af4, subsystem: 0x1100 });
  private readonly channels: readonly IdeChannel[];

  constructor(c: IdeConfig) {
    this.function.allowWrites(0x40, [0xff, 0xff, 0xff, 0xff, 0xff]);
    this.function.put16(0x40, 0x8000);
    this.function.put16(0x42, 0x8000);
    this.channels = CHANNELS.map(({ command, control }, n) => {
      const channel = new IdeChannel(command, c.irqs[n], c.dma, () => this.function.busMaster);
      c.io.claimPorts(command, 8, channel, 4);
      c.io.claimPorts(control, 1, channel.controlPort);
      channel.connect([0, 1].map((d) => {
        const backend = c.disks[2 * n + d];
        if (backend === undefined) return undefined;
        return new AtaDrive(backend, `XL${String(2 * n + d).padStart(8, '0')}`, {
          clock: c.clock, latency: c.latency, bytesPerSecond: c.bytesPerSecond, seen: c.seen,
          interrupt: () => channel.interrupt(d), dmaReady: () => channel.tryTransfer(),
        });
      }));
      return channel;
    });
    this.function.ioBar(4, 16, 4, (base) => ({
      ioRead: (port, size) => this.channels[(port - base) >> 3].readBusMaster((port - base) & 7, size),
      ioWrite: (port, size, value) => this.channels[(port - base) >> 3].writeBusMaster((port - base) & 7, size, value),
    }));
  }

  reset(): void {
    for (const channel of this.channels) channel.reset();
  }
}
