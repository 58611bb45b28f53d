// Who runs the speed guest, and how each is started: our engines, and other emulators that are there.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url)), root = join(here, '..');
const V86 = 'v86@0.5.462';

const ours = (name, engine, mode) => ({
  name, ours: true, mode, bits: [64, 32],
  command: (image, append) => [process.execPath, join(root, 'bin/xenolith.js'), 'run', image, '--append', append, '--memory', '64M', '--engine', engine, '--mode', mode],
});

/** v86 from npm, in a folder of its own: no dependency of ours. Undefined, with a line that says why, when it cannot be had. */
function v86() {
  const folder = join(root, 'build/bench/v86');
  if (!existsSync(join(folder, 'node_modules/v86/build/v86.wasm'))) {
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, 'package.json'), '{ "private": true }\n');
    const installed = spawnSync('npm', ['install', '--no-audit', '--no-fund', V86], { cwd: folder, stdio: 'ignore', shell: process.platform === 'win32' });
    if (installed.status !== 0) {
      console.log(`skipped: v86: npm cannot install ${V86}`);
      return undefined;
    }
  }
  return { name: 'v86', bits: [32], command: (image, append) => [process.execPath, join(here, 'v86-guest.mjs'), folder, image, append] };
}

function qemu() {
  const program = process.env.QEMU ?? 'qemu-system-x86_64', version = spawnSync(program, ['--version'], { encoding: 'utf8' });
  if (version.status !== 0) {
    console.log(`skipped: QEMU: ${program} is not installed (QEMU names another program)`);
    return undefined;
  }
  return {
    name: 'QEMU', bits: [64, 32], version: /version (\S+)/.exec(version.stdout)?.[1],
    command: (image, append) => [program, '-accel', 'tcg', '-m', '64', '-display', 'none', '-monitor', 'none', '-serial', 'stdio', '-no-reboot', '-kernel', image, '-append', append],
  };
}

/** `NAME=PROGRAM ARGUMENTS` with {kernel} and {append}; the program's standard output is COM1. */
function peer(text) {
  const [, name, command] = /^(\w+)=(.+)$/.exec(text) ?? [];
  if (name === undefined) throw new Error(`--peer: "${text}" is not NAME=PROGRAM ARGUMENTS with {kernel} and {append}`);
  return { name, bits: [64, 32], command: (kernel, append) => command.split(' ').map((word) => word.replace(/\{(kernel|append)\}/g, (_, key) => ({ kernel, append })[key])) };
}

/** All contenders, in the order of the table. @param only names that are wanted; all without it */
export function contenders({ only, peers }) {
  const makers = {
    interpreter: () => ours('interpreter', 'interpreter', 'functional'),
    compiled: () => ours('compiled', 'auto', 'functional'), // what users get; the choice `compiler` compiles cold code too, for tests
    'interpreter-cycle': () => ours('interpreter-cycle', 'interpreter', 'cycle'),
    'compiled-cycle': () => ours('compiled-cycle', 'auto', 'cycle'),
    QEMU: qemu,
    v86,
  };
  for (const text of peers) {
    const p = peer(text);
    makers[p.name] = () => p;
  }
  for (const name of only ?? []) if (!(name in makers)) throw new Error(`--only: unknown contender "${name}"; there are ${Object.keys(makers).join(', ')}`);
  return Object.entries(makers).filter(([name]) => only === undefined || only.includes(name)).flatMap(([, make]) => make() ?? []);
}
