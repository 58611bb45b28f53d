/**
 * The local APIC's model-specific registers: IA32_APIC_BASE, IA32_TSC_DEADLINE and the x2APIC range.
 *
 * SDM 3A §10.4.4 "Local APIC Status and Location", §10.5.4.1 "TSC-Deadline Mode", §10.12.1.2 "x2APIC Register Address Space".
 */

import type { MsrTable } from '../cpu/registers.js';
import type { LocalApic } from '../devices/lapic.js';

const IA32_APIC_BASE = 0x1b, IA32_TSC_DEADLINE = 0x6e0, X2APIC_FIRST = 0x800, X2APIC_REGISTERS = 0x40;
const GP = 13;

export function defineApicMsrs(table: MsrTable, lapic: () => LocalApic, has: { readonly x2apic: boolean; readonly tscDeadline: boolean }): void {
  table.define(IA32_APIC_BASE, {
    name: 'IA32_APIC_BASE',
    read: () => lapic().baseMsr,
    write: (cpu, v) => lapic().writeBaseMsr(v, cpu.physicalAddressBits),
  });
  if (has.tscDeadline)
    table.define(IA32_TSC_DEADLINE, {
      name: 'IA32_TSC_DEADLINE',
      read: () => lapic().tscDeadline,
      write: (_cpu, v) => {
        lapic().tscDeadline = v;
        return true;
      },
    });
  if (!has.x2apic) return;
  for (let register = 0; register < X2APIC_REGISTERS; register++)
    table.define(X2APIC_FIRST + register, {
      name: `x2APIC register 0x${register.toString(16)}`,
      read: (cpu) => lapic().readMsr(register) ?? cpu.raise(GP, 0),
      write: (_cpu, v) => lapic().writeMsr(register, v),
    });
}
