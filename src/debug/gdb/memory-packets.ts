/** `m`, `M` and `X`: memory, by linear address in the running address space, or by physical address. gdb manual, E.2 "Packets". */

import type { Client } from './client.js';
import { physicalPieces, readPhysical } from './context.js';
import { bytesToHex, hexToBytes, parseNumber } from './hex.js';
import { PACKET_BYTES } from './packets.js';

/** No memory there: a page that is not mapped, or a device's. Devices are not read, because reading them changes them. */
const BAD_ADDRESS = 'E0e';
const PHYSICAL_LIMIT = 1n << 52n;

/** `addr,length` */
function range(text: string): { address: bigint; length: number } | undefined {
  const [a = '', l = '', ...more] = text.split(','), address = parseNumber(a), length = parseNumber(l);
  return address === undefined || length === undefined || more.length > 0 || length > BigInt(PACKET_BYTES) ? undefined : { address, length: Number(length) };
}

export function readMemory(client: Client, text: string): string {
  const r = range(text);
  if (r === undefined) return 'E01';
  if (r.length === 0) return '';
  const { address, length: asked } = r, length = Math.min(asked, (PACKET_BYTES - 16) / 2);
  if (client.physicalMemory && address >= PHYSICAL_LIMIT) return BAD_ADDRESS;
  const bytes = client.physicalMemory
    ? readPhysical(client.target.machine, Number(address), length)
    : client.target.context(client.generalThread).readLinear(address, length);
  return bytes.length === 0 ? BAD_ADDRESS : bytesToHex(bytes);
}

/** `addr,length:data`. @param binary X: data as it is; else pairs of digits */
export function writeMemory(client: Client, text: string, binary: boolean): string {
  const colon = text.indexOf(':');
  if (colon < 0) return 'E01';
  const r = range(text.slice(0, colon)), data = text.slice(colon + 1);
  const bytes = binary ? Uint8Array.from(data, (c) => c.charCodeAt(0)) : hexToBytes(data);
  if (r === undefined || bytes === undefined || bytes.length !== r.length) return 'E01';
  if (bytes.length === 0) return 'OK';
  const { target, generalThread, physicalMemory } = client;
  if (physicalMemory && r.address >= PHYSICAL_LIMIT) return BAD_ADDRESS;
  const pieces = physicalMemory ? physicalPieces(target.machine, Number(r.address), bytes.length) : target.context(generalThread).writablePieces(r.address, bytes.length);
  if (pieces === undefined) return BAD_ADDRESS;
  target.edit((machine) => {
    for (const { hpa, from, to } of pieces) machine.phys.write(hpa, bytes.subarray(from, to));
  });
  return 'OK';
}
