// The default comparison with each engine: how much faster one is, and whether the results are the same to the byte.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inTurns } from './turns.mjs';

const FILES = ['results.csv', 'exits.csv'];
/** What `auto` is given: nothing compiled before, as in a first comparison; or what the comparison before it has left. */
const RUNS = { first: ['--no-code-cache'], following: [] };

/**
 * Runs the comparison with `--engine interpreter` and without, in turns of a fifth of a second, `times` times for each number of jobs; prints and
 * returns mean seconds and mean factor (geometric), least and greatest, and the files that differ.
 */
export async function comparison(root, quick, times, jobs) {
  const folder = mkdtempSync(join(tmpdir(), 'xenolith-bench-')), results = [];
  const args = (name, more) => [join(root, 'bin/xenolith.js'), 'compare', '--out', join(folder, name), ...(quick ? ['--quick'] : []), ...more];
  try {
    for (const n of jobs)
      for (const [run, options] of Object.entries(RUNS)) {
        const both = [{ name: 'interpreter', args: args('interpreter', ['--jobs', n, '--engine', 'interpreter']) }, { name: 'auto', args: args('auto', ['--jobs', n, ...options]) }];
        if (run === 'following') {
          const { status, stderr } = spawnSync(process.execPath, both[1].args, { stdio: ['ignore', 'ignore', 'pipe'], encoding: 'utf8' });
          if (status !== 0) throw new Error(`xenolith compare ended with status ${status}: ${stderr}`);
        }
        const pairs = [];
        for (let i = 0; i < times; i++) pairs.push(await inTurns(i % 2 === 0 ? both : [...both].reverse()));
        const different = FILES.filter((f) => !readFileSync(join(folder, 'auto', f)).equals(readFileSync(join(folder, 'interpreter', f))));
        const factors = pairs.map(({ auto, interpreter }) => interpreter / auto), mean = (values) => values.reduce((a, b) => a + b, 0) / values.length;
        const r = {
          run, jobs: Number(n), auto: mean(pairs.map((p) => p.auto)), interpreter: mean(pairs.map((p) => p.interpreter)),
          factor: Math.exp(mean(factors.map(Math.log))), least: Math.min(...factors), greatest: Math.max(...factors), different,
        };
        results.push(r);
        console.log(
          `xenolith compare${quick ? ' --quick' : ''} --jobs ${n}, ${run} run: ${r.auto.toFixed(1)} s, with --engine interpreter ${r.interpreter.toFixed(1)} s: factor ${r.factor.toFixed(2)} ` +
            `(${r.least.toFixed(2)} to ${r.greatest.toFixed(2)}); ${FILES.join(', ')}: ${different.length === 0 ? 'the same to the byte' : `${different.join(', ')} DIFFER`}`,
        );
        if (different.length > 0) process.exitCode = 1;
      }
    return results;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
