/** The engine in a browser: a worker that boots an image on a machine and says what came of it. Built by scripts/check-browser.mjs. */

import { SeededDisk } from '../../src/machine/disks.js';
import { Machine } from '../../src/machine/machine.js';
import { parseProfile } from '../../src/machine/profile.js';
import type { TimeMode } from '../../src/machine/config.js';

interface Job {
  readonly profile: unknown;
  readonly image: Uint8Array;
  readonly commandLine: string;
  readonly mode: TimeMode;
}

/** Runs a job; the same function serves the browser's worker and Node. */
export function runJob(job: Job): { console: string; stop: string; instructions: number; cycles: number } {
  const out: number[] = [];
  const machine = new Machine({
    memoryBytes: 128 << 20,
    profile: parseProfile(job.profile, 'profile'),
    boot: { kind: 'image', image: { name: 'image', bytes: job.image }, commandLine: job.commandLine },
    mode: job.mode,
    disks: [{ backend: new SeededDisk(262_144, 1) }],
    nic: { model: 'e1000' },
    serial: (byte) => out.push(byte),
  });
  const stop = machine.run({ instructions: 500_000_000 });
  return { console: String.fromCharCode(...out), stop: JSON.stringify(stop), instructions: machine.instructions, cycles: machine.cycles };
}

const scope = globalThis as unknown as { document?: unknown; process?: unknown; onmessage?: unknown; postMessage?: (m: unknown) => void };
if (scope.process === undefined) {
  scope.onmessage = (e: { data: Job }) => {
    try {
      scope.postMessage!({ result: runJob(e.data) });
    } catch (error) {
      scope.postMessage!({ error: String((error as Error).stack ?? error) });
    }
  };
}
