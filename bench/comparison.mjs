// The default comparison with each engine: how much faster one is, and whether the results are the same to the byte.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const FILES = ['results.csv', 'exits.csv'];

const ENGINES = ['auto', 'interpreter'];

/** Runs the comparison with `auto` and `interpreter` in turns, so many times each; prints and returns the best seconds, factor, and the files that differ. */
export function comparison(root, quick, times) {
  const folder = mkdtempSync(join(tmpdir(), 'xenolith-bench-')), seconds = { auto: Infinity, interpreter: Infinity };
  try {
    for (let i = 0; i < times; i++) {
      // Who comes first changes: the computer is not the same in the first and the second half of a minute.
      for (const engine of i % 2 === 0 ? ENGINES : [...ENGINES].reverse()) {
        const began = performance.now();
        const run = spawnSync(process.execPath, [join(root, 'bin/xenolith.js'), 'compare', '--engine', engine, '--out', join(folder, engine), ...(quick ? ['--quick'] : [])], { stdio: ['ignore', 'ignore', 'inherit'] });
        if (run.status !== 0) throw new Error(`xenolith compare --engine ${engine} ended with status ${run.status}`);
        seconds[engine] = Math.min(seconds[engine], (performance.now() - began) / 1000);
      }
    }
    const different = FILES.filter((f) => !readFileSync(join(folder, 'auto', f)).equals(readFileSync(join(folder, 'interpreter', f))));
    const factor = seconds.interpreter / seconds.auto;
    console.log(`\nxenolith compare${quick ? ' --quick' : ''}: ${seconds.auto.toFixed(1)} s, with --engine interpreter ${seconds.interpreter.toFixed(1)} s: factor ${factor.toFixed(2)}; ${FILES.join(', ')}: ${different.length === 0 ? 'the same to the byte' : `${different.join(', ')} DIFFER`}`);
    if (different.length > 0) process.exitCode = 1;
    return { seconds, factor, different };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
