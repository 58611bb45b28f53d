// npm run check:browser: the engine and everything below cli/ in a real browser.
//
// Bundles the machine with vite, runs the workloads of the bare machine in a worker of headless Chromium and in Node, in both
// modes, and compares console, instructions and cycles. CHROMIUM names the browser; without one the check is skipped and says so.
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { icedWithoutNode } from './iced-without-node.mjs';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const browser = [process.env.CHROMIUM, '/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find((p) => p && existsSync(p));
if (browser === undefined) {
  console.log('check:browser: skipped, no Chromium found (install one, or name it with CHROMIUM=PATH)');
  process.exit(0);
}
const { build } = await import('vite');
const { chromium } = await import('playwright-core');

const folder = mkdtempSync(join(tmpdir(), 'xenolith-browser-'));
async function bundle(outDir) {
  await build({
    root, configFile: false, logLevel: 'error', plugins: [icedWithoutNode()],
    build: { outDir, emptyOutDir: true, minify: false, target: 'es2022', lib: { entry: join(root, 'test/browser/worker.ts'), formats: ['es'], fileName: () => 'worker.mjs' } },
  });
  return join(outDir, 'worker.mjs');
}

const jobs = ['functional', 'cycle'].map((mode) => ({
  mode,
  profile: JSON.parse(readFileSync(join(root, 'profiles/barcelona-2007.json'), 'utf8')),
  commandLine: 'w=diskseq:ops=4:size=4096,nettx:ops=16:size=1400,netrr:ops=4,cpuid:ops=50,pagefault:ops=64',
}));
const image = readFileSync(join(root, 'build/guests/workload-native.elf'));
let status = 0;
const file = await bundle(join(folder, 'web'));
const server = createServer((q, r) => {
  if (q.url === '/worker.mjs') r.writeHead(200, { 'content-type': 'text/javascript' }).end(readFileSync(file));
  else r.writeHead(200, { 'content-type': 'text/html' }).end('<!doctype html><title>check</title><link rel="icon" href="data:,">');
}).listen(0, '127.0.0.1');
await new Promise((resolve) => server.once('listening', resolve));
const app = await chromium.launch({ executablePath: browser, args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-sync', '--no-first-run'] });
try {
  const page = await app.newPage();
  const complaints = [];
  page.on('console', (m) => m.type() === 'error' && complaints.push(m.text()));
  page.on('pageerror', (e) => complaints.push(String(e)));
  await page.goto(`http://127.0.0.1:${server.address().port}/`);
  const { runJob } = await import(pathToFileURL(file).href);
  for (const job of jobs) {
    const inNode = runJob({ ...job, image: new Uint8Array(image) });
    const inBrowser = await page.evaluate(
      ({ job, image }) =>
        new Promise((resolve) => {
          const worker = new Worker('/worker.mjs', { type: 'module' });
          worker.onmessage = (e) => resolve(e.data);
          worker.onerror = (e) => resolve({ error: e.message });
          worker.postMessage({ ...job, image: Uint8Array.from(atob(image), (c) => c.charCodeAt(0)) });
        }),
      { job, image: image.toString('base64') },
    );
    const same = inBrowser.result !== undefined && JSON.stringify(inBrowser.result) === JSON.stringify(inNode) && /workloads done: ok/.test(inNode.console);
    console.log(`check:browser: ${job.mode}: ${same ? `the same in both: ${inNode.instructions} instructions, ${inNode.cycles} cycles` : 'DIFFERENT'}`);
    if (!same) {
      console.log(inBrowser.error ?? `browser: ${JSON.stringify(inBrowser.result)}\nNode:    ${JSON.stringify(inNode)}`);
      status = 1;
    }
  }
  for (const c of complaints) console.log(`check:browser: the page complained: ${c}`);
  if (complaints.length > 0) status = 1;
} finally {
  await app.close();
  server.close();
  rmSync(folder, { recursive: true });
}
process.exit(status);
