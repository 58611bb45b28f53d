/** Folded stacks: a line for each stack, frames from the outermost on with semicolons between, and its cycles. The input of `flamegraph.pl`. */

import { type ByteSink, ByteStream } from './byte-stream.js';
import type { Stack } from './samples.js';

const frameText = (frame: string): string => frame.replaceAll(/[;\n]/g, ' ');

export function foldedStacks(stacks: readonly Stack[], sink: ByteSink, _title: string): void {
  const out = new ByteStream(sink);
  for (const { frames, cycles } of stacks) out.text(`${frames.map(frameText).join(';')} ${Math.round(cycles)}\n`);
  out.flush();
}
