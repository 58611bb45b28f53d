// Starts an emulator whose COM1 comes out of a pipe, and stamps the guest's lines when they arrive: the same for every emulator.
import { spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';

/**
 * A clock of the processor time that a process and its threads use, where the system tells it (Linux): other jobs on the computer make the
 * time of day longer, and this hardly. It gives seconds, or undefined where there is none, or the process is gone.
 */
function processorClock(pid) {
  const tasks = `/proc/${pid}/task`, used = new Map(); // a thread that has ended keeps what it had
  return () => {
    try {
      for (const task of readdirSync(tasks))
        try {
          used.set(task, Number(readFileSync(`${tasks}/${task}/schedstat`, 'latin1').split(' ')[0]));
        } catch {
          // It ended meanwhile.
        }
    } catch {
      return undefined;
    }
    return used.size === 0 ? undefined : [...used.values()].reduce((sum, ns) => sum + ns, 0) / 1e9;
  };
}

/**
 * Runs a guest that prints BEGIN NAME and END NAME CHECKSUM lines and DONE.
 * @param command program and arguments @param limit seconds after which it is ended
 * @returns {Promise<{parts: Map<string, {wall: number, processor?: number, checksum: string}>, done: boolean, said: string}>}
 *   seconds of each part that came to its end; whether DONE came; the last line on standard error
 */
export function stampedRun([program, ...args], limit) {
  return new Promise((resolve) => {
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] }), parts = new Map();
    const clock = processorClock(child.pid);
    let text = '', said = '', began, done = false, settled = false;
    const settle = () => {
      if (settled) return;
      settled = true;
      clearTimeout(timer);
      child.kill('SIGKILL');
      resolve({ parts, done, said: said.trim().split('\n').pop() });
    };
    const timer = setTimeout(() => {
      said += `\nended after ${limit} s`;
      settle();
    }, limit * 1000);
    const line = (words, stamp) => {
      // Firmware may leave characters in front of the first line.
      if (words.at(-2)?.endsWith('BEGIN')) began = { name: words.at(-1), ...stamp };
      else if (words.length >= 3 && words.at(-3).endsWith('END') && began?.name === words.at(-2)) {
        const processor = stamp.processor === undefined || began.processor === undefined ? undefined : stamp.processor - began.processor;
        parts.set(began.name, { wall: stamp.wall - began.wall, processor, checksum: words.at(-1) });
      } else if (words.at(-1)?.endsWith('DONE')) {
        done = true;
        settle();
      }
    };
    child.stdout.on('data', (chunk) => {
      const stamp = { wall: performance.now() / 1000, processor: clock() };
      text += chunk.toString('latin1');
      const lines = text.split('\n');
      text = lines.pop();
      for (const l of lines) line(l.trim().split(/\s+/), stamp);
    });
    child.stderr.on('data', (chunk) => (said += chunk.toString('utf8')));
    child.on('error', (e) => {
      said += `\n${e.message}`;
      settle();
    });
    child.on('close', settle);
  });
}
