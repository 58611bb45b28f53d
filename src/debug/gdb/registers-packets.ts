/** `g`, `G`, `p` and `P`: registers by number, in the order of the target description. gdb manual, E.2 "Packets". */

import type { Client } from './client.js';
import { hexToValue, parseNumber, valueToHex } from './hex.js';
import { GENERAL, type Register } from './registers.js';
import type { VcpuContext } from './context.js';

const digits = (r: Register): number => r.bits / 4;

function registerHex(r: Register, c: VcpuContext): string {
  const value = r.read(c);
  return value === undefined ? 'x'.repeat(digits(r)) : valueToHex(value, r.bits / 8);
}

export function readAll({ target, generalThread }: Client): string {
  const c = target.context(generalThread);
  return target.registers.slice(0, GENERAL).map((r) => registerHex(r, c)).join('');
}

/** Writes the registers that differ; those that are read-only must keep their values. */
export function writeAll(client: Client, text: string): string {
  const { target, generalThread } = client, c = target.context(generalThread);
  const changed: [Register, bigint][] = [];
  let at = 0;
  for (const r of target.registers.slice(0, GENERAL)) {
    const part = text.slice(at, at + digits(r)), value = hexToValue(part);
    at += digits(r);
    if (part.length < digits(r) || value === undefined) return 'E01';
    if (value === r.read(c)) continue;
    if (r.write === undefined) return `E.${r.name} is read-only`;
    changed.push([r, value]);
  }
  if (at !== text.length) return 'E01';
  write(client, changed);
  return 'OK';
}

export function readOne({ target, generalThread }: Client, text: string): string {
  const number = parseNumber(text), r = number === undefined ? undefined : target.registers[Number(number)];
  return r === undefined ? 'E01' : registerHex(r, target.context(generalThread));
}

export function writeOne(client: Client, text: string): string {
  const [left = '', right = ''] = text.split('=', 2), number = parseNumber(left), value = hexToValue(right);
  const r = number === undefined ? undefined : client.target.registers[Number(number)];
  if (r === undefined || value === undefined || right.length !== digits(r)) return 'E01';
  if (r.write === undefined) return `E.${r.name} is read-only`;
  write(client, [[r, value]]);
  return 'OK';
}

function write({ target, generalThread }: Client, changes: readonly (readonly [Register, bigint])[]): void {
  if (changes.length === 0) return;
  target.edit((machine) => {
    const { vcpu } = machine.processors[generalThread]!;
    vcpu.activate();
    for (const [r, value] of changes) r.write!(vcpu.s, value);
    vcpu.modeChanged(); // RFLAGS.AC is part of the mode
    machine.processors[machine.current]!.vcpu.activate();
  });
}
