// npm run build:ui: the page of `xenolith ui` as a folder of static files, dist/ui: the bundle that vite makes of src/web, the built
// images, the profiles, and the C sources as one file that the page loads when it needs it. Nothing is done when nothing changed.
//
// catalogue.json says what is there, and `build`: a hash of everything that decides how a run goes. A link made by a page with another
// `build` may lead elsewhere; the page says so.
import { createHash } from 'node:crypto';
import { cpSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { basename, dirname, join, relative, sep } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { buildAll, filesBelow, hashOf, isCInput, isSource, lockedVersion } from './build.mjs';
import { icedWithoutNode } from './iced-without-node.mjs';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const OUT = join(root, 'dist/ui'), STAMP = join(root, 'dist/.ui-stamp');
const WEB = join(root, 'src/web');
const IMAGES = {
  hypervisor: 'build/hypervisor/xenolith.elf', dom0: 'build/guests/dom0.elf',
  native: 'build/guests/workload-native.elf', hvm: 'build/guests/workload-hvm.elf', pv: 'build/guests/workload-pv.elf',
};
const PACKAGES = ['vite', 'preact', '@preact/signals', '@xterm/xterm', '@codemirror/view', 'chart.js', 'iced-x86'];

const imageFiles = () => Object.values(IMAGES).map((f) => join(root, f));
const profileFiles = () => filesBelow(join(root, 'profiles'), (n) => n.endsWith('.json'));
const cSources = () => ['src/hypervisor', 'guests'].flatMap((f) => filesBelow(join(root, f), (n) => isCInput(n) && !n.endsWith('.mjs')));
const engineSources = () => filesBelow(join(root, 'src'), isSource).filter((f) => !f.startsWith(WEB + sep) && !f.startsWith(join(root, 'src/cli') + sep));
const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex');

function catalogue() {
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const images = Object.fromEntries(Object.entries(IMAGES).map(([name, file]) => {
    const bytes = readFileSync(join(root, file));
    return [name, { file: `images/${basename(file)}`, name: basename(file), bytes: bytes.length, sha256: sha256(bytes) }];
  }));
  return { version, build: hashOf([...engineSources(), ...imageFiles(), ...profileFiles()]).slice(0, 12), images };
}

function writeData() {
  const write = (name, value) => writeFileSync(join(OUT, name), JSON.stringify(value));
  mkdirSync(join(OUT, 'images'), { recursive: true });
  for (const file of imageFiles()) cpSync(file, join(OUT, 'images', basename(file)));
  write('profiles.json', Object.fromEntries(profileFiles().map((f) => [basename(f, '.json'), JSON.parse(readFileSync(f, 'utf8'))])));
  write('sources.json', Object.fromEntries(cSources().map((f) => [relative(root, f).split(sep).join('/'), readFileSync(f, 'utf8')])));
  write('catalogue.json', catalogue());
}

async function bundle() {
  const { build } = await import('vite');
  await build({
    root: WEB, configFile: false, logLevel: 'error', base: './', publicDir: false, plugins: [icedWithoutNode()],
    worker: { format: 'es', plugins: () => [icedWithoutNode()] },
    build: { outDir: OUT, emptyOutDir: true, target: 'es2022', chunkSizeWarningLimit: 10_000, assetsInlineLimit: 0 },
  });
}

/** Builds the page where its inputs changed, and before it what it is made from. Returns the exit status: 0, or 1. */
export async function buildUi({ force = false } = {}) {
  const status = await buildAll();
  if (status !== 0) return status;
  const inputs = [...filesBelow(WEB, () => true), ...engineSources(), ...imageFiles(), ...profileFiles(), ...cSources(), fileURLToPath(import.meta.url)];
  const hash = hashOf(inputs, ...PACKAGES.map(lockedVersion));
  if (!force && existsSync(STAMP) && readFileSync(STAMP, 'utf8') === hash && existsSync(join(OUT, 'index.html'))) return 0;
  console.error('xenolith: building the page');
  rmSync(STAMP, { force: true });
  try {
    await bundle();
    writeData();
  } catch (error) {
    console.error(`xenolith: building the page failed: ${error.message}`);
    return 1;
  }
  writeFileSync(STAMP, hash);
  return 0;
}

/** Bytes of each file of the built page, by path. */
export const sizes = () => Object.fromEntries(readdirSync(OUT, { recursive: true, withFileTypes: true })
  .filter((e) => e.isFile()).map((e) => join(e.parentPath ?? e.path, e.name)).map((f) => [relative(OUT, f), readFileSync(f).length]));

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) process.exitCode = await buildUi({ force: process.argv.includes('--force') });
