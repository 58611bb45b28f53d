/** A moment of the timeline in words, from an event's numbers (src/cpu/ports.ts: PROBE). */

import { exitReasonName } from '../../debug/exit-names.js';
import type { Machine } from '../../machine/machine.js';
import { PROBE } from '../../machine/probe.js';

const hex = (n: number): string => `0x${n.toString(16)}`;
const bytes = (n: number): string => (n === 1 ? '1 byte' : `${n} bytes`);

/** @returns undefined for kinds that the timeline does not show */
export function momentText(extension: Machine['extension'], kind: number, a: number, b: number, c: number): string | undefined {
  switch (kind) {
    case PROBE.vmExit: return `VM exit: ${exitReasonName(extension, a)}`;
    case PROBE.vmEntry: return 'VM entry';
    case PROBE.systemCall: return `hypercall or system call ${a}`;
    case PROBE.interrupt: return `interrupt ${hex(a)}`;
    case PROBE.exception: return `exception ${a}`;
    case PROBE.ioRead: return `port ${hex(a)} read, ${bytes(b)}: ${hex(c)}`;
    case PROBE.ioWrite: return `port ${hex(a)} written, ${bytes(b)}: ${hex(c)}`;
    case PROBE.mmioRead: return `device memory ${hex(a)} read, ${bytes(b)}: ${hex(c)}`;
    case PROBE.mmioWrite: return `device memory ${hex(a)} written, ${bytes(b)}: ${hex(c)}`;
    case PROBE.diskRequest: return `disk ${c === 0 ? 'reads' : 'writes'} ${b} sectors at ${a}`;
    case PROBE.frameSent: return `frame of ${bytes(a)} sent`;
    case PROBE.frameReceived: return `frame of ${bytes(a)} received`;
    default: return undefined;
  }
}
