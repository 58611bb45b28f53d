/** What firmware that is started at the reset vector is told through the firmware configuration device. */

import type { FwCfgFile } from '../../devices/fw-cfg.js';
import { Bytes } from '../loaders/boot-memory.js';
import { dsdt } from './acpi-tables.js';

const RAM = 1, COM1 = 0x3f8;

export function firmwareFiles(ramBytes: number): FwCfgFile[] {
  // Firmware takes what it needs out of the RAM itself: it gets whole ranges.
  const map = new Bytes().u64(0).u64(ramBytes).u32(RAM);
  return [
    { name: 'etc/e820', bytes: map.toArray() },
    { name: 'acpi-dsdt.aml', bytes: dsdt(ramBytes) },
    { name: 'etc/sercon-port', bytes: new Bytes().u16(COM1).toArray() },
  ];
}

