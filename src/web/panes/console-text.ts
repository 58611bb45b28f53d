/**
 * COM1 split by who speaks. The hypervisor marks its lines with "(XEN) ", dom0 passes the guests' lines on marked "(dN) "; the rest is
 * dom0's own, or, without a hypervisor, the only program's. A line belongs to nobody until its mark can be read.
 */

export interface Speaker {
  readonly id: string;
  readonly title: string;
}

const MARK = /^\((XEN|d\d{1,5})\) /;
const NEWLINE = 10;

/** Bytes of each speaker, in order of appearance. Bytes are never interpreted beyond the mark. */
export function splitConsole(bytes: Uint8Array): Map<string, number[]> {
  const out = new Map<string, number[]>();
  for (let at = 0; at < bytes.length; ) {
    const newline = bytes.indexOf(NEWLINE, at), end = newline < 0 ? bytes.length : newline + 1;
    const head = String.fromCharCode(...bytes.subarray(at, Math.min(end, at + 12))), mark = MARK.exec(head);
    const id = mark?.[1] ?? 'rest', from = at + (mark === null ? 0 : mark[0].length);
    const list = out.get(id) ?? [];
    for (let i = from; i < end; i++) list.push(bytes[i]!);
    out.set(id, list);
    at = end;
  }
  return out;
}

export const speakerTitle = (id: string, virtualised: boolean): string => (id === 'XEN' ? 'Hypervisor' : id === 'rest' ? (virtualised ? 'dom0' : 'Guest') : `Domain ${id.slice(1)}`);
