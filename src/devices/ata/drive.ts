/**
 * One ATA disk: the command register block, and the commands.
 *
 * ATA/ATAPI-7 volume 1 (commands) and volume 2 (PIO and DMA protocols: §9.5-9.8 "PIO data-in", "PIO data-out", "Non-data", "DMA").
 * Each command costs the drive's latency, and its data the drive's rate; a PIO transfer asks for the next block as soon as the
 * medium has delivered it.
 *
 * Invariant: while BSY is set exactly one event is pending, and the command block ignores writes.
 */

import type { DeviceClock, DiskBackend, Scheduled } from '../ports.js';
import { HEADS, identifyData, MAX_MULTIPLE, SECTORS_PER_TRACK } from './identify.js';

export const ERR = 0x01, DRQ = 0x08, DSC = 0x10, DF = 0x20, DRDY = 0x40, BSY = 0x80;
const READY = DRDY | DSC;
const ERROR_ABORT = 0x04, ERROR_ID_NOT_FOUND = 0x10, ERROR_UNCORRECTABLE = 0x40;
const DEVICE_LBA = 0x40;
const SECTOR = 512;

/** Register offsets in the command block. */
export const REG = { data: 0, error: 1, features: 1, count: 2, low: 3, mid: 4, high: 5, device: 6, status: 7, command: 7 } as const;

export interface DriveHost {
  readonly clock: DeviceClock;
  /** INTRQ is to be asserted. */
  interrupt(): void;
  /** The drive's data are ready for the bus master (or wanted from it): it calls `dmaData`. */
  dmaReady(): void;
  /** A media access begins. */
  seen(lba: number, sectors: number, write: boolean): void;
  /** Seconds before a command's first byte, and bytes a second. */
  readonly latency: number;
  readonly bytesPerSecond: number;
}

interface Transfer {
  readonly write: boolean;
  lba: number;
  /** Sectors left, the block in the buffer included. */
  left: number;
  readonly block: number;
  /** The buffer's contents do not come from the medium (IDENTIFY). */
  readonly internal: boolean;
}

export class AtaDrive {
  status = READY;
  error = 1;
  private features = 0;
  /** Count, LBA low, mid, high: the last value written and the one before it (48-bit commands use both). */
  private readonly current = [0, 0, 0, 0];
  private readonly previous = [0, 0, 0, 0];
  private deviceRegister = 0;
  private multiple = 0;
  private transferMode = 0x45;
  private writeCache = true;
  private transfer: Transfer | undefined;
  private buffer: Uint8Array = new Uint8Array(0);
  private at = 0;
  private event: Scheduled | undefined;
  /** Cycle at which the medium has delivered what was asked so far. */
  private mediumAt = 0;
  private dma: { readonly write: boolean; readonly lba: number; readonly sectors: number } | undefined;

  constructor(
    private readonly backend: DiskBackend,
    private readonly serial: string,
    private readonly host: DriveHost,
  ) {
    this.signature();
  }

  /** Power-on or software reset. ATA/ATAPI-7 §9.16 "Signature and persistence". */
  reset(): void {
    this.host.clock.cancel(this.event);
    this.transfer = this.dma = undefined;
    this.multiple = 0;
    this.status = READY;
    this.error = 1; // diagnostics passed
    this.signature();
  }

  private signature(): void {
    this.current.splice(0, 4, 1, 1, 0, 0);
    this.previous.fill(0);
    this.deviceRegister = 0;
  }

  readRegister(register: number, highOrder: boolean): number {
    switch (register) {
      case REG.error: return this.error;
      case REG.device: return this.deviceRegister | 0xa0;
      case REG.status: return this.status;
      default: return (highOrder ? this.previous : this.current)[register - REG.count];
    }
  }

  writeRegister(register: number, value: number): void {
    if (this.status & BSY) return;
    if (register === REG.features) this.features = value;
    else if (register === REG.device) this.deviceRegister = value;
    else {
      this.previous[register - REG.count] = this.current[register - REG.count];
      this.current[register - REG.count] = value;
    }
  }

  // --- ends of commands -----------------------------------------------------------------------------------------------------

  private later(seconds: number, action: () => void): void {
    const { clock } = this.host;
    this.status = BSY | (this.status & DSC);
    this.event = clock.schedule(clock.now() + Math.round(seconds * clock.frequencyHz), action);
  }

  private finish(): void {
    this.transfer = this.dma = undefined;
    this.status = READY;
    this.error = 0;
    this.host.interrupt();
  }

  private fail(error: number): void {
    this.transfer = this.dma = undefined;
    this.status = READY | ERR;
    this.error = error;
    this.host.interrupt();
  }

  // --- addresses ------------------------------------------------------------------------------------------------------------

