// Makes a checkout ready to run: installs the locked packages when they are missing or differ from package-lock.json, then
// builds what is out of date. Uses nothing but Node and npm, because it runs before anything is installed.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const readJson = (file) => JSON.parse(readFileSync(join(root, file), 'utf8'));

/** Does node_modules hold what the lock file says? npm leaves its own list of what it installed there. */
function installed() {
  if (!existsSync(join(root, 'node_modules/.package-lock.json'))) return false;
  const wanted = readJson('package-lock.json').packages;
  const present = readJson('node_modules/.package-lock.json').packages;
  for (const [path, entry] of Object.entries(wanted)) {
    if (path === '') continue;
    const have = present[path];
    // Packages for other operating systems are optional and rightly absent.
    if (have === undefined ? !entry.optional : have.version !== entry.version || have.integrity !== entry.integrity) return false;
    if (have !== undefined && !existsSync(join(root, path))) return false;
  }
  return Object.keys(present).every((path) => path in wanted);
}

if (!installed()) {
  console.error('xenolith: installing the locked packages (npm ci)');
  const npm = process.env.npm_execpath;
  const [command, args] = npm && /\.c?js$/.test(npm) ? [process.execPath, [npm, 'ci']] : ['npm', ['ci']];
  const shell = process.platform === 'win32' && command === 'npm';
  const result = spawnSync(command, args, { cwd: root, stdio: ['ignore', process.stderr, process.stderr], shell });
  if (result.status !== 0) {
    console.error('xenolith: npm ci failed; the packages of package-lock.json could not be installed');
    process.exit(result.status ?? 1);
  }
}
const { buildAll } = await import('./build.mjs');
process.exitCode = await buildAll();
