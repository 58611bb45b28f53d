// How fast the engines are, against each other and against other emulators: the speed guest's nine parts, in 64- and 32-bit builds.
//
// Every contender runs the whole guest in a process of its own, one after the other, several times around; the best time of each part
// counts. Ratios of one run are what is worth comparing: all contenders had the same computer, with the same other jobs.
//
//   npm run bench -- [--only interpreter,QEMU] [--bits 64,32] [--parts a,b] [--times K] [--rounds N] [--clock processor|wall]
//                    [--limit SECONDS] [--peer 'NAME=PROGRAM {kernel} {append}'] [--image FILE] [--image32 FILE] [--json FILE] [--comparison [--quick] [--jobs 2,1]]
//     --times       how often each contender runs (2)       --rounds  how often each part does its work (3)
//     --image       another guest that prints the same lines (and needs no command line), instead of the 64-bit build; --image32 likewise
//     --clock       seconds of processor time (as far as the system tells it, on Linux), or of the time of day
//     --comparison  also how much faster `xenolith compare` is than with --engine interpreter, and whether its results are the same; --only ''
//                   leaves the guest out; --jobs  with so many runs at the same time, one after the other (number of cores)
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus, loadavg } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { comparison } from './comparison.mjs';
import { contenders } from './contenders.mjs';
import { build } from './guests/build.mjs';
import { stampedRun } from './stamp.mjs';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const { values: o } = parseArgs({
  options: {
    only: { type: 'string' }, bits: { type: 'string', default: '64,32' }, parts: { type: 'string' }, times: { type: 'string', default: '2' }, rounds: { type: 'string', default: '3' },
    clock: { type: 'string', default: 'processor' }, limit: { type: 'string', default: '300' }, peer: { type: 'string', multiple: true, default: [] }, image: { type: 'string' },
    image32: { type: 'string' }, json: { type: 'string' }, comparison: { type: 'boolean', default: false }, quick: { type: 'boolean', default: false },
    jobs: { type: 'string', default: String(availableParallelism()) },
  },
});
const list = (text) => text?.split(',').map((t) => t.trim()).filter((t) => t !== '');
const count = (option) => {
  const n = Number(o[option]);
  if (!Number.isInteger(n) || n < 1) throw new Error(`--${option}: a whole number greater than zero is needed`);
  return n;
};
const times = count('times'), rounds = count('rounds'), limit = count('limit'), parts = list(o.parts), widths = list(o.bits).map(Number);
for (const bits of widths) if (bits !== 64 && bits !== 32) throw new Error(`--bits: "${bits}" is neither 64 nor 32`);
if (o.clock !== 'processor' && o.clock !== 'wall') throw new Error('--clock: "processor" or "wall"');
if (spawnSync(process.execPath, [join(root, 'scripts/build.mjs')], { stdio: 'inherit' }).status !== 0) process.exit(1);

const geometricMean = (values) => Math.exp(values.reduce((sum, v) => sum + Math.log(v), 0) / values.length);
const cell = (value, digits = 3, width = 12) => (value === undefined ? '-' : value.toFixed(digits)).padStart(width);

/** Instructions of each part, once through: a functional cycle is an instruction. A repeated string instruction is one. */
async function instructions(image, append) {
  const { Machine } = await import('../dist/machine/machine.js'), { loadProfile } = await import('../dist/cli/files.js');
  const counts = new Map();
  let text = '', began = 0;
  const machine = new Machine({
    memoryBytes: 64 << 20, profile: loadProfile('nehalem-2008'), mode: 'functional', boot: { kind: 'image', image: { name: basename(image), bytes: readFileSync(image) }, commandLine: append },
    serial: (byte) => {
      if (byte !== 10) text += String.fromCharCode(byte);
      else {
        const [what, name] = text.split(' ');
        if (what === 'BEGIN') began = machine.cycles;
        else if (what === 'END') counts.set(name, machine.cycles - began);
        text = '';
      }
    },
  });
  machine.run();
  return counts;
}

/** One command line for each run: all parts, or one. */
const commandLines = parts === undefined ? [`rounds=${rounds}`] : parts.map((part) => `part=${part} rounds=${rounds}`);

/** Best seconds of each part for each contender; those that fail are left out, with the reason. */
async function measure(bits, image, list) {
  const found = new Map(), absent = new Map(), checksums = new Map();
  for (let time = 0; time < times; time++)
    for (const c of list) {
      if (!c.bits.includes(bits) || absent.has(c.name)) continue;
      const best = found.get(c.name) ?? new Map();
      for (const append of commandLines) {
        const run = await stampedRun(c.command(image, append), limit);
        if (!run.done) {
          absent.set(c.name, run.said || 'the guest did not come to its end');
          break;
        }
        for (const [part, t] of run.parts) {
          const before = best.get(part);
          best.set(part, { wall: Math.min(t.wall, before?.wall ?? Infinity), processor: Math.min(t.processor ?? t.wall, before?.processor ?? Infinity) });
          if (checksums.has(part) && checksums.get(part) !== t.checksum) throw new Error(`${c.name}: the ${bits}-bit guest computes ${t.checksum} in the part ${part}, others ${checksums.get(part)}`);
          checksums.set(part, t.checksum);
        }
      }
      if (!absent.has(c.name)) found.set(c.name, best);
    }
  for (const [name, why] of absent) console.log(`${name}, ${bits} bits: ${why}`);
  return { found, absent };
}

