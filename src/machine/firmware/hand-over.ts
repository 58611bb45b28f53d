/**
 * The state in which a PC's firmware leaves memory and devices, made without running any: for images that are started directly.
 *
 * Values follow what SeaBIOS leaves on QEMU's pc machine, so that a driver tested there meets the same addresses and interrupts.
 */

import { COMMAND_IO, COMMAND_MEMORY, PCI_BAR0, PCI_COMMAND, PCI_INTERRUPT_LINE, PCI_INTERRUPT_PIN } from '../../devices/pci/function.js';
import { PM_DEFAULT_BASE } from '../../devices/acpi-pm.js';
import type { Platform } from '../platform.js';
import { EBDA_BASE, FIRMWARE_BASE, FIRMWARE_END, GDT_BASE } from '../loaders/boot-memory.js';
import { type AcpiTables, acpiTables, PCI_MMIO_END, PIRQ_ROUTES, SCI_IRQ } from './acpi-tables.js';
import { enterTextMode } from './text-mode.js';

const TABLES_BASE = 0xf_0000;
/** An IRET that all real-mode vectors point to, at the address where IBM's BIOS had its own. */
const IRET_STUB = 0xf_ff53;
/** First port given to I/O BARs. */
const PCI_IO_BASE = 0xc000;

export const firmwareTables = (ramBytes: number, cpus: number): AcpiTables => acpiTables(TABLES_BASE, ramBytes, cpus);

/** The read-only window from FIRMWARE_BASE to 1 MiB. */
export function firmwareWindow(tables: AcpiTables): Uint8Array {
  const rom = new Uint8Array(FIRMWARE_END - FIRMWARE_BASE);
  rom.set(tables.bytes, tables.base - FIRMWARE_BASE);
  rom[IRET_STUB - FIRMWARE_BASE] = 0xcf;
  // Should anything jump to the reset vector: CLI; HLT; and again.
  rom.set([0xfa, 0xf4, 0xeb, 0xfc], 0xf_fff0 - FIRMWARE_BASE);
  return rom;
}

/** Interrupt vectors, BIOS data area, extended BIOS data, and the start-up descriptor table. */
export function writeLowMemory(write: (hpa: number, bytes: Uint8Array) => void): void {
  const vectors = new Uint8Array(1024);
  for (let v = 0; v < 256; v++) vectors.set([IRET_STUB & 0xff, (IRET_STUB >> 8) & 0xff, 0x00, 0xf0], v * 4);
  write(0, vectors);
  const data = new Uint8Array(256);
  data.set([0xf8, 0x03], 0x00); // COM1
  data.set([(EBDA_BASE >> 4) & 0xff, EBDA_BASE >> 12], 0x0e);
  data.set([0x7f, 0x02], 0x13); // 639 KiB
  write(0x400, data);
  write(EBDA_BASE, Uint8Array.of(1)); // its size in KiB
  const code = [0xff, 0xff, 0, 0, 0, 0x9b, 0xcf, 0], flat = [0xff, 0xff, 0, 0, 0, 0x93, 0xcf, 0];
  write(GDT_BASE, Uint8Array.from([0, 0, 0, 0, 0, 0, 0, 0, ...code, ...code, ...flat]));
}

/** Gives PCI functions their addresses and interrupts, and sets up 8259, ACPI, the text screen and the boot processor's local APIC. */
export function configureDevices(platform: Platform, write: (hpa: number, bytes: Uint8Array) => void): void {
  const { pci, isaBridge, pic, pmFunction, lapics, vga } = platform;
  PIRQ_ROUTES.forEach((line, pirq) => isaBridge.writeConfig(0x60 + pirq, 1, line));
  pmFunction.writeConfig(0x40, 4, PM_DEFAULT_BASE | 1);
  pmFunction.writeConfig(0x80, 1, 1);
  let io = PCI_IO_BASE, memory = PCI_MMIO_END;
  for (const { slot, device } of pci.all()) {
    for (const region of [...device.regions].sort((a, b) => b.size - a.size)) {
      const at = PCI_BAR0 + 4 * region.index;
      if (region.io) {
        io = Math.ceil(io / region.size) * region.size;
        device.writeConfig(at, 4, io);
        io += region.size;
      } else {
        memory = Math.floor((memory - region.size) / region.size) * region.size;
        device.writeConfig(at, 4, memory);
      }
    }
    const pin = device.config[PCI_INTERRUPT_PIN];
    if (pin > 0) device.writeConfig(PCI_INTERRUPT_LINE, 1, PIRQ_ROUTES[(pin - 1 + slot - 1) & 3]);
    if (device.regions.length > 0) device.writeConfig(PCI_COMMAND, 2, COMMAND_IO | COMMAND_MEMORY);
  }
  pmFunction.writeConfig(PCI_INTERRUPT_LINE, 1, SCI_IRQ);
  // 8259: vectors as the BIOS has them, everything masked but the cascade; PCI interrupts and SCI are level-triggered.
  for (const [port, value] of [[0x20, 0x11], [0xa0, 0x11], [0x21, 0x08], [0xa1, 0x70], [0x21, 4], [0xa1, 2], [0x21, 1], [0xa1, 1], [0x21, 0xfb], [0xa1, 0xff], [0x4d1, 0x0e]] as const)
    pic.ioWrite(port, 1, value);
  enterTextMode((port, value) => vga.ioWrite(port, 1, value), (port) => vga.ioRead(port), write);
  lapics[0].enableVirtualWire();
}
