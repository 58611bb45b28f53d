// How fast the machine executes: million guest instructions per second for each part of the speed guest, in functional and in
// cycle mode, and against other emulators that are there.
//
// Our figures: the `benchmark` package times stretches of the running guest, after a warm-up; the best sample counts, because whatever
// else runs on the computer only makes a sample slower. Others: processor time between the guest's BEGIN and END lines, best of three.
//
//   node bench/speed.mjs [--image FILE] [--parts a,b] [--seconds N] [--no-peers] [--json FILE]
//     --image     another guest that prints the same lines (all its parts are timed from BEGIN to END, in processor time, without `benchmark`)
//     BENCH_PEER  a further emulator: a command line with {kernel}, {append} and {serial} (a file that gets COM1), for example a
//                 script that starts Bochs
import Benchmark from 'benchmark';
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { build } from './guests/build.mjs';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const PARTS = ['sieve', 'crc', 'sort', 'float', 'chase', 'tree', 'multiply', 'strings', 'calls'];
/** Instructions before and in a sample; an instruction of the part `strings` moves up to a megabyte. */
const WARM_UP = { any: 30e6, strings: 8e3 }, STRETCH = { any: 4e6, strings: 1e3 };
const PROFILE = 'nehalem-2008', PEER_RUNS = 3, PEER_SECONDS = 120;

const { values: options } = parseArgs({
  options: { image: { type: 'string' }, parts: { type: 'string' }, seconds: { type: 'string', default: '2' }, 'no-peers': { type: 'boolean' }, json: { type: 'string' } },
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
    memoryBytes: 64 << 20, profile: loadProfile(PROFILE), mode, seed: 1, serial,
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

/** Instructions of each part, once through; exact, because a functional cycle is an instruction. */
function instructionsOf(parts) {
  const counts = new Map();
  for (const part of parts) {
    let began = 0;
    const machine = machineWith('functional', `part=${part}`, (line, m) => {
      if (line.startsWith('BEGIN')) began = m.cycles;
      if (line.startsWith('END')) counts.set(part, m.cycles - began);
    });
    machine.run();
  }
  return counts;
}

/** Seconds of processor time that a process has used, where the system says so (Linux); else the time of day. */
function clockOf(child) {
  try {
    const fields = readFileSync(`/proc/${child.pid}/stat`, 'latin1').split(') ')[1].split(' ');
    return (Number(fields[11]) + Number(fields[12])) / 100;
  } catch {
    return performance.now() / 1000;
  }
}

/** Seconds between BEGIN and END of a part elsewhere, best of some; undefined when it does not get there. */
async function peerSeconds(command, part, rounds) {
  let best;
  for (let run = 0; run < PEER_RUNS; run++) {
    const folder = mkdtempSync(join(tmpdir(), 'xenolith-bench-')), serial = join(folder, 'serial');
    writeFileSync(serial, '');
    const fill = { kernel: image, append: `part=${part} rounds=${rounds}`, serial }; // rounds: long enough for a clock of 10 ms
    const [program, ...args] = command.map((word) => word.replace(/\{(kernel|append|serial)\}/g, (_, key) => fill[key]));
    const child = spawn(program, args, { cwd: folder, stdio: 'ignore' });
    const limit = performance.now() + PEER_SECONDS * 1000;
    let began, ended, gone = false;
    child.on('error', () => (gone = true));
    child.on('exit', () => (gone = true));
    while (ended === undefined && performance.now() < limit) {
      const text = readFileSync(serial, 'latin1'), now = clockOf(child);
      if (began === undefined && text.includes('BEGIN')) began = now;
      if (text.includes('END')) ended = now;
      if (gone && ended === undefined) break;
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    child.kill('SIGKILL');
    rmSync(folder, { recursive: true, force: true });
    if (began === undefined || ended === undefined) return undefined;
    best = Math.min(best ?? Infinity, ended - began);
  }
  return best;
}

function peers() {
  const list = [], qemu = process.env.QEMU ?? 'qemu-system-x86_64';
  if (options['no-peers']) return list;
  if (spawnSync(qemu, ['--version']).status === 0)
    list.push({
      name: 'QEMU', rounds: 10,
      command: [qemu, '-accel', 'tcg', '-m', '64', '-display', 'none', '-monitor', 'none', '-serial', 'file:{serial}', '-kernel', '{kernel}', '-append', '{append}', '-device', 'isa-debug-exit,iobase=0xf4,iosize=4'],
    });
  if (process.env.BENCH_PEER) list.push({ name: 'other', rounds: 2, command: process.env.BENCH_PEER.split(' ') });
  return list;
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
  const others = peers(), counts = others.length > 0 ? instructionsOf(wanted) : new Map();
  console.log(`${'part'.padEnd(10)}${['functional', 'cycle', 'ratio', ...others.flatMap((p) => [p.name, `ours/${p.name}`])].map((t) => t.padStart(11)).join('')}   million instructions/s`);
  const rows = [];
  for (const part of wanted) {
    const row = { part };
    for (const mode of ['functional', 'cycle'])
      try {
        row[mode] = speedOf(part, mode);
      } catch (e) {
        row.stopped = e.message;
      }
    for (const p of others) {
      const seconds = counts.has(part) ? await peerSeconds(p.command, part, p.rounds) : undefined;
      row[p.name] = seconds === undefined ? undefined : (counts.get(part) * p.rounds) / seconds / 1e6;
    }
    const ratio = row.functional && row.cycle ? row.cycle / row.functional : undefined;
    console.log(part.padEnd(10) + cell(row.functional, 1) + cell(row.cycle, 1) + cell(ratio, 2) + others.map((p) => cell(row[p.name], 1) + cell(row.functional && row[p.name] ? row.functional / row[p.name] : undefined, 3)).join('') + (row.stopped ? `   (${row.stopped})` : ''));
    rows.push(row);
  }
  console.log('strings: a repeated string instruction counts once, whatever its length; only ratios say something there.');
  if (options.json) writeFileSync(options.json, `${JSON.stringify(rows, null, 2)}\n`);
}
