/**
 * The ACPI tables of the machine: RSDP, RSDT, FADT, FACS, MADT, HPET, DSDT.
 *
 * ACPI Specification 2.0, §5.2 "ACPI System Description Tables"; IA-PC HPET Specification 1.0a §3.2.4. Numbers of ports and
 * interrupts are those of the devices, imported from their files.
 */

import { ACPI_DISABLE, ACPI_ENABLE, GPE_BASE, GPE_LENGTH, PM_DEFAULT_BASE, S5_TYPE, SMI_COMMAND_PORT } from '../../devices/acpi-pm.js';
import { HPET_BASE, HPET_ID } from '../../devices/hpet.js';
import { IOAPIC_BASE } from '../../devices/ioapic.js';
import { APIC_DEFAULT_BASE } from '../../devices/lapic.js';
import { Bytes } from '../loaders/boot-memory.js';
import { device, eisaId, integer, ioPorts, irq, named, packageOf, resources, scope, window } from './aml.js';

/** ISA interrupts that PIRQA-PIRQD are routed to. */
export const PIRQ_ROUTES = [10, 10, 11, 11] as const;
export const SCI_IRQ = 9;
/** First address that firmware gives to memory BARs, and the end of that window. */
export const PCI_MMIO_END = 0xfec0_0000;

function table(signature: string, revision: number, body: Uint8Array): Uint8Array {
  const out = new Bytes();
  for (const c of signature) out.u8(c.charCodeAt(0));
  out.u32(36 + body.length).u8(revision, 0);
  for (const c of 'XENOLIXENOLITH') out.u8(c.charCodeAt(0));
  out.u32(1);
  for (const c of 'XENO') out.u8(c.charCodeAt(0));
  out.u32(1).u8(...body);
  const bytes = out.toArray();
  bytes[9] = checksum(bytes);
  return bytes;
}

/** The value that makes all bytes sum to zero. */
const checksum = (bytes: Uint8Array): number => -bytes.reduce((sum, b) => sum + b, 0) & 0xff;

/** The PCI interrupt routing: every device's four pins to the interrupts that firmware programs into PIRQRC. */
function routing(): readonly number[] {
  const entries = [];
  for (let slot = 1; slot < 32; slot++)
    for (let pin = 0; pin < 4; pin++)
      entries.push(packageOf(integer(slot * 65536 + 0xffff), integer(pin), integer(0), integer(PIRQ_ROUTES[(pin + slot - 1) & 3])));
  return packageOf(...entries);
}

/** The description of devices: also for firmware that makes the other tables itself. */
export function dsdt(ramBytes: number): Uint8Array {
  const isa = device('ISA', named('_ADR', integer(0x10000)),
    device('RTC', named('_HID', eisaId('PNP0B00')), named('_CRS', resources(ioPorts(0x70, 2), irq(8)))),
    device('COM1', named('_HID', eisaId('PNP0501')), named('_UID', integer(1)), named('_CRS', resources(ioPorts(0x3f8, 8), irq(4)))));
  const bridge = device('PCI0', named('_HID', eisaId('PNP0A03')), named('_ADR', integer(0)), named('_UID', integer(0)), named('_PRT', routing()),
    named('_CRS', resources(window(2, 0, 255), ioPorts(0xcf8, 8), window(1, 0, 0xcf7), window(1, 0xd00, 0xffff), window(0, ramBytes, PCI_MMIO_END - 1))), isa);
  const s5 = named('\\_S5', packageOf(integer(S5_TYPE), integer(S5_TYPE), integer(0), integer(0)));
  return table('DSDT', 1, Uint8Array.from([...scope('\\_SB', bridge), ...s5]));
}