  private address(wide: boolean): { lba: number; sectors: number } {
    const [count, low, mid, high] = this.current;
    if (wide) {
      const [c1, l1, m1, h1] = this.previous;
      return { lba: (h1 * 256 + m1) * 2 ** 32 + l1 * 2 ** 24 + (high << 16) + (mid << 8) + low, sectors: (c1 << 8) + count || 65536 };
    }
    const head = this.deviceRegister & 15, sectors = count || 256;
    if (this.deviceRegister & DEVICE_LBA) return { lba: (head << 24) + (high << 16) + (mid << 8) + low, sectors };
    return { lba: (((high << 8) | mid) * HEADS + head) * SECTORS_PER_TRACK + low - 1, sectors };
  }

  /** Shows `lba` in the registers, as drives do at the end of a command. */
  private showAddress(lba: number): void {
    this.current[1] = lba & 0xff;
    this.current[2] = (lba >>> 8) & 0xff;
    this.current[3] = (lba >>> 16) & 0xff;
  }

  /** Checks the range; a command outside the disk fails with "ID not found". */
  private inRange(lba: number, sectors: number): boolean {
    if (lba >= 0 && lba + sectors <= this.backend.sectors) return true;
    this.fail(ERROR_ID_NOT_FOUND);
    return false;
  }

  /** Runs a store's operation; what the host's file refuses is an uncorrectable error of the medium. */
  private media(operation: () => void): boolean {
    try {
      operation();
      return true;
    } catch {
      this.fail(ERROR_UNCORRECTABLE);
      return false;
    }
  }

  // --- commands -------------------------------------------------------------------------------------------------------------

  command(code: number): void {
    if (this.status & BSY) return;
    this.transfer = this.dma = undefined;
    this.error = 0;
    switch (code) {
      case 0x20: case 0x21: return this.pioRead(false, 1);
      case 0x24: return this.pioRead(true, 1);
      case 0xc4: return this.pioRead(false, this.multiple);
      case 0x29: return this.pioRead(true, this.multiple);
      case 0x30: case 0x31: return this.pioWrite(false, 1);
      case 0x34: return this.pioWrite(true, 1);
      case 0xc5: return this.pioWrite(false, this.multiple);
      case 0x39: return this.pioWrite(true, this.multiple);
      case 0xc8: case 0xc9: return this.startDma(false, false);
      case 0x25: return this.startDma(true, false);
      case 0xca: case 0xcb: return this.startDma(false, true);
      case 0x35: return this.startDma(true, true);
      case 0x40: case 0x41: return this.verify(false);
      case 0x42: return this.verify(true);
      case 0xe7: case 0xea: return this.later(this.host.latency, () => this.media(() => this.backend.flush()) && this.finish());
      case 0xec: return this.identify();
      case 0xc6: return this.setMultiple();
      case 0xef: return this.setFeatures();
      case 0x90:
        this.reset();
        return this.host.interrupt();
      case 0xe5: case 0x98: // CHECK POWER MODE: active
        this.current[0] = 0xff;
        return this.finish();
      case 0xf8: // READ NATIVE MAX ADDRESS
        this.showAddress(Math.min(this.backend.sectors, 0x0fff_ffff) - 1);
        this.deviceRegister = (this.deviceRegister & 0xf0) | ((Math.min(this.backend.sectors, 0x0fff_ffff) - 1) >>> 24);
        return this.finish();
      case 0x91: // INITIALIZE DEVICE PARAMETERS: the one geometry
        return (this.deviceRegister & 15) === HEADS - 1 && this.current[0] === SECTORS_PER_TRACK ? this.finish() : this.fail(ERROR_ABORT);
      case 0xe0: case 0xe1: case 0xe2: case 0xe3: case 0x94: case 0x95: case 0x96: case 0x97: return this.finish(); // standby, idle
    }
    if (code >> 4 === 1 || code >> 4 === 7) return this.finish(); // RECALIBRATE, SEEK
    this.fail(ERROR_ABORT);
  }

  private identify(): void {
    this.buffer = identifyData(this.backend.sectors, this.serial, { multiple: this.multiple, transferMode: this.transferMode, writeCache: this.writeCache });
    this.transfer = { write: false, lba: 0, left: 1, block: 1, internal: true };
    this.at = 0;
    this.status = READY | DRQ;
    this.host.interrupt();
  }

  private setMultiple(): void {
    const n = this.current[0];
    if (n > MAX_MULTIPLE || (n & (n - 1)) !== 0) return this.fail(ERROR_ABORT);
    this.multiple = n;
    this.finish();
  }

  private setFeatures(): void {
    const mode = this.current[0];
    switch (this.features) {
      case 0x02: case 0x82: // write cache on, off
        this.writeCache = this.features === 0x02;
        return this.finish();
      case 0x03: // transfer mode: PIO 0-4, multiword DMA 0-2, Ultra DMA 0-5
        if (mode > 1 && (mode < 8 || mode > 12) && (mode < 0x20 || mode > 0x22) && (mode < 0x40 || mode > 0x45)) return this.fail(ERROR_ABORT);
        if (mode >= 0x20) this.transferMode = mode;
        return this.finish();
      case 0x55: case 0x66: case 0xaa: case 0xcc: return this.finish(); // look-ahead, power-on defaults
      default: return this.fail(ERROR_ABORT);
    }
  }

