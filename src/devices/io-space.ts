/**
 * Which device answers at which I/O port and at which physical address.
 *
 * Invariants: dispatch neither allocates nor builds keys; the device that claimed an address first keeps it until it releases it
 * (a BAR moved over another device does not hide that one). What nobody claims reads as all ones and swallows writes.
 */

import type { MmioDevice, PortDevice, Width } from './ports.js';

/** Gives back what was claimed. */
export type Release = () => void;

interface PortClaim {
  readonly device: PortDevice;
  /** Widest access the device takes whole; wider ones reach it as single bytes at successive ports, low byte first. */
  readonly width: Width;
}

interface MmioClaim {
  readonly base: number;
  readonly end: number;
  readonly device: MmioDevice;
}

export const allOnes = (size: Width): number => (size === 4 ? 0xffff_ffff : size === 2 ? 0xffff : 0xff);

export class IoSpace {
  /** Per port: index into `claims`, 0 = nobody. */
  private readonly portTable = new Uint16Array(0x10000);
  private readonly claims: (PortClaim | undefined)[] = [undefined];
  private ranges: MmioClaim[] = [];
  private last: MmioClaim | undefined;

  /** Claims ports `base` to `base + count - 1`. */
  claimPorts(base: number, count: number, device: PortDevice, width: Width = 1): Release {
    const index = this.claims.push({ device, width }) - 1;
    const taken: number[] = [];
    for (let port = base; port < base + count && port < 0x10000; port++)
      if (this.portTable[port] === 0) {
        this.portTable[port] = index;
        taken.push(port);
      }
    return () => {
      for (const port of taken) this.portTable[port] = 0;
    };
  }

  /** Claims physical addresses `base` to `base + size - 1`. */
  claimMmio(base: number, size: number, device: MmioDevice): Release {
    const claim = { base, end: base + size, device };
    this.ranges = [...this.ranges, claim];
    return () => {
      this.ranges = this.ranges.filter((r) => r !== claim);
      this.last = undefined;
    };
  }

  ioRead(port: number, size: Width): number {
    const claim = this.claims[this.portTable[port]];
    if (claim !== undefined && size <= claim.width) return claim.device.ioRead(port, size) >>> 0;
    if (size === 1) return 0xff;
    let value = 0;
    for (let i = 0; i < size; i++) value |= this.ioRead((port + i) & 0xffff, 1) << (8 * i);
    return value >>> 0;
  }

  ioWrite(port: number, size: Width, value: number): void {
    const claim = this.claims[this.portTable[port]];
    if (claim !== undefined && size <= claim.width) return claim.device.ioWrite(port, size, value >>> 0);
    if (size === 1) return;
    for (let i = 0; i < size; i++) this.ioWrite((port + i) & 0xffff, 1, (value >>> (8 * i)) & 0xff);
  }

  mmioRead(hpa: number, size: Width): number {
    const claim = this.find(hpa);
    return claim === undefined ? allOnes(size) : claim.device.mmioRead(hpa - claim.base, size) >>> 0;
  }

  mmioWrite(hpa: number, size: Width, value: number): void {
    const claim = this.find(hpa);
    claim?.device.mmioWrite(hpa - claim.base, size, value >>> 0);
  }

  private find(hpa: number): MmioClaim | undefined {
    const { last } = this;
    if (last !== undefined && hpa >= last.base && hpa < last.end) return last;
    for (const r of this.ranges) if (hpa >= r.base && hpa < r.end) return (this.last = r);
    return undefined;
  }
}
