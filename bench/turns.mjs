// Two commands that take turns on one computer, a fifth of a second each: what other jobs take, they take from both.
import { spawn } from 'node:child_process';

const SLICE_MS = 200;

/**
 * Runs commands ({ name, args } for this Node.js) to their ends, all started at once and stopped but one, in turns of SLICE_MS. Returns the
 * seconds of each one's turns, by name. Where there are no such signals (Windows) they run one after the other. Throws when one fails.
 */
export async function inTurns(commands) {
  const seconds = {};
  const start = ({ name, args }) => {
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'ignore', 'pipe'], detached: process.platform !== 'win32' });
    let said = '';
    child.stderr.on('data', (data) => (said = (said + data).slice(-2000)));
    const ended = new Promise((resolve, reject) => {
      child.once('error', reject);
      child.once('exit', (status, signal) => (status === 0 ? resolve(true) : reject(new Error(`${args.slice(1).join(' ')} ended with ${signal ?? `status ${status}`}: ${said}`))));
    });
    seconds[name] = 0;
    return { name, child, ended };
  };
  const turn = async ({ name, ended }, timeout) => {
    const began = performance.now();
    const done = await Promise.race([ended, ...(timeout === undefined ? [] : [new Promise((resolve) => setTimeout(resolve, timeout))])]);
    seconds[name] += (performance.now() - began) / 1000;
    return done === true;
  };
  if (process.platform === 'win32') {
    for (const c of commands) await turn(start(c));
    return seconds;
  }
  const signal = ({ child }, name) => {
    if (child.exitCode === null && child.signalCode === null) process.kill(-child.pid, name);
  };
  let live = commands.map(start);
  for (const c of live) signal(c, 'SIGSTOP');
  try {
    while (live.length > 0)
      for (const c of [...live]) {
        signal(c, 'SIGCONT');
        if (await turn(c, live.length > 1 ? SLICE_MS : undefined)) live = live.filter((l) => l !== c);
        else signal(c, 'SIGSTOP');
      }
    return seconds;
  } finally {
    for (const c of live) signal(c, 'SIGKILL');
  }
}
