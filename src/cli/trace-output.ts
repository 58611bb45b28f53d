/** `--trace`: every event of the probe as one JSON line, in the order in which they happened. */

import { writeSync } from 'node:fs';
import { PROBE_NAMES, type Probe } from '../machine/probe.js';

const BATCH = 1000;

/** Starts writing the probe's events to `fd`; returns the function that writes the rest. */
export function traceTo(fd: number, probe: Probe): () => void {
  let lines: string[] = [];
  const flush = (): void => {
    if (lines.length > 0) writeSync(fd, lines.join(''));
    lines = [];
  };
  probe.subscribe((kind, cycle, vcpu, a, b, c, d) => {
    lines.push(`${JSON.stringify({ event: PROBE_NAMES[kind] ?? kind, cycle, vcpu, a, b, c, d })}\n`);
    if (lines.length >= BATCH) flush();
  });
  return flush;
}