/** Which ratios the table has: [above, below] among those that ran. */
function ratios(names) {
  const engine = names.includes('compiled') ? 'compiled' : 'interpreter';
  const wanted = [[engine, 'QEMU'], [engine, 'v86'], ['compiled', 'interpreter'], [`${engine}-cycle`, engine], ...names.filter((n) => !/^(compiled|interpreter)(-cycle)?$|^QEMU$|^v86$/.test(n)).map((n) => [engine, n])];
  return wanted.filter(([a, b]) => a !== b && names.includes(a) && names.includes(b));
}

function print(bits, found, counts) {
  const names = [...found.keys()], rows = [...(found.get(names[0])?.keys() ?? [])];
  const seconds = (name, part) => {
    const t = found.get(name)?.get(part);
    return o.clock === 'wall' ? t?.wall : t?.processor;
  };
  const columns = ratios(names), engine = names.includes('compiled') ? 'compiled' : names.includes('interpreter') ? 'interpreter' : undefined;
  const cycle = engine !== undefined && names.includes(`${engine}-cycle`) ? `${engine}-cycle` : undefined;
  const speeds = [engine, cycle].filter((n) => n !== undefined);
  const width = (title) => Math.max(12, title.length + 2);
  const heads = [...names.map((n) => `${n} s`), ...columns.map(([a, b]) => `${a}/${b}`), ...speeds.map((n) => `${n} M/s`)];
  console.log(`\n${bits}-bit guest, ${o.clock} time, best of ${times}, ${o.image === undefined ? `${rounds} rounds` : 'another image'}\n${'part'.padEnd(10)}${heads.map((h) => h.padStart(width(h))).join('')}`);
  const table = [];
  for (const part of rows) {
    const ratio = ([a, b]) => (seconds(a, part) === undefined || seconds(b, part) === undefined ? undefined : seconds(a, part) / seconds(b, part));
    const speed = (name) => (counts.has(part) && seconds(name, part) !== undefined ? counts.get(part) / seconds(name, part) / 1e6 : undefined);
    const values = [...names.map((n) => seconds(n, part)), ...columns.map(ratio), ...speeds.map(speed)];
    console.log(part.padEnd(10) + values.map((v, i) => cell(v, i >= names.length + columns.length ? 0 : 3, width(heads[i]))).join(''));
    table.push({ part, seconds: Object.fromEntries(names.map((n) => [n, found.get(n).get(part)])), ratios: Object.fromEntries(columns.map((c) => [c.join('/'), ratio(c)])), instructions: counts.get(part) });
  }
  const total = (name) => rows.reduce((sum, part) => sum + (seconds(name, part) ?? NaN), 0);
  const means = columns.map(([a, b]) => geometricMean(rows.map((part) => seconds(a, part) / seconds(b, part))));
  console.log('sum, mean'.padEnd(10) + [...names.map(total), ...means].map((v, i) => cell(v, 3, width(heads[i]))).join(''));
  return { bits, clock: o.clock, table, means: Object.fromEntries(columns.map((c, i) => [c.join('/'), means[i]])) };
}

const all = contenders({ only: list(o.only), peers: o.peer });
const commit = spawnSync('git', ['rev-parse', '--short', 'HEAD'], { cwd: root, encoding: 'utf8' }).stdout?.trim() ?? '';
const about = { date: new Date().toISOString().slice(0, 10), commit, processor: cpus()[0]?.model ?? 'unknown', cores: cpus().length, load: loadavg()[0].toFixed(1), node: process.version };
console.log(`${about.date}, commit ${about.commit}, ${about.cores} x ${about.processor}, load ${about.load}, Node ${about.node}${all.filter((c) => c.version).map((c) => `, ${c.name} ${c.version}`).join('')}`);
const results = [];
for (const bits of widths) {
  const image = (bits === 64 ? o.image : o.image32) ?? build(bits), counts = new Map();
  const { found } = await measure(bits, image, all);
  if (found.size === 0) continue;
  const mine = all.some((c) => c.ours && found.has(c.name)); // only ours have a column of instructions a second
  for (const append of mine ? commandLines : []) for (const [part, n] of await instructions(image, append)) counts.set(part, n);
  results.push(print(bits, found, counts));
}
if (results.length > 0) console.log('\nRatios are of times: below 1 is faster. The mean is the geometric one. A repeated string instruction counts once, so the part strings has no meaningful M/s.');
const compared = o.comparison ? await comparison(root, o.quick, times, list(o.jobs)) : undefined;
if (o.json !== undefined) writeFileSync(o.json, `${JSON.stringify({ ...about, times, rounds, results, comparison: compared }, null, 2)}\n`);
