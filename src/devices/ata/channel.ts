/**
 * One IDE channel: two drives on a cable, the command and control blocks, and its half of the bus-master function.
 *
 * ATA/ATAPI-7 volume 2 §9 (device selection, software reset); 82371SB data sheet and "Programming Interface for Bus Master IDE
 * Controller" revision 1.0: command, status and descriptor-table registers, physical region descriptors.
 */

import type { DmaPort, InterruptLine, PortDevice, Width } from '../ports.js';
import { type AtaDrive, REG } from './drive.js';

const CONTROL_NIEN = 2, CONTROL_SRST = 4, CONTROL_HOB = 0x80;
const DEVICE_SELECT = 0x10;
const BM_START = 1, BM_TO_MEMORY = 8;
const BM_ACTIVE = 1, BM_ERROR = 2, BM_INTERRUPT = 4, BM_CAPABLE = 0x60;
/** Descriptors of one table fit in 64 KiB. */
const MAX_DESCRIPTORS = 8192;

interface Region {
  readonly address: number;
  readonly bytes: number;
}

export class IdeChannel implements PortDevice {
  private drives: readonly (AtaDrive | undefined)[] = [undefined, undefined];
  private selected = 0;
  private control = 0;
  private intrq = false;
  private bmCommand = 0;
  private bmStatus = 0;
  private bmTable = 0;

  constructor(
    private readonly commandBase: number,
    private readonly irq: InterruptLine,
    private readonly dma: DmaPort,
    private readonly busMasterEnabled: () => boolean,
  ) {}

  connect(drives: readonly (AtaDrive | undefined)[]): void {
    this.drives = drives;
  }

  reset(): void {
    this.selected = this.control = this.bmCommand = this.bmStatus = this.bmTable = 0;
    for (const d of this.drives) d?.reset();
    this.setIntrq(false);
  }

  private get drive(): AtaDrive | undefined {
    return this.drives[this.selected];
  }

  private setIntrq(asserted: boolean): void {
    this.intrq = asserted;
    this.irq.set(asserted && !(this.control & CONTROL_NIEN));
  }

  /** A drive asserts INTRQ; only the selected one drives the wire. */
  interrupt(drive: number): void {
    if (drive !== this.selected) return;
    this.bmStatus |= BM_INTERRUPT;
    this.setIntrq(true);
  }

  // --- command and control blocks -------------------------------------------------------------------------------------------

  ioRead(port: number, size: Width): number {
    const register = port - this.commandBase, drive = this.drive;
    if (register === REG.data) return drive?.readData(size) ?? 0;
    if (register === REG.status) this.setIntrq(false);
    // A missing drive 1 is answered for by drive 0, with zeros; so is an empty channel.
    return drive?.readRegister(register, (this.control & CONTROL_HOB) !== 0) ?? 0;
  }

  ioWrite(port: number, size: Width, value: number): void {
    const register = port - this.commandBase;
    if (register === REG.data) return this.drive?.writeData(size, value);
    value &= 0xff;
    this.control &= ~CONTROL_HOB;
    if (register === REG.command) {
      this.setIntrq(false);
      // EXECUTE DEVICE DIAGNOSTIC is for both drives.
      if (value === 0x90) for (const d of this.drives) d?.command(value);
      else this.drive?.command(value);
      return;
    }
    // Both drives see every write of the command block; the device register says who is meant.
    for (const d of this.drives) d?.writeRegister(register, value);
    if (register === REG.device) this.selected = value & DEVICE_SELECT ? 1 : 0;
  }

  /** The control block's one port: alternate status, device control. */
  readonly controlPort: PortDevice = {
    ioRead: () => this.drive?.readRegister(REG.status, false) ?? 0,
    ioWrite: (_port, _size, value) => {
      const rising = value & ~this.control & CONTROL_SRST;
      this.control = value & (CONTROL_NIEN | CONTROL_SRST | CONTROL_HOB);
      if (rising) {
        for (const d of this.drives) d?.reset();
        this.selected = 0;
        this.intrq = false;
      }
      this.setIntrq(this.intrq);
    },
  };