  private verify(wide: boolean): void {
    const { lba, sectors } = this.address(wide);
    if (!this.inRange(lba, sectors)) return;
    this.host.seen(lba, sectors, false);
    this.later(this.host.latency + (sectors * SECTOR) / this.host.bytesPerSecond, () => this.finish());
  }

  // --- PIO ------------------------------------------------------------------------------------------------------------------

  private pioRead(wide: boolean, block: number): void {
    if (block === 0) return this.fail(ERROR_ABORT);
    const { lba, sectors } = this.address(wide);
    if (!this.inRange(lba, sectors)) return;
    this.host.seen(lba, sectors, false);
    this.transfer = { write: false, lba, left: sectors, block, internal: false };
    this.mediumAt = this.host.clock.now() + this.host.latency * this.host.clock.frequencyHz;
    this.fetchBlock(this.transfer);
  }

  private fetchBlock(t: Transfer): void {
    const { clock, bytesPerSecond } = this.host, sectors = Math.min(t.block, t.left);
    this.mediumAt += ((sectors * SECTOR) / bytesPerSecond) * clock.frequencyHz;
    this.later(Math.max(0, this.mediumAt - clock.now()) / clock.frequencyHz, () => {
      this.buffer = new Uint8Array(sectors * SECTOR);
      if (!this.media(() => this.backend.read(t.lba, this.buffer))) return;
      this.at = 0;
      this.status = READY | DRQ;
      this.host.interrupt();
    });
  }

  private pioWrite(wide: boolean, block: number): void {
    if (block === 0) return this.fail(ERROR_ABORT);
    const { lba, sectors } = this.address(wide);
    if (!this.inRange(lba, sectors)) return;
    this.host.seen(lba, sectors, true);
    this.transfer = { write: true, lba, left: sectors, block, internal: false };
    this.wantBlock(this.transfer);
  }

  private wantBlock(t: Transfer): void {
    this.buffer = new Uint8Array(Math.min(t.block, t.left) * SECTOR);
    this.at = 0;
    this.status = READY | DRQ;
  }

  /** The data port, `size` bytes at once. */
  readData(size: number): number {
    const t = this.transfer;
    if (t === undefined || t.write || !(this.status & DRQ)) return 0;
    let value = 0;
    for (let i = 0; i < size; i++) value |= (this.buffer[this.at++] ?? 0) << (8 * i);
    if (this.at >= this.buffer.length) this.blockRead(t);
    return value >>> 0;
  }

  private blockRead(t: Transfer): void {
    const sectors = this.buffer.length / SECTOR;
    t.left -= sectors;
    t.lba += sectors;
    if (t.left > 0) return this.fetchBlock(t);
    if (!t.internal) this.showAddress(t.lba - 1);
    this.transfer = undefined;
    this.status = READY;
  }

  writeData(size: number, value: number): void {
    const t = this.transfer;
    if (t === undefined || !t.write || !(this.status & DRQ)) return;
    for (let i = 0; i < size && this.at < this.buffer.length; i++) this.buffer[this.at++] = value >>> (8 * i);
    if (this.at >= this.buffer.length) this.blockWritten(t);
  }

  private blockWritten(t: Transfer): void {
    const sectors = this.buffer.length / SECTOR, last = sectors === t.left;
    this.later((sectors * SECTOR) / this.host.bytesPerSecond + (last ? this.host.latency : 0), () => {
      if (!this.media(() => this.backend.write(t.lba, this.buffer))) return;
      t.left -= sectors;
      t.lba += sectors;
      if (last) {
        this.showAddress(t.lba - 1);
        return this.finish();
      }
      this.wantBlock(t);
      this.host.interrupt();
    });
  }

  // --- DMA ------------------------------------------------------------------------------------------------------------------

  private startDma(wide: boolean, write: boolean): void {
    const { lba, sectors } = this.address(wide);
    if (!this.inRange(lba, sectors)) return;
    this.host.seen(lba, sectors, write);
    this.later(this.host.latency + (sectors * SECTOR) / this.host.bytesPerSecond, () => {
      this.dma = { write, lba, sectors };
      this.status = READY | DRQ;
      this.host.dmaReady();
    });
  }

  /** The transfer that waits for the bus master: its direction and length in bytes. */
  get dmaRequest(): { readonly write: boolean; readonly bytes: number } | undefined {
    return this.dma === undefined ? undefined : { write: this.dma.write, bytes: this.dma.sectors * SECTOR };
  }

  /** Data for memory, or undefined when the medium failed (the command has ended then). */
  dmaRead(): Uint8Array | undefined {
    const { lba, sectors } = this.dma!, bytes = new Uint8Array(sectors * SECTOR);
    return this.media(() => this.backend.read(lba, bytes)) ? bytes : undefined;
  }

  /** Ends the DMA command; `bytes` is what memory gave for a write. */
  dmaEnd(bytes?: Uint8Array): void {
    const { lba, sectors } = this.dma!;
    if (bytes !== undefined && !this.media(() => this.backend.write(lba, bytes))) return;
    this.showAddress(lba + sectors - 1);
    this.finish();
  }
}
