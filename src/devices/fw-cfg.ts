/**
 * The firmware configuration device: how firmware learns about a machine that it cannot probe.
 *
 * QEMU docs/specs/fw_cfg: selector port 0x510 (16 bits), data port 0x511 (bytes), key 0x19 is the directory of named files. The DMA
 * interface is not offered. Numbers inside items are little-endian, those of the directory big-endian.
 */

import type { PortDevice, Width } from './ports.js';

export const FW_CFG_PORT = 0x510;
const KEY = { signature: 0x00, id: 0x01, ram: 0x03, cpus: 0x05, maxCpus: 0x0f, directory: 0x19, firstFile: 0x20 } as const;
/** Bit 0: the traditional interface. */
const FEATURES = 1;

export interface FwCfgFile {
  readonly name: string;
  readonly bytes: Uint8Array;
}

const little = (value: number, bytes: number): Uint8Array => Uint8Array.from({ length: bytes }, (_, i) => Math.floor(value / 2 ** (8 * i)) & 0xff);
const ascii = (text: string): number[] => [...text].map((c) => c.charCodeAt(0));

function directory(files: readonly FwCfgFile[]): Uint8Array {
  const out = new Uint8Array(4 + 64 * files.length), view = new DataView(out.buffer);
  view.setUint32(0, files.length);
  files.forEach(({ name, bytes }, i) => {
    view.setUint32(4 + 64 * i, bytes.length);
    view.setUint16(8 + 64 * i, KEY.firstFile + i);
    out.set(ascii(name.slice(0, 55)), 12 + 64 * i);
  });
  return out;
}

export class FwCfg implements PortDevice {
  private readonly items = new Map<number, Uint8Array>();
  private selected: Uint8Array | undefined;
  private at = 0;

  constructor(ramBytes: number, cpus: number, files: readonly FwCfgFile[]) {
    this.items.set(KEY.signature, Uint8Array.from(ascii('QEMU'))); // the interface's name, which firmware looks for
    this.items.set(KEY.id, little(FEATURES, 4));
    this.items.set(KEY.ram, little(ramBytes, 8));
    this.items.set(KEY.cpus, little(cpus, 2));
    this.items.set(KEY.maxCpus, little(cpus, 2));
    this.items.set(KEY.directory, directory(files));
    files.forEach((file, i) => this.items.set(KEY.firstFile + i, file.bytes));
  }

  ioRead(port: number): number {
    return port === FW_CFG_PORT ? 0xff : (this.selected?.[this.at++] ?? 0);
  }

  ioWrite(port: number, size: Width, value: number): void {
    if (port !== FW_CFG_PORT || size !== 2) return;
    this.selected = this.items.get(value);
    this.at = 0;
  }
}
