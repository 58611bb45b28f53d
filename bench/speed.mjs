// How fast the machine executes: million guest instructions per second for each part of the speed guest, in functional and in
// cycle mode, when it is warm. bench.mjs beside it compares whole runs, with other emulators too.
//
// The `benchmark` package times stretches of the running guest, after a warm-up; the best sample counts, because whatever else runs on
// the computer only makes a sample slower.
//
//   node bench/speed.mjs [--image FILE] [--parts a,b] [--seconds N] [--engine auto|interpreter|compiler] [--json FILE]
//     --image     another guest that prints the same lines (all its parts are timed from BEGIN to END, in processor time, without `benchmark`)
import Benchmark from 'benchmark';
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { build } from './guests/build.mjs';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const PARTS = ['sieve', 'crc', 'sort', 'float', 'chase', 'tree', 'multiply', 'strings', 'calls'];
/** Instructions before and in a sample; an instruction of the part `strings` moves up to a megabyte. */
const WARM_UP = { any: 30e6, strings: 8e3 }, STRETCH = { any: 4e6, strings: 1e3 };
const PROFILE = 'nehalem-2008';

const { values: options } = parseArgs({
  options: { image: { type: 'string' }, parts: { type: 'string' }, seconds: { type: 'string', default: '2' }, engine: { type: 'string', default: 'auto' }, json: { type: 'string' } },
});
if (spawnSync(process.execPath, [join(root, 'scripts/ensure.mjs')], { stdio: 'inherit' }).status !== 0) process.exit(1);
const { Machine } = await import('../dist/machine/machine.js');
const { loadProfile } = await import('../dist/cli/files.js');

const image = options.image ?? build();
const wanted = options.parts?.split(',') ?? PARTS;
for (const part of wanted) if (!PARTS.includes(part)) throw new Error(`unknown part ${part}; there are ${PARTS.join(', ')}`);

/** A machine with the guest; `line` hears what it prints. */
function machineWith(mode, commandLine, line) {
  let text = '';
  const serial = (byte) => {
    if (byte !== 10) text += String.fromCharCode(byte);
    else {
      line(text, machine);
      text = '';
    }
  };
  const machine = new Machine({
    memoryBytes: 64 << 20, profile: loadProfile(PROFILE), mode, engine: options.engine, serial,
    boot: { kind: 'image', image: { name: basename(image), bytes: readFileSync(image) }, commandLine },
  });
  return machine;
}

/** Runs on until about `count` more instructions are done; returns how many. @throws Error when the guest ends */
function advance(machine, count) {
  const before = machine.instructions, stop = machine.run({ instructions: before + count });
  if (stop.kind !== 'limit') throw new Error(stop.kind === 'not-implemented' ? stop.what : stop.kind);
  return machine.instructions - before;
}

/** Million instructions per second of one part that runs for ever. */
function speedOf(part, mode) {
  const machine = machineWith(mode, `part=${part} rounds=0`, () => {});
  advance(machine, WARM_UP[part] ?? WARM_UP.any);
  let done = 0, calls = 0;
  const bench = new Benchmark({
    maxTime: Number(options.seconds), minSamples: 5,
    fn: () => {
      done += advance(machine, STRETCH[part] ?? STRETCH.any);
      calls++;
    },
  });
  bench.run();
  if (bench.error !== undefined) throw bench.error;
  return done / calls / Math.min(...bench.stats.sample) / 1e6;
}

const cell = (value, digits) => (value === undefined ? '-' : value < 0.1 ? value.toPrecision(2) : value.toFixed(digits)).padStart(11);

/** A guest that cannot run for ever: every part once, processor time from line to line. */
function timeline(mode) {
  const found = new Map();
  let began, mark;
  const machine = machineWith(mode, '', (line) => {
    machine.requestStop(); // the counters are right between runs
    mark = line;
  });
  for (;;) {
    const stop = machine.run();
    const used = process.cpuUsage(), now = (used.user + used.system) / 1000;
    if (stop.kind !== 'interrupted') return { found, stop };
    if (mark?.startsWith('BEGIN')) began = { at: now, instructions: machine.instructions };
    else if (mark?.startsWith('END') && began) found.set(mark.split(' ')[1], (machine.instructions - began.instructions) / (now - began.at) / 1000);
  }
}

const commit = spawnSync('git', ['rev-parse', '--short', 'HEAD'], { cwd: root, encoding: 'utf8' }).stdout?.trim() ?? '';
console.log(`${new Date().toISOString().slice(0, 10)}, commit ${commit}, ${cpus()[0]?.model ?? 'unknown processor'}, Node ${process.version}, profile ${PROFILE}`);

if (options.image !== undefined) {
  const modes = ['functional', 'cycle'], results = modes.map((mode) => timeline(mode));
  console.log(`${'part'.padEnd(10)}${modes.map((m) => m.padStart(11)).join('')}   million instructions/s`);
  for (const part of new Set(results.flatMap((r) => [...r.found.keys()]))) console.log(part.padEnd(10) + results.map((r) => cell(r.found.get(part), 1)).join(''));
  results.forEach((r, i) => r.stop.kind === 'not-implemented' && console.log(`${modes[i]}: stopped: ${r.stop.what}`));
} else {
  console.log(`${'part'.padEnd(10)}${['functional', 'cycle', 'ratio'].map((t) => t.padStart(11)).join('')}   million instructions/s`);
  const rows = [];
  for (const part of wanted) {
    const row = { part };
    for (const mode of ['functional', 'cycle'])
      try {
        row[mode] = speedOf(part, mode);
      } catch (e) {
        row.stopped = e.message;
      }
    const ratio = row.functional && row.cycle ? row.cycle / row.functional : undefined;
    console.log(part.padEnd(10) + cell(row.functional, 1) + cell(row.cycle, 1) + cell(ratio, 2) + (row.stopped ? `   (${row.stopped})` : ''));
    rows.push(row);
  }
  console.log('strings: a repeated string instruction counts once, whatever its length; only the ratio says something there.');
  if (options.json) writeFileSync(options.json, `${JSON.stringify(rows, null, 2)}\n`);
}
