/**
 * A sampled profile for speedscope: stacks as lists of frame numbers, with the cycles of each as weights.
 *
 * speedscope.app, "Importing from custom sources"; the schema is file-format-schema.json. Stacks stand in the order in which they were
 * first seen; each appears once.
 */

import { type ByteSink, ByteStream } from './byte-stream.js';
import type { Stack } from './samples.js';

const SCHEMA = 'https://www.speedscope.app/file-format-schema.json';

export function speedscopeFile(stacks: readonly Stack[], sink: ByteSink, title: string): void {
  const numbers = new Map<string, number>();
  const number = (frame: string): number => {
    const known = numbers.get(frame) ?? numbers.size;
    numbers.set(frame, known);
    return known;
  };
  const samples = stacks.map(({ frames }) => frames.map(number)), weights = stacks.map(({ cycles }) => cycles);
  const file = {
    $schema: SCHEMA,
    name: title,
    exporter: 'xenolith',
    activeProfileIndex: 0,
    shared: { frames: [...numbers.keys()].map((name) => ({ name })) },
    profiles: [{ type: 'sampled', name: `${title} (cycles)`, unit: 'none', startValue: 0, endValue: weights.reduce((n, w) => n + w, 0), samples, weights }],
  };
  const out = new ByteStream(sink);
  out.text(`${JSON.stringify(file)}\n`);
  out.flush();
}