  // --- bus master -----------------------------------------------------------------------------------------------------------

  /** `register` 0-7 of the channel's half of the BAR. */
  readBusMaster(register: number, size: Width): number {
    if (register >= 4) return (this.bmTable >>> (8 * (register - 4))) & (size === 4 ? -1 : (1 << (8 * size)) - 1);
    const bytes = this.bmCommand | (this.bmStatus << 16);
    return (bytes >>> (8 * register)) & (size === 4 ? -1 : (1 << (8 * size)) - 1);
  }

  writeBusMaster(register: number, size: Width, value: number): void {
    if (register === 4 && size === 4) this.bmTable = (value & ~3) >>> 0;
    else if (register >= 4) {
      const shift = 8 * (register - 4), mask = (size === 2 ? 0xffff : 0xff) << shift;
      this.bmTable = (((this.bmTable & ~mask) | ((value << shift) & mask)) & ~3) >>> 0;
    } else if (size > 1) for (let i = 0; i < size; i++) this.writeBusMaster(register + i, 1, (value >>> (8 * i)) & 0xff);
    else if (register === 0) this.writeCommand(value);
    else if (register === 2) this.bmStatus = (this.bmStatus & ~(value & (BM_ERROR | BM_INTERRUPT)) & ~BM_CAPABLE) | (value & BM_CAPABLE);
  }

  private writeCommand(value: number): void {
    const starts = value & ~this.bmCommand & BM_START;
    this.bmCommand = value & (BM_START | BM_TO_MEMORY);
    if (starts) {
      this.bmStatus |= BM_ACTIVE;
      this.tryTransfer();
    } else if (!(value & BM_START)) this.bmStatus &= ~BM_ACTIVE;
  }

  /** Moves the data if the drive waits and the bus master runs. Called by whichever comes second. */
  tryTransfer(): void {
    const drive = this.drive, request = drive?.dmaRequest;
    if (drive === undefined || request === undefined || !(this.bmStatus & BM_ACTIVE) || !this.busMasterEnabled()) return;
    if (request.write === ((this.bmCommand & BM_TO_MEMORY) !== 0)) return this.failTransfer();
    const { regions, total } = this.regions(request.bytes);
    // Too little memory described: the transfer stops with the drive waiting for more, and no interrupt. Software times out.
    if (total < request.bytes) return this.failTransfer();
    const data = request.write ? new Uint8Array(request.bytes) : drive.dmaRead();
    if (data === undefined) return void (this.bmStatus &= ~BM_ACTIVE);
    let done = 0;
    for (const { address, bytes } of regions) {
      const piece = data.subarray(done, done + bytes);
      if (request.write) piece.set(this.dma.read(address, piece.length));
      else this.dma.write(address, piece);
      done += piece.length;
    }
    // Memory left over keeps ACTIVE set: "the PRD's specified a larger size than the IDE transfer size".
    if (total === request.bytes) this.bmStatus &= ~BM_ACTIVE;
    drive.dmaEnd(request.write ? data : undefined);
  }

  private failTransfer(): void {
    this.bmStatus = (this.bmStatus & ~BM_ACTIVE) | BM_ERROR;
  }

  /** The memory regions of the descriptor table, until `wanted` bytes are described or the end mark comes. */
  private regions(wanted: number): { regions: Region[]; total: number } {
    const regions: Region[] = [];
    let total = 0;
    for (let i = 0; i < MAX_DESCRIPTORS; i++) {
      const d = this.dma.read(this.bmTable + 8 * i, 8), view = new DataView(d.buffer, d.byteOffset, 8);
      const bytes = (view.getUint16(4, true) & 0xfffe) || 65536;
      regions.push({ address: (view.getUint32(0, true) & ~1) >>> 0, bytes });
      total += bytes;
      if (d[7] & 0x80) break;
      if (total > wanted) break;
    }
    return { regions, total };
  }
}
