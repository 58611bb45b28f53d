// npm run check:ui: the page of `xenolith ui` in a real browser, as somebody uses it.
//
// Serves the built page below a sub-path, opens it in headless Chromium, boots the default experiment's HVM guest, steps to its first
// I/O exit, looks at the sentence, the changed fields and the source line, goes back before it and forward again to the same state, does it with the
// keyboard alone, and takes screenshots. CHROMIUM names the browser; without one the check is skipped and says so.
import { existsSync, mkdirSync, mkdtempSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { availableParallelism, loadavg, tmpdir } from 'node:os';
import { dirname, extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildUi, sizes } from './build-ui.mjs';

const root = join(dirname(fileURLToPath(import.meta.url)), '..'), PAGE = join(root, 'dist/ui');
const browser = [process.env.CHROMIUM, '/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find((p) => p && existsSync(p));
if (browser === undefined) {
  console.log('check:ui: skipped, no Chromium found (install one, or name it with CHROMIUM=PATH)');
  process.exit(0);
}
if ((await buildUi()) !== 0) process.exit(1);
const { chromium } = await import('playwright-core');

const FIRST_STOP_MS = 5000, STEP_MS = 50, PREFIX = '/any/sub-path/';
const TYPES = { '.html': 'text/html', '.js': 'text/javascript', '.css': 'text/css', '.json': 'application/json', '.svg': 'image/svg+xml' };
const server = createServer((request, response) => {
  const { pathname } = new URL(request.url, 'http://localhost');
  const file = join(PAGE, pathname.startsWith(PREFIX) ? pathname.slice(PREFIX.length) || 'index.html' : 'nothing');
  if (!existsSync(file)) response.writeHead(404).end();
  else response.writeHead(200, { 'content-type': TYPES[extname(file)] ?? 'application/octet-stream' }).end(readFileSync(file));
}).listen(0, '127.0.0.1');
await new Promise((resolve) => server.once('listening', resolve));
const address = `http://127.0.0.1:${server.address().port}${PREFIX}`;
const shots = process.env.SCREENSHOTS ?? mkdtempSync(join(tmpdir(), 'xenolith-ui-'));
mkdirSync(shots, { recursive: true });

let wrong = 0;
const say = (ok, text) => {
  console.log(`check:ui: ${ok ? 'ok   ' : 'WRONG'} ${text}`);
  if (!ok) wrong++;
};
const app = await chromium.launch({ executablePath: browser, args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-sync', '--no-first-run'] });
const complaints = [];

async function openPage(options = {}, hash = '') {
  const page = await app.newPage({ viewport: { width: 1440, height: 900 }, ...options });
  page.on('console', (m) => m.type() === 'error' && complaints.push(m.text()));
  page.on('pageerror', (e) => complaints.push(String(e)));
  await page.goto(address + hash);
  await page.waitForSelector('.insn.current', { timeout: 60_000 });
  return page;
}
/** Until nothing runs any more. */
const quiet = (page) => page.waitForFunction(() => document.querySelector('[data-busy=false]') !== null, null, { timeout: 300_000 });
async function press(page, key) {
  await page.keyboard.press(key);
  await page.waitForTimeout(20);
  await quiet(page);
}
/** Everything that the panes show of a state, as text; not where fields differ because another way led here. */
const shown = (page) => page.evaluate(() => {
  const texts = (selector) => [...document.querySelectorAll(selector)].map((e) => e.textContent);
  return JSON.stringify([
    texts('.standing dd').slice(0, 2), texts('.insn'), texts('.reg .name, .reg .value, .reg .decoded'), texts('.field .name, .field .value'),
    texts('[data-sentence]'), document.querySelector('[data-source]')?.textContent,
  ]);
});
const text = (page, selector) => page.evaluate((s) => document.querySelector(s)?.textContent ?? '', selector);

/** Steps by exits until one is of an I/O instruction. */
async function toFirstIo(page) {
  for (let i = 0; i < 200; i++) {
    await press(page, 'x');
    if (/^(IO_INSTRUCTION|IOIO)/.test(await text(page, '.reason'))) return i + 1;
  }
  return 0;
}

try {
  const bytes = sizes();
  console.log(`check:ui: the page is ${Object.keys(bytes).length} files of ${(Object.values(bytes).reduce((a, b) => a + b, 0) / 2 ** 20).toFixed(1)} MiB`);
  const page = await openPage();
  await page.waitForFunction(() => performance.getEntriesByName('xenolith-first-stop').length > 0);
  const firstStop = await page.evaluate(() => performance.getEntriesByName('xenolith-first-stop')[0].duration);
  console.log(`check:ui: times with a load of ${loadavg()[0].toFixed(1)} on ${availableParallelism()} processors`);
  say(firstStop < FIRST_STOP_MS, `first stop painted ${Math.round(firstStop)} ms after opening (at most ${FIRST_STOP_MS})`);

  const exits = await toFirstIo(page);
  say(exits > 0, `the guest's first I/O exit, after ${exits} exits: ${await text(page, '[data-sentence]')}`);
  say(/(IN|OUT)\w* .*exited because.*bit/.test(await text(page, '[data-sentence]')), 'the sentence says which instruction and which bit');
  say(/^src\/hypervisor\/hvm\/\S+:\d+$/.test(await text(page, '[data-source]')), `the source line is the hypervisor's: ${await text(page, '[data-source]')}`);
  const changed = await page.evaluate(() => [...document.querySelectorAll('.field[data-changed=true]')].map((e) => e.dataset.field));
  say(changed.length > 0, `fields marked as changed: ${changed.join(', ')}`);

  const there = await shown(page);
  await page.screenshot({ path: join(shots, 'exit-1440-light.png') });
  await press(page, 'Shift+X');
  const before = await shown(page);
  await press(page, 'x');
  say(before !== there && (await shown(page)) === there, 'one exit back and forward again: the same state');
  await press(page, 'Shift+I');
  say((await shown(page)) !== there, 'one instruction back: another state');
  await press(page, 'i');
  say((await shown(page)) === there, 'one instruction forward again: the same state');

  const times = [];
  for (let i = 0; i < 30; i++) {
    await page.keyboard.press('i');
    await page.waitForTimeout(60);
    await quiet(page);
    times.push(await page.evaluate(() => performance.getEntriesByName('xenolith-move').at(-1)?.duration ?? NaN));
  }
  times.sort((a, b) => a - b);
  const median = times[times.length >> 1];
  say(median < STEP_MS, `a single step with all panes: median ${median.toFixed(0)} ms, worst ${times.at(-1).toFixed(0)} ms of ${times.length} (median at most ${STEP_MS})`);

  await page.waitForTimeout(500);
  const hash = await page.evaluate(() => location.hash), standing = await shown(page);
  const second = await openPage({}, hash);
  await quiet(second);
  const facts = (s) => JSON.stringify(JSON.parse(s).slice(0, 4));
  say(facts(await shown(second)) === facts(standing), 'the link opens the same state in another page');
  await second.close();
  const other = await openPage({}, hash.replace(/v=[^&]*/, 'v=0.0.1-other'));
  await quiet(other);
  say(/made by version 0\.0\.1-other/.test(await text(other, '.remark')), 'a link of another version says so');
  await other.close();

  await sessions(page);
  for (const [width, colorScheme] of [[1440, 'dark'], [800, 'light'], [800, 'dark']]) {
    await page.setViewportSize({ width, height: width === 800 ? 1100 : 900 });
    await page.emulateMedia({ colorScheme });
    await page.waitForTimeout(300);
    await page.screenshot({ path: join(shots, `exit-${width}-${colorScheme}.png`), fullPage: true });
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    say(wide <= 0, `${width} pixels, ${colorScheme}: nothing sticks out to the right`);
  }
  await keyboard(page);
  await interrupts(page);
  await page.close();
  await textScreen();
  await hostile();
} finally {
  await app.close();
  server.close();
}

/** A session saved and opened again is the same state; one cut short is refused, and the machine stays. */
async function sessions(page) {
  const [download] = await Promise.all([page.waitForEvent('download'), page.getByRole('button', { name: 'Save' }).click()]);
  const saved = readFileSync(await download.path()), facts = (s) => JSON.stringify(JSON.parse(s).slice(0, 2));
  const open = async (name, buffer) => {
    await page.setInputFiles('header.top input[type=file]', { name, mimeType: 'application/json', buffer });
    await page.waitForTimeout(200);
    await quiet(page);
  };
  const standing = facts(await shown(page));
  await open('cut.json', saved.subarray(0, saved.length / 2));
  say(/cut\.json: .*cut short/.test(await text(page, '.complaint')), `a session file cut short is refused: ${await text(page, '.complaint')}`);
  await press(page, 'x');
  say(facts(await shown(page)) !== standing, 'the machine goes on after that');
  await open('session.json', saved);
  say(facts(await shown(page)) === standing, `a saved session opens at the same state (${saved.length} bytes)`);
}

/** What runs can be interrupted, and stands where it can go on. */
async function interrupts(page) {
  await page.evaluate(() => document.activeElement?.blur());
  await page.keyboard.press('c');
  await page.waitForTimeout(30);
  await page.keyboard.press('Escape');
  await quiet(page);
  say((await text(page, '.status')) === 'Interrupted.', `Escape interrupts a run: ${await text(page, '.status')}`);
  const at = await text(page, '.standing dd');
  await press(page, 'i');
  say((await text(page, '.standing dd')) !== at, 'and it goes on from there');
}

/** A Multiboot image that writes `message` to COM1 and ends. */
function sayingImage(message) {
  const LOAD = 0x100000, HEADER = 32, code = [0xbe, 0, 0, 0, 0, 0xac, 0x84, 0xc0, 0x74, 7, 0x66, 0xba, 0xf8, 3, 0xee, 0xeb, 0xf4, 0xb0, 0, 0xe6, 0xf4, 0xf4];
  const text = new TextEncoder().encode(message), bytes = Buffer.alloc(HEADER + code.length + text.length + 1);
  [0x1badb002, 0x10000, -(0x1badb002 + 0x10000) >>> 0, LOAD, LOAD, 0, 0, LOAD + HEADER].forEach((word, i) => bytes.writeUInt32LE(word, 4 * i));
  bytes.set(code, HEADER);
  bytes.writeUInt32LE(LOAD + HEADER + code.length, HEADER + 1);
  bytes.set(text, HEADER + code.length);
  return bytes;
}

/** A Multiboot image that writes `words` (character, attribute) to text memory and ends. */
function writingImage(words) {
  const LOAD = 0x100000, HEADER = 32;
  const code = [...words.flatMap((w, i) => [0x66, 0xc7, 5, (2 * i) & 255, 0x80, 0x0b, 0, w & 255, w >> 8]), 0xb0, 0, 0xe6, 0xf4]; // mov word [0xb8000 + 2 * i], w; mov al, 0; out 0xf4, al
  const bytes = Buffer.alloc(HEADER + code.length);
  [0x1badb002, 0x10000, -(0x1badb002 + 0x10000) >>> 0, LOAD, LOAD, 0, 0, LOAD + HEADER].forEach((word, i) => bytes.writeUInt32LE(word, 4 * i));
  bytes.set(code, HEADER);
  return bytes;
}

/** The text screen: untouched, written to, and untouched again at the beginning. */
async function textScreen() {
  const page = await openPage(), message = '<b>on the screen</b>';
  await page.click('#tab-screen');
  const untouched = await text(page, '#panel-screen');
  await page.setInputFiles('header.top input[type=file]', { name: 'screen.bin', mimeType: 'application/octet-stream', buffer: writingImage([...message].map((c) => c.charCodeAt(0) | 0x1f00)) });
  await page.waitForSelector('dialog[open] h3');
  await page.getByRole('button', { name: 'Start the image' }).click();
  await page.waitForTimeout(100);
  await quiet(page);
  await press(page, 'c');
  await page.waitForSelector('.screen-row');
  const row = await text(page, '.screen-row'), elements = await page.evaluate(() => document.querySelectorAll('.screen b').length);
  say(row.trimEnd() === message && elements === 0, `what a guest writes to the screen is text in its tab: ${row.trimEnd()}`);
  await page.screenshot({ path: join(shots, 'screen-1440-light.png') });
  await press(page, 'Shift+C');
  say(untouched === 'Nothing has been written to the screen yet.' && (await text(page, '#panel-screen')) === untouched, `and before it had: ${await text(page, '#panel-screen')}`);
  await page.close();
}

/** An image of one's own, whose name and output try to be markup, terminal titles and links. */
async function hostile() {
  const page = await openPage();
  await page.evaluate(() => (globalThis.hit = 0));
  const name = '<img src=x onerror="hit++">.bin';
  const message = '<script>hit++</script><img src=x onerror="hit++">\r\n\x1b]0;owned\x07\x1b]8;;javascript:hit++\x07link\x1b]8;;\x07\x1b[2J\x9b31mred' + '\r\n(XEN) <b>bold</b>\r\n(d1) &amp;<i>\r\nlast line\r\n';
  await page.setInputFiles('header.top input[type=file]', { name, mimeType: 'application/octet-stream', buffer: sayingImage(message) });
  await page.waitForSelector('dialog[open] h3');
  await page.getByRole('button', { name: 'Start the image' }).click();
  await page.waitForTimeout(100);
  await quiet(page);
  await press(page, 'c');
  await page.waitForTimeout(300);
  say(/ended/.test(await text(page, '.status')), `an image of one's own runs to its end: ${await text(page, '.status')}`);
  const terminal = await page.evaluate(() => document.querySelector('.xterm')?.textContent ?? '');
  say(terminal.includes('last line'), "the image's output is on the console");
  const found = await page.evaluate(() => ({ hit: globalThis.hit, title: document.title, elements: document.querySelectorAll('#app img, #app script, #app b, #app i, .xterm a').length, name: document.querySelector('.what')?.textContent }));
  say(found.hit === 0 && found.title === 'Xenolith' && found.elements === 0, `its output and name are text, never markup (${JSON.stringify(found)})`);
  await page.setInputFiles('header.top input[type=file]', { name: 'no-image.bin', mimeType: 'application/octet-stream', buffer: Buffer.from('nothing that starts') });
  await page.waitForSelector('dialog[open] h3');
  await page.getByRole('button', { name: 'Start the image' }).click();
  await page.waitForTimeout(100);
  await quiet(page);
  say(/no-image\.bin/.test(await text(page, '.complaint')), `what is no image is refused: ${await text(page, '.complaint')}`);
  await page.close();
}

/** Everything can be reached by keys, and what has the focus shows it. */
async function keyboard(page) {
  await page.setViewportSize({ width: 1440, height: 900 });
  const reached = new Set();
  const invisible = [];
  for (let i = 0; i < 60; i++) {
    await page.keyboard.press('Tab');
    const at = await page.evaluate(() => {
      const e = document.activeElement, outlined = (x) => getComputedStyle(x).outlineStyle !== 'none' && parseFloat(getComputedStyle(x).outlineWidth) > 0;
      let visible = false;
      for (let x = e; x !== null && x !== document.body && !visible; x = x.parentElement) visible = outlined(x);
      return { pane: e?.closest('[id^=pane-]')?.id ?? e?.closest('header.top, .toolbar')?.className ?? '', visible, body: e === document.body, what: e.outerHTML.slice(0, 80) };
    });
    if (at.body) continue;
    reached.add(at.pane);
    if (!at.visible) invisible.push(at.what);
  }
  const wanted = ['top', 'toolbar', 'pane-timeline', 'pane-disassembly', 'pane-source', 'pane-registers', 'pane-control', 'pane-bottom'];
  say(wanted.every((p) => reached.has(p)), `Tab reaches ${[...reached].join(', ')}`);
  say(invisible.length === 0, `the focus is visible at every stop${invisible.length === 0 ? '' : `, not at ${invisible.join(' ')}`}`);
  await page.evaluate(() => document.activeElement?.blur());
  await page.keyboard.press('?');
  await page.waitForTimeout(50);
  say(await page.evaluate(() => document.querySelector('dialog[open]') !== null), '? opens the help');
  await page.keyboard.press('Escape');
  await page.waitForTimeout(50);
  say(await page.evaluate(() => document.querySelector('dialog[open]') === null), 'Escape closes it');
  const nameless = await page.evaluate(() => [...document.querySelectorAll('button, input, select, [role=listbox], [role=tab], canvas')]
    .filter((e) => e.closest('.xterm') === null && e.getAttribute('aria-hidden') !== 'true' && !(e.getAttribute('aria-label') || e.textContent.trim() || e.labels?.length || e.title)).map((e) => e.outerHTML.slice(0, 90)));
  say(nameless.length === 0, `everything that acts has a name${nameless.length === 0 ? '' : `: ${nameless.join(' ')}`}`);
}

say(complaints.length === 0, `the browser's console has no errors${complaints.length === 0 ? '' : `: ${complaints.join('; ')}`}`);
console.log(`check:ui: screenshots in ${shots}`);
process.exit(wrong === 0 ? 0 : 1);