function fadt(facs: number, dsdtAt: number): Uint8Array {
  const pm = PM_DEFAULT_BASE;
  const generic = (port: number, bits: number): readonly number[] => [1, bits, 0, 0, port & 0xff, port >> 8, 0, 0, 0, 0, 0, 0];
  const none = new Array<number>(12).fill(0);
  const out = new Bytes().u32(facs, dsdtAt).u8(0, 0).u16(SCI_IRQ).u32(SMI_COMMAND_PORT).u8(ACPI_ENABLE, ACPI_DISABLE, 0, 0);
  out.u32(pm, 0, pm + 4, 0, 0, pm + 8, GPE_BASE, 0).u8(4, 2, 0, 4, GPE_LENGTH, 0, 0, 0);
  out.u16(0xfff).u16(0xfff); // no C2, no C3
  out.u16(0).u16(0).u8(0, 0, 0, 0, 0x32); // duty cycle, alarm bytes, century
  out.u16(0x3).u8(0); // legacy devices and an 8042 are there
  // WBINVD works, C1, the fixed power and sleep buttons are absent, RTC wake is not fixed, reset register.
  out.u32((1 << 0) | (1 << 2) | (1 << 4) | (1 << 5) | (1 << 6) | (1 << 10)).u8(...generic(0xcf9, 8), 6, 0, 0, 0).u64(facs).u64(dsdtAt);
  out.u8(...generic(pm, 32), ...none, ...generic(pm + 4, 16), ...none, ...none, ...generic(pm + 8, 32), ...generic(GPE_BASE, 8 * GPE_LENGTH), ...none);
  return table('FACP', 3, out.toArray());
}

function madt(cpus: number): Uint8Array {
  const out = new Bytes().u32(APIC_DEFAULT_BASE, 1); // an 8259 pair is there, too
  for (let id = 0; id < cpus; id++) out.u8(0, 8, id, id).u32(1);
  out.u8(1, 12, 0, 0).u32(IOAPIC_BASE, 0);
  out.u8(2, 10, 0, 0).u32(2).u16(0); // the 8254 is on input 2
  for (const line of [5, SCI_IRQ, 10, 11]) out.u8(2, 10, 0, line).u32(line).u16(0xd); // active high, level
  out.u8(4, 6, 0xff, 0, 0, 1); // LINT1 is NMI, everywhere
  return table('APIC', 1, out.toArray());
}

const hpet = (): Uint8Array => table('HPET', 1, new Bytes().u32(HPET_ID).u8(0, 0, 0, 0).u64(HPET_BASE).u8(0).u16(0).u8(0).toArray());

export interface AcpiTables {
  /** Where the tables were laid out for, and their bytes. */
  readonly base: number;
  readonly bytes: Uint8Array;
  /** Physical address of the root pointer, inside `bytes`, and its 20 bytes. */
  readonly rsdpAt: number;
  readonly rsdp: Uint8Array;
}

/** Builds all tables for physical address `base` (16-byte aligned, below 1 MiB so that the root pointer is found by scanning). */
export function acpiTables(base: number, ramBytes: number, cpus: number): AcpiTables {
  const blob: { at: number; bytes: Uint8Array }[] = [];
  let at = base + 64; // the root pointer comes first
  const add = (bytes: Uint8Array): number => {
    const here = at;
    blob.push({ at: here, bytes });
    at = (at + bytes.length + 63) & ~63;
    return here;
  };
  const facs = add(new Bytes().u8(0x46, 0x41, 0x43, 0x53).u32(64, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0).toArray());
  const tables = [add(fadt(facs, add(dsdt(ramBytes)))), add(madt(cpus)), add(hpet())];
  const rsdt = add(table('RSDT', 1, new Bytes().u32(...tables).toArray()));
  const rsdp = new Bytes();
  for (const c of 'RSD PTR ') rsdp.u8(c.charCodeAt(0));
  rsdp.u8(0);
  for (const c of 'XENOLI') rsdp.u8(c.charCodeAt(0));
  const root = rsdp.u8(0).u32(rsdt).toArray();
  root[8] = checksum(root);
  blob.push({ at: base, bytes: root });
  const bytes = new Uint8Array(at - base);
  for (const b of blob) bytes.set(b.bytes, b.at - base);
  return { base, bytes, rsdpAt: base, rsdp: root };
}
